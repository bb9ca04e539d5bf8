"""Clipping by the norm of all gradients together."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._sum_all import sum_all
from lrax._traced_once import traced_once
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


@scheduled('max_norm')
def clip_by_global_norm(max_norm: Numeric) -> optax.GradientTransformationExtraArgs:
  """Scales all gradients down together where their norm is above `max_norm`.

  Formula:
    norm = sqrt(sum of |g| ** 2 over all entries of all leaves)
    update = g * min(1, max_norm / norm)

    `max_norm` may be a schedule: see `ScheduledState`.

  Args:
    max_norm: the largest norm that is left as it is, > 0.

  Returns:
    An `optax.GradientTransformationExtraArgs` without a state. Updates keep their
    dtype; the norm is computed in float32 or wider. A gradient that is not finite
    makes updates that are not, for `lrax.guard` to see.

  Raises:
    TypeError: `max_norm` is of the wrong kind.
    ValueError: `max_norm` is out of range.

  Source:
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural
    networks", 2013, algorithm 1. The same as Optax's up to a rounding; PyTorch
    adds 1e-6 to the norm. Optax chooses between two gradients and divides each,
    so that XLA on CPU writes the clipped gradients to memory; one factor for all
    is part of the kernels that follow, and the whole step takes half as long.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.clip_by_global_norm(1.0)
    >>> updates, _ = tx.update({'w': jnp.array([3.0, 4.0])}, tx.init(None))
    >>> [round(float(u), 6) for u in updates['w']]
    [0.6, 0.8]
  """
  max_norm = _checks.positive('clip_by_global_norm', 'max_norm', max_norm)

  def init(params):
    del params
    return optax.EmptyState()

  def update(updates, state, params=None, **extra_args):
    del params, extra_args
    wide = lambda g: jnp.asarray(g, _leafwise.wide_dtype(g))
    square = lambda g: _leafwise.square(wide(g))
    norm = jnp.sqrt(sum_all(square, jax.tree.leaves(updates), jnp.float32))
    # At most 1, and 1 for a norm of 0: nothing is divided by it.
    factor = max_norm / jnp.maximum(norm, max_norm)

    def leaf(g):
      scale = factor.astype(_leafwise.real_dtype(_leafwise.wide_dtype(g)))
      return (wide(g) * scale).astype(jnp.result_type(g))

    return jax.tree.map(traced_once(leaf, updates), updates), state

  return optax.GradientTransformationExtraArgs(init, update)
