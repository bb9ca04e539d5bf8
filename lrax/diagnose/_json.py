"""The columns of a log in JSON: an object, a list of objects, or one a line."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import json
from typing import Any

from lrax.diagnose import _csv


def table(text: str) -> _csv.Table:
  """The columns of a text that begins as JSON does.

  Raises:
    ValueError: it is no JSON, or holds no log.
  """
  try:
    found = json.loads(text)
  except (ValueError, RecursionError):
    return _lines(text)
  return of_value(found)


def of_value(found: Any) -> _csv.Table:
  """The columns of a value: rows as dicts, or a dict of arrays."""
  if isinstance(found, Mapping):
    for name in ('log_history', 'history'):  # of transformers, of Keras
      if isinstance(found.get(name), (list, Mapping)):
        return of_value(found[name])
    lists = {k: list(v) for k, v in found.items() if _is_list(v)}
    if lists:
      return _of_arrays(lists)
    found = [found]
  if not isinstance(found, list):
    raise ValueError('it is JSON, and no list of objects nor an object of lists')
  rows = [row for row in found if isinstance(row, Mapping)]
  if not rows:
    raise ValueError('it is a list without objects; write [{"loss": ...}, ...]')
  return of_rows(rows, len(found) - len(rows))


def of_rows(rows: Sequence[Mapping[Any, Any]], skipped: int = 0) -> _csv.Table:
  """The columns of rows that need not have the same keys."""
  flat = [_flat(row) for row in rows]
  names = dict.fromkeys(name for row in flat for name in row)
  notes = [f'{skipped} entries that are no objects were skipped.'] if skipped else []
  return _csv.Table({n: [row.get(n) for row in flat] for n in names}, notes)


def _of_arrays(lists: dict[Any, list[Any]]) -> _csv.Table:
  sizes = [len(v) for v in lists.values()]
  size = max(set(sizes), key=sizes.count)
  other = [str(k) for k, v in lists.items() if len(v) != size]
  columns = {str(k): v for k, v in lists.items() if len(v) == size}
  told = f'{", ".join(map(repr, other))} of another length than the others: left out.'
  return _csv.Table(columns, [told] if other else [])


def _lines(text: str) -> _csv.Table:
  rows, bad = [], 0
  for line in text.splitlines():
    line = line.strip().rstrip(',')
    if not line or line.startswith(('#', '//')):
      continue
    try:
      row = json.loads(line)
    except (ValueError, RecursionError):
      row = None
    if isinstance(row, Mapping):
      rows.append(row)
    else:
      bad += 1
  if not rows or bad > len(rows):
    raise ValueError('it begins as JSON and is none')
  found = of_rows(rows)
  if bad:
    found.notes.append(f'{bad} lines that are no JSON objects were skipped.')
  return found


def _flat(row: Mapping[Any, Any], before: str = '') -> dict[str, Any]:
  """Nested objects by their path, as 'train/loss'; scalars only."""
  flat: dict[str, Any] = {}
  for name, value in row.items():
    if isinstance(value, Mapping):
      flat |= _flat(value, f'{before}{name}/')
    elif not _is_list(value):
      flat[f'{before}{name}'] = value
  return flat


def _is_list(value: Any) -> bool:
  return isinstance(value, (list, tuple)) or bool(getattr(value, 'ndim', 0))
