"""Stopping the worse half of some points early, again and again."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from lrax.tune import _engine
from lrax.tune import _objective
from lrax.tune._objective import Point
from lrax.tune._objective import Trial


def pauses(shares: Sequence[float], steps: int) -> list[int]:
  """After how many updates to pause: each once, after the first, before the last."""
  return sorted({int(share * steps) for share in shares} - {0, steps})


def halve(
    objective: _objective.Objective,
    points: Sequence[Point],
    pauses: Sequence[int],
    on_trial: Callable[[Trial], None] | None = None,
) -> list[list[Trial]]:
  """Trains points in step, and at each pause lets the worse half go.

  The better half is rounded up; points are compared by the mean over the seeds of
  the validation loss, and where one diverged the point is among the worse.

  Args:
    objective: what to train.
    points: the hyperparameters of each.
    pauses: after so many updates, rising, each below the whole run's.
    on_trial: called with each trial of this process as it ends.

  Returns:
    The trials of each point, those that were stopped early with the loss they had.
  """
  groups = objective.trials(points)
  held = [_engine.Segments(engine, trials) for engine, trials, _ in groups]
  left = list(range(len(points)))
  found: list[list[Trial]] = [[] for _ in points]

  def tell(indices: Sequence[int], status: str) -> None:
    for (_, _, which), segments in zip(groups, held):
      for place, (index, seed) in enumerate(which):
        if on_trial is not None and index in indices and segments.holds(place):
          on_trial(_trial(points[index], seed, segments.runs, place, status))

  for pause in pauses:
    losses = _losses(groups, held, pause)
    # A stable sort: of equal ones the first given goes on.
    ranked = sorted(left, key=lambda index: np.mean(losses[index]))
    left = sorted(ranked[: -(-len(ranked) // 2)])
    for (_, _, which), segments in zip(groups, held):
      segments.keep([p for p, (index, _) in enumerate(which) if index in left])
    tell(sorted(set(ranked) - set(left)), _objective.STOPPED)
  _losses(groups, held, objective.steps)
  for (_, _, which), segments in zip(groups, held):
    runs = segments.finish()
    for place, (index, seed) in enumerate(which):
      status = _objective.FINISHED if index in left else _objective.STOPPED
      found[index].append(_trial(points[index], seed, runs, place, status))
  tell(left, _objective.FINISHED)
  return found


def _losses(groups, held, pause: int) -> dict[int, list[float]]:
  """Trains up to a step: the validation losses of each point's seeds."""
  losses: dict[int, list[float]] = {}
  for (_, _, which), segments in zip(groups, held):
    here = segments.advance(pause)
    for place, (index, _) in enumerate(which):
      losses.setdefault(index, []).append(float(here[place]))
  return losses


def _trial(
    point: Point, seed: int, runs: _engine.Runs, place: int, status: str
) -> Trial:
  trial = _objective.trial_of(point, seed, runs, place)
  return trial if trial.diverged else trial._replace(status=status)
