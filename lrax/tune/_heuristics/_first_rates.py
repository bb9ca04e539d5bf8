"""Which rates to try first, and where the best is below divergence."""

from __future__ import annotations

import math

from lrax import _advice
from lrax import _checks

_BENGIO = (
    'Bengio, "Practical Recommendations for Gradient-Based Training of Deep'
    ' Architectures", 2012 (arXiv 1206.5533)'
)


def default_rate() -> _advice.Advice:
  """The rate to start from where nothing is known.

  Returns:
    An `Advice` with a rate, 0.01.

  Raises:
    Nothing.

  Source:
    Bengio, "Practical Recommendations for Gradient-Based Training of Deep
    Architectures", 2012, section on the hyper-parameters of the optimization:
    for plain stochastic gradient descent, from before Adam.

  Example:
    >>> import lrax
    >>> lrax.tune.default_rate().value
    0.01
  """
  return _advice.Advice(
      value=0.01,
      reason=(
          'A rate of 0.01 typically works for SGD on standard multi-layer networks'
          ' whose inputs are standardised or lie in (0, 1); rates that work lie'
          ' between 1e-06 and 1, so it is a place to start and not to stay.'
      ),
      source=_BENGIO,
  )


def rate_ladder(
    max_value: float = 1.0, min_value: float = 1e-6, factor: float = 3.0
) -> _advice.Advice:
  """The rates to try in turn, downwards until one does not diverge.

  Formula:
    rate[i] = max_value / factor ** i, as long as it is at least min_value

  Args:
    max_value: the first and largest, > 0.
    min_value: no rate is below it, > 0 and at most `max_value`.
    factor: the ratio of one rate to the next, > 1.

  Returns:
    An `Advice` with a tuple of rates.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range.

  Source:
    Bengio, "Practical Recommendations for Gradient-Based Training of Deep
    Architectures", 2012: rates between 1e-6 and 1, on a log scale, each a third
    of the one before, until training no longer diverges.

  Example:
    >>> import lrax
    >>> [round(rate, 3) for rate in lrax.tune.rate_ladder(min_value=0.01).value]
    [1.0, 0.333, 0.111, 0.037, 0.012]
  """
  owner = 'rate_ladder'
  max_value = float(_checks.positive(owner, 'max_value', max_value))
  min_value = float(_checks.positive(owner, 'min_value', min_value))
  factor = float(
      _checks.number('a number > 1', lambda x: x > 1, 'each rate is smaller')(
          owner, 'factor', factor
      )
  )
  if min_value > max_value:
    raise _checks.refuse(
        owner, 'min_value', f'at most `max_value`, {max_value}', min_value,
        'the ladder leads downwards',
    )
  # A rung on min_value counts in spite of rounding.
  last = math.floor(math.log(max_value / min_value) / math.log(factor) + 1e-9)
  rates = tuple(max_value / factor**i for i in range(last + 1))
  return _advice.Advice(
      value=rates,
      reason=(
          f'Try {len(rates)} rates from {rates[0]:.3g} down to {rates[-1]:.3g}, each'
          f' {factor:.3g} times smaller, and stop at the first that does not diverge:'
          ' the best is usually within a factor of 2 of the largest such rate.'
      ),
      source=_BENGIO,
  )


def below_divergence(learning_rate: float) -> _advice.Advice:
  """Where the best rate is likely to be, from the largest that trains.

  Formula:
    learning_rate / 2 <= best <= learning_rate

  Args:
    learning_rate: the largest rate that did not diverge, > 0, in runs at one
      rate each. That of a range test is no such rate: it was held for one step.

  Returns:
    An `Advice` with a pair of rates, the larger first.

  Raises:
    TypeError: `learning_rate` is no real scalar.
    ValueError: `learning_rate` is out of range.

  Source:
    Bengio, "Practical Recommendations for Gradient-Based Training of Deep
    Architectures", 2012: usually within a factor of 2 of the largest rate that
    does not make training diverge. Smith, 2017, section 3.3, repeats it.

  Example:
    >>> import lrax
    >>> lrax.tune.below_divergence(0.3).value
    (0.3, 0.15)
  """
  rate = float(_checks.positive('below_divergence', 'learning_rate', learning_rate))
  return _advice.Advice(
      value=(rate, rate / 2),
      reason=(
          f'{rate:.3g} is the largest rate that does not diverge, and the best is'
          f' usually within a factor of 2 of that: from {rate / 2:.3g} to {rate:.3g}.'
      ),
      source=_BENGIO,
  )
