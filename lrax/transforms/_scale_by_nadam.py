"""Nadam's direction with a momentum that grows over time."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms import _moments
from lrax.transforms._bias_correction import bias_correction
from lrax.transforms._scheduled import scheduled


class ScaleByNadamState(NamedTuple):
  """State of `scale_by_nadam`."""

  count: jax.Array  # int32, (): updates seen
  mu: chex.ArrayTree  # average gradient, parameters' shapes
  nu: chex.ArrayTree  # average square, parameters' shapes, float32 or wider
  momentum_product: jax.Array  # rate dtype, (): product of momenta so far


@scheduled('b1', 'eps', 'eps_root', 'momentum_decay', averages=('b2',))
def scale_by_nadam(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    nu_dtype: Any = None,
    momentum_decay: Numeric = 4e-3,
) -> optax.GradientTransformationExtraArgs:
  """Nadam's direction under its warmed-up momentum schedule.

  Formula:
    m_t = b1 * (1 - 0.96 ** (t * momentum_decay) / 2), product P_t = m_1 … m_t
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g ** 2
    mu_hat = m_{t+1} * mu / (1 - P_{t+1}) + (1 - m_t) * g / (1 - P_t)
    update = mu_hat / (sqrt(nu / (1 - b2 ** t) + eps_root) + eps)

    For a constant momentum use `scale_by_adam(nesterov=True)`.

    Each number may be a schedule: see `ScheduledState`. Where b2 moves, b2 ** t is
    the product of its values so far; m_{t+1} is of the latest b1.

  Args:
    b1: share of the average of gradients that is kept, and the momentum in the
      end, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root, >= 0.
    eps_root: added under the root, >= 0.
    mu_dtype: dtype of mu; None for the parameter's; 'block8' for 8 bits a number,
      see `Block8`.
    nu_dtype: how nu is kept: None for float32 or wider; 'block8'; or bfloat16,
      rounded up or down by chance, without which it would not decay.
    momentum_decay: how fast the momentum grows from b1 / 2 to b1, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScaleByNadamState`.
    Updates keep their dtype; where the divisor is 0 the update is 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Dozat, "Incorporating Nesterov Momentum into Adam", 2016, algorithm 2, with
    the momentum schedule of Sutskever et al., 2013, at 1 / 250 = 4e-3. The same
    as PyTorch's `NAdam`; Optax has no momentum schedule.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_nadam(b1=0.0, eps=0.0)
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> round(float(updates['w']), 5)
    -1.0
  """
  owner = 'scale_by_nadam'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  eps_root = _checks.non_negative(owner, 'eps_root', eps_root)
  growth = _checks.non_negative(owner, 'momentum_decay', momentum_decay)

  def momentum(count):
    age = jnp.asarray(count, _types.rate_dtype()) * growth
    return b1 * (1 - 0.5 * jnp.power(0.96, age))
  gradients = _moments.Moment('scale_by_nadam', 'mu_dtype', mu_dtype)
  squares = _moments.Moment('scale_by_nadam', 'nu_dtype', nu_dtype, squares=True)

  def init(params):
    return ScaleByNadamState(
        count=jnp.zeros((), jnp.int32),
        mu=gradients.zeros(params),
        nu=squares.zeros(params),
        momentum_product=jnp.ones((), _types.rate_dtype()),
    )

  def update(updates, state, params=None, **extra_args):
    del params
    count: Any = optax.safe_increment(state.count)
    following: Any = optax.safe_increment(count)
    now, ahead = momentum(count), momentum(following)
    product = state.momentum_product * now
    gradient_share = (1 - now) / (1 - product)
    moment_share = ahead / (1 - product * ahead)
    weights = extra_args.get('average_weights', {})
    root = bias_correction(b2, count, weights.get('b2'))

    noise = _moments.Noise(count)

    def leaf(g, mu, nu):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      gradient = g.astype(wide)
      moment, mu = gradients.average(mu, b1, gradient, noise)
      square, nu = squares.average(nu, b2, gradient, noise)
      hat = moment_share.astype(real) * moment
      hat += gradient_share.astype(real) * gradient
      scale = jnp.sqrt(square / root.astype(real) + eps_root) + eps
      step = _leafwise.safe_divide(hat, scale).astype(g.dtype)
      return step, mu, nu

    steps, mu, nu = _leafwise.leafwise(leaf, 3, updates, state.mu, state.nu)
    product = product.astype(state.momentum_product.dtype)
    return steps, ScaleByNadamState(count, mu, nu, product)

  return optax.GradientTransformationExtraArgs(init, update)
