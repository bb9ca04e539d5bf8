"""Keeps of a direction what agrees in sign with the gradient."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _direction
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled

_floor = _checks.number(
    'a number in (0, 1]',
    lambda x: 0 < x <= 1,
    'it is the least share that the kept part is divided by',
)


@scheduled('min_share')
def cautious(
    transform: Any, min_share: Numeric = 1e-3
) -> optax.GradientTransformationExtraArgs:
  """Takes from a direction what would go against the gradient of now.

  Formula:
    mask = 1 where direction * g > 0, 0 elsewhere
    update = direction * mask / max(mean(mask), min_share)

    with the mean over each array by itself; of complex numbers the sign is that of
    the real part of direction * conj(g), of the decrease to first order. min_share
    may be a schedule: see `ScheduledState`.

  Args:
    transform: a transformation that gives a direction, along g and not against
      it, such as `lrax.transforms.scale_by_adam()`: no optimizer, which has a
      rate and turned the sign. Decay goes behind this one.
    min_share: the least divisor, in (0, 1]: the kept part of an array of which
      little agrees is not blown up further.

  Returns:
    An `optax.GradientTransformationExtraArgs` with the state of `transform`, which
    keeps its averages unmasked and gets all keyword arguments. Updates keep the
    dtype that `transform` gives them.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or `init` finds a learning rate in
      `transform`.

  Source:
    Liang et al., "Cautious Optimizers: Improving Training with One Line of Code",
    2024, algorithm 1, which divides by the mean and a small eps; the floor of
    1e-3 instead of an eps is that of the authors' code and timm. The paper's
    theory, and pytorch_optimizer, divide by (count + 1) / size; lion-pytorch has
    a floor of 1e-5. The gradient is what this transformation is given: a clip by
    the global norm in front of it changes no sign.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.cautious(lrax.transforms.scale_by_lion(b1=0.5, b2=0.5))
    >>> g = jnp.array([4.0, 4.0])
    >>> _, state = tx.update(g, tx.init(g))
    >>> updates, state = tx.update(jnp.array([-1.0, 1.0]), state)
    >>> updates.tolist()
    [0.0, 2.0]
  """
  owner = 'cautious'
  min_share = _floor(owner, 'min_share', min_share)

  def leaf(g: jax.Array, direction: Any) -> jax.Array:
    wide = jnp.asarray(direction, _leafwise.wide_dtype(direction))
    gradient = jnp.asarray(g, _leafwise.wide_dtype(g))
    # Signs, not numbers: a product of small ones would be 0.
    agrees = jnp.real(jnp.sign(wide) * jnp.conj(jnp.sign(gradient))) > 0
    mask = agrees.astype(_leafwise.real_dtype(wide.dtype))
    share = jnp.maximum(_mean(mask), min_share)
    # A product, so that NaN is seen.
    return (wide * (mask / share)).astype(jnp.result_type(direction))

  return _direction.wrap(owner, transform, leaf)


def _mean(mask: jax.Array) -> jax.Array:
  """The mean, and 0 of an array of no elements."""
  return jnp.sum(mask) / max(mask.size, 1)
