"""Yogi's direction: Adam's, whose divisor changes by no more than a square."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


@scheduled('b1', 'b2', 'eps', 'eps_root')
def scale_by_yogi(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-3,
    eps_root: Numeric = 0.0,
    initial_accumulator_value: Numeric = 1e-6,
) -> optax.GradientTransformationExtraArgs:
  """Divides an average of the gradient by a root that moves in small steps.

  Formula:
    mu = b1 * mu + (1 - b1) * g
    nu = nu - (1 - b2) * sign(nu - g ** 2) * g ** 2
    update = mu / (sqrt(nu + eps_root) + eps)

    mu starts at 0, so that a zero gradient moves nothing. b1, b2, eps and eps_root
    may be schedules: see `ScheduledState`.

  Args:
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: one minus the share of g ** 2 by which nu moves, in [0, 1).
    eps: added to the root, >= 0.
    eps_root: added under the root, >= 0.
    initial_accumulator_value: what nu starts from, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByAdamState`:
    count int32 (), mu and nu in the parameters' shapes, nu in float32 or wider.
    Updates keep their dtype; where the divisor is 0 the update is 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Zaheer et al., "Adaptive Methods for Nonconvex Optimization", 2018,
    algorithm 2, which corrects no bias. Optax and torch-optimizer start mu at
    `initial_accumulator_value` too and correct both for a start at 0 that was
    none, so that a zero gradient moves the parameters.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_yogi(b1=0.5, b2=0.75, eps=0.0)
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> round(float(updates['w']), 4)
    -1.0
  """
  owner = 'scale_by_yogi'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  eps_root = _checks.non_negative(owner, 'eps_root', eps_root)
  start = _checks.non_negative(
      owner, 'initial_accumulator_value', initial_accumulator_value
  )

  def init(params):
    return optax.ScaleByAdamState(
        count=jnp.zeros((), jnp.int32),
        mu=_leafwise.zeros(params),
        nu=_leafwise.wide_zeros(params, start),
    )

  def update(updates, state, params=None, **extra_args):
    del params, extra_args
    count: Any = optax.safe_increment(state.count)

    def leaf(g, mu, nu):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      gradient = g.astype(wide)
      moment = b1 * mu.astype(wide) + (1 - b1) * gradient
      new = _leafwise.square(gradient)
      square = nu.astype(real)
      square = square - (1 - b2) * jnp.sign(square - new) * new
      scale = jnp.sqrt(square + eps_root) + eps
      step = _leafwise.safe_divide(moment, scale).astype(g.dtype)
      return step, moment.astype(mu.dtype), square.astype(nu.dtype)

    steps, mu, nu = _leafwise.leafwise(leaf, 3, updates, state.mu, state.nu)
    return steps, optax.ScaleByAdamState(count, mu, nu)

  return optax.GradientTransformationExtraArgs(init, update)
