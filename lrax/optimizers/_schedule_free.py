"""Schedule-Free: an average of the iterates takes the place of a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax import _policy
from lrax import _types
from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise
from lrax.transforms._needs_params import needs_params
from lrax.transforms._scheduled import scheduled


class ScheduleFreeState(NamedTuple):
  """State of `schedule_free` and its kin; `lrax.eval_params` reads it."""

  count: jax.Array  # int32, (): updates seen
  b1: jax.Array  # rate dtype, (): where between z and x gradients are taken
  max_rate: jax.Array  # rate dtype, (): largest rate so far
  weight_sum: jax.Array  # rate dtype, (): sum of the weights of the average
  z: chex.ArrayTree  # where the base steps; parameters' shapes
  x: chex.ArrayTree  # the average, as z, where z and y do not give it; else ()
  base_state: Any  # the state of the direction and of the learning rate

  places_parameters = True  # an update goes to a place, whatever came before


@scheduled('r', 'weight_lr_power')
def schedule_free(
    transform: optax.GradientTransformation,
    learning_rate: Any,
    b1: Numeric = 0.9,
    weight_lr_power: Numeric = 2.0,
    state_dtype: Any = None,
    *,
    r: Numeric = 0.0,
    maximal_rate: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Makes any direction schedule-free: it is judged at an average of its path.

  The parameters being trained are y, where gradients are taken. Evaluate, and
  save, `lrax.eval_params(state, params)`, which is x. A constant rate, perhaps
  after a warm-up, is all the schedule it needs.

  Formula:
    z = z - learning_rate * transform(gradient at y)
    w = t ** r * learning_rate ** weight_lr_power, c = w / (sum of w so far)
    x = (1 - c) * x + c * z
    y = (1 - b1) * z + b1 * x

    t counts updates from 1; z and x start at the parameters. Where no rate was
    above 0 yet, c is 0. r and weight_lr_power may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    transform: a transformation that gives a direction, such as
      `lrax.transforms.scale_by_momentum()`; not an optimizer, which has a rate
      already: one of lrax is refused; the rate of one of Optax multiplies too. It
      is given y as the parameters.
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule. The
      weights w are made of the rate that was applied, with its override and scale.
    b1: share of x in y, in [0, 1).
    weight_lr_power: the power of the rate in w, >= 0.
    state_dtype: dtype of z; None for float32 or the parameter's wider one.
    r: the power of the step in w, >= 0; above 0 the average forgets its start.
    maximal_rate: whether w is made of the largest rate so far.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScheduleFreeState`, which
    ends with a `lrax.LearningRateState`; updates keep their dtype. `update` needs
    `params`. x is kept, in one more copy, where y does not tell it: for a b1
    that is 0 or traced, and where parameters are narrower than float32.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range; at init, `transform` has a learning
      rate of its own; at update, `params` is missing.

  Source:
    Defazio et al., "The Road Less Scheduled", 2024, equations 2 to 4, and
    section 4 for w; r is the authors' package's. Optax and that package make w
    of the largest rate so far, which is `maximal_rate=True`; under a rate that
    never falls both agree. Optax's `schedule_free` takes an optimizer and its
    rate once more, reads it a step ahead of the optimizer, and has no r. In float32
    the package's wrapper and this one are the same but for roundings.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.schedule_free(lrax.transforms.scale_by_momentum(), 0.25, b1=0.5)
    >>> params = {'w': jnp.array(1.0)}
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...   updates, state = tx.update({'w': jnp.array(1.0)}, state, params)
    ...   params = {'w': params['w'] + updates['w']}
    >>> round(float(lrax.eval_params(state, params)['w']), 5)
    0.5125
  """
  owner = 'schedule_free'
  if not isinstance(transform, optax.GradientTransformation):
    raise _checks.refuse(
        owner, 'transform', 'an optax.GradientTransformation', transform,
        'for example lrax.transforms.scale_by_adam(b1=0.0)', TypeError,
    )
  policy = as_schedule(learning_rate, owner)
  return average(
      owner, transform, policy, b1, weight_lr_power, state_dtype, r, maximal_rate
  )


def average(
    owner: str,
    transform: optax.GradientTransformation,
    policy: _policy.Schedule,
    b1: Any,
    weight_lr_power: Any,
    state_dtype: Any,
    r: Any,
    maximal_rate: bool,
    factor: Callable[[jax.Array], jax.Array] | None = None,
) -> optax.GradientTransformationExtraArgs:
  """The same for an optimizer of that name.

  `factor(t)` is a part of the rate that the direction has in it already.
  """
  b1 = _checks.decay(owner, 'b1', b1)
  power = _checks.non_negative(owner, 'weight_lr_power', weight_lr_power)
  r = _checks.non_negative(owner, 'r', r)
  maximal_rate = _checks.flag(owner, 'maximal_rate', maximal_rate)
  _checks.dtype(owner, 'state_dtype', state_dtype)
  base = optax.with_extra_args_support(optax.chain(transform, policy))
  solvable = isinstance(b1, float) and b1 > 0
  widen = lambda x: jnp.asarray(x, _leafwise.wide_dtype(x))

  def init(params):
    refuse_a_second_rate(owner, transform, params)
    dtype = _types.rate_dtype()
    narrow = any(
        jnp.result_type(p) != _leafwise.wide_dtype(p) for p in jax.tree.leaves(params)
    )
    return ScheduleFreeState(
        count=jnp.zeros((), jnp.int32),
        b1=jnp.asarray(b1, dtype),
        max_rate=jnp.zeros((), dtype),
        weight_sum=jnp.zeros((), dtype),
        z=_copy(params, state_dtype),
        x=_copy(params, state_dtype) if narrow or not solvable else (),
        base_state=base.init(jax.tree.map(widen, params)),  # as its updates are
    )

  def update(updates, state, params: Any = None, **extra_args):
    why = 'gradients are taken between z and the average'
    params = needs_params(owner, params, why)
    kept = state.x if jax.tree.leaves(state.x) else state.z
    wide = jax.tree.map(widen, updates)
    steps: Any
    base_state: Any
    steps, base_state = base.update(wide, state.base_state, params, **extra_args)
    count: Any = optax.safe_increment(state.count)
    dtype = _types.rate_dtype()
    clock = jnp.asarray(count, dtype)
    rate = base_state[1].learning_rate
    if factor is not None:
      rate = rate * factor(clock)
    largest = jnp.maximum(state.max_rate, rate)
    weight = _power(clock, r) * _power(largest if maximal_rate else rate, power)
    # Also at a power of 0 a rate of 0 moves nothing, and weighs nothing.
    weight = jnp.where(rate > 0, weight, 0).astype(dtype)
    total = (state.weight_sum + weight).astype(dtype)
    share = _leafwise.safe_divide(weight, total)

    def leaf(g, step, z, x, y):
      compute = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(compute)
      start, y = z.astype(compute), jnp.asarray(y, compute)
      c, b = share.astype(real), jnp.asarray(b1, real)
      end = start + step
      if kept is state.x:
        mean = x.astype(compute)
        mean = mean + c * (end - mean)
        move = (1 - b) * end + b * mean - y
        x = mean.astype(x.dtype)
      else:
        # (1 - b1) * z + b1 * x less what it was, where x = z + (y - z) / b1.
        move = (1 - b + b * c) * step + c * (start - y)
      return move.astype(g.dtype), end.astype(z.dtype), x

    updates, z, x = _leafwise.leafwise(leaf, 3, updates, steps, state.z, kept, params)
    return updates, ScheduleFreeState(
        count=count,
        b1=jnp.asarray(b1, dtype),
        max_rate=largest.astype(dtype),
        weight_sum=total,
        z=z,
        x=x if kept is state.x else state.x,
        base_state=base_state,
    )

  return optax.GradientTransformationExtraArgs(init, update)


def refuse_a_second_rate(owner: str, transform: Any, params: Any) -> None:
  is_rate = lambda node: isinstance(node, _types.LearningRateState)
  shapes = jax.eval_shape(transform.init, params)
  if any(map(is_rate, jax.tree.leaves(shapes, is_leaf=is_rate))):
    raise ValueError(
        f'{owner}: `transform` must be a direction, got an optimizer with a'
        ' learning rate; pass what is before its rate, as'
        ' lrax.transforms.scale_by_momentum().'
    )


def _copy(params: Any, dtype: Any) -> Any:
  """The parameters in arrays of their own, in `dtype` or float32 and wider."""
  into = _leafwise.zeros(params, dtype) if dtype is not None else (
      _leafwise.wide_zeros(params, real=False)
  )
  return jax.tree.map(lambda p, to: jnp.array(p, to.dtype), params, into)


def _power(base: jax.Array, exponent: Any) -> Any:
  """`base ** exponent`; of 2 without roundings, and 1 at an exponent of 0."""
  if isinstance(exponent, float) and exponent in (0.0, 1.0, 2.0):
    return (jnp.ones_like(base), base, base * base)[int(exponent)]
  safe = jnp.where(base > 0, base, 1)
  return jnp.where(base > 0, jnp.power(safe, exponent), 0)
