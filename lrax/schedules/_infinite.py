"""A rate without an end, and an anneal at any time."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _shapes
from lrax.schedules import _wide


def _after_the_cooldown(owner: str, *, anneal_at: Any, **lengths: Any) -> None:
  if not isinstance(anneal_at, int):
    return
  before = lengths['warmup_steps'], lengths['cooldown_steps']
  if all(isinstance(n, int) for n in before) and anneal_at < sum(before):
    raise _checks.refuse(
        owner, 'anneal_at', f'at least warmup_steps + cooldown_steps = {sum(before)}',
        anneal_at, 'the anneal follows the constant phase',
    )


@_schedule.formula(
    together=_after_the_cooldown,
    constant_value=_checks.positive,
    end_value=_checks.positive,
    anneal_at=_checks.optional(_checks.steps),
    shape=_checks.choice('cosine', 'linear', 'sqrt'),
)
def infinite(
    step: Any,
    peak_value: Numeric,
    constant_value: Numeric,
    warmup_steps: Numeric,
    cooldown_steps: Numeric,
    anneal_steps: Numeric,
    end_value: Numeric,
    anneal_at: Numeric | None = None,
    shape: str = 'cosine',
):
  """Warmup, cooldown to a rate that is held for ever, and an anneal on demand.

  Formula:
    rate = peak_value * step / warmup_steps                     in the warmup
    rate = constant_value + (peak_value - constant_value) * fall(q)
      in the `cooldown_steps` after it, q the share of them that is done
    rate = constant_value                                       until `anneal_at`
    rate = constant_value * (end_value / constant_value) ** p
      in the `anneal_steps` after it, p the share of them that is done

    with fall(q) = (1 + cos(pi * q)) / 2 for 'cosine', 1 - q for 'linear',
    1 - sqrt(q) for 'sqrt'

  To anneal a run that is under way, move its clock to `anneal_at`, inside `jit`
  too: `state = lrax.restart_schedule(state, at=anneal_at)`.

  Args:
    peak_value: the highest rate, a finite number >= 0.
    constant_value: the rate that is held, a finite number > 0.
    warmup_steps: length of the linear warmup, a whole number >= 0.
    cooldown_steps: length of the fall from the peak, a whole number >= 0.
    anneal_steps: length of the anneal, a whole number >= 0.
    end_value: the rate at its end, and from then on, a finite number > 0; the
      fall is exponential and so never comes to 0.
    anneal_at: the step at which the anneal begins, a whole number; None for
      2**31 - 1 - anneal_steps, which no run reaches by itself.
    shape: the shape of the fall from the peak.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and `end_value` after the anneal.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Ibrahim et al., "Simple and Scalable Strategies to Continually Pre-train
    Large Language Models", 2024, section 7.4 and equation 6.

  Example:
    >>> import lrax
    >>> policy = lrax.infinite(1.0, 0.5, warmup_steps=4, cooldown_steps=8,
    ...                        anneal_steps=2, end_value=0.125, anneal_at=1000)
    >>> [float(policy(t)) for t in (0, 4, 8, 12, 999)]
    [0.0, 1.0, 0.75, 0.5, 0.5]
    >>> [round(float(policy(t)), 6) for t in (1000, 1001, 1002)]
    [0.5, 0.25, 0.125]
  """
  warming = _progress.elapsed(step, warmup_steps) * peak_value
  done, left = _progress.phase(step, warmup_steps, cooldown_steps)
  done, left = _shapes.cooldown(shape, None, done, left)
  cooling = _progress.between(peak_value, constant_value, done, left)
  rate = _wide.where(step < warmup_steps, warming, cooling)
  if anneal_at is None:
    anneal_at = _types.MAX_STEP - anneal_steps
  done, left = _progress.phase(step, anneal_at, anneal_steps)
  annealing = _progress.geometric(constant_value, end_value, done, left)
  return _wide.where(step < anneal_at, rate, annealing)
