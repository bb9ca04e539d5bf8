"""RAdam's direction: Adam's, held back while its divisor is uncertain."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._bias_correction import bias_correction
from lrax.transforms._bias_correction import gather
from lrax.transforms._scheduled import scheduled

_threshold = _checks.number(
    'a finite number >= 4',
    lambda x: x >= 4,
    'at a length of 4 and below the variance has no finite value',
)


@scheduled('eps', 'eps_root', 'threshold', averages=('b1',))
def scale_by_radam(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    threshold: Numeric = 4.0,
    *,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Adam's direction times the confidence in its divisor, or momentum alone.

  Formula:
    mu = b1 * mu + (1 - b1) * g, nu = b2 * nu + (1 - b2) * g ** 2
    mu_hat = mu / (1 - b1 ** t), nu_hat = nu / (1 - b2 ** t)
    rho_max = 2 / (1 - b2) - 1
    rho = rho_max - 2 * t * b2 ** t / (1 - b2 ** t)
    r = sqrt((rho - 4) * (rho - 2) * rho_max / ((rho_max - 4) * (rho_max - 2) * rho))
    update = r * mu_hat / (sqrt(nu_hat + eps_root) + eps) where rho > threshold,
    mu_hat elsewhere

    with `nesterov`, mu_hat = b1 * mu / (1 - b1 ** (t + 1))
    + (1 - b1) * g / (1 - b1 ** t); t counts updates from 1.

    b1, eps, eps_root and threshold may be schedules: see `ScheduledState`. Where
    b1 moves, b1 ** t is the product of its values so far. b2 may not: rho is the
    length of an average whose b2 stays.

  Args:
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1); below 0.6 no
      length exceeds 4, and all updates are mu_hat.
    eps: added to the root, >= 0.
    eps_root: added under the root, >= 0.
    threshold: the length rho, in updates, above which the divisor is used, >= 4.
    nesterov: whether to look one step ahead.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByAdamState`.
    Updates keep their dtype; where the divisor is 0 the update is 0. The first
    few updates, mu_hat, are of the size of the gradient and not of 1.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020,
    algorithm 2, which has no eps. It rectifies above 4; PyTorch, and Optax and
    the authors' code (from 5 on, inclusive), wait for 5. PyTorch and the authors'
    code add eps before the bias correction of nu; Optax does as here.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_radam()
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> round(float(updates['w']), 4)
    -3.0
  """
  owner = 'scale_by_radam'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  eps_root = _checks.non_negative(owner, 'eps_root', eps_root)
  threshold = _threshold(owner, 'threshold', threshold)
  nesterov = _checks.flag(owner, 'nesterov', nesterov)

  def init(params):
    return optax.ScaleByAdamState(
        count=jnp.zeros((), jnp.int32),
        mu=_leafwise.zeros(params),
        nu=_leafwise.wide_zeros(params),
    )

  def update(updates, state, params=None, **extra_args):
    del params
    count: Any = optax.safe_increment(state.count)
    weights = extra_args.get('average_weights', {})
    now = bias_correction(b1, count, weights.get('b1'))
    root = bias_correction(b2, count)
    following: Any = optax.safe_increment(count)
    gathered = gather(b1, weights['b1']) if 'b1' in weights else None
    ahead = bias_correction(b1, following, gathered)
    trusted, confidence = _rectification(b2, count, threshold)

    def leaf(g, mu, nu):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      gradient = g.astype(wide)
      moment = b1 * mu.astype(wide) + (1 - b1) * gradient
      square = b2 * nu.astype(real) + (1 - b2) * _leafwise.square(gradient)
      if nesterov:
        hat = b1 * moment / ahead.astype(real)
        hat += (1 - b1) * gradient / now.astype(real)
      else:
        hat = moment / now.astype(real)
      scale = jnp.sqrt(square / root.astype(real) + eps_root) + eps
      adam = confidence.astype(real) * _leafwise.safe_divide(hat, scale)
      step = jnp.where(trusted, adam, hat).astype(g.dtype)
      return step, moment.astype(mu.dtype), square.astype(nu.dtype)

    steps, mu, nu = _leafwise.leafwise(leaf, 3, updates, state.mu, state.nu)
    return steps, optax.ScaleByAdamState(count, mu, nu)

  return optax.GradientTransformationExtraArgs(init, update)


def _rectification(
    b2: Any, count: jax.Array, threshold: Any
) -> tuple[jax.Array, jax.Array]:
  """Whether rho is above the threshold, and r, 1 where it is not."""
  count = jnp.asarray(count, _types.rate_dtype())
  longest = (1 + b2) / (1 - b2)
  length = _length(b2, count)
  trusted = (length > threshold) & (longest > 4)
  top = jnp.where(trusted, (length - 4) * (length - 2) * longest, 1)
  bottom = jnp.where(trusted, (longest - 4) * (longest - 2) * length, 1)
  return trusted, jnp.sqrt(top / bottom)


def _length(b2: Any, count: jax.Array) -> jax.Array:
  """rho, without the cancellation of its definition.

  At b2 0.999 and count 5 it is 1999 - 1994, of which float32 keeps four digits.
  With 1/tanh for the two terms, and half = -log(b2) / 2, it is
  count * c(count * half) + 1 - c(half) where c(y) = 1 + 1/y - 1/tanh(y).
  """
  if isinstance(b2, (int, float)):
    half = -math.log(b2) / 2 if b2 else math.inf
  else:
    half = -jnp.log(jnp.asarray(b2, count.dtype)) / 2
  half = jnp.asarray(half, count.dtype)
  return count * _complement(count * half) + 1 - _complement(half)


# 1/tanh(y) - 1/y = sum of a_k * y ** (2k + 1), from the Bernoulli numbers.
_SERIES = (1 / 3, -1 / 45, 2 / 945, -1 / 4725, 2 / 93555, -1382 / 638512875)


def _complement(y: jax.Array) -> jax.Array:
  """1 + 1/y - 1/tanh(y): 1 at 0, and 1/y far from it."""
  near = y < 0.125
  small, large = jnp.where(near, y, 0), jnp.where(near, 1, y)
  series = jnp.zeros_like(y)
  for coefficient in reversed(_SERIES):
    series = series * small * small + coefficient
  # 1/tanh(y) - 1 = 2 / (exp(2y) - 1).
  return jnp.where(near, 1 - small * series, 1 / large - 2 / jnp.expm1(2 * large))
