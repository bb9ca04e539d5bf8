"""`Thresholds`: every number that a verdict rests on, in one table."""

from __future__ import annotations

import dataclasses

from lrax import _checks


@dataclasses.dataclass(frozen=True)
class Thresholds:
  """The rules of `diagnose`, in the order in which they are asked.

  Each number can be given another value, as `Thresholds(points=30)`. Losses are
  only ever compared with each other: levels are medians of a twentieth of the run,
  "the fall" is from the first level to the lowest, and a spread is a standard
  deviation that no few points can move. A loss may be negative.

    name               default  rule
    -----------------  -------  ---------------------------------------------------
    broken_rows              1  diverging: so many rows at the end hold a loss that
                                is NaN or infinite, and more than ever in a row
                                before that; one that recovered does not count.
    missing_rows             3  unclear: so many rows at the end have no loss where
                                rows before had one, or no validation loss.
    jump                   1.5  diverging: one of the last three losses is above all
                                before by so many of their spreads.
    above_start            0.6  diverging: the end is above the start by this part of
                                the fall, or of three spreads where that is more.
    risen                  0.4  diverging: the end is above the lowest level by this
                                part of the fall, as it never was before that,
    risen_sure             4.0  and by so many standard errors.
    validation_risen       5.0  diverging: the validation loss ended above its lowest
                                by so many of its falls, and the loss rose too.
    points                  15  unclear: fewer losses than these.
    overfit_at             0.7  overfitting: the validation loss was lowest before
                                this part of its points,
    overfit_rise         0.035  ended above that by this part of its fall,
    overfit_rough          2.0  and by so many times its own ups and downs, while the
    overfit_loss           0.2  loss rose by less than this part of its fall.
    validation_swing       0.1  oscillating: the validation loss, in the second half,
                                goes up and down by this part of its fall.
    swing                  0.6  oscillating: the loss, in the second half, has this
                                part of its fall as standard deviation; or means of
    wander                0.25  eighths of that half have this part of it. Not where
                                the rate has waves and the loss goes with them.
    slow                   0.3  too low: the exponential that fits the fall best has
                                a time of this part of the run, counted in rate
                                spent; of the validation loss, where there is one.
    fall_sure              2.0  too low: there is no fall: it is less than so many
                                standard errors.
    flat                  0.05  plateau: the loss fell, and from the third to the
                                fourth quarter by less than this part of its fall,
    flat_rise             0.05  while its level stays above the lowest by more noise
                                than this part of its fall: a lower rate would
                                average that out.
    rate_end               0.1  not where the rate has ended below this part of its
                                peak: then the schedule has ended, and so the run.

  What fits no rule is healthy, if it fell by `fall_sure` standard errors.

  Raises:
    TypeError: one is no real number.
    ValueError: one is negative, or a count is no whole number >= 1.
  """

  broken_rows: int = 1
  missing_rows: int = 3
  jump: float = 1.5
  above_start: float = 0.6
  risen: float = 0.4
  risen_sure: float = 4.0
  validation_risen: float = 5.0
  points: int = 15
  overfit_at: float = 0.7
  overfit_rise: float = 0.035
  overfit_rough: float = 2.0
  overfit_loss: float = 0.2
  validation_swing: float = 0.1
  swing: float = 0.6
  wander: float = 0.25
  slow: float = 0.3
  fall_sure: float = 2.0
  flat: float = 0.05
  flat_rise: float = 0.05
  rate_end: float = 0.1

  def __post_init__(self):
    for field in dataclasses.fields(self):
      count = isinstance(field.default, int)
      check = _checks.count if count else _checks.non_negative
      value = getattr(self, field.name)
      object.__setattr__(self, field.name, check('Thresholds', field.name, value))
