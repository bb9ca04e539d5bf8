"""The rows of a log in the order of its steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_SEVERAL = 5  # rows that show a run that was resumed; fewer may be stray ones
_RESUMED = 100  # times at most; rows that fall back more often are only unsorted


class Order(NamedTuple):
  """Which rows to take, in which order, and what there is to say of it."""

  rows: np.ndarray  # int, the rows to take in order
  counts: bool  # whether the steps rise over the whole log
  notes: list[str]


def order(
    step: np.ndarray, written: np.ndarray, broken: np.ndarray, epoch: np.ndarray
) -> Order:
  """The order of rows.

  A fall of the step is a resumed run only where what follows repeats what was there:
  several losses of about as many. All other rows are only sorted, and none is lost.

  Args:
    step: (rows,), all finite.
    written: (rows,), whether a loss was written.
    broken: (rows,), whether it was NaN or infinite.
    epoch: (rows,), the epoch; NaN where it is unknown.
  """
  rows, notes = np.arange(len(step)), []
  change = np.diff(step)
  if not len(change) or (change >= 0).all():
    return Order(rows, True, notes)
  if (change <= 0).all():
    notes.append('The rows were newest first and are put in order.')
    return Order(rows[::-1], True, notes)
  falls = np.flatnonzero(change < 0) + 1
  back = step[falls]
  if _rises(epoch, falls):
    notes.append('The step begins again in each epoch, so rows are counted instead.')
    return Order(rows, False, notes)
  again = back <= step[: falls[0]].min()  # to the beginning, or before it
  lengths = np.diff(np.concatenate([[0], falls, [len(step)]]))
  if again.all() and len(falls) > 1 and np.ptp(lengths[:-1]) <= 1:
    notes.append('The step begins again and again, so rows are counted instead.')
    return Order(rows, False, notes)
  few = len(falls) <= _RESUMED and len(step) >= _SEVERAL * len(lengths)
  if not few:
    return _sorted(step, rows, notes)
  kept, unsorted, plain = rows[: falls[0]], False, 0
  for place, end in zip(falls, [*falls[1:], len(step)]):
    new = rows[place:end]
    gone = _replaced(step, written, kept, new)
    lost = int(broken[kept[gone]].sum())
    plain += gone.any() and not lost
    if lost or (gone.any() and plain <= 2):
      notes.append(_resumed(step[place], int(place), int(gone.sum()), lost))
    unsorted |= not gone.any()
    kept = np.concatenate([kept[~gone], new])
  if plain > 2:
    notes.append(f'So it does {plain - 2} times more.')
  return _sorted(step, kept, notes) if unsorted else Order(kept, True, notes)


def _sorted(step: np.ndarray, rows: np.ndarray, notes: list[str]) -> Order:
  notes.append('The rows were not in the order of their steps and are sorted.')
  return Order(rows[np.argsort(step[rows], kind='stable')], True, notes)


def _rises(epoch: np.ndarray, falls: np.ndarray) -> bool:
  """Whether the epoch rises where the step falls."""
  known = np.flatnonzero(np.isfinite(epoch))
  before = np.searchsorted(known, falls) - 1
  after = np.minimum(before + 1, len(known) - 1)
  if not len(known) or before.min() < 0:
    return False
  return bool(np.mean(epoch[known[after]] > epoch[known[before]]) > 0.5)


def _replaced(
    step: np.ndarray, written: np.ndarray, kept: np.ndarray, new: np.ndarray
) -> np.ndarray:
  """Which of the rows so far a resumed run replaces; none where it is not one."""
  start, last = step[new[0]], step[new[-1]]
  repeats = (step[kept] >= start) & (step[kept] <= last)
  # One row that is late, after which the log goes on, repeats nothing.
  losses = int((written[new] & (step[new] <= step[kept].max())).sum())
  resumed = losses >= max(_SEVERAL, repeats.sum() / 4)
  return resumed & (step[kept] >= start)


def _resumed(start: float, place: int, gone: int, lost: int) -> str:
  note = (
      f'The step falls back to {start:g} in row {place + 1}: the run was resumed'
      f' or another one begins, and the {gone} rows before it that it replaces are'
      ' left out'
  )
  return note + (f'; {lost} of them with a loss of NaN or infinite.' if lost else '.')
