"""The stochastic Polyak step: how far it is to the lowest loss, by the slope."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.control import _along
from lrax.control import _closed_loop


class PolyakMemory(NamedTuple):
  """What `polyak` remembers."""

  previous: jax.Array  # rate dtype, (): the last rate above 0, or `init_value`


def _start(*, max_value, init_value, doubling_steps, **_) -> tuple[Any, PolyakMemory]:
  # With smoothing the first rate grows from `init_value`.
  first = init_value
  if max_value is not None:
    first = max_value if doubling_steps is None else jnp.minimum(first, max_value)
  return first, PolyakMemory(jnp.asarray(init_value, _types.rate_dtype()))


@_closed_loop.closed_loop(
    _start,
    max_value=_checks.optional(_checks.positive),
    c=_checks.positive,
    doubling_steps=_checks.optional(_checks.positive_steps),
    init_value=_checks.positive,
)
def polyak(
    memory: PolyakMemory,
    step: jax.Array,
    signals: _types.Signals,
    max_value: Numeric | None = 1.0,
    c: Numeric = 0.5,
    f_star: Numeric = 0.0,
    doubling_steps: Numeric | None = None,
    init_value: Numeric = 1.0,
):
  """The stochastic Polyak step: the gap to the lowest loss, by the slope.

  It is for a model that can fit every batch, so that the lowest loss of each is
  known: 0 for a cross-entropy or a squared error. With weight decay or label
  smoothing it is not 0; give that as `f_star`, or bound the rate.

  The direction may be another than the gradient, that of Adam for example; then
  give `update` the gradient as `grad=`. For a direction with momentum see
  `lrax.control.momo`.

  Under `jax.pmap` or `jax.shard_map` the loss is that of one device's share:
  average the gradients as usual, and wrap the policy in
  `lrax.control.averaged(..., axis_name=...)`, so that all take one rate.

  Formula:
    rate = min(max(value - f_star, 0) / (c * slope), max_value,
               2 ** (1 / doubling_steps) * previous)
    slope = sum(grad * direction), for gradient descent |grad| ** 2

    previous is the last rate that was above 0, at first `init_value`; the rate
    is 0 where the slope is not above 0 or the loss is not finite

  Args:
    max_value: the highest rate, a finite number > 0; None for no bound.
    c: divides the step, a finite number > 0; 0.5 doubles that of Polyak.
    f_star: the lowest loss that a batch can have, a finite number.
    doubling_steps: updates in which the rate may double at most, a whole number
      >= 1, in the paper those of an epoch; None lets it jump.
    init_value: the rate before the first, where `doubling_steps` bounds it: a
      finite number > 0. With no bound at all, what a warmup rises to.

  Returns:
    A closed-loop `lrax.Schedule`.

  Raises:
    TypeError: an argument, or `value` in `update`, is no real scalar.
    ValueError: an argument is out of range; or, from `update`, `value` is
      missing.

  Source:
    Loizou, Vaswani, Laradji and Lacoste-Julien, "Stochastic Polyak step-size for
    SGD", 2021, equation 4 (SPS_max) and section 4 (smoothing, from 1); of
    directions that are preconditioned, Abdukhakimov et al., "Stochastic gradient
    descent with preconditioned Polyak step-size", 2023. As the authors' code,
    0 and never uphill where the loss is below `f_star`; `optax.polyak_sgd`
    goes uphill there, and has c = 1 and no smoothing. In the code a step of 0
    bounds all later ones by 0; here it is passed over.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(lrax.control.polyak())
    >>> params = {'w': jnp.array(3.0)}  # of the loss w ** 2
    >>> grads, loss = {'w': jnp.array(6.0)}, jnp.array(9.0)
    >>> updates, _ = tx.update(grads, tx.init(params), params, value=loss)
    >>> float(updates['w'])
    -3.0
  """
  del step
  value = _along.loss('polyak', signals)
  direction = _along.direction('polyak', signals)
  slope = _along.inner(direction, _along.gradient('polyak', signals))
  usable = (slope > 0) & jnp.isfinite(slope) & jnp.isfinite(value)
  gap = jnp.maximum(value - f_star, 0)
  rate = jnp.where(usable, gap / (c * jnp.where(usable, slope, 1)), 0)
  bounds = [jnp.finfo(rate.dtype).max]
  if max_value is not None:
    bounds.append(max_value)
  if doubling_steps is not None:
    growth = jnp.exp2(1 / jnp.asarray(doubling_steps, rate.dtype))
    bounds.append(growth * memory.previous)
  for bound in bounds:
    rate = jnp.minimum(rate, bound)
  previous = jnp.where(rate > 0, rate, memory.previous)
  return rate, PolyakMemory(previous.astype(memory.previous.dtype))
