"""AdEMAMix's direction: Adam's, with a second, much slower average."""

from __future__ import annotations

import math
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


class ScaleByAdemamixState(NamedTuple):
  """State of `scale_by_ademamix`."""

  count: jax.Array  # int32, (): updates seen
  mu: chex.ArrayTree  # fast average gradient, parameters' shapes
  slow: chex.ArrayTree  # slow average gradient, as mu, float32 or wider
  nu: chex.ArrayTree  # average square, parameters' shapes, float32 or wider


@scheduled('b3', 'alpha', 'eps', 'eps_root', averages=('b1', 'b2'))
def scale_by_ademamix(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    b3: Numeric = 0.9999,
    alpha: Numeric = 5.0,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    nu_dtype: Any = None,
    warmup_steps: Numeric = 0,
) -> optax.GradientTransformationExtraArgs:
  """Adam's direction with a multiple of a slow average in the numerator.

  Formula:
    mu = b1 * mu + (1 - b1) * g
    slow = b3_t * slow + (1 - b3_t) * g
    nu = b2 * nu + (1 - b2) * g ** 2
    mu_hat = mu / (1 - b1 ** t), nu_hat = nu / (1 - b2 ** t)
    update = (mu_hat + alpha_t * slow) / (sqrt(nu_hat + eps_root) + eps)

    t counts updates from 1. slow starts at 0 and is not corrected for it. With
    p = min(t / warmup_steps, 1), 1 where `warmup_steps` is 0,

    alpha_t = p * alpha
    log(b3_t) = log(b1) * log(b3) / ((1 - p) * log(b3) + p * log(b1))

    but b3_t is b3 at most: its half-life grows linearly from b1's to b3's.

    Each number but `warmup_steps` may be a schedule: see `ScheduledState`. Where
    b1 moves, b1 ** t is the product of its values so far; so for b2.

  Args:
    b1: share of the fast average that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    b3: share of the slow average that is kept, in [0, 1).
    alpha: weight of the slow average, >= 0; 0 is Adam.
    eps: added to the root, >= 0.
    eps_root: added under the root, >= 0.
    mu_dtype: dtype of mu; None for the parameter's;
      'block8' for 8 bits a number, see `Block8`. In bfloat16 the slow average
      would never move: it is kept in float32 or wider.
    nu_dtype: how nu is kept: None for float32 or wider; 'block8'; or bfloat16,
      rounded up or down by chance, without which it would not decay.
    warmup_steps: updates over which alpha and b3 grow, a whole number >= 0. The
      paper's is the length of the training; without it large alpha and b3 may
      diverge at first.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScaleByAdemamixState`.
    Updates keep their dtype; where the divisor is 0 the update is 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer: Better, Faster,
    Older", 2024, algorithm 1 and the schedulers of section 3. Optax has no
    warm-ups, and an alpha of 6 here. Apple's PyTorch code adds 1e-8 to both betas
    inside the logarithms; its Optax code does not, and counts the warm-ups from 0.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_ademamix(b3=0.5, alpha=4.0, eps=0.0)
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> round(float(updates['w']), 5)
    -3.0
  """
  owner = 'scale_by_ademamix'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  b3 = _checks.decay(owner, 'b3', b3)
  alpha = _checks.non_negative(owner, 'alpha', alpha)
  eps = _checks.non_negative(owner, 'eps', eps)
  eps_root = _checks.non_negative(owner, 'eps_root', eps_root)
  gradients = _moments.Moment(owner, 'mu_dtype', mu_dtype)
  squares = _moments.Moment(owner, 'nu_dtype', nu_dtype, squares=True)
  warmup_steps = _checks.steps(owner, 'warmup_steps', warmup_steps)

  def init(params):
    return ScaleByAdemamixState(
        count=jnp.zeros((), jnp.int32),
        mu=gradients.zeros(params),
        slow=_leafwise.wide_zeros(params, real=False),
        nu=squares.zeros(params),
    )

  def update(updates, state, params=None, **extra_args):
    del params
    count: Any = optax.safe_increment(state.count)
    weights = extra_args.get('average_weights', {})
    now = bias_correction(b1, count, weights.get('b1'))
    root = bias_correction(b2, count, weights.get('b2'))
    weight, share = alpha, 1 - b3
    if not (isinstance(warmup_steps, int) and warmup_steps == 0):
      progress = _progress(count, warmup_steps)
      weight, share = alpha * progress, _slow_share(b1, b3, progress)

    noise = _moments.Noise(count)

    def leaf(g, mu, slow, nu):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      gradient = g.astype(wide)
      moment, mu = gradients.average(mu, b1, gradient, noise)
      old = slow.astype(wide)
      old = old + share * (gradient - old)
      square, nu = squares.average(nu, b2, gradient, noise)
      hat = moment / now.astype(real) + weight * old
      scale = jnp.sqrt(square / root.astype(real) + eps_root) + eps
      step = _leafwise.safe_divide(hat, scale).astype(g.dtype)
      return step, mu, old.astype(slow.dtype), nu

    steps, *averages = _leafwise.leafwise(
        leaf, 4, updates, state.mu, state.slow, state.nu
    )
    return steps, ScaleByAdemamixState(count, *averages)

  return optax.GradientTransformationExtraArgs(init, update)


def _progress(count: jax.Array, steps: Any) -> jax.Array:
  """min(count / steps, 1), and 1 where `steps` is 0."""
  count = jnp.asarray(count, _types.rate_dtype())
  return jnp.minimum(count / jnp.maximum(steps, 1), 1).astype(count.dtype)


def _slow_share(b1: Any, b3: Any, progress: jax.Array) -> jax.Array:
  """1 - b3_t, with the digits that 1 - b3_t has lost where b3_t is near 1."""
  fast, slow = _log(b1, progress.dtype), _log(b3, progress.dtype)
  now = fast * slow / ((1 - progress) * slow + progress * fast)
  return -jnp.expm1(jnp.minimum(now, slow))


def _log(decay: Any, dtype: Any) -> jax.Array:
  """The logarithm of a decay, finite for 0; exact for a Python number."""
  if isinstance(decay, (int, float)):
    return jnp.asarray(math.log(max(decay, 1e-30)), dtype)
  return jnp.log(jnp.maximum(jnp.asarray(decay, dtype), 1e-30))
