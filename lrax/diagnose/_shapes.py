"""The rules of runs that did not diverge: by the shape of their curves."""

from __future__ import annotations

import numpy as np

from lrax.diagnose._case import Case
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._divergence import SPARSE
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


def noise_swings(found: Case) -> list[Evidence]:
  limit, seen = found.limits.noise_swing, found.validation
  if seen is not None and seen.swing > found.limits.validation_swing:
    limit = found.limits.noise_floor
  return [_noise(found, 'noise_swing', limit, found.noise > limit and found.may_swing)]


def noise_floor(found: Case) -> list[Evidence]:
  limit = found.limits.noise_floor
  return [_noise(found, 'noise_floor', limit, found.noise > limit and found.may_swing)]


def noise_low(found: Case) -> list[Evidence]:
  if found.validation is not None:
    return []
  limit = found.limits.noise_low
  return [_noise(found, 'noise_low', limit, found.noise < limit), _half(found)]


def _noise(found: Case, name: str, limit: float, there: bool) -> Evidence:
  text = (
      'By the norms and the cosine of its updates, the rate makes'
      f' {percent(found.noise)} of the loss by noise.'
  )
  return found.sign(name, text, found.noise, limit, there)


def validation_swings(found: Case) -> list[Evidence]:
  if found.validation is None or found.loss is None:
    return []
  swing, limit = found.validation.swing, found.limits.validation_swing
  text = f'The validation loss goes up and down by {percent(swing)} of its level.'
  return [found.sign('validation_swing', text, swing, limit, found.swings)]


def wanders(found: Case) -> list[Evidence]:
  if found.loss is None or not found.blind:
    return []
  loss, limits = found.loss, found.limits
  middle = float(loss.curve.step[loss.count // 2])
  text = (
      f'From step {middle:g} on, the loss goes up and down by {percent(loss.wander)} of'
      ' its level, averaged over sixteenths of the run,'
  )
  sure = f'which is {loss.wander_sure:.2g} times what its noise gives.'
  return [
      found.sign(
          'wander', text, loss.wander, limits.wander,
          loss.wander > limits.wander and found.may_swing, middle,
      ),
      found.sign(
          'wander_sure', sure, loss.wander_sure, limits.wander_sure,
          loss.wander_sure > limits.wander_sure, middle,
      ),
  ]


def follows(found: Case) -> list[Evidence]:
  if found.loss is None or not found.blind:
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


def spikes(found: Case) -> list[Evidence]:
  if found.loss is None or not found.blind:
    return []
  loss, limit = found.loss, found.limits.tail
  middle = float(loss.curve.step[loss.count // 2])
  text = (
      f'From step {middle:g} on, single losses are so high that the mean is'
      f' {loss.tail:.2g} times the median.'
  )
  there = loss.tail > limit and found.may_swing
  return [found.sign('tail', text, loss.tail, limit, there, middle)]


def swings(found: Case) -> list[Evidence]:
  if found.loss is None or not found.blind:
    return []
  loss, limit = found.loss, found.limits.swing
  middle = float(loss.curve.step[loss.count // 2])
  text = (
      f'From step {middle:g} on, the loss swings by {loss.swing:.2g} of its fall.'
  )
  there = loss.swing > limit and found.may_swing
  return [found.sign('swing', text, loss.swing, limit, there, middle)]


def slow(found: Case) -> list[Evidence]:
  loss, seen, limits = found.loss, found.validation, found.limits
  if loss is None:
    return []
  name, which, time = 'slow', 'loss', loss.time
  if seen is not None:
    name, which, time = 'slow_validation', 'validation loss', seen.time
  limit = getattr(limits, name)
  counted = 'rate spent' if np.isfinite(found.rate.peak) else 'steps'
  text = (
      f'The {which} falls so slowly that its time is {time:.2g} of the run,'
      f' counted in {counted}.'
  )
  there = time > limit and (seen is not None or found.fell)
  if found.watched:
    there = there and found.noise < limits.noise_slow
  told = [found.sign(name, text, time, limit, there), _half(found)]
  if seen is not None:
    text = f'It goes back by {percent(seen.back)} of its moves.'
    there = seen.back < limits.slow_back
    told.append(found.sign('slow_back', text, seen.back, limits.slow_back, there))
  return told


def _half(found: Case) -> Evidence:
  seen = found.validation or found.loss
  times = seen.times_first if seen else np.nan
  text = f'It ended at {percent(times)} of its first.'
  if not np.isfinite(times):
    text, times = 'It may be negative, so that nothing tells how far it can fall.', 1.0
  return found.sign('half', text, times, found.limits.half, found.far_from_done)


def no_fall(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limit, seen = found.loss, found.limits.fall_sure, found.validation
  still = seen is None or seen.fall <= found.limits.still * abs(seen.levels[0])
  there = not found.fell and still
  if found.watched:
    there = there and found.noise < found.limits.noise_low
  text = (
      f'The loss has not fallen from {said(loss.curve.first)} beyond its noise.'
      if there else f'The loss fell by {loss.sure:.2g} standard errors.'
  )
  there = there and not loss.times_first < found.limits.unfallen
  return [found.sign('fall_sure', text, loss.sure, limit, there), _half(found)]


def validation_flat(found: Case) -> list[Evidence]:
  seen, limits = found.validation, found.limits
  if seen is None or found.loss is None or found.watched:
    return []
  text = (
      f'The validation loss goes up and down by {percent(seen.swing)} of its level'
      ' and is not getting lower,'
  )
  there = seen.swing > limits.flat_swing and seen.time < limits.flat
  return [
      found.sign('flat_swing', text, seen.swing, limits.flat_swing, there),
      _lasting(found),
      _goes_on(found),
  ]


def flat(found: Case) -> list[Evidence]:
  loss, limits = found.loss, found.limits
  if loss is None or not found.blind:
    return []
  first, last = float(loss.curve.step[0]), float(loss.curve.step[-1])
  over = min(first + 5 * loss.time * (last - first), last)
  text = (
      f'The loss fell to {said(loss.curve.end)} until about step {over:g} and not'
      ' after that,'
  )
  return [
      found.sign(
          'flat', text, loss.time, limits.flat,
          loss.time < limits.flat or loss.sure < limits.flat_sure, first, over,
      ),
      found.sign(
          'flat_noise', f'with a noise of {loss.swing:.2g} of its fall,', loss.swing,
          limits.flat_noise, loss.swing > limits.flat_noise, over,
      ),
      _lasting(found),
      _goes_on(found),
  ]


def _lasting(found: Case) -> Evidence:
  lasting = found.loss.lasting if found.loss else 0.0
  limit = found.limits.lasting
  text = f'with {lasting:.2g} times the noise that the loss had early,'
  return found.sign('lasting', text, lasting, limit, lasting > limit)


def _goes_on(found: Case) -> Evidence:
  return found.sign(
      'rate_end', 'at a rate that does not fall.', found.rate.last,
      found.limits.rate_end, found.may_swing,
  )


def well(found: Case) -> list[Evidence]:
  loss, limits = found.loss, found.limits
  if loss is None:
    return []
  text = (
      f'The loss fell from {said(loss.curve.first)} to {said(loss.curve.end)}, and'
      ' nothing tells of a trouble.'
  )
  seen = found.validation
  last = loss.curve.value[-1]
  quiet = found.noise < limits.noise_floor and not loss.tail > limits.tail
  low = last <= max(loss.curve.first, loss.curve.value[0])
  calm = loss.rise <= limits.risen / 2 or loss.rise_sure <= limits.risen_sure
  there = found.fell and low and (calm or found.waves) and loss.spike <= limits.spike
  # A validation loss that ends near its lowest says so without the noise of batches.
  if seen is not None and seen.times_first < 1 and seen.part <= limits.overfit_part:
    there = there or loss.spike <= limits.spike
  if seen is None:  # measured by the very first, which what followed cannot spoil
    most, end = loss.burst * loss.lucky, loss.times_first * loss.lucky
    there = there and not (most > limits.calm or end > 1)
    there = there or (quiet and loss.times_first < 1 and loss.burst <= limits.calm)
    there = there and not found.noise > limits.noise_floor
  else:
    there = there and not seen.most > limits.calm
  there = there and np.isinf(found.log.loss).mean() < SPARSE
  return [found.sign('fall_sure', text, loss.sure, limits.fall_sure, there)]
