"""What a noisy loss curve says: where it diverged, and what it looks like smooth."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_EMA = 0.9  # share kept by the running average that the stop rule watches
_WARM = 10  # losses that tell the level and the noise at the start
_LEAP = 10  # times the median difference, by which the first losses leap
_CEILING = 5  # losses whose highest is where a curve is cut


class Watch(NamedTuple):
  """What tells, loss by loss, that a run has diverged; all are scalars.

  A run has diverged where its loss is not finite, or where its running average
  (bias-corrected, keeping 0.9) has risen above where it began, the mean of the
  first ten losses, by more than it had gained and by more than the noise:
  average - start > max(start - best, 4 * noise), the noise being the mean
  difference of neighbours among those ten. Where their mean is above the first
  by ten times their median difference, the loss leapt at once and began at the
  first. There are differences only, so the rule holds for negative losses too,
  and for any unit.
  """

  average: jax.Array  # of the losses, not corrected for its start at 0
  best: jax.Array  # the lowest corrected average
  start: jax.Array  # where the curve began; known after the first ten losses
  noise: jax.Array  # as much as it may rise by noise alone
  diverged: jax.Array  # bool


def watch_from(dtype: np.dtype) -> Watch:
  """Before the first loss."""
  zero = jnp.zeros((), dtype)
  return Watch(zero, zero + jnp.inf, zero, zero, jnp.zeros((), bool))


def watch(before: Watch, losses: jax.Array, step: jax.Array) -> Watch:
  """After `losses[step]`, the ones up to it being known.

  Args:
    before: after the loss before.
    losses: (steps,), the loss before each update.
    step: int32, ().
  """
  loss = losses[step]
  average = _EMA * before.average + (1 - _EMA) * loss
  corrected = average / (1 - _EMA ** (step + 1).astype(losses.dtype))
  best = jnp.minimum(before.best, corrected)
  if len(losses) <= _WARM:
    return before._replace(diverged=before.diverged | ~jnp.isfinite(loss))
  start, noise = jax.lax.cond(
      step == _WARM - 1,
      lambda: _level_and_noise(losses),
      lambda: (before.start, before.noise),
  )
  rise = corrected - start > jnp.maximum(start - best, 4 * noise)
  bad = (step >= _WARM) & rise | ~jnp.isfinite(loss)
  return Watch(average, best, start, noise, before.diverged | bad)


def _level_and_noise(losses: jax.Array) -> tuple[jax.Array, jax.Array]:
  first = losses[:_WARM]
  # Differences of neighbours, so that a trend does not count as noise; and what
  # a float32 loss cannot resolve.
  steps = jnp.abs(jnp.diff(first))
  start = first.mean()
  # The median is under what more than half of them are under.
  leapt = jnp.sum(_LEAP * steps < start - first[0]) > len(steps) // 2
  start = jnp.where(leapt, first[0], start)  # the first tells where it began
  return start, steps.mean() + 1e-6 * jnp.abs(start)


def useless(runs: list[np.ndarray], share: float) -> np.ndarray:
  """Which runs gained too little beside one before them.

  A run's gain is how far the mean of its last tenth, ten losses at least, is below
  the level at the start, which is the mean of the first run's first ten: one batch
  says little. A run is useless where it gained less than a share of what one before
  it did, if that was more than four times the mean difference of neighbours among
  those ten, so that it was no noise.

  Args:
    runs: (steps done,) each, by rising rate, on the same batches.
    share: of the largest gain before, that a run must reach.

  Returns:
    (runs,), bool; of the first it is never true.
  """
  first = runs[0][:_WARM]
  start, noise = first.mean(), np.abs(np.diff(first)).mean() if len(first) > 1 else 0.0
  last = [run[-max(_WARM, len(run) // 10) :].mean() for run in runs]
  with np.errstate(invalid='ignore'):  # of infinite losses
    gains = np.nan_to_num(start - np.asarray(last), nan=-np.inf, neginf=-np.inf)
  before = np.concatenate([[-np.inf], np.maximum.accumulate(gains)[:-1]])
  return (before > 4 * noise) & (gains < share * before)


def smooth(losses: np.ndarray, keep: float) -> np.ndarray:
  """The curve smoothed by a running average forwards and backwards.

  Run one way, the average lags by keep / (1 - keep) steps, which moves the
  steepest point of a range test to higher rates; both ways the lags cancel.
  Losses above where the curve began say only that it is bad, so they are cut
  there: else a last leap before the end would be smeared over the minimum.

  Args:
    losses: (steps,), finite.
    keep: share of the average that is kept, in [0, 1).
  """
  if not len(losses):
    return losses
  ceiling = losses[: min(_CEILING, len(losses))].max()
  cut = np.minimum(losses, ceiling)
  return _one_way(_one_way(cut, keep)[::-1], keep)[::-1]


def _one_way(losses: np.ndarray, keep: float) -> np.ndarray:
  """A running average that starts at its first value."""
  average, result = losses[0], []
  for loss in losses:
    average = keep * average + (1 - keep) * loss
    result.append(average)
  return np.asarray(result)
