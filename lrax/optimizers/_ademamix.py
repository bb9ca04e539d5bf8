"""AdEMAMix."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_ademamix


def ademamix(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    b3: Numeric = 0.9999,
    alpha: Numeric = 5.0,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    weight_decay: Numeric = 0.0,
    mask: Any = None,
    *,
    nu_dtype: Any = None,
    warmup_steps: Numeric = 0,
    decay_coupling: str = 'rate',
    reference_rate: Numeric | None = None,
) -> optax.GradientTransformationExtraArgs:
  """AdEMAMix: AdamW with a second average, of tens of thousands of gradients.

  Formula:
    parameter -= learning_rate * (mu_hat + alpha_t * slow)
                 / (sqrt(nu_hat + eps_root) + eps)
                 + scale * weight_decay * parameter

    with the averages, alpha_t and the b3_t of slow of
    `lrax.transforms.scale_by_ademamix`, and by `decay_coupling` the scale

      'rate'      learning_rate, the default
      'schedule'  learning_rate / reference_rate
      'none'      1

    Each number but `warmup_steps` may be a schedule: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the fast average that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    b3: share of the slow average that is kept, in [0, 1).
    alpha: weight of the slow average, >= 0; 0 is AdamW.
    eps: added to the root of the average square, >= 0.
    eps_root: added under that root, >= 0.
    mu_dtype: dtype of the fast average; None for the parameter's; 'block8'
      for 8 bits a number, see `lrax.transforms.Block8`.
    nu_dtype: how the average of squares is kept: None for float32 or wider; 'block8';
      or bfloat16, rounded up or down by chance, without which it would not decay.
    weight_decay: the coefficient lambda, a number >= 0.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.
    warmup_steps: updates over which alpha and b3 grow, a whole number >= 0; the
      paper's is the length of the training.
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
    Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer: Better, Faster,
    Older", 2024, algorithm 1. Optax has no warm-ups; the order of arguments and
    the defaults are its own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.ademamix(0.5, b3=0.5, alpha=4.0, eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -1.5
  """
  direction = scale_by_ademamix(
      b1, b2, b3, alpha, eps, eps_root, mu_dtype,
      nu_dtype=nu_dtype, warmup_steps=warmup_steps,
  )
  decay = _weight_decay.add_decayed_weights('ademamix', weight_decay, mask)
  policy = as_schedule(learning_rate, 'ademamix')
  return _weight_decay.couple(
      'ademamix', direction, decay, policy, decay_coupling, reference_rate
  )
