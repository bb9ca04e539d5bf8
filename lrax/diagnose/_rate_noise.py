"""How much of a loss is the noise that the height of the rate adds to it."""

from __future__ import annotations

import numpy as np

from lrax.diagnose import _log

_FEWEST = 5  # rows with a measurement
_LEFT = 0.08  # part of the first losses: noise in less than that is no loss


def rate_noise(log: _log.Log) -> float:
  """What a lower rate would gain, as a part of the loss, in the second half.

  Formula:
    E[|gradient| |update|] sqrt((1 + c) / (1 - c)) / (4 loss), where c is the mean
    cosine between successive updates, 0 where that is negative.

    Near a minimum, noise of covariance S in the gradient keeps the parameters so far
    from it that the loss is rate tr(S) / (4 (1 - momentum)) above its lowest, to
    first order in the rate, whatever the curvature. There tr(S) is |gradient|^2,
    |update| is rate |gradient| / sqrt(1 - momentum^2), and the momentum is the
    cosine. The same holds for a momentum that is a mean of gradients. For rates that
    differ between parameters it is an upper bound, by Cauchy and Schwarz.

  Args:
    log: with what a monitor has measured.

  Returns:
    The part; NaN where it is not known, or the loss may be negative.

  Source:
    Mandt, Hoffman and Blei, "Stochastic Gradient Descent as Approximate Bayesian
    Inference", 2017: the trace of the equation for the stationary covariance, with
    momentum and without.
  """
  later = slice(len(log) // 2, None)
  work = log.gradient_norm[later] * log.update_norm[later]
  loss, cosine = log.loss[later], log.cosine[later]
  known, losses = np.isfinite(work), loss[np.isfinite(loss)]
  cosine = cosine[known & np.isfinite(cosine)]
  if known.sum() < _FEWEST or not len(cosine) or not len(losses):
    return np.nan
  every = log.loss[np.isfinite(log.loss)]
  level = max(float(np.median(losses)), _LEFT * float(np.median(every[:3])))
  if every.min() < 0 or level <= 0:
    return np.nan
  together = min(max(float(cosine.mean()), 0.0), 1 - 1e-6)
  lasting = np.sqrt((1 + together) / (1 - together))
  return float(work[known].mean() / level / 4 * lasting)
