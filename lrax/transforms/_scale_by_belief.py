"""AdaBelief's direction: the average gradient over its surprise."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._bias_correction import bias_correction
from lrax.transforms._bias_correction import gather
from lrax.transforms._scheduled import scheduled


@scheduled('eps', 'eps_root', averages=('b1', 'b2'))
def scale_by_belief(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-16,
    eps_root: Numeric = 1e-16,
    *,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Divides an average of the gradient by how far gradients are from it.

  Formula:
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * (g - mu) ** 2 + eps_root
    mu_hat = mu / (1 - b1 ** t), nu_hat = nu / (1 - b2 ** t)
    update = mu_hat / (sqrt(nu_hat) + eps)

    with `nesterov`, mu_hat = b1 * mu / (1 - b1 ** (t + 1))
    + (1 - b1) * g / (1 - b1 ** t); t counts updates from 1. eps_root gathers in
    nu, up to eps_root / (1 - b2).

    Each number may be a schedule: see `ScheduledState`. Where b1 moves, b1 ** t is
    the product of its values so far; so for b2.

  Args:
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root, >= 0.
    eps_root: added to the average of squares at each update, >= 0.
    nesterov: whether to look one step ahead.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByBeliefState`:
    count int32 (), mu and nu in the parameters' shapes, in float32 or wider.
    Updates keep their dtype; where the divisor is 0 the update is 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Zhuang et al., "AdaBelief Optimizer", 2020, algorithm 2, where eps and eps_root
    are one number; 1e-16 is that of the authors' code and of Optax, which does
    the same. The authors' code also rectifies as RAdam does; that is not in the
    paper.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_belief(b1=0.5, b2=0.0)
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> round(float(updates['w']), 4)
    -2.0
  """
  owner = 'scale_by_belief'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  eps_root = _checks.non_negative(owner, 'eps_root', eps_root)
  nesterov = _checks.flag(owner, 'nesterov', nesterov)

  def init(params):
    return optax.ScaleByBeliefState(
        count=jnp.zeros((), jnp.int32),
        # The divisor is made of g - mu, which a rounded mu would drown.
        mu=_leafwise.wide_zeros(params, real=False),
        nu=_leafwise.wide_zeros(params),
    )

  def update(updates, state, params=None, **extra_args):
    del params
    count: Any = optax.safe_increment(state.count)
    weights = extra_args.get('average_weights', {})
    now = bias_correction(b1, count, weights.get('b1'))
    root = bias_correction(b2, count, weights.get('b2'))
    following: Any = optax.safe_increment(count)
    gathered = gather(b1, weights['b1']) if 'b1' in weights else None
    ahead = bias_correction(b1, following, gathered)

    def leaf(g, mu, nu):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      gradient = g.astype(wide)
      moment = b1 * mu.astype(wide) + (1 - b1) * gradient
      surprise = _leafwise.square(gradient - moment)
      square = b2 * nu.astype(real) + (1 - b2) * surprise + eps_root
      if nesterov:
        hat = b1 * moment / ahead.astype(real)
        hat += (1 - b1) * gradient / now.astype(real)
      else:
        hat = moment / now.astype(real)
      scale = jnp.sqrt(square / root.astype(real)) + eps
      step = _leafwise.safe_divide(hat, scale).astype(g.dtype)
      return step, moment.astype(mu.dtype), square.astype(nu.dtype)

    steps, mu, nu = _leafwise.leafwise(leaf, 3, updates, state.mu, state.nu)
    return steps, optax.ScaleByBeliefState(count, mu, nu)

  return optax.GradientTransformationExtraArgs(init, update)
