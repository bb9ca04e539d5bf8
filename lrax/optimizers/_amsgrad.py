"""AMSGrad."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_amsgrad


def amsgrad(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = False,
    bias_correction_nu: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """AMSGrad: Adam whose divisor never shrinks.

  Formula:
    mu = b1 * mu + (1 - b1) * g, nu = b2 * nu + (1 - b2) * g ** 2
    nu_max = max(nu_max, nu)
    parameter -= learning_rate * mu / (sqrt(nu_max + eps_root) + eps)

    Each number may be a schedule: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    eps_root: added under that root, >= 0.
    mu_dtype: dtype of the average of gradients; None for the parameter's.
    bias_correction_mu: whether to correct mu for its start at 0.
    bias_correction_nu: whether to correct nu before the maximum.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", 2018,
    algorithm 2, which corrects neither. Optax corrects both by default: pass
    True twice. PyTorch corrects the maximum afterwards, which is neither.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.amsgrad(0.5, b1=0.0, b2=0.75, eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -1.0
  """
  scale = scale_by_amsgrad(
      b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu
  )
  return optax.chain(scale, as_schedule(learning_rate, 'amsgrad'))
