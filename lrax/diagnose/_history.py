"""What a loop has collected of a run, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from lrax import _checks
from lrax.diagnose import _columns

# Where each is looked for first, unless a name is given.
_NAMES = {
    'step': ('step', 'learning_rate_step', 'monitor_updates'),
    'loss': ('loss',),
    'validation_loss': ('validation_loss', 'val_loss', 'eval_loss'),
    'learning_rate': ('learning_rate',),
}


@dataclasses.dataclass(frozen=True, eq=False)
class History:
  """What a run was like, one entry for each logged step.

  Attributes:
    step: (n,) int64, the optimizer's updates.
    loss: (n,) float64, of the training; NaN where none was logged, and so below.
    validation_loss: (n,) float64.
    learning_rate: (n,) float64; of several groups the largest.
    values: by name, (n,) float64: everything that was logged, such as
      `monitor_update_ratio/head`.
    missing: (n,) bool: where no loss was logged at all, not even NaN.
    validation_missing: (n,) bool: likewise for the validation loss.
  """

  step: np.ndarray
  loss: np.ndarray
  validation_loss: np.ndarray
  learning_rate: np.ndarray
  values: Mapping[str, np.ndarray]
  missing: np.ndarray
  validation_missing: np.ndarray

  @property
  def groups(self) -> tuple[str, ...]:
    """The groups that a monitor has measured, in order."""
    split = [name.split('/', 1) for name in self.values if '/' in name]
    found = [group for name, group in split if name.startswith('monitor_')]
    return tuple(dict.fromkeys(found))

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; what is not finite as None, so that it is JSON."""
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    values = {name: _plain(array) for name, array in fields.pop('values').items()}
    return {name: _plain(array) for name, array in fields.items()} | {'values': values}


def history(
    rows: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    *,
    step: str | None = None,
    loss: str | None = None,
    validation_loss: str | None = None,
    learning_rate: str | None = None,
) -> History:
  """Makes arrays of what a training loop has collected.

  Args:
    rows: a list of dicts, one for each logged step, such as `lrax.metrics(state)`
      and a loss; what a dict lacks is NaN there. Or a dict of arrays of one length,
      as `jax.lax.scan` stacks them. Values that are no real number, such as texts,
      are NaN; names of which all are so are left out.
    step: the name of the step; where it is None, the first of 'step',
      'learning_rate_step' and 'monitor_updates' that is there, else another of
      updates, as 'global_step', else 0, 1, 2, ...
    loss: of the training loss; else 'loss' or a name that says so, as 'train_loss',
      and if there is none 'monitor_loss', unless that is NaN in every row: then the
      monitor has seen none.
    validation_loss: else 'validation_loss', 'val_loss', 'eval_loss', or the like.
    learning_rate: else 'learning_rate' or the like, or the largest of those of the
      groups, 'learning_rate/...'.

  Returns:
    A `History`.

  Raises:
    TypeError: `rows` is of another kind.
    ValueError: arrays differ in length or have several axes, a name that was given
      is nowhere, or a step is missing or no whole number.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> rows = [{'step': 1, 'loss': 2.0}, {'step': 2, 'loss': 1.5, 'accuracy': 0.5}]
    >>> found = lrax.diagnose.history(rows)
    >>> found.step.tolist(), found.loss.tolist(), found.values['accuracy'].tolist()
    ([1, 2], [2.0, 1.5], [nan, 0.5])
  """
  values, gone = _numbers(rows)
  length = max((len(x) for x in values.values()), default=len(rows))
  if isinstance(rows, Mapping) and not values:
    length = 0
  given = {
      'step': step,
      'loss': loss,
      'validation_loss': validation_loss,
      'learning_rate': learning_rate,
  }
  for field, name in given.items():
    if name is not None and name not in values:
      raise _checks.refuse(
          'history', field, f'one of {sorted(values)}', name,
          'give the name that it has in the rows',
      )
  names = _guessed(values) | {k: (name,) for k, name in given.items() if name}
  nothing, none = np.full(length, np.nan), np.ones(length, bool)
  found = {field: _of(values, at, nothing) for field, at in names.items()}
  missing = {field: _of(gone, at, none) for field, at in names.items()}
  steps = found['step']
  if not names['step']:
    steps = np.arange(length, dtype=float)
  if not _whole(steps).all():
    bad = int(np.flatnonzero(~_whole(steps))[0])
    raise _checks.refuse(
        'history', 'step', 'a whole number in every row', float(steps[bad]),
        f'row {bad} has none; name another with step=, or drop the row',
    )
  found['step'] = steps.astype(np.int64)
  return History(
      **found, values=values, missing=missing['loss'],
      validation_missing=missing['validation_loss'],
  )


def _guessed(values: dict[str, np.ndarray]) -> dict[str, tuple[str, ...]]:
  """The names of each array, of which there are several for the rates of groups."""
  ranked = _columns.ranked(
      name for name, array in values.items()
      if not (_columns.is_of_monitor(name) and np.isnan(array).all())
  )
  ranked['step'] = [
      name for name in ranked['step']
      if _columns.unit(name) == 'updates' and _whole(values[name]).all()
  ]
  first = {k: [n for n in names if n in values] for k, names in _NAMES.items()}
  names = {k: (*first[k], *ranked[k])[:1] for k in _NAMES}
  if not first['learning_rate']:
    names['learning_rate'] = _columns.groups(ranked['learning_rate'])
  return names


def _of(
    arrays: dict[str, np.ndarray], names: Sequence[str], otherwise: np.ndarray
) -> np.ndarray:
  return np.fmax.reduce([arrays[n] for n in names]) if names else otherwise


def _whole(steps: np.ndarray) -> np.ndarray:
  return np.isfinite(steps) & (steps == np.floor(steps))


def _numbers(rows: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """The numbers by name, each (n,), and where there are none."""
  if isinstance(rows, Mapping):
    columns = {str(name): np.asarray(x) for name, x in rows.items()}
    shapes = {x.shape for x in columns.values()}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
      shown = {name: x.shape for name, x in columns.items()}
      raise _checks.refuse(
          'history', 'rows', 'arrays of one axis and one length', shown,
          'of several runs take one, as x[0]',
      )
    raw = {name: list(x) for name, x in columns.items()}
  elif isinstance(rows, Sequence) and all(isinstance(r, Mapping) for r in rows):
    names = dict.fromkeys(str(name) for row in rows for name in row)
    named = [{str(name): value for name, value in row.items()} for row in rows]
    raw = {name: [row.get(name) for row in named] for name in names}
  else:
    raise _checks.refuse(
        'history', 'rows', 'a list of dicts or a dict of arrays', type(rows).__name__,
        'collect lrax.metrics(state) at each logged step', TypeError,
    )
  kept = {name: [_number(x) for x in column] for name, column in raw.items()}
  told = lambda name: not kept[name] or any(x is not None for x in kept[name])
  as_array = lambda column: np.array([math.nan if x is None else x for x in column])
  kept = {name: x for name, x in kept.items() if told(name)}
  gone = {name: np.array([x is None for x in y], bool) for name, y in kept.items()}
  return {name: as_array(x).astype(float) for name, x in kept.items()}, gone


def _number(value: Any) -> float | None:
  """A real scalar as a float; None for anything else."""
  try:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind in 'OSUMmc':
      return None
    return float(array.reshape(()))
  except (TypeError, ValueError):
    return None


def _plain(array: np.ndarray) -> list[Any]:
  if array.dtype.kind == 'i':
    return array.tolist()
  return [x if math.isfinite(x) else None for x in array.tolist()]
