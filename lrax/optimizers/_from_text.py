"""An optimizer from a text such as `sgd(momentum=0.9)`; nothing is evaluated."""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
from typing import Any

import jax.numpy as jnp

from lrax import optimizers
from lrax.schedules import _parse as _schedule_parse


def optimizer(text: str, owner: str) -> Any:
  """Returns the function rate -> transformation that `text` stands for.

  Args:
    text: the name of an optimizer of lrax, or a call of it with keyword
      arguments that are plain values or schedules.
    owner: who asks, for the message of an error.

  Raises:
    ValueError: it is neither, there is no such optimizer, or it refuses the
      arguments.
  """
  name, arguments = _parse(text, owner)
  known = {n: getattr(optimizers, n) for n in optimizers.__all__ if _takes_rate(n)}
  if name not in known:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean '{close[0]}'" if close else ''
    raise ValueError(
        f"{owner}: `optimizer` must be one of {', '.join(known)}, got '{name}';"
        f' give arguments as "sgd(momentum=0.9)"{hint}.'
    )
  factory = functools.partial(known[name], **arguments)
  try:
    inspect.signature(known[name]).bind(0.0, **arguments)
    factory(jnp.zeros(()))
  except (TypeError, ValueError) as error:
    raise ValueError(f"{owner}: `optimizer` '{text}': {error}") from error
  return factory


def _takes_rate(name: str) -> bool:
  """Whether a name is an optimizer's whose first argument is the rate."""
  function = getattr(optimizers, name)
  if not inspect.isfunction(function):
    return False
  return next(iter(inspect.signature(function).parameters)) == 'learning_rate'


def _parse(text: str, owner: str) -> tuple[str, dict[str, Any]]:
  expression = _schedule_parse.expression(owner, 'optimizer', text)
  match expression.node:
    case ast.Name(id=name):
      return name, {}
    case ast.Call(func=ast.Name(id=name), args=[]) as call:
      return name, expression.arguments(call)[1]
  raise expression.refuse(
      expression.node, 'the name of an optimizer, or a call of it',
      'for example "sgd(momentum=0.9)", with arguments by name',
  )
