"""The rules of the table in `Thresholds`, asked in its order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrax.diagnose import _log
from lrax.diagnose import _signs
from lrax.diagnose import _waves
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._thresholds import Thresholds

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
      return verdict, ' '.join(sign.text for sign in signs), tuple(told)
  return 'unclear', _undecided(found), tuple(told)


def _broken(found: Case) -> list[Evidence]:
  gap, log, limits = found.gap, found.log, found.limits
  regular = gap.share >= _SPARSE and not log.missing.any()
  rows = gap.rows if gap.written and gap.rows > (gap.usual if regular else 0) else 0
  rows = gap.rows if gap.infinite else rows
  if not rows:
    odd = ~np.isfinite(log.loss) & ~log.missing
    count = 0 if regular else int(odd.sum())
    text = f'{count} losses are NaN or infinite, and it recovered.' if count else (
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
        f'{count} validation losses are NaN or infinite, and it recovered.' if count
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
  there = loss.end_over > limit and loss.above > limit
  return [found.sign('above_start', text, loss.end_over, limit, there)]


def _risen(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limits = found.loss, found.limits
  low_step = float(loss.curve.step[loss.curve.low_at])
  text = (
      f'The loss rose from {_said(loss.curve.low)} at step {low_step:g} to'
      f' {_said(loss.curve.end)} in the end, {loss.rise:.0%} of what it had fallen.'
  )
  there = loss.rise > limits.risen and loss.rise > 1.5 * loss.before
  sure = loss.rise_sure > limits.risen_sure and not found.waves
  return [
      found.sign('risen', text, loss.rise, limits.risen, there, low_step),
      found.sign(
          'risen_sure', f'That is {loss.rise_sure:.2g} standard errors.',
          loss.rise_sure, limits.risen_sure, sure, low_step,
      ),
  ]


def _validation_risen(found: Case) -> list[Evidence]:
  if found.validation is None or found.loss is None:
    return []
  validation, limit = found.validation, found.limits.validation_risen
  text = (
      f'The validation loss rose from {_said(validation.levels[0])} to'
      f' {_said(validation.levels[1])}, and the loss did not fall.'
  )
  there = validation.rise > limit and found.loss.above > 0.3
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
  text = f'There are {count} losses{", too few to judge by" if few else ""}.'
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
          'overfit_rough', f'It is {min(rough, 1e6):.2g} of its own ups and downs.',
          min(rough, 1e6), rough > limits.overfit_rough,
      ),
      sign(
          'overfit_loss', f'The loss rose by {loss.rise:.2g} of its fall.', loss.rise,
          loss.rise <= limits.overfit_loss and loss.sure > limits.fall_sure,
      ),
  ]


def _validation_swings(found: Case) -> list[Evidence]:
  if found.validation is None:
    return []
  seen, limit = found.validation, found.limits.validation_swing
  text = (
      f'The validation loss goes up and down by {seen.rough + seen.rise:.2g} of its'
      ' fall.'
  )
  there = seen.rough + seen.rise > limit and not found.waves
  return [found.sign('validation_swing', text, seen.rough + seen.rise, limit, there)]


def _swings(found: Case) -> list[Evidence]:
  if found.loss is None or found.validation is not None:
    return []
  loss, limits = found.loss, found.limits
  worst = max(loss.swing / max(limits.swing, 1e-9),
              loss.wander / max(limits.wander, 1e-9))
  text = (
      f'In the second half the loss swings by {loss.swing:.2g} of its fall, and means'
      f' of eighths of that half by {loss.wander:.2g}.'
  )
  middle = float(loss.curve.step[loss.count // 2])
  there = worst > 1 and not found.waves
  name, value = 'swing', loss.swing
  if loss.swing <= limits.swing:
    name, value = 'wander', loss.wander
  return [found.sign(name, text, value, getattr(limits, name), there, middle)]


def _slow(found: Case) -> list[Evidence]:
  seen = found.validation or found.loss
  if seen is None or found.loss is None:
    return []
  limit = found.limits.slow
  which = 'validation loss' if found.validation else 'loss'
  counted = 'rate spent' if np.isfinite(found.rate.peak) else 'steps'
  text = (
      f'The {which} falls so slowly that its time is {seen.time:.2g} of the run,'
      f' counted in {counted}.'
  )
  sure = found.validation is not None or found.loss.sure > found.limits.fall_sure
  return [found.sign('slow', text, seen.time, limit, seen.time > limit and sure)]


def _no_fall(found: Case) -> list[Evidence]:
  if found.loss is None or found.validation is not None:
    return []
  loss, limit = found.loss, found.limits.fall_sure
  there = loss.sure < limit
  text = (
      f'The loss has not fallen from {_said(loss.curve.first)} beyond its noise.'
      if there else f'The loss fell by {loss.sure:.2g} standard errors.'
  )
  return [found.sign('fall_sure', text, loss.sure, limit, there)]


def _flat(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limits = found.loss, found.limits
  middle = float(loss.curve.step[loss.count // 2])
  ended = np.isfinite(found.rate.last) and found.rate.last < limits.rate_end
  text = (
      f'The loss fell to {_said(loss.curve.end)} and has stopped to fall since step'
      f' {middle:g} or before'
  )
  return [
      found.sign(
          'flat', text + ',', loss.late, limits.flat, loss.late < limits.flat, middle
      ),
      found.sign(
          'flat_rise', f'with a noise of {loss.swing:.2g} of its fall.', loss.swing,
          limits.flat_rise, loss.swing > limits.flat_rise, middle,
      ),
      found.sign(
          'rate_end', 'The rate has not ended.', found.rate.last, limits.rate_end,
          not ended,
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
  fell = loss.sure >= limits.fall_sure
  last = loss.curve.value[-1]
  low = last <= max(loss.curve.first, loss.curve.value[0])
  calm = loss.rise <= limits.risen / 2 or loss.rise_sure <= limits.risen_sure
  there = fell and low and (calm or found.waves) and loss.spike <= 4
  return [found.sign('fall_sure', text, loss.sure, limits.fall_sure, there)]


def _undecided(found: Case) -> str:
  loss, limits = found.loss, found.limits
  if loss is None:
    return 'There are too few losses to judge by.'
  if loss.curve.value[-1] > loss.curve.first or loss.spike > 4:
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


def _said(value: float) -> str:
  return f'{value:.4g}'


_RULES = (
    ('diverging', _broken),
    ('diverging', _broken_validation),
    ('diverging', _jump),
    ('diverging', _above_start),
    ('diverging', _risen),
    ('diverging', _validation_risen),
    ('unclear', _missing),
    ('unclear', _few),
    ('unclear', _constant),
    ('overfitting', _overfits),
    ('oscillating', _validation_swings),
    ('too low', _slow),
    ('too low', _no_fall),
    ('oscillating', _swings),
    ('plateau', _flat),
    ('healthy', _well),
)
