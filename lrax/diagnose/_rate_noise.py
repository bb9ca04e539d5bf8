"""How much of a loss is the noise that the height of the rate adds to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrax.diagnose import _log

_FEWEST = 5  # measurements
_LEFT = 0.08  # part of the first losses: noise in less than that is no loss
_MOST = 0.99  # momentum


class Noise(NamedTuple):
  """The noise that the rate makes, as parts of the loss; NaN where unknown."""

  part: float  # what a lower rate would gain
  swing: float  # its standard deviation from one measurement to the next


_UNKNOWN = Noise(np.nan, np.nan)


def rate_noise(log: _log.Log) -> Noise:
  """What a lower rate would gain, as a part of the loss, in the second half.

  Formula:
    (1 - q) E[|gradient| |update|] sqrt((1 + c) / (1 - c)) / (4 loss)

    q is the part of |gradient| |update| that the loss really fell by, per update, and
    c = (cosine - q) / (1 - q) in [0, 0.99], of the mean cosine between successive
    updates: what is left without the slope of the loss, which moves all of them
    alike. The loss is its median, and no less than 8 % of the first.

    Near a minimum, noise of covariance S in the gradient keeps the parameters so far
    from it that the loss is rate tr(S) / (4 (1 - momentum)) above its lowest, to
    first order in the rate, whatever the curvature. There tr(S) is |gradient|^2,
    |update| is rate |gradient| / sqrt(1 - momentum^2), q is 0, and the momentum is
    the cosine. The same holds for a momentum that is a mean of gradients. For rates
    that differ between parameters it is an upper bound, by Cauchy and Schwarz.

    Its swing has the standard deviation of |gradient| |update| in the place of the
    mean: in few directions the noise goes up and down, in many it averages out.

  Args:
    log: with what a monitor has measured. A measurement counts once, in however many
      rows it is repeated.

  Returns:
    The `Noise`. It is not known for fewer than five measurements, steps that are no
    updates, or a loss that may be negative.

  Source:
    Mandt, Hoffman and Blei, "Stochastic Gradient Descent as Approximate Bayesian
    Inference", 2017: the trace of the equation for the stationary covariance, with
    momentum and without. Without the slope: lrax's own.
  """
  half = len(log) // 2
  finite = np.isfinite(log.loss)
  losses, steps = log.loss[half:][finite[half:]], log.step[half:][finite[half:]]
  if log.unit != 'updates' or len(losses) < _FEWEST or log.loss[finite].min() < 0:
    return _UNKNOWN
  table = np.stack([log.gradient_norm, log.update_norm, log.cosine])
  new = np.any(table[:, 1:] != table[:, :-1], 0)  # others repeat an earlier one
  gradient, update, cosine = table[:, 1:][:, new & (np.arange(1, len(log)) >= half)]
  work = gradient * update
  known = np.isfinite(work) & (gradient >= 0) & (update >= 0)
  cosine = cosine[known & (np.abs(cosine) <= 1)]
  level = float(np.median(losses))
  level = max(level, _LEFT * float(np.median(log.loss[finite][:3])))
  if known.sum() < _FEWEST or not len(cosine) or level <= 0:
    return _UNKNOWN
  mean, spread = float(work[known].mean()), float(work[known].std())
  fifth = max(1, len(losses) // 5)
  fell = float(np.median(losses[:fifth]) - np.median(losses[-fifth:]))
  updates = float(np.mean(steps[-fifth:]) - np.mean(steps[:fifth]))
  slope = min(max(fell / max(updates * mean, 1e-300), 0.0), 1.0)
  if slope == 1:
    return Noise(0.0, 0.0)
  together = min(max((float(cosine.mean()) - slope) / (1 - slope), 0.0), _MOST)
  lasting = np.sqrt((1 + together) / (1 - together))
  times = float((1 - slope) / level / 4 * lasting)
  noise = Noise(mean * times, spread * times)
  return noise if np.isfinite(noise).all() else _UNKNOWN
