"""What a policy gives: its rate at a step, and its update of a chain.

The functions behind `Schedule`, of its parts: the name that messages give it,
its rule and its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
import functools
from typing import Any

import chex
import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np
import optax

from lrax import _call
from lrax import _types
from lrax._traced_once import traced_once

# So many steps at once are evaluated by a compiled program.
MANY = 2**17


def as_arrays(arguments: Mapping[str, Any]) -> dict[str, Any]:
  """Array hyperparameters in the rate's dtype; Python numbers stay exact."""
  return {name: _ready(value, known=False) for name, value in arguments.items()}


def as_numbers(arguments: Mapping[str, Any]) -> dict[str, Any]:
  """The same, but arrays that are not traced are Python numbers too."""
  return {name: _ready(value, known=True) for name, value in arguments.items()}


def _ready(value: Any, known: bool) -> Any:
  if isinstance(value, tuple) and not isinstance(value, _call.Call):
    return tuple(_ready(v, known) for v in value)
  if not _call.is_array(value):
    return value
  floating = jnp.issubdtype(value.dtype, jnp.floating)
  if known and not isinstance(value, Tracer):
    value = np.asarray(value, np.float64 if floating else np.int64)
    return value if value.ndim else value.item()
  return jnp.asarray(value, _types.rate_dtype() if floating else value.dtype)


def decide(
    rule: _types.Rule,
    arguments: Mapping[str, Any],
    step: Any,
    memory: chex.ArrayTree,
    signals: _types.Signals | None,
) -> tuple[Any, chex.ArrayTree]:
  """The rule's rate, not rounded yet, and its memory.

  Where the step and all hyperparameters are known, rules compute with NumPy in
  float64 and nothing is compiled; else with JAX.
  """
  known = isinstance(step, (np.ndarray, np.generic)) and not any(
      isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments)
  )
  if known:
    step = np.maximum(step.astype(np.int64), 0)
  else:
    step = jnp.maximum(jnp.asarray(step, jnp.int32), 0)
  with np.errstate(all='ignore'):
    return rule.decide(arguments, step, memory, signals)


def as_rate(rate: Any, shape: tuple[int, ...] = ()) -> jax.Array:
  """The rate rounded to the rate's dtype, in the steps' shape."""
  if hasattr(rate, 'rounded'):  # wider than the dtype: see schedules._wide
    rate = rate.rounded()
  with np.errstate(all='ignore'):
    return jnp.broadcast_to(jnp.asarray(rate, _types.rate_dtype()), shape)


def as_step(name: str, step: Any) -> Any:
  """`step` as int32 of its own shape, refused if it is no count.

  A NumPy array where its values are known, else a traced one.
  """
  if isinstance(step, float) and step.is_integer():
    step = int(step)
  if isinstance(step, int) and not isinstance(step, bool):
    if step > _types.MAX_STEP:
      raise _past_the_clock(name, step)
    step = max(step, -1)
  array: Any = step if isinstance(step, jax.Array) else np.asarray(step)
  if not jnp.issubdtype(array.dtype, jnp.integer):
    raise TypeError(
        f'{name}: `step` must be a whole number or an integer array, got'
        f' {array.dtype} {step!r}; steps count optimizer updates.'
    )
  if not isinstance(array, Tracer) and np.size(array) <= MANY:
    array = np.asarray(array)
  if isinstance(array, np.ndarray):
    if array.size and array.max() > _types.MAX_STEP:
      raise _past_the_clock(name, array.max())
    # A wide integer far below 0 must not wrap around.
    return np.maximum(array.astype(np.int64), -1).astype(np.int32)
  if jnp.iinfo(array.dtype).max > _types.MAX_STEP:
    array = jnp.minimum(array, jnp.asarray(_types.MAX_STEP, array.dtype))
    if jnp.issubdtype(array.dtype, jnp.signedinteger):
      array = jnp.maximum(array, -1)
  return jnp.asarray(array, jnp.int32)


def _past_the_clock(name: str, step: Any) -> ValueError:
  return ValueError(
      f'{name}: `step` must be at most 2**31 - 1, got {step}; clocks are int32.'
  )


def value(name, rule, arguments, step):
  """The rate at `step`, int of any shape."""
  if rule.closed_loop(arguments):
    raise TypeError(
        f'{name}: is closed loop: its rate depends on signals of the training,'
        ' so it has no value at a step alone; put it in an optimizer and read'
        ' lrax.get_learning_rate(opt_state).'
    )
  step = as_step(name, step)
  return as_rate(decide(rule, arguments, step, (), None)[0], step.shape)


@jax.jit
def compiled(schedule, step):
  """The same by one program, for many steps."""
  return schedule.value(step)


def init(name, rule, arguments, params=None):
  """The state before any update, with the rate of step 0."""
  del name
  rate, memory = rule.start(arguments, params)
  dtype = _types.rate_dtype()
  return _types.LearningRateState(
      step=jnp.zeros((), jnp.int32),
      learning_rate=as_rate(rate),
      scale=jnp.ones((), dtype),
      override=jnp.full((), jnp.nan, dtype),
      memory=memory,
  )


def advance(name, rule, arguments, state, signals):
  """The rate to apply now, and the state after it."""
  if not isinstance(state, _types.LearningRateState):
    raise TypeError(
        f'{name}: `state` must be the LearningRateState that init returned, got'
        f' {type(state).__name__}; call init first.'
    )
  step = state.step
  if not isinstance(step, Tracer):
    step = np.asarray(step)
  rate, memory = decide(rule, arguments, step, state.memory, signals)
  rate = as_rate(rate, jnp.shape(step))
  scaled, override = rate * state.scale, state.override
  rate = jnp.where(jnp.isnan(override), scaled, override)
  state = state._replace(
      step=optax.safe_increment(state.step),
      learning_rate=rate.astype(state.learning_rate.dtype),
      memory=_forget_reports(memory),
  )
  return rate, state


def _forget_reports(memory: Any) -> Any:
  """A report is used up by the next update, whoever listened to it."""
  is_memory = lambda x: isinstance(x, _types.ClosedLoopMemory)

  def forget(node: Any) -> Any:
    if not is_memory(node):
      return node
    return node._replace(reported=jnp.full_like(node.reported, jnp.nan))

  return jax.tree.map(forget, memory, is_leaf=is_memory)


def update(name, rule, arguments, updates, state=None, params=None, **extra_args):
  """Minus the rate times the updates, and the state after them."""
  # Optax's protocol of stateful hyperparameters: update(state) -> state.
  if state is None and isinstance(updates, _types.LearningRateState):
    signals = _types.Signals(None, None, None, extra_args)
    return advance(name, rule, arguments, updates, signals)[1]
  signals = _types.Signals(updates, params, None, extra_args)
  rate, state = advance(name, rule, arguments, state, signals)
  # XLA on CPU takes a division for expensive: so the rate has a kernel of its own,
  # and what leads to it is not compiled into that of every leaf again.
  rate = rate / jax.lax.optimization_barrier(jnp.ones((), rate.dtype))
  scale = functools.partial(_times_minus, name, rate)
  return jax.tree.map(traced_once(scale, updates), updates), state


def _times_minus(name, rate, update):
  """`-rate * update` in float32 or wider, returned in the update's dtype."""
  dtype = jnp.result_type(update)
  if not jnp.issubdtype(dtype, jnp.inexact):
    raise TypeError(
        f'{name}: `updates` must be floating-point arrays, got {dtype};'
        ' take gradients with respect to floating-point parameters only.'
    )
  compute = jnp.promote_types(dtype, jnp.float32)
  wide = jnp.asarray(update, compute)
  return (wide * -rate.astype(jnp.finfo(compute).dtype)).astype(dtype)
