"""A schedule whose clock is the share of the work that is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import chex
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _evaluate
from lrax import _types
from lrax._types import Numeric
from lrax.schedules import _schedule
from lrax.schedules._algebra import _parts


class _ByProgress(NamedTuple):
  """The rule: its memory is the step last shown, and that of the schedule."""

  def closed_loop(self, arguments: Mapping[str, Any]) -> bool:
    del arguments
    return True

  def start(
      self, arguments: Mapping[str, Any], params: chex.ArrayTree | None = None
  ) -> tuple[Any, chex.ArrayTree]:
    schedule = arguments['schedule']
    rate, memory = schedule.rule.start(schedule.arguments, params)
    return rate, (jnp.zeros((), jnp.int32), memory)

  def decide(
      self,
      arguments: Mapping[str, Any],
      step: Any,
      memory: Any,
      signals: _types.Signals | None,
  ) -> tuple[Any, chex.ArrayTree]:
    del step
    assert signals is not None  # an open-loop call is refused before this
    progress = _share('by_progress', 'progress', signals)
    last, inner = memory
    # A NaN or a value out of range cannot move the clock off its ends.
    share = jnp.clip(jnp.asarray(progress, _types.rate_dtype()), 0.0, 1.0)
    now = _nearest(share, arguments['total'])
    now = jnp.where(signals.active & ~jnp.isnan(share), now, last)
    schedule = arguments['schedule']
    rate, inner = _evaluate.decide(
        schedule.rule, schedule.arguments, now, inner, signals
    )
    return rate, (now, inner)


def _share(owner: str, name: str, signals: _types.Signals) -> Any:
  """The keyword argument of the update, a real scalar."""
  value = signals.require(name, owner)
  kind = value.dtype if hasattr(value, 'dtype') else np.asarray(value).dtype
  if np.ndim(value) or not (
      jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)
  ):
    raise _checks.refuse(
        owner, name, 'a real scalar', f'{kind} of shape {np.shape(value)}',
        'it is the share of the work that is done', TypeError,
    )
  return value


def _nearest(share: Any, total: Any) -> Any:
  """round(share * total) for a share in [0, 1], within a float32's 24 bits."""
  product = share * jnp.asarray(total, share.dtype)
  # A float32 near 2**31 rounds up to it.
  top = jnp.asarray(np.nextafter(np.float32(2**31), np.float32(0)), share.dtype)
  nearest = jnp.round(jnp.minimum(product, top)).astype(jnp.int32)
  total = jnp.asarray(total, jnp.int32)
  return jnp.where(share >= 1, total, jnp.minimum(nearest, total))


def _by_progress(schedule: Any, total: Numeric):
  """Runs a schedule by the share of the work that is done, not by updates.

  Formula:
    rate = schedule(round(progress * total)), progress given to each update

  Tokens, samples, epochs or wall clock: whatever the run is measured in,
  `progress` is the part of it that is over:
  `tx.update(grads, state, params, progress=tokens_seen / tokens_in_all)`.

  Args:
    schedule: the policy, its length given in its own steps.
    total: the step of the schedule that `progress=1` stands for, a whole
      number >= 1; usually the schedule's length. The larger it is, the finer.

  Returns:
    A `lrax.Schedule`, closed loop: each update needs `progress=`, a real
    scalar, traced or not. Outside [0, 1] it counts as the nearer end; a NaN
    keeps the step of the last update.

  Raises:
    TypeError: `schedule` is no schedule, or `total` is not whole.
    ValueError: `total` is out of range; or, in update, `progress` is missing.

  Source:
    lrax's own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> policy = lrax.linear(1.0, 0.0, steps=1000)
    >>> tx = lrax.sgd(lrax.schedules.by_progress(policy, total=1000))
    >>> params = jnp.zeros(())
    >>> _, state = tx.update(jnp.ones(()), tx.init(params), params, progress=0.25)
    >>> float(lrax.get_learning_rate(state))
    0.75
  """


_by_progress.__name__ = _by_progress.__qualname__ = 'by_progress'
by_progress = _schedule.constructor(
    _by_progress, _ByProgress(), 0,
    {'schedule': _parts.part, 'total': _checks.positive_steps},
)
