"""MARS' direction: Adam's, of gradients corrected by the one before."""

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
from lrax.transforms import _moments
from lrax.transforms._scale_by_adam import scale_by_adam
from lrax.transforms._scheduled import scheduled


class ScaleByMarsState(NamedTuple):
  """State of `scale_by_mars`."""

  count: jax.Array  # int32, (): updates seen
  mu: chex.ArrayTree  # average corrected gradient, parameters' shapes
  nu: chex.ArrayTree  # average square, parameters' shapes, float32 or wider
  previous: chex.ArrayTree  # the gradient before, parameters' shapes and dtypes


@scheduled('eps', 'gamma', averages=('b1', 'b2'))
def scale_by_mars(
    b1: Numeric = 0.95,
    b2: Numeric = 0.99,
    eps: Numeric = 1e-8,
    gamma: Numeric = 0.025,
    mu_dtype: Any = None,
    *,
    nu_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """Adam's direction from gradients that a look back makes less noisy.

  Formula:
    c = g + gamma * b1 / (1 - b1) * (g - gradient before), g at the first update
    c = c / max(1, ||c||), with the norm of each array by itself
    mu = b1 * mu + (1 - b1) * c
    nu = b2 * nu + (1 - b2) * c ** 2
    update = mu / (1 - b1 ** t) / (sqrt(nu / (1 - b2 ** t)) + eps)

    t counts updates from 1. Each number may be a schedule: see `ScheduledState`.
    Where b1 moves, b1 ** t is the product of its values so far; so for b2.

  Args:
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root, >= 0.
    gamma: strength of the correction, >= 0; 0 is Adam of clipped gradients.
    mu_dtype: dtype of mu; None for the parameter's; 'block8' for 8 bits a number,
      see `Block8`.
    nu_dtype: how nu is kept: None for float32 or wider; 'block8'; or bfloat16,
      rounded up or down by chance, without which it would not decay.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScaleByMarsState`. Updates
    keep their dtype; where the divisor is 0 the update is 0. A NaN in a gradient
    does not count in its norm.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training
    Large Models", 2024, algorithm 2 (MARS-AdamW) in its approximate form, where
    the gradient before is that of the batch before; the exact form computes the
    new batch's gradient at the old parameters. The authors' code takes 0 for the
    gradient before the first, which makes the first c larger; the paper and timm
    do as here.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_mars()
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> round(float(updates['w']), 5)
    -1.0
  """
  owner = 'scale_by_mars'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  gamma = _checks.non_negative(owner, 'gamma', gamma)
  _moments.Moment(owner, 'mu_dtype', mu_dtype)
  _moments.Moment(owner, 'nu_dtype', nu_dtype, squares=True)
  adam = scale_by_adam(b1, b2, eps, mu_dtype=mu_dtype, nu_dtype=nu_dtype)

  def init(params):
    inner: Any = adam.init(params)
    return ScaleByMarsState(*inner, previous=_leafwise.zeros(params))

  def update(updates, state, params=None, **extra_args):
    del params

    def leaf(g, previous):
      wide = _leafwise.wide_dtype(g)
      gradient = g.astype(wide)
      change = jnp.where(state.count == 0, 0, gradient - previous.astype(wide))
      corrected = gradient + gamma * b1 / (1 - b1) * change
      corrected = corrected / jnp.maximum(1, _norm(corrected))
      return corrected.astype(wide), g.astype(previous.dtype)

    corrected, previous = _leafwise.leafwise(leaf, 2, updates, state.previous)
    inner: Any = optax.ScaleByAdamState(state.count, state.mu, state.nu)
    steps, inner = adam.update(corrected, inner, None, **extra_args)
    cast = lambda step, g: step.astype(jnp.result_type(g))
    steps = jax.tree.map(cast, steps, updates)
    return steps, ScaleByMarsState(*inner, previous=previous)

  return optax.GradientTransformationExtraArgs(init, update)


def _norm(x: jax.Array) -> jax.Array:
  """The norm of what is not NaN: a NaN is seen where it is, and only there."""
  square = _leafwise.square(x)
  return jnp.sqrt(jnp.sum(jnp.where(jnp.isnan(square), 0, square)))
