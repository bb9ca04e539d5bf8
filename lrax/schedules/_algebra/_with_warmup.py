"""A warmup in front of a schedule."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _shapes
from lrax.schedules import _wide
from lrax.schedules._algebra import _parts


@_parts.combination(
    _parts.show_method,
    together=_shapes.check_parameter,
    schedule=_parts.part,
    steps=_checks.steps,
    shape=_checks.choice(*_shapes.WARMUPS),
    shape_parameter=_checks.optional(_checks.positive),
)
def with_warmup(
    step: Any,
    schedule: Any,
    steps: Numeric,
    init_value: Numeric = 0.0,
    shape: str = 'linear',
    shape_parameter: Numeric | None = None,
):
  """Puts a warmup in front: `schedule.with_warmup(steps)`.

  Formula:
    rate = init_value + (schedule(0) - init_value) * rise(step / steps)
      for step < steps
    rate = schedule(step - steps)  from then on

    with rise(p) = p for 'linear'; (1 - cos(pi * p)) / 2 for 'cosine';
    1 - sqrt(1 - p) for 'sqrt'; 1 - (1 - p) ** 2 for 'square'; p ** k for
    'power'; (1 - exp(-k * p)) / (1 - exp(-k)) for 'exponential';
    log(1 + k * p) / log(1 + k) for 'log'; 0 for 'constant'

  Args:
    schedule: the policy to reach; a closed-loop one starts after the warmup.
    steps: length of the warmup, a whole number >= 0; 0 leaves the schedule as
      it is. It is added to the schedule's own length. For Adam without tuning,
      `lrax.schedules.untuned_warmup_steps(b2)`.
    init_value: the rate of the first update, a finite number >= 0.
    shape: one of the words above.
    shape_parameter: k, a finite number > 0, for 'power' (None for 2),
      'exponential' (None for 5) and 'log' (None for e - 1).

  Returns:
    A `lrax.Schedule`; before 0 its rate is that of step 0.

  Raises:
    TypeError: `schedule` is no schedule, or a number is no real scalar.
    ValueError: a number is out of range, or `shape` and `shape_parameter` do
      not go together.

  Source:
    Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2 (linear).
    From an `init_value` of 0 the first update does nothing, as in Optax and
    Transformers. For (step + 1) / n of the peak, as in torchtitan, take
    steps = n - 1 and init_value = peak / n; for (step + 1) / (n + 1), as in
    NeMo, steps = n and init_value = peak / (n + 1). Ma and Yarats, "On the
    adequacy of untuned warmup for adaptive optimization", 2021, let
    'exponential' go on for ever; here it ends on the peak.

  Example:
    >>> import lrax
    >>> policy = lrax.constant(1.0).with_warmup(4)
    >>> [float(policy(t)) for t in (0, 1, 4, 100)]
    [0.0, 0.25, 1.0, 1.0]
  """
  started = step >= steps
  # The peak, the rate at the schedule's step 0, until it has started.
  rate = schedule(_progress.since(step, steps), started)
  done, left = _progress.elapsed(step, steps), _progress.remaining(step, steps)
  done, left = _shapes.warmup(shape, shape_parameter, done, left)
  return _wide.where(started, rate, _progress.between(init_value, rate, done, left))
