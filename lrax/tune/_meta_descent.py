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
from lrax.tune import _cautions
from lrax.tune import _reliability
from lrax.tune import _unrolled

_GROW, _SHRINK = 1.2, 0.5  # of Rprop's step, where a sign stays and where it turns
_MOST = 0.7  # the longest step, in a logarithm: a factor of 2
_LEAST = 1 / 16  # of the first step; with less it ends


class MetaStep(NamedTuple):
  """One step of learning a schedule.

  Attributes:
    values: the rates at the knots.
    validation_loss: the mean over the seeds; NaN where one is not finite.
    gradient: of that, with respect to log(values).
    trusted: whether training was calm, so that the derivatives could be followed.
    warnings: what was wrong with it, each a `Caution`.
  """

  values: tuple[float, ...]
  validation_loss: float
  gradient: tuple[float, ...]
  trusted: bool
  warnings: tuple[_cautions.Caution, ...] = ()

  @property
  def blocked(self) -> bool:
    """Whether derivatives are not finite though training is calm."""
    kinds = [caution.kind for caution in self.warnings]
    return kinds[:1] == ['derivative not finite'] and 'explodes' not in kinds


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


class _Calm(NamedTuple):
  """A place where derivatives tell the way."""

  logs: np.ndarray
  loss: float
  signs: np.ndarray  # of the derivatives


def descend(
    run: Callable[[np.ndarray, int], _unrolled.Derivative],
    logs: np.ndarray,
    steps: int,
    rate: float,
    seeds: Sequence[int],
) -> Iterator[MetaStep]:
  """Rprop on the logarithms of rates, from `logs` on.

  It takes the signs of the derivatives only, whose sizes span orders of magnitude
  along the way. Where training is not calm the signs too are a matter of chance:
  then it goes back to the best calm place and takes half the step, or, where there
  has been none, halves the rates. It ends where the steps have become small, or
  where derivatives are not finite for another reason.

  Args:
    run: trains at some logarithms, from a seed.
    logs: where to begin.
    steps: how many places to judge at most.
    rate: the length of the first step, of each logarithm.
    seeds: of the runs at each place.
  """
  lengths, before = np.full(logs.shape, rate), np.zeros_like(logs)
  names = [f'knot {index}' for index in range(len(logs))]
  best = None
  for _ in range(steps):
    runs = [run(logs, seed) for seed in seeds]
    loss = float(np.mean([r.validation_loss for r in runs]))
    gradient = _reliability.average(runs, None).gradient
    trusted = _reliability.trusted(runs)
    step = MetaStep(
        tuple(np.exp(logs).tolist()), loss, tuple(gradient.tolist()), trusted,
        tuple(_cautions.of_training(runs, names, seeds)),
    )
    yield step
    if step.blocked:
      return
    if trusted:
      signs = np.sign(gradient)
      here = _Calm(logs, loss, signs)
      best = here if best is None or loss < best.loss else best
      kept = signs * before
      grown = np.minimum(lengths * _GROW, max(rate, _MOST))
      lengths = np.where(kept > 0, grown, np.where(kept < 0, _SHRINK, 1) * lengths)
      signs = np.where(kept < 0, 0, signs)  # one step of rest, as in iRprop-
    elif best is None:
      logs = logs - np.log(2)
      continue
    else:
      here, signs, lengths = best, best.signs, lengths * _SHRINK
    if lengths.max() <= rate * _LEAST:
      return
    logs, before = here.logs - signs * lengths, signs
