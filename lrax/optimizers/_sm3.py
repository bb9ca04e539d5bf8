"""SM3."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_sm3


def sm3(
    learning_rate: Any, momentum: Numeric = 0.9
) -> optax.GradientTransformationExtraArgs:
  """SM3: AdaGrad, with a memory of rows and columns only.

  Formula:
    nu = min over the axes of their covers + g ** 2
    cover of an axis = max of nu over all other axes
    mu = momentum * mu + (1 - momentum) * g / sqrt(nu)
    parameter -= learning_rate * mu

    momentum may be a schedule: see `lrax.transforms.ScheduledState`, which keeps
    its value as b1.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    momentum: share of the average of directions that is kept, in [0, 1).

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype; where nu is 0 nothing is
    added.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Anil et al., "Memory-Efficient Adaptive Optimization", 2019, SM3-II; see
    `lrax.transforms.scale_by_sm3`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array([[3.0, -4.0]])}
    >>> tx = lrax.sm3(0.5, momentum=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> updates['w'].tolist()
    [[-0.5, 0.5]]
  """
  if not callable(momentum):
    momentum = _checks.decay('sm3', 'momentum', momentum)
  return optax.chain(scale_by_sm3(momentum), as_schedule(learning_rate, 'sm3'))
