"""The rules of logs that hold nothing but the losses of batches, noise and all."""

from __future__ import annotations

from collections.abc import Callable

from lrax.diagnose import _shared_signs
from lrax.diagnose._case import Case
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._signs import Training
from lrax.diagnose._words import percent
from lrax.diagnose._words import said

Signs = list[tuple[str, str, float]]  # of each the name, what it says, and the number


def follows(found: Case) -> list[Evidence]:
  def signs(loss: Training) -> Signs:
    how = 'in waves' if loss.follows >= 0 else 'up and down in turns'
    follows = abs(loss.follows)
    return [
        ('regular_swing', f'the loss swings {how}, by {loss.swing:.2g} of its fall,',
         loss.swing),
        ('regular', f'each one {follows:.2g} as the one before tells.', follows),
    ]

  return _later(found, signs)


def wanders(found: Case) -> list[Evidence]:
  return _later(found, lambda loss: [
      ('wander', f'the loss goes up and down by {percent(loss.wander)} of its level,'
       ' averaged over sixteenths of the run,', loss.wander),
      ('wander_sure', f'which is {loss.wander_sure:.2g} times what its noise gives.',
       loss.wander_sure),
  ])


def spikes(found: Case) -> list[Evidence]:
  return _later(found, lambda loss: [
      ('tail', 'single losses are so high that the mean is'
       f' {loss.tail:.2g} times the median.', loss.tail),
  ])


def swings(found: Case) -> list[Evidence]:
  return _later(found, lambda loss: [
      ('swing', f'the loss swings by {loss.swing:.2g} of its fall.', loss.swing),
  ])


def _later(found: Case, signs: Callable[[Training], Signs]) -> list[Evidence]:
  """The signs of an oscillation in the second half: each above its threshold."""
  loss = found.loss
  if loss is None or not found.blind:
    return []
  middle, told = float(loss.curve.step[loss.count // 2]), []
  for name, text, value in signs(loss):
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
