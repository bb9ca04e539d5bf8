"""What a noise scale says of the batch, of the steps it takes and of the rate."""

from __future__ import annotations

from typing import Any

from lrax import _advice
from lrax import _checks
from lrax.stability import _noise_scale

_scale = _checks.number(
    'a finite number > 0',
    lambda x: x > 0,
    'infinity and NaN say that the data cannot tell: measure with more batches, or'
    ' larger ones',
)
_count = _checks.number(
    'a whole number >= 1', lambda x: x >= 1, 'count examples', whole=True
)
rate_exponent = _checks.number(
    'a number from 0.5 to 1', lambda x: 0.5 <= x <= 1, '1 is for SGD'
)


def rate_ratio(old: float, new: float, noise_scale: float, exponent: float) -> float:
  """By how much the best rate grows from batches of `old` to those of `new`."""
  return ((1 + noise_scale / old) / (1 + noise_scale / new)) ** exponent


def advise_batch_size(
    noise_scale: Any,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    exponent: float = 1.0,
) -> _advice.Advice:
  """Which batch a noise scale calls for, what others cost, and the rate for it.

  Formula:
    steps(B) / least steps = 1 + noise_scale / B
    examples(B) / least examples = 1 + B / noise_scale
    rate(B) in proportion to (1 + noise_scale / B) ** -exponent

  A batch as large as the noise scale takes twice the least of either, the critical
  batch. Smaller ones save examples, so energy; larger ones save steps, so time where
  devices are idle.

  Args:
    noise_scale: in examples, finite and > 0: a number, or a `NoiseScale`.
    batch_size: examples in a batch now, over all devices; None if it is not known.
    learning_rate: the rate that is tuned at `batch_size`, > 0; None for no advice
      on the rate.
    exponent: 1 for SGD, with and without momentum; for Adam and RMSProp one between
      0.5 and 1 that depends on the task.

  Returns:
    An `Advice` whose value has the critical `batch_size`, and its `learning_rate`
    if one was given.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or `learning_rate` comes without
      `batch_size`; a noise scale that is infinite, NaN or 0, with what it means.

  Source:
    McCandlish et al., "An Empirical Model of Large-Batch Training", 2018 (arXiv
    1812.06162); the rate as in `lrax.scale.noise_scale_rule`, for any batch.

  Example:
    >>> import lrax
    >>> advice = lrax.stability.advise_batch_size(1000, 250, learning_rate=0.1)
    >>> {name: round(x, 6) for name, x in advice.value.items()}
    {'batch_size': 1000, 'learning_rate': 0.25}
    >>> print(advice.reason)
    With a noise scale of 1,000 examples, batches of 1,000 take twice the least steps and twice the least examples. Batches of 250 take 5 times the least steps and 1.25 times the least examples. The rate of 0.1 at 250 becomes 0.25 at 1,000.
  """  # noqa: E501
  owner = 'advise_batch_size'
  between = ''
  if isinstance(noise_scale, _noise_scale.NoiseScale):
    found = noise_scale
    low, high = found.interval
    noise_scale = found.noise_scale
    if not 0 < noise_scale < float('inf'):
      raise _checks.refuse(
          owner, 'noise_scale', 'finite and > 0', noise_scale,
          f'it was found so: {found.verdict.rstrip(".")}',
      )
    between = f' ({low:,.3g} to {high:,.3g})'
  scale = float(_scale(owner, 'noise_scale', noise_scale))
  old = _checks.optional(_count)(owner, 'batch_size', batch_size)
  rate = _checks.optional(_checks.positive)(owner, 'learning_rate', learning_rate)
  exponent = float(rate_exponent(owner, 'exponent', exponent))
  if rate is not None and old is None:
    raise _checks.refuse(
        owner, 'batch_size', 'given with `learning_rate`', None,
        'a rate is tuned at some batch',
    )
  new = max(1, round(scale))
  value: dict[str, Any] = {'batch_size': new}
  times = lambda x: f'{x:,.3g} times'
  reason = (
      f'With a noise scale of {scale:,.6g} examples{between}, batches of {new:,.6g}'
      ' take twice the least steps and twice the least examples.'
  )
  if scale < 1:
    reason = (
        f'With a noise scale of {scale:,.3g} examples{between}, less than one, a batch'
        ' of one example is large enough.'
    )
  if old is not None:
    old = int(old)
    reason += (
        f' Batches of {old:,} take {times(1 + scale / old)} the least steps and'
        f' {times(1 + old / scale)} the least examples.'
    )
  if old is not None and rate is not None:
    value['learning_rate'] = float(rate) * rate_ratio(old, new, scale, exponent)
    reason += (
        f' The rate of {float(rate):.3g} at {old:,} becomes'
        f' {value["learning_rate"]:.3g} at {new:,.6g}.'
    )
  return _advice.Advice(
      value=value,
      reason=reason,
      caveat=(
          'Contested: the noise scale grows during training, so that of the end counts'
          ' for most steps, and it foretells the useful batch only to an order of'
          ' magnitude.'
      ),
      source=(
          'McCandlish et al., "An Empirical Model of Large-Batch Training", 2018 (arXiv'
          ' 1812.06162)'
      ),
  )
