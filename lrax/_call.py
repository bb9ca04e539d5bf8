"""A policy as a value: the call that made it.

It prints as that call, compares and hashes by it, pickles as it, and goes into a
plain dict.
"""

from __future__ import annotations

from collections.abc import Callable
import inspect
from typing import Any
from typing import TypeGuard

import jax
from jax.core import Tracer
import numpy as np

from lrax import _types


class Call:
  """What prints, compares, hashes and pickles as the call that made it."""

  constructor: Callable[..., Any]
  arguments: dict[str, Any]
  rule: _types.Rule

  def __repr__(self) -> str:
    show = getattr(self.rule, 'show', None)
    return show(self) if show else show_call(self)

  def __eq__(self, other: Any) -> bool:
    return isinstance(other, Call) and _key(self) == _key(other)

  def __ne__(self, other: Any) -> bool:
    return not self == other

  def __hash__(self) -> int:
    return hash(_key(self))

  def __reduce__(self):
    return _rebuild, (self.constructor, self.arguments)


def show_call(call: Call, skip: tuple[str, ...] = ()) -> str:
  """`name(first, other=..., ...)`, without arguments left at their defaults."""
  name = call.constructor.__name__
  return f'{name}({show_arguments(call, skip)})'


def show_arguments(call: Call, skip: tuple[str, ...] = ()) -> str:
  """The arguments of the call, the first one by position."""
  parameters = inspect.signature(call.constructor).parameters
  shown = []
  named = [(k, v) for k, v in call.arguments.items() if k not in skip]
  for index, (name, value) in enumerate(named):
    default = parameters[name].default
    plain = (bool, int, float, str, type(None))
    if isinstance(value, plain) and value == default:
      continue
    text = _show_value(value)
    shown.append(text if index == 0 else f'{name}={text}')
  return ', '.join(shown)


def _show_value(value: Any) -> str:
  if isinstance(value, tuple) and not isinstance(value, Call):
    return '[' + ', '.join(_show_value(v) for v in value) + ']'
  if isinstance(value, Tracer):
    return '<traced>'
  if is_array(value) and not value.ndim:
    value = value.item()
  return repr(value)


def as_dict(call: Call) -> dict[str, Any]:
  """The call as nested dicts of plain Python values."""
  return {
      'schedule': call.constructor.__name__,
      'arguments': {k: _plain(call, k, v) for k, v in call.arguments.items()},
  }


def _plain(call: Call, name: str, value: Any) -> Any:
  if isinstance(value, Call):
    return as_dict(value)
  if isinstance(value, tuple):
    return [_plain(call, name, v) for v in value]
  if isinstance(value, Tracer) or callable(value):
    what = 'traced' if isinstance(value, Tracer) else 'a function'
    raise ValueError(
        f'{call.constructor.__name__}: `{name}` must be a plain value to go'
        f' into a dict, got one that is {what}; keep the code that builds it.'
    )
  if np.ndim(value):
    raise ValueError(
        f'{call.constructor.__name__}: `{name}` must be a scalar to go into a'
        f' dict, got an array of shape {np.shape(value)}; take one schedule of'
        ' those that were mapped.'
    )
  return np.asarray(value).item() if is_array(value) else value


def _key(value: Any) -> Any:
  """What two equal schedules share: numbers by value, traced ones by identity."""
  if isinstance(value, Call):
    arguments = tuple((k, _key(v)) for k, v in value.arguments.items())
    return (value.constructor, arguments)
  if isinstance(value, tuple):
    return tuple(_key(v) for v in value)
  if isinstance(value, Tracer):
    return ('traced', id(value))
  if is_array(value):
    array = np.asarray(value)
    return (array.shape, *array.ravel().tolist()) if array.ndim else array.item()
  return value


def _rebuild(constructor, arguments):
  return constructor(**arguments)


def is_array(value: Any) -> TypeGuard[jax.Array | np.ndarray]:
  """Whether a hyperparameter is an array, traced too, and no Python number."""
  return isinstance(value, (jax.Array, np.ndarray))
