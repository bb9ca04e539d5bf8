"""Momentum: a sum of the gradients so far that forgets the old ones."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


@scheduled('decay')
def scale_by_momentum(
    decay: Numeric = 0.9,
    nesterov: bool = False,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """Replaces the gradient by a velocity that remembers earlier ones.

  Formula:
    velocity = decay * velocity + g
    update = velocity, or decay * velocity + g with `nesterov`

    decay may be a schedule: see `ScheduledState`.

  Args:
    decay: share of the velocity that is kept, in [0, 1).
    nesterov: whether to look one step ahead.
    accumulator_dtype: dtype of the velocity; None for the parameter's.

  Returns:
    An `optax.GradientTransformationExtraArgs` with an `optax.TraceState`.
    Updates keep their dtype and are computed in float32 or wider.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Polyak, 1964; Nesterov, 1983, in the form of Sutskever et al., "On the
    importance of initialization and momentum in deep learning", 2013. The same
    as `optax.trace`, which returns updates in the accumulator's
    dtype, and as PyTorch's SGD with dampening 0.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_momentum(0.5)
    >>> gradient = {'w': jnp.ones(())}
    >>> _, state = tx.update(gradient, tx.init(gradient))
    >>> updates, _ = tx.update(gradient, state)
    >>> float(updates['w'])
    1.5
  """
  owner = 'scale_by_momentum'
  decay = _checks.decay(owner, 'decay', decay)
  nesterov = _checks.flag(owner, 'nesterov', nesterov)
  accumulator_dtype = _checks.dtype(owner, 'accumulator_dtype', accumulator_dtype)

  def init(params):
    return optax.TraceState(_leafwise.zeros(params, accumulator_dtype))

  def update(updates, state, params=None, **extra_args):
    del params, extra_args

    def leaf(g: jax.Array, trace: jax.Array) -> tuple[jax.Array, jax.Array]:
      wide = jnp.promote_types(_leafwise.wide_dtype(g), trace.dtype)
      gradient = g.astype(wide)
      velocity = gradient + decay * trace.astype(wide)
      step = gradient + decay * velocity if nesterov else velocity
      return step.astype(g.dtype), velocity.astype(trace.dtype)

    steps, trace = _leafwise.leafwise(leaf, 2, updates, state.trace)
    return steps, optax.TraceState(trace)

  return optax.GradientTransformationExtraArgs(init, update)
