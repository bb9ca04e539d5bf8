"""A `Log` of columns, of rows, or of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lrax import _checks
from lrax.diagnose import _cells
from lrax.diagnose import _columns
from lrax.diagnose import _csv
from lrax.diagnose import _json
from lrax.diagnose import _log
from lrax.diagnose import _order

_HUGE = 1e100  # no loss is; a sum of squares of it would not be finite


def from_columns(table: _csv.Table, given: Mapping[str, str] | None) -> _log.Log:
  """The log of the columns of a file.

  Raises:
    ValueError: there is no loss among them.
  """
  chosen = _columns.choose(list(table.columns), given)
  notes = [*table.notes, *chosen.notes]
  found = {}
  for role, name in chosen.names.items():
    found[role] = _cells.numbers(table.columns[name], role)
    strange, first = found[role].strange
    if strange and first != name and first in table.columns:
      raise ValueError(
          f'the column {name!r} has {first!r} in it, as if a header of another order'
          ' began there; split the file'
      )
    if strange:
      notes.append(f'{strange} cells of {name!r} are no numbers, as {first[:30]!r}.')
  if not found['loss'].missing.size or (
      np.isnan(found['loss'].values) & found['loss'].missing
  ).all():
    raise ValueError(f'its column {chosen.names["loss"]!r} holds no number')
  missing = {role: column.missing for role, column in found.items()}
  values = {role: column.values for role, column in found.items()}
  return build(values, missing, chosen.unit, chosen.names, notes)


def from_value(source: Any, given: Mapping[str, str] | None) -> _log.Log:
  """The log of a list of dicts, of a mapping of arrays, or of a history."""
  if isinstance(source, (list, tuple)):
    rows = [row for row in source if isinstance(row, Mapping)]
    if len(rows) < len(source) or not rows:
      raise _checks.refuse(
          'diagnose', 'source', 'a list of dicts of metrics',
          f'a {type(source).__name__} of other things',
          'give losses alone as loss=[...]', TypeError,
      )
    table = _json.of_rows(rows)
  elif hasattr(source, 'keys'):  # a data frame too
    table = _json.of_value({str(k): np.asarray(source[k]) for k in source.keys()})
  elif all(hasattr(source, name) for name in _columns.ROLES):
    found = {name: getattr(source, name) for name in _columns.ROLES}
    return from_arrays('updates', **found)
  else:
    raise _checks.refuse(
        'diagnose', 'source', 'a path, a History, a Log, a list of dicts or a mapping'
        ' of arrays', type(source).__name__, 'see its docstring', TypeError,
    )
  try:
    return from_columns(table, given)
  except ValueError as error:
    raise ValueError(f'diagnose: `source` is no log: {error}') from None


def from_arrays(unit: str, **arrays: Any) -> _log.Log:
  """The log of arrays by name; a number stands for one that is constant."""
  owner = 'diagnose'
  loss = _array(owner, 'loss', arrays['loss'])
  if loss.ndim != 1:
    raise _checks.refuse(
        owner, 'loss', 'an array of shape (rows,)', f'one of shape {loss.shape}',
        'diagnose one run at a time', ValueError,
    )
  values = {'loss': loss}
  for name, value in arrays.items():
    if value is None or name == 'loss':
      continue
    array = _array(owner, name, value)
    if array.shape not in (loss.shape, ()) or (name == 'step' and not array.ndim):
      raise _checks.refuse(
          owner, name, f'of shape {loss.shape}, as `loss` is', f'shape {array.shape}',
          'write NaN where nothing was measured', ValueError,
      )
    values[name] = np.broadcast_to(array, loss.shape)
  return build(values, {}, unit, {}, [])


def _array(owner: str, name: str, value: Any) -> np.ndarray:
  try:
    array = np.asarray(value)
    if array.dtype == object:
      array = np.array([np.nan if v is None else v for v in array.ravel()])
    if np.iscomplexobj(array):
      raise TypeError('complex numbers')
    return array.astype(float)
  except (TypeError, ValueError) as error:
    raise _checks.refuse(
        owner, name, 'real numbers', f'{type(value).__name__} ({error})',
        'pass an array', TypeError,
    ) from None


def build(
    values: dict[str, np.ndarray],
    missing: dict[str, np.ndarray],
    unit: str,
    names: Mapping[str, str],
    notes: list[str],
) -> _log.Log:
  """The log with its rows in order, and one row a step."""
  size = len(values['loss'])
  nothing, no = np.full(size, np.nan), np.zeros(size, bool)
  columns = {role: np.array(values.get(role, nothing)) for role in _columns.ROLES}
  # Where a column is not there at all, nothing was written in any row.
  absent = {role: missing.get(role, no | (role not in values)) for role in columns}
  rates = columns['learning_rate']
  bad = np.isfinite(rates) & (rates < 0)
  if bad.any():
    notes.append(f'{int(bad.sum())} negative learning rates are left out.')
    rates[bad] = np.nan
  for role in ('loss', 'validation_loss'):
    huge = np.abs(columns[role]) >= _HUGE
    columns[role][huge] = np.copysign(np.inf, columns[role][huge])
  columns, absent, unit = _ordered(columns, absent, unit, 'step' in values, notes)
  return _log.Log(
      **columns, unit=unit, missing=absent['loss'],
      validation_missing=absent['validation_loss'], columns=dict(names),
      notes=tuple(notes),
  )


def _ordered(columns, absent, unit, counted, notes):
  step = columns['step']
  known = np.isfinite(step)
  if counted and known.sum() < max(2, len(step) / 2):
    notes.append('Most rows have no step, so rows are counted instead.')
    counted = False
  if counted and len(step) > 1 and np.ptp(step[known]) == 0:
    notes.append('The step is the same in every row, so rows are counted instead.')
    counted = False
  if counted:
    if not known.all():
      notes.append(f'{int((~known).sum())} rows without a step are left out.')
    rows = np.flatnonzero(known)
    order = _order.order(step[rows])
    notes += order.notes
    rows, counted = rows[order.rows], order.counts
    columns = {role: array[rows] for role, array in columns.items()}
    absent = {role: array[rows] for role, array in absent.items()}
  if not counted:
    columns['step'] = np.arange(len(columns['loss']), dtype=float)
    return columns, absent, 'rows'
  return *_merged(columns, absent, notes), unit


def _merged(columns, absent, notes):
  """One row a step: of each array what was written last."""
  step = columns['step']
  new = np.concatenate([[True], np.diff(step) > 0]) if len(step) else step > 0
  if new.all():
    return columns, absent
  place = np.cumsum(new) - 1
  size, twice = int(new.sum()), 0
  merged, gone = {}, {}
  for role, array in columns.items():
    written = ~absent[role]
    merged[role] = np.full(size, np.nan)
    gone[role] = np.ones(size, bool)
    gone[role][place[written]] = False
    # In arrays NaN stands for nothing, too, and must not replace a number.
    told = written if absent[role].any() else ~np.isnan(array)
    merged[role][place[told]] = array[told]  # the last one stays
    if role == 'loss':
      twice = int(written.sum()) - int((~gone[role]).sum())
  if twice:
    notes.append(f'{twice} losses were replaced by a later row of their step.')
  merged['step'] = step[new]
  return merged, gone
