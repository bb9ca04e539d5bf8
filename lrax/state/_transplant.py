"""Carries what one optimizer state knows over to another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import chex
import jax
from jax import tree_util
import jax.numpy as jnp

from lrax.state import _find

# What a field of another library means in lrax.
_SAME_MEANING = {('ScaleByScheduleState', 'count'): ('LearningRateState', 'step')}
# Fields that are settings, not knowledge: the new optimizer's are right.
_SETTINGS = {'hyperparams'}


class Transplant(NamedTuple):
  """What `transplant` returns; the texts name fields by their path."""

  state: Any  # the new state with what was carried over
  carried: tuple[str, ...]  # fields of the new state taken from the old one
  fresh: tuple[str, ...]  # fields of the new state left as they were, and why
  dropped: tuple[str, ...]  # fields of the old state that went nowhere


class _Field(NamedTuple):
  path: _find.Path  # of the node that has the field
  label: Any  # the partition labels on the way
  owner: str  # the node's class
  name: str
  value: chex.ArrayTree

  def __str__(self) -> str:
    return f'{tree_util.keystr(self.path)}.{self.name} ({self.owner})'


def _is_node(value: Any) -> bool:
  return isinstance(value, tuple) and hasattr(value, '_fields')


def _fields(tree: Any, path: _find.Path = ()) -> Iterator[_Field]:
  """Every field of every state in `tree` that holds arrays and no state."""
  if not _is_node(tree):
    leaves, _ = tree_util.tree_flatten_with_path(tree, is_leaf=_is_node)
    for below, leaf in leaves:
      if _is_node(leaf):
        yield from _fields(leaf, path + below)
      else:
        name = tree_util.keystr(below) or 'value'
        yield _Field(path, _find.partition_label(path), 'array', name, leaf)
    return
  for name in tree._fields:
    value = getattr(tree, name)
    below = (*path, tree_util.GetAttrKey(name))
    inner = jax.tree.leaves(value, is_leaf=_is_node)
    if any(_is_node(leaf) and jax.tree.leaves(leaf) for leaf in inner):
      yield from _fields(value, below)
    elif jax.tree.leaves(value) and name not in _SETTINGS:
      label, owner = _find.partition_label(path), type(tree).__name__
      owner, name = _SAME_MEANING.get((owner, name), (owner, name))
      yield _Field(path, label, owner, name, value)


def _is_scalar(value: Any) -> bool:
  return jax.tree.structure(value) == jax.tree.structure(0) and not jnp.ndim(value)


def _shapes(tree: Any) -> Any:
  return jax.tree.structure(tree), [jnp.shape(x) for x in jax.tree.leaves(tree)]


def _partner(field: _Field, candidates: list[_Field]) -> _Field | None:
  """The old field that means the same: by class and name, else by its tree.

  A field of another class is taken only if it is a tree like the parameters,
  as moments are; a count goes along with them.
  """
  fits = [
      c
      for c in candidates
      if (c.label, c.name) == (field.label, field.name)
      and _shapes(c.value) == _shapes(field.value)
  ]
  same = [c for c in fits if c.owner == field.owner]
  if same:
    return same[0]
  trees = [c for c in fits if not _is_scalar(c.value)]
  return trees[0] if trees else None


def transplant(old_state: Any, new_state: Any) -> Transplant:
  """Carries over what two optimizer states have in common, and says what not.

  Fields match by meaning: the same field of the same kind of state, under the
  same label of `optax.partition`, wherever it is nested; moments also between
  kinds (Adam's `mu` and `nu` into AMSGrad's), and the count of moments along
  with them; Optax's schedule count as the policy's step. Trees must agree in
  structure and shapes; dtypes become the new state's.

  Args:
    old_state: an optimizer state that has been trained.
    new_state: the state of another optimizer for the same parameters, from its
      `init`.

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
  old = list(_fields(old_state))
  new = list(_fields(new_state))
  taken: dict[tuple[_find.Path, str], _Field] = {}
  left = list(old)
  for field in new:
    partner = _partner(field, left)
    if partner is not None:
      left = [c for c in left if c is not partner]
      taken[field.path, field.name] = partner
  # A count belongs to the moments beside it: it follows them to another class.
  for field in new:
    if (field.path, field.name) in taken:
      continue
    beside = [p for (path, _), p in taken.items() if path == field.path]
    for candidate in left:
      alike = candidate.name == field.name and any(
          candidate.path == p.path for p in beside
      )
      if alike and _shapes(candidate.value) == _shapes(field.value):
        taken[field.path, field.name] = candidate
        left = [c for c in left if c is not candidate]
        break
  if not taken:
    raise ValueError(
        'transplant: `new_state` must share a field with `old_state`, got none'
        ' of the same meaning and shapes; the parameters must be the same.'
    )
  carried, fresh = [], []
  for field in new:
    if (field.path, field.name) in taken:
      carried.append(str(field))
    else:
      named = [c for c in old if c.name == field.name and c.label == field.label]
      why = 'its tree differs' if named else 'nothing like it'
      fresh.append(f'{field}: {why} in the old state')
  return Transplant(
      _put(new_state, taken), tuple(carried), tuple(fresh), tuple(map(str, left))
  )


def _put(tree: Any, taken: Any, path: _find.Path = ()) -> Any:
  """`tree` with the fields of `taken` in place, cast to what they replace."""
  cast = lambda new, old: jnp.asarray(old, jnp.asarray(new).dtype)
  if not _is_node(tree):
    def visit(below: _find.Path, leaf: Any) -> Any:
      if _is_node(leaf):
        return _put(leaf, taken, path + below)
      partner = taken.get((path, tree_util.keystr(below) or 'value'))
      return leaf if partner is None else cast(leaf, partner.value)

    return tree_util.tree_map_with_path(visit, tree, is_leaf=_is_node)
  values = []
  for name in tree._fields:
    value, partner = getattr(tree, name), taken.get((path, name))
    if partner is not None:
      values.append(jax.tree.map(cast, value, partner.value))
    else:
      values.append(_put(value, taken, (*path, tree_util.GetAttrKey(name))))
  return type(tree)(*values)
