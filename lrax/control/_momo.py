"""MoMo: the Polyak step of a momentum, by a model of the losses so far."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.control import _along
from lrax.control import _closed_loop


class MomoMemory(NamedTuple):
  """What `momo` remembers; the averages have the same weights."""

  weight: jax.Array  # rate dtype, (): gathered by the averages; 0 at first
  value: jax.Array  # rate dtype, (): of losses
  at_params: jax.Array  # rate dtype, (): of sum(grad * params)
  gradient: chex.ArrayTree  # float32 or wider, as the parameters: of gradients
  f_star: jax.Array  # rate dtype, (): the lowest loss, given or estimated


def _start(*, params, max_value, f_star, **_) -> tuple[Any, MomoMemory]:
  dtype = _types.rate_dtype()
  zero = jnp.zeros((), dtype)
  lowest = jnp.asarray(f_star, dtype)
  first = 1.0 if max_value is None else max_value
  return first, MomoMemory(zero, zero, zero, _along.zeros(params), lowest)


@_closed_loop.closed_loop(
    _start,
    of_params=True,
    max_value=_checks.optional(_checks.positive),
    b1=_checks.decay,
)
def momo(
    memory: MomoMemory,
    step: jax.Array,
    signals: _types.Signals,
    max_value: Numeric | None = 1.0,
    b1: Numeric = 0.9,
    f_star: Numeric = 0.0,
    estimate_f_star: bool = False,
    bias_correction: bool = True,
):
  """The Polyak step for an optimizer with momentum, gradient descent's and Adam's.

  The losses and gradients so far, averaged as the momentum averages them, make a
  model of the loss that is straight and never below the lowest loss. The rate is
  the one that takes the model down to it, and `max_value` at most. Take for
  `max_value` a rate that would be a little too high: with the model it is not.

  `b1` must be the decay of the optimizer's momentum: `lrax.sgd(momo(0.1),
  momentum=0.9)`, or `lrax.adam(momo(0.01), b1=0.9)` for MoMo-Adam. `update` needs
  the parameters, the loss as `value=` and the gradient as `grad=`. The highest rate
  may be a schedule: `lrax.schedules.minimum(schedule, lrax.control.momo(None))`.

  Under `jax.pmap` or `jax.shard_map` the loss is that of one device's share:
  average the gradients as usual, and wrap the policy in
  `lrax.control.averaged(..., axis_name=...)`, so that all take one rate; without
  smoothing there, for it averages the losses itself.

  Formula:
    average(x) = b1 * average(x) + (1 - b1) * x
    of value, grad, sum(grad * params), and of 1, the weight
    gap = value + sum(grad * params) - at_params - weight * f_star, of the averages
    but for the params of now
    rate = min(max(gap, 0) / sum(average gradient * direction), max_value)

    0 where what it is divided by is not above 0, or the gap is not finite; losses
    and gradients that are not finite are not averaged in

    with `estimate_f_star`, h the gap without its last term: where h < weight *
      f_star, f_star = max(h / (2 * weight), the one given) before the rate; and
      f_star = max((h - rate * sum(average gradient * direction) / 2) / weight, the
      one given) after it

  Args:
    max_value: the highest rate, a finite number > 0; None for no bound. In
      `lrax.sgd` the momentum is a sum and not an average: its rates are 1 - b1
      times the paper's, for the same step.
    b1: the share of the averages that is kept, in [0, 1).
    f_star: the lowest loss, a finite number; where it is estimated, a bound from
      below.
    estimate_f_star: whether to estimate the lowest loss (MoMo*).
    bias_correction: whether the averages start at 0 and their weight is counted, as
      in MoMo-Adam; else at their first values, as the paper's MoMo, whose momentum
      starts at the first gradient.

  Returns:
    A closed-loop `lrax.Schedule`. It remembers one number for each parameter, in
    float32 or wider, so its state is made by `init(params)`.

  Raises:
    TypeError: an argument, or `value` in `update`, is no real scalar.
    ValueError: an argument is out of range; or, from `update`, `value`, `grad` or
      `params` is missing, or the state was made without the parameters.

  Source:
    Schaipp, Ohana, Eickenberg, Defazio and Gower, "MoMo: momentum models for
    adaptive learning rates", 2024, algorithms 1 (MoMo) and 2 (MoMo-Adam), equation
    9; the estimate as in section 4 and the authors' code. They divide by the
    squared norm of the average in the optimizer's metric, which is its product with
    the direction. Their weight decay enters the model too; here a decay is the
    optimizer's own and not modelled. `optax.contrib.momo` is one optimizer with
    momentum and rate together.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(lrax.control.momo(), momentum=0.9)
    >>> params = {'w': jnp.array(3.0)}  # of the loss w ** 2
    >>> grads, loss = {'w': jnp.array(6.0)}, jnp.array(9.0)
    >>> signals = dict(value=loss, grad=grads)
    >>> updates, _ = tx.update(grads, tx.init(params), params, **signals)
    >>> round(float(updates['w']), 5)
    -1.5
  """
  del step
  loss = _along.loss('momo', signals)
  given = signals.require('grad', 'momo')
  params = _along.parameters('momo', signals)
  _along.needs_shapes('momo', memory.gradient, params)
  direction = _along.direction('momo', signals)
  gradient = _along.on(given, memory.gradient)
  here = _along.inner(params, gradient)
  size = _along.inner(gradient, gradient)
  fresh = jnp.isfinite(loss) & jnp.isfinite(here) & jnp.isfinite(size)
  old, new = b1, 1 - b1
  if not bias_correction:
    first = memory.weight == 0
    old, new = jnp.where(first, 0, old), jnp.where(first, 1, new)

  def average(before: jax.Array, x: Any) -> jax.Array:
    x = old * before + new * jnp.where(fresh, jnp.asarray(x, before.dtype), 0)
    return jnp.where(fresh, x, before).astype(before.dtype)

  memory = memory._replace(
      weight=average(memory.weight, 1.0),
      value=average(memory.value, loss),
      at_params=average(memory.at_params, here),
      gradient=jax.tree.map(average, memory.gradient, gradient),
  )
  dtype = memory.weight.dtype
  # One expression for both uses; it is the loss that the model promises here.
  height = memory.value + (_along.inner(memory.gradient, params) - memory.at_params)
  steep = _along.inner(memory.gradient, direction)
  lowest, lower = memory.f_star, jnp.asarray(f_star, dtype)
  weight = jnp.where(memory.weight > 0, memory.weight, 1)
  usable = (steep > 0) & jnp.isfinite(steep) & jnp.isfinite(height)
  usable &= fresh & (memory.weight > 0)
  if estimate_f_star:
    below = usable & (height < weight * lowest)
    lowest = jnp.where(below, jnp.maximum(height / (2 * weight), lower), lowest)
  gap = jnp.maximum(height - weight * lowest, 0)
  rate = jnp.where(usable, gap, 0) / jnp.where(usable, steep, 1)
  rate = jnp.minimum(rate, jnp.finfo(dtype).max if max_value is None else max_value)
  if estimate_f_star:
    reached = (height - rate * steep / 2) / weight
    lowest = jnp.where(usable, jnp.maximum(reached, lower), lowest)
  return rate, memory._replace(f_star=lowest.astype(dtype))
