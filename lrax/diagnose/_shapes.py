"""The rules of runs that did not diverge: by the shape of their curves."""

from __future__ import annotations

import numpy as np

from lrax.diagnose._case import Case
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._words import percent
from lrax.diagnose._words import said


def overfits(found: Case) -> list[Evidence]:
  if found.validation is None or found.loss is None:
    return []
  limits, seen, loss = found.limits, found.validation, found.loss
  lowest, end = seen.levels
  text = (
      f'The validation loss was lowest at step {seen.steps[0]:g} with {said(lowest)}'
      f' and rose to {said(end)}, while the loss went to {said(loss.curve.end)}.'
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
          'overfit_part', f'That is {percent(seen.part)} of the lowest.', seen.part,
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


def validation_swings(found: Case) -> list[Evidence]:
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


def wanders(found: Case) -> list[Evidence]:
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


def follows(found: Case) -> list[Evidence]:
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


def swings(found: Case) -> list[Evidence]:
  loss, limits, seen = found.loss, found.limits, found.validation
  if loss is None or seen and max(seen.rough, seen.rise / 3) < limits.flat_rough:
    return []
  middle = float(loss.curve.step[loss.count // 2])
  text = (
      f'From step {middle:g} on, the loss swings by {loss.swing:.2g} of its fall.'
  )
  there = loss.swing > limits.swing and found.may_swing
  return [found.sign('swing', text, loss.swing, limits.swing, there, middle)]


def slow_by_levels(found: Case) -> list[Evidence]:
  return slow(found, by_levels=True) if found.validation is None else []


def slow(found: Case, by_levels: bool = False) -> list[Evidence]:
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


def no_fall(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limit, seen = found.loss, found.limits.fall_sure, found.validation
  there = not found.fell and (
      seen is None or seen.rough >= found.limits.validation_noise
  )
  text = (
      f'The loss has not fallen from {said(loss.curve.first)} beyond its noise.'
      if there else f'The loss fell by {loss.sure:.2g} standard errors.'
  )
  return [found.sign('fall_sure', text, loss.sure, limit, there)]


def flat(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limits, seen = found.loss, found.limits, found.validation
  first, last = float(loss.curve.step[0]), float(loss.curve.step[-1])
  over = first + 5 * loss.time * (last - first)
  calm = seen is not None and seen.rough < limits.flat_rough
  text = (
      f'The loss fell to {said(loss.curve.end)} until about step {over:g} and not'
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


def well(found: Case) -> list[Evidence]:
  loss, limits = found.loss, found.limits
  if loss is None:
    return []
  text = (
      f'The loss fell from {said(loss.curve.first)} to {said(loss.curve.end)}, and'
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
