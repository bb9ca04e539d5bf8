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
from lrax.schedules import _progress


class Cycle(NamedTuple):
  """Where steps are among the cycles; every field has the steps' shape."""

  index: jax.Array  # int32: which cycle, from 0
  step: jax.Array  # int32: steps since its start
  remaining: jax.Array  # rate dtype: the share of it still to come, in (0, 1]
  elapsed: jax.Array  # rate dtype: the share of it that is over, in [0, 1)


class _Table(NamedTuple):
  """The cycles that start at a step an int32 can hold."""

  starts: jax.Array  # int32, (cycles,)
  lengths: jax.Array  # int32, (cycles,), at most the largest step
  true_lengths: jax.Array  # rate dtype, (cycles,): the last one's may be larger
  reachable: jax.Array  # bool, (cycles,)


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
    return _look_up(step, _known(cycle_steps, growth))
  found = _look_up(step, _traced(cycle_steps, growth))
  if isinstance(growth, int):
    return found
  # A traced growth of 1 has more cycles than the table.
  pick = lambda one, more: jnp.where(growth == 1, one, more)
  return Cycle(*map(pick, _equal(step, cycle_steps), found))


def _equal(step: jax.Array, cycle_steps: Any) -> Cycle:
  """Cycles that are all as long as the first."""
  index = step // cycle_steps
  local = step - index * cycle_steps
  left = _progress.remaining(local, cycle_steps)
  return Cycle(index, local, left, _progress.elapsed(local, cycle_steps))


def _look_up(step: jax.Array, table: _Table) -> Cycle:
  """Cycles that start at the steps of a table."""
  if len(table.starts) <= 64:
    started = (step[..., None] >= table.starts) & table.reachable
    index = started.sum(-1).astype(jnp.int32) - 1
  else:  # a known table, all of it reachable
    index = jnp.searchsorted(table.starts, step, side='right').astype(jnp.int32) - 1
  local = step - table.starts[index]
  true_length = table.true_lengths[index]
  # Whole numbers first, where they fit; a longer cycle never comes to its end.
  length = table.lengths[index]
  is_long = true_length > _types.MAX_STEP
  share = local.astype(true_length.dtype) / true_length
  left = jnp.where(is_long, 1 - share, _progress.remaining(local, length))
  done = jnp.where(is_long, share, _progress.elapsed(local, length))
  return Cycle(index, local, left, done)


def _known(cycle_steps: int, growth: float) -> _Table:
  """Exact for a whole growth."""
  starts, lengths = [], []
  end, length = 0, cycle_steps
  while round(end) <= _types.MAX_STEP:
    starts.append(round(end))
    lengths.append(round(end + length) - round(end))
    end, length = end + length, length * growth
  return _Table(
      jnp.asarray(starts, jnp.int32),
      jnp.asarray([min(n, _types.MAX_STEP) for n in lengths], jnp.int32),
      jnp.asarray(lengths, _types.rate_dtype()),
      jnp.ones(len(starts), bool),
  )


def _traced(cycle_steps: Any, growth: Any) -> _Table:
  """For a whole growth >= 2: at most 32 cycles."""
  largest = jnp.asarray(_types.MAX_STEP, jnp.int32)
  growth = jnp.maximum(jnp.asarray(growth, jnp.int32), 1)
  start, length = jnp.zeros((), jnp.int32), jnp.asarray(cycle_steps, jnp.int32)
  long = jnp.asarray(length, _types.rate_dtype())
  reachable, rows = jnp.ones((), bool), []
  for _ in range(32):
    rows.append((start, length, long, reachable))
    reachable &= length <= largest - start
    start = jnp.where(reachable, start + length, largest)
    # A length past the largest step starts no further cycle.
    length = jnp.where(length > largest // growth, largest, length * growth)
    long = long * growth.astype(long.dtype)
  return _Table(*(jnp.stack(column) for column in zip(*rows)))
