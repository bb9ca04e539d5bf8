"""`Thresholds`: every number that a verdict rests on, in one table."""

from __future__ import annotations

import dataclasses

from lrax import _checks


@dataclasses.dataclass(frozen=True)
class Thresholds:
  """The rules of `diagnose`, in the order in which they are asked.

  Each number can be given another value, as `Thresholds(points=30)`. Losses are
  only ever compared with each other. Where no loss is negative, its size counts: by
  what part of its level it goes up and down, and what is left of the first losses,
  which are the first, or the median of the first three as long as that is within
  four times the first. For a loss that may be negative the fall counts instead, from
  the first level to the lowest. Levels are medians of a twentieth of the run.

    name               default  rule
    -----------------  -------  ---------------------------------------------------
    broken_rows              1  diverging: so many rows at the end hold a loss that
                                is NaN or infinite, and more than ever in a row
                                before that; one that recovered does not count.
    times_first            2.0  diverging: the validation loss ends at so many times
                                its first, and does not swing,
    burst                  1.5  and means of a fortieth of the losses were once at so
                                many times the first. Without a validation loss: the
                                mean of the last quarter is `times_first` the first.
    jump                   1.5  diverging: one of the last three losses is above all
                                before by so many of their spreads.
    above_start            0.6  diverging: the end is above the start by this part of
                                the fall, or of three spreads where that is more, and
                                the validation loss is not below its first.
    risen                 0.25  diverging: the end is above the lowest level by this
                                part of the fall,
    risen_before           1.5  which is so many times the largest rise before that,
    risen_sure             4.0  and by so many standard errors.
    spike                  4.0  diverging: the last loss is so many spreads above the
                                level of the second half, the one before it is by
                                one, and the last by `risen` above the lowest.
    missing_rows             3  unclear: so many rows at the end have no loss where
                                rows before had one, or no validation loss.
    points                  15  unclear: fewer losses than these.
    far                    8.0  diverging: the validation loss, or without one means
                                of a fortieth, was at so many times the first
    far_end                0.3  and ended no lower than at this many times that.
    calm                   3.5  diverging, with a monitor and no validation loss: means
                                of a fortieth were at so many times the very first
                                loss, and the rate's noise is above `noise_floor`.
    noise_swing           0.24  oscillating, with a monitor: the rate's noise has this
                                part of the loss as standard deviation.
    noise_both            0.15  With a validation loss: the geometric mean of that and
                                of how far the validation loss swings is this (see
                                `validation_swing`).
    validation_swing       0.1  oscillating, without a monitor: the validation loss,
                                in the calmer quarter of the second half (in all of
                                it for fewer than 20), has this part of its level as
                                standard deviation about a line,
    swing_back             0.3  and this part of its moves leads back. A validation
                                loss ended below `times_first`, in both cases, or the
                                loss below its first.
    overfit_at             0.7  overfitting: the validation loss was lowest before
                                this part of its points,
    overfit_part          0.08  ended above that by this part, where it is positive,
    overfit_rough          2.0  and by so many times its own ups and downs, while the
    overfit_loss           0.2  loss rose by less than this part of its fall.
    noise_floor          0.115  plateau, with a monitor: the rate's noise is this part
                                of the loss, which a lower rate would gain.
    noise_low            0.005  too low, with a monitor and no validation loss: the
                                rate's noise is less than this part of the loss,
                                `half` holds, and `slow`,
    over_sure              8.0  or the exponential falls by less than so many standard
                                errors, so that it may not be over.
    regular_swing         0.15  oscillating (from here to `swing`, only with neither a
                                validation loss nor a monitor): the loss, in the
                                second half, has this part of its fall as standard
                                deviation,
    regular                0.7  and follows the one before it, or goes against it,
                                with this correlation.
    wander                 0.1  oscillating: means of eighths of the second half go up
                                and down by this part of the level,
    wander_sure            1.3  and so many times as far as noise makes them.
    tail                   2.0  oscillating: the mean of the second half is so many
                                times its median, by losses that are far too high.
    slow                  0.16  too low: the exponential that fits the fall best has
                                a time of this part of the run, counted in rate
                                spent; the fall of the validation loss if there is
                                one,
    slow_back              0.1  which goes back by less than this part of its moves;
    half                   0.5  and at least this part of the first losses is left: a
                                loss that cannot be negative is no more than half
                                done;
    noise_slow            0.02  and with a monitor, the rate's noise is less than this
                                part of the loss.
    fall_sure              2.0  too low: there is no fall: that of the exponential is
                                less than so many standard errors,
    levels_sure            3.0  that of the levels less than so many of theirs,
    still                 0.05  the validation loss fell by less than this part of its
                                lowest, and `half` and, with a monitor, `noise_low`
                                hold.
    swing                  1.7  oscillating: the loss, in the second half, has so many
                                times its fall as standard deviation.
    flat_swing           0.027  plateau, without a monitor: the validation loss has
                                this part of its level as standard deviation, as for
                                `validation_swing`, and `swing_back` holds.
    flat                 0.035  plateau, with neither: the time of the fall was less
                                than this part of the run, so that it was over after
                                five of them,
    flat_noise            0.28  and the loss has since this part of its fall as
                                standard deviation: a lower rate would average that
                                out.
    doubled                2.0  not healthy: without a validation loss, what ends at so
                                many times its lowest level, by `risen_sure`.
    rate_end               0.1  No plateau where the rate has ended below this part of
                                its peak: then the schedule has ended, and so the run.
                                That holds for all rules of oscillating, too.

  The rate's noise is known where the log holds at least five measurements of
  `lrax.diagnose.monitor` in its second half, steps are updates, and no loss is
  negative. What a lower rate would gain, as a part of the loss, is

    (1 - q) mean(|gradient| |update|) sqrt((1 + c) / (1 - c)) / (4 loss)

  there, with q the part of |gradient| |update| that the loss really fell by, and
  c = (mean cosine between successive updates - q) / (1 - q) in [0, 0.99]; for the
  loss no less than 8 % of the first; its standard deviation is that of
  |gradient| |update| in the place of the mean. Near a minimum that is, to first order
  in the rate, rate tr(S) / (4 (1 - momentum)), S the covariance of the gradient's
  noise: how far above its lowest the loss stays.

  No rule of oscillating, and neither `risen` nor `spike`, holds where the rate has
  waves and the loss goes with them; and what oscillates by `noise_both` or
  `validation_swing` has not diverged by where it happens to end.
  What fits no rule is healthy if it fell by `fall_sure` standard errors, or its levels
  by `levels_sure`, the last loss is not above the first, and it did not rise in the
  end by half of `risen` and by `risen_sure`; a validation loss that ends within
  `overfit_part` of its lowest is enough, and a monitor in the place of the fall, if
  the loss has no `tail`. It must never have been at `calm` times its very first loss,
  nor, without a validation loss, end above that or have noise of the rate that swings
  by `noise_swing`; the last loss must not be a `spike`, and less than a fifth of the
  losses infinite. All else is unclear.

  Raises:
    TypeError: one is no real number.
    ValueError: one is negative, or a count is no whole number >= 1.

  Source:
    lrax's own; the rate's noise by Mandt, Hoffman and Blei, "Stochastic Gradient
    Descent as Approximate Bayesian Inference", 2017.
  """

  broken_rows: int = 1
  times_first: float = 2.0
  burst: float = 1.5
  jump: float = 1.5
  above_start: float = 0.6
  risen: float = 0.25
  risen_before: float = 1.5
  risen_sure: float = 4.0
  spike: float = 4.0
  missing_rows: int = 3
  points: int = 15
  far: float = 8.0
  far_end: float = 0.3
  calm: float = 3.5
  noise_swing: float = 0.24
  noise_both: float = 0.15
  validation_swing: float = 0.1
  swing_back: float = 0.3
  overfit_at: float = 0.7
  overfit_part: float = 0.08
  overfit_rough: float = 2.0
  overfit_loss: float = 0.2
  noise_floor: float = 0.115
  noise_low: float = 0.005
  over_sure: float = 8.0
  regular_swing: float = 0.15
  regular: float = 0.7
  wander: float = 0.1
  wander_sure: float = 1.3
  tail: float = 2.0
  slow: float = 0.16
  slow_back: float = 0.1
  half: float = 0.5
  noise_slow: float = 0.02
  fall_sure: float = 2.0
  levels_sure: float = 3.0
  still: float = 0.05
  swing: float = 1.7
  flat_swing: float = 0.027
  flat: float = 0.035
  flat_noise: float = 0.28
  doubled: float = 2.0
  rate_end: float = 0.1

  def __post_init__(self):
    for field in dataclasses.fields(self):
      count = isinstance(field.default, int)
      check = _checks.count if count else _checks.non_negative
      value = getattr(self, field.name)
      object.__setattr__(self, field.name, check('Thresholds', field.name, value))
