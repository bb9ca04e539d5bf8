"""The runs of a search for a rate: what was tried, and what to try next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import schedules
from lrax.tune import _curves
from lrax.tune import _range_test

# Rates are tried at suggestion * 2 ** (place / 2), places being whole numbers:
# a first grid a factor of 4 apart, then the best one's neighbours at 2, at
# sqrt(2). A tenth of the minimum is about a quarter of the best rate, so the
# grid starts there and looks up.
_FIRST = (0, 4, 8)
_REFINE = (2, 1)
_WIDEN = 6  # times, in either direction


class Trial(NamedTuple):
  """One full training run."""

  learning_rate: float  # the peak of the schedule
  seed: int
  validation_loss: float  # after the last step; NaN where it diverged
  diverged: bool
  losses: np.ndarray  # (steps done,), the training loss before each update

  def to_dict(self) -> dict[str, Any]:
    """The trial as plain values; NaN as None."""
    return {k: _range_test.plain(v) for k, v in self._asdict().items()}


class Row(NamedTuple):
  """What the seeds say of one rate."""

  learning_rate: float
  validation_loss: float  # mean over the seeds; NaN where one diverged
  spread: float  # standard deviation over the seeds; 0 for one seed
  diverged: int  # how many seeds did
  trials: tuple[Trial, ...]


class Progress(NamedTuple):
  """What `on_progress` is told."""

  stage: str  # 'range test' or 'sweep'
  done: int  # runs of this stage
  planned: int  # runs of this stage as far as is known now
  result: Any  # the RangeTest when it is complete, a Trial, or None


class Search:
  """The runs of one search: what was tried, and what may still be."""

  def __init__(self, trainer, steps, seeds, shape, budget, tell):
    self.trainer, self.steps, self.seeds = trainer, steps, seeds
    self.shape, self.budget, self.tell = shape, budget, tell
    self.rows: dict[int, Row] = {}  # by place
    self.out_of_budget = False
    self.start = np.nan  # the rate at place 0
    ramp = int(np.clip(steps, 10, 100))
    self.ramp_steps, self.ramp_seeds = ramp, seeds[:2]
    least = ramp * len(self.ramp_seeds) + len(_FIRST) * steps * len(seeds)
    if budget is not None and budget < least:
      raise _checks.refuse(
          'find', 'budget', f'at least {least} steps', budget,
          f'that is the range test and {len(_FIRST)} rates, each of {steps} steps'
          f' for every seed ({len(seeds)}); lower steps or seeds',
      )

  @property
  def spent(self) -> int:
    """Updates of all runs so far."""
    return self.trainer.updates

  def range_test(self) -> _range_test.RangeTest:
    told = lambda done, planned: self.tell(
        Progress('range test', done, planned, None)
    )
    test = _range_test.run(
        self.trainer, 1e-7, 10.0, self.ramp_steps, self.ramp_seeds, on_seed=told
    )
    total = len(self.ramp_seeds)
    self.tell(Progress('range test', total, total, test))
    return test

  def sweep(self, suggestion: float) -> None:
    """Fills `rows`: the first grid, widened, then refined around the best."""
    # With nothing to start from, the widening has to find the place.
    self.start = suggestion if np.isfinite(suggestion) else 1e-3
    if not self.try_places(_FIRST):
      return
    for _ in range(2 * _WIDEN):
      edge = self.beyond_edge()
      if edge is None:
        break
      if not self.try_places([edge]):
        return
    for width in _REFINE:
      best = self.best()
      if best is None or not self.try_places([best - width, best + width]):
        return

  def surround(self, learning_rate: float) -> bool:
    """Tries a factor of 2 beside a rate where nothing nearer was; if it did."""
    if not np.isfinite(learning_rate):
      return False
    place = round(2 * np.log2(learning_rate / self.start))
    missing = [
        place + 2 * way
        for way in (-1, 1)
        if place + way not in self.rows
        and place + 2 * way not in self.rows
        and min(self.rows) < place + 2 * way < max(self.rows)
    ]
    return bool(missing) and self.try_places(missing)

  def sorted_rows(self) -> list[Row]:
    """What was tried, by rising rate."""
    return [self.rows[place] for place in sorted(self.rows)]

  def best(self) -> int | None:
    """The place of the lowest mean loss; the lower one of two equal."""
    known = {
        p: r.validation_loss
        for p, r in sorted(self.rows.items())
        if np.isfinite(r.validation_loss)
    }
    return min(known, key=known.__getitem__) if known else None

  def beyond_edge(self) -> int | None:
    """The place to try next where the best one is on the edge."""
    best, low, high = self.best(), min(self.rows), max(self.rows)
    if best is None or best == low:
      place = low - 4
    elif best == high:
      place = high + 4
    else:
      return None
    within = _FIRST[0] - 4 * _WIDEN <= place <= _FIRST[-1] + 4 * _WIDEN
    return place if within else None

  def try_places(self, places: Sequence[int]) -> bool:
    """Trains at these places with every seed; False where the budget ends."""
    places = [place for place in places if place not in self.rows]
    for index, place in enumerate(places):
      cost = self.steps * len(self.seeds)
      if self.budget is not None and self.spent + cost > self.budget:
        self.out_of_budget = True
        return False
      rate = float(self.start * 2 ** (place / 2))
      trials = []
      for seed in self.seeds:
        trials.append(self.train(rate, seed))
        done = len(self.rows) * len(self.seeds) + len(trials)
        left = len(places) - index
        planned = (len(self.rows) + left) * len(self.seeds)
        self.tell(Progress('sweep', done, planned, trials[-1]))
      self.rows[place] = _row(rate, trials)
    return True

  def train(self, rate: float, seed: int) -> Trial:
    policy = schedules.as_schedule(self.shape(rate, self.steps), 'find')
    rates = np.asarray(policy(jnp.arange(self.steps)))
    stop = lambda losses: _curves.diverged(losses) is not None
    run = self.trainer.run(rates, seed, stop)
    diverged = not (run.finite and np.isfinite(run.validation_loss))
    return Trial(rate, seed, run.validation_loss, diverged, run.losses)


def _row(rate: float, trials: list[Trial]) -> Row:
  losses = np.asarray([trial.validation_loss for trial in trials])
  gone = sum(trial.diverged for trial in trials)
  mean = float(losses.mean()) if not gone else np.nan
  spread = float(losses.std(ddof=1)) if not gone and len(losses) > 1 else 0.0
  return Row(rate, mean, spread, gone, tuple(trials))
