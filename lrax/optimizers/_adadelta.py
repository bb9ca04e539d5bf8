"""AdaDelta."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_adadelta


def adadelta(
    learning_rate: Any = 1.0,
    rho: Numeric = 0.95,
    eps: Numeric = 1e-6,
    weight_decay: Numeric = 0.0,
    weight_decay_mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """AdaDelta: steps of the size of past steps, so that no rate is needed.

  Formula:
    g = g + weight_decay * parameter
    e_g = rho * e_g + (1 - rho) * g ** 2
    step = sqrt(e_x + eps) / sqrt(e_g + eps) * g
    e_x = rho * e_x + (1 - rho) * step ** 2
    parameter -= learning_rate * step

    rho, eps and weight_decay may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule. The
      method as published has none, which is 1.
    rho: share of both averages that is kept, in [0, 1).
    eps: added under both roots, > 0; the first steps are about sqrt(eps).
    weight_decay: added to the gradient times the parameter, >= 0.
    weight_decay_mask: a tree of bools like the parameters, or a function of them
      that gives one: where to decay. None for everywhere.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, algorithm 1 and
    section 4.1, without decay. PyTorch and Optax have rho = 0.9, and the same
    decay, which enters the averages.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.adadelta(rho=0.0, eps=1.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 4)
    -0.7071
  """
  return optax.chain(
      _weight_decay.add_decayed_weights('adadelta', weight_decay, weight_decay_mask),
      scale_by_adadelta(rho, eps),
      as_schedule(learning_rate, 'adadelta'),
  )
