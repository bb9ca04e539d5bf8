"""The size of a direction, and the sign of the gradient."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax.transforms import _direction
from lrax.transforms import _leafwise


def grams(transform: Any) -> optax.GradientTransformationExtraArgs:
  """Turns each number of a direction to the sign of the gradient of now.

  Formula:
    update = |direction| * sign(g)

    Of a complex number the sign is g / |g|; the sign of 0 is 0.

  Args:
    transform: a transformation that gives a direction, such as
      `lrax.transforms.scale_by_adam()`: no optimizer, which has a rate. Decay goes
      behind this one.

  Returns:
    An `optax.GradientTransformationExtraArgs` with the state of `transform`, which
    keeps its averages unturned and gets all keyword arguments. Updates keep the
    dtype that `transform` gives them.

  Raises:
    TypeError: `transform` is no transformation.
    ValueError: `init` finds a learning rate in `transform`.

  Source:
    Cao et al., "Grams: Gradient Descent with Adaptive Momentum Scaling", 2024,
    algorithm 1, where the transformation is Adam's. The authors' package adds eps
    before the bias correction; the paper after it, as `scale_by_adam` does.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.grams(lrax.transforms.scale_by_momentum(decay=0.5))
    >>> g = jnp.array([4.0, 4.0])
    >>> _, state = tx.update(g, tx.init(g))
    >>> updates, state = tx.update(jnp.array([-1.0, 1.0]), state)
    >>> updates.tolist()
    [-1.0, 3.0]
  """

  def leaf(g: jax.Array, direction: Any) -> jax.Array:
    wide = jnp.asarray(direction, _leafwise.wide_dtype(direction))
    sign = jnp.sign(jnp.asarray(g, _leafwise.wide_dtype(g)))
    return (jnp.abs(wide) * sign).astype(jnp.result_type(direction))

  return _direction.wrap('grams', transform, leaf)
