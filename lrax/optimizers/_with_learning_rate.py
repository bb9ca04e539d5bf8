"""Gives any transformation a learning rate."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax.schedules import as_schedule


def with_learning_rate(
    transform: optax.GradientTransformation, learning_rate: Any
) -> optax.GradientTransformationExtraArgs:
  """Puts a learning-rate policy behind any Optax transformation.

  Formula:
    parameter -= learning_rate * transform(g)

  Args:
    transform: a transformation that gives a direction, such as
      `optax.scale_by_lion()`; not an optimizer, which has a rate already.
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: the rate is negative or not finite.

  Source:
    `optax.chain`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> import optax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.with_learning_rate(optax.scale_by_lion(), 0.5)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.5, 0.5)
  """
  owner = 'with_learning_rate'
  if not isinstance(transform, optax.GradientTransformation):
    raise _checks.refuse(
        owner, 'transform', 'an optax.GradientTransformation', transform,
        'for example optax.scale_by_lion()', TypeError,
    )
  return optax.chain(transform, as_schedule(learning_rate, owner))
