"""Adam."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_adam


def adam(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    nu_dtype: Any = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Adam: an average of the gradient over the root of one of its square.

  Formula:
    mu = b1 * mu + (1 - b1) * g, nu = b2 * nu + (1 - b2) * g ** 2
    mu_hat = mu / (1 - b1 ** t), nu_hat = nu / (1 - b2 ** t)
    parameter -= learning_rate * mu_hat / (sqrt(nu_hat + eps_root) + eps)

    Each number may be a schedule: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    eps_root: added under that root, >= 0.
    mu_dtype: dtype of the average of gradients; None for the parameter's; 'block8'
      for 8 bits a number, see `lrax.transforms.Block8`.
    nu_dtype: how the average of squares is kept: None for float32 or wider; 'block8';
      or bfloat16, rounded up or down by chance, without which it would not decay.
    nesterov: whether to look one step ahead; see `nadam`.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015,
    algorithm 1. The same as Optax and PyTorch.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.adam(0.5)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -0.5
  """
  scale = scale_by_adam(
      b1, b2, eps, eps_root, mu_dtype, nu_dtype=nu_dtype, nesterov=nesterov
  )
  return optax.chain(scale, as_schedule(learning_rate, 'adam'))
