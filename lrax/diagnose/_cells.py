"""Numbers from the cells of a log, however they are written."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
import decimal
import re
from typing import Any
from typing import NamedTuple

import numpy as np

_NOTHING = {'', '-', '--', '<na>', 'n/a', 'na', 'nil', 'none', 'null', 'undefined'}
_NOT_FINITE = re.compile(
    r'([+-]?)(?:1\.#)?(nan|inf(?:inity)?|qnan|ind|snan)\b.*', re.IGNORECASE
)
_NUMBER = r'[+-]?(?:\d[\d,._\u00a0\u202f\']*|\.\d+)(?:[eE][+-]?\d+)?'
# tensor(0.5, device='cuda:0'), [0.5], 0.5 nats, 12/100, 35%
_DRESSED = re.compile(rf'(?:[\w.]*[\[(]\s*)?({_NUMBER})(\s*[A-Za-z%/|\])µ,].*)?')
_UNIT = re.compile(r'\s*([kKmMGBµ%])(?![A-Za-z]).*')
_POWERS = {'k': 3, 'K': 3, 'M': 6, 'G': 9, 'B': 9, 'm': -3, 'µ': -6, '%': -2}  # of 10
_OVER = re.compile(rf'\s*/\s*({_NUMBER})\s*')
_THOUSANDS = r'[1-9]\d{0,2}(?:\.\d{3})+'  # with points, beside decimal commas


class Numbers(NamedTuple):
  """The cells of a column as numbers."""

  values: np.ndarray  # float64, (rows,): NaN where no number
  missing: np.ndarray  # bool, (rows,): nothing was written
  strange: tuple[int, str]  # how many cells were no number at all, and the first
  notes: tuple[str, ...] = ()  # of what else was in the cells


def numbers(cells: Sequence[Any], name: str) -> Numbers:
  """The numbers of a column; of texts, or of values that JSON gave.

  Raises:
    ValueError: a comma may be a decimal one or one of thousands.
  """
  for fill in (False, True):  # the usual cases, at the speed of C
    try:
      full = ['nan' if cell == '' else cell for cell in cells] if fill else cells
      values = np.array(list(map(float, full)), float)
      missing = np.array([cell == '' for cell in cells] if fill else [False], bool)
      return Numbers(values, np.broadcast_to(missing, values.shape), (0, ''))
    except (TypeError, ValueError, OverflowError):
      continue
  values = np.full(len(cells), np.nan)
  missing = np.zeros(len(cells), bool)
  dressed: list[tuple[int, str]] = []
  for row, cell in enumerate(cells):
    try:
      values[row] = float(cell)
      continue
    except (TypeError, ValueError):
      pass
    except OverflowError:
      values[row] = np.inf
      continue
    text = '' if cell is None else str(cell).strip()
    if text.lower() in _NOTHING:
      missing[row] = True
    else:
      dressed.append((row, text))
  strange, first, plain = 0, '', []
  for row, text in dressed:
    odd = _NOT_FINITE.fullmatch(text)
    match = _DRESSED.fullmatch(text)
    if odd:
      sign = -1.0 if odd[1] == '-' else 1.0
      values[row] = sign * np.inf if odd[2].lower().startswith('inf') else np.nan
    elif match:
      plain.append((row, match[1].rstrip(',.'), match[2] or ''))
    else:
      first = first or text
      strange, missing[row] = strange + 1, True
  read = _reader([text for _, text, _ in plain], name)
  scaled, cut = [], []
  for row, text, rest in plain:
    unit, over = _UNIT.fullmatch(rest), _OVER.fullmatch(rest)
    try:
      number = decimal.Decimal(read(text))
      if over and name == 'learning_rate':
        number = number / decimal.Decimal(read(over[1]))
      elif unit:
        million = unit[1] == 'm' and name == 'step'
        number = number.scaleb(6 if million else _POWERS[unit[1]])
        scaled.append((text + rest, float(number)))
      elif rest.strip(' )]|'):
        cut.append(text + rest)
      values[row] = float(number)
    except (ValueError, ArithmeticError):
      first = first or text
      strange, missing[row] = strange + 1, True
  notes = []
  if scaled:
    text, number = scaled[0]
    notes.append(f'{len(scaled)} have a unit: {text!r} is read as {number:g}.')
  if cut:
    notes.append(f'{len(cut)} have more than a number, which is cut, as {cut[0]!r}.')
  return Numbers(values, missing, (strange, first), tuple(notes))


def without_thousands(
    cells: Sequence[Any], others: Iterable[Sequence[Any]]
) -> Sequence[Any]:
  """Steps such as 1.000 without their points, where decimals have commas elsewhere."""
  step = re.compile(rf'{_THOUSANDS}|\d{{1,3}}|')
  texts = [cell.strip() for cell in cells if isinstance(cell, str)]
  if len(texts) < len(cells) or not any('.' in text for text in texts):
    return cells
  if not all(step.fullmatch(text) for text in texts):
    return cells
  comma = re.compile(r'[+-]?\d[\d.]*,\d+(e[+-]?\d+)?', re.IGNORECASE)
  if not any(comma.fullmatch(str(c).strip()) for column in others for c in column):
    return cells
  return [text.replace('.', '') for text in texts]


def is_number(cell: Any) -> bool:
  """Whether a cell of a table holds a number, or none that is finite."""
  try:
    float(cell)
    return True
  except (TypeError, ValueError):
    pass
  text = str(cell).strip()
  return bool(_DRESSED.fullmatch(text) or _NOT_FINITE.fullmatch(text))


def _reader(texts: list[str], name: str) -> Any:
  """The function that takes thousands out and makes a decimal comma a point."""
  commas = [t for t in texts if ',' in t]
  drop = lambda t: re.sub(r"[\u00a0\u202f_']", '', t)
  thousands = lambda t: drop(t).replace(',', '')
  pointed = lambda t: drop(t).replace('.', '').replace(',', '.')
  if not commas:
    return drop
  groups = re.compile(r'[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?')
  one = re.compile(r'[+-]?[1-9]\d{0,2},\d{3}')
  if all(groups.fullmatch(t) for t in commas):
    if any(not one.fullmatch(t) for t in commas) or name == 'step':
      return thousands
    raise ValueError(
        f"a comma in the {name} column, as in '{commas[0]}', may be of thousands or"
        ' of decimals; write decimals with a point.'
    )
  if all(re.fullmatch(r'[+-]?[\d.]*,\d*(e[+-]?\d+)?', t, re.I) for t in commas):
    return pointed
  return thousands
