"""AdaMax's direction: Adam's, over the largest gradient instead of the root."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._bias_correction import bias_correction
from lrax.transforms._scheduled import scheduled


@scheduled('b2', 'eps', averages=('b1',))
def scale_by_adamax(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """Divides an average of the gradient by the largest recent gradient.

  Formula:
    mu = b1 * mu + (1 - b1) * g
    nu = max(b2 * nu, |g| + eps)
    update = mu / (1 - b1 ** t) / nu

    t counts updates from 1. Each number may be a schedule: see `ScheduledState`.
    Where b1 moves, b1 ** t is the product of its values so far.

  Args:
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the largest gradient that is kept at each update, in [0, 1).
    eps: added to the gradient inside the maximum, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByAdamState`:
    count int32 (), mu and nu in the parameters' shapes, nu real and in float32 or
    wider. Updates keep their dtype; where nu is 0 the update is 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Kingma and Ba, "Adam", 2015, algorithm 2, which has no eps. Optax and PyTorch
    are `eps=1e-8`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_adamax()
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> round(float(updates['w']), 5)
    -1.0
  """
  b1 = _checks.decay('scale_by_adamax', 'b1', b1)
  b2 = _checks.decay('scale_by_adamax', 'b2', b2)
  eps = _checks.non_negative('scale_by_adamax', 'eps', eps)

  def init(params):
    return optax.ScaleByAdamState(
        count=jnp.zeros((), jnp.int32),
        mu=_leafwise.zeros(params),
        nu=_leafwise.wide_zeros(params),
    )

  def update(updates, state, params=None, **extra_args):
    del params
    count: Any = optax.safe_increment(state.count)
    weights = extra_args.get('average_weights', {})
    now = bias_correction(b1, count, weights.get('b1'))

    def leaf(g, mu, nu):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      gradient = g.astype(wide)
      moment = b1 * mu.astype(wide) + (1 - b1) * gradient
      largest = jnp.maximum(b2 * nu.astype(real), jnp.abs(gradient) + eps)
      step = _leafwise.safe_divide(moment / now.astype(real), largest)
      return step.astype(g.dtype), moment.astype(mu.dtype), largest.astype(nu.dtype)

    steps, mu, nu = _leafwise.leafwise(leaf, 3, updates, state.mu, state.nu)
    return steps, optax.ScaleByAdamState(count, mu, nu)

  return optax.GradientTransformationExtraArgs(init, update)
