"""Which cycle a step is in, found with integers.

A logarithm of the step puts restarts a step early or late (PyTorch at
T_0 = 1, T_mult = 3, step 121; Keras in float32 at t_mul = 2); a table of whole
numbers does not.
"""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from lrax import _types
from lrax.schedules import _progress
from lrax.schedules import _wide


class Cycle(NamedTuple):
  """Where steps are among the cycles; every field has the steps' shape."""

  index: Any  # whole: which cycle, from 0
  step: Any  # whole: steps since its start
  remaining: Any  # the share of it still to come, in (0, 1]
  elapsed: Any  # the share of it that is over, in [0, 1)


def find(step: Any, cycle_steps: Any, growth: Any) -> Cycle:
  """Finds the cycle of `step`, cycle i being `cycle_steps * growth**i` long.

  A growth that is no whole number gives cycle i the end
  round(cycle_steps * (1 + growth + … + growth**i)), summed in float64.

  Args:
    step: whole, any shape, at least 0.
    cycle_steps: length of the first cycle, at least 1; may be traced.
    growth: at least 1; may be traced where its dtype is an integer.
  """
  if isinstance(growth, float) and growth.is_integer():
    growth = int(growth)
  if isinstance(growth, int) and growth == 1:
    return _equal(step, cycle_steps)
  if isinstance(cycle_steps, int) and isinstance(growth, (int, float)):
    return _known(step, cycle_steps, growth)
  found = _traced(step, cycle_steps, growth)
  if isinstance(growth, int):
    return found
  # A traced growth of 1 has more cycles than 32.
  one = growth == 1
  equal = _equal(step, cycle_steps)
  return Cycle(
      jnp.where(one, equal.index, found.index),
      jnp.where(one, equal.step, found.step),
      _wide.where(one, equal.remaining, found.remaining),
      _wide.where(one, equal.elapsed, found.elapsed),
  )


def _equal(step: Any, cycle_steps: Any) -> Cycle:
  """Cycles that are all as long as the first."""
  index = step // cycle_steps
  local = step - index * cycle_steps
  left = _progress.remaining(local, cycle_steps)
  return Cycle(index, local, left, _progress.elapsed(local, cycle_steps))


def _known(step: Any, cycle_steps: int, growth: float) -> Cycle:
  """Exact for a whole growth: all the cycles that an int32 reaches."""
  starts, lengths = [], []
  end, length = 0, cycle_steps
  while round(end) <= _types.MAX_STEP:
    starts.append(round(end))
    lengths.append(round(end + length) - round(end))
    end, length = end + length, length * growth
  xp = _wide.namespace(step)
  if xp is np or len(starts) > 64:
    index = xp.searchsorted(xp.asarray(starts), step, side='right') - 1
    start = xp.asarray(starts)[index]
    length = xp.asarray([min(n, _types.MAX_STEP) for n in lengths])[index]
    return _within(index, step - start, length, lengths[-1], index == len(starts) - 1)
  # A chain of choices is faster than looking up a table for every step.
  index, start = jnp.zeros_like(step), jnp.zeros_like(step)
  length = jnp.full_like(step, min(lengths[0], _types.MAX_STEP))
  for first, steps in zip(starts[1:], lengths[1:]):
    began = step >= first
    index = index + began
    start = jnp.where(began, first, start)
    length = jnp.where(began, min(steps, _types.MAX_STEP), length)
  if isinstance(growth, int):
    # What came before is (length - cycle_steps) / (growth - 1). Only the length of
    # the last cycle, which is known, may be past an int32.
    length = start * (growth - 1) + cycle_steps
  return _within(index, step - start, length, lengths[-1], step >= starts[-1])


def _traced(step: Any, cycle_steps: Any, growth: Any) -> Cycle:
  """For a whole growth >= 2: at most 32 cycles."""
  step = jnp.asarray(step, jnp.int32)
  largest = jnp.asarray(_types.MAX_STEP, jnp.int32)
  growth = jnp.maximum(jnp.asarray(growth, jnp.int32), 1)
  first, steps = jnp.zeros((), jnp.int32), jnp.asarray(cycle_steps, jnp.int32)
  more = jnp.ones((), bool)
  index, start, length = jnp.zeros_like(step), jnp.zeros_like(step), steps
  before = steps
  for _ in range(31):
    # A length past the largest step starts no further cycle.
    more &= steps <= largest - first
    first = jnp.where(more, first + steps, largest)
    last = steps
    steps = jnp.where(steps > largest // growth, largest, steps * growth)
    began = more & (step >= first)
    index = index + began
    start = jnp.where(began, first, start)
    length = jnp.where(began, steps, length)
    before = jnp.where(more, last, before)
  true_length = _wide.whole(before) * _wide.whole(growth)
  return _within(index, step - start, length, true_length, length == largest)


def _within(index: Any, local: Any, length: Any, last: Any, is_last: Any) -> Cycle:
  """The shares of a cycle; the last one may be longer than an int32 holds."""
  inverse = _wide.where(is_last, 1.0 / _wide.exact(last), 1.0 / _wide.whole(length))
  done = _wide.whole(local) * inverse
  left = _wide.where(is_last, 1.0 - done, _wide.whole(length - local) * inverse)
  return Cycle(index, local, left, done)
