"""AdaBelief."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_belief


def adabelief(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-16,
    eps_root: Numeric = 1e-16,
    *,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """AdaBelief: large steps where the gradient is as expected.

  Formula:
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * (g - mu) ** 2 + eps_root
    parameter -= learning_rate * mu_hat / (sqrt(nu_hat) + eps)

    with mu_hat = mu / (1 - b1 ** t) and nu_hat = nu / (1 - b2 ** t). Each number
    may be a schedule: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    eps_root: added to the average square at each update, >= 0.
    nesterov: whether to look one step ahead.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Zhuang et al., "AdaBelief Optimizer", 2020, algorithm 2, the same as Optax. For
    the decoupled decay of the authors' code put `optax.add_decayed_weights`
    between `lrax.transforms.scale_by_belief` and the rate.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.adabelief(0.5, b1=0.5, b2=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -1.0
  """
  return optax.chain(
      scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov),
      as_schedule(learning_rate, 'adabelief'),
  )
