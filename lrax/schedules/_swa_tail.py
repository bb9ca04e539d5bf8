"""The tail of stochastic weight averaging."""

from __future__ import annotations

from typing import Any

from lrax import _policy
from lrax._types import Numeric
from lrax.schedules import _from_function
from lrax.schedules._algebra import cooldown


def swa_tail(
    schedule: Any,
    at: Numeric,
    swa_value: Numeric,
    steps: Numeric = 10,
    shape: str = 'cosine',
) -> _policy.Schedule:
  """Goes from where a schedule is to the rate at which weights are averaged.

  Formula:
    rate = schedule(step)  for step < at
    rate = swa_value + (schedule(at) - swa_value) * fall((step - at) / steps)
    and `swa_value` from step at + steps on

  Args:
    schedule: the policy up to there: a `lrax.Schedule`, a function of the step,
      or a finite number >= 0.
    at: the step at which the tail begins, a whole number >= 0.
    swa_value: the rate that is held while weights are averaged, >= 0.
    steps: how long it takes to get there, a whole number >= 0.
    shape: of the way, one of those of `Schedule.cooldown`.

  Returns:
    A `lrax.Schedule`: `schedule.cooldown(at, steps, shape, end_value=swa_value)`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Izmailov et al., "Averaging Weights Leads to Wider Optima and Better
    Generalization", 2018, section 3; PyTorch's `SWALR`, whose `anneal_epochs`
    is 10 and `anneal_strategy` 'cos' by default. `optax.ema` or
    `flax.linen`-side averages keep the weights themselves.

  Example:
    >>> import lrax
    >>> policy = lrax.swa_tail(0.1, at=100, swa_value=0.05, steps=2)
    >>> [round(float(policy(t)), 6) for t in (99, 100, 101, 102, 500)]
    [0.1, 0.1, 0.075, 0.05, 0.05]
  """
  policy = _from_function.as_schedule(schedule, 'swa_tail')
  return cooldown(policy, at, steps, shape, swa_value)
