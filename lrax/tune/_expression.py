"""An optimizer from a text such as `sgd(momentum=0.9)`; nothing is evaluated."""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
from typing import Any

import jax.numpy as jnp

from lrax import optimizers


def optimizer(text: str, owner: str) -> Any:
  """Returns the function rate -> transformation that `text` stands for.

  Args:
    text: the name of an optimizer of lrax, or a call of it with keyword
      arguments that are plain values.
    owner: who asks, for the message of an error.

  Raises:
    ValueError: it is neither, there is no such optimizer, or it refuses the
      arguments.
  """
  name, arguments = _parse(text, owner)
  known = {
      n: getattr(optimizers, n)
      for n in optimizers.__all__
      if n != 'with_learning_rate'
  }
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


def _parse(text: str, owner: str) -> tuple[str, dict[str, Any]]:
  advice = 'write a name, or name(argument=value) with plain values'
  try:
    node = ast.parse(text.strip(), mode='eval').body
    if isinstance(node, ast.Name):
      return node.id, {}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
      names = {k.arg for k in node.keywords}
      if not node.args and None not in names and len(names) == len(node.keywords):
        values = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
        return node.func.id, values
  except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
    pass
  raise ValueError(
      f'{owner}: `optimizer` must name an optimizer, got {text!r}; {advice}.'
  )
