"""The rules of runs that a monitor has watched: by the noise that the rate makes."""

from __future__ import annotations

import numpy as np

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
  seen = found.validation
  if seen is None:
    noise = _shared_signs.noise_above(found, 'noise_swing')
    return [noise, _shared_signs.goes_on(found)]
  both, limit = float(np.sqrt(found.noise * seen.swing)), found.limits.noise_both
  text = (
      f'{_shared_signs.noise(found)}, and the validation loss goes up and down by'
      f' {percent(seen.swing)} of its level.'
  )
  return [found.sign('noise_both', text, both, limit, found.swings)]


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
