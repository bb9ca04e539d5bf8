"""The rules of the table in `Thresholds`, asked in its order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrax.diagnose import _log
from lrax.diagnose import _signs
from lrax.diagnose import _waves
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._thresholds import Thresholds

_RECOVERED = 'NaN or infinite, and recovered.'
_SPARSE = 0.2  # share of rows without a number, from which on NaN means nothing


class Case(NamedTuple):
  """A log and what was measured in it."""

  log: _log.Log
  limits: Thresholds
  rate: _signs.Rate
  loss: _signs.Training | None
  validation: _signs.Validation | None
  gap: _signs.Gap
  validation_gap: _signs.Gap
  waves: bool  # the rate has waves, and the loss goes with them

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
      log, limits, rate, loss, _signs.validation(log, rate.way, fall),
      _signs.gap(log.loss, log.missing),
      _signs.gap(log.validation_loss, log.validation_missing),
      bool(loss) and _waves.explains(log, loss.curve),
  )


def judge(found: Case) -> tuple[str, str, tuple[Evidence, ...]]:
  """The verdict, its reason, and the evidence of every rule that was asked."""
  told: list[Evidence] = []
  for verdict, rule in _RULES:
    signs = rule(found)
    told += signs
    if signs and all(sign.fulfilled for sign in signs):
      reason = ' '.join(sign.text for sign in signs)
      return verdict, reason + _recovered(told), tuple(told)
  return 'unclear', _undecided(found) + _recovered(told), tuple(told)


def _recovered(told: list[Evidence]) -> str:
  """What must not be left unsaid, whatever the verdict."""
  return ''.join(f' {sign.text}' for sign in told if _RECOVERED in sign.text)


def _broken(found: Case) -> list[Evidence]:
  gap, log, limits = found.gap, found.log, found.limits
  regular = gap.share >= _SPARSE and not log.missing.any()
  rows = gap.rows if gap.written and gap.rows > (gap.usual if regular else 0) else 0
  rows = gap.rows if gap.infinite else rows
  if not rows:
    odd = ~np.isfinite(log.loss) & ~log.missing
    count = 0 if regular else int(odd.sum())
    text = f'{count} of the losses were {_RECOVERED}' if count else (
        'Every loss is finite.'
    )
    return [found.sign('broken_rows', text, 0, limits.broken_rows, False)]
  first = len(log) - gap.rows
  text = f'The loss is NaN or infinite from step {found.at(first):g} on, to the end.'
  there = rows >= limits.broken_rows
  return [found.sign(
      'broken_rows', text, rows, limits.broken_rows, there, found.at(first)
  )]


def _broken_validation(found: Case) -> list[Evidence]:
  gap, log = found.validation_gap, found.log
  if gap.share == 1.0 and not gap.infinite:
    return []  # there is none
  sparse = gap.share >= _SPARSE and not log.validation_missing.any()
  rows = gap.rows if gap.infinite or (gap.written and not sparse) else 0
  first = found.at(len(log) - max(rows, 1))
  text = f'The validation loss is NaN or infinite from step {first:g} on.'
  if not rows:
    odd = np.isinf(log.validation_loss)
    odd |= ~(sparse | log.validation_missing | np.isfinite(log.validation_loss))
    count = int(odd.sum())
    text = (
        f'{count} of the validation losses were {_RECOVERED}' if count
        else 'Every validation loss is finite.'
    )
  limit = found.limits.broken_rows
  return [found.sign('broken_rows', text, rows, limit, rows >= limit, first)]


def _jump(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limit = found.loss, found.limits.jump
  text = (
      f'The last loss is {_said(loss.curve.value[-1])}, where all before were at most'
      f' {_said(loss.most)}.'
  )
  steps = loss.curve.step[-min(3, loss.count) :]
  return [found.sign(
      'jump', text, loss.jump, limit, loss.jump > limit, float(steps[0])
  )]


def _above_start(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limit = found.loss, found.limits.above_start
  text = (
      f'It began at {_said(loss.curve.first)} and is at {_said(loss.curve.end)} in the'
      ' end.'
  )
  share = f'That is so in {loss.above:.0%} of the last quarter.'
  most = found.limits.above_share
  return [
      found.sign('above_start', text, loss.end_over, limit, loss.end_over > limit),
      found.sign('above_share', share, loss.above, most, loss.above > most),
  ]


def _above_first(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limit = found.loss, found.limits.times_first
  text = (
      'No loss of the second half is as low as the first,'
      f' {_said(loss.curve.value[0])}, and the end is at {_said(loss.curve.end)}.'
  )
  there = loss.times_first > limit
  return [found.sign('times_first', text, loss.times_first, limit, there)]


def _risen(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limits = found.loss, found.limits
  low_step = float(loss.curve.step[loss.curve.low_at])
  text = (
      f'The loss rose from {_said(loss.curve.low)} at step {low_step:g} to'
      f' {_said(loss.curve.end)} in the end, {_percent(loss.rise)} of what it had'
      ' fallen.'
  )
  before = min(loss.rise / max(loss.before, 1e-6), 1e6)
  sure = loss.rise_sure > limits.risen_sure and not found.waves
  return [
      found.sign(
          'risen', text, loss.rise, limits.risen, loss.rise > limits.risen, low_step
      ),
      found.sign(
          'risen_before',
          f'Before that it rose by {_percent(loss.before)} of it at most.', before,
          limits.risen_before, before > limits.risen_before, low_step,
      ),
      found.sign(
          'risen_sure', f'That is {loss.rise_sure:.2g} standard errors.',
          loss.rise_sure, limits.risen_sure, sure, low_step,
      ),
  ]


def _breaks_out(found: Case) -> list[Evidence]:
  if found.loss is None or found.loss.count < found.limits.points:
    return []
  loss, limits = found.loss, found.limits
  last = loss.curve.value[-3:]
  text = (
      f'The last losses are {", ".join(map(_said, last))}, where the level was'
      f' {_said(loss.level)}.'
  )
  high = (last[-1] - loss.curve.low) / max(loss.fall, 1e-300)
  there = loss.spike > limits.spike and last[-1] > last[-2]
  there = there and loss.spike_before > 1
  first = float(loss.curve.step[-3])
  return [
      found.sign('spike', text, loss.spike, limits.spike, there, first),
      found.sign(
          'risen', f'That is {_percent(high)} of what it had fallen.', high,
          limits.risen, high > limits.risen and not found.waves, first,
      ),
  ]


def _validation_risen(found: Case) -> list[Evidence]:
  if found.validation is None or found.loss is None:
    return []
  validation, limit = found.validation, found.limits.validation_risen
  text = (
      f'The validation loss rose from {_said(validation.levels[0])} to'
      f' {_said(validation.levels[1])}, and the loss did not fall on.'
  )
  there = validation.rise > limit
  return [found.sign(
      'validation_risen', text, validation.rise, limit, there, *validation.steps
  )]


def _missing(found: Case) -> list[Evidence]:
  gap, log, limit = found.gap, found.log, found.limits.missing_rows
  if gap.share == 1.0:
    return [found.sign('points', 'There is no loss in it.', 0, limit, True)]
  rows = gap.rows if gap.rows > 2 * gap.usual else 0
  first = found.at(len(log) - max(gap.rows, 1))
  text = (
      f'No loss is written from step {first:g} on, and loggers leave out a loss that is'
      ' NaN: look whether it was.'
  )
  if rows < limit:
    text = 'The loss is written to the end.'
  return [found.sign('missing_rows', text, rows, limit, rows >= limit, first)]


def _few(found: Case) -> list[Evidence]:
  count = int(np.isfinite(found.log.loss).sum())
  limit = found.limits.points
  few = count < limit
  text = f'There {_many(count)}{", too few to judge by" if few else ""}.'
  return [found.sign('points', text, count, limit, few)]


def _constant(found: Case) -> list[Evidence]:
  values = found.log.loss[np.isfinite(found.log.loss)]
  if len(values) == 0 or np.ptp(values) > 0:
    return []
  text = f'The loss is {_said(values[0])} in every row: it may not be the loss.'
  return [found.sign('points', text, 1, 1, True)]


def _overfits(found: Case) -> list[Evidence]:
  if found.validation is None or found.loss is None:
    return []
  limits, seen, loss = found.limits, found.validation, found.loss
  lowest, end = seen.levels
  text = (
      f'The validation loss was lowest at step {seen.steps[0]:g} with {_said(lowest)}'
      f' and rose to {_said(end)}, while the loss went to {_said(loss.curve.end)}.'
  )
  sign = lambda name, text, value, there: found.sign(
      name, text, value, getattr(limits, name), there, *seen.steps
  )
  rough = seen.rise / max(seen.rough, 1e-9)
  return [
      sign('overfit_at', text, seen.lowest_at, seen.lowest_at <= limits.overfit_at),
      sign(
          'overfit_rise', f'That is {seen.rise:.2g} of its fall.', seen.rise,
          seen.rise > limits.overfit_rise,
      ),
      sign(
          'overfit_part', f'That is {_percent(seen.part)} of the lowest.', seen.part,
          seen.part > limits.overfit_part,
      ),
      sign(
          'overfit_rough', f'Its own ups and downs are {1 / max(rough, 1e-6):.2g} of'
          ' that.', min(rough, 1e6), rough > limits.overfit_rough,
      ),
      sign(
          'overfit_loss', f'The loss rose by {loss.rise:.2g} of its fall.', loss.rise,
          loss.rise <= limits.overfit_loss and loss.sure > limits.fall_sure,
      ),
  ]


def _validation_swings(found: Case) -> list[Evidence]:
  if found.validation is None or found.loss is None:
    return []
  seen, limits = found.validation, found.limits
  limit = limits.validation_swing
  text = (
      f'The validation loss goes up and down by {max(seen.rough, seen.rise / 3):.2g} of'
      ' its fall.'
  )
  # One that never fell has no ups and downs but its noise.
  fell = seen.rough < limits.validation_noise or found.fell
  swing = max(seen.rough, seen.rise / 3)
  there = swing > limit and fell and found.may_swing
  return [found.sign('validation_swing', text, swing, limit, there)]


def _wanders(found: Case) -> list[Evidence]:
  if found.loss is None or found.validation is not None:
    return []
  loss, limits = found.loss, found.limits
  middle = float(loss.curve.step[loss.count // 2])
  text = (
      f'From step {middle:g} on, the level of the loss goes up and down by'
      f' {loss.wander:.2g} of its fall, beyond its noise.'
  )
  sure = found.fell or loss.wander_sure > limits.wander_sure
  there = loss.wander > limits.wander and sure and found.may_swing
  return [found.sign('wander', text, loss.wander, limits.wander, there, middle)]


def _follows(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limits = found.loss, found.limits
  middle = float(loss.curve.step[loss.count // 2])
  how = 'up and down in turns' if loss.follows < 0 else 'in waves'
  text = (
      f'From step {middle:g} on, the loss swings {how}, by {loss.swing:.2g} of its'
      ' fall,'
  )
  follows = abs(loss.follows)
  return [
      found.sign(
          'regular_swing', text, loss.swing, limits.regular_swing,
          loss.swing > limits.regular_swing and found.may_swing, middle,
      ),
      found.sign(
          'regular', f'each one {follows:.2g} as the one before tells.', follows,
          limits.regular, follows > limits.regular, middle,
      ),
  ]


def _swings(found: Case) -> list[Evidence]:
  loss, limits, seen = found.loss, found.limits, found.validation
  if loss is None or seen and max(seen.rough, seen.rise / 3) < limits.flat_rough:
    return []
  middle = float(loss.curve.step[loss.count // 2])
  text = (
      f'From step {middle:g} on, the loss swings by {loss.swing:.2g} of its fall.'
  )
  there = loss.swing > limits.swing and found.may_swing
  return [found.sign('swing', text, loss.swing, limits.swing, there, middle)]


def _slow_by_levels(found: Case) -> list[Evidence]:
  return _slow(found, by_levels=True) if found.validation is None else []


def _slow(found: Case, by_levels: bool = False) -> list[Evidence]:
  seen = found.validation or found.loss
  if seen is None or found.loss is None:
    return []
  limits, name, which = found.limits, 'slow', 'loss'
  if found.validation is not None:
    name, which = 'slow_validation', 'validation loss'
  limit = getattr(limits, name)
  counted = 'rate spent' if np.isfinite(found.rate.peak) else 'steps'
  text = (
      f'The {which} falls so slowly that its time is {seen.time:.2g} of the run,'
      f' counted in {counted}.'
  )
  sure = found.validation is not None or found.loss.sure >= limits.fall_sure
  sure = sure or by_levels and found.fell
  # One that ends no lower than it began does not fall slowly: it does not fall.
  low = found.validation is None or found.validation.rise < 0.5
  return [found.sign(name, text, seen.time, limit, seen.time > limit and sure and low)]


def _no_fall(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limit, seen = found.loss, found.limits.fall_sure, found.validation
  there = not found.fell and (
      seen is None or seen.rough >= found.limits.validation_noise
  )
  text = (
      f'The loss has not fallen from {_said(loss.curve.first)} beyond its noise.'
      if there else f'The loss fell by {loss.sure:.2g} standard errors.'
  )
  return [found.sign('fall_sure', text, loss.sure, limit, there)]


def _flat(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limits, seen = found.loss, found.limits, found.validation
  first, last = float(loss.curve.step[0]), float(loss.curve.step[-1])
  over = first + 5 * loss.time * (last - first)
  calm = seen is not None and seen.rough < limits.flat_rough
  text = (
      f'The loss fell to {_said(loss.curve.end)} until about step {over:g} and not'
      ' after that,'
  )
  fell = loss.sure >= limits.fall_sure and not calm
  soon = 'early' if loss.time < limits.early else 'flat'
  noise = 'early_noise' if soon == 'early' else 'flat_noise'
  time, least = getattr(limits, soon), getattr(limits, noise)
  return [
      found.sign(soon, text, loss.time, time, fell and loss.time < time, first, over),
      found.sign(
          noise, f'with a noise of {loss.swing:.2g} of its fall', loss.swing, least,
          loss.swing > least, over,
      ),
      found.sign(
          'rate_end', 'at a rate that does not fall.', found.rate.last,
          limits.rate_end, found.may_swing,
      ),
  ]


def _well(found: Case) -> list[Evidence]:
  loss, limits = found.loss, found.limits
  if loss is None:
    return []
  text = (
      f'The loss fell from {_said(loss.curve.first)} to {_said(loss.curve.end)}, and'
      ' nothing tells of a trouble.'
  )
  seen = found.validation
  judged = seen is not None and seen.fall > 0 and seen.lowest_at > 0.2
  fell = found.fell or judged
  last = loss.curve.value[-1]
  low = last <= max(loss.curve.first, loss.curve.value[0])
  calm = loss.rise <= limits.risen / 2 or loss.rise_sure <= limits.risen_sure
  there = fell and low and (calm or found.waves) and loss.spike <= limits.spike
  return [found.sign('fall_sure', text, loss.sure, limits.fall_sure, there)]


def _undecided(found: Case) -> str:
  loss, limits = found.loss, found.limits
  if loss is None:
    return 'There are too few losses to judge by.'
  if loss.curve.value[-1] > loss.curve.first or loss.spike > limits.spike:
    return (
        f'The last loss, {_said(loss.curve.value[-1])}, is far above those before:'
        ' it may be the beginning of a divergence or one bad batch.'
    )
  if loss.rise > limits.risen / 2:
    return (
        f'The loss rose in the end, from {_said(loss.curve.low)} to'
        f' {_said(loss.curve.end)}, but not by as much as a divergence.'
    )
  return 'The loss is too noisy to tell whether it falls.'


def _many(count: int) -> str:
  return 'is 1 loss' if count == 1 else f'are {count} losses'


def _percent(part: float) -> str:
  return f'{part:.0%}' if part < 10 else 'more than ten times'


def _said(value: float) -> str:
  return f'{value:.4g}'


_RULES = (
    ('diverging', _broken),
    ('diverging', _broken_validation),
    ('diverging', _jump),
    ('diverging', _above_start),
    ('diverging', _above_first),
    ('diverging', _risen),
    ('diverging', _breaks_out),
    ('unclear', _missing),
    ('unclear', _few),
    ('unclear', _constant),
    ('overfitting', _overfits),
    ('diverging', _validation_risen),
    ('oscillating', _validation_swings),
    ('oscillating', _follows),
    ('too low', _slow),
    ('oscillating', _wanders),
    ('too low', _slow_by_levels),
    ('too low', _no_fall),
    ('oscillating', _swings),
    ('plateau', _flat),
    ('healthy', _well),
)
