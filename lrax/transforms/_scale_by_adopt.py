"""ADOPT's direction: momentum of gradients over the root of those before."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


@scheduled('b1', 'b2', 'eps', 'clip_power')
def scale_by_adopt(
    b1: Numeric = 0.9,
    b2: Numeric = 0.9999,
    eps: Numeric = 1e-6,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_power: Numeric = 0.25,
) -> optax.GradientTransformationExtraArgs:
  """Averages gradients that were divided by the root of the squares before them.

  Formula:
    at the first update, t = 0: update = 0, nu = g ** 2
    then, for t = 1, 2, …:
      scaled = g / max(sqrt(nu), eps)
      scaled = min(max(scaled, -bound), bound), bound = t ** clip_power
      mu = b1 * mu + (1 - b1) * scaled
      update = mu
      nu = b2 * nu + (1 - b2) * g ** 2

    with `nesterov`, update = b1 * mu + (1 - b1) * scaled; of a complex number the
    absolute value is bounded. b1, b2, eps and clip_power may be schedules:
    see `ScheduledState`; the first update has their first values.

  Args:
    b1: share of the average of scaled gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: the least divisor, >= 0.
    mu_dtype: dtype of mu; None for the parameter's.
    nesterov: whether to look one step ahead.
    use_clipping: whether scaled gradients are bounded.
    clip_power: how fast the bound grows, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByAdamState`:
    count int32 (), mu and nu in the parameters' shapes, nu in float32 or wider.
    Updates keep their dtype; the first moves nothing (it is NaN where the
    gradient is not finite). Where the divisor is 0 the scaled gradient is at its
    bound, and 0 without one or for a zero gradient.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any beta2 with the
    Optimal Rate", 2024, algorithm 2; without clipping algorithm 1, the first
    version's. Optax does the same, with a function of t for the bound; timm's
    power is 1/3; pytorch_optimizer counts t from 1.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> g = {'w': jnp.array(-3.0)}
    >>> tx = lrax.transforms.scale_by_adopt(b1=0.0)
    >>> nothing, state = tx.update(g, tx.init(g))
    >>> updates, state = tx.update(g, state)
    >>> float(updates['w'])
    -1.0
  """
  owner = 'scale_by_adopt'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  mu_dtype = _checks.dtype(owner, 'mu_dtype', mu_dtype)
  nesterov = _checks.flag(owner, 'nesterov', nesterov)
  use_clipping = _checks.flag(owner, 'use_clipping', use_clipping)
  clip_power = _checks.non_negative(owner, 'clip_power', clip_power)

  def init(params):
    return optax.ScaleByAdamState(
        count=jnp.zeros((), jnp.int32),
        mu=_leafwise.zeros(params, mu_dtype),
        nu=_leafwise.wide_zeros(params),
    )

  def update(updates, state, params=None, **extra_args):
    del params, extra_args
    first = state.count == 0
    bound = jnp.asarray(state.count, _types.rate_dtype()) ** clip_power
    bound = bound if use_clipping else None

    def leaf(g, mu, nu):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      gradient, moment, square = g.astype(wide), mu.astype(wide), nu.astype(real)
      scaled = _scaled(gradient, jnp.maximum(jnp.sqrt(square), eps), bound)
      after = b1 * moment + (1 - b1) * scaled
      step = b1 * after + (1 - b1) * scaled if nesterov else after
      new = _leafwise.square(gradient)
      # Times 0, and not 0, so that a gradient of NaN is seen.
      step = jnp.where(first, gradient * 0, step)
      after = jnp.where(first, moment, after)
      square = jnp.where(first, new, b2 * square + (1 - b2) * new)
      return step.astype(g.dtype), after.astype(mu.dtype), square.astype(nu.dtype)

    steps, mu, nu = _leafwise.leafwise(leaf, 3, updates, state.mu, state.nu)
    count: Any = optax.safe_increment(state.count)
    return steps, optax.ScaleByAdamState(count, mu, nu)

  return optax.GradientTransformationExtraArgs(init, update)


def _scaled(gradient: jax.Array, root: jax.Array, bound: Any) -> jax.Array:
  """The gradient over the root, of size `bound` at most, also at a root of 0."""
  if bound is None:
    return _leafwise.safe_divide(gradient, root)
  size = jnp.abs(gradient)
  limit = bound.astype(root.dtype)
  zero = root == 0
  size = jnp.where(zero, limit, jnp.minimum(size / jnp.where(zero, 1, root), limit))
  return size * jnp.sign(gradient)
