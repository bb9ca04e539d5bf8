"""The rules of runs that did not diverge: by the shape of their curves."""

from __future__ import annotations

import numpy as np

from lrax.diagnose import _shared_signs
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
  if found.validation is None or found.loss is None or found.watched:
    return []
  swing, limit = found.validation.swing, found.limits.validation_swing
  text = f'The validation loss goes up and down by {percent(swing)} of its level.'
  return [
      found.sign('validation_swing', text, swing, limit, found.swings),
      _back(found),
  ]


def _back(found: Case) -> Evidence:
  back = found.validation.back if found.validation else 0.0
  limit = found.limits.swing_back
  text = f'It goes back by {percent(back)} of its moves.'
  return found.sign('swing_back', text, back, limit, back > limit)


def slow(found: Case) -> list[Evidence]:
  loss, seen, limits = found.loss, found.validation, found.limits
  if loss is None:
    return []
  which, time, limit = 'loss', loss.time, limits.slow
  if seen is not None:
    which, time = 'validation loss', seen.time
  counted = 'rate spent' if np.isfinite(found.rate.peak) else 'steps'
  text = (
      f'The {which} falls so slowly that its time is {time:.2g} of the run,'
      f' counted in {counted}.'
  )
  there = time > limit and (seen is not None or found.fell)
  told = [found.sign('slow', text, time, limit, there), _shared_signs.half(found)]
  if seen is not None:
    text = f'It goes back by {percent(seen.back)} of its moves.'
    there = seen.back < limits.slow_back
    told.append(found.sign('slow_back', text, seen.back, limits.slow_back, there))
  if found.watched:
    told.append(_shared_signs.noise_below(found, 'noise_slow'))
  return told


def no_fall(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limit, seen = found.loss, found.limits.fall_sure, found.validation
  still = seen is None or seen.fall <= found.limits.still * abs(seen.levels[0])
  there = not found.fell and still
  text = (
      f'The loss has not fallen from {said(loss.curve.first)} beyond its noise.'
      if there else f'The loss fell by {loss.sure:.2g} standard errors.'
  )
  told = [found.sign('fall_sure', text, loss.sure, limit, there)]
  if found.watched:
    told.append(_shared_signs.noise_below(found, 'noise_low'))
  return [*told, _shared_signs.half(found)]


def validation_flat(found: Case) -> list[Evidence]:
  seen, limits = found.validation, found.limits
  if seen is None or found.loss is None or found.watched:
    return []
  text = (
      f'The validation loss goes up and down by {percent(seen.swing)} of its level.'
  )
  return [
      found.sign(
          'flat_swing', text, seen.swing, limits.flat_swing,
          seen.swing > limits.flat_swing,
      ),
      _back(found),
      _shared_signs.goes_on(found),
  ]


def well(found: Case) -> list[Evidence]:
  loss, limits, seen = found.loss, found.limits, found.validation
  if loss is None:
    return []
  text = (
      f'The loss fell from {said(loss.curve.first)} to {said(loss.curve.end)}, and'
      ' nothing tells of a trouble.'
  )
  if found.watched:
    text += f' {_shared_signs.noise(found)}.'
  low = loss.curve.value[-1] <= max(loss.curve.first, loss.curve.value[0])
  calm = loss.rise <= limits.risen / 2 or loss.rise_sure <= limits.risen_sure
  fell = found.fell or (found.watched and not loss.tail > limits.tail)
  there = fell and low and (calm or found.waves)
  if seen is not None:
    # One that ends near its lowest says so without the noise of batches.
    there = there or (seen.times_first < 1 and seen.part <= limits.overfit_part)
    there = there and not seen.most > limits.calm
  else:
    # Measured by the very first loss, which what followed cannot spoil.
    most, end = loss.burst * loss.lucky, loss.times_first * loss.lucky
    doubled = loss.curve.end > limits.doubled * loss.curve.low
    there = there and not (most > limits.calm or end > 1)
    there = there and not (doubled and loss.rise_sure > limits.risen_sure)
    there = there and not found.rate_noise.swing > limits.noise_swing
  there = there and loss.spike <= limits.spike
  there = there and np.isinf(found.log.loss).mean() < SPARSE
  return [found.sign('fall_sure', text, loss.sure, limits.fall_sure, there)]
