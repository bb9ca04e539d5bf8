"""A `Log` of columns, of rows, or of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lrax import _checks
from lrax.diagnose import _cells
from lrax.diagnose import _columns
from lrax.diagnose import _csv
from lrax.diagnose import _history
from lrax.diagnose import _json
from lrax.diagnose import _log
from lrax.diagnose import _merge
from lrax.diagnose import _order
from lrax.diagnose import _steps

_HUGE = 1e100  # no loss is; a sum of squares of it would not be finite


def from_columns(
    table: _csv.Table, given: Mapping[str, str] | None, arrays: bool = False
) -> _log.Log:
  """The log of the columns of a file.

  Args:
    table: the columns.
    given: the names of some.
    arrays: whether NaN may stand for nothing.

  Raises:
    ValueError: there is no loss among them.
  """
  named = (given or {}).values()
  unseen = [
      name for name, cells in table.columns.items()
      if _columns.is_of_monitor(name) and name not in named
      and np.isnan(_cells.numbers(cells, 'loss').values).all()
  ]
  chosen = _columns.choose(list(table.columns), given, unseen)
  notes = [*table.notes, *chosen.notes]
  found = {}
  for role, name in chosen.names.items():
    cells = table.columns[name]
    if role == 'step':
      others = [table.columns[n] for n in chosen.names.values() if n != name]
      cells = _cells.without_thousands(cells, others)
      if cells is not table.columns[name]:
        notes.append(f'The points in the column {name!r} are those of thousands.')
    found[role] = _cells.numbers(cells, role)
    notes += [f'Of the cells of {name!r}, {note}' for note in found[role].notes]
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
  watched = _columns.watched(table.columns, chosen.names['loss'])
  watched |= {k: v for k, v in (given or {}).items() if k in _columns.WATCHED}
  for role, name in watched.items():
    found[role] = _cells.numbers(table.columns[name], role)
  missing = {role: column.missing for role, column in found.items()}
  values = {role: column.values for role, column in found.items()}
  for name in chosen.rates[1:]:
    rate = _cells.numbers(table.columns[name], 'learning_rate').values
    values['learning_rate'] = np.fmax(values['learning_rate'], rate)
    missing['learning_rate'] = np.isnan(values['learning_rate'])
  epoch = None
  if chosen.epoch is not None:
    epoch = _cells.numbers(table.columns[chosen.epoch], 'step').values
  return build(
      values, missing, chosen.unit, chosen.names | watched, notes, arrays=arrays,
      epoch=epoch,
  )


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
    table, arrays = _json.of_rows(rows), False
  elif hasattr(source, 'keys'):  # a data frame too
    table = _json.of_value({str(k): np.asarray(source[k]) for k in source.keys()})
    arrays = True
  elif isinstance(source, _history.History):
    found = {name: getattr(source, name) for name in _columns.ROLES}
    watched = _columns.watched(source.values)
    found |= {role: source.values[name] for role, name in watched.items()}
    missing = {'loss': source.missing, 'validation_loss': source.validation_missing}
    return from_arrays('updates', missing, **found)
  else:
    raise _checks.refuse(
        'diagnose', 'source', 'a path, a History, a Log, a list of dicts or a mapping'
        ' of arrays', type(source).__name__, 'see its docstring', TypeError,
    )
  try:
    return from_columns(table, given, arrays)
  except ValueError as error:
    raise ValueError(f'diagnose: `source` is no log: {error}') from None


def from_arrays(
    unit: str, missing: dict[str, np.ndarray] | None = None, **arrays: Any
) -> _log.Log:
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
  return build(values, missing or {}, unit, {}, [])


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
    *,
    arrays: bool = True,
    epoch: np.ndarray | None = None,
) -> _log.Log:
  """The log with its rows in order, and one row a step."""
  size = len(values['loss'])
  nothing, no = np.full(size, np.nan), np.zeros(size, bool)
  roles = (*_columns.ROLES, *_columns.WATCHED)
  columns = {role: np.array(values.get(role, nothing)) for role in roles}
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
  counted = 'step' in values and _steps.counts(columns['step'], notes)
  if counted:
    kept = ~_steps.empty(columns['step'], absent)
    epoch = (nothing if epoch is None else epoch)[kept]
    columns = {role: array[kept] for role, array in columns.items()}
    absent = {role: array[kept] for role, array in absent.items()}
    columns['step'] = _steps.filled(columns['step'], notes)
    columns, absent, counted = _in_order(columns, absent, epoch, arrays, notes)
  if not counted:
    columns['step'] = np.arange(len(columns['loss']), dtype=float)
  return _log.Log(
      **columns, unit=unit if counted else 'rows', missing=absent['loss'],
      validation_missing=absent['validation_loss'], columns=dict(names),
      notes=tuple(notes),
  )


def _in_order(columns, absent, epoch, arrays, notes):
  """The rows in order, one a step; and False where rows must be counted instead."""
  told = _merge.written(columns, absent, 'loss', arrays)
  broken = told & ~np.isfinite(columns['loss'])
  order = _order.order(columns['step'], told, broken, epoch)
  notes += order.notes
  columns = {role: array[order.rows] for role, array in columns.items()}
  absent = {role: array[order.rows] for role, array in absent.items()}
  if not order.counts:
    return columns, absent, False
  if _merge.repeats(columns['step'], told[order.rows]):
    notes.append('Most steps have several losses, so rows are counted instead.')
    return columns, absent, False
  return *_merge.merged(columns, absent, arrays, notes), True
