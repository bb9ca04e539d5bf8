"""One cycle: up, down, and far down."""

from __future__ import annotations

from typing import Any

from lrax import _checks
from lrax._types import Numeric
from lrax.schedules import _progress
from lrax.schedules import _schedule
from lrax.schedules import _wide

_positive_factor = _checks.number(
    'a finite number >= 1', lambda x: x >= 1, 'the peak is divided by it'
)


def _room_to_fall(owner: str, *, pct_start: Any, three_phase: bool, **_: Any) -> None:
  if three_phase and isinstance(pct_start, float) and pct_start > 0.5:
    raise _checks.refuse(
        owner, 'pct_start', 'at most 0.5 with `three_phase`', pct_start,
        'the second phase is as long as the first',
    )


@_schedule.formula(
    together=_room_to_fall,
    pct_start=_checks.share,
    div_factor=_positive_factor,
    final_div_factor=_positive_factor,
    shape=_checks.choice('cosine', 'linear'),
    final_relative_to=_checks.choice('start', 'peak'),
)
def one_cycle(
    step: Any,
    peak_value: Numeric,
    steps: Numeric,
    pct_start: Numeric = 0.3,
    div_factor: Numeric = 25.0,
    final_div_factor: Numeric = 1e4,
    shape: str = 'cosine',
    three_phase: bool = False,
    final_relative_to: str = 'start',
):
  """One cycle: up to a high rate, down again, and then far below the start.

  Formula:
    start = peak_value / div_factor, up = floor(pct_start * steps)
    final = start / final_div_factor, or peak_value / final_div_factor
    start -> peak_value in `up` steps, then peak_value -> final until `steps`
    with `three_phase`, peak_value -> start in `up` steps, then start -> final
    each -> along a cosine or a line

  Args:
    peak_value: the highest rate, a finite number >= 0.
    steps: the length, a whole number >= 0; of length 0 it is at its end.
    pct_start: the share of the steps that rise, in [0, 1]; up to 0.5 with
      `three_phase`. Where no step is left to rise, it starts at the peak.
    div_factor: the peak over the rate of step 0, a finite number >= 1.
    final_div_factor: what the last rate is divided by, a finite number >= 1.
    shape: 'cosine' or 'linear'.
    three_phase: whether the fall to the start is a phase of its own.
    final_relative_to: what `final_div_factor` divides, the rate at the 'start'
      or at the 'peak'.

  Returns:
    A `lrax.Schedule`; its rate has the rate's dtype and the shape of `step`,
    is that of step 0 before 0 and the last one from `steps` on.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or a word is unknown.

  Source:
    Smith and Topin, "Super-Convergence", 2018, section 3: linear, the falling
    phase as long as the rising one, then several orders of magnitude down,
    which is `three_phase`. The defaults are PyTorch's `OneCycleLR` and Optax's
    `cosine_onecycle_schedule`, final_relative_to='peak' is fastai's. PyTorch
    reaches the end at total_steps - 1, which is `steps` here, and the peak at
    pct_start * total_steps - 1.

  Example:
    >>> import lrax
    >>> policy = lrax.one_cycle(1.0, steps=10, div_factor=4.0, shape='linear')
    >>> [round(float(policy(t)), 6) for t in (0, 3, 10, 11)]
    [0.25, 1.0, 2.5e-05, 2.5e-05]
  """
  up = _progress.part_of(steps, pct_start)
  peak = _wide.exact(peak_value)
  start = peak / _wide.exact(div_factor)
  final = start if final_relative_to == 'start' else peak
  final = final / _wide.exact(final_div_factor)
  down = up + up if three_phase else steps

  # Which phase, where in it, and from which rate to which one it goes.
  (done, left), first, last = _progress.phase(step, 0, up), start, peak
  phases = [(up, down, peak, start if three_phase else final)]
  if three_phase:
    phases.append((down, steps, start, final))
  for begin, end, high, low in phases:
    started = step >= begin
    own_done, own_left = _progress.phase(step, begin, end - begin)
    done = _wide.where(started, own_done, done)
    left = _wide.where(started, own_left, left)
    first = _wide.where(started, high, first)
    last = _wide.where(started, low, last)
  if shape == 'cosine':
    done, left = _wide.half_cosine(done, left)
  return left * first + done * last
