"""Updates as long as the parameters they move."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms import _norms
from lrax.transforms._needs_params import needs_params
from lrax.transforms._scheduled import scheduled


@scheduled('min_norm', 'trust_coefficient', 'eps')
def scale_by_trust_ratio(
    min_norm: Numeric = 0.0,
    trust_coefficient: Numeric = 1.0,
    eps: Numeric = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """Gives the update of each leaf the norm of the leaf.

  Formula:
    ratio = trust_coefficient * max(min_norm, norm(parameter))
      / (max(min_norm, norm(g)) + eps), and 1 where either norm is 0
    update = ratio * g

    Each number may be a schedule: see `ScheduledState`.

  Args:
    min_norm: the least that either norm counts as, >= 0.
    trust_coefficient: multiplies the ratio, >= 0.
    eps: added to the divisor, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs` without a state; its update needs
    `params`. Updates keep their dtype; those of 0 stay 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    You et al., "Large Batch Optimization for Deep Learning", 2020, algorithm 2
    with phi the identity. The same as Optax.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_trust_ratio()
    >>> params = {'w': jnp.array([3.0, 4.0])}
    >>> updates, _ = tx.update({'w': jnp.array([0.0, -2.0])}, tx.init(params), params)
    >>> updates['w'].tolist()
    [0.0, -5.0]
  """
  owner = 'scale_by_trust_ratio'
  least = _checks.non_negative(owner, 'min_norm', min_norm)
  coefficient = _checks.non_negative(owner, 'trust_coefficient', trust_coefficient)
  eps = _checks.non_negative(owner, 'eps', eps)

  def init(params):
    del params
    return optax.EmptyState()

  def update(updates, state, params=None, **extra_args):
    del extra_args
    params = needs_params(owner, params, 'a step is as long as the parameter')

    def leaf(g, param):
      bound = lambda x: jnp.maximum(_norms.norm(jnp.asarray(x)), least)
      weight, size = bound(param), bound(g)
      scale = ratio(coefficient * weight, size + eps, (weight == 0) | (size == 0))
      return (scaled(g, scale),)

    (steps,) = _leafwise.leafwise(leaf, 1, updates, params)
    return steps, state

  return optax.GradientTransformationExtraArgs(init, update)


def ratio(numerator: jax.Array, divisor: jax.Array, none: jax.Array) -> jax.Array:
  """Their ratio, and 1 where there is `none`."""
  return jnp.where(none, 1, numerator / jnp.where(none, 1, divisor))


def scaled(g: jax.Array, scale: jax.Array) -> jax.Array:
  """`scale * g`, multiplied in float32 or wider, in the dtype of `g`."""
  wide = _leafwise.wide_dtype(g)
  product = scale.astype(_leafwise.real_dtype(wide)) * g.astype(wide)
  return product.astype(g.dtype)
