"""What an optimizer with groups keeps."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import optax

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


def refuse_placed(owner: str, state: Any) -> None:
  """Raises where an update of the base says where to be, and no step to take.

  Such an update makes up for what earlier ones did; a part of it would be a part of
  that too.
  """
  contrib = optax.contrib
  optaxs = (contrib.COCOBState, contrib.MechanicState, contrib.ScheduleFreeState)
  is_placed = lambda node: isinstance(node, optaxs) or (
      getattr(node, 'places_parameters', False) is True
  )
  for node in filter(is_placed, jax.tree.leaves(state, is_leaf=is_placed)):
    raise ValueError(
        f'{owner}: `base` must take steps where groups have rates of their own, got'
        f' one that places parameters ({type(node).__name__}); use optax.partition'
        ' with an optimizer for each group, or the factor 1 and frozen only.'
    )


def put_rate(state: Any, rate: _types.LearningRateState) -> Any:
  """The base's state with a learning rate where one was taken out."""
  is_slot = lambda node: isinstance(node, _Slot)
  put = lambda node: rate if is_slot(node) else node
  return jax.tree.map(put, state, is_leaf=is_slot)
