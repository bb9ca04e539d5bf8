"""Trials that train in step, and are paused to choose between them."""

from __future__ import annotations

from collections.abc import Sequence

import jax
from jax.experimental import multihost_utils
import numpy as np

from lrax.tune._engine import _engine
from lrax.tune._engine._feed import Feed
from lrax.tune._engine._trial import Runs
from lrax.tune._engine._trial import Trials


class _Part:
  """Trials that share batches: those of one seed of a stream, else all."""

  def __init__(self, groups: list[_engine.Group], feed: Feed | None):
    self.groups, self.feed = groups, feed


class Segments:
  """Trials paused between two updates. Over processes each holds a share."""

  def __init__(self, engine: _engine.Engine, trials: Trials):
    self._engine, self._trials = engine, trials
    count = len(trials.seeds)
    owner = np.arange(count) % jax.process_count()
    self._mine = owner == jax.process_index()
    self._owner = owner
    self.alive = np.ones(count, bool)
    self.losses = np.full(count, np.nan)  # validation, at the latest pause
    self.runs = Runs.none(count, engine.steps)  # those that this process let go
    self._done = 0
    engine.check_validation(trials, _engine.ALWAYS)
    self._parts = [
        _Part(engine.groups(trials, places), feed)
        for places, feed in engine.shared(trials, np.flatnonzero(self._mine))
    ]

  def holds(self, place: int) -> bool:
    """Whether a trial is one of this process's."""
    return bool(self._mine[place])

  def advance(self, until: int) -> np.ndarray:
    """Trains all that are left up to a step, or their end, and validates them.

    Returns:
      (trials,), the validation loss: infinite where the run diverged, NaN where
      it was let go before.
    """
    for part in self._parts:
      stacks = [(None, 0, until)]
      if part.feed is not None:
        stacks = part.feed.stacks(self._done, until)
      for batches, start, end in stacks:
        when = _engine.ALWAYS if end == until else _engine.NEVER
        self._engine.advance_all(part.groups, end, when, batches, start)
      for group in part.groups:
        lanes = np.flatnonzero(group.lanes >= 0)
        gone = np.asarray(group.carry.watch.diverged)[lanes]
        losses = np.where(gone, np.inf, group.losses[lanes])
        losses = np.where(np.isfinite(losses), losses, np.inf)
        self.losses[group.lanes[lanes]] = losses
    self._done = until
    self.losses = self._together(self.losses)
    return np.where(self.alive, self.losses, np.nan)

  def keep(self, places: Sequence[int]) -> None:
    """Lets all others go, and writes down how far they came."""
    keep = np.zeros(len(self.alive), bool)
    keep[np.asarray(places, int)] = True
    self.alive &= keep
    for part in self._parts:
      for group in part.groups:
        leaves = (group.lanes >= 0) & ~keep[group.lanes]
        self._engine.record(self.runs, group, leaves)
        group.lanes = np.where(leaves, -1, group.lanes)
        group.refresh(self._trials, self._engine.steps)
      part.groups = [g for g in part.groups if (g.lanes >= 0).any()]
      left = [int(i) for g in part.groups for i in g.lanes if i >= 0]
      if 0 < 2 * len(left) <= sum(len(g.lanes) for g in part.groups):
        width = self._engine.width(self._trials, len(left))
        part.groups = self._engine.regroup(
            self._trials, part.groups, left, left, width
        )

  def change(self, trials: Trials, sources: Sequence[int]) -> None:
    """Gives trials other rates and numbers, and the state of others.

    Args:
      trials: what each is from here on.
      sources: the trial whose state each goes on from, itself for its own.

    Raises:
      ValueError: there are several processes: states do not move between them.
    """
    if jax.process_count() > 1 and list(sources) != list(range(len(sources))):
      raise ValueError(
          'population: `processes` must be one, since states are copied between'
          f' trials, got {jax.process_count()}; run it in one process.'
      )
    self._trials = trials
    # Sources of one seed have read the same batches, in whatever part they are.
    groups = [group for part in self._parts for group in part.groups]
    for part in self._parts:
      held = [int(i) for g in part.groups for i in g.lanes if i >= 0]
      part.groups = self._engine.regroup(
          trials, groups, held, [int(sources[i]) for i in held],
          len(part.groups[0].lanes),
      )

  def finish(self) -> Runs:
    """What became of all, the ones let go too."""
    for part in self._parts:
      for group in part.groups:
        self._engine.record(self.runs, group, group.lanes >= 0)
    return Runs(*(self._together(x) for x in self.runs))

  def _together(self, values: np.ndarray) -> np.ndarray:
    """Of each trial, what the process that holds it says."""
    if jax.process_count() == 1:
      return values
    gathered = np.asarray(multihost_utils.process_allgather(values))
    return gathered[self._owner, np.arange(len(values))]
