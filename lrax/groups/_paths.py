"""The paths of a tree's leaves, as `a/b/0/c`, and which pattern takes them."""

from __future__ import annotations

import re
from typing import Any

from jax import tree_util
import optax

from lrax import _checks
from lrax.state import _find


def flatten(tree: Any) -> tuple[tuple[str, ...], list[Any], Any]:
  """The paths, the leaves and the structure of a tree of parameters.

  A Variable of Flax nnx is one leaf. Modules that can be called are trees as any
  other, and what is masked by an outer transformation has no path.
  """
  found, treedef = tree_util.tree_flatten_with_path(tree, is_leaf=_find.is_wrapped)
  paths = tuple('/'.join(str(_find.key_name(k)) for k in path) for path, _ in found)
  return paths, [leaf for _, leaf in found], treedef


def masked(treedef: Any, leaves: list[Any], kept: list[bool]) -> Any:
  """The tree, with an `optax.MaskedNode` for each leaf that is not kept."""
  return treedef.unflatten(
      [leaf if keep else optax.MaskedNode() for leaf, keep in zip(leaves, kept)]
  )


def pattern(owner: str, name: str, value: Any) -> str:
  """A check for a regular expression."""
  advice = "for example 'head/.*'"
  if not isinstance(value, str):
    raise _checks.refuse(
        owner, name, 'a regular expression', value, advice, TypeError
    )
  try:
    re.compile(value)
  except re.error as error:
    raise _checks.refuse(
        owner, name, f'a regular expression ({error})', value, advice
    ) from None
  return value


def match(pattern: str, path: str) -> re.Match[str] | None:
  """The match of a pattern with a path, or with a subtree that it lies in.

  The shortest leading part that matches is taken: 'a', 'a/b', then 'a/b/c'.
  """
  keys = path.split('/')
  for depth in range(1, len(keys) + 1):
    found = re.fullmatch(pattern, '/'.join(keys[:depth]))
    if found:
      return found
  return None
