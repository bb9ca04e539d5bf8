"""Yogi."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_yogi


def yogi(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-3,
    initial_accumulator_value: Numeric = 1e-6,
) -> optax.GradientTransformationExtraArgs:
  """Yogi: Adam whose divisor moves by the square of a gradient at most.

  Formula:
    mu = b1 * mu + (1 - b1) * g
    nu = nu - (1 - b2) * sign(nu - g ** 2) * g ** 2
    parameter -= learning_rate * mu / (sqrt(nu) + eps)

    b1, b2 and eps may be schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: one minus the share of g ** 2 by which nu moves, in [0, 1).
    eps: added to the root of nu, >= 0.
    initial_accumulator_value: what nu starts from, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Zaheer et al., "Adaptive Methods for Nonconvex Optimization", 2018,
    algorithm 2, with a rate of 0.01. Optax and torch-optimizer correct a bias,
    and move on a zero gradient; see `lrax.transforms.scale_by_yogi`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.yogi(0.5, b1=0.5, b2=0.75, eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -0.5
  """
  direction = scale_by_yogi(
      b1, b2, eps, initial_accumulator_value=initial_accumulator_value
  )
  return optax.chain(direction, as_schedule(learning_rate, 'yogi'))
