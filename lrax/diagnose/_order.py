"""The rows of a log in the order of its steps, one row a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Order(NamedTuple):
  """Which rows to take, in which order, and what there is to say of it."""

  rows: np.ndarray  # int, the rows to take in order
  counts: bool  # whether the steps rise over the whole log
  notes: list[str]


def order(step: np.ndarray) -> Order:
  """The order of rows with these steps, all finite."""
  rows, notes = np.arange(len(step)), []
  change = np.diff(step)
  if not len(change) or (change >= 0).all():
    return Order(rows, True, notes)
  if (change <= 0).all():
    notes.append('The rows were newest first and are put in order.')
    return Order(rows[::-1], True, notes)
  falls = np.flatnonzero(change < 0) + 1
  back = step[falls]
  again = back <= step[: falls[0]].min()  # to the beginning, or before it
  lengths = np.diff(np.concatenate([[0], falls, [len(step)]]))
  if again.all() and len(falls) > 1 and np.ptp(lengths[:-1]) <= 1:
    notes.append('The step begins again and again, so rows are counted instead.')
    return Order(rows, False, notes)
  if len(falls) > 3 and np.median(-change[change < 0]) < 0.02 * np.ptp(step):
    notes.append('The rows were not in the order of their steps and are sorted.')
    return Order(np.argsort(step, kind='stable'), True, notes)
  for place, start in zip(falls, back):
    kept = (rows >= place) | (step[rows] < start)
    gone = len(rows) - int(kept.sum())
    rows = rows[kept]
    notes.append(
        f'The step falls back to {start:g} in row {place + 1}: the run was resumed'
        f' or another one begins, and the {gone} rows before it that it'
        f' replaces are left out.'
    )
  if len(notes) > 3:
    notes = notes[:2] + [f'So it does {len(notes) - 2} times more.']
  return Order(rows, True, notes)
