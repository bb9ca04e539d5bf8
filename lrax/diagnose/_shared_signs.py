"""Signs that several rules ask for."""

from __future__ import annotations

import numpy as np

from lrax.diagnose._case import Case
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._words import percent


def half(found: Case) -> Evidence:
  seen = found.validation or found.loss
  times = seen.times_first if seen else np.nan
  text = f'It ended at {percent(times)} of its first.'
  if not np.isfinite(times):
    text, times = 'It may be negative, so that nothing tells how far it can fall.', 1.0
  return found.sign('half', text, times, found.limits.half, found.far_from_done)


def goes_on(found: Case) -> Evidence:
  text = 'The rate goes up and down, or has fallen to its end.'
  if found.may_swing:
    text = 'The rate does not fall.' if np.isfinite(found.rate.last) else (
        'No rate tells that it should have ended.'
    )
  return found.sign(
      'rate_end', text, found.rate.last, found.limits.rate_end, found.may_swing
  )


def noise(found: Case) -> str:
  """What a monitor tells of the rate, without a full stop."""
  part = 'more than ten times' if found.noise >= 10 else f'{percent(found.noise)} of'
  return f'By the updates, the noise that the rate makes is {part} the loss'


def noise_above(found: Case, name: str) -> Evidence:
  return _noise_sign(found, name, found.noise > getattr(found.limits, name))


def noise_below(found: Case, name: str) -> Evidence:
  return _noise_sign(found, name, found.noise < getattr(found.limits, name))


def _noise_sign(found: Case, name: str, there: bool) -> Evidence:
  limit = getattr(found.limits, name)
  return found.sign(name, noise(found) + '.', found.noise, limit, there)
