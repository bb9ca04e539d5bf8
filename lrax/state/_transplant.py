"""Carries what one optimizer state knows over to another."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
from jax import tree_util
from jax.core import Tracer
import jax.numpy as jnp

from lrax.control import _guard_snapshot
from lrax.state import _find
from lrax.state import _nodes

# States whose fields are of one moment: they go together or not.
_WHOLE = {'Snapshot'}


class Transplant(NamedTuple):
  """What `transplant` returns; the texts name fields by their path."""

  state: Any  # the new state with what was carried over
  carried: tuple[str, ...]  # fields of the new state taken from the old one
  fresh: tuple[str, ...]  # fields of the new state left as they were, and why
  dropped: tuple[str, ...]  # fields of the old state that went nowhere


def _second_hand_last(nodes: list[_nodes.Node]) -> list[_nodes.Node]:
  """The learning rate that drives another comes before it."""
  is_rate = lambda node: node.owner == 'LearningRateState'
  driving = lambda node: 'hyperparams_states' in map(_find.key_name, node.path)
  return sorted(nodes, key=lambda node: is_rate(node) and not driving(node))


def _is_scalar(value: Any) -> bool:
  value = _find.array(value) if _find.is_wrapped(value) else value
  return jax.tree.structure(value) == jax.tree.structure(0) and not jnp.ndim(value)


def _alike(a: Any, b: Any) -> bool:
  """Whether two fields agree in structure and shapes."""
  if jax.tree.structure(a) != jax.tree.structure(b):
    return False
  leaves = [*jax.tree.leaves(a), *jax.tree.leaves(b)]
  shapes = lambda tree: [jnp.shape(x) for x in jax.tree.leaves(tree)]
  return all(map(_nodes.is_array, leaves)) and shapes(a) == shapes(b)


def _shared(new: _nodes.Node, old: _nodes.Node) -> dict[str, _nodes.Field]:
  """What `new` can take from `old`: the new field's name, and the old field."""
  theirs = {field.meaning: field for field in old.fields}
  fits = {
      field.name: theirs[field.meaning]
      for field in new.fields
      if field.meaning in theirs and _alike(field.value, theirs[field.meaning].value)
  }
  if new.owner in _WHOLE and len(fits) < len(new.fields):
    return {}
  trees = {name for name, field in fits.items() if not _is_scalar(field.value)}
  has_trees = any(not _is_scalar(field.value) for field in new.fields)
  if new.owner == old.owner and not has_trees:
    return fits
  # A count says how much its averages have gathered: they go together or not.
  counts = [{f.meaning for f in node.fields} & {'count'} for node in (new, old)]
  if counts[0]:
    # A count is right for all of the averages that it corrects, or for none: mu and
    # nu go together, and none of them goes to another format of storage.
    averages = {'mu', 'nu'} & {field.name for field in new.fields}
    if not counts[1] or not averages <= trees:
      return {}
  return fits if trees or new.owner == 'LearningRateState' else {}


def _partner(
    new: _nodes.Node, candidates: list[_nodes.Node]
) -> tuple[_nodes.Node | None, dict]:
  """The old node that means the same: of its class, else with the same trees."""
  best, most = None, {}
  for old in candidates:
    if old.label != new.label or (new.keys and old.keys and new.keys != old.keys):
      continue
    shared = _shared(new, old)
    if shared and old.owner == new.owner:
      return old, shared
    trees = [f for f in shared.values() if not _is_scalar(f.value)]
    if trees and old.owner != new.owner and len(shared) > len(most):
      best, most = old, shared
  return best, most


def transplant(old_state: Any, new_state: Any) -> Transplant:
  """Carries over what two optimizer states have in common, and says what not.

  States match by meaning: one of the same kind, under the same label of
  `optax.partition` and the same key of a dict, wherever it is nested; moments
  also between kinds (Adam's `mu` and `nu` into AMSGrad's), with their count,
  which goes with moments or not at all; the count of Optax's schedule as the
  policy's step, and back. Trees must agree in structure and shapes; dtypes
  become the new state's. Hyperparameters of `optax.inject_hyperparams` are
  settings: the new ones stay. The memory of a closed-loop policy goes to one of
  its kind, and with it what the policy has cut so far. A report that was not used
  yet goes along, too.

  Args:
    old_state: an optimizer state that has been trained.
    new_state: the state of another optimizer, from its `init` of the parameters
      as they are now: what keeps parameters, as a guard that rolls back, keeps
      those.

  Returns:
    A `Transplant`: the new state, and what was carried, fresh and dropped, as
    texts. Works inside `jax.jit`, where only the state may be returned.

  Raises:
    ValueError: nothing matches.

  Source:
    lrax's own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.ones(())}
    >>> old = lrax.adam(0.1).init(params)
    >>> moved = lrax.transplant(old, lrax.amsgrad(0.1).init(params))
    >>> moved.fresh
    ('[0].nu_max (ScaleByAmsgradState): nothing like it in the old state',)
  """
  old = _second_hand_last(list(_nodes.nodes(old_state)))
  new = _second_hand_last(list(_nodes.nodes(new_state)))
  left, used = list(old), set()
  taken: dict[tuple[_find.Path, str], Any] = {}
  for node in new:
    partner, shared = _partner(node, left)
    if partner is None:
      continue
    left = [other for other in left if other is not partner]
    for name, field in shared.items():
      taken[node.path, name] = field.value
      used.add((partner.path, field.name))
  if not taken:
    raise ValueError(
        'transplant: `new_state` must share a field with `old_state`, got none'
        ' of the same meaning and shapes; the parameters must be the same.'
    )
  carried, fresh = [], []
  for node in new:
    for field in node.fields:
      if (node.path, field.name) in taken:
        carried.append(node.show(field))
        continue
      named = not _is_scalar(field.value) and any(
          f.meaning == field.meaning and other.label == node.label
          for other in old
          for f in other.fields
      )
      why = 'its tree differs' if named else 'nothing like it'
      fresh.append(f'{node.show(field)}: {why} in the old state')
  dropped = [
      node.show(field)
      for node in old
      for field in node.fields
      if (node.path, field.name) not in used
  ]
  state = _place(_put(new_state, taken), list(taken.values()))
  return Transplant(state, tuple(carried), tuple(fresh), tuple(dropped))


def _put(tree: Any, taken: Any, path: _find.Path = ()) -> Any:
  """`tree` with the fields of `taken` in place, cast to what they replace."""
  cast = lambda new, old: jnp.asarray(old, jnp.asarray(new).dtype)
  if not _nodes.is_node(tree):

    def visit(below: _find.Path, leaf: Any) -> Any:
      if _nodes.is_node(leaf):
        return _put(leaf, taken, path + below)
      value = taken.get((path, tree_util.keystr(below)))
      return leaf if value is None else cast(leaf, value)

    return tree_util.tree_map_with_path(visit, tree, is_leaf=_nodes.is_node)
  values = []
  for name in tree._fields:
    value = getattr(tree, name)
    if (path, name) in taken:
      values.append(jax.tree.map(cast, value, taken[path, name]))
    else:
      values.append(_put(value, taken, (*path, tree_util.GetAttrKey(name))))
  made: Any = type(tree)(*values)
  below = (*path, tree_util.GetAttrKey('snapshot'))
  snapshot = getattr(made, 'snapshot', None)
  if isinstance(snapshot, _guard_snapshot.Snapshot):
    if (below, 'params') not in taken:
      # A guard that goes back to the parameters of now needs the state of now.
      fresh = _guard_snapshot.start(snapshot.params, made.inner_state)
      made = made._replace(snapshot=fresh)
  return made


def _place(state: Any, carried: Any) -> Any:
  """What is on no device in particular goes to where the carried scalars are.

  Else the step that uses it returns it elsewhere, and compiles once more.
  """
  known = lambda leaf: isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer)
  leaves = filter(known, jax.tree.leaves(carried))
  homes = {leaf.sharding for leaf in leaves if leaf.committed and not leaf.ndim}
  if len(homes) != 1:
    return state
  (home,) = homes
  free = lambda leaf: known(leaf) and not leaf.committed
  move = lambda leaf: jax.device_put(leaf, home) if free(leaf) else leaf
  return jax.tree.map(move, state)
