"""AdaMax."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_adamax


def adamax(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """AdaMax: an average of the gradient over the largest recent gradient.

  Formula:
    mu = b1 * mu + (1 - b1) * g
    nu = max(b2 * nu, |g| + eps)
    parameter -= learning_rate * mu / (1 - b1 ** t) / nu

    Each number may be a schedule: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the largest gradient that is kept at each update, in [0, 1).
    eps: added to the gradient inside the maximum, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype; where nu is 0 nothing moves.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Kingma and Ba, "Adam", 2015, algorithm 2, which has no eps and a rate of
    0.002. Optax and PyTorch are `eps=1e-8`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.adamax(0.5)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -0.5
  """
  return optax.chain(
      scale_by_adamax(b1, b2, eps), as_schedule(learning_rate, 'adamax')
  )
