"""Whether a loss goes up and down because the rate does."""

from __future__ import annotations

import numpy as np

from lrax.diagnose import _curve
from lrax.diagnose import _log

_HIGH, _LOW = 0.6, 0.3  # parts of the peak between which a rate swings
_TOGETHER = 0.3  # correlation of loss and rate from which on one goes with the other


def explains(log: _log.Log, curve: _curve.Curve) -> bool:
  """Whether the rate has at least two waves and the loss goes with them."""
  known = np.isfinite(log.learning_rate)
  if not known.any():
    return False
  rate = np.interp(curve.step, log.step[known], log.learning_rate[known])
  rate = rate / max(float(rate.max()), 1e-300)
  marked = np.where(rate > _HIGH, 1, np.where(rate < _LOW, -1, 0))
  marked = marked[marked != 0]
  rises = np.flatnonzero(np.diff(marked) > 0)
  falls = np.flatnonzero(np.diff(marked) < 0)
  if not len(falls) or not len(rises) or rises[-1] < falls[0]:
    return False  # a warmup, and at most one fall
  smooth, rate = curve.smooth, rate[curve.at]
  first = len(rate) // 4
  loss, rate = smooth[first:], rate[first:]
  if np.ptp(loss) == 0 or np.ptp(rate) == 0:
    return False
  # The loss falls besides: what is left of it about a line is compared.
  left = _curve.about_line(loss)
  return bool(np.corrcoef(left, rate)[0, 1] > _TOGETHER) if np.ptp(left) else False
