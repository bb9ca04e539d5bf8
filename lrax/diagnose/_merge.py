"""One row a step, of a log in the order of its steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_SPARSE = 0.2  # share of rows without a number, from which on NaN means nothing
_OTHER = {'loss': 'validation_loss', 'validation_loss': 'loss'}

Arrays = Mapping[str, np.ndarray]


def written(columns: Arrays, absent: Arrays, role: str, arrays: bool) -> np.ndarray:
  """Where something was measured, NaN or not.

  Args:
    columns: the arrays by name, each (rows,).
    absent: where nothing was written.
    role: the name of the array.
    arrays: whether NaN may be written for nothing, as in arrays; in the rows of a
      file it is what was measured.

  Returns:
    bool, (rows,).
  """
  array = columns[role]
  told, nan = ~absent[role], np.isnan(array)
  if role not in _OTHER:
    return told & ~nan
  told = told & ~(nan & np.isfinite(columns[_OTHER[role]]))  # the other was measured
  finite = np.flatnonzero(np.isfinite(array))
  if not arrays or absent[role].any() or not len(finite):
    return told
  first, last = finite[0], finite[-1]
  if nan[: last + 1].mean() < _SPARSE:
    return told
  usual = max(int(np.diff(finite).max(initial=1)) - 1, int(first))
  tail = np.arange(len(array)) > last
  return told & (~nan | (tail & (tail.sum() > usual)))


def repeats(step: np.ndarray, told: np.ndarray) -> bool:
  """Whether most steps have several losses."""
  counts = np.unique(step[told], return_counts=True)[1]
  return bool(len(counts)) and bool((counts > 1).mean() > 0.5)


def merged(
    columns: Arrays, absent: Arrays, arrays: bool, notes: list[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """Of each array what was written last in a step, and where nothing was."""
  step = columns['step']
  new = np.concatenate([[True], np.diff(step) > 0]) if len(step) else step > 0
  place = np.cumsum(new) - 1
  size, result, gone = int(new.sum()), {}, {}
  for role, array in columns.items():
    told = written(columns, absent, role, arrays)
    result[role] = np.full(size, np.nan)
    result[role][place[told]] = array[told]  # the last one stays
    gone[role] = np.ones(size, bool)
    gone[role][place[~absent[role]]] = False
    if role == 'loss':
      twice = int(told.sum()) - len(np.unique(place[told]))
      if twice:
        notes.append(f'{twice} losses were replaced by a later row of their step.')
  result['step'] = step[new]
  return result, gone
