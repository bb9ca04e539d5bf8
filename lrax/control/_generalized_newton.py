"""GeN: Newton's step along the update, from three losses."""

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
from lrax.control._guard_branch import branch


class GeneralizedNewtonMemory(NamedTuple):
  """What `generalized_newton` remembers."""

  rate: jax.Array  # rate dtype, (): the rate of now
  since: jax.Array  # int32, (): updates since the losses were measured


def _start(*, init_value, **_) -> tuple[Any, GeneralizedNewtonMemory]:
  rate = jnp.asarray(init_value, _types.rate_dtype())
  return rate, GeneralizedNewtonMemory(rate, jnp.zeros((), jnp.int32))


@_closed_loop.closed_loop(
    _start,
    init_value=_checks.positive,
    every=_checks.positive_steps,
    smoothing=_checks.decay,
    max_value=_checks.optional(_checks.positive),
)
def generalized_newton(
    memory: GeneralizedNewtonMemory,
    step: jax.Array,
    signals: _types.Signals,
    init_value: Numeric = 1e-3,
    every: Numeric = 8,
    smoothing: Numeric = 0.9,
    max_value: Numeric | None = None,
):
  """Newton's step along the update, from the losses a step ahead and a step back.

  The losses at three points of the line that the update would go give a parabola,
  and its lowest point the rate. That takes two evaluations of the loss, in every
  `every`-th update only. Give `update` the loss as `value=`, and as `value_fn=` a
  function of the parameters that gives the loss on the same batch, with the same
  dropout. The direction may be that of any optimizer. It does not go into
  `optax.partition`, whose groups do not see all of the parameters.

  Under `jax.pmap` or `jax.shard_map` wrap the policy in
  `lrax.control.averaged(..., axis_name=...)`, which averages the loss and
  `value_fn` over devices, so that all take one rate; without smoothing there, as a
  loss averaged over time is not that of this batch.

  Formula:
    ahead, back = value_fn(params -+ rate * direction)
    newton = rate / 2 * (back - ahead) / (ahead - 2 * value + back)
    rate = smoothing * rate + (1 - smoothing) * newton

    in the first update and each `every`-th after it, where all three losses are
    finite, the parabola opens upwards and its lowest point is ahead; else the rate
    stays as it is. Where it does not open upwards the loss falls faster and faster,
    so the rate never grows there: give a higher `init_value`

  Args:
    init_value: the rate before the first, and how far away the first losses are
      measured: a finite number > 0.
    every: updates from one measurement to the next, a whole number >= 1; the
      authors advise 4 or more.
    smoothing: the share of the rate that is kept, in [0, 1); 0 for Newton's step.
    max_value: the highest rate, a finite number > 0; None for no bound.

  Returns:
    A closed-loop `lrax.Schedule`.

  Raises:
    TypeError: an argument, or a loss, is no real scalar, or `value_fn` no function.
    ValueError: an argument is out of range; or, from `update`, `value`, `value_fn`
      or `params` is missing.

  Source:
    Bu and Xu, "Gradient descent with generalized Newton's method", 2025, algorithm
    1. The 0.9 and the two conditions are those of the authors' code, which also
    lets one measurement no more than halve or double the rate, which 0.9 makes
    small, and takes the losses of another batch. In float32 the losses of a very
    small step differ by rounding only, and the parabola is noise: the first rate
    must be one that changes the loss visibly.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> loss = lambda w: 4 * w ** 2
    >>> tx = lrax.sgd(lrax.control.generalized_newton(0.5, smoothing=0.0))
    >>> w = jnp.array(1.0)
    >>> value, grad = jax.value_and_grad(loss)(w)
    >>> _, state = tx.update(grad, tx.init(w), w, value=value, value_fn=loss)
    >>> float(lrax.get_learning_rate(state))
    0.125
  """
  del step
  value = _along.loss('generalized_newton', signals)
  after, _ = _along.loss_along('generalized_newton', signals)
  rate = memory.rate

  def measure() -> jax.Array:
    ahead, back = after(rate), after(-rate)
    fall, bend = back - ahead, (ahead - value) + (back - value)
    known = jnp.isfinite(fall) & jnp.isfinite(bend) & (fall > 0) & (bend > 0)
    newton = rate / 2 * fall / jnp.where(known, bend, 1)
    new = smoothing * rate + (1 - smoothing) * newton
    if max_value is not None:
      new = jnp.minimum(new, max_value)
    known &= jnp.isfinite(new) & (new > 0)
    return jnp.where(known, new, rate).astype(rate.dtype)

  due = (memory.since == 0) & signals.active
  rate = branch(due.astype(jnp.int32), (lambda: rate, measure))
  since = jnp.where(memory.since + 1 >= every, 0, memory.since + 1)
  return rate, GeneralizedNewtonMemory(rate, since.astype(jnp.int32))
