"""Decay by the square root of the time, after a warmup."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide


def _some_timescale(owner: str, *, warmup_steps: Any, timescale_steps: Any, **_: Any):
  if timescale_steps is None and isinstance(warmup_steps, int) and warmup_steps == 0:
    raise _checks.refuse(
        owner, 'timescale_steps', 'given where `warmup_steps` is 0', None,
        'the decay has no scale of time else',
    )


@_schedule.formula(
    together=_some_timescale,
    timescale_steps=_checks.optional(_checks.positive_steps),
)
def inverse_sqrt(
    step: Any,
    peak_value: Numeric,
    warmup_steps: Numeric,
    timescale_steps: Numeric | None = None,
    init_value: Numeric = 0.0,
):
  """A linear warmup, then decay by the inverse of the root of the time.

  Formula:
    rate = init_value + (peak_value - init_value) * step / warmup_steps
      for step < warmup_steps
    rate = peak_value * sqrt(s / (s + step - warmup_steps))  from then on

    with s = timescale_steps, or s = warmup_steps where that is None: then it
    is peak_value * sqrt(warmup_steps / step)

  Args:
    peak_value: the highest rate, a finite number >= 0.
    warmup_steps: length of the warmup, a whole number >= 0, at least 1 where
      `timescale_steps` is None; traced, 0 counts as 1 there.
    timescale_steps: s, a whole number >= 1: in 3 s steps the rate halves.
    init_value: the rate at step 0, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0, and falls for ever.

  Raises:
    TypeError: an argument is no real scalar.
    ValueError: an argument is out of range, or there is no scale of time.

  Source:
    Vaswani et al., "Attention Is All You Need", 2017, equation 3, scaled to
    its peak, as in Megatron, fairseq and NeMo; with a timescale as in
    Transformers' `get_inverse_sqrt_schedule` and Big Vision.

  Example:
    >>> import lrax
    >>> policy = lrax.inverse_sqrt(1.0, warmup_steps=4)
    >>> [float(policy(t)) for t in (0, 2, 4, 16, 64)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
  """
  scale = warmup_steps if timescale_steps is None else timescale_steps
  scale = _wide.namespace(scale).maximum(scale, 1)
  local = _progress.since(step, warmup_steps)
  # The whole numbers may add up to more than an int32 holds.
  share = _wide.whole(scale) / (_wide.whole(scale) + _wide.whole(local))
  warming = _progress.warming(step, warmup_steps, init_value, peak_value)
  falling = _wide.sqrt(share) * peak_value
  return _wide.where(step < warmup_steps, warming, falling)
