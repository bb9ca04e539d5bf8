"""ALI-G: the Polyak step of losses that can all be 0, below a highest rate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.control import _along
from lrax.control import _closed_loop


def _start(*, max_value, **_) -> tuple[Any, tuple[()]]:
  return 1.0 if max_value is None else max_value, ()


@_closed_loop.closed_loop(
    _start, max_value=_checks.optional(_checks.positive), eps=_checks.non_negative
)
def ali_g(
    memory: tuple[()],
    step: jax.Array,
    signals: _types.Signals,
    max_value: Numeric | None,
    eps: Numeric = 1e-5,
):
  """The loss by the gradient's squared norm, below a highest rate.

  For models that can fit all of the data, so that the loss goes to 0, without
  weight decay: constrain the parameters instead. The highest rate is the one
  number to tune; a schedule of it is `lrax.schedules.minimum(schedule,
  lrax.control.ali_g(None))`.

  The authors' Nesterov momentum adds up finished steps, so it comes after the
  rate: `optax.chain(lrax.control.ali_g(0.1),
  lrax.transforms.scale_by_momentum(0.9, nesterov=True))`. In `lrax.sgd(ali_g(0.1),
  momentum=0.9, nesterov=True)` the rate of now scales all of the momentum, the
  authors' `adjusted_momentum`; then give `update` the gradient as `grad=`, for the
  rate is made of its norm.

  Under `jax.pmap` or `jax.shard_map` the loss is that of one device's share:
  average the gradients as usual, and wrap the policy in
  `lrax.control.averaged(..., axis_name=...)`, so that all take one rate.

  Formula:
    rate = min(max(value, 0) / (|grad| ** 2 + eps), max_value)

    0 where the loss or the norm is not finite, or both are 0

  Args:
    max_value: the highest rate, a finite number > 0; None for no bound.
    eps: keeps the rate of a small gradient finite, a finite number >= 0.

  Returns:
    A closed-loop `lrax.Schedule`.

  Raises:
    TypeError: an argument, or `value` in `update`, is no real scalar.
    ValueError: an argument is out of range; or, from `update`, `value` is
      missing.

  Source:
    Berrada, Zisserman and Kumar, "Training neural networks for and by
    interpolation", 2020, algorithm 1, with the 1e-5 of the authors' code.
    `pytorch_optimizer` has 1e-6.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(lrax.control.ali_g(1.0, eps=0.0))
    >>> params = {'w': jnp.array(3.0)}  # of the loss w ** 2
    >>> grads, loss = {'w': jnp.array(6.0)}, jnp.array(9.0)
    >>> updates, _ = tx.update(grads, tx.init(params), params, value=loss)
    >>> float(updates['w'])
    -1.5
  """
  del step
  value = _along.loss('ali_g', signals)
  gradient = _along.gradient('ali_g', signals)
  below = _along.inner(gradient, gradient) + eps
  usable = (below > 0) & jnp.isfinite(below) & jnp.isfinite(value)
  rate = jnp.where(usable, jnp.maximum(value, 0) / jnp.where(usable, below, 1), 0)
  highest = jnp.finfo(rate.dtype).max if max_value is None else max_value
  return jnp.minimum(rate, highest), memory
