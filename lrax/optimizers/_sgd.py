"""Gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers._velocity import velocity
from lrax.schedules import as_schedule


def sgd(
    learning_rate: Any,
    momentum: Numeric | None = None,
    nesterov: bool = False,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """Stochastic gradient descent, with heavy-ball or Nesterov momentum.

  Formula:
    velocity = momentum * velocity + g
    parameter -= learning_rate * velocity

    with `nesterov`, momentum * velocity + g takes the place of velocity. momentum
    may be a schedule: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    momentum: share of the velocity that is kept, in [0, 1); None for plain
      gradient descent, which keeps no velocity.
    nesterov: whether to look one step ahead.
    accumulator_dtype: dtype of the velocity; None for the parameter's.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Polyak, 1964; Nesterov, 1983, in the form of Sutskever et al., "On the
    importance of initialization and momentum in deep learning", 2013, where the
    rate scales the velocity afterwards, so that a change of the rate acts at
    once. The same as Optax and as PyTorch with dampening 0.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.sgd(0.5, momentum=0.9)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -0.5
  """
  nesterov = _checks.flag('sgd', 'nesterov', nesterov)
  policy = as_schedule(learning_rate, 'sgd')
  _checks.dtype('sgd', 'accumulator_dtype', accumulator_dtype)
  if momentum is None:
    _checks.needs_momentum('sgd', nesterov)
    return optax.chain(policy)
  return optax.chain(velocity('sgd', momentum, nesterov, accumulator_dtype), policy)
