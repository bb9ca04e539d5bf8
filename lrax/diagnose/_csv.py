"""The columns of a table in a text: CSV, and what is nearly CSV."""

from __future__ import annotations

import csv
import re
from typing import Any
from typing import NamedTuple

from lrax.diagnose import _cells
from lrax.diagnose import _columns

_DELIMITERS = ('\t', ';', '|', ',', ' ')
_LOOKED_AT = 50  # rows by which the form of a table is judged


class Table(NamedTuple):
  """The columns of a log by name, and what was skipped in words."""

  columns: dict[str, list[Any]]
  notes: list[str]


def table(text: str) -> Table:
  """The columns of a text with one row a line.

  Raises:
    ValueError: it is no table of numbers.
  """
  notes: list[str] = []
  lines, comments = _lines(text)
  if not lines:
    raise ValueError('it has no rows')
  delimiter = _delimiter(lines)
  rows = _rows(lines[:_LOOKED_AT], delimiter)
  place = next((i for i, row in enumerate(rows) if _is_header(row)), None)
  if place is not None:
    header = rows[place]
    if place:
      notes.append(f'{_many(place, "row")} before the header skipped.')
    again = lines.count(lines[place]) - 1
    if again:
      notes.append(f'{_many(again, "repeated header")} skipped.')
    body = [line for line in lines[place + 1 :] if line != lines[place]]
  else:
    header = _commented(comments, delimiter, rows)
    body = lines
    if header is None:
      header = _unnamed(rows, notes)
      body = lines if _cells.is_number(rows[0][-1]) else lines[1:]
  if not body:
    raise ValueError('it has a header and no rows')
  return Table(_split([name.strip() for name in header], body, delimiter, notes), notes)


def _lines(text: str) -> tuple[list[str], list[str]]:
  """The rows as text, and the comments among them."""
  if '#' not in text and '//' not in text and '\n\n' not in text:
    return text.splitlines(), []
  lines, comments = [], []
  for line in text.splitlines():
    start = line.lstrip()
    if start.startswith(('#', '//')):
      comments.append(start.lstrip('#/ \t'))
    elif start:
      lines.append(line)
  return lines, comments


def _delimiter(lines: list[str]) -> str:
  """What splits most of the first rows into as many cells, at least two."""
  sample = lines[: _LOOKED_AT + 1]
  best, score = ',', 0.0
  for delimiter in _DELIMITERS:
    lengths = [len(row) for row in _rows(sample, delimiter)]
    usual = max(set(lengths), key=lengths.count)
    share = lengths.count(usual) / len(lengths) if usual > 1 else 0.0
    header = lengths[0] > 1  # cells that a decimal comma splits have no names
    if header and share > score + 0.2:
      best, score = delimiter, share
  return best


def _rows(lines: list[str], delimiter: str) -> list[list[str]]:
  if delimiter == ' ':
    return [[cell.strip('"') for cell in line.split()] for line in lines]
  reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
  try:
    return [row for row in reader if row]
  except csv.Error as error:
    raise ValueError(f'it is no table ({error})') from error


def _is_header(row: list[str]) -> bool:
  """Whether a row holds names: one that is a loss's, or all of them words."""
  wordy = [cell for cell in row if cell.strip() and not _cells.is_number(cell)]
  if len(wordy) < max(1, sum(bool(cell.strip()) for cell in row) - 1):
    return False
  return any(set(_columns.words(cell)) & _columns.KNOWN for cell in wordy)


def _commented(
    comments: list[str], delimiter: str, rows: list[list[str]]
) -> list[str] | None:
  """A header that a comment holds, as NumPy writes it."""
  for line in comments:
    row = _rows([line], delimiter)[0] if line else []
    if len(row) == len(rows[0]) and _is_header(row):
      return row
  return None


def _unnamed(rows: list[list[str]], notes: list[str]) -> list[str]:
  """Names for a table without a header, if its first row is of numbers."""
  first = rows[0]
  if not all(_cells.is_number(cell) or not cell.strip() for cell in first):
    if all(len(row) == 1 for row in rows[:_LOOKED_AT]):
      raise ValueError('it is no table')
    return first
  if len(first) == 1:
    notes.append('Without a header, its one column is taken for the loss.')
    return ['loss']
  return [f'column {i + 1}' for i in range(len(first))]


def _split(
    header: list[str], lines: list[str], delimiter: str, notes: list[str]
) -> dict[str, list[Any]]:
  """The cells of each column, of rows of any length."""
  while header and not header[-1]:
    header.pop()
  width = len(header)
  columns: dict[str, list[Any]] = {}
  for name, cells in zip(header, _by_column(lines, delimiter, width, notes)):
    if name in columns and name:
      notes.append(f'The column {name!r} is there twice: the first is taken.')
    elif name:
      columns[name] = cells
  return columns


def _by_column(
    lines: list[str], delimiter: str, width: int, notes: list[str]
) -> list[list[str]]:
  even = delimiter != ' ' and {line.count(delimiter) for line in lines} == {width - 1}
  whole = delimiter.join(lines)
  if even and '"' not in whole:  # a million rows in about a second
    flat = whole.split(delimiter)
    return [flat[i::width] for i in range(width)]
  rows = _rows(lines, delimiter)
  if _are_numbered(rows, width, delimiter):
    notes.append('The first column has no name and numbers the rows: left out.')
    rows = [row[1:] for row in rows]
  long = sum(len(row) > width and any(c.strip() for c in row[width:]) for row in rows)
  short = sum(len(row) < width for row in rows)
  if long > len(rows) / 2:
    if delimiter != ',':
      raise ValueError(f'it is no table: rows have more than {width} cells')
    raise ValueError(
        f'its rows have more cells than its {width} names; where decimals are'
        ' written with a comma, separate the cells with ;'
    )
  if short:
    notes.append(f'{_many(short, "row")} shorter than the header and filled up.')
  if long:
    notes.append(f'{_many(long, "row")} longer than the header and cut.')
  return [[row[i] if i < len(row) else '' for row in rows] for i in range(width)]


def _are_numbered(rows: list[list[str]], width: int, delimiter: str) -> bool:
  """Whether every row has one cell more than names, and the first counts them.

  Between commas, 1,2,5 may be 2.5 at step 1: only decimal points show that it is not.
  """
  if any(len(row) != width + 1 for row in rows):
    return False
  if not any(row[-1].strip() for row in rows):
    return False
  first = rows[0][0]
  if first not in ('0', '1') or any(
      row[0] != str(at) for at, row in enumerate(rows, start=int(first))
  ):
    return False
  points = any(re.search(r'\d\.\d', cell) for row in rows for cell in row[1:])
  return delimiter != ',' or points


def _many(count: int, what: str) -> str:
  return f'{count} {what} was' if count == 1 else f'{count} {what}s were'
