"""The rules of runs that a monitor has watched: by the noise that the rate makes."""

from __future__ import annotations

from lrax.diagnose import _shared_signs
from lrax.diagnose._case import Case
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._words import percent


def burst(found: Case) -> list[Evidence]:
  """What was far above its very first loss, at a rate that makes much noise."""
  loss, limits = found.loss, found.limits
  if loss is None or found.validation is not None or not found.watched:
    return []
  most = loss.burst * loss.lucky
  text = f'The loss was at {most:.2g} times its very first.'
  return [
      found.sign('calm', text, most, limits.calm, most > limits.calm),
      _shared_signs.noise_above(found, 'noise_floor'),
  ]


def swings(found: Case) -> list[Evidence]:
  if not found.watched:
    return []
  seen, limits, swing = found.validation, found.limits, found.rate_noise.swing
  text = f'{_shared_signs.noise(found)}, and swings by {percent(swing)} of it'
  if seen is None:
    there = swing > limits.noise_swing
    sign = found.sign('noise_swing', f'{text}.', swing, limits.noise_swing, there)
  else:
    text += f'; the validation loss does by {percent(seen.swing)} of its level.'
    sign = found.sign(
        'noise_both', text, found.swing_of_both, limits.noise_both, found.swings
    )
  return [sign, _shared_signs.goes_on(found)]


def floor(found: Case) -> list[Evidence]:
  if not found.watched:
    return []
  noise = _shared_signs.noise_above(found, 'noise_floor')
  return [noise, _shared_signs.goes_on(found)]


def low(found: Case) -> list[Evidence]:
  loss, limits = found.loss, found.limits
  if loss is None or not found.watched or found.validation is not None:
    return []
  text = f'The fall of the loss has a time of {loss.time:.2g} of the run'
  hidden = loss.sure < limits.over_sure
  if hidden:
    text += f', and is unsure, by {loss.sure:.2g} standard errors'
  there = loss.time > limits.slow or hidden  # it is not known to be over
  return [
      _shared_signs.noise_below(found, 'noise_low'),
      found.sign('slow', f'{text}.', loss.time, limits.slow, there),
      _shared_signs.half(found),
  ]
