"""How long a schedule is, and where it changes: what a figure has to show."""

from __future__ import annotations

from collections.abc import Sequence
import itertools
from typing import Any

import numpy as np

from lrax import _evaluate
from lrax import _policy
from lrax import _types

# Rounds that are shown of what repeats, or decays, for ever.
_ROUNDS = 4
# Steps that are shown of what never changes.
_UNCHANGING = 100
# Lengths that count back from the end, and those of what comes again and again.
_AT_THE_END = {'cooldown_steps', 'decay_steps'}
_REPEATED = {'cycle_steps', 'decay_steps', 'up_steps'}
# Changes that are kept of one expression, and a step later than any.
_MOST, _LATEST = 1000, 2**62


def length(schedules: Sequence[_policy.Schedule]) -> int:
  """The last step at which one of them changes; some rounds of an endless one."""
  last = max(max(changes(schedule)) for schedule in schedules)
  return min(last, _types.MAX_STEP - 1) or _UNCHANGING


def steps_to_show(
    schedules: Sequence[_policy.Schedule], last: int, most: int
) -> np.ndarray:
  """Every step up to `last`; if these are more than `most`, a part of them.

  The part is evenly spaced, and holds both ends, and the steps at which the
  schedules change and those just before them.
  """
  if last < most:
    return np.arange(last + 1)
  even = np.linspace(0, last, most).astype(np.int64)
  found = [step for one in schedules for step in changes(one) if 0 < step <= last]
  return np.unique([*even, *found, *(step - 1 for step in found)])


def changes(schedule: _policy.Schedule) -> list[int]:
  """The steps at which the expression passes on from one part to the next.

  They are read off the arguments: `steps` is a whole length, `…_steps` are the
  lengths of parts, and the combinations move and repeat the steps of what they
  are made of. In rising order; 0 is always there.
  """
  found = {0, *(round(min(s, _LATEST)) for s in _unsorted(schedule) if s > 0)}
  steps = sorted(found)
  return steps if len(steps) <= _MOST else [*steps[: _MOST - 1], steps[-1]]


def _unsorted(schedule: _policy.Schedule) -> Any:
  arguments = _evaluate.as_numbers(schedule.arguments)
  inner = arguments.get('schedule')
  inside = changes(inner) if isinstance(inner, _policy.Schedule) else []
  match schedule.constructor.__name__, arguments:
    case 'with_warmup' | 'shift', {'steps': steps}:
      return [steps, *(steps + step for step in inside)]
    case ('every', {'steps': factor}) | ('stretch', {'factor': factor}):
      return [factor * step for step in inside]
    case 'cooldown', {'at': at, 'steps': steps}:
      return [*_before(at, inside), at, at + steps]
    case 'then', {'at': at, 'following': following}:
      return [*_before(at, inside), at, *(at + s for s in changes(following))]
    case 'join', {'boundaries': boundaries, 'schedules': parts}:
      return _joined(parts, boundaries)
    case 'repeat', {'steps': steps, 'times': times}:
      rounds = times or _ROUNDS
      starts = [i * steps for i in range(min(rounds, _MOST))]
      inside = _before(steps, inside)[:20]
      return [start + s for start in starts for s in inside] + [rounds * steps]
  parts = [value for value in arguments.values() if isinstance(value, _policy.Schedule)]
  if parts:
    return [step for part in parts for step in changes(part)]
  return _of_formula(schedule, arguments)


def _before(end: Any, steps: Sequence[Any]) -> list[Any]:
  return [step for step in steps if step < end]


def _joined(parts: Sequence[_policy.Schedule], boundaries: Sequence[Any]) -> list[Any]:
  found = []
  for part, start, end in zip(parts, (0, *boundaries), (*boundaries, np.inf)):
    found += [start, *_before(end, [start + step for step in changes(part)])]
  return found


def _of_formula(schedule: _policy.Schedule, arguments: Any) -> list[Any]:
  """The ends of a formula's phases, by the names that its arguments have."""
  lengths = {
      name: value
      for name, value in arguments.items()
      if name.endswith('_steps') and value is not None
  }
  if arguments.get('steps') is not None:
    steps = arguments['steps']
    return [steps - v if n in _AT_THE_END else v for n, v in lengths.items()] + [steps]
  if arguments.get('boundaries') is not None:
    ends, early = arguments['boundaries'], lengths.pop('decay_steps', 0)
    return [*lengths.values(), *ends, *(end - early for end in ends)]
  if 'anneal_at' in arguments:
    at, anneal = arguments['anneal_at'], lengths.pop('anneal_steps')
    ends = list(itertools.accumulate(lengths.values()))
    return ends + ([2 * ends[-1]] if at is None else [at, at + anneal])
  ends = list(itertools.accumulate(lengths.values()))
  if not ends:
    return []
  rounds = arguments.get('cycles') or _ROUNDS
  if 'decay_steps' in arguments:
    rounds = _rounds_of_decay(schedule, ends[-1])
  last = rounds * ends[-1]
  if not arguments.get('staircase', True):  # a stairway without stairs
    return [last]
  if lengths.keys() & _REPEATED:
    ends += [i * ends[-1] for i in range(1, min(rounds, _MOST))]
  return [*ends, last]


def _rounds_of_decay(schedule: _policy.Schedule, steps: int) -> int:
  """How many rounds of so many steps until a tenth of the rate is left, or more."""
  rounds, end = _ROUNDS, float(schedule(0)) / 10
  while rounds < _MOST and float(schedule(min(rounds * steps, _types.MAX_STEP))) > end:
    rounds *= 2
  return rounds
