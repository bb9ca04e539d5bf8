"""Schedule-Free gradient descent."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers import _schedule_free
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms._scheduled import scheduled


@scheduled('weight_decay', 'weight_lr_power', 'r')
def schedule_free_sgd(
    learning_rate: Any = 1.0,
    warmup_steps: int | None = None,
    b1: Numeric = 0.9,
    weight_decay: Numeric | None = None,
    weight_lr_power: Numeric = 2.0,
    state_dtype: Any = None,
    *,
    r: Numeric = 0.0,
    maximal_rate: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Schedule-Free gradient descent: an average in place of a schedule.

  Evaluate, and save, `lrax.eval_params(state, params)`.

  Formula:
    z = z - learning_rate * (g + weight_decay * y), with g the gradient at y

    and x and y as in `lrax.schedule_free`. weight_decay, weight_lr_power and r
    may be schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    warmup_steps: updates over which the rate rises from 0; None for none.
    b1: share of the average x in y, in [0, 1).
    weight_decay: coefficient of the decay at y, >= 0; None for none.
    weight_lr_power: the power of the rate in the weights of the average, >= 0.
    state_dtype: dtype of z; None for float32 or the parameter's wider one.
    r: the power of the step in those weights, >= 0.
    maximal_rate: whether they are made of the largest rate so far.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a
    `lrax.optimizers.ScheduleFreeState`, which ends with a
    `lrax.LearningRateState`; updates keep their dtype. `update` needs `params`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Defazio et al., "The Road Less Scheduled", 2024, equations 2 to 4 and
    algorithm 1 without its preconditioner. Optax and the authors' package make the
    weights of the largest rate so far (`maximal_rate=True`); the package's warm-up
    starts at 1 / warmup_steps, here, as in Optax, at 0.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.schedule_free_sgd(0.5)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w'])
    -0.5
  """
  owner = 'schedule_free_sgd'
  policy = warmed_up(owner, learning_rate, warmup_steps)
  decay = 0.0 if weight_decay is None else weight_decay
  return _schedule_free.average(
      owner, _weight_decay.add_decayed_weights(owner, decay, None), policy, b1,
      weight_lr_power, state_dtype, r, maximal_rate,
  )


def warmed_up(owner: str, learning_rate: Any, warmup_steps: Any) -> Any:
  """The policy, with a rise from 0 in front of it where one is wished."""
  policy = as_schedule(learning_rate, owner)
  if warmup_steps is None:
    return policy
  return policy.with_warmup(_checks.steps(owner, 'warmup_steps', warmup_steps))
