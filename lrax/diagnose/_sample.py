"""Which entries of a tree are looked at, and to which group its leaves belong."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import functools
import re
from typing import Any
from typing import NamedTuple

import jax
from jax import tree_util
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _types
from lrax.groups import _paths
from lrax.state import _find

Path = tuple[Any, ...]
Entries = dict[Path, jax.Array]
Patterns = tuple[tuple[str, str], ...]
REST = ''  # the leaves of no group
_SMALL = 2**14  # entries of a leaf


class Plan(NamedTuple):
  """The groups of a tree, and the entries that are looked at of each."""

  names: tuple[str, ...]  # of the groups, in order
  members: dict[Path, str]  # the group of each leaf, or REST
  shapes: dict[Path, tuple[int, ...]]
  # By group with entries, REST too: a leaf's indices, (entries, dimensions), or None
  # for all of its entries.
  chosen: dict[str, list[tuple[Path, Any]]]
  counts: dict[str, int]  # how many are looked at
  weights: dict[str, float]  # how many entries each one stands for
  dtype: Any

  @property
  def size(self) -> int:
    return sum(self.counts.values())

  @property
  def shares(self) -> np.ndarray:
    """What each entry of a sample counts for among all, (size,): at most 1."""
    weights = np.array([*self.weights.values()])
    return np.repeat(weights / max(weights, default=1), [*self.counts.values()])

  def rows(self, samples: jax.Array) -> jax.Array:
    """Samples, (..., size), as a row for each group, filled up with zeros."""
    counts = np.array([*self.counts.values()])
    at = (np.cumsum(counts) - counts)[:, None] + np.arange(max(counts))
    at = np.where(np.arange(max(counts)) < counts[:, None], at, self.size)
    zero = jnp.zeros_like(samples[..., :1])
    return jnp.concatenate([samples, zero], -1)[..., at.astype(np.int32)]


def as_patterns(owner: str, groups: Any) -> Patterns | None:
  """A check for groups: patterns, patterns by name, or None for top-level keys."""
  if groups is None:
    return None
  if isinstance(groups, str) or not isinstance(groups, (Sequence, Mapping)):
    raise _checks.refuse(
        owner, 'groups', 'a list of patterns, a dict of them by name, or None',
        groups, "for example ['encoder', 'head/.*']", TypeError,
    )
  by_name = groups.items() if isinstance(groups, Mapping) else zip(groups, groups)
  found = []
  for name, pattern in by_name:
    if not isinstance(name, str) or not name:
      raise _checks.refuse(
          owner, 'groups', 'named by strings that are not empty', name,
          "for example {'head': 'head/.*'}", TypeError,
      )
    found.append((name, _paths.pattern(owner, f'groups[{name!r}]', pattern)))
  return tuple(found)


def entries(tree: Any) -> Entries:
  """The leaves that are trained, by path; what is masked or None has none."""
  found, _ = tree_util.tree_flatten_with_path(tree, is_leaf=_find.is_wrapped)
  arrays = {path: _find.array(leaf) for path, leaf in found if jax.tree.leaves(leaf)}
  return {
      path: jnp.asarray(x)
      for path, x in arrays.items()
      if jnp.issubdtype(jnp.result_type(x), jnp.inexact)
  }


def plan(leaves: Entries, patterns: Patterns | None, samples: int | None) -> Plan:
  """The plan of a tree, the same every time."""
  dtype = _types.rate_dtype()
  if any(map(jnp.iscomplexobj, leaves.values())):
    dtype = jnp.promote_types(dtype, jnp.complex64)
  shapes = tuple((path, jnp.shape(x)) for path, x in leaves.items())
  return _plan(shapes, patterns, samples, dtype)


def replan(
    leaves: Entries,
    patterns: Patterns | None,
    samples: int | None,
    groups: dict[str, Any],
    size: int,
) -> Plan:
  """The plan of a tree that may lack leaves of the one that the state is of.

  The groups are those of the state. Where the sample would be another, there is none.
  """
  if patterns is None:
    patterns = tuple((name, re.escape(name)) for name in groups)
  planned = plan(leaves, patterns, samples)
  if planned.size != size:
    planned = planned._replace(chosen={}, counts={}, weights={})
  return planned


def check_used(owner: str, planned: Plan, patterns: Patterns | None) -> None:
  """Refuses a pattern that takes no leaf.

  Raises:
    ValueError: there is one, though there are leaves.
  """
  unused = [name for name, _ in patterns or () if name not in planned.names]
  if unused and planned.members:
    texts = ['/'.join(_keys(path)) for path in planned.members]
    some = ', '.join(map(repr, texts[:8])) + (', …' if len(texts) > 8 else '')
    raise ValueError(
        f'{owner}: `groups` must take a parameter first each, got {unused[0]!r},'
        f' which takes none; the paths are {some}.'
    )


def _keys(path: Path) -> tuple[str, ...]:
  return tuple(str(_find.key_name(key)) for key in path)


@functools.lru_cache(maxsize=256)
def _plan(
    shapes: tuple[tuple[Path, tuple[int, ...]], ...],
    patterns: Patterns | None,
    samples: int | None,
    dtype: Any,
) -> Plan:
  paths = [path for path, _ in shapes]
  keys = [_keys(path) for path in paths]
  of_leaf = _by_key(keys) if patterns is None else _by_pattern(keys, patterns)
  members = dict(zip(paths, of_leaf))
  order = [name for name, _ in patterns] if patterns is not None else of_leaf
  names = tuple(n for n in dict.fromkeys(order) if n in of_leaf and n != REST)
  parts = {name: [] for name in [*names, REST]}
  for path, shape in shapes:
    if np.prod(shape, dtype=np.int64):
      parts[members[path]].append((path, shape))
  small_first = lambda part: sorted(part, key=lambda pair: not is_small(pair[1]))
  parts = {name: small_first(part) for name, part in parts.items() if part}
  sizes = {
      name: sum(int(np.prod(shape, dtype=np.int64)) for _, shape in part)
      for name, part in parts.items()
  }
  counts = {
      name: size if samples is None else min(size, max(samples // len(sizes), 1))
      for name, size in sizes.items()
  }
  return Plan(
      names=names,
      members=members,
      shapes=dict(shapes),
      chosen={n: _choose(part, sizes[n], counts[n]) for n, part in parts.items()},
      counts=counts,
      weights={name: sizes[name] / counts[name] for name in sizes},
      dtype=dtype,
  )


def _by_key(keys: list[tuple[str, ...]]) -> list[str]:
  """The first keys by which the leaves differ, and those before them."""
  if len(keys) < 2:
    return [REST] * len(keys)
  same = 0
  while all(len(k) > same + 1 and k[: same + 1] == keys[0][: same + 1] for k in keys):
    same += 1
  names = ['/'.join(k[: same + 1]) for k in keys]
  return names if len(set(names)) > 1 else [REST] * len(keys)


def _by_pattern(keys: list[tuple[str, ...]], patterns: Patterns) -> list[str]:
  """The first pattern that matches each leaf's path."""
  first = lambda path: next((n for n, p in patterns if _paths.match(p, path)), REST)
  return [first('/'.join(k)) for k in keys]


def _choose(
    part: list[tuple[Path, tuple[int, ...]]], size: int, count: int
) -> list[tuple[Path, Any]]:
  """`count` of the `size` entries of some leaves: one at random of every stretch."""
  if count == size:
    return [(path, None) for path, _ in part]
  at = (np.arange(count) + np.random.default_rng(0).random(count)) * (size / count)
  at = np.minimum(at.astype(np.int64), size - 1)
  chosen, start = [], 0
  for path, shape in part:
    end = start + int(np.prod(shape, dtype=np.int64))
    mine = at[np.searchsorted(at, start) : np.searchsorted(at, end)] - start
    if len(mine):
      index = np.stack(np.unravel_index(mine, shape), 1).astype(np.int32)
      chosen.append((path, index))
    start = end
  return chosen


def is_small(shape: tuple[int, ...]) -> bool:
  return int(np.prod(shape, dtype=np.int64)) <= _SMALL
