"""How far derivatives through training can be trusted: averaged over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lrax.tune import _unrolled


class Mean(NamedTuple):
  """Derivatives over seeds; k coordinates."""

  by_seed: np.ndarray  # (k, seeds): as they are
  gradient: np.ndarray  # (k,): the mean of the clipped ones
  spread: np.ndarray  # (k,): their standard deviation; NaN for one seed
  agreement: np.ndarray  # (k,): share of the seeds that have the mean's sign
  clipped: bool


def scale_of(losses: np.ndarray) -> float:
  """What a derivative is measured by: a loss that all of training moves.

  The larger of the first loss and of how far the losses fell below it. Per factor
  of e of the rate, a loss that falls as exp(-rate * t) moves by at most 0.37 of the
  first one.
  """
  seen = losses[np.isfinite(losses)]
  if not len(seen):
    return np.nan
  return float(max(abs(seen[0]), seen[0] - seen.min()))


def average(runs: Sequence[_unrolled.Derivative], clip: float | None) -> Mean:
  """The mean over the seeds, each derivative clipped to `clip` times its scale."""
  by_seed = np.stack([run.gradient for run in runs], 1)
  scales = np.asarray([scale_of(run.losses) for run in runs])
  limits = np.where(scales > 0, (np.inf if clip is None else clip) * scales, np.inf)
  cut = np.clip(by_seed, -limits, limits)
  mean = cut.mean(1)
  spread = cut.std(1, ddof=1) if len(runs) > 1 else np.full(len(mean), np.nan)
  agreement = (np.sign(by_seed) == np.sign(mean)[:, None]).mean(1)
  clipped = bool((np.abs(by_seed) > limits).any())
  return Mean(by_seed, mean, spread, agreement, clipped)


def explosion(run: _unrolled.Derivative) -> float:
  """How much the losses of training move at most per factor of e, in their scale.

  Above 1, neighbouring runs part so fast that a derivative says nothing.
  """
  scale = scale_of(run.losses)
  seen = run.slopes[np.isfinite(run.slopes)]
  return float(np.abs(seen).max() / scale) if len(seen) and scale > 0 else 0.0


def finite(run: _unrolled.Derivative) -> bool:
  """Whether every loss is; a derivative may still not be."""
  return bool(np.isfinite(run.losses).all() and np.isfinite(run.validation_loss))


def trusted(runs: Sequence[_unrolled.Derivative]) -> bool:
  """Whether derivatives tell a direction: finite ones, of calm training."""
  return all(
      finite(run) and np.isfinite(run.gradient).all() and not run.diverged
      and explosion(run) <= 1
      for run in runs
  )


def settled(mean: Mean) -> np.ndarray:
  """bool, (k,): whether all seeds agree on the sign, beyond twice their error."""
  seeds = mean.by_seed.shape[1]
  beyond = np.abs(mean.gradient) > 2 * np.nan_to_num(mean.spread) / np.sqrt(seeds)
  return (mean.agreement == 1) & beyond & (mean.gradient != 0)
