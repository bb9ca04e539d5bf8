"""CAME: Adafactor with confidence."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_came
from lrax.transforms._in_full import in_full


def came(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    b3: Numeric = 0.9999,
    eps: Numeric = 1e-30,
    residual_eps: Numeric = 1e-16,
    clipping_threshold: Numeric = 1.0,
    mu_dtype: Any = None,
    weight_decay: Numeric = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """CAME: Adafactor's step over the root of how much it has wavered.

  Formula:
    parameter -= learning_rate * (came + weight_decay * parameter)

    with came the direction of `lrax.transforms.scale_by_came`. Each number may be
    a schedule: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of steps that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    b3: share of the average of squared residuals that is kept, in [0, 1).
    eps: added to the square of the gradient, >= 0.
    residual_eps: added to the square of the residual, >= 0.
    clipping_threshold: bound on the root mean square of a step, > 0.
    mu_dtype: dtype of the average of steps; None for the parameter's.
    weight_decay: the coefficient of the decay, >= 0.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.

  Returns:
    An `optax.GradientTransformationExtraArgs`; its update needs `params`. Its
    state ends with a `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Luo et al., "CAME: Confidence-guided Adaptive Memory Efficient Optimization",
    2023, algorithm 2; the decay is that of the authors' code. The first updates
    of a matrix are long, for s is not corrected for its start at 0: warm the rate
    up. The paper's rates are those of Adam or lower.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'bias': jnp.array([2.0, -3.0])}
    >>> tx = lrax.came(0.5, b1=0.5, b2=0.75)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> updates['bias'].tolist()
    [-0.25, 0.25]
  """
  direction = scale_by_came(
      b1, b2, b3, eps, residual_eps, clipping_threshold, mu_dtype
  )
  decay = _weight_decay.add_decayed_weights('came', weight_decay, mask)
  policy = as_schedule(learning_rate, 'came')
  return in_full(optax.chain(direction, decay, policy))
