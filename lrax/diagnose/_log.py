"""`Log`: what a run has written of itself, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Log:
  """A run's log as arrays of one length, in the order of its steps.

  Attributes:
    step: float64, (rows,): rising; what it counts is `unit`.
    loss: float64, (rows,): the training loss; NaN where it was NaN or none was
      written.
    validation_loss: float64, (rows,): likewise; all NaN where there is none.
    learning_rate: float64, (rows,): likewise.
    unit: 'updates' where a step is an optimizer update, 'epochs', or 'rows'
      where nothing was counted and the rows are.
    missing: bool, (rows,): where no loss was written at all.
    validation_missing: bool, (rows,): likewise for the validation loss.
    columns: the name that each array had in the log, by the array's name.
    notes: what was guessed, skipped or put in order, in plain words.
    gradient_norm: float64, (rows,): what a monitor measured of all parameters, the
      latest when the row was written; all NaN where there was none, and so below.
    update_norm: float64, (rows,).
    cosine: float64, (rows,): between successive updates.
  """

  step: np.ndarray
  loss: np.ndarray
  validation_loss: np.ndarray
  learning_rate: np.ndarray
  unit: str = 'updates'
  missing: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, bool))
  validation_missing: np.ndarray = dataclasses.field(
      default_factory=lambda: np.zeros(0, bool)
  )
  columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()
  gradient_norm: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
  update_norm: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
  cosine: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

  def __post_init__(self):
    for name in ('missing', 'validation_missing'):
      if not len(getattr(self, name)):
        object.__setattr__(self, name, np.zeros(len(self.step), bool))
    for name in ('gradient_norm', 'update_norm', 'cosine'):
      if not len(getattr(self, name)):
        object.__setattr__(self, name, np.full(len(self.step), np.nan))

  def __len__(self) -> int:
    return len(self.step)

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; what is not finite as None."""
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    return {name: plain(value) for name, value in fields.items()}


def plain(value: Any) -> Any:
  """Plain Python of arrays and numbers, None where they are not finite."""
  if isinstance(value, np.ndarray):
    value = value.tolist()
  if isinstance(value, (tuple, list)):
    return [plain(v) for v in value]
  if isinstance(value, Mapping):
    return {k: plain(v) for k, v in value.items()}
  if isinstance(value, (float, np.floating)):
    return float(value) if np.isfinite(value) else None
  return value.item() if isinstance(value, np.generic) else value
