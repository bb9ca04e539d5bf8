"""Lion."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_lion


def lion(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.99,
    mu_dtype: Any = None,
    weight_decay: Numeric = 1e-3,
    mask: Any = None,
    *,
    decay_coupling: str = 'rate',
    reference_rate: Numeric | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Lion: the sign of a momentum, and decoupled weight decay.

  Formula:
    parameter -= learning_rate * sign(b1 * mu + (1 - b1) * g)
                 + scale * weight_decay * parameter
    mu = b2 * mu + (1 - b2) * g

    and by `decay_coupling` the scale

      'rate'      learning_rate, the default
      'schedule'  learning_rate / reference_rate
      'none'      1

    Each number may be a schedule: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule. Every
      parameter moves by it, so that it is 3 to 10 times smaller than AdamW's.
    b1: share of the average in the update, in [0, 1).
    b2: share of the average of gradients that is kept, in [0, 1).
    mu_dtype: dtype of mu; None for the parameter's; 'block8'
      for 8 bits a number, see `lrax.transforms.Block8`.
    weight_decay: the coefficient lambda, a number >= 0; 3 to 10 times AdamW's.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.
    decay_coupling: 'rate', 'schedule' or 'none': what scales the decay. The rate
      is the one applied, with its override and scale. With 'none' the weights
      decay at a rate of 0 too.
    reference_rate: the rate, > 0, at which 'schedule' decays by `weight_decay`:
      the peak of the schedule. None for the rate itself where that is constant.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023,
    algorithm 2, where the whole rate multiplies the decay; Optax's 1e-3.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(2.0)}
    >>> tx = lrax.lion(0.5, weight_decay=0.25)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w'])
    -0.75
  """
  scale = scale_by_lion(b1, b2, mu_dtype)
  decay = _weight_decay.add_decayed_weights('lion', weight_decay, mask)
  policy = as_schedule(learning_rate, 'lion')
  return _weight_decay.couple(
      'lion', scale, decay, policy, decay_coupling, reference_rate
  )
