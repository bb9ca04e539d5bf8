"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_adam


def adamw(
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
    nesterov: bool = False,
    decay_coupling: str = 'rate',
    reference_rate: Numeric | None = None,
) -> optax.GradientTransformationExtraArgs:
  """AdamW: Adam, and a decay of the weights that no gradient scales.

  Formula:
    parameter -= learning_rate * adam + scale * weight_decay * parameter

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
    eps_root: added under that root, >= 0.
    mu_dtype: dtype of the average of gradients; None for the parameter's; 'block8'
      for 8 bits a number, see `lrax.transforms.Block8`.
    nu_dtype: how the average of squares is kept: None for float32 or wider; 'block8';
      or bfloat16, rounded up or down by chance, without which it would not decay.
    weight_decay: the coefficient lambda, a number >= 0.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.
    nesterov: whether to look one step ahead; see `nadamw`.
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
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019,
    algorithm 2. The paper multiplies the decay by the schedule's multiplier
    eta_t only, not by the peak rate, which is 'schedule'; so do Composer's
    `DecoupledAdamW` and optimi's `decouple_lr=True`. The default is that of Optax
    and PyTorch, where the whole rate multiplies it: the paper's lambda is
    `weight_decay` times the peak. Optax's 1e-4 is kept; PyTorch's is 1e-2.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.adamw(0.5, weight_decay=1.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -1.0
  """
  scale = scale_by_adam(
      b1, b2, eps, eps_root, mu_dtype, nu_dtype=nu_dtype, nesterov=nesterov
  )
  decay = _weight_decay.add_decayed_weights('adamw', weight_decay, mask)
  policy = as_schedule(learning_rate, 'adamw')
  return _weight_decay.couple(
      'adamw', scale, decay, policy, decay_coupling, reference_rate
  )
