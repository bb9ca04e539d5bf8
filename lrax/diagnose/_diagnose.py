"""`diagnose`: what is wrong with a run, from what it has logged."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax.diagnose import _log
from lrax.diagnose._diagnosis import Diagnosis
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._read_log import read_log
from lrax.diagnose._thresholds import Thresholds


def diagnose(
    source: Any = None,
    *,
    loss: Any = None,
    validation_loss: Any = None,
    learning_rate: Any = None,
    step: Any = None,
    columns: Any = None,
    optimizer: Any = None,
    thresholds: Thresholds | None = None,
) -> Diagnosis:
  """Says what is happening to a run, why, and what to do, from its log.

  Args:
    source: the path of a CSV, JSON or JSONL log; a `Log`; a list of dicts of
      metrics; or a mapping of arrays. None where the arrays are given.
    loss: (rows,), the training loss.
    validation_loss: (rows,), NaN where none was measured. None for none.
    learning_rate: (rows,), or a number where it was constant. None for unknown.
    step: (rows,), optimizer updates. None for unknown.
    columns: for a log with other names: the column of each array by the array's
      name, as {'loss': 'train/ce'}.
    optimizer: what the remedy is written for: 'adamw', 'sgd(momentum=0.9)', ...
    thresholds: the numbers of the rules.

  Returns:
    A `Diagnosis`.

  Raises:
    ValueError: there is no loss.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> lrax.diagnose.diagnose(loss=[1.0, 0.9]).verdict
    'unclear'
  """
  del optimizer
  thresholds = thresholds or Thresholds()
  if isinstance(source, _log.Log):
    log = source
  elif source is not None:
    log = read_log(source, columns)
  else:
    size = len(loss)
    array = lambda x: np.broadcast_to(
        np.asarray(np.nan if x is None else x, float), size
    )
    unit = 'rows' if step is None else 'updates'
    log = _log.Log(
        array(np.arange(size) if step is None else step), array(loss),
        array(validation_loss), array(learning_rate), unit, np.zeros(size, bool),
    )
  count = int(np.isfinite(log.loss).sum())
  few = count < thresholds.points
  steps = (float(log.step[0]), float(log.step[-1]))
  evidence = Evidence(
      'points', f'{count} losses were logged.', count, thresholds.points, steps, few
  )
  return Diagnosis(
      'unclear' if few else 'healthy', evidence.text, (evidence,), '', '', log
  )
