"""Which group each path belongs to: the first pattern that matches."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any
from typing import NamedTuple

from lrax import _checks
from lrax.groups import _paths


class Groups(NamedTuple):
  """The groups of a tree, and the group of each of its leaves."""

  names: tuple[str, ...]  # by leaf
  rates: dict[str, Any]  # by group: a Rate, or frozen


# The groups of a tree, from the paths of its leaves.
Plan = Callable[[tuple[str, ...]], Groups]


def pairs(owner: str, name: str, value: Any) -> list[tuple[Any, Any]]:
  """A check for a list of pairs."""
  is_list = isinstance(value, Sequence) and not isinstance(value, str)
  is_pair = lambda x: isinstance(x, (tuple, list)) and len(x) == 2
  if not is_list or not all(map(is_pair, value)) or not value:
    raise _checks.refuse(
        owner, name, 'a list of pairs', value,
        "for example [('head/.*', 1.0), ('.*', 0.1)]", TypeError,
    )
  return [(first, second) for first, second in value]


@functools.lru_cache(maxsize=256)
def names(
    owner: str, name: str, patterns: tuple[str, ...], paths: tuple[str, ...]
) -> tuple[str, ...]:
  """The first pattern that takes each path; `name` is the argument they are in.

  Raises:
    ValueError: a path has none, or a pattern takes no path.
  """
  matching = {path: [p for p in patterns if _paths.match(p, path)] for path in paths}
  for path, found in matching.items():
    if not found:
      raise ValueError(
          f'{owner}: `{name}` must have a pattern for every parameter, got none for'
          f" {path!r}; the patterns are {list(patterns)}: end with one for the"
          " rest, '.*'."
      )
  for index, pattern in enumerate(patterns if paths else ()):
    if any(found[0] == pattern for found in matching.values()):
      if pattern not in patterns[:index]:
        continue
    mine = [path for path in paths if pattern in matching[path]]
    if not mine:
      some = ', '.join(map(repr, paths[:8])) + (', …' if len(paths) > 8 else '')
      raise ValueError(
          f'{owner}: `{name}` must match a parameter each, got {pattern!r}, which'
          f' matches none; the paths are {some}.'
      )
    before = ', '.join(sorted({repr(matching[path][0]) for path in mine}))
    raise ValueError(
        f'{owner}: `{name}` must match a parameter first each, got {pattern!r},'
        f' whose parameters are all taken by {before} before it; put it further up,'
        ' or leave it out.'
    )
  return tuple(matching[path][0] for path in paths)
