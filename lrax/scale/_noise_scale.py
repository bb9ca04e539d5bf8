"""Another batch size near the noise scale, where larger batches stop helping."""

from __future__ import annotations

from lrax import _advice
from lrax import _checks
from lrax.scale import _batch_size
from lrax.stability import _critical_batch


def noise_scale_rule(
    learning_rate: float,
    batch_size: int,
    new_batch_size: int,
    noise_scale: float,
    exponent: float = 1.0,
) -> _advice.Advice:
  """The rate at another batch size, which saturates at the noise scale.

  Formula:
    rate(B) = max_rate / (1 + noise_scale / B) ** exponent
    with max_rate such that rate(batch_size) = learning_rate

  Far below the noise scale it is the linear rule, or with an exponent of 0.5
  the square-root one; far above it the rate stays.

  Args:
    learning_rate: the rate tuned at `batch_size`, > 0.
    batch_size: examples in a batch, over all devices, when it was tuned.
    new_batch_size: examples in a batch, over all devices, from now on.
    noise_scale: the trace of the covariance of one example's gradient over the
      square of the whole gradient's norm, in examples, > 0.
    exponent: 1 for SGD, with and without momentum; for Adam and RMSProp one
      between 0.5 and 1 that depends on the task.

  Returns:
    An `Advice` with a rate.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    McCandlish et al., "An Empirical Model of Large-Batch Training", 2018,
    equation 2.6, with the simple noise scale of 2.9; the exponent is that of A.3,
    where the scale is one to be fitted.

  Example:
    >>> import lrax
    >>> rule = lrax.scale.noise_scale_rule(0.1, 250, 1000, noise_scale=1000)
    >>> round(rule.value, 6)
    0.25
  """
  owner = 'noise_scale_rule'
  rate = float(_checks.positive(owner, 'learning_rate', learning_rate))
  old, new = _batch_size.batch_sizes(owner, batch_size, new_batch_size)
  scale = float(_checks.positive(owner, 'noise_scale', noise_scale))
  exponent = float(_critical_batch.rate_exponent(owner, 'exponent', exponent))
  most = rate * (1 + scale / old) ** exponent
  # As most / (1 + scale / new) ** exponent, but exactly rate for equal batches.
  value = rate * _critical_batch.rate_ratio(old, new, scale, exponent)
  return _advice.Advice(
      value=value,
      reason=(
          f'From batches of {old:,} to {new:,} the rate of {rate:.3g} becomes'
          f' {value:.3g}, {value / rate:.3g} times as much; with a noise scale of'
          f' {scale:,.6g} no batch makes it more than {most:.3g}.'
      ),
      caveat=(
          'Contested: the noise scale grows during training and foretells the useful'
          ' batch only to an order of magnitude; with Adam the exponent differs by'
          ' task, and Li et al. (2024) find that the best rate falls again for large'
          ' batches.'
      ),
      source=(
          'McCandlish et al., "An Empirical Model of Large-Batch Training", 2018 (arXiv'
          ' 1812.06162), equations 2.6 and A.3'
      ),
  )
