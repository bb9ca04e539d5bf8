"""What may be searched, from the words of --space, --rates and --fixed."""

from __future__ import annotations

import ast
from collections.abc import Sequence
import difflib
from typing import Any

import numpy as np

from lrax.schedules import _parse
from lrax.tune import _space

_KINDS = {
    'log_uniform': _space.log_uniform,
    'uniform': _space.uniform,
    'integer': _space.integer,
    'choice': _space.choice,
}
_MOST_RATES = 10_000


def rates(command: str, text: str) -> list[float]:
  """The rates of '1e-5:1:16', which are evenly spaced on a log scale, or '0.1,1'.

  Raises:
    ValueError: it is neither.
  """
  parts = text.split(':')
  try:
    if len(parts) == 3:
      low, high, count = float(parts[0]), float(parts[1]), int(parts[2])
      if 0 < low < high < np.inf and 2 <= count <= _MOST_RATES:
        return np.geomspace(low, high, count).tolist()
    elif len(parts) == 1:
      return [float(part) for part in text.split(',')]
  except ValueError:
    pass
  raise ValueError(
      f"{command}: --rates must be low:high:count with 0 < low < high, or numbers"
      f" with commas, got '{text}'; for example 1e-5:1:16 or 0.001,0.01,0.1."
  )


def shares(command: str, text: str) -> list[float]:
  """The numbers of '0.25,0.5'; none of ''.

  Raises:
    ValueError: one is no number.
  """
  try:
    return [float(part) for part in text.split(',')] if text else []
  except ValueError:
    raise ValueError(
        f"{command}: --halve-at must be numbers with commas, got '{text}'; for"
        ' example 0.25,0.5.'
    ) from None


def space(command: str, texts: Sequence[str]) -> _space.Space:
  """The space of 'name=log_uniform(low, high)' and its kin; nothing is run.

  Raises:
    TypeError: a range refuses an argument's kind.
    ValueError: a text is no such thing, or names what another named.
  """
  found = {}
  for name, text in named(command, '--space', texts, 'b2=uniform(0.9, 0.999)'):
    read = _parse.expression(command, '--space', text)
    match read.node:
      case ast.Call(func=ast.Name(id=kind)) as call if kind in _KINDS:
        args, keywords = read.arguments(call)
      case node:
        known = getattr(getattr(node, 'func', node), 'id', '')
        close = difflib.get_close_matches(known, _KINDS, 1)
        raise read.refuse(
            node, f'a call of {", ".join(_KINDS)}',
            f"did you mean '{close[0]}'" if close else
            "for example 'learning_rate=log_uniform(1e-5, 1)'",
        )
    try:
      found[name] = _KINDS[kind](*args, **keywords)
    except TypeError as error:
      if not str(error).startswith(kind + '()'):
        raise
      raise ValueError(f"{command}: --space '{name}={text}': {error}.") from error
  return found


def fixed(command: str, texts: Sequence[str]) -> dict[str, Any]:
  """The values of 'name=value'; nothing is run.

  Raises:
    ValueError: a text is no such thing, or names what another named.
  """
  found = {}
  for name, text in named(command, '--fixed', texts, 'b2=0.95'):
    read = _parse.expression(command, '--fixed', text)
    if isinstance(read.node, (ast.Name, ast.Call, ast.List, ast.Tuple)):
      raise read.refuse(
          read.node, 'a number, a word in quotes, True, False or None',
          '''for example --fixed "optimizer='sgd'\"''',
      )
    found[name] = read.read(read.node)
  return found


def named(
    command: str, option: str, texts: Sequence[str], example: str
) -> list[tuple[str, str]]:
  """The two sides of the first '=' of each text.

  Raises:
    ValueError: a text has none, or names what another named.
  """
  pairs = []
  for text in texts:
    name, equals, rest = text.partition('=')
    name = name.strip()
    if not equals or not name.isidentifier():
      raise ValueError(
          f"{command}: {option} must be name=..., got '{text}'; for example {example}."
      )
    if name in dict(pairs):
      raise ValueError(f"{command}: {option} names '{name}' twice; leave one out.")
    pairs.append((name, rest))
  return pairs
