"""`read_log`: a run's log from a file."""

from __future__ import annotations

from collections.abc import Mapping
import os
from pathlib import Path
from typing import Any

from lrax.diagnose import _arrays
from lrax.diagnose import _csv
from lrax.diagnose import _json
from lrax.diagnose import _log


def read_log(path: Any, columns: Mapping[str, str] | None = None) -> _log.Log:
  """Reads the losses and rates of a run from a CSV, JSON or JSONL file.

  Names of columns are guessed, as Keras, Lightning, transformers, TensorBoard and web
  exports write them; of the rates of several groups the largest is taken.
  Separators may be , ; | tabs or spaces; comments, repeated headers, rows that are
  too short or too long, empty cells, thousands and units (1.5k, 300m, 20%) are
  tolerated, and `notes` says what was guessed, cut and skipped.

  Rows are put in the order of their steps, and one without a step between those
  around it. A run that was resumed replaces what it repeats; a few late rows are only
  sorted in. Of two losses of one step the later counts, NaN too. Where most steps have
  several losses, or steps begin again in each epoch, rows are counted instead.

  Args:
    path: the file's path, or an open file.
    columns: the column of 'loss', 'validation_loss', 'learning_rate' or 'step',
      as {'loss': 'train/ce'}; the others are guessed.

  Returns:
    A `Log`.

  Raises:
    OSError: the file cannot be opened.
    TypeError: `path` is no path and no open file.
    ValueError: the file is no log, has no loss, or its numbers are ambiguous; in
      one line.

  Source:
    lrax's own.

  Example:
    >>> import pathlib, tempfile
    >>> import lrax
    >>> path = pathlib.Path(tempfile.mkdtemp(), 'log.csv')
    >>> _ = path.write_text('epoch;train loss\\n1;0,5\\n2;0,25\\n')
    >>> log = lrax.diagnose.read_log(path)
    >>> log.loss, log.unit
    (array([0.5 , 0.25]), 'epochs')
  """
  if hasattr(path, 'read'):
    name, data = getattr(path, 'name', 'the open file'), path.read()
  elif isinstance(path, (str, os.PathLike)):
    name, data = os.fspath(path), Path(path).read_bytes()
  else:
    raise TypeError(
        f'read_log: `path` must be a path or an open file, got {type(path).__name__};'
        ' give arrays to lrax.diagnose.diagnose.'
    )
  try:
    text = _decode(data) if isinstance(data, bytes) else data.lstrip('\ufeff')
    return _arrays.from_columns(_table(text), columns)
  except ValueError as error:
    raise ValueError(f'read_log: {name} is no log: {error}'.rstrip('.') + '.') from None


def _table(text: str) -> _csv.Table:
  start = text.lstrip()
  if not start:
    raise ValueError('it is empty')
  if start[0] in '{[':
    return _json.table(text)
  if start[0] == '<':
    raise ValueError('it is HTML or XML')
  return _csv.table(text)


def _decode(data: bytes) -> str:
  """The text of a file, its byte order mark taken off."""
  if data[:2] in (b'\xff\xfe', b'\xfe\xff'):
    return data.decode('utf-16')
  if b'\0' in data[:65536]:
    raise ValueError('it is binary')
  try:
    return data.decode('utf-8-sig')
  except UnicodeDecodeError:
    text = data.decode('latin-1')
  odd = sum(not (c.isprintable() or c in '\r\n\t') for c in text[:65536])
  if odd > len(text[:65536]) / 50:
    raise ValueError('it is binary')
  return text
