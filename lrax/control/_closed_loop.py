"""`@closed_loop`: a decision becomes a public constructor of policies."""

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
from lrax.schedules import _schedule


class ClosedLoop(NamedTuple):
  """The rule of a policy that remembers: see `closed_loop`."""

  remember: Callable[..., tuple[Any, chex.ArrayTree]]
  function: Callable[..., tuple[Any, chex.ArrayTree]]
  of_params: bool = False

  def closed_loop(self, arguments: Mapping[str, Any]) -> bool:
    del arguments
    return True

  def start(
      self, arguments: Mapping[str, Any], params: chex.ArrayTree | None = None
  ) -> tuple[Any, chex.ArrayTree]:
    told = {'params': params} if self.of_params else {}
    rate, kept = self.remember(**told, **_evaluate.as_arrays(arguments))
    rate = jnp.asarray(rate, _types.rate_dtype())
    return rate, _types.ClosedLoopMemory(_nothing(), rate, kept)

  def decide(
      self,
      arguments: Mapping[str, Any],
      step: jax.Array,
      memory: Any,
      signals: _types.Signals | None,
  ) -> tuple[Any, chex.ArrayTree]:
    assert signals is not None  # an open-loop call is refused before this
    signals = signals._replace(reported=memory.reported)
    step = jnp.asarray(step, jnp.int32)
    arguments = _evaluate.as_arrays(arguments)
    rate, kept = self.function(memory.kept, step, signals, **arguments)
    new = memory._replace(rate=jnp.asarray(rate, _types.rate_dtype()), kept=kept)
    if signals.active is not True:
      hold = lambda new, old: jnp.where(signals.active, new, old)
      new = jax.tree.map(hold, new, memory)
    return new.rate, new


def _nothing() -> jax.Array:
  return jnp.full((), jnp.nan, _types.rate_dtype())


def closed_loop(
    remember: Callable[..., tuple[Any, chex.ArrayTree]],
    /,
    *,
    of_params: bool = False,
    together: Callable[..., None] | None = None,
    **checks: _checks.Check,
) -> Callable[[Callable[..., Any]], Callable[..., _policy.Schedule]]:
  """Turns a decision into a constructor of closed-loop policies.

  The decorated function takes `(memory, step, signals)` and then its
  hyperparameters, and returns `(rate, memory)`. `signals` holds the updates,
  the parameters, the metric given to `lrax.report` since the last update (NaN
  where there was none), and `signals.require('value', name)` for a keyword
  argument of `update`. It runs inside `jax.jit`: no Python branch on a value,
  and the memory keeps its structure, shapes and dtypes. Everything else comes
  from here, as with `lrax.schedule`; the policies compose with schedules by
  the same algebra.

  Args:
    remember: takes the hyperparameters by name, returns the rate before any
      signal and the memory at the start, a pytree of arrays.
    of_params: whether `remember` also takes `params`, for a memory that has their
      shapes. They are None where the state is made without them, as in
      `optax.inject_hyperparams`.
    together: a check `(owner, **arguments)` of arguments that go together.
    **checks: checks by argument name, where the name does not tell it; see
      `lrax.schedule`.

  Returns:
    A decorator that returns the constructor.

  Raises:
    TypeError: a check for an argument that the function has not.

  Source:
    lrax's own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> def start(init_value):
    ...   return init_value, ()
    >>> @lrax.control.closed_loop(start)
    ... def half_when_reported(memory, step, signals, init_value):
    ...   reported = ~jnp.isnan(signals.reported)
    ...   return jnp.where(reported, init_value / 2, init_value), memory
    >>> policy = half_when_reported(1.0)
    >>> state = lrax.report(policy.init(), 3.0)
    >>> updates, state = policy.update({'w': jnp.ones(())}, state)
    >>> float(lrax.get_learning_rate(state))
    0.5
  """

  def decorate(function: Callable[..., Any]) -> Callable[..., _policy.Schedule]:
    rule = ClosedLoop(remember, function, of_params)
    return _schedule.constructor(function, rule, 3, checks, together)

  return decorate
