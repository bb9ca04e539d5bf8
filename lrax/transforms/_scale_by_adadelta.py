"""AdaDelta's direction: the gradient in the units of the parameters."""

from __future__ import annotations

import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


@scheduled('rho', 'eps')
def scale_by_adadelta(
    rho: Numeric = 0.95, eps: Numeric = 1e-6
) -> optax.GradientTransformationExtraArgs:
  """Scales the gradient by the size of past updates over that of gradients.

  Formula:
    e_g = rho * e_g + (1 - rho) * g ** 2
    update = sqrt(e_x + eps) / sqrt(e_g + eps) * g
    e_x = rho * e_x + (1 - rho) * update ** 2

    rho and eps may be schedules: see `ScheduledState`.

  Args:
    rho: share of both averages that is kept, in [0, 1).
    eps: added under both roots, > 0; e_x starts at 0, so that with 0 nothing
      would ever move. The first updates are about sqrt(eps) in size.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByAdaDeltaState`:
    e_g and e_x in the parameters' shapes, float32 or wider. Updates keep their
    dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, algorithm 1; the
    constants of its section 4.1. PyTorch and Optax do the same with rho = 0.9.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_adadelta(rho=0.0, eps=1.0)
    >>> params = {'w': jnp.zeros((), jnp.float32)}
    >>> updates, _ = tx.update({'w': jnp.sqrt(3.0)}, tx.init(params))
    >>> round(float(updates['w']), 4)
    0.866
  """
  rho = _checks.decay('scale_by_adadelta', 'rho', rho)
  eps = _checks.positive('scale_by_adadelta', 'eps', eps)

  def init(params):
    return optax.ScaleByAdaDeltaState(
        e_g=_leafwise.wide_zeros(params), e_x=_leafwise.wide_zeros(params)
    )

  def update(updates, state, params=None, **extra_args):
    del params, extra_args

    def leaf(g, e_g, e_x):
      wide = g.astype(_leafwise.wide_dtype(g))
      square = rho * e_g + (1 - rho) * _leafwise.square(wide)
      step = jnp.sqrt(e_x + eps) / jnp.sqrt(square + eps) * wide
      moved = rho * e_x + (1 - rho) * _leafwise.square(step)
      return step.astype(g.dtype), square.astype(e_g.dtype), moved.astype(e_x.dtype)

    steps, e_g, e_x = _leafwise.leafwise(leaf, 3, updates, state.e_g, state.e_x)
    return steps, optax.ScaleByAdaDeltaState(e_g=e_g, e_x=e_x)

  return optax.GradientTransformationExtraArgs(init, update)
