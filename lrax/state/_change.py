"""Changes to the learning rate of a run, without recompiling it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.state import _find


def _fill(field: Any, value: Any) -> Any:
  """The field, every element set to `value`, in its own dtype and wrapper."""

  def fill(old: Any) -> Any:
    new = jnp.broadcast_to(jnp.asarray(value, old.dtype), old.shape)
    traced = isinstance(old, Tracer) or isinstance(new, Tracer)
    if traced or not getattr(old, 'committed', False):
      return new
    # Where it was put before: elsewhere, the next step would recompile.
    return jax.device_put(new, old.sharding)

  return jax.tree.map(fill, field)


def _checked(
    state: Any, group: Any, caller: str, name: str, value: Any, check: _checks.Check
) -> Any:
  """A scalar that passes the check, or an array for a state with leading axes."""
  if value is None or np.ndim(value) == 0:
    return check(caller, name, value)
  if not isinstance(value, Tracer):
    for element in np.asarray(value).ravel():
      check(caller, name, element)
  for found in _find.select(state, group, caller).values():
    shape = jnp.shape(_find.array(found.state.step))
    try:
      fits = np.broadcast_shapes(np.shape(value), shape) == shape
    except ValueError:
      fits = False
    if not fits:
      raise _checks.refuse(
          caller, name, f"of a shape that broadcasts to the state's {shape}",
          f'an array of shape {np.shape(value)}', 'a number changes all of it',
      )
  return jnp.asarray(value)


def _real(owner: str, name: str, value: Any) -> Any:
  """Any real number, NaN and infinities too; a metric may be one."""
  kinds = (int, float, np.number, np.ndarray, jax.Array)
  real = isinstance(value, kinds) and not isinstance(value, bool)
  if real:
    dtype = jnp.result_type(value)
    real = jnp.issubdtype(dtype, jnp.integer) or jnp.issubdtype(dtype, jnp.floating)
  if not real:
    raise _checks.refuse(
        owner, name, 'a number', value, 'pass a float or an array', TypeError
    )
  return value


def set_learning_rate(
    state: Any, value: Numeric, group: Hashable | None = None
) -> Any:
  """Overrides the rate from the next update on, until `follow_schedule`.

  The policy's clock goes on counting. Nothing is recompiled: the override is a
  number in the state.

  Args:
    state: any optimizer state; see `get_learning_rate`.
    value: the rate, a finite number >= 0, traced too. For a state with leading
      axes (`vmap`, `pmap`) an array that broadcasts to them.
    group: the group to change; None for all.

  Returns:
    The state with the override, of the same structure, shapes and dtypes.

  Raises:
    TypeError: `value` is no real number.
    ValueError: `value` is negative or not finite, there is no such group, or
      no lrax learning rate is in `state`.

  Source:
    lrax's own; under a schedule Optax overwrites a rate set by hand.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(lrax.linear(1.0, 0.0, steps=4))
    >>> state = lrax.set_learning_rate(tx.init({'w': jnp.ones(())}), 0.125)
    >>> updates, state = tx.update({'w': jnp.ones(())}, state)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.125, 0.125)
  """
  caller = 'set_learning_rate'
  value = _checked(state, group, caller, 'value', value, _checks.rate)
  override = lambda node: node._replace(override=_fill(node.override, value))
  return _find.change(state, group, caller, override)


def follow_schedule(state: Any, group: Hashable | None = None) -> Any:
  """Ends an override: from the next update on the policy decides again.

  Args:
    state: any optimizer state; see `get_learning_rate`.
    group: the group to change; None for all.

  Returns:
    The state without the override. The policy goes on where its clock is now;
    a factor from `scale_learning_rate` stays.

  Raises:
    ValueError: there is no such group, or no lrax learning rate is in `state`.

  Source:
    lrax's own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(0.5)
    >>> state = lrax.set_learning_rate(tx.init({'w': jnp.ones(())}), 0.125)
    >>> _, state = tx.update({'w': jnp.ones(())}, lrax.follow_schedule(state))
    >>> float(lrax.get_learning_rate(state))
    0.5
  """
  follow = lambda node: node._replace(override=_fill(node.override, jnp.nan))
  return _find.change(state, group, 'follow_schedule', follow)


def scale_learning_rate(
    state: Any, factor: Numeric, group: Hashable | None = None
) -> Any:
  """Multiplies what the policy gives by `factor`, from the next update on.

  Factors multiply: twice 0.5 is 0.25. An override is not scaled.

  Args:
    state: any optimizer state; see `get_learning_rate`.
    factor: a finite number >= 0, traced too, or an array that broadcasts to
      the leading axes of the state.
    group: the group to change; None for all.

  Returns:
    The state with its scale multiplied.

  Raises:
    TypeError: `factor` is no real number.
    ValueError: `factor` is negative or not finite, there is no such group, or
      no lrax learning rate is in `state`.

  Source:
    lrax's own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(0.5)
    >>> state = lrax.scale_learning_rate(tx.init({'w': jnp.ones(())}), 0.5)
    >>> _, state = tx.update({'w': jnp.ones(())}, state)
    >>> float(lrax.get_learning_rate(state))
    0.25
  """
  caller = 'scale_learning_rate'
  factor = _checked(state, group, caller, 'factor', factor, _checks.non_negative)
  # Finite for ever: an infinite rate would make NaN of a gradient of zero.
  largest = lambda old: jnp.finfo(old.dtype).max
  times = lambda old: jnp.minimum(old * jnp.asarray(factor, old.dtype), largest(old))
  scale = lambda node: node._replace(scale=jax.tree.map(times, node.scale))
  return _find.change(state, group, caller, scale)


def restart_schedule(
    state: Any, at: Numeric = 0, group: Hashable | None = None
) -> Any:
  """Moves the policy's clock to step `at`, and nothing else.

  Moments, and Adam's count for its bias correction, stay as they are.

  Args:
    state: any optimizer state; see `get_learning_rate`.
    at: the step that the next update takes its rate from, a whole number >= 0.
    group: the group to change; None for all.

  Returns:
    The state with the policy's step moved.

  Raises:
    TypeError: `at` is no whole number.
    ValueError: `at` is out of range, there is no such group, or no lrax
      learning rate is in `state`.

  Source:
    lrax's own; resetting Optax's count resets Adam's bias correction too.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.adam(lrax.linear(1.0, 0.0, steps=4))
    >>> state = lrax.restart_schedule(tx.init({'w': jnp.ones(())}), at=3)
    >>> _, state = tx.update({'w': jnp.ones(())}, state)
    >>> float(lrax.get_learning_rate(state))
    0.25
  """
  caller = 'restart_schedule'
  at = _checked(state, group, caller, 'at', at, _checks.steps)
  move = lambda node: node._replace(step=_fill(node.step, at))
  return _find.change(state, group, caller, move)


def report(
    state: Any, metric: Numeric, group: Hashable | None = None
) -> Any:
  """Hands a metric, such as an epoch's validation loss, to closed-loop policies.

  It is kept in their memory and used at the next update, once.

  Args:
    state: any optimizer state; see `get_learning_rate`.
    metric: a number, traced too. A NaN is handed on as infinity: by either a
      policy tells a diverged run.
    group: the group whose policies hear it; None for all.

  Returns:
    The state with the metric in the memory of each closed-loop policy.

  Raises:
    TypeError: `metric` is no real number.
    ValueError: no policy of the group is closed loop, there is no such group,
      or no lrax learning rate is in `state`.

  Source:
    lrax's own; Flax's `TrainState.apply_gradients` forwards no metric to Optax.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> def start():
    ...   return 1.0, ()
    >>> @lrax.control.closed_loop(start)
    ... def as_reported(memory, step, signals):
    ...   told = ~jnp.isnan(signals.reported)
    ...   return jnp.where(told, signals.reported, 1.0), memory
    >>> tx = lrax.sgd(as_reported())
    >>> state = lrax.report(tx.init({'w': jnp.ones(())}), 0.5)
    >>> _, state = tx.update({'w': jnp.ones(())}, state)
    >>> float(lrax.get_learning_rate(state))
    0.5
  """
  caller = 'report'
  metric = _checked(state, group, caller, 'metric', metric, _real)
  is_memory = lambda x: isinstance(x, _types.ClosedLoopMemory)
  hearing = []

  def hear(memory: Any) -> Any:
    if not is_memory(memory):
      return memory
    hearing.append(memory)
    # NaN stands for no report; a run that gave one has diverged all the same.
    told = jnp.where(jnp.isnan(metric), jnp.inf, metric)
    return memory._replace(reported=_fill(memory.reported, told))

  def tell(node: _types.LearningRateState) -> _types.LearningRateState:
    return node._replace(memory=jax.tree.map(hear, node.memory, is_leaf=is_memory))

  told = _find.change(state, group, caller, tell)
  if group is None:  # closed-loop momentum and the like have no group
    told = jax.tree.map(_tell_scheduled(hear), told, is_leaf=_is_scheduled)
  if not hearing:
    raise ValueError(
        f'{caller}: `state` must hold a closed-loop policy, got open-loop ones'
        ' only; a schedule of the step does not listen to a metric.'
    )
  return told


def _is_scheduled(node: Any) -> bool:
  return isinstance(node, _types.ScheduledState)


def _tell_scheduled(hear: Any) -> Any:
  """The same for numbers other than the rate that are closed loop."""
  is_memory = lambda x: isinstance(x, _types.ClosedLoopMemory)

  def tell(node: Any) -> Any:
    if not _is_scheduled(node):
      return node
    memories = jax.tree.map(hear, node.memories, is_leaf=is_memory)
    inner = jax.tree.map(tell, node.inner_state, is_leaf=_is_scheduled)
    return node._replace(memories=memories, inner_state=inner)

  return tell
