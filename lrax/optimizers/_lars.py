"""LARS: a rate for each layer, for large batches."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers._velocity import velocity
from lrax.schedules import as_schedule
from lrax.transforms._in_full import in_full
from lrax.transforms._scale_by_lars import layerwise


def lars(
    learning_rate: Any,
    weight_decay: Numeric = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: Numeric = 0.001,
    eps: Numeric = 0.0,
    trust_ratio_mask: Any = True,
    momentum: Numeric = 0.9,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """LARS: momentum whose steps are in proportion to each layer's weights.

  Formula:
    ratio = trust_coefficient * norm(parameter)
      / (norm(g) + weight_decay * norm(parameter) + eps),
      and 1 where the norm of the gradient or of the parameter is 0
    velocity = momentum * velocity + ratio * (g + weight_decay * parameter)
    parameter -= learning_rate * velocity

    The numbers may be schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule. The
      trust coefficient makes it a thousand times that of SGD.
    weight_decay: the coefficient beta, >= 0.
    weight_decay_mask: True, False, a tree of bools that is a prefix of the
      parameters, or a function of them that gives one: where to decay. Biases and
      the parameters of normalisations are usually left out of both masks.
    trust_coefficient: eta, >= 0: how much of its norm a leaf may move.
    eps: added to the divisor, >= 0.
    trust_ratio_mask: as `weight_decay_mask`: where the ratio scales; elsewhere it
      is 1, and the rate is that of SGD.
    momentum: share of the velocity that is kept, in [0, 1).
    nesterov: whether the momentum looks one step ahead.

  Returns:
    An `optax.GradientTransformationExtraArgs`; its update needs `params`. Its
    state ends with a `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    You et al., "Large Batch Training of Convolutional Networks", 2017, equation
    6 and algorithm 1. The paper and Optax keep the rate inside the velocity; here,
    as in timm, it scales the velocity, so that a change of the rate acts at once;
    at a constant rate they agree. Optax divides by the norm of
    g + weight_decay * parameter.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array([3.0, 4.0])}
    >>> tx = lrax.lars(1.0, trust_coefficient=0.5)
    >>> gradient = {'w': jnp.array([0.0, 2.0])}
    >>> updates, state = tx.update(gradient, tx.init(params), params)
    >>> updates['w'].tolist()
    [-0.0, -2.5]
  """
  nesterov = _checks.flag('lars', 'nesterov', nesterov)
  direction = layerwise(
      'lars', weight_decay, weight_decay_mask, trust_coefficient, eps,
      trust_ratio_mask,
  )
  policy = as_schedule(learning_rate, 'lars')
  return in_full(optax.chain(direction, velocity('lars', momentum, nesterov), policy))
