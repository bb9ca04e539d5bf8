"""Another batch size: the linear rule for SGD, the square-root rule for Adam."""

from __future__ import annotations

import math

from lrax import _advice
from lrax import _checks

WARMUP_EPOCHS = 5

_count = _checks.number(
    'a whole number >= 1', lambda x: x >= 1, 'count examples', whole=True
)
_memory = _checks.number(
    'a number in (0, 1)',
    lambda x: 0 < x < 1,
    'the rule scales 1 minus it, the share that each batch adds',
)


def batch_sizes(owner: str, batch_size: int, new_batch_size: int) -> tuple[int, int]:
  """Both batch sizes, checked."""
  return (
      int(_count(owner, 'batch_size', batch_size)),
      int(_count(owner, 'new_batch_size', new_batch_size)),
  )


def linear_rule(
    learning_rate: float, batch_size: int, new_batch_size: int, examples: int
) -> _advice.Advice:
  """SGD's rate at another batch size: in proportion, after a warmup.

  Formula:
    k = new_batch_size / batch_size
    peak_value = k * learning_rate
    init_value = learning_rate, where the warmup starts
    warmup_steps = 5 * (examples // new_batch_size), and 0 for k <= 1

  Momentum and weight decay stay, and so does the number of epochs.

  Args:
    learning_rate: the rate tuned at `batch_size`, > 0.
    batch_size: examples in a batch, over all devices, when it was tuned.
    new_batch_size: examples in a batch, over all devices, from now on.
    examples: training examples in an epoch, at least `new_batch_size`.

  Returns:
    An `Advice` whose value is the keyword arguments of `lrax.warmup_constant`;
    other schedules with a warmup take them too.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour",
    2017, sections 2.1 and 2.2. They warm up for a growing batch only.

  Example:
    >>> import lrax
    >>> rule = lrax.scale.linear_rule(0.1, 256, 8192, examples=1_281_167)
    >>> round(rule.value['peak_value'], 6), rule.value['warmup_steps']
    (3.2, 780)
    >>> policy = lrax.warmup_constant(**rule.value)
  """
  owner = 'linear_rule'
  rate = float(_checks.positive(owner, 'learning_rate', learning_rate))
  old, new = batch_sizes(owner, batch_size, new_batch_size)
  examples = int(_count(owner, 'examples', examples))
  if new > examples:
    raise _checks.refuse(
        owner, 'new_batch_size', f'at most `examples` = {examples}', new,
        'an epoch is at least one update',
    )
  k = new / old
  peak = rate * k
  warmup_steps = WARMUP_EPOCHS * (examples // new) if k > 1 else 0
  ramp = (
      f'; it warms up from {rate:.3g} over {WARMUP_EPOCHS} epochs,'
      f' {warmup_steps:,} updates'
      if warmup_steps
      else ', without a warmup'
  )
  return _advice.Advice(
      value={
          'init_value': min(rate, peak),
          'peak_value': peak,
          'warmup_steps': warmup_steps,
      },
      reason=(
          f'A batch of {new:,} has {k:.3g} times as many examples as one of {old:,}, so'
          f" SGD's rate of {rate:.3g} becomes {peak:.3g}{ramp}."
      ),
      caveat=(
          'Contested: it was shown for ResNet-50 on ImageNet up to batches of about'
          ' 8,000 and failed above; Shallue et al. (2019) found no simple rule that'
          ' holds for all workloads. The loss must be the mean over the whole batch.'
      ),
      source=(
          'Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour",'
          ' 2017 (arXiv 1706.02677), sections 2.1 and 2.2'
      ),
  )


def square_root_rule(
    learning_rate: float,
    batch_size: int,
    new_batch_size: int,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> _advice.Advice:
  """Adam's rate, memories and eps at another batch size.

  Formula:
    k = new_batch_size / batch_size
    learning_rate * sqrt(k)
    1 - b1 becomes k * (1 - b1), and 1 - b2 becomes k * (1 - b2)
    eps / sqrt(k)

  The number of epochs stays: a schedule takes 1 / k of its steps.

  Args:
    learning_rate: the rate tuned at `batch_size`, > 0.
    batch_size: examples in a batch, over all devices, when it was tuned.
    new_batch_size: examples in a batch, over all devices, from now on.
    b1: share of the average of gradients that is kept, in [0, 1); 0, which is
      RMSProp, stays 0.
    b2: share of the average of squares that is kept, in (0, 1).
    eps: added to the root of the average square, >= 0.

  Returns:
    An `Advice` whose value is the keyword arguments of `lrax.adam` and its kin.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or the batch is so large that the
      rule would leave an average no memory.

  Source:
    Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient
    Algorithms", 2022, definitions 5.2 (RMSProp) and 5.3 (Adam).

  Example:
    >>> import lrax
    >>> rule = lrax.scale.square_root_rule(1e-3, 256, 1024)
    >>> {name: round(x, 10) for name, x in rule.value.items()}
    {'learning_rate': 0.002, 'b1': 0.6, 'b2': 0.996, 'eps': 5e-09}
    >>> tx = lrax.adamw(**rule.value)
  """
  owner = 'square_root_rule'
  rate = float(_checks.positive(owner, 'learning_rate', learning_rate))
  old, new = batch_sizes(owner, batch_size, new_batch_size)
  b1 = float(_checks.decay(owner, 'b1', b1))
  b2 = float(_memory(owner, 'b2', b2))
  eps = float(_checks.non_negative(owner, 'eps', eps))
  k = new / old
  for name, b in (('b1', b1), ('b2', b2)):
    if b and k * (1 - b) >= 1:
      raise _checks.refuse(
          owner, 'new_batch_size',
          f'below batch_size / (1 - {name}) = {old / (1 - b):.6g}', new,
          f'the rule would leave `{name}` no memory; use a smaller batch, or'
          ' linear_rule with SGD',
      )
  root = math.sqrt(k)
  # As 1 - k * (1 - b), but exactly b where k is 1.
  value = {
      'learning_rate': rate * root,
      'b1': b1 + (1 - k) * (1 - b1) if b1 else 0.0,
      'b2': b2 + (1 - k) * (1 - b2),
      'eps': eps / root,
  }
  return _advice.Advice(
      value=value,
      reason=(
          f'A batch of {new:,} has {k:.3g} times as many examples as one of {old:,}, so'
          f" Adam's rate of {rate:.3g} becomes {value['learning_rate']:.3g}, {root:.3g}"
          f" times as much, with b1 {value['b1']:.6g}, b2 {value['b2']:.6g} and eps"
          f" {value['eps']:.3g}; as many epochs now take {1 / k:.3g} times the updates."
      ),
      caveat=(
          'Contested: it is derived for gradients that are mostly noise, and fails for'
          ' batches so large that they are not; the theory leaves out weight decay.'
      ),
      source=(
          'Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient'
          ' Algorithms", 2022 (arXiv 2205.10287), definitions 5.2 and 5.3'
      ),
  )
