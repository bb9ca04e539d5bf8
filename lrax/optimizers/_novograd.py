"""NovoGrad."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_novograd


def novograd(
    learning_rate: Any,
    b1: Numeric = 0.95,
    b2: Numeric = 0.98,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    weight_decay: Numeric = 0.0,
    *,
    averaging: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """NovoGrad: momentum of gradients of norm 1, with one number more an array.

  Formula:
    nu = b2 * nu + (1 - b2) * ||g|| ** 2, and ||g|| ** 2 as long as nu is 0
    mu = b1 * mu + g / (sqrt(nu + eps_root) + eps) + weight_decay * parameter
    parameter -= learning_rate * mu

    with one nu for each array. Each number may be a schedule: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of mu that is kept, in [0, 1).
    b2: share of the average of squared norms that is kept, in [0, 1).
    eps: added to the root, >= 0.
    eps_root: added under the root, >= 0.
    weight_decay: the decay that goes into mu, >= 0.
    averaging: whether what is added to mu is multiplied by 1 - b1.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or `update` is not given `params`.

  Source:
    Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive
    Moments", 2019, algorithm 1; see `lrax.transforms.scale_by_novograd`. Optax's
    defaults are 0.9, 0.25 and an eps of 1e-6.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array([3.0, -4.0])}
    >>> tx = lrax.novograd(0.5, eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> [round(float(u), 5) for u in updates['w']]
    [-0.3, 0.4]
  """
  direction = scale_by_novograd(
      b1, b2, eps, eps_root, weight_decay, averaging=averaging
  )
  return optax.chain(direction, as_schedule(learning_rate, 'novograd'))
