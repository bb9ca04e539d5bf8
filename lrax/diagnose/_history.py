"""What a loop has collected of a run, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from lrax import _checks

# Where each is looked for, unless a name is given; the first that is there.
_NAMES = {
    'step': ('step', 'learning_rate_step', 'monitor_updates'),
    'loss': ('loss', 'monitor_loss'),
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
  """

  step: np.ndarray
  loss: np.ndarray
  validation_loss: np.ndarray
  learning_rate: np.ndarray
  values: Mapping[str, np.ndarray]

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
      'learning_rate_step' and 'monitor_updates' that is there, else 0, 1, 2, ...
    loss: of the training loss; else 'loss', 'monitor_loss'.
    validation_loss: else 'validation_loss', 'val_loss', 'eval_loss'.
    learning_rate: else 'learning_rate', or the largest of those of the groups,
      'learning_rate/...'.

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
  values = _columns(rows)
  length = max((len(x) for x in values.values()), default=len(rows))
  if isinstance(rows, Mapping) and not values:
    length = 0
  given = {
      'step': step,
      'loss': loss,
      'validation_loss': validation_loss,
      'learning_rate': learning_rate,
  }
  nothing = np.full(length, np.nan)
  found = {
      field: _named(values, field, name, nothing) for field, name in given.items()
  }
  rates = [x for name, x in values.items() if name.startswith('learning_rate/')]
  if found['learning_rate'] is nothing and rates:
    found['learning_rate'] = np.fmax.reduce(rates)
  steps = found['step']
  if steps is nothing:
    steps = np.arange(length, dtype=float)
  if not np.all(np.isfinite(steps) & (steps == np.floor(steps))):
    bad = int(np.flatnonzero(~(np.isfinite(steps) & (steps == np.floor(steps))))[0])
    raise _checks.refuse(
        'history', 'step', 'a whole number in every row', float(steps[bad]),
        f'row {bad} has none; name another with step=, or drop the row',
    )
  found['step'] = steps.astype(np.int64)
  return History(**found, values=values)


def _columns(rows: Any) -> dict[str, np.ndarray]:
  """The numbers by name, each (n,)."""
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
  return {name: as_array(x).astype(float) for name, x in kept.items() if told(name)}


def _number(value: Any) -> float | None:
  """A real scalar as a float; None for anything else."""
  try:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind in 'OSUMmc':
      return None
    return float(array.reshape(()))
  except (TypeError, ValueError):
    return None


def _named(
    values: dict[str, np.ndarray], field: str, name: str | None, nothing: np.ndarray
) -> np.ndarray:
  if name is not None and name not in values:
    raise _checks.refuse(
        'history', field, f'one of {sorted(values)}', name,
        'give the name that it has in the rows',
    )
  names = (name,) if name is not None else _NAMES[field]
  return next((values[n] for n in names if n in values), nothing)


def _plain(array: np.ndarray) -> list[Any]:
  if array.dtype.kind == 'i':
    return array.tolist()
  return [x if math.isfinite(x) else None for x in array.tolist()]
