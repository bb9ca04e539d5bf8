"""An optimizer as tuning takes it: a function of the rate, or a text."""

from __future__ import annotations

import functools
from typing import Any

import optax

from lrax import _checks
from lrax.optimizers import _from_text


def as_optimizer(optimizer: Any, owner: str) -> Any:
  """The function (rate, numbers by name) -> transformation that it stands for.

  Raises:
    TypeError: it is no function and no text.
    ValueError: the text names no optimizer of lrax, or its arguments are bad.
  """
  if isinstance(optimizer, str):
    return _from_text.optimizer(optimizer, owner)
  if isinstance(optimizer, optax.GradientTransformation) or not callable(optimizer):
    raise _checks.refuse(
        owner, 'optimizer', 'a function of the rate, or its name', optimizer,
        'for example lrax.adamw or "sgd(momentum=0.9)"', TypeError,
    )
  return optimizer


def name_of(function: Any) -> str:
  """What to call a function in a report."""
  if isinstance(function, functools.partial):
    arguments = [f'{v!r}' for v in function.args]
    arguments += [f'{k}={v!r}' for k, v in function.keywords.items()]
    return f"{name_of(function.func)}({', '.join(arguments)})"
  return function if isinstance(function, str) else getattr(
      function, '__name__', type(function).__name__
  )
