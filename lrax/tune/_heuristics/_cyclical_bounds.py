"""The bounds and the length of a cycle, read off a range test."""

from __future__ import annotations

import numpy as np

from lrax import _advice
from lrax import _checks
from lrax.tune import _range_test

BASES = ('max/4', 'max/3', 'falls')
BEGUN = 0.1  # the share of its fall after which a loss has started to fall

_SMITH = (
    'Smith, "Cyclical Learning Rates for Training Neural Networks", 2017'
    ' (arXiv 1506.01186), sections 3.2 and 3.3'
)
_count = _checks.number(
    'a whole number >= 1', lambda x: x >= 1, 'count examples', whole=True
)


def cyclical_bounds(
    test: _range_test.RangeTest,
    examples: int,
    batch_size: int,
    epochs: float = 4,
    base: str = 'max/4',
) -> _advice.Advice:
  """The arguments of `lrax.cyclical`, read off a range test.

  Formula:
    peak_value = the rate where the smoothed loss is lowest, the geometric mean of
    the seeds', and at most `test.largest_stable`
    init_value = peak_value / 4, or / 3, or with 'falls' the rate where a tenth of
    the fall of the smoothed loss is done
    up_steps = epochs * (examples // batch_size)

  Args:
    test: a range test that suggests a rate.
    examples: training examples in an epoch, a whole number >= 1.
    batch_size: examples in a batch, a whole number from 1 to `examples`.
    epochs: how many of them a rate takes from the bottom to the top, 2 to 10.
    base: what the lower bound is: 'max/4', 'max/3' or 'falls'.

  Returns:
    An `Advice` whose value is the keyword arguments of `lrax.cyclical`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, `test` suggests no rate, or with
      'falls' its loss starts to fall only at the upper bound.

  Source:
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017: section
    3.3 for the bounds, 3.2 for the length; 4 epochs are those of section 4.1.
    He reads by eye an accuracy that slows, becomes ragged or falls, and over a
    linear ramp; this reads where the loss stops falling, over a geometric one.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> import numpy as np
    >>> x = np.linspace(-1.0, 1.0, 32)
    >>> data = lrax.tasks.Arrays((x, 3 * x), batch_size=8)
    >>> loss = lambda w, batch, key: jnp.mean((w * batch[0] - batch[1]) ** 2)
    >>> task = lrax.tasks.Task(lambda key: jnp.zeros(()), loss, data, data, steps=100)
    >>> test = lrax.tune.range_test(task, 'sgd', seeds=1)
    >>> advice = lrax.tune.cyclical_bounds(test, examples=32, batch_size=8)
    >>> policy = lrax.cyclical(**advice.value, mode='triangular2')
    >>> advice.value['up_steps'], float(policy(16)) / float(policy(0))
    (16, 4.0)
  """
  owner = 'cyclical_bounds'
  if not isinstance(test, _range_test.RangeTest):
    raise _checks.refuse(
        owner, 'test', 'a RangeTest', test, 'lrax.tune.range_test makes one', TypeError
    )
  examples = int(_count(owner, 'examples', examples))
  batch_size = int(_count(owner, 'batch_size', batch_size))
  if batch_size > examples:
    raise _checks.refuse(
        owner, 'batch_size', f'at most `examples` = {examples}', batch_size,
        'an epoch is at least one update',
    )
  epochs = _checks.number(
      'a number from 2 to 10', lambda x: 2 <= x <= 10, 'the rule knows no other length'
  )(owner, 'epochs', epochs)
  base = _checks.choice(*BASES)(owner, 'base', base)
  if not np.isfinite(test.learning_rate):
    raise _checks.refuse(
        owner, 'test', 'a range test that suggests a rate', test.learning_rate,
        test.verdict.rstrip('.'),
    )
  peak, began = _read(test)
  stable = peak <= test.largest_stable
  peak = min(peak, test.largest_stable)
  bottom = {'max/4': peak / 4, 'max/3': peak / 3, 'falls': began}[base]
  if not bottom < peak:
    raise _checks.refuse(
        owner, 'base', f"'max/4' or 'max/3' where the loss falls from {began:.3g} on",
        base, f'the upper bound is {peak:.3g}',
    )
  epoch = examples // batch_size
  up_steps = round(epochs * epoch)
  where = (
      'where the loss stops falling' if stable
      else 'up to which the loss of every seed was stable'
  )
  below = {
      'max/4': 'a quarter of it',
      'max/3': 'a third of it',
      'falls': 'where the loss has begun to fall',
  }[base]
  reason = (
      f'The upper bound is {peak:.3g}, {where}, and the lower {bottom:.3g}, {below};'
      f' up in {up_steps:,} updates, {epochs:.3g} epochs of {epoch:,}, and down in as'
      ' many.'
  )
  lowest = [int(np.nanargmin(s)) for s in _fallen(test)]
  if max(lowest) >= len(test.learning_rates) - 2:
    reason += (
        ' The loss was still falling at the end of the ramp, so the upper bound may be'
        ' higher.'
    )
  value = {'init_value': bottom, 'peak_value': peak, 'up_steps': up_steps}
  return _advice.Advice(value, reason, _SMITH)


def _fallen(test: _range_test.RangeTest) -> np.ndarray:
  """The smoothed losses of the seeds whose loss fell."""
  return test.smoothed[np.isfinite(test.suggestions)]


def _read(test: _range_test.RangeTest) -> tuple[float, float]:
  """The rates where the loss stops and where it starts falling, over the seeds."""
  stops, starts = [], []
  for curve in _fallen(test):
    lowest = int(np.nanargmin(curve))
    start = curve[: min(5, lowest)].mean()
    level = start - BEGUN * (start - curve[lowest])
    above = np.flatnonzero(curve[: lowest + 1] > level)
    stops.append(test.learning_rates[lowest])
    starts.append(test.learning_rates[above[-1] + 1])
  mean = lambda rates: float(np.exp(np.log(rates).mean()))
  return mean(stops), mean(starts)
