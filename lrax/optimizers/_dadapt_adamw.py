"""D-Adaptation of Adam."""

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
from lrax.optimizers._prodigy import pair
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise
from lrax.transforms._bias_correction import bias_correction as _weight
from lrax.transforms._scheduled import scheduled


class DadaptAdamwState(NamedTuple):
  """State of `dadapt_adamw`; mu, grad_sum and numerator are in units of estim_lr0."""

  count: jax.Array  # int32, (): updates seen
  estimate: jax.Array  # rate dtype, (): d, which acts at the next update
  numerator: jax.Array  # rate dtype, (): average of rate * <g, s / sqrt(nu)>
  mu: chex.ArrayTree  # average of rate * g, parameters' shapes, float32 or wider
  nu: chex.ArrayTree  # average of |g| ** 2, as mu, real
  grad_sum: chex.ArrayTree  # average of rate * g that the estimate uses, as mu


@scheduled('eps', 'weight_decay', 'growth_rate')
def dadapt_adamw(
    learning_rate: Any = 1.0,
    betas: tuple[Numeric, Numeric] = (0.9, 0.999),
    eps: Numeric = 1e-8,
    estim_lr0: Numeric = 1e-6,
    weight_decay: Numeric = 0.0,
    *,
    growth_rate: Numeric | None = None,
    bias_correction: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """AdamW by D-Adaptation: the rate grows to the distance of the solution.

  `learning_rate` multiplies the estimate d: leave it at 1, or give a schedule
  that is at most 1. `lrax.get_learning_rate` shows the product. See `lrax.prodigy`
  for what came after it.

  Formula:
    rate = learning_rate * d
    r = q * r + (1 - q) * rate * <g, s / (sqrt(nu) + eps)>, q = sqrt(b2)
    s = q * s + (1 - q) * rate * g
    mu = b1 * mu + (1 - b1) * rate * g
    nu = b2 * nu + (1 - b2) * g ** 2
    d = max(d, min(r / ((1 - q) * sum(abs(s))), d * growth_rate))
    x -= mu / (sqrt(nu) + eps) + rate * weight_decay * x

    with s and nu of before in r, and the rate of the old d; sums run over all
    parameters of the group. With `bias_correction` the rate is multiplied by
    sqrt(1 - b2 ** t) / (1 - b1 ** t) everywhere. eps, weight_decay and growth_rate
    may be schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the estimate: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    betas: b1 and b2, the shares of the averages that are kept, in [0, 1).
    eps: added to the root, >= 0.
    estim_lr0: d at first, > 0; too small rather than too large.
    weight_decay: coefficient of the decoupled decay, >= 0.
    growth_rate: by how much d may grow in an update, >= 1; None for no limit.
    bias_correction: whether the averages are corrected for their start at 0.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state is a
    `lrax.optimizers.DadaptAdamwState` and ends with a `lrax.LearningRateState`,
    whose rate is the product. An override replaces it; the momentum holds rates
    of before. Updates keep their dtype. `update` needs `params`. A rate of 0 or
    zero gradients at first leave d where it is. A NaN in a gradient is one in
    every later update.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Defazio and Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", 2023,
    algorithm 5; as the authors' `DAdaptAdam(decouple=True)`, of which the growth
    limit and the correction are. Optax always corrects, has no limit, and gives
    NaN where the first rate or the first gradient is 0.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(2.0)}
    >>> tx = lrax.dadapt_adamw(betas=(0.0, 0.0), eps=0.0, estim_lr0=0.25)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.25, 0.25)
  """
  owner = 'dadapt_adamw'
  b1, b2 = pair(owner, betas)
  eps = _checks.non_negative(owner, 'eps', eps)
  first = _checks.positive(owner, 'estim_lr0', estim_lr0)
  decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  growth = _checks.optional(_checks.at_least_one)(owner, 'growth_rate', growth_rate)
  correct = _checks.flag(owner, 'bias_correction', bias_correction)
  scalar, times = _estimated.scalar, _estimated.times

  def init(params):
    zeros = lambda: _leafwise.wide_zeros(params, real=False)
    return DadaptAdamwState(
        count=jnp.zeros((), jnp.int32),
        estimate=scalar(first),
        numerator=scalar(0.0),
        mu=zeros(),
        nu=_leafwise.wide_zeros(params),
        grad_sum=zeros(),
    )

  def update(grads, state, params, multiply):
    count: Any = optax.safe_increment(state.count)
    d, d0 = state.estimate, scalar(first)
    kept = jnp.sqrt(scalar(b2))
    share = 1 - kept
    size = d * multiply(d)
    if correct:
      size = size * jnp.sqrt(_weight(b2, count)) / _weight(b1, count)
    unit = size / d0

    def scaled(s, v):
      return _leafwise.safe_divide(s, jnp.sqrt(v) + jnp.asarray(eps, v.dtype))

    aligned = _along.inner(
        grads, jax.tree.map(scaled, state.grad_sum, state.nu)
    )
    numerator = kept * state.numerator + share * unit * aligned
    average = lambda b, a, x: times(b, a) + times((1 - b) * unit, x)
    grad_sum = jax.tree.map(
        lambda s, g: average(kept, s, g), state.grad_sum, grads
    )
    mu = jax.tree.map(lambda m, g: average(b1, m, g), state.mu, grads)
    nu = jax.tree.map(
        lambda v, g: times(b2, v) + times(1 - b2, _leafwise.square(g)),
        state.nu, grads,
    )
    # r is of two rates and s of one: found is in units of d0.
    found = d0 * _leafwise.safe_divide(
        numerator, share * _estimated.sum_of_sizes(grad_sum)
    )
    new = limited(d, found, growth)

    def step(m, v, x):
      wide = jnp.asarray(x, m.dtype)
      return -(times(d0, scaled(m, v)) + times(size * decay, wide))

    steps = jax.tree.map(step, mu, nu, params)
    state = DadaptAdamwState(count, scalar(new), scalar(numerator), mu, nu, grad_sum)
    return steps, state, d

  method = _estimated.Method(init, update, first)
  return _estimated.optimizer(owner, method, as_schedule(learning_rate, owner))


def limited(d: jax.Array, found: jax.Array, growth: Any) -> jax.Array:
  """The new estimate: never smaller, and not more than `growth` times larger."""
  if growth is not None:
    found = jnp.minimum(found, d * growth)
  return jnp.maximum(d, found)
