"""What an optimizer with groups keeps."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax

from lrax import _types
from lrax.state import _find


class ParamGroupsState(NamedTuple):
  """What an optimizer with groups keeps between updates.

  The rates are where `optax.partition` has them, so that the groups have the same
  names in all functions of `lrax.state`. Groups that are frozen for good keep
  nothing.
  """

  step: jax.Array  # int32, (): updates seen; what unfreezes a group
  inner_states: dict[str, _types.LearningRateState]  # by group: clock and rate
  shared_state: Any  # of the base, its LearningRateState taken out


class _Slot(NamedTuple):
  """Where the learning rate of the base was taken out."""


def take_rate(owner: str, state: Any) -> tuple[_types.LearningRateState, Any]:
  """The one learning rate of the base's state, and the state without it.

  Raises:
    ValueError: it has none, or several.
  """
  found = list(_find.find(state, owner).values())
  rest = _find.change(state, None, owner, lambda node: _Slot())
  several = len(found) > 1
  if not several:
    try:
      _find.find(rest, owner)
      several = True
    except ValueError:
      pass
  if several:
    raise ValueError(
        f'{owner}: `base` must have one learning rate, got several; give its groups'
        ' to param_groups instead of nesting one partition in another.'
    )
  return found[0].state, rest


def put_rate(state: Any, rate: _types.LearningRateState) -> Any:
  """The base's state with a learning rate where one was taken out."""
  is_slot = lambda node: isinstance(node, _Slot)
  put = lambda node: rate if is_slot(node) else node
  return jax.tree.map(put, state, is_leaf=is_slot)
