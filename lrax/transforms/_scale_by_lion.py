"""Lion's direction: the sign of a momentum."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms import _moments
from lrax.transforms._scheduled import scheduled


@scheduled('b1', 'b2')
def scale_by_lion(
    b1: Numeric = 0.9,
    b2: Numeric = 0.99,
    mu_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """The sign of an average of the gradient that leans to the latest one.

  Formula:
    update = sign(b1 * mu + (1 - b1) * g)
    mu = b2 * mu + (1 - b2) * g

    Of a complex number the sign is x / |x|; the sign of 0 is 0. b1 and b2 may be
    schedules: see `ScheduledState`.

  Args:
    b1: share of the average in the update, in [0, 1).
    b2: share of the average of gradients that is kept, in [0, 1).
    mu_dtype: dtype of mu; None for the parameter's; 'block8' for 8 bits a number,
      see `Block8`.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByLionState`:
    count int32 (), mu in the parameters' shapes. Updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023,
    algorithm 2. The same as Optax's default; its smoothed signs are not in the
    paper and are not here.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_lion()
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> float(updates['w'])
    -1.0
  """
  b1 = _checks.decay('scale_by_lion', 'b1', b1)
  b2 = _checks.decay('scale_by_lion', 'b2', b2)
  gradients = _moments.Moment('scale_by_lion', 'mu_dtype', mu_dtype)

  def init(params):
    return optax.ScaleByLionState(
        count=jnp.zeros((), jnp.int32), mu=gradients.zeros(params)
    )

  def update(updates, state, params=None, **extra_args):
    del params, extra_args
    count: Any = optax.safe_increment(state.count)

    noise = _moments.Noise(count)

    def leaf(g, mu):
      wide = _leafwise.wide_dtype(g)
      gradient = g.astype(wide)
      moment = gradients.read(mu).astype(wide)
      step = jnp.sign(b1 * moment + (1 - b1) * gradient)
      _, mu = gradients.average(mu, b2, gradient, noise)
      return step.astype(g.dtype), mu

    steps, mu = _leafwise.leafwise(leaf, 2, updates, state.mu)
    return steps, optax.ScaleByLionState(count, mu)

  return optax.GradientTransformationExtraArgs(init, update)
