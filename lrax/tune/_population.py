"""Population-based training: rates that change while the runs go on."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np

from lrax.tune import _dimension
from lrax.tune import _engine
from lrax.tune import _objective
from lrax.tune import _rungs
from lrax.tune._objective import Point
from lrax.tune._objective import Trial

_READY = 10  # times that a run is looked at
QUARTER = 4  # the worst quarter goes on from the best
_FACTORS = (0.8, 1.2)


def population(
    objective: _objective.Objective,
    space: Any,
    points: Sequence[Point],
    rng: np.random.Generator,
    on_trial: Callable[[Trial], None] | None = None,
) -> tuple[list[list[Trial]], list[list[tuple[int, Point]]]]:
  """Trains points in step; now and then the worst go on from the best.

  Ten times in a run, the quarter with the highest validation loss takes the
  parameters and the optimizer's state of members of the lowest quarter, and their
  hyperparameters, each changed by chance: times 0.8 or 1.2 on a log scale, else by
  a fifth of the range up or down.

  Args:
    objective: what to train.
    space: the dimensions by name, of numbers.
    points: the first hyperparameters of each member.
    rng: for what is left to chance.
    on_trial: called with each trial of this process at its end.

  Returns:
    The trials of each member, and of each member what it went through: (step,
    hyperparameters from there on), those of its ancestors first.
  """
  ((engine, trials, which),) = objective.trials(points)
  segments = _engine.Segments(engine, trials)
  seeds = len(objective.seeds)
  members = [dict(point) for point in points]
  pasts: list[list[tuple[int, Point]]] = [[(0, dict(p))] for p in points]
  count = len(points)
  quarter = count // QUARTER
  turns = [turn / _READY for turn in range(1, _READY)]
  for pause in _rungs.pauses(turns, objective.steps):
    losses = segments.advance(pause).reshape(count, seeds).mean(1)
    ranked = np.argsort(losses, kind='stable')
    sources = np.arange(count)
    for loser in ranked[count - quarter :]:
      winner = int(rng.choice(ranked[:quarter]))
      sources[loser] = winner
      members[loser] = _explored(members[winner], space, rng)
      pasts[loser] = [*pasts[winner], (pause, members[loser])]
    ((_, changed, _),) = objective.trials(members)
    rates = np.asarray(trials.rates)[np.repeat(sources, seeds) * seeds + np.tile(
        np.arange(seeds), count
    )]
    rates = np.concatenate([rates[:, :pause], changed.rates[:, pause:]], 1)
    trials = changed._replace(rates=rates, seeds=trials.seeds)
    rows = np.repeat(sources * seeds, seeds) + np.tile(np.arange(seeds), count)
    segments.change(trials, rows.tolist())
  segments.advance(objective.steps)
  runs = segments.finish()
  found: list[list[Trial]] = [[] for _ in points]
  for place, (index, seed) in enumerate(which):
    trial = _objective.trial_of(members[index], seed, runs, place)
    found[index].append(trial)
    if on_trial is not None and segments.holds(place):
      on_trial(trial)
  return found, pasts


def _explored(point: Point, space: Any, rng: np.random.Generator) -> dict[str, Any]:
  """A winner's hyperparameters, each a little changed within its range."""
  changed = {}
  for name, value in point.items():
    dimension, factor = space[name], rng.choice(_FACTORS)
    low, high = dimension.low, dimension.high
    if isinstance(dimension, _dimension.LogUniform):
      value = value * factor
    else:
      value = value + (factor - 1) * (dimension.high - dimension.low)
    changed[name] = float(np.clip(value, low, high))
  return changed
