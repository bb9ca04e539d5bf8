"""Schedules judged side by side, and the best constant rate to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lrax import _policy
from lrax import schedules
from lrax.tune import _engine

_STRIDES = (4, 2, 1)  # in fourth parts of a factor of 2


class Judged(NamedTuple):
  """A schedule and its validation losses on seeds that nothing was chosen by.

  Attributes:
    schedule: the schedule.
    losses: (fresh seeds,), NaN where it diverged.
  """

  schedule: _policy.Schedule
  losses: np.ndarray

  @property
  def validation_loss(self) -> float:
    """The mean over the seeds."""
    return float(self.losses.mean())

  def less(self, other: Judged) -> tuple[float, float]:
    """By how much it loses less than another, and the standard error of that."""
    gains = other.losses - self.losses
    return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))


def losses(
    engine: _engine.Engine, policies: Sequence[_policy.Schedule], seeds: Sequence[int]
) -> np.ndarray:
  """(policies, seeds): the validation losses, NaN where a run diverged."""
  steps = np.arange(engine.steps, dtype=np.int32)
  rates = np.stack([np.asarray(policy(steps), np.float64) for policy in policies])
  trials = _engine.Trials(
      np.repeat(rates, len(seeds), 0), np.tile(np.asarray(seeds), len(policies))
  )
  return engine.run(trials).validation_loss.reshape(len(policies), len(seeds))


def search(
    engine: _engine.Engine, first: float, most: int, seeds: Sequence[int]
) -> dict[float, float]:
  """Mean losses by rate, of rates around the best one; infinite where one diverged.

  Neighbours of the best are tried, a factor of 2 away, then of 1.4 and of 1.2; and
  rates below, while all diverge.

  Args:
    engine: what trains.
    first: the rate to begin with.
    most: at most so many rates.
    seeds: to judge over.
  """
  # Powers of 2 ** (1 / 4), so that none is tried twice.
  rate = lambda place: float(f'{first * 2 ** (place / 4):.4g}') if place else first
  tried: dict[int, float] = {}
  wanted = [0]
  while wanted:
    found = losses(engine, [schedules.constant(rate(p)) for p in wanted], seeds)
    tried |= zip(wanted, np.nan_to_num(found.mean(1), nan=np.inf).tolist())
    best = min(tried, key=lambda place: tried[place])
    around = [[best - stride, best + stride] for stride in _STRIDES]
    if np.isinf(tried[best]):
      around = [[min(tried) - _STRIDES[0]]]
    new = [[place for place in pair if place not in tried] for pair in around]
    wanted = next((pair for pair in new if pair), [])[: most - len(tried)]
  return {rate(place): loss for place, loss in tried.items()}
