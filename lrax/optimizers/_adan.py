"""Adan."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers import _proximal_decay
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_adan


def adan(
    learning_rate: Any,
    b1: Numeric = 0.98,
    b2: Numeric = 0.92,
    b3: Numeric = 0.99,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    weight_decay: Numeric = 0.0,
    mask: Any = None,
    *,
    proximal: bool = True,
) -> optax.GradientTransformationExtraArgs:
  """Adan: Nesterov's momentum from differences of gradients, and its decay.

  Formula:
    parameter = (parameter - learning_rate * direction)
                / (1 + learning_rate * weight_decay)

    with the direction of `lrax.transforms.scale_by_adan`; without `proximal`,

    parameter -= learning_rate * (direction + weight_decay * parameter)

    Each of b1, b2, b3, eps, eps_root and weight_decay may be a schedule: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of differences that is kept, and weight of the
      difference, in [0, 1).
    b3: share of the average of squares that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    eps_root: added under that root, >= 0.
    weight_decay: the coefficient lambda, a number >= 0.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.
    proximal: whether the decay divides after the step, as in the paper, or is
      subtracted with it, as in AdamW.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm", 2022, algorithm 1.
    The authors' code and timm do the same, and their `no_prox` is
    `proximal=False`, as Optax does always. Optax has an eps_root of 1e-8, and
    another weight of the differences: see `scale_by_adan`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(2.0)}
    >>> tx = lrax.adan(0.5, eps=0.0, weight_decay=2.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -1.25
  """
  direction = scale_by_adan(b1, b2, b3, eps, eps_root)
  decay = _weight_decay.add_decayed_weights('adan', weight_decay, mask)
  policy = as_schedule(learning_rate, 'adan')
  if _checks.flag('adan', 'proximal', proximal):
    return _proximal_decay.couple(direction, decay, policy)
  return _weight_decay.couple('adan', direction, decay, policy, 'rate', None)
