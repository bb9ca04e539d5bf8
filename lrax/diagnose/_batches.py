"""The rules of logs that hold nothing but the losses of batches, noise and all."""

from __future__ import annotations

from lrax.diagnose import _shared_signs
from lrax.diagnose._case import Case
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._words import percent
from lrax.diagnose._words import said


def follows(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, how = found.loss, 'in waves'
  if loss.follows < 0:
    how = 'up and down in turns'
  return _later(found, [
      ('regular_swing', f'the loss swings {how}, by {loss.swing:.2g} of its fall,',
       loss.swing),
      ('regular', f'each one {abs(loss.follows):.2g} as the one before tells.',
       abs(loss.follows)),
  ])


def wanders(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss = found.loss
  return _later(found, [
      ('wander', f'the loss goes up and down by {percent(loss.wander)} of its level,'
       ' averaged over sixteenths of the run,', loss.wander),
      ('wander_sure', f'which is {loss.wander_sure:.2g} times what its noise gives.',
       loss.wander_sure),
  ])


def spikes(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  tail = found.loss.tail
  return _later(found, [
      ('tail', 'single losses are so high that the mean is'
       f' {tail:.2g} times the median.', tail),
  ])


def swings(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  swing = found.loss.swing
  return _later(found, [
      ('swing', f'the loss swings by {swing:.2g} of its fall.', swing),
  ])


def _later(found: Case, signs: list[tuple[str, str, float]]) -> list[Evidence]:
  """The signs of an oscillation in the second half: each above its threshold."""
  loss = found.loss
  if loss is None or not found.blind:
    return []
  middle, told = float(loss.curve.step[loss.count // 2]), []
  for name, text, value in signs:
    limit = getattr(found.limits, name)
    there = value > limit and found.may_swing
    first = '' if told else f'From step {middle:g} on, '
    told.append(found.sign(name, first + text, value, limit, there, middle))
  return told


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
          'flat', text, loss.time, limits.flat, loss.time < limits.flat, first, over,
      ),
      found.sign(
          'flat_noise', f'with a noise of {loss.swing:.2g} of its fall.', loss.swing,
          limits.flat_noise, loss.swing > limits.flat_noise, over,
      ),
      _shared_signs.goes_on(found),
  ]
