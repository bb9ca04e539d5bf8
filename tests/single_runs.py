"""Single runs of the engine that trains trials, as tests look at them."""

from typing import NamedTuple

import numpy as np

from lrax.tune._engine import Engine
from lrax.tune._engine import Trials


class Run(NamedTuple):
  """One run: its losses and, if it came that far, its validation loss."""

  losses: np.ndarray  # (steps done,): training loss before each update
  validation_loss: float  # NaN where the run was stopped
  diverged: bool


class Trainer:
  """A task with an optimizer: one program for runs of up to `steps` updates."""

  def __init__(self, task, optimizer, steps=300, engine='auto', lanes=None):
    self.engine = Engine(task, optimizer, steps, engine, lanes)

  def run(self, learning_rates, seed, validate=True):
    """Trains with one rate a step, from a seed."""
    rates = np.asarray(learning_rates)[None]
    runs = self.engine.run(Trials(rates, np.asarray([seed])), validate=validate)
    losses = runs.losses[0, : runs.steps_done[0]]
    return Run(losses, float(runs.validation_loss[0]), bool(runs.diverged[0]))
