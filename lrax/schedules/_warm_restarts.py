"""Cosine cycles that restart from a high rate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _cycles
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


def _growth(owner: str, name: str, value: Any) -> Any:
  """At least 1; a traced one must count, so that its cycles are whole."""
  rule, advice = 'a number >= 1', 'a cycle is never shorter than the last'
  value = _checks.number(rule, lambda x: x >= 1, advice)(owner, name, value)
  if isinstance(value, jax.Array) and not jnp.issubdtype(
      value.dtype, jnp.integer
  ):
    raise _checks.refuse(
        owner, name, 'a Python number or an integer array',
        f'an array of {value.dtype}',
        'the lengths of the cycles are whole numbers', TypeError,
    )
  return value


def _whole_cycles(owner: str, *, cycle_steps: Any, cycle_growth: Any, **_):
  """Cycles of a traced length are counted with integers only."""
  if isinstance(cycle_growth, float) and 1 < cycle_growth < 1.001:
    raise _checks.refuse(
        owner, 'cycle_growth', '1, or at least 1.001', cycle_growth,
        'cycles that hardly grow are too many to list',
    )
  traced = isinstance(cycle_steps, jax.Array)
  if traced and isinstance(cycle_growth, float) and cycle_growth % 1:
    raise _checks.refuse(
        owner, 'cycle_growth', 'whole where `cycle_steps` is traced',
        cycle_growth, 'give `cycle_steps` as a Python number',
    )


@_schedule.formula(
    together=_whole_cycles,
    cycle_steps=_checks.positive_steps,
    cycle_growth=_growth,
    peak_decay=_checks.positive,
    cycles=_checks.optional(_checks.positive_steps),
)
def warm_restarts(
    step: jax.Array,
    init_value: Numeric,
    cycle_steps: Numeric,
    cycle_growth: Numeric = 1,
    peak_decay: Numeric = 1.0,
    end_value: Numeric = 0.0,
    cycles: int | None = None,
):
  """Cosine annealing that starts again from a high rate, cycle after cycle.

  Formula:
    cycle i has cycle_steps * cycle_growth ** i steps and peak_i =
    init_value * peak_decay ** i; at its local step c of T_i
    rate = end_value + (peak_i - end_value) * (1 + cos(pi * c / T_i)) / 2

  Args:
    init_value: the first peak, a finite number >= 0.
    cycle_steps: length of the first cycle, a whole number >= 1.
    cycle_growth: each cycle's length over the last one's, a number >= 1; a
      traced one must be an integer. For a number that is not whole the ends of
      the cycles are rounded, not their lengths, so that errors do not add up.
      Where `cycle_steps` is traced it must be whole.
    peak_decay: each peak over the last one, a finite number > 0.
    end_value: the rate that each cycle falls to, a finite number >= 0.
    cycles: how many, a whole number >= 1; after them the rate is `end_value`.
      None for no end.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is `init_value` before 0, and restarts on exactly the first step of each
    cycle up to step 2**31 - 1.

  Raises:
    TypeError: an argument is no real scalar, or a traced `cycle_growth` is no
      integer.
    ValueError: an argument is out of range, or `cycle_growth` is not whole and
      `cycle_steps` is traced: when it is called, or when the schedule is.

  Source:
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm
    Restarts", 2017, equation 5. PyTorch's `CosineAnnealingWarmRestarts` has no
    `peak_decay`, takes whole growths only, and finds the cycle by a logarithm,
    which is wrong at some restarts; timm calls `peak_decay` `cycle_decay`.

  Example:
    >>> import lrax
    >>> policy = lrax.warm_restarts(1.0, cycle_steps=10, cycle_growth=2)
    >>> [round(float(policy(t)), 6) for t in (0, 5, 10, 20, 30)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
  """
  # A schedule that goes through `jax.jit` as an argument is not constructed there.
  _whole_cycles('warm_restarts', cycle_steps=cycle_steps, cycle_growth=cycle_growth)
  cycle = _cycles.find(step, cycle_steps, cycle_growth)
  left, done = _wide.half_cosine(cycle.remaining, cycle.elapsed)
  if cycles is not None:
    left = _wide.where(cycle.index < cycles, left, 0.0)
    done = _wide.where(cycle.index < cycles, done, 1.0)
  if isinstance(peak_decay, float) and peak_decay == 1:
    return _progress.between(init_value, end_value, done, left)
  peak = _wide.power(peak_decay, cycle.index) * init_value
  return left * peak + done * end_value
