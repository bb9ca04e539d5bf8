"""`@scheduled`: the numbers of a method may be schedules."""

from __future__ import annotations

from collections.abc import Callable
import functools
import inspect
from typing import Any
from typing import ParamSpec

import jax
import jax.numpy as jnp
import optax

from lrax import _types
from lrax.schedules import as_schedule
from lrax.transforms import _bias_correction

_Arguments = ParamSpec('_Arguments')
_Constructor = Callable[_Arguments, optax.GradientTransformationExtraArgs]


def scheduled(
    *numbers: str, averages: tuple[str, ...] = ()
) -> Callable[[_Constructor[_Arguments]], _Constructor[_Arguments]]:
  """Lets a constructor of transformations take schedules for its numbers.

  Where all of them are plain numbers the constructor is called as it is. Else
  its transformation is built again in every update (in every trace, under
  `jax.jit`) with the values of that step, and a `ScheduledState` is put around
  its state. So `init` of the transformation must not depend on those numbers.

  The weight of an average that starts at 0 is `1 - decay ** t` for a constant
  decay only. The transformation gets the weights of its averages by name, as
  `extra_args['average_weights']`, and hands them to `bias_correction`.

  Args:
    *numbers: names of arguments that may be schedules.
    averages: names of more such arguments: decays whose averages are corrected
      for their start at 0. The state must then have a `count`.

  Returns:
    A decorator that returns the constructor.
  """

  def decorate(function: _Constructor[_Arguments]) -> _Constructor[_Arguments]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def construct(
        *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> optax.GradientTransformationExtraArgs:
      if not any(callable(value) for value in (*args, *kwargs.values())):
        return function(*args, **kwargs)
      arguments = dict(signature.bind(*args, **kwargs).arguments)
      policies = {
          name: as_schedule(arguments.pop(name))
          for name in (*averages, *numbers)
          if callable(arguments.get(name))
      }
      if not policies:
        return function(*args, **kwargs)
      build: Any = functools.partial(function, **arguments)
      corrected = [name for name in averages if name in policies]
      return _transformation(build, policies, corrected)

    return construct

  return decorate


def _transformation(
    build: Callable[..., optax.GradientTransformationExtraArgs],
    policies: dict[str, Any],  # schedules
    corrected: list[str],
) -> optax.GradientTransformationExtraArgs:
  """`build(**values)`, with the values that the policies give at each step."""
  # Built once here, so that bad constants, and bad values of step 0, are refused.
  inner = build(**{name: p.init().learning_rate for name, p in policies.items()})

  def init(params):
    starts = {name: policy.init(params) for name, policy in policies.items()}
    return _types.ScheduledState(
        step=jnp.zeros((), jnp.int32),
        values={name: start.learning_rate for name, start in starts.items()},
        memories={name: start.memory for name, start in starts.items()},
        weights={name: jnp.zeros((), _types.rate_dtype()) for name in corrected},
        inner_state=inner.init(params),
    )

  def update(updates, state, params=None, **extra_args):
    values, memories = {}, {}
    for name, policy in policies.items():
      before = policy.init()._replace(step=state.step, memory=state.memories[name])
      # A policy gives its value with its state; the updates it scales are dropped.
      _, after = policy.update(updates, before, params, **extra_args)
      values[name] = after.learning_rate.astype(state.values[name].dtype)
      memories[name] = after.memory
    weights = {name: _weight(name, values[name], state) for name in corrected}
    if weights:
      extra_args = {**extra_args, 'average_weights': weights}
    updates, inner_state = build(**values).update(
        updates, state.inner_state, params, **extra_args
    )
    step: Any = optax.safe_increment(state.step)
    return updates, _types.ScheduledState(step, values, memories, weights, inner_state)

  return optax.GradientTransformationExtraArgs(init, update)


def _weight(name: str, decay: jax.Array, state: _types.ScheduledState) -> jax.Array:
  """The weight that an average has gathered after this update.

  An average may have been carried over from a run in which its decay was a
  number; then this clock starts while `count` does not, and what came before
  counts as if it had gathered at the decay of now.
  """
  before = jnp.where(
      state.step == 0, 1 - decay**state.inner_state.count, state.weights[name]
  )
  return _bias_correction.gather(decay, before).astype(state.weights[name].dtype)
