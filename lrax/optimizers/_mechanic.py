"""Mechanic: scales the path of any direction by what it would have won."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.control import _along
from lrax.optimizers import _estimated
from lrax.optimizers._schedule_free import refuse_a_second_rate
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


class MechanicState(NamedTuple):
  """State of `mechanic`; the scalars are one for each horizon."""

  scale: jax.Array  # rate dtype, (num_betas,): s, whose sum is the estimate
  largest: jax.Array  # rate dtype, (num_betas,): m, largest |h| of late
  squares: jax.Array  # rate dtype, (num_betas,): v, decayed sum of h ** 2
  reward: jax.Array  # rate dtype, (num_betas,): r, what was won
  path: chex.ArrayTree  # sum of the steps, parameters' shapes, float32 or wider
  start: chex.ArrayTree  # the parameters at the start
  inner_state: Any  # the state of the direction

  places_parameters = True  # an update goes to a place, whatever came before


@scheduled('weight_decay', 'eps', 's_init')
def mechanic(
    transform: optax.GradientTransformation,
    learning_rate: Any = 1.0,
    weight_decay: Numeric = 1e-2,
    eps: Numeric = 1e-8,
    s_init: Numeric = 1e-8,
    num_betas: int = 6,
) -> optax.GradientTransformationExtraArgs:
  """Mechanic: finds the scale of the rate for any direction and any schedule.

  `learning_rate` multiplies the estimate: leave it at 1, or give a schedule that
  is at most 1. `lrax.get_learning_rate` shows the product.

  Formula:
    h = <path, g + weight_decay * sum(s) * norm(g) / (norm(x) + eps) * x>
    m = max(b * m, abs(h)), v = b ** 2 * v + h ** 2, r = max(0, b * r - s * h)
    s = (s_init / num_betas * m + r) / (sqrt(v) + eps)
    path = path - learning_rate * transform(g)
    x = x0 + sum(s) * path

    for each b of 1 - 0.1 ** i, i from 1 to num_betas; m starts at 1e-6, the
    others at 0. weight_decay, eps and s_init may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    transform: a transformation that gives a direction, such as
      `lrax.transforms.scale_by_adam()`; not an optimizer, which has a rate already:
      one of lrax is refused; the rate of one of Optax multiplies too. It is given
      the parameters, and no keyword arguments of `update`.
    learning_rate: multiplies the estimate: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    weight_decay: how much the estimate shrinks for parameters that grow, >= 0.
    eps: keeps the divisors above 0, >= 0.
    s_init: the scale to start from, > 0; too small rather than too large.
    num_betas: how many horizons, >= 1.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state is a
    `lrax.optimizers.MechanicState` and ends with a `lrax.LearningRateState`, whose
    rate is the product, 0 before the first update; an override replaces the
    product. Updates keep their dtype. `update` needs `params`. A NaN in a gradient
    is one in every later update.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range; at init, `transform` has a learning
      rate of its own; at update, `params` is missing.

  Source:
    Cutkosky, Defazio and Mehta, "Mechanic: A Learning Rate Tuner", 2023, algorithm
    1, with the start of m of the authors' package, which decays at the
    parameters after the step of the direction and, unless `store_delta`, works
    out the path from x. Optax's `mechanize` takes an optimizer, clips h to m, has
    an s_init of 1e-6, and works out the path from x.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.mechanic(lrax.transforms.scale_by_adam(), s_init=1e-3)
    >>> state = tx.init(params)
    >>> for _ in range(20):
    ...   updates, state = tx.update(params, state, params)
    ...   params = {'w': params['w'] + updates['w']}
    >>> bool(params['w'] < 1) and bool(lrax.get_learning_rate(state) > 1e-3)
    True
  """
  owner = 'mechanic'
  if not isinstance(transform, optax.GradientTransformation):
    raise _checks.refuse(
        owner, 'transform', 'an optax.GradientTransformation', transform,
        'for example lrax.transforms.scale_by_adam()', TypeError,
    )
  decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  eps = _checks.non_negative(owner, 'eps', eps)
  first = _checks.positive(owner, 's_init', s_init)
  number = _checks.positive_steps(owner, 'num_betas', num_betas)
  scalar, times = _estimated.scalar, _estimated.times

  def init(params):
    refuse_a_second_rate(owner, transform, params)
    zeros = lambda: jnp.zeros((number,), scalar(0.0).dtype)
    return MechanicState(
        scale=zeros(),
        largest=zeros() + 1e-6,
        squares=zeros(),
        reward=zeros(),
        path=_leafwise.wide_zeros(params, real=False),
        start=_estimated.start_of(params),
        inner_state=transform.init(_estimated.wide(params)),  # as its updates are
    )

  def update(grads, state, params, multiply):
    b = 1 - scalar(0.1) ** jnp.arange(1, number + 1)
    x = _estimated.wide(params)
    norm = lambda tree: jnp.sqrt(_estimated.sum_of_squares(tree))
    ratio = decay * jnp.sum(state.scale)
    ratio = ratio * _leafwise.safe_divide(norm(grads), norm(x) + eps)
    h = _along.inner(state.path, grads)
    h = h + ratio * _along.inner(state.path, x)
    largest = jnp.maximum(b * state.largest, jnp.abs(h))
    squares = b**2 * state.squares + h**2
    reward = jnp.maximum(b * state.reward - state.scale * h, 0)
    wealth = first / number * largest + reward
    scale = _leafwise.safe_divide(wealth, jnp.sqrt(squares) + eps)
    estimate = jnp.sum(scale)
    directions, inner_state = transform.update(grads, state.inner_state, params)
    rate = multiply(estimate)
    path = jax.tree.map(lambda p, u: p - times(rate, u), state.path, directions)

    def step(p, x0, x):
      # In this order a small step is not lost beside x.
      back = jnp.asarray(x0, p.dtype) - jnp.asarray(x, p.dtype)
      return back + times(estimate, p)

    steps = jax.tree.map(step, path, state.start, params)
    state = MechanicState(
        scalar(scale), scalar(largest), scalar(squares), scalar(reward), path,
        state.start, inner_state,
    )
    return steps, state, estimate

  method = _estimated.Method(init, update, 0.0)
  return _estimated.optimizer(owner, method, as_schedule(learning_rate, owner))
