"""A log with what was measured in it, as the rules take it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrax.diagnose import _log
from lrax.diagnose import _rate_noise
from lrax.diagnose import _signs
from lrax.diagnose import _validation
from lrax.diagnose import _waves
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._thresholds import Thresholds


class Case(NamedTuple):
  """A log and what was measured in it."""

  log: _log.Log
  limits: Thresholds
  rate: _signs.Rate
  loss: _signs.Training | None
  validation: _validation.Validation | None
  gap: _signs.Gap
  validation_gap: _signs.Gap
  waves: bool  # the rate has waves, and the loss goes with them
  rate_noise: _rate_noise.Noise

  def sign(
      self, name: str, text: str, value: float, limit: float, there: bool,
      first: float | None = None, last: float | None = None,
  ) -> Evidence:
    """The evidence of one sign; its steps are those of the whole log if not given."""
    step = self.log.step
    whole = (float(step[0]), float(step[-1])) if len(step) else (0.0, 0.0)
    steps = (whole[0] if first is None else first, whole[1] if last is None else last)
    return Evidence(name, text, float(value), float(limit), steps, bool(there))

  @property
  def fell(self) -> bool:
    """Whether the loss fell beyond its noise, by the fit or by its levels."""
    loss, limits = self.loss, self.limits
    return loss is not None and (
        loss.sure >= limits.fall_sure or loss.surely >= limits.levels_sure
    )

  @property
  def blind(self) -> bool:
    """Whether there is nothing but the losses of batches to judge by."""
    return self.validation is None and not self.watched

  @property
  def watched(self) -> bool:
    """Whether a monitor tells how much noise the rate makes."""
    return bool(np.isfinite(self.noise))

  @property
  def noise(self) -> float:
    """The part of the loss that a lower rate would gain; NaN where unknown."""
    return self.rate_noise.part

  @property
  def swing_of_both(self) -> float:
    """The geometric mean of the swings of the rate's noise and the validation loss."""
    seen = self.validation.swing if self.validation else np.nan
    return float(np.sqrt(self.rate_noise.swing * seen))

  @property
  def swings(self) -> bool:
    """Whether the validation loss shows an oscillation, which explains high ends."""
    seen, limits = self.validation, self.limits
    if seen is None or not self.may_swing:
      return False
    if seen.times_first > limits.times_first and not (
        self.loss and self.loss.times_first < 1
    ):
      return False
    if self.watched:
      return self.swing_of_both > limits.noise_both
    return seen.swing > limits.validation_swing and seen.back > limits.swing_back

  @property
  def far_from_done(self) -> bool:
    """Whether half of what there is to lose may be left: a loss cannot be negative."""
    seen = self.validation or self.loss
    return seen is not None and not seen.times_first < self.limits.half

  @property
  def may_swing(self) -> bool:
    """Whether a swing is one of the rate's height: it goes on, without waves."""
    ended = np.isfinite(self.rate.last) and self.rate.last < self.limits.rate_end
    return not (ended or self.waves)

  def at(self, row: int) -> float:
    """The step of a row."""
    return float(self.log.step[row])


def case(log: _log.Log, limits: Thresholds) -> Case:
  """Measures a log."""
  rate = _signs.rate(log)
  loss = _signs.training(log, rate.way)
  fall = loss.fall if loss else 0.0
  return Case(
      log, limits, rate, loss, _validation.validation(log, rate.way, fall),
      _signs.gap(log.loss, log.missing),
      _signs.gap(log.validation_loss, log.validation_missing),
      bool(loss) and _waves.explains(log, loss.curve),
      _rate_noise.rate_noise(log),
  )
