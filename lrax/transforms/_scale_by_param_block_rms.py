"""Steps in proportion to the parameters they move."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms import _norms
from lrax.transforms._needs_params import needs_params
from lrax.transforms._scheduled import scheduled


@scheduled('min_scale')
def scale_by_param_block_rms(
    min_scale: Numeric = 1e-3,
) -> optax.GradientTransformationExtraArgs:
  """Multiplies the update of each leaf by the root mean square of the leaf.

  Formula:
    update = max(min_scale, sqrt(mean(parameter ** 2))) * g

    min_scale may be a schedule: see `ScheduledState`.

  Args:
    min_scale: the least factor, >= 0, so that a leaf of zeros can move.

  Returns:
    An `optax.GradientTransformationExtraArgs` without a state; its update needs
    `params`. Updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Shazeer and Stern, "Adafactor", 2018, algorithm 4: alpha = max(eps2, RMS(x))
    times the relative step. The same as Optax.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_param_block_rms()
    >>> params = {'w': jnp.full(4, 2.0)}
    >>> updates, _ = tx.update({'w': jnp.ones(4)}, tx.init(params), params)
    >>> updates['w'].tolist()
    [2.0, 2.0, 2.0, 2.0]
  """
  owner = 'scale_by_param_block_rms'
  least = _checks.non_negative(owner, 'min_scale', min_scale)

  def init(params):
    del params
    return optax.EmptyState()

  def update(updates, state, params=None, **extra_args):
    del extra_args
    params = needs_params(owner, params, 'a step is a part of the parameter')

    def leaf(g, param):
      scale = _norms.rms(jnp.asarray(param))
      scale = jnp.maximum(scale, jnp.asarray(least, scale.dtype))
      wide = jnp.promote_types(_leafwise.wide_dtype(g), scale.dtype)
      return ((g.astype(wide) * scale).astype(g.dtype),)

    (steps,) = _leafwise.leafwise(leaf, 1, updates, params)
    return steps, state

  return optax.GradientTransformationExtraArgs(init, update)
