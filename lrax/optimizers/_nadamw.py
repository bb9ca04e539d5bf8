"""NadamW: Nadam with decoupled weight decay."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.optimizers import _nadam
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule


def nadamw(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    weight_decay: Numeric = 1e-4,
    mask: Any = None,
    *,
    nu_dtype: Any = None,
    momentum_decay: Numeric | None = None,
    decay_coupling: str = 'rate',
    reference_rate: Numeric | None = None,
) -> optax.GradientTransformationExtraArgs:
  """NadamW: Nadam, and a decay of the weights that no gradient scales.

  Formula:
    parameter -= learning_rate * nadam + scale * weight_decay * parameter

    with nadam the direction of `lrax.nadam`, and by `decay_coupling` the scale

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
    eps_root: added under that root, >= 0.
    mu_dtype: dtype of the average of gradients; None for the parameter's; 'block8'
      for 8 bits a number, see `lrax.transforms.Block8`.
    nu_dtype: how the average of squares is kept: None for float32 or wider; 'block8';
      or bfloat16, rounded up or down by chance, without which it would not decay.
    weight_decay: the coefficient lambda, a number >= 0.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.
    momentum_decay: None for a constant momentum; a number >= 0 for one that
      grows from b1 / 2 to b1 as b1 * (1 - 0.96 ** (t * momentum_decay) / 2).
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
    Dozat, 2016, with the decay of Loshchilov and Hutter, 2019; see `nadam` and
    `adamw` for where libraries differ. With None the same as Optax; with 4e-3
    the same as PyTorch's `NAdam(decoupled_weight_decay=True)`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.nadamw(0.5, b1=0.0, eps=0.0, weight_decay=1.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -1.0
  """
  scale = _nadam.direction(
      b1, b2, eps, eps_root, mu_dtype, nu_dtype, momentum_decay
  )
  decay = _weight_decay.add_decayed_weights('nadamw', weight_decay, mask)
  policy = as_schedule(learning_rate, 'nadamw')
  return _weight_decay.couple(
      'nadamw', scale, decay, policy, decay_coupling, reference_rate
  )
