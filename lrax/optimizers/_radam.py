"""RAdam."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_radam


def radam(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    threshold: Numeric = 4.0,
    *,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """RAdam: Adam with a warm-up that its own divisor's uncertainty gives.

  Formula:
    parameter -= learning_rate * r * mu_hat / (sqrt(nu_hat + eps_root) + eps)

    where rho > threshold, and learning_rate * mu_hat elsewhere; rho and r, which
    grow with the count of updates, are those of
    `lrax.transforms.scale_by_radam`. b1, eps and eps_root may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    eps_root: added under that root, >= 0.
    threshold: the length rho, in updates, above which the divisor is used, >= 4.
    nesterov: whether to look one step ahead.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype. The first few updates are
    of the size of the rate times the gradient.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020,
    algorithm 2, with Adam's eps. PyTorch, Optax and the authors' code rectify
    from a length of 5 on: `threshold=5.0`; see `scale_by_radam`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.radam(0.5)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -0.5
  """
  return optax.chain(
      scale_by_radam(b1, b2, eps, eps_root, threshold, nesterov=nesterov),
      as_schedule(learning_rate, 'radam'),
  )
