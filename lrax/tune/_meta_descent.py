"""Descends on a schedule's knots by derivatives through whole training runs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lrax import _policy
from lrax import schedules
from lrax.tune import _reliability
from lrax.tune import _unrolled

_B1, _B2, _EPS = 0.9, 0.99, 1e-12  # of Adam, on the logarithms
_CLIP = 1.0  # times a derivative's scale
_HALVINGS = 5  # of the step, after which it is too small to go on


class MetaStep(NamedTuple):
  """One step of learning a schedule.

  Attributes:
    values: the rates at the knots.
    validation_loss: the mean over the seeds; NaN where one is not finite.
    gradient: of that, with respect to log(values).
    trusted: whether training was calm, so that the derivatives could be followed.
  """

  values: tuple[float, ...]
  validation_loss: float
  gradient: tuple[float, ...]
  trusted: bool


class Knots:
  """Rates at evenly spaced steps, and straight lines between them."""

  def __init__(self, count: int, steps: int):
    self.steps = steps
    self.boundaries = [round(i * steps / (count - 1)) for i in range(1, count)]

  def schedule(self, values: Sequence[float]) -> _policy.Schedule:
    """The schedule of some rates."""
    return schedules.piecewise_interpolate(list(values), self.boundaries)

  def table(self, logs: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The rate of each update, from the logarithms of the rates at the knots."""
    policy = schedules.piecewise_interpolate(list(jnp.exp(logs)), self.boundaries)
    return policy(jnp.arange(self.steps)), {}


def descend(
    run: Callable[[np.ndarray, int], _unrolled.Derivative],
    logs: np.ndarray,
    steps: int,
    rate: float,
    seeds: Sequence[int],
) -> Iterator[MetaStep]:
  """Adam on the logarithms of rates, from `logs` on.

  Where training is not calm, the sign of a derivative is a matter of chance: then
  it goes back to the best calm place with half the step, or, where there has been
  none, to half the rates. It ends after five halvings of the step.

  Args:
    run: trains at some logarithms, from a seed.
    logs: where to begin.
    steps: how many of them to judge at most.
    rate: how far a step moves a logarithm, about.
    seeds: of the runs of each step.
  """
  count, first, second = 0, np.zeros_like(logs), np.zeros_like(logs)
  calm, calm_loss, least = None, np.inf, rate / 2**_HALVINGS
  for _ in range(steps):
    runs = [run(logs, seed) for seed in seeds]
    loss = float(np.mean([r.validation_loss for r in runs]))
    gradient = _reliability.average(runs, _CLIP).gradient
    trusted = _reliability.trusted(runs)
    yield MetaStep(
        tuple(np.exp(logs).tolist()), loss, tuple(gradient.tolist()), trusted
    )
    if not trusted:
      if calm is None:
        logs = logs - np.log(2)
      else:
        logs, rate = calm, rate / 2
        if rate <= least:
          return
      count, first, second = 0, np.zeros_like(logs), np.zeros_like(logs)
      continue
    if loss < calm_loss:
      calm, calm_loss = logs, loss
    count += 1
    first = _B1 * first + (1 - _B1) * gradient
    second = _B2 * second + (1 - _B2) * gradient**2
    root = np.sqrt(second / (1 - _B2**count)) + _EPS
    logs = logs - rate * first / (1 - _B1**count) / root
