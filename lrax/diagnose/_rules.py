"""The rules of the table in `Thresholds`, asked in its order."""

from __future__ import annotations

import numpy as np

from lrax.diagnose import _batches
from lrax.diagnose import _divergence
from lrax.diagnose import _shapes
from lrax.diagnose import _watched
from lrax.diagnose._case import Case
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._words import said


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
  return ''.join(f' {sign.text}' for sign in told if _divergence.RECOVERED in sign.text)


def _undecided(found: Case) -> str:
  loss, limits = found.loss, found.limits
  if loss is None:
    return 'There are too few losses to judge by.'
  if loss.curve.value[-1] > loss.curve.first or loss.spike > limits.spike:
    return (
        f'The last loss, {said(loss.curve.value[-1])}, is far above those before:'
        ' it may be the beginning of a divergence or one bad batch.'
    )
  if loss.rise > limits.risen / 2:
    return (
        f'The loss rose in the end, from {said(loss.curve.low)} to'
        f' {said(loss.curve.end)}, but not by as much as a divergence.'
    )
  if np.isinf(found.log.loss).mean() >= _divergence.SPARSE:
    return 'The loss is infinite again and again: look at what makes it so.'
  return 'The loss is too noisy to tell whether it falls.'


_RULES = (
    ('diverging', _divergence.broken),
    ('diverging', _divergence.broken_validation),
    ('diverging', _divergence.validation_above_first),
    ('diverging', _divergence.jump),
    ('diverging', _divergence.above_start),
    ('diverging', _divergence.above_first),
    ('diverging', _divergence.risen),
    ('diverging', _divergence.breaks_out),
    ('unclear', _divergence.missing),
    ('unclear', _divergence.few),
    ('unclear', _divergence.constant),
    ('diverging', _divergence.bursts),
    ('diverging', _watched.burst),
    ('oscillating', _watched.swings),
    ('oscillating', _shapes.validation_swings),
    ('overfitting', _shapes.overfits),
    ('plateau', _watched.floor),
    ('too low', _watched.low),
    ('oscillating', _batches.follows),
    ('oscillating', _batches.wanders),
    ('oscillating', _batches.spikes),
    ('too low', _shapes.slow),
    ('too low', _shapes.no_fall),
    ('oscillating', _batches.swings),
    ('plateau', _shapes.validation_flat),
    ('plateau', _batches.flat),
    ('healthy', _shapes.well),
)
