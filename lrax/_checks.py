"""Checks made when something is built, with one form of message.

A check is a function `(owner, name, value) -> value`: it returns the value in
its plain form, or raises `TypeError` for a wrong kind and `ValueError` for a
wrong value. Traced values have no value yet: only their kind is checked.

The form of every message: ``owner: `argument` must be <rule>, got <value>;
<what to do>.``
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import difflib
import inspect
import math
import numbers
from typing import Any

import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

Check = Callable[[str, str, Any], Any]

_MAX_STEPS = 2**31 - 1


def refuse(
    owner: str,
    name: str,
    rule: str,
    value: Any,
    advice: str,
    error: type[Exception] = ValueError,
) -> Exception:
  """The error to raise, in the one form that every message has."""
  return error(f'{owner}: `{name}` must be {rule}, got {value!r}; {advice}.')


def number(
    rule: str, accepts: Callable[[float], bool], advice: str, whole: bool = False
) -> Check:
  """A check for one finite number: Python, NumPy or JAX, traced too.

  Args:
    rule: what the number must be, for the message: `'a finite number >= 0'`.
    accepts: whether a finite value is in range.
    advice: what to do about a bad one, for the message.
    whole: whether it counts something. A float that is whole is taken as int.
  """

  def check(owner: str, name: str, value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and np.ndim(value) == 0:
      value = value.item()
    shown, plain, error = value, None, ValueError
    if isinstance(value, (jax.Array, np.ndarray)):
      if value.shape:
        raise refuse(
            owner, name, 'a scalar', f'an array of shape {value.shape}',
            'use jax.vmap to map over many', TypeError,
        )
      kind = jnp.integer if whole else jnp.number
      if jnp.issubdtype(value.dtype, kind) and not jnp.iscomplexobj(value):
        if isinstance(value, Tracer):
          return value
        plain = value.item()
      else:
        shown, error = f'an array of {value.dtype}', TypeError
    elif isinstance(value, bool) or not isinstance(value, numbers.Real):
      error = TypeError
    else:
      value = plain = _plain_number(value, whole)
    if plain is None or not math.isfinite(plain) or not accepts(plain):
      raise refuse(owner, name, rule, shown, advice, error)
    return value

  return check


def _plain_number(value: Any, whole: bool) -> Any:
  """A float, or an int where the number counts; None where it cannot be one."""
  try:
    # A float32 holds no more; the rate would be infinite.
    if abs(float(value)) > 3.4028234e38 and math.isfinite(value):
      return None
  except OverflowError:
    return None
  if not whole:
    return float(value)
  if not math.isfinite(value) or value != int(value):
    return None
  return int(value)


def choice(*options: str) -> Check:
  """A check for one of a few words."""

  def check(owner: str, name: str, value: Any) -> str:
    rule = 'one of ' + ', '.join(repr(o) for o in options)
    if not isinstance(value, str):
      raise refuse(owner, name, rule, value, 'pass a string', TypeError)
    if value not in options:
      close = difflib.get_close_matches(value, options, 1)
      advice = f'did you mean {close[0]!r}?' if close else 'pick one of them'
      raise refuse(owner, name, rule, value, advice.rstrip('?'))
    return value

  return check


def flag(owner: str, name: str, value: Any) -> bool:
  """A check for a Python bool: it selects code, so it is never traced."""
  if not isinstance(value, (bool, np.bool_)):
    raise refuse(
        owner, name, 'True or False', value, 'pass a Python bool', TypeError
    )
  return bool(value)


def optional(check: Check) -> Check:
  """The same check, which lets None through."""
  return lambda owner, name, value: (
      None if value is None else check(owner, name, value)
  )


any_number = number(
    'a finite number', lambda x: True, 'pass a float or a scalar array'
)
rate = number(
    'a finite number >= 0',
    lambda x: x >= 0,
    'a rate multiplies minus the update, so it is never negative',
)
positive = number(
    'a finite number > 0', lambda x: x > 0, 'pass a float or a scalar array'
)
non_negative = number(
    'a finite number >= 0', lambda x: x >= 0, 'pass a float or a scalar array'
)
share = number(
    'a number in [0, 1]', lambda x: 0 <= x <= 1, 'it is a share of the whole'
)
at_least_one = number(
    'a finite number >= 1', lambda x: x >= 1, 'pass a float or a scalar array'
)
_kept_share = number(
    'a number in [0, 1)',
    lambda x: 0 <= x < 1,
    'it is the share of an average that is kept; 0 turns the average off',
)


def decay(owner: str, name: str, value: Any) -> Any:
  """A check for the share of an average that is kept, in [0, 1).

  bfloat16 and float16 cannot hold 0.999: it would be 1, and every update NaN.
  """
  value = _kept_share(owner, name, value)
  narrow = isinstance(value, jax.Array) and value.dtype.itemsize < 4
  if narrow and jnp.issubdtype(value.dtype, jnp.floating):
    raise refuse(
        owner, name, 'a Python number or an array of float32 or wider',
        f'an array of {value.dtype}',
        'with optax.inject_hyperparams pass hyperparam_dtype=jnp.float32', TypeError,
    )
  return value


steps = number(
    'a whole number >= 0 and < 2**31',
    lambda x: 0 <= x <= _MAX_STEPS,
    'count optimizer updates',
    whole=True,
)
positive_steps = number(
    'a whole number >= 1 and < 2**31',
    lambda x: 1 <= x <= _MAX_STEPS,
    'count optimizer updates; a length of 0 has no meaning here',
    whole=True,
)

seed = number(
    'a whole number >= 0 and < 2**31',
    lambda x: 0 <= x <= _MAX_STEPS,
    'any such number does, for example 0',
    whole=True,
)
count = number(
    'a whole number >= 1',
    lambda x: x >= 1,
    'it counts something that there must be',
    whole=True,
)


def at_most(owner: str, name: str, value: Any, limit_name: str, limit: Any) -> None:
  """Refuses a length that is longer than the whole, where both are known."""
  known = isinstance(value, int) and isinstance(limit, int)
  if known and value > limit:
    raise refuse(
        owner, name, f'at most `{limit_name}` = {limit}', value,
        f'it counts inside `{limit_name}`',
    )


def within_steps(name: str) -> Callable[..., None]:
  """A check of arguments together: this length counts inside `steps`."""

  def check(owner: str, **arguments: Any) -> None:
    at_most(owner, name, arguments[name], 'steps', arguments['steps'])

  return check


def several(check: Check) -> Check:
  """A check for a list, each of whose members must pass."""

  def check_all(owner: str, name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, (np.ndarray, jax.Array)) and np.ndim(value) == 1:
      value = list(value)
    if not isinstance(value, Sequence) or isinstance(value, str):
      raise refuse(owner, name, 'a list of numbers', value, 'pass a list', TypeError)
    return tuple(check(owner, f'{name}[{i}]', v) for i, v in enumerate(value))

  return check_all


def boundaries(owner: str, name: str, value: Any) -> tuple[Any, ...]:
  """A check for steps in rising order; traced ones are not compared."""
  found = several(steps)(owner, name, value)
  known = [s for s in found if not isinstance(s, Tracer)]
  if any(a > b for a, b in zip(known, known[1:])):
    raise refuse(
        owner, name, 'in rising order', list(value),
        'each one is counted from the very start, not from the last one',
    )
  return found


def dtype(
    owner: str, name: str, value: Any, advice: str = 'for example jnp.bfloat16'
) -> Any:
  """A check for the dtype of an accumulator: floating point, or None."""
  if value is None:
    return None
  try:
    floating = jnp.issubdtype(jnp.dtype(value), jnp.inexact)
  except TypeError:
    floating = False
  if not floating:
    raise refuse(
        owner, name, 'a floating-point dtype or None', value, advice, TypeError,
    )
  return value


def needs_momentum(owner: str, nesterov: bool) -> None:
  """Refuses Nesterov's look ahead where there is no momentum to look along."""
  if nesterov:
    raise refuse(
        owner, 'nesterov', 'False without `momentum`', nesterov, 'pass momentum=0.9'
    )


def for_parameter(parameter: inspect.Parameter) -> Check:
  """The check that an argument's name calls for.

  `…_value` is a rate, `…_steps` a length, a bool default makes a flag, and
  anything else is a finite number. A default of None lets None through.
  """
  name, default = parameter.name, parameter.default
  if isinstance(default, bool):
    return flag
  if name == 'value' or name.endswith('_value'):
    check = rate
  elif name == 'steps' or name.endswith('_steps'):
    check = steps
  else:
    check = any_number
  return optional(check) if default is None else check
