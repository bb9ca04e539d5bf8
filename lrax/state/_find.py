"""Finds the learning-rate states in any optimizer state, and names them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Hashable
from typing import Any
from typing import NamedTuple

import jax
from jax import tree_util

from lrax import _types

Path = tuple[Any, ...]


class Found(NamedTuple):
  """One learning-rate state and where it is."""

  path: Path  # keys from the root, as jax.tree_util gives them
  state: _types.LearningRateState


def is_state(node: Any) -> bool:
  return isinstance(node, _types.LearningRateState)


def find(state: Any, caller: str) -> dict[Hashable, Found]:
  """Every learning-rate state in `state`, by its group.

  The group is the label under `optax.partition`, or the pattern under
  `lrax.groups`, the labels joined by `/` where they nest; where that does not
  tell two apart, the dict keys on the way, and else the whole path.

  Raises:
    ValueError: there is none; it says what was looked at.
  """
  nodes, _ = tree_util.tree_flatten_with_path(state, is_leaf=is_state)
  found = [Found(path, node) for path, node in nodes if is_state(node)]
  found = [f for f in found if not _second_hand(f.path, found)]
  if not found:
    raise ValueError(_nothing_found(state, caller))
  if len(found) == 1:
    return {partition_label(found[0].path): found[0]}
  for name in (partition_label, _dict_keys, tree_util.keystr):
    labels = [name(f.path) for f in found]
    if len(set(labels)) == len(labels) and '' not in labels:
      break
  return dict(zip(labels, found))


def select(
    state: Any, group: Hashable | None, caller: str
) -> dict[Hashable, Found]:
  """The learning-rate states of one group, or of all for None.

  Raises:
    ValueError: there is no such group, or none at all.
  """
  found = find(state, caller)
  if group is None:
    return found
  if not isinstance(group, Hashable) or group not in found:
    if list(found) == ['']:
      raise ValueError(
          f'{caller}: `group` must be left out for a state of one learning rate,'
          f' got {group!r}; groups are labels of optax.partition'
          ' and patterns of lrax.groups.'
      )
    known = ', '.join(repr(label) for label in found)
    raise ValueError(
        f'{caller}: `group` must be one of the groups of this state, got'
        f' {group!r}; they are {known}.'
    )
  return {group: found[group]}


def change(
    state: Any,
    group: Hashable | None,
    caller: str,
    function: Callable[[_types.LearningRateState], Any],
) -> Any:
  """The same state with `function` applied to a group's learning-rate states."""
  paths = {found.path for found in select(state, group, caller).values()}
  apply = lambda path, node: function(node) if path in paths else node
  return tree_util.tree_map_with_path(apply, state, is_leaf=is_state)


def is_wrapped(value: Any) -> bool:
  """Whether it is a Variable of Flax nnx, which is a pytree around an array."""
  return hasattr(value, 'get_metadata')


def array(field: Any) -> jax.Array:
  """The array of a field; an nnx optimizer wraps each in a Variable."""
  return jax.tree.leaves(field)[0]


def key_name(key: Any) -> Any:
  """What one key of a path is called, whatever its kind."""
  for attribute in ('name', 'key', 'idx'):
    if hasattr(key, attribute):
      return getattr(key, attribute)
  return str(key)


def _second_hand(path: Path, found: list[Found]) -> bool:
  """Whether another state, or another hyperparameter, makes this one no rate.

  `optax.inject_hyperparams` keeps a schedule's state for each argument that it
  schedules. The one of `learning_rate` drives whatever is inside; the others
  are no learning rates.
  """
  names = [key_name(key) for key in path]
  for depth, name in enumerate(names[:-1]):
    if name == 'hyperparams_states' and names[depth + 1] != 'learning_rate':
      return True
    if name == 'inner_state':
      outer = [*names[:depth], 'hyperparams_states', 'learning_rate']
      if any([key_name(k) for k in other.path] == outer for other in found):
        return True
  return False


def partition_label(path: Path) -> Hashable:
  """The labels of the partitions on the way."""
  labels = [
      key_name(key)
      for before, key in zip(path, path[1:])
      if key_name(before) == 'inner_states'
  ]
  return labels[0] if len(labels) == 1 else '/'.join(map(str, labels))


def _dict_keys(path: Path) -> str:
  keys = [k.key for k in path if isinstance(k, tree_util.DictKey)]
  return '/'.join(map(str, keys))


def free_dict_keys(path: Path) -> str:
  """The dict keys on the way that are neither groups nor hyperparameters."""
  taken = ('inner_states', 'hyperparams_states')
  keys = [
      key.key
      for before, key in zip((None, *path), path)
      if isinstance(key, tree_util.DictKey)
      and (before is None or key_name(before) not in taken)
  ]
  return '/'.join(map(str, keys))


def _nothing_found(state: Any, caller: str) -> str:
  """Says what was looked at, and what to do."""
  seen: list[str] = []

  def visit(node: Any) -> bool:
    name = type(node).__name__
    fields = getattr(node, '_fields', ())
    name += '(' + ', '.join(fields) + ')' if fields else ''
    if name not in seen:
      seen.append(name)
    return False

  leaves = jax.tree.leaves(state, is_leaf=visit)
  kinds = ', '.join(seen[:12]) + (', …' if len(seen) > 12 else '')
  return (
      f'{caller}: no lrax learning rate was found in `state`; looked at'
      f' {len(leaves)} leaves inside: {kinds}. Build the optimizer with lrax'
      ' (lrax.adamw(...)), end a chain with a lrax schedule, or wrap an optax'
      ' transformation: lrax.with_learning_rate(optax.scale_by_..., policy). An'
      ' optax optimizer calls a lrax schedule but keeps no state of it.'
  )
