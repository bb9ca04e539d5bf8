"""Lengths in steps, from what people know: epochs, examples, batches."""

from __future__ import annotations

import math

from lrax import _checks

_epochs = _checks.number(
    'a finite number >= 0', lambda x: x >= 0, 'how often the data is gone through'
)


def steps_for(
    epochs: float,
    examples: int,
    batch_size: int,
    *,
    drop_remainder: bool = False,
    accumulation_steps: int = 1,
) -> int:
  """How many optimizer updates so many epochs take.

  Args:
    epochs: passes over the data, a finite number >= 0; a fraction is of the
      updates, rounded to the nearest.
    examples: examples in the data, a whole number >= 1.
    batch_size: examples in a batch on all devices together, a whole number >= 1.
    drop_remainder: whether the last, smaller batch of an epoch is left out.
    accumulation_steps: batches that make one update, a whole number >= 1.
      Batches that an epoch leaves over count for the next one, as in
      `optax.MultiSteps`.

  Returns:
    The number of updates, an int.

  Raises:
    TypeError: an argument is no number.
    ValueError: an argument is out of range, or no batch is left.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> lrax.steps_for(epochs=3, examples=1000, batch_size=128)
    24
    >>> lrax.steps_for(3, 1000, 128, drop_remainder=True, accumulation_steps=2)
    10
  """
  owner = 'steps_for'
  epochs = _epochs(owner, 'epochs', epochs)
  examples = _checks.positive_steps(owner, 'examples', examples)
  batch_size = _checks.positive_steps(owner, 'batch_size', batch_size)
  accumulation = _checks.positive_steps(
      owner, 'accumulation_steps', accumulation_steps
  )
  if _checks.flag(owner, 'drop_remainder', drop_remainder):
    batches = examples // batch_size
  else:
    batches = -(-examples // batch_size)
  if not batches:
    raise _checks.refuse(
        owner, 'batch_size', f'at most the {examples} examples with `drop_remainder`',
        batch_size, 'no batch is left',
    )
  return int(math.floor(epochs * batches + 0.5)) // accumulation


def untuned_warmup_steps(b2: float = 0.999) -> int:
  """The warmup that Adam needs without tuning: 2 / (1 - b2) steps.

  Args:
    b2: Adam's share of the average of squares that is kept, in [0, 1).

  Returns:
    The length, an int: 2000 for 0.999.

  Raises:
    TypeError: `b2` is no number.
    ValueError: `b2` is out of range.

  Source:
    Ma and Yarats, "On the adequacy of untuned warmup for adaptive
    optimization", 2021, section 5.

  Example:
    >>> import lrax
    >>> steps = lrax.schedules.untuned_warmup_steps(0.99)
    >>> steps, lrax.constant(1e-3).with_warmup(steps)
    (200, constant(0.001).with_warmup(200))
  """
  b2 = _checks.decay('untuned_warmup_steps', 'b2', b2)
  # 2 / (1 - 0.999) is 1999.9999999999982 in floats.
  return math.ceil(2 / (1 - b2) - 1e-6)
