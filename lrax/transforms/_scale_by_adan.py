"""Adan's direction: Nesterov's momentum from differences of gradients."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._bias_correction import bias_correction
from lrax.transforms._scheduled import scheduled


class ScaleByAdanState(NamedTuple):
  """State of `scale_by_adan`."""

  count: jax.Array  # int32, (): updates seen
  mu: chex.ArrayTree  # average gradient, parameters' shapes, float32 or wider
  delta: chex.ArrayTree  # average difference of gradients, as mu
  nu: chex.ArrayTree  # average square, parameters' shapes, float32 or wider
  previous: chex.ArrayTree  # the gradient before, parameters' shapes and dtypes


@scheduled('eps', 'eps_root', averages=('b1', 'b2', 'b3'))
def scale_by_adan(
    b1: Numeric = 0.98,
    b2: Numeric = 0.92,
    b3: Numeric = 0.99,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """Averages the gradient and its change, and divides by the root of a square.

  Formula:
    d = g - (gradient before), 0 at the first update
    mu = b1 * mu + (1 - b1) * g
    delta = b2 * delta + (1 - b2) * d
    nu = b3 * nu + (1 - b3) * (g + b2 * d) ** 2
    update = (mu_hat + b2 * delta_hat) / (sqrt(nu_hat + eps_root) + eps)

    with mu_hat = mu / (1 - b1 ** t), delta_hat = delta / (1 - b2 ** t) and
    nu_hat = nu / (1 - b3 ** t); t counts updates from 1.

    Each number may be a schedule: see `ScheduledState`. Where b1 moves, b1 ** t is
    the product of its values so far; so for b2 and b3.

  Args:
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of differences that is kept, and weight of the
      difference, in [0, 1).
    b3: share of the average of squares that is kept, in [0, 1).
    eps: added to the root, >= 0.
    eps_root: added under the root, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScaleByAdanState`. Updates
    keep their dtype; where the divisor is 0 the update is 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm", 2022, algorithm 1,
    whose betas are 1 minus these. The paper starts mu at the first gradient and
    nu at its square; the authors' code, followed here and by timm and Optax,
    starts all averages at 0 and corrects them. Optax weights the difference by
    1 - b2, which is the paper's beta, where the paper and the authors have b2.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_adan(eps=0.0)
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> round(float(updates['w']), 5)
    -1.0
  """
  owner = 'scale_by_adan'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  b3 = _checks.decay(owner, 'b3', b3)
  eps = _checks.non_negative(owner, 'eps', eps)
  eps_root = _checks.non_negative(owner, 'eps_root', eps_root)

  def init(params):
    return ScaleByAdanState(
        count=jnp.zeros((), jnp.int32),
        mu=_leafwise.wide_zeros(params, real=False),
        delta=_leafwise.wide_zeros(params, real=False),
        nu=_leafwise.wide_zeros(params),
        previous=_leafwise.zeros(params),
    )

  def update(updates, state, params=None, **extra_args):
    del params
    count: Any = optax.safe_increment(state.count)
    weights = extra_args.get('average_weights', {})
    shares = [
        bias_correction(decay, count, weights.get(name))
        for name, decay in (('b1', b1), ('b2', b2), ('b3', b3))
    ]

    def leaf(g, mu, delta, nu, previous):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      of_mu, of_delta, of_nu = (share.astype(real) for share in shares)
      gradient = g.astype(wide)
      change = jnp.where(state.count == 0, 0, gradient - previous.astype(wide))
      moment = b1 * mu.astype(wide) + (1 - b1) * gradient
      trend = b2 * delta.astype(wide) + (1 - b2) * change
      new = _leafwise.square(gradient + b2 * change)
      square = b3 * nu.astype(real) + (1 - b3) * new
      hat = moment / of_mu + b2 * trend / of_delta
      scale = jnp.sqrt(square / of_nu + eps_root) + eps
      step = _leafwise.safe_divide(hat, scale).astype(g.dtype)
      kept = (moment.astype(mu.dtype), trend.astype(delta.dtype))
      return step, *kept, square.astype(nu.dtype), g.astype(previous.dtype)

    steps, *averages = _leafwise.leafwise(
        leaf, 5, updates, state.mu, state.delta, state.nu, state.previous
    )
    return steps, ScaleByAdanState(count, *averages)

  return optax.GradientTransformationExtraArgs(init, update)
