"""MARS."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_mars


def mars(
    learning_rate: Any,
    b1: Numeric = 0.95,
    b2: Numeric = 0.99,
    eps: Numeric = 1e-8,
    gamma: Numeric = 0.025,
    mu_dtype: Any = None,
    weight_decay: Numeric = 0.0,
    mask: Any = None,
    *,
    nu_dtype: Any = None,
    decay_coupling: str = 'rate',
    reference_rate: Numeric | None = None,
) -> optax.GradientTransformationExtraArgs:
  """MARS-AdamW: AdamW of gradients that a look back makes less noisy.

  Formula:
    c = g + gamma * b1 / (1 - b1) * (g - gradient before), g at the first update
    c = c / max(1, ||c||), with the norm of each array by itself
    parameter -= learning_rate * adam(c) + scale * weight_decay * parameter

    with adam the direction of `lrax.adam`, and by `decay_coupling` the scale

      'rate'      learning_rate, the default
      'schedule'  learning_rate / reference_rate
      'none'      1

    Each number may be a schedule: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    gamma: strength of the correction, >= 0.
    mu_dtype: dtype of the average of gradients; None for the parameter's; 'block8'
      for 8 bits a number, see `lrax.transforms.Block8`.
    nu_dtype: how the average of squares is kept: None for float32 or wider; 'block8';
      or bfloat16, rounded up or down by chance, without which it would not decay.
    weight_decay: the coefficient lambda, a number >= 0.
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
    Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training
    Large Models", 2024, algorithm 2, in its approximate form: see
    `lrax.transforms.scale_by_mars`. The authors' code trains all arrays but those
    of two axes by AdamW instead: `optax.partition` does that.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.mars(0.5, eps=0.0, weight_decay=1.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -1.0
  """
  direction = scale_by_mars(b1, b2, eps, gamma, mu_dtype, nu_dtype=nu_dtype)
  decay = _weight_decay.add_decayed_weights('mars', weight_decay, mask)
  policy = as_schedule(learning_rate, 'mars')
  return _weight_decay.couple(
      'mars', direction, decay, policy, decay_coupling, reference_rate
  )
