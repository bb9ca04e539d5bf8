"""Schedule-Free AdamW."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers import _schedule_free
from lrax.optimizers import _weight_decay
from lrax.optimizers._schedule_free_sgd import warmed_up
from lrax.transforms import scale_by_rms
from lrax.transforms._bias_correction import bias_correction
from lrax.transforms._scheduled import scheduled


@scheduled('eps', 'weight_decay', 'weight_lr_power', 'r')
def schedule_free_adamw(
    learning_rate: Any = 0.0025,
    warmup_steps: int | None = None,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    weight_decay: Numeric = 0.0,
    weight_lr_power: Numeric = 2.0,
    state_dtype: Any = None,
    *,
    r: Numeric = 0.0,
    maximal_rate: bool = False,
    divide_by_weight: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Schedule-Free AdamW: an average of the iterates in place of a schedule.

  Evaluate, and save, `lrax.eval_params(state, params)`.

  Formula:
    nu = b2 * nu + (1 - b2) * g ** 2, with g the gradient at y
    a = learning_rate * sqrt(1 - b2 ** t)
    z = z - a * (g / (sqrt(nu) + eps) + weight_decay * y)

    and x and y as in `lrax.schedule_free` with a for its rate. eps, weight_decay,
    weight_lr_power and r may be schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    warmup_steps: updates over which the rate rises from 0; None for none.
    b1: share of the average x in y, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root, >= 0.
    weight_decay: coefficient of the decay at y, >= 0.
    weight_lr_power: the power of the rate in the weights of the average, >= 0.
    state_dtype: dtype of z; None for float32 or the parameter's wider one.
    r: the power of the step in those weights, >= 0.
    maximal_rate: whether the weights are made of the largest rate so far.
    divide_by_weight: whether nu is divided by 1 - b2 ** t, in place of the factor
      of the rate, as in Adam.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a
    `lrax.optimizers.ScheduleFreeState`, which ends with a
    `lrax.LearningRateState`, whose rate is without the factor sqrt(1 - b2 ** t);
    updates keep their dtype. `update` needs `params`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Defazio et al., "The Road Less Scheduled", 2024, algorithm 1. Optax
    and the authors' `AdamWScheduleFree` are `maximal_rate=True,
    divide_by_weight=True`, the authors' `AdamWScheduleFreePaper` has the first of
    them; save for the package's warm-up, which starts at 1 / warmup_steps, and
    Optax's weights of a schedule, which it reads a step ahead.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(4.0)}
    >>> tx = lrax.schedule_free_adamw(0.5, eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -0.5
  """
  owner = 'schedule_free_adamw'
  divide = _checks.flag(owner, 'divide_by_weight', divide_by_weight)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  policy = warmed_up(owner, learning_rate, warmup_steps)

  def factor(count: jax.Array) -> jax.Array:
    return jnp.sqrt(bias_correction(b2, count))

  scale: Any = scale_by_rms(
      b2, eps, eps_in_sqrt=False, bias_correction=divide
  )
  decay = _weight_decay.add_decayed_weights(owner, weight_decay, None)
  transform = optax.chain(scale, decay)
  if not divide:
    transform = _times(transform, factor)
  return _schedule_free.average(
      owner, transform, policy, b1, weight_lr_power, state_dtype, r, maximal_rate,
      None if divide else factor,
  )


def _times(transform: Any, factor: Any) -> optax.GradientTransformationExtraArgs:
  """The transformation times a function of the update's number, from 1."""
  inner = optax.with_extra_args_support(transform)

  def update(updates, state: Any, params=None, **extra_args):
    updates, state = inner.update(updates, state, params, **extra_args)
    rms: Any = state[0]
    times = factor(rms.count)
    scale = lambda u: u * times.astype(jnp.finfo(u.dtype).dtype)
    return jax.tree.map(scale, updates), state

  return optax.GradientTransformationExtraArgs(inner.init, update)
