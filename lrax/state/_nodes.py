"""Every state nested in an optimizer state, and what its fields mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import jax
from jax import tree_util
import jax.numpy as jnp
import numpy as np

from lrax import _types
from lrax.state import _find

# Fields of Optax that mean what a field of lrax does.
_SAME_MEANING = {
    ('ScaleByScheduleState', 'count'): ('LearningRateState', 'step'),
    ('WrappedScheduleState', 'count'): ('LearningRateState', 'step'),
}
# Fields that are settings, not knowledge: the new optimizer's are right. And the
# sample of an update, with which another optimizer's has nothing to do.
_SETTINGS = {'hyperparams', 'sample', 'sample_step'}
# Fields that hold states of hyperparameters by the argument's name.
_BY_ARGUMENT = {'hyperparams_states', 'memories'}


class Field(NamedTuple):
  name: str  # as the node calls it
  meaning: str  # as lrax calls it
  value: Any


class Node(NamedTuple):
  """One state among those nested in an optimizer state."""

  path: _find.Path
  label: Any  # the partition labels on the way
  keys: str  # the other dict keys on the way
  owner: str  # its class, as lrax calls it
  kind: str  # its class
  fields: tuple[Field, ...]  # those that hold arrays and no state

  def show(self, field: Field) -> str:
    where = tree_util.keystr(self.path)
    name = field.name if field.name.startswith(('.', '[')) else f'.{field.name}'
    return f'{where}{name} ({self.kind})'


def is_node(value: Any) -> bool:
  is_state = isinstance(value, tuple) and hasattr(value, '_fields')
  return is_state and not getattr(value, 'holds_one_array', False)


def is_array(value: Any) -> bool:
  return isinstance(value, (jax.Array, np.ndarray, np.generic, int, float))


def nodes(tree: Any, path: _find.Path = ()) -> Iterator[Node]:
  """Every state in `tree`, outside in."""
  if not is_node(tree):
    leaves, _ = tree_util.tree_flatten_with_path(tree, is_leaf=is_node)
    for below, leaf in leaves:
      if is_node(leaf):
        yield from nodes(leaf, path + below)
      elif is_array(leaf):
        name = tree_util.keystr(below)
        yield _make(path, 'array', 'array', (Field(name, name, leaf),))
    return
  kind, inside, fields = type(tree).__name__, [], []
  owner = kind
  if isinstance(tree, _types.ClosedLoopMemory):
    # The rate that one policy gave last says nothing to another kind of policy.
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(tree.kept)]
    owner = f'{kind} of {jax.tree.structure(tree.kept)} {shapes}'
  for name in tree._fields:
    value = getattr(tree, name)
    states = jax.tree.leaves(value, is_leaf=is_node)
    if any(is_node(leaf) and jax.tree.leaves(leaf) for leaf in states):
      inside.append((value, (*path, tree_util.GetAttrKey(name))))
    elif jax.tree.leaves(value) and name not in _SETTINGS:
      owner, meaning = _SAME_MEANING.get((kind, name), (owner, name))
      fields.append(Field(name, meaning, value))
  if fields:
    yield _make(path, owner, kind, tuple(fields))
  for value, below in inside:
    yield from nodes(value, below)


def _make(path: _find.Path, owner: str, kind: str, fields: Any) -> Node:
  """A node; what schedules another hyperparameter is no learning rate."""
  for key, below in zip(path, path[1:]):
    if isinstance(key, tree_util.GetAttrKey) and key.name in _BY_ARGUMENT:
      if _find.key_name(below) != 'learning_rate':
        owner = f'{owner} of {_find.key_name(below)}'
  label = _find.partition_label(path)
  return Node(path, label, _find.free_dict_keys(path), owner, kind, fields)
