"""CDAT: a rate at the edge of stability along the update."""

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


class CdatMemory(NamedTuple):
  """What `cdat` remembers; both are sums with the same weights."""

  slope: jax.Array  # rate dtype, (): of the loss along the update; 0 at first
  curvature: jax.Array  # rate dtype, (): of the same, its size; 0 at first


def _start(*, max_value, **_) -> tuple[Any, CdatMemory]:
  zero = jnp.zeros((), _types.rate_dtype())
  return max_value, CdatMemory(zero, zero)


@_closed_loop.closed_loop(
    _start,
    max_value=_checks.positive,
    sigma=_checks.positive,
    smoothing=_checks.decay,
    eps=_checks.non_negative,
)
def cdat(
    memory: CdatMemory,
    step: jax.Array,
    signals: _types.Signals,
    max_value: Numeric = 1.0,
    sigma: Numeric = 2.0,
    smoothing: Numeric = 0.9,
    eps: Numeric = 0.0,
):
  """A rate by slope and curvature along the update, at the edge of stability.

  With `sigma` = 1 it is the step to the lowest point of the loss's parabola along
  the update, which is greedy and in the end slow; with 2, the one to the other side
  of it at the same height, the edge of stability. It warms up by itself. The
  authors found it ahead of a tuned constant rate on full batches, and no longer on
  small ones: there take a smaller `sigma`.

  Give `update` as `value_fn=` a function of the parameters that gives the loss on
  the same batch, with the same dropout. Slope and curvature are its first two
  derivatives along the update, by `jax.jvp`: about the cost of a gradient, and no
  more memory than an evaluation. A loss with a `jax.custom_vjp` inside has none.
  The direction may be that of any optimizer. It does not go into
  `optax.partition`, whose groups do not see all of the parameters.

  Under `jax.pmap` or `jax.shard_map` wrap the policy in
  `lrax.control.averaged(..., axis_name=...)`, which averages `value_fn` over
  devices, so that all take one rate.

  Formula:
    slope = max(sum(grad * direction), 0)
    curvature = |sum(direction * hessian @ direction)| + eps
    both averaged over updates, weight `smoothing` on the past
    rate = min(sigma * slope / curvature, max_value)

    what is not finite is passed over; 0 where the averaged slope is 0

  Args:
    max_value: the highest rate, a finite number > 0, which it takes where the loss
      is straight.
    sigma: a finite number > 0; 2 is the edge.
    smoothing: the share of the averages that is kept, in [0, 1); 0 for full batches.
    eps: keeps the rate finite, a finite number >= 0.

  Returns:
    A closed-loop `lrax.Schedule`.

  Raises:
    TypeError: an argument, or a loss, is no real scalar, or `value_fn` no function.
    ValueError: an argument is out of range; or, from `update`, `value_fn` or
      `params` is missing.

  Source:
    Roulet, Agarwala, Grill, Swirszcz, Blondel and Pedregosa, "Stepping on the edge:
    curvature aware learning rate tuners", 2024, section 3. They set no highest
    rate; here there is one, for a loss that is straight along the update. The
    averages' start at 0 cancels between them.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> loss = lambda w: 4 * w ** 2
    >>> tx = lrax.sgd(lrax.control.cdat())
    >>> w = jnp.array(1.0)
    >>> _, state = tx.update(jax.grad(loss)(w), tx.init(w), w, value_fn=loss)
    >>> float(lrax.get_learning_rate(state))  # 2 / 8
    0.25
  """
  del step
  after, _ = _along.loss_along('cdat', signals)
  dtype = _types.rate_dtype()
  here, one = jnp.zeros((), dtype), jnp.ones((), dtype)
  falling = lambda rate: jax.jvp(after, (rate,), (one,))[1]
  slope, bend = jax.jvp(falling, (here,), (one,))
  slope, curvature = jnp.maximum(-slope, 0), jnp.abs(bend) + eps
  fresh = jnp.isfinite(slope) & jnp.isfinite(curvature)

  def average(old: jax.Array, new: jax.Array) -> jax.Array:
    new = smoothing * old + (1 - smoothing) * jnp.where(fresh, new, 0)
    return jnp.where(fresh, new, old).astype(dtype)

  memory = CdatMemory(
      average(memory.slope, slope), average(memory.curvature, curvature)
  )
  # Divided only where the result is below the bound, which it may overflow.
  wanted = sigma * memory.slope
  below = wanted < max_value * memory.curvature
  rate = wanted / jnp.where(below, memory.curvature, 1)
  rate = jnp.where(below, rate, max_value)
  return jnp.where(memory.slope > 0, rate, 0), memory
