"""The metric that policies hear, averaged over time and over devices."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _evaluate
from lrax import _policy
from lrax import _types
from lrax._types import Numeric
from lrax.schedules import _schedule
from lrax.schedules._algebra import _parts


class Average(NamedTuple):
  """An exponential average that starts from nothing; 0 / 0 before any metric."""

  total: jax.Array  # rate dtype, (): decayed sum of the metrics
  weight: jax.Array  # rate dtype, (): the same sum of ones


class AveragedMemory(NamedTuple):
  """What `averaged` remembers, and the memory of the policy inside."""

  value: Average  # of the keyword argument `value` of `update`
  reported: Average  # of the metrics given to `lrax.report`
  inner: chex.ArrayTree


class _Averaging(NamedTuple):
  """The rule of `averaged`; of an open-loop schedule it is that one's."""

  function: Callable[..., tuple[Any, chex.ArrayTree]]

  def closed_loop(self, arguments: Mapping[str, Any]) -> bool:
    return arguments['schedule'].closed_loop

  def start(
      self, arguments: Mapping[str, Any], params: chex.ArrayTree | None = None
  ) -> tuple[Any, chex.ArrayTree]:
    schedule = arguments['schedule']
    rate, memory = schedule.rule.start(schedule.arguments, params)
    if not schedule.closed_loop:
      return rate, memory
    zero = jnp.zeros((), _types.rate_dtype())
    nothing = Average(zero, zero)
    return rate, AveragedMemory(nothing, nothing, memory)

  def decide(
      self,
      arguments: Mapping[str, Any],
      step: Any,
      memory: Any,
      signals: _types.Signals | None,
  ) -> tuple[Any, chex.ArrayTree]:
    if self.closed_loop(arguments):
      arguments = _evaluate.as_arrays(arguments)
      return self.function(memory, step, signals, **arguments)
    return _decide(arguments['schedule'], step, memory, signals)


def _decide(
    schedule: _policy.Schedule, step: Any, memory: Any, signals: Any
) -> tuple[Any, chex.ArrayTree]:
  return _evaluate.decide(schedule.rule, schedule.arguments, step, memory, signals)


def _axis_name(owner: str, name: str, value: Any) -> Any:
  if value is None or isinstance(value, str):
    return value
  named = isinstance(value, (tuple, list)) and len(value) > 0
  if not named or not all(isinstance(axis, str) for axis in value):
    raise _checks.refuse(
        owner, name, 'the name of a mapped axis, several of them, or None', value,
        "as in jax.pmap(step, axis_name='batch')", TypeError,
    )
  return tuple(value)


def _constructor(function: Callable[..., Any]) -> Callable[..., _policy.Schedule]:
  checks = {
      'schedule': _parts.part, 'smoothing': _checks.decay, 'axis_name': _axis_name,
  }
  return _schedule.constructor(function, _Averaging(function), 3, checks)


@_constructor
def averaged(
    memory: AveragedMemory,
    step: Any,
    signals: _types.Signals,
    schedule: _policy.Schedule,
    smoothing: Numeric = 0.0,
    axis_name: str | tuple[str, ...] | None = None,
):
  """Averages what closed-loop policies hear, over devices and over time.

  In a step under `jax.pmap` or `jax.shard_map` each device has the loss of its
  own share of the batch, and policies that decide by it would drift apart: wrap
  the whole policy, `lrax.control.averaged(schedule * reduce_on_plateau(),
  axis_name='batch')`. The loss of one batch is also noisy from step to step: a
  smoothing of 0.99 averages over about the last hundred. A `value_fn=` that is
  given to `update` is averaged over devices too, and not over time.

  Formula:
    x = mean of metric over the devices of `axis_name`
    total = smoothing * total + (1 - smoothing) * x
    weight = smoothing * weight + (1 - smoothing)
    heard = total / weight

    of `value=` and of reported metrics, each with its own average; an x that is
    not finite is heard as it is and not averaged in

  Args:
    schedule: the policy, a combination too; all within hears the averages. An
      open-loop one hears nothing and stays as it is.
    smoothing: the share of the average that is kept, in [0, 1); 0 for none.
    axis_name: the name of the mapped axis, or several of them, to average over
      with `jax.lax.pmean`; None for none. A metric that is not finite on one
      device is not finite on all. With `lrax.report`, report on every device: a
      metric that one of them lacks is heard by none.

  Returns:
    A `lrax.Schedule`, closed loop where `schedule` is. With an `axis_name` its
    `update` runs only where that axis is mapped.

  Raises:
    TypeError: `schedule` is no schedule, `smoothing` no real scalar, or
      `axis_name` no name.
    ValueError: `smoothing` is out of range.

  Source:
    lrax's own; the average without bias is that of Kingma and Ba, "Adam", 2015,
    section 3, and of one whole window Optax's `accumulation_size`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> driver = lrax.control.bold_driver(growth=2.0, factor=0.5)
    >>> tx = lrax.sgd(lrax.control.averaged(driver, smoothing=0.5))
    >>> params, rates = {'w': jnp.ones(())}, []
    >>> state = tx.init(params)
    >>> for loss in (6.0, 3.0, 3.5):  # averages 6, 4 and 3.71
    ...   _, state = tx.update(params, state, params, value=loss)
    ...   rates.append(float(lrax.get_learning_rate(state)))
    >>> rates
    [1.0, 2.0, 4.0]
  """
  given, value = signals.extra_args.get('value'), memory.value
  if given is not None:
    given = _over_devices(jnp.asarray(given, _types.rate_dtype()), axis_name)
    given, value = _over_time(given, value, smoothing, signals.active)
    extra_args = {**signals.extra_args, 'value': given}
    signals = signals._replace(extra_args=extra_args)

  value_fn = signals.extra_args.get('value_fn')
  if value_fn is not None and axis_name is not None:
    together = lambda params: _over_devices(value_fn(params), axis_name)
    extra_args = {**signals.extra_args, 'value_fn': together}
    signals = signals._replace(extra_args=extra_args)

  # One report reaches every policy inside, so the first one's serves all.
  is_memory = lambda node: isinstance(node, _types.ClosedLoopMemory)
  nodes = jax.tree.leaves(memory.inner, is_leaf=is_memory)
  told = next(node.reported for node in nodes if is_memory(node))
  # NaN says that there was none; both infinities would make one of it.
  told = jnp.where(jnp.isinf(told), jnp.inf, told)
  told = _over_devices(told, axis_name)
  told, reported = _over_time(told, memory.reported, smoothing, signals.active)
  hear = lambda node: node._replace(reported=told) if is_memory(node) else node
  inner = jax.tree.map(hear, memory.inner, is_leaf=is_memory)

  rate, inner = _decide(schedule, step, inner, signals)
  return rate, AveragedMemory(value, reported, inner)


def _over_devices(metric: jax.Array, axis_name: Any) -> jax.Array:
  return metric if axis_name is None else jax.lax.pmean(metric, axis_name)


def _over_time(
    metric: jax.Array, average: Average, smoothing: Numeric, active: Any
) -> tuple[jax.Array, Average]:
  """What is heard for the metric, and the average after it."""
  fresh = jnp.isfinite(metric)
  add = lambda old, new: smoothing * old + (1 - smoothing) * jnp.where(fresh, new, 0)
  new = Average(add(average.total, metric), add(average.weight, 1.0))
  mean = new.total / jnp.where(new.weight == 0, 1, new.weight)
  keep = lambda new, old: jnp.where(fresh & active, new, old).astype(old.dtype)
  return jnp.where(fresh, mean, metric), jax.tree.map(keep, new, average)
