"""The contract: what every policy keeps, what it hears, and how it decides.

Every policy keeps the same state, `LearningRateState`, so that a constant, a
schedule and an override restore from each other's checkpoints.

What a member of the family says is its `Rule`: how it starts and how it
decides. An open-loop rule is a function of the step alone and keeps no memory;
a closed-loop rule also reads `Signals` of the training and remembers. A
combination has a rule too, made of its parts' rules, so both kinds compose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import NamedTuple
from typing import Protocol

import chex
import jax
import jax.numpy as jnp

# A Python number, or a scalar array of NumPy or JAX, traced too.
Numeric = Any

# The largest step a clock can show; clocks are int32 and stop there.
MAX_STEP = 2**31 - 1


class LearningRateState(NamedTuple):
  """What every learning-rate policy keeps between updates.

  `rate dtype` is float32, or float64 where `jax_enable_x64` is set. An override
  of NaN says that there is none, so `jax_debug_nans`, which stops at any NaN,
  stops at this state too.
  """

  step: jax.Array  # int32, shape (): updates seen; the policy's own clock
  learning_rate: jax.Array  # rate dtype, (): rate of the latest update
  scale: jax.Array  # rate dtype, (): multiplies the policy's rate; 1.0
  override: jax.Array  # rate dtype, (): replaces the rate; NaN: follow policy
  memory: chex.ArrayTree  # () for open loop; what a closed loop remembers


class ClosedLoopMemory(NamedTuple):
  """What one closed-loop policy keeps in `LearningRateState.memory`."""

  reported: jax.Array  # rate dtype, (): metric since the last update, or NaN
  rate: jax.Array  # rate dtype, (): what it gave last; holds while it is idle
  kept: chex.ArrayTree  # the policy's own memory


class ScheduledState(NamedTuple):
  """What a method keeps whose numbers are schedules: momentum, b1, weight decay.

  Any number of an optimizer or a `scale_by_*` that is used at every update may be
  a `lrax.Schedule`, open or closed loop, or any function of the step such as an
  optax schedule; a number that is read once, as `initial_scale`, may not. The
  values are computed in float32, or float64 under x64, whatever the dtype of the
  parameters, from a clock of their own: `restart_schedule` and its kin act on the
  learning rate only. A closed loop gets the updates, the parameters and the
  keyword arguments of the update. A change of value does not recompile.
  `lrax.metrics` lists the values.

  Values of step 0 are checked when the optimizer is built, and every value where
  `update` runs outside `jax.jit`. Inside it a value cannot be checked: it is for
  the schedule to stay in range.

  With plain numbers there is no such state.
  """

  step: jax.Array  # int32, (): updates seen; the clock of these schedules
  values: dict[str, jax.Array]  # rate dtype, (): those of the latest update
  memories: dict[str, chex.ArrayTree]  # () for open loop; by argument, as values
  weights: dict[str, jax.Array]  # rate dtype, (): gathered by averages from 0
  inner_state: Any  # the state of the method itself


class MissingSignal(ValueError):
  """An update lacks what a closed-loop policy listens to."""


class Signals(NamedTuple):
  """What an update tells a closed-loop policy about the training."""

  updates: chex.ArrayTree | None  # the updates as they reach the policy
  params: chex.ArrayTree | None  # the parameters, if `update` was given them
  reported: jax.Array | None  # the metric given to `lrax.report`, or NaN
  extra_args: Mapping[str, Any]  # keyword arguments of `update`: value=, grad=
  active: Any = True  # bool, (): False where the policy is not the one in use

  def require(self, argument: str, policy: str) -> Any:
    """Returns `extra_args[argument]`, or says who needs it and how to give it."""
    if self.extra_args.get(argument) is None:
      raise MissingSignal(
          f'{policy}: needs the signal `{argument}`, which this update did not'
          f' get; call tx.update(grads, state, params, {argument}=...).'
      )
    return self.extra_args[argument]


class Rule(Protocol):
  """How a kind of policy starts and decides, given its arguments."""

  def closed_loop(self, arguments: Mapping[str, Any]) -> bool:
    """Whether the rate depends on more than the step."""
    ...

  def start(
      self, arguments: Mapping[str, Any], params: chex.ArrayTree | None = None
  ) -> tuple[Any, chex.ArrayTree]:
    """Returns the rate before any signal, and the memory at the start."""
    ...

  def decide(
      self,
      arguments: Mapping[str, Any],
      step: jax.Array,
      memory: chex.ArrayTree,
      signals: Signals | None,
  ) -> tuple[Any, chex.ArrayTree]:
    """Returns the rate of this update and the memory after it."""
    ...


def rate_dtype() -> Any:
  """float32, or float64 where `jax_enable_x64` is set."""
  return jnp.result_type(float)
