"""RMSProp."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers._velocity import velocity
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_rms


def rmsprop(
    learning_rate: Any,
    decay: Numeric = 0.9,
    eps: Numeric = 1e-8,
    initial_scale: Numeric = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Numeric | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """RMSProp: the gradient over the root of an average of its square.

  Formula:
    nu = decay * nu + (1 - decay) * g ** 2
    velocity = momentum * velocity + g / sqrt(nu + eps)
    parameter -= learning_rate * velocity

    with `centered`, the variance nu - mu ** 2 takes the place of nu. decay, eps
    and momentum may be schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    decay: share of the averages that is kept, in [0, 1).
    eps: keeps the divisor above 0, >= 0.
    initial_scale: what nu starts from, >= 0.
    eps_in_sqrt: whether eps is added under the root, or else to it.
    centered: whether to divide by the standard deviation instead.
    momentum: share of the velocity that is kept, in [0, 1); None for none.
    nesterov: whether the momentum looks one step ahead.
    bias_correction: whether to correct the averages for their start at 0.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012; centred
    with momentum: Graves, "Generating Sequences With Recurrent Neural
    Networks", 2013, equations 38 to 45. Optax and Graves keep the rate inside
    the velocity; here, as in PyTorch, it scales the velocity, so that a change
    of the rate acts at once; at a constant rate they agree. PyTorch is
    `decay=0.99, eps_in_sqrt=False`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.rmsprop(0.5, decay=0.75, eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -1.0
  """
  nesterov = _checks.flag('rmsprop', 'nesterov', nesterov)
  links: list[optax.GradientTransformation] = [
      scale_by_rms(
          decay, eps, initial_scale, eps_in_sqrt, bias_correction, centered
      )
  ]
  if momentum is None:
    _checks.needs_momentum('rmsprop', nesterov)
  else:
    links.append(velocity('rmsprop', momentum, nesterov))
  return optax.chain(*links, as_schedule(learning_rate, 'rmsprop'))
