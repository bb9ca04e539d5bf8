"""Layers in order, from patterns of paths."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import functools
import re
from typing import Any

import optax

from lrax import _checks
from lrax.groups import _assign
from lrax.groups import _paths
from lrax.groups import _rates
from lrax.groups import _transform


def build(
    owner: str, layers: Any, base: Any, factor: Callable[[int, int], Any]
) -> optax.GradientTransformationExtraArgs:
  """The base with a group a layer, of rate `factor(layer, how many)`."""
  if isinstance(layers, str):
    layers = [layers]
  if not isinstance(layers, Sequence) or not layers:
    raise _checks.refuse(
        owner, 'layers', 'a pattern or a list of them', layers,
        r"for example ['embed', r'blocks/(\d+)', 'head']", TypeError,
    )
  patterns = []
  for index, pattern in enumerate(layers):
    patterns.append(_paths.pattern(owner, f'layers[{index}]', pattern))
    if re.compile(pattern).groups > 1:
      raise _checks.refuse(
          owner, f'layers[{index}]', 'a pattern with at most one capturing group',
          pattern, 'others are written (?:...)',
      )
  order = functools.partial(_ordered, owner, tuple(patterns))

  def plan(paths: tuple[str, ...]) -> _assign.Groups:
    names, ordered = order(paths)
    depth = len(ordered)
    rates = {n: _rates.Rate(factor(i, depth)) for i, n in enumerate(ordered)}
    return _assign.Groups(names, rates)

  return _transform.grouped(owner, plan, base)


@functools.lru_cache(maxsize=256)
def _ordered(
    owner: str, patterns: tuple[str, ...], paths: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The layer of each path, and the layers in order.

  A pattern that captures a number stands for a layer each, in the order of these
  numbers; such a layer is called by the path as far as the number.
  """
  taken = _assign.names(owner, 'layers', patterns, paths)
  keys = [_key(owner, patterns, p, path) for p, path in zip(taken, paths)]
  called: dict[tuple[int, int], str] = {}
  for key, pattern, path in zip(keys, taken, paths):
    found = _paths.match(pattern, path)
    numbered = found is not None and found.re.groups
    called.setdefault(key, path[: found.end(1)] if found and numbered else pattern)
  ordered = [called[key] for key in sorted(called)]
  if len(set(ordered)) < len(ordered):
    raise ValueError(
        f'{owner}: `layers` must give each layer another name, got {ordered}; let'
        ' one pattern take all of a layer.'
    )
  return tuple(called[key] for key in keys), tuple(ordered)


def _key(
    owner: str, patterns: tuple[str, ...], pattern: str, path: str
) -> tuple[int, int]:
  """What layers are ordered by: the pattern, and the number it captures."""
  found = _paths.match(pattern, path)
  assert found is not None  # it took the path
  if not found.re.groups:
    return patterns.index(pattern), 0
  number = found.group(1)
  if number is None or not number.isdecimal():
    raise ValueError(
        f'{owner}: `layers` must capture whole numbers, got {number!r} from {path!r}'
        rf' with {pattern!r}; write (\d+) for the number, (?:...) for the rest.'
    )
  return patterns.index(pattern), int(number)
