"""A schedule from the text that it prints as."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from lrax import _policy
from lrax.schedules import _expression
from lrax.schedules import _named


def parse(
    text: str,
    constructors: Mapping[str, Callable[..., _policy.Schedule]] | None = None,
) -> _policy.Schedule:
  """Returns the schedule that a text such as `repr(schedule)` describes.

  For configs and command lines: the text is read as Python's syntax, but it is
  not run, and nothing but the names below can be called, so a text from anywhere
  is safe to give. It may hold

  - the constructors of `lrax.schedules` and `lrax.control`, also as
    `lrax.linear(...)` or `lrax.schedules.linear(...)`;
  - the methods of a schedule that return a schedule, such as `with_warmup`;
  - schedules combined with each other and with numbers by `*` and `+`;
  - numbers and arithmetic of them, such as `10 * 1_000` and `2**10`, strings,
    True, False, None and lists.

  Args:
    text: the expression, at most 10,000 characters and 50 levels deep.
    constructors: your own constructors by name, beside lrax's.

  Returns:
    A `lrax.Schedule`. For one made of plain Python numbers,
    `parse(repr(schedule)) == schedule`.

  Raises:
    TypeError: `text` is no string, or a constructor refuses an argument's kind.
    ValueError: the text is no such expression, with the place where it stops
      being one; or a constructor refuses an argument's value.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> policy = lrax.schedules.parse('0.5 * linear(1.0, 0.0, steps=4)')
    >>> float(policy(2))
    0.25
    >>> lrax.schedules.parse("__import__('os')")
    Traceback (most recent call last):
      ...
    ValueError: parse: `text` must be made of calls of lrax's schedules, got \
'__import__' at character 1; no other function is known.
  """
  read = expression('parse', 'text', text, constructors)
  schedule = read.read(read.node)
  if not isinstance(schedule, _policy.Schedule):
    raise read.refuse(
        read.node, 'a schedule', 'for example cosine_annealing(0.1, steps=1000)'
    )
  return schedule


def expression(
    owner: str,
    argument: str,
    text: Any,
    constructors: Mapping[str, Callable[..., _policy.Schedule]] | None = None,
) -> _expression.Expression:
  """The text, to be read with the names of lrax's schedules and their methods."""
  methods = {
      name: function
      for name, function in _named.combinations().items()
      if name in vars(_policy.Schedule)
  }
  functions = {}
  for name, function in _named.functions().items():
    family = function.__module__.partition('._')[0]
    functions |= {prefix + name: function for prefix in ('', 'lrax.', f'{family}.')}
  functions |= constructors or {}
  return _expression.Expression(owner, argument, text, functions, methods)
