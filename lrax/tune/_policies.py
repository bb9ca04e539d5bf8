"""The schedules that a rate may be the peak of, by name, and the rates they give."""

from __future__ import annotations

from collections.abc import Callable
import inspect
from typing import Any

import numpy as np

from lrax import _checks
from lrax import schedules

Shape = Callable[..., Any]  # (rate, steps, names of its own) -> lrax.Schedule


def _warmed(shape: Callable[[Any, int], Any]) -> Shape:
  """The shape with a linear warmup inside its steps."""

  def policy(rate: Any, steps: int, warmup_fraction: float = 0.0) -> Any:
    share = _checks.share('schedule', 'warmup_fraction', warmup_fraction)
    # One step is left for the shape itself.
    warmup = min(round(share * steps), steps - 1)
    return shape(rate, steps - warmup).with_warmup(warmup)

  return policy


SCHEDULES: dict[str, Shape] = {
    'cosine': _warmed(lambda rate, steps: schedules.cosine_annealing(rate, steps)),
    'linear': _warmed(lambda rate, steps: schedules.linear(rate, 0.0, steps)),
    'constant': _warmed(lambda rate, steps: schedules.constant(rate)),
}


def as_shape(schedule: Any, owner: str) -> Shape:
  """The function (rate, steps) -> schedule that `schedule` stands for.

  Raises:
    TypeError: it is no function and no text.
    ValueError: the text names no schedule.
  """
  if callable(schedule) and not hasattr(schedule, 'init'):
    return schedule
  return SCHEDULES[_checks.choice(*SCHEDULES)(owner, 'schedule', schedule)]


def own_names(shape: Shape) -> set[str]:
  """What a shape takes by name beside the rate and the steps."""
  try:
    parameters = list(inspect.signature(shape).parameters.values())[2:]
  except (TypeError, ValueError):  # a function that does not tell
    return set()
  named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
  return {p.name for p in parameters if p.kind in named}


def rates(shape: Shape, owner: str, rate: float, steps: int, **own: Any) -> np.ndarray:
  """(steps,): the rate of each update under a peak."""
  policy = schedules.as_schedule(shape(rate, steps, **own), owner)
  return np.asarray(policy(np.arange(steps, dtype=np.int32)), np.float64)


def name_of(schedule: Any) -> str:
  """What to call it in a report."""
  from lrax.tune import _optimizer

  return schedule if isinstance(schedule, str) else _optimizer.name_of(schedule)
