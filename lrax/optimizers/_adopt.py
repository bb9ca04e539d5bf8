"""ADOPT."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_adopt


def adopt(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.9999,
    eps: Numeric = 1e-6,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_power: Numeric = 0.25,
) -> optax.GradientTransformationExtraArgs:
  """ADOPT: an Adam that converges with any b2.

  Formula:
    at the first update, t = 0, nothing moves, and nu = g ** 2; then
      scaled = g / max(sqrt(nu), eps), between -(t ** clip_power) and t ** clip_power
      mu = b1 * mu + (1 - b1) * scaled
      parameter -= learning_rate * mu
      nu = b2 * nu + (1 - b2) * g ** 2

    b1, b2 and eps may be schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of scaled gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: the least divisor, >= 0.
    mu_dtype: dtype of mu; None for the parameter's.
    nesterov: whether to look one step ahead.
    use_clipping: whether scaled gradients are bounded.
    clip_power: how fast the bound grows, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype. The first moves nothing,
    while the schedule of the rate goes on.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any beta2 with the
    Optimal Rate", 2024, algorithm 2. Optax takes a function of t for the bound.
    For decoupled decay put `optax.add_decayed_weights` between
    `lrax.transforms.scale_by_adopt` and the rate; it then acts at the first
    update too, as pytorch_optimizer does and the authors do not.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.adopt(0.5, b1=0.0)
    >>> nothing, state = tx.update(params, tx.init(params), params)
    >>> updates, state = tx.update(params, state, params)
    >>> float(updates['w'])
    -0.5
  """
  direction = scale_by_adopt(
      b1, b2, eps, mu_dtype,
      nesterov=nesterov, use_clipping=use_clipping, clip_power=clip_power,
  )
  return optax.chain(direction, as_schedule(learning_rate, 'adopt'))
