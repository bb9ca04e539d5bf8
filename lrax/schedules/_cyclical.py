"""Triangular cycles between two rates."""

from __future__ import annotations

from typing import Any

import jax

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.schedules import _cycles
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


def _some_steps(owner: str, *, up_steps: Any, down_steps: Any, **_):
  """A cycle takes at least one step, and an int32 holds its length."""
  if isinstance(up_steps, jax.Array) or isinstance(down_steps, jax.Array):
    return
  total = up_steps + (up_steps if down_steps is None else down_steps)
  if not 1 <= total <= _types.MAX_STEP:
    raise _checks.refuse(
        owner, 'up_steps', 'such that a cycle has from 1 to 2**31 - 1 steps',
        up_steps, f'with `down_steps` the cycle has {total} steps',
    )


@_schedule.formula(
    together=_some_steps,
    mode=_checks.choice('triangular', 'triangular2', 'exp_range'),
    decay_rate=_checks.positive,
)
def cyclical(
    step: jax.Array,
    init_value: Numeric,
    peak_value: Numeric,
    up_steps: Numeric,
    down_steps: Numeric | None = None,
    mode: str = 'triangular',
    decay_rate: Numeric = 0.99994,
):
  """Goes up from `init_value` to `peak_value` and down again, for ever.

  Formula:
    in cycle i, at its local step c, the triangle is
    tri = c / up_steps, or (up_steps + down_steps - c) / down_steps past the top
    rate = init_value + (peak_value - init_value) * tri * height
    height = 1 for 'triangular', 2 ** -i for 'triangular2',
    decay_rate ** step for 'exp_range'

  Args:
    init_value: the lower bound, a finite number >= 0.
    peak_value: the upper bound, a finite number >= 0.
    up_steps: steps from the bottom to the top, a whole number >= 0.
    down_steps: steps from the top to the bottom, a whole number >= 0; None for
      as many as up. Not both may be 0; traced, such a cycle is one step long.
    mode: 'triangular', 'triangular2' or 'exp_range'.
    decay_rate: the factor of each step in 'exp_range', a finite number > 0;
      not used in the other modes.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0, and cycles for ever.

  Raises:
    TypeError: an argument is no real scalar, or `mode` no string.
    ValueError: an argument is out of range, `mode` is unknown, or the cycle
      has no steps.

  Source:
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017,
    section 3; 0.99994 is its gamma for CIFAR-10. The same as PyTorch's
    `CyclicLR` with `cycle_momentum=False`, whose gamma is 1 by default.

  Example:
    >>> import lrax
    >>> policy = lrax.cyclical(0.0, 1.0, up_steps=4, mode='triangular2')
    >>> [float(policy(t)) for t in (0, 2, 4, 6, 8, 12)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]
  """
  down_steps = up_steps if down_steps is None else down_steps
  total = _wide.namespace(up_steps, down_steps).maximum(up_steps + down_steps, 1)
  cycle = _cycles.find(step, total, 1)
  tri = _wide.where(
      cycle.step < up_steps,
      _progress.elapsed(cycle.step, up_steps),
      _progress.remaining(cycle.step - up_steps, down_steps),
  )
  if mode == 'triangular2':
    tri = tri * _wide.power(0.5, cycle.index)
  elif mode == 'exp_range':
    tri = tri * _wide.power(decay_rate, step)
  return _progress.between(init_value, peak_value, tri, 1.0 - tri)
