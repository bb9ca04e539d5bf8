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
                                the fall, or of three spreads where that is more,
    above_share            0.6  and so is this part of the last quarter.
    times_first            4.0  diverging: the end is so many times the first loss, and
                                no loss of the second half as low as that (only
                                where all losses are positive).
    risen                 0.25  diverging: the end is above the lowest level by this
                                part of the fall,
    risen_before           1.5  which is so many times the largest rise before that,
    risen_sure             4.0  and by so many standard errors.
    spike                  4.0  diverging: the last loss is so many spreads above the
                                level of the second half, the one before it is by
                                one, and the last by `risen` above the lowest.
    points                  15  unclear: fewer losses than these.
    overfit_at             0.7  overfitting: the validation loss was lowest before
                                this part of its points,
    overfit_rise         0.025  ended above that by this part of its fall,
    overfit_part         0.065  and by this part of the lowest, where that is positive,
    overfit_rough          2.0  and by so many times its own ups and downs, while the
    overfit_loss           0.2  loss rose by less than this part of its fall.
    validation_risen       5.0  diverging: the validation loss ended above its lowest
                                by so many of its falls.
    validation_swing      0.05  oscillating: the validation loss, in the second half,
                                goes up and down by this part of its fall, or ended
                                above its lowest by three times that.
    validation_noise      0.45  Not where the loss has no fall either, and these are
                                this large: then they are noise.
    regular_swing         0.15  oscillating: the loss, in the second half, has this
                                part of its fall as standard deviation,
    regular                0.7  and follows the one before it, or goes against it,
                                with this correlation.
    slow                  0.35  too low: the exponential that fits the fall best has
                                a time of this part of the run, counted in rate
                                spent;
    slow_validation        0.3  or that of the validation loss, where there is one.
    wander                 0.1  oscillating (without a validation loss): means of
                                eighths of the second half differ by this part of the
                                fall, beyond what noise gives;
    wander_sure            1.7  and by so many times that, if it has no fall.
    fall_sure              2.0  too low: there is no fall: that of the exponential is
                                less than so many standard errors,
    levels_sure            3.0  and that of the levels less than so many of theirs.
    swing                  0.9  oscillating: the loss, in the second half, has this
                                part of its fall as standard deviation, and a
                                validation loss is not calm by `flat_rough`.
    flat                  0.09  plateau: the time of the fall was less than this part
                                of the run, so that it was over after five of them,
    flat_noise             0.3  the loss has since this part of its fall as standard
                                deviation: a lower rate would average that out;
    early                0.036  or it was over sooner, with this for `flat`,
    early_noise           0.08  and this for `flat_noise`;
    flat_rough           0.012  and the validation loss, where there is one, goes up
                                and down by this part of its fall.
    rate_end               0.1  Not where the rate has ended below this part of its
                                peak: then the schedule has ended, and so the run.
                                That holds for all rules of oscillating, too.

  No rule of oscillating, and none but the first two of diverging, holds where the
  rate has waves and the loss goes with them.
  What fits no rule is healthy if it fell by `fall_sure` standard errors and did not
  rise in the end by half of `risen`; else unclear.

  Raises:
    TypeError: one is no real number.
    ValueError: one is negative, or a count is no whole number >= 1.
  """

  broken_rows: int = 1
  missing_rows: int = 3
  jump: float = 1.5
  above_start: float = 0.6
  above_share: float = 0.6
  times_first: float = 4.0
  risen: float = 0.25
  risen_before: float = 1.5
  risen_sure: float = 4.0
  spike: float = 4.0
  points: int = 15
  overfit_at: float = 0.7
  overfit_rise: float = 0.025
  overfit_part: float = 0.065
  overfit_rough: float = 2.0
  overfit_loss: float = 0.2
  validation_risen: float = 5.0
  validation_swing: float = 0.05
  validation_noise: float = 0.45
  regular_swing: float = 0.15
  regular: float = 0.7
  slow: float = 0.35
  slow_validation: float = 0.3
  wander: float = 0.1
  wander_sure: float = 1.7
  fall_sure: float = 2.0
  levels_sure: float = 3.0
  swing: float = 0.9
  flat: float = 0.09
  flat_noise: float = 0.3
  early: float = 0.036
  early_noise: float = 0.08
  flat_rough: float = 0.012
  rate_end: float = 0.1

  def __post_init__(self):
    for field in dataclasses.fields(self):
      count = isinstance(field.default, int)
      check = _checks.count if count else _checks.non_negative
      value = getattr(self, field.name)
      object.__setattr__(self, field.name, check('Thresholds', field.name, value))
