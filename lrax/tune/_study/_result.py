"""What a study has found by now, in the form and the words of a search."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import numpy as np

from lrax.tune import _dimension
from lrax.tune import _objective
from lrax.tune import _search
from lrax.tune import _space
from lrax.tune import _verdict
from lrax.tune._study import _ledger


def result(
    objective: _objective.Objective, space: _space.Space, sampler: str,
    entries: Sequence[_ledger.Entry],
) -> _search.Searched:
  """The finished trials of a study as a search returns them.

  Args:
    objective: what was trained.
    space: what was searched.
    sampler: who proposed the points.
    entries: what the study's storage holds.
  """
  rows = tuple(_objective.row_of(e.point or {}, e.runs) for e in entries if e.finished)
  best = _search.best_of(rows)
  found = _search.Searched(
      task=objective.task.name,
      optimizer=objective.names[0],
      schedule=objective.names[1],
      method=sampler,
      space=space,
      best=None if best is None else rows[best].point,
      validation_loss=np.nan if best is None else rows[best].validation_loss,
      noise=_search.noise_of(rows),
      rows=rows,
      edges=() if best is None else _edges(space, rows, rows[best].point),
      widened={},
      history=(),
      steps=objective.steps,
      seeds=objective.seeds,
      steps_spent=sum(len(trial.losses) for row in rows for trial in row.trials),
      verdict='',
  )
  return dataclasses.replace(found, verdict=_in_words(found, running(entries)))


def running(entries: Sequence[_ledger.Entry]) -> dict[str, list[int]]:
  """The numbers of the trials that have begun and not ended, by worker."""
  found: dict[str, list[int]] = {}
  for entry in entries:
    if not entry.finished:
      found.setdefault(entry.worker, []).append(entry.number)
  return found


def _edges(
    space: _space.Space, rows: Sequence[_objective.Row], best: _objective.Point
) -> tuple[str, ...]:
  """The ranges on one side of whose best value nothing was tried."""
  return tuple(
      name
      for name, dimension in space.items()
      if not isinstance(dimension, _dimension.Choice)
      and len(tried := [row.point[name] for row in rows]) > 1
      and best[name] in (min(tried), max(tried))
  )


def _in_words(found: _search.Searched, left: Mapping[str, Sequence[int]]) -> str:
  said = [_verdict.of_search(found)] if found.rows else ['No trial has finished yet.']
  for worker, numbers in left.items():
    many = f'{len(numbers)} trials are' if len(numbers) > 1 else '1 trial is'
    said.append(f'{many} unfinished under {worker}.')
  if left:
    said.append('A worker that was stopped goes on when it is started again.')
  return ' '.join(said)
