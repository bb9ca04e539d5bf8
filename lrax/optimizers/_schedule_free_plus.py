"""Schedule-Free+: Schedule-Free AdamW that takes Polyak's step."""

from __future__ import annotations

import math
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
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise
from lrax.transforms._bias_correction import bias_correction as _weight
from lrax.transforms._scheduled import scheduled


class ScheduleFreePlusState(NamedTuple):
  """State of `schedule_free_plus`; `lrax.eval_params` reads it."""

  count: jax.Array  # int32, (): updates seen
  b1: jax.Array  # rate dtype, (): where between z and x the parameters are
  max_rate: jax.Array  # rate dtype, (): largest rate so far
  weight_sum: jax.Array  # rate dtype, (): sum of the weights of the average
  norm: jax.Array  # rate dtype, (): average of the sum of sizes of the gradient
  mu: chex.ArrayTree  # average gradient, parameters' shapes, float32 or wider
  nu: chex.ArrayTree  # average square, as mu, real
  z: chex.ArrayTree  # where the steps are taken, as mu
  x: chex.ArrayTree  # the average, as mu, where z and y do not give it; else ()

  places_parameters = True  # an update goes to a place, whatever came before


@scheduled('eps', 'weight_decay', 'r')
def schedule_free_plus(
    learning_rate: Any = 1.0,
    b1: Numeric = 0.9,
    b2: Numeric = 0.95,
    eps: Numeric = 1e-8,
    weight_decay: Numeric = 0.0,
    *,
    share: Numeric = 0.9,
    end_share: Numeric = 0.965,
    anneal_steps: Numeric = 0,
    average_after: Numeric = 0,
    norm_decay: Numeric = 0.0,
    r: Numeric = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """Schedule-Free+: neither a schedule nor a rate to choose.

  The parameters being trained are y, where gradients are taken. Evaluate, and
  save, `lrax.eval_params(state, params)`, which is x. The rate is Polyak's step
  to a loss of 0, from the loss of this batch: call
  `tx.update(grads, state, params, value=loss)`.

  The step has no cap. It was made for language models, whose loss stays far above
  0; where batches are fitted almost perfectly the gradient of one may be far smaller
  than those that mu averages, and the step is huge: on `lrax.tasks.digits()` the
  loss ends above where it began. A `norm_decay` of 0.9 helps there, not always.

  `learning_rate` multiplies that step: leave it at 1, or give a warm-up that ends
  at 1. `lrax.get_learning_rate` shows the product. Under `jax.pmap` or
  `jax.shard_map` give the mean of the losses, as of the gradients. In
  `optax.partition` a group takes the step that brings the loss to 0 by itself.

  Formula:
    norm = norm_decay * norm + (1 - norm_decay) * sqrt(pi / 2) * sum(abs(g))
    gap = value + share_t * <g, z - x>
    rate = learning_rate * max(0, gap) / (norm / (1 - norm_decay ** t))

    mu = b1 * mu + (1 - b1) * g, mu_hat = mu / (1 - b1 ** t)
    nu = b2 * nu + (1 - b2) * g ** 2, nu_hat = nu / (1 - b2 ** t)
    z = z - rate ** 2 * weight_decay * y - rate * mu_hat / (sqrt(nu_hat) + eps)

    w = t ** r * (largest rate so far) ** 2, c = w / (sum of w so far)
    x = (1 - c) * x + c * z
    y = (1 - share_t) * z + share_t * x

    with g the gradient at y; t counts updates from 1, and z and x start at the
    parameters. c is 1 in the first `average_after` updates, whose w are not
    summed. With p = min((t - 1) / anneal_steps, 1), 0 where `anneal_steps` is 0,

    1 - share_t = (1 - share) ** (1 - p) * (1 - end_share) ** p

    eps, weight_decay and r may be schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the step: a number >= 0, a scalar array (traced too),
      a `lrax.Schedule`, or any function of the step.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root, >= 0.
    weight_decay: coefficient of the decay at y, >= 0. It is multiplied by the
      square of the rate: 20 or 50 is what 0.1 is to AdamW.
    share: share of the average x in y at first, in [0, 1).
    end_share: that share after `anneal_steps`, in [0, 1).
    anneal_steps: updates in which it goes from one to the other, a whole number
      >= 0; 0 leaves it at `share`.
    average_after: updates in which x is z, a whole number >= 0; the authors advise
      the length of a warm-up of the rate, or twice it.
    norm_decay: share of the average of the gradient's size that is kept, in
      [0, 1).
    r: the power of the step in the weights of the average, >= 0; above 0 the
      average forgets its start.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state is a
    `lrax.optimizers.ScheduleFreePlusState` and ends with a
    `lrax.LearningRateState`, whose rate is the product, 0 before the first update,
    which needs a loss; an override replaces the product. Updates keep their dtype.
    `update` needs `params`. x is kept, in one more copy, where y does not tell it:
    for a share that is 0 or traced, and where parameters are narrower than float32.
    Where the gradient is 0 the rate is. A NaN in a gradient or a loss is one in
    every later update: put it in `optax.apply_if_finite`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` or `value` is
      missing.

  Source:
    Defazio, "ScheduleFree+: Scaling Learning-Rate-Free & Schedule-Free Learning to
    Large Language Models", 2026, as in the author's `AdamCScheduleFreePlusPaper`,
    whose sf_beta1, sf_beta1_max, c_warmup and polyak_beta are share, end_share,
    average_after and norm_decay. There the rate multiplier is eps at least, and
    the average of the gradient's size goes on from its corrected value, which a
    norm_decay above 0 then corrects again. Optax has none.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(2.0)}  # of the loss w ** 2
    >>> grads, loss = {'w': jnp.array(4.0)}, jnp.array(4.0)
    >>> tx = lrax.schedule_free_plus(0.5)
    >>> state = tx.init(params)
    >>> updates, state = tx.update(grads, state, params, value=loss)
    >>> round(float(updates['w']), 5)
    -0.39894
  """
  owner = 'schedule_free_plus'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  share = _checks.decay(owner, 'share', share)
  end_share = _checks.decay(owner, 'end_share', end_share)
  anneal_steps = _checks.steps(owner, 'anneal_steps', anneal_steps)
  average_after = _checks.steps(owner, 'average_after', average_after)
  norm_decay = _checks.decay(owner, 'norm_decay', norm_decay)
  r = _checks.non_negative(owner, 'r', r)
  scalar, times = _estimated.scalar, _estimated.times
  fixed = isinstance(anneal_steps, int) and anneal_steps == 0
  shares = (share,) if fixed else (share, end_share)
  solvable = all(isinstance(s, float) and s > 0 for s in shares)

  def init(params):
    z = _estimated.wide(_estimated.start_of(params))
    return ScheduleFreePlusState(
        count=jnp.zeros((), jnp.int32),
        b1=scalar(share),
        max_rate=scalar(0.0),
        weight_sum=scalar(0.0),
        norm=scalar(0.0),
        mu=_leafwise.wide_zeros(params, real=False),
        nu=_leafwise.wide_zeros(params),
        z=z,
        x=() if solvable and not _narrow(params) else _copies(z),
    )

  def update(grads, state, params, multiply):
    count: Any = optax.safe_increment(state.count)
    clock = scalar(count)
    between = scalar(share) if fixed else _annealed(
        share, end_share, scalar(state.count) / jnp.maximum(anneal_steps, 1)
    )
    kept = bool(jax.tree.leaves(state.x))
    y = _estimated.wide(params)
    # z - x, where x is not kept from y = (1 - b1) * z + b1 * x.
    to_x = state.x if kept else y
    apart = jax.tree.map(lambda z, x: z - x, state.z, to_x)
    reach = between if kept else between / state.b1
    gap = multiply.signals['value'] + reach * _along.inner(grads, apart)
    size = math.sqrt(math.pi / 2) * _estimated.sum_of_sizes(grads)
    norm = norm_decay * state.norm + (1 - norm_decay) * size
    estimate = _leafwise.safe_divide(
        jnp.maximum(gap, 0), norm / _weight(norm_decay, count)
    )
    rate = multiply.rate(estimate)

    largest = jnp.maximum(state.max_rate, rate)
    weight = jnp.power(clock, r) * largest**2
    early = count <= average_after
    total = state.weight_sum + jnp.where(early, 0, weight)
    c = jnp.where(early, 1, _leafwise.safe_divide(weight, total))

    def leaf(g, mu, nu, z, far, y):
      real = _leafwise.real_dtype(g.dtype)
      mu = times(b1, mu) + times(1 - b1, g)
      nu = times(b2, nu) + times(1 - b2, _leafwise.square(g))
      root = jnp.sqrt(nu / _weight(b2, count).astype(real))
      hat = mu / _weight(b1, count).astype(real)
      direction = _leafwise.safe_divide(hat, root + jnp.asarray(eps, real))
      step = -times(rate, direction) - times(rate**2 * decay, y)
      # How far the average is from the new z, and what y moves by.
      if kept:
        behind = times(1 - c, step + far)
        move = z + step - times(between, behind) - y
      else:
        # y - z is b1 times x - z: so that no step is lost beside y.
        behind = times(1 - c, step)
        move = step - times(between, behind) + times(1 - reach * (1 - c), far)
      return move, mu, nu, z + step, z + step - behind

    steps, mu, nu, z, x = _leafwise.leafwise(
        leaf, 5, grads, state.mu, state.nu, state.z, apart, y
    )
    new = ScheduleFreePlusState(
        count, between, scalar(largest), scalar(total), scalar(norm), mu, nu, z,
        x if kept else state.x,
    )
    return steps, new, estimate

  method = _estimated.Method(init, update, 0.0, signals=('value',))
  return _estimated.optimizer(owner, method, as_schedule(learning_rate, owner))


def _annealed(share: Any, end_share: Any, progress: jax.Array) -> jax.Array:
  """1 - (1 - share) ** (1 - p) * (1 - end_share) ** p."""
  p = jnp.minimum(progress, 1)
  first, last = (jnp.log1p(-jnp.asarray(s, p.dtype)) for s in (share, end_share))
  return -jnp.expm1((1 - p) * first + p * last)


def _narrow(params: Any) -> bool:
  """Whether y, in the parameters' dtype, has lost digits of x."""
  leaves = jax.tree.leaves(params)
  return any(jnp.result_type(p) != _leafwise.wide_dtype(p) for p in leaves)


def _copies(tree: Any) -> Any:
  """Arrays of their own: donated twice, one buffer would be an error."""
  return jax.tree.map(jnp.array, tree)
