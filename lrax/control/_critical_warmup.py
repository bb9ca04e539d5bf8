"""A warm-up that follows the rate at which a step would start to raise the loss."""

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
from lrax.control import _critical_probe
from lrax.control._guard_branch import branch

_fraction = _checks.number(
    'a number in (0, 1]', lambda x: 0 < x <= 1, 'the share of the critical rate to take'
)


class CriticalWarmupMemory(NamedTuple):
  """What `critical_warmup` remembers."""

  rate: jax.Array  # rate dtype, (): the rate of now
  critical: jax.Array  # rate dtype, (): where the next search starts
  measured: jax.Array  # int32, (): updates that searched
  at_peak: jax.Array  # int32, (): of these, the latest ones in a row at the peak


def _start(*, peak_value, init_value, **_) -> tuple[Any, CriticalWarmupMemory]:
  dtype = _types.rate_dtype()
  first = jnp.asarray(init_value, dtype)
  rate = jnp.minimum(first, jnp.asarray(peak_value, dtype))
  zero = jnp.zeros((), jnp.int32)
  return rate, CriticalWarmupMemory(rate, first, zero, zero)


@_closed_loop.closed_loop(
    _start,
    peak_value=_checks.positive,
    init_value=_checks.positive,
    fraction=_fraction,
    patience=_checks.positive_steps,
    warmup_steps=_checks.optional(_checks.positive_steps),
    max_trials=_critical_probe.trials,
)
def critical_warmup(
    memory: CriticalWarmupMemory,
    step: jax.Array,
    signals: _types.Signals,
    peak_value: Numeric,
    init_value: Numeric = 1e-3,
    fraction: Numeric = 0.5,
    patience: Numeric = 10,
    warmup_steps: Numeric | None = None,
    max_trials: Numeric = 8,
):
  """A warm-up that is as fast as the loss allows, and ends when the peak is safe.

  Before each update it searches along it for the critical rate, at which the step
  would start to raise the loss on this batch, and takes a fraction of that, the
  peak at most. When the peak has been safe in `patience` updates in a row, it is
  the rate from then on, and no loss is evaluated any more. So a model that bears
  the peak from the start is not warmed up, and one that does not is warmed up for
  as long as it needs.

  Give `update` the loss as `value=`, and as `value_fn=` a function of the
  parameters that gives the loss on the same batch, with the same dropout. The
  updates may be those of any optimizer. It multiplies a schedule of what comes
  after: `lrax.control.critical_warmup(0.1) * lrax.cosine_annealing(1.0, 10_000)`.
  Let that schedule stay at or below 1: the search knows only its own factor, and
  `critical_warmup(1.0) * lrax.constant(3.0)` takes three times the rate that was
  found safe. `optax.inject_hyperparams` does not pass `params` on, without which
  there is nothing to step from: put it into `lrax.adam` or a chain instead. It does
  not go into `optax.partition`, whose groups do not see all of the parameters.

  Under `jax.pmap` or `jax.shard_map` wrap the policy in
  `lrax.control.averaged(..., axis_name=...)`, which averages the loss and
  `value_fn` over devices, so that all take one rate; without smoothing there, as a
  loss averaged over time is not that of this batch.

  Formula:
    critical = the largest rate tried that has
      value_fn(params - rate * direction) <= value + rounding
    rate = min(fraction * critical, peak_value)

    The search starts from the last critical rate. It doubles, no higher than
    peak_value / fraction, or halves, until it has tried a rate on either side, and
    then halves the bracket until its ends are 25% apart; after `max_trials` losses
    it stops in any case. Where every rate tried is above, critical is the lowest of
    them. rounding is 4 spacings of the loss's numbers at `value`. Where `value` is
    not finite nothing changes.

    It ends after `patience` updates in a row with rate = peak_value, or after
    `warmup_steps` updates; then the rate stays.

  Args:
    peak_value: the rate to warm up to, a finite number > 0.
    init_value: where the first search starts, a finite number > 0.
    fraction: the share of the critical rate that is taken, in (0, 1]. On a
      parabola half of it is the lowest point, and twice the fraction the share of
      the limit of stability along this direction.
    patience: updates in a row in which the peak must be safe, a whole number >= 1.
    warmup_steps: the most updates that are warmed up, a whole number >= 1; the
      rate then stays where it is. None for no bound.
    max_trials: the most losses evaluated in one update, a whole number >= 1.

  Returns:
    A closed-loop `lrax.Schedule`. Under `jax.vmap` losses are evaluated for all
    while one warms up.

  Raises:
    TypeError: an argument, or a loss, is no real scalar, or `value_fn` no function.
    ValueError: an argument is out of range; or, from `update`, `value`, `value_fn`
      or `params` is missing.

  Source:
    lrax's own, on the critical rate of Kalra and Barkeshli, "Why Warmup the
    Learning Rate? Underlying Mechanisms and Improvements", 2024, who find that what
    warm-up does is to let the model reach places that tolerate the peak, and search
    for that rate by doubling and halving before the first update. They go on a
    little above it, so that the loss is thrown up and comes down elsewhere
    ("persistent catapult warmup"); here the rate stays below it.

  Example:
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> loss = lambda w: 4 * w ** 2  # a step of 0.25 leads to -w
    >>> tx = lrax.sgd(lrax.control.critical_warmup(1.0, init_value=0.25))
    >>> w = jnp.array(1.0)
    >>> value, grad = jax.value_and_grad(loss)(w)
    >>> _, state = tx.update(grad, tx.init(w), w, value=value, value_fn=loss)
    >>> float(lrax.get_learning_rate(state))
    0.125
  """
  del step
  owner = 'critical_warmup'
  value = _along.loss(owner, signals)
  after, _ = _along.loss_along(owner, signals)
  kind = jnp.result_type(signals.extra_args['value'])
  dtype = memory.rate.dtype
  peak = jnp.asarray(peak_value, dtype)
  highest = (peak / fraction).astype(dtype)

  def measure() -> CriticalWarmupMemory:
    found = _critical_probe.probe(
        after, value, _critical_probe.rounding(value, kind), memory.critical,
        rtol=0.25, most=max_trials, highest=highest, active=due,
    )
    critical = jnp.where(found.lower > 0, found.lower, found.upper)
    # A rate that has gone to 0 could never grow again.
    critical = jnp.maximum(critical, jnp.finfo(dtype).tiny).astype(dtype)
    safe = critical >= highest
    rate = jnp.where(safe, peak, fraction * critical)
    at_peak = jnp.where(safe, memory.at_peak + 1, 0)
    return CriticalWarmupMemory(
        rate.astype(dtype), critical, memory.measured + 1, at_peak.astype(jnp.int32)
    )

  due = (memory.at_peak < patience) & jnp.isfinite(value) & signals.active
  if warmup_steps is not None:
    due &= memory.measured < warmup_steps
  memory = branch(jnp.asarray(due).astype(jnp.int32), (lambda: memory, measure))
  return memory.rate, memory
