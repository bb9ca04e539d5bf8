"""Any function of the step as a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from lrax import _checks
from lrax import _policy
from lrax.schedules import _constant
from lrax.schedules import _schedule


def _function(owner: str, name: str, value: Any) -> Any:
  if not callable(value) or isinstance(value, _policy.Schedule):
    raise _checks.refuse(
        owner, name, 'a function of the step', value,
        'pass an optax schedule or a function step -> rate', TypeError,
    )
  return value


@_schedule.schedule(function=_function)
def from_function(step: jax.Array, function: Callable[[Any], Any]):
  """Makes a schedule of any function of the step, an optax schedule for one.

  Formula:
    rate = function(step)

  Args:
    function: takes the step, an int32 array of at least 0, and returns the
      rate; called inside `jax.jit`. To evaluate the schedule over an array of
      steps, the function must take one.

  Returns:
    A `lrax.Schedule` that compares equal where the function is the same
    object, and pickles where the function does. It has no `to_dict`.

  Raises:
    TypeError: `function` is not callable, or is a schedule of lrax already.

  Source:
    The functions that `optax.Schedule` names.

  Example:
    >>> import lrax
    >>> import optax
    >>> policy = lrax.schedules.from_function(optax.linear_schedule(1.0, 0.0, 4))
    >>> float(policy(1))
    0.75
  """
  return function(step)


def as_schedule(learning_rate: Any, owner: str = 'as_schedule') -> _policy.Schedule:
  """Returns the policy that an optimizer's `learning_rate` stands for.

  Args:
    learning_rate: a finite number >= 0 or a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    owner: who asks, for the message of an error.

  Returns:
    A `lrax.Schedule`.

  Raises:
    TypeError: it is none of these.
    ValueError: it is negative or not finite.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> lrax.schedules.as_schedule(0.1)
    constant(0.1)
  """
  if isinstance(learning_rate, _policy.Schedule):
    return learning_rate
  if callable(learning_rate):
    return from_function(learning_rate)
  if not _is_number(learning_rate):
    raise _checks.refuse(
        owner, 'learning_rate',
        'a number, a scalar array, a lrax.Schedule or a function of the step',
        learning_rate, 'for example 1e-3 or lrax.cosine_annealing(1e-3, 1000)',
        TypeError,
    )
  return _constant.constant(_checks.rate(owner, 'learning_rate', learning_rate))


def _is_number(value: Any) -> bool:
  return hasattr(value, 'dtype') or (
      isinstance(value, (int, float)) and not isinstance(value, bool)
  )
