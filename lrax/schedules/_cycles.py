"""Which cycle a step is in, found with integers.

A logarithm of the step puts restarts a step early or late (PyTorch at
T_0 = 1, T_mult = 3, step 121; Keras in float32 at t_mul = 2); a table of whole
numbers does not.
"""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrax import _types


class Cycle(NamedTuple):
  """Where steps are among the cycles; every field has the steps' shape."""

  index: jax.Array  # int32: which cycle, from 0
  step: jax.Array  # int32: steps since its start
  steps: jax.Array  # int32: its length


def find(step: jax.Array, cycle_steps: Any, growth: Any) -> Cycle:
  """Finds the cycle of `step`, cycle i being `cycle_steps * growth**i` long.

  A growth that is no whole number gives cycle i the end
  round(cycle_steps * (1 + growth + … + growth**i)), summed in float64.

  Args:
    step: int32, any shape, at least 0.
    cycle_steps: length of the first cycle, at least 1; may be traced.
    growth: at least 1; may be traced where its dtype is an integer.
  """
  if isinstance(growth, float) and growth.is_integer():
    growth = int(growth)
  if isinstance(growth, int) and growth == 1:
    return _equal(step, cycle_steps)
  if isinstance(cycle_steps, int) and isinstance(growth, (int, float)):
    return _look_up(step, jnp.asarray(_ends(cycle_steps, growth), jnp.int32))
  found = _look_up(step, _traced_ends(cycle_steps, growth))
  if isinstance(growth, int):
    return found
  # A traced growth of 1 has more cycles than the table.
  pick = lambda one, more: jnp.where(growth == 1, one, more)
  return Cycle(*map(pick, _equal(step, cycle_steps), found))


def _equal(step: jax.Array, cycle_steps: Any) -> Cycle:
  """Cycles that are all as long as the first."""
  index = step // cycle_steps
  length = jnp.broadcast_to(jnp.asarray(cycle_steps, jnp.int32), step.shape)
  return Cycle(index, step - index * cycle_steps, length)


def _look_up(step: jax.Array, ends: jax.Array) -> Cycle:
  """Cycles that end at the steps of a table."""
  starts = jnp.concatenate([jnp.zeros((1,), jnp.int32), ends[:-1]])
  method = 'compare_all' if len(ends) <= 64 else 'scan'
  index = jnp.searchsorted(ends, step, side='right', method=method)
  index = jnp.minimum(index, len(ends) - 1).astype(jnp.int32)
  return Cycle(index, step - starts[index], ends[index] - starts[index])


def _ends(cycle_steps: int, growth: float) -> list[int]:
  """The ends of the cycles up to the largest step; exact for a whole growth."""
  ends = []
  end, length = 0, cycle_steps
  while not ends or ends[-1] < _types.MAX_STEP:
    end, length = end + length, length * growth
    ends.append(min(round(end), _types.MAX_STEP))
  return ends


def _traced_ends(cycle_steps: Any, growth: Any) -> jax.Array:
  """The ends for a whole growth >= 2, at most 31 of them, saturating."""
  largest = jnp.asarray(_types.MAX_STEP, jnp.int32)
  length = jnp.asarray(cycle_steps, jnp.int32)
  growth = jnp.maximum(jnp.asarray(growth, jnp.int32), 1)
  end, ends = jnp.zeros((), jnp.int32), []
  for _ in range(31):
    end = jnp.where(length > largest - end, largest, end + length)
    length = jnp.where(length > largest // growth, largest, length * growth)
    ends.append(end)
  return jnp.stack(ends)
