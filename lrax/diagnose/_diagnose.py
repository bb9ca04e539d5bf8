"""`diagnose`: what is wrong with a run, from what it has logged."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np

from lrax import _checks
from lrax.diagnose import _arrays
from lrax.diagnose import _case
from lrax.diagnose import _log
from lrax.diagnose import _optimizer
from lrax.diagnose import _read_log
from lrax.diagnose import _remedy
from lrax.diagnose import _rules
from lrax.diagnose._diagnosis import Diagnosis
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
      metrics, or the `History` of them; or a mapping of arrays. None where the
      arrays are given. Where `lrax.metrics` of a `lrax.diagnose.monitor` are in it,
      the rules take the noise that they tell of.
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
  limits = Thresholds() if thresholds is None else thresholds
  if not isinstance(limits, Thresholds):
    raise _checks.refuse(
        'diagnose', 'thresholds', 'lrax.diagnose.Thresholds', thresholds,
        'for example Thresholds(points=30)', TypeError,
    )
  written = _optimizer.Written(optimizer)
  arrays = {
      'loss': loss, 'validation_loss': validation_loss,
      'learning_rate': learning_rate, 'step': step,
  }
  log = _log_of(source, arrays, columns)
  with np.errstate(all='ignore'):  # what overflows is judged, not warned of
    verdict, reason, evidence = _rules.judge(_case.case(log, limits))
  remedy = _remedy.remedy(verdict, log, written)
  return Diagnosis(verdict, reason, evidence, remedy.code, remedy.advice, log)


def _log_of(source: Any, arrays: dict[str, Any], columns: Any) -> _log.Log:
  given = [name for name, array in arrays.items() if array is not None]
  if source is None:
    if 'loss' not in given:
      raise _checks.refuse(
          'diagnose', 'loss', 'given where there is no `source`', None,
          'pass the path of a log, or loss=[...]',
      )
    return _arrays.from_arrays('updates' if 'step' in given else 'rows', **arrays)
  rate = arrays['learning_rate']
  others = [name for name in given if name != 'learning_rate' or np.ndim(rate)]
  if others:
    raise _checks.refuse(
        'diagnose', others[0], 'None beside a `source`',
        type(arrays[others[0]]).__name__,
        'give the arrays or the log; beside a log only a rate that is one number',
    )
  if isinstance(source, _log.Log):
    log = source
  elif isinstance(source, (str, os.PathLike)) or hasattr(source, 'read'):
    log = _read_log.read_log(source, columns)
  else:
    log = _arrays.from_value(source, columns)
  if rate is not None:
    rate = _checks.rate('diagnose', 'learning_rate', rate)
    log = dataclasses.replace(log, learning_rate=np.full(len(log), float(rate)))
  return log
