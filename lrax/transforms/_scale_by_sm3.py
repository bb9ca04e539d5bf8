"""SM3's direction: AdaGrad's, with sums of squares kept by row and column."""

from __future__ import annotations

import functools
from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


class ScaleBySm3State(NamedTuple):
  """State of `scale_by_sm3`."""

  # For each array a tuple of (size,) an axis, one of () for a scalar; float32 or
  # wider.
  covers: Any
  mu: chex.ArrayTree  # average direction, parameters' shapes


@scheduled('b1', 'b2', 'eps')
def scale_by_sm3(
    b1: Numeric = 0.9,
    b2: Numeric = 1.0,
    eps: Numeric = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """AdaGrad's direction from one number a row and one a column.

  Formula:
    nu = min over the axes of their covers + g ** 2
    cover of an axis = max of nu over all other axes
    mu = b1 * mu + (1 - b1) * g / sqrt(nu + eps)
    update = mu

    with b2 below 1, nu = b2 * min + (1 - b2) * g ** 2. A vector's cover is its own
    sum of squares, and this is AdaGrad. b1, b2 and eps may be schedules: see
    `ScheduledState`.

  Args:
    b1: share of the average of directions that is kept, in [0, 1).
    b2: share of the covers that is kept, in [0, 1]; at 1 they are sums.
    eps: added under the root, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScaleBySm3State`. Updates
    keep their dtype; where the divisor is 0 nothing is added.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Anil et al., "Memory-Efficient Adaptive Optimization", 2019, SM3-II with the
    covers of rows and columns of its section 4; the momentum, of directions and
    not of gradients, and its 1 - b1 are the authors' code's, whose eps is 1e-30.
    Optax does the same with an eps of 1e-8; b2 is its own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_sm3(b1=0.0)
    >>> g = jnp.array([[3.0, -4.0]])
    >>> updates, state = tx.update(g, tx.init(g))
    >>> updates.tolist(), [cover.tolist() for cover in state.covers]
    ([[1.0, -1.0]], [[16.0], [9.0, 16.0]])
  """
  b1 = _checks.decay('scale_by_sm3', 'b1', b1)
  b2 = _checks.share('scale_by_sm3', 'b2', b2)
  eps = _checks.non_negative('scale_by_sm3', 'eps', eps)
  added = jnp.where(b2 == 1, 1, 1 - b2)

  def init(params):
    return ScaleBySm3State(
        covers=jax.tree.map(_no_cover, params), mu=_leafwise.zeros(params)
    )

  def update(updates, state, params=None, **extra_args):
    del params, extra_args

    def leaf(g, covers, mu):
      wide = _leafwise.wide_dtype(g)
      gradient = g.astype(wide)
      least = functools.reduce(
          jnp.minimum, (_along(c, i, g.ndim) for i, c in enumerate(covers))
      )
      nu = b2 * least + added.astype(least.dtype) * _leafwise.square(gradient)
      step = _leafwise.safe_divide(gradient, jnp.sqrt(nu + eps))
      moment = b1 * mu.astype(wide) + (1 - b1) * step
      new = tuple(_largest(nu, i).astype(c.dtype) for i, c in enumerate(covers))
      return moment.astype(g.dtype), new, moment.astype(mu.dtype)

    steps, covers, mu = _leafwise.leafwise(
        leaf, 3, updates, state.covers, state.mu
    )
    return steps, ScaleBySm3State(covers, mu)

  return optax.GradientTransformationExtraArgs(init, update)


def _no_cover(x: Any) -> tuple[jax.Array, ...]:
  dtype = _leafwise.real_dtype(_leafwise.wide_dtype(x))
  return tuple(jnp.zeros(size, dtype) for size in jnp.shape(x) or [()])


def _along(cover: jax.Array, axis: int, axes: int) -> jax.Array:
  """The cover of one axis, in a shape that broadcasts with the array."""
  if not axes:
    return cover
  return cover.reshape([-1 if i == axis else 1 for i in range(axes)])


def _largest(nu: jax.Array, axis: int) -> jax.Array:
  """The maximum over all axes but one; 0 of no elements."""
  others = tuple(i for i in range(nu.ndim) if i != axis)
  return jnp.max(nu, axis=others, initial=0)
