"""A schedule inside a formula, and how such formulas become constructors.

A combination is one formula over its parts. A part is called as
`part(step, active)`: it gives its rate at that step, and if it is closed loop
it remembers what it saw where `active` is true. So one formula serves open and
closed loop alike.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import chex
import jax
from jax.core import Tracer
import numpy as np

from lrax import _call
from lrax import _checks
from lrax import _evaluate
from lrax import _policy
from lrax import _types
from lrax.schedules import _from_function
from lrax.schedules import _schedule
from lrax.schedules import _wide


class Part:
  """A schedule inside a combination, with its share of the memory."""

  def __init__(self, schedule: _policy.Schedule, memory: Any, signals: Any):
    self.schedule = schedule
    self.memory = memory
    self._signals = signals

  def __call__(self, step: Any, active: Any = True) -> Any:
    """The rate at the part's own `step`; it remembers where `active`.

    Where it is not active, a closed-loop part gives the rate it gave last.
    """
    rule, arguments = self.schedule.rule, self.schedule.arguments
    if self._signals is None and self.schedule.closed_loop:
      return rule.start(arguments)[0]
    signals = self._signals
    if signals is not None and active is not True:
      signals = signals._replace(active=signals.active & active)
    rate, self.memory = _evaluate.decide(rule, arguments, step, self.memory, signals)
    return rate


class Combination(NamedTuple):
  """The rule of a formula `(step, **arguments)` over parts."""

  formula: Callable[..., Any]
  show: Callable[[_policy.Schedule], str]

  def closed_loop(self, arguments: Mapping[str, Any]) -> bool:
    return any(part.closed_loop for part in parts_of(arguments))

  def start(
      self, arguments: Mapping[str, Any], params: chex.ArrayTree | None = None
  ) -> tuple[Any, chex.ArrayTree]:
    memory = ()
    if self.closed_loop(arguments):
      memory = tuple(p.rule.start(p.arguments, params)[1] for p in parts_of(arguments))
    step = np.zeros((), np.int32)
    return _evaluate.decide(self, arguments, step, memory, None)[0], memory

  def decide(
      self,
      arguments: Mapping[str, Any],
      step: jax.Array,
      memory: chex.ArrayTree,
      signals: _types.Signals | None,
  ) -> tuple[Any, chex.ArrayTree]:
    schedules = parts_of(arguments)
    closed = self.closed_loop(arguments)
    memories: Any = memory if closed else ((),) * len(schedules)
    parts = [Part(s, m, signals) for s, m in zip(schedules, memories)]
    remaining = iter(parts)
    numbers = _evaluate.as_numbers(arguments)
    ready = {k: _replace_parts(v, remaining) for k, v in numbers.items()}
    with _wide.precision(arguments):
      rate = self.formula(step, **ready)
    return rate, tuple(part.memory for part in parts) if closed else memory


def parts_of(arguments: Mapping[str, Any]) -> list[_policy.Schedule]:
  """The schedules among the arguments, in order."""
  is_schedule = lambda x: isinstance(x, _policy.Schedule)
  values = list(arguments.values())
  return [x for x in jax.tree.leaves(values, is_leaf=is_schedule) if is_schedule(x)]


def _replace_parts(value: Any, parts: Any) -> Any:
  """The argument with each schedule replaced by the next part."""
  if isinstance(value, _policy.Schedule):
    return next(parts)
  if isinstance(value, tuple):
    return tuple(_replace_parts(v, parts) for v in value)
  return value


def combination(
    show: Callable[[_policy.Schedule], str] = _call.show_call,
    together: Callable[..., None] | None = None,
    **checks: _checks.Check,
) -> Callable[[Callable[..., Any]], Callable[..., _policy.Schedule]]:
  """Turns a formula over parts into a constructor, as `schedule` does."""

  def decorate(formula: Callable[..., Any]) -> Callable[..., _policy.Schedule]:
    rule = Combination(formula, show)
    return _schedule.constructor(formula, rule, 1, checks, together)

  return decorate


def part(owner: str, name: str, value: Any) -> _policy.Schedule:
  """A check for one part: a schedule, or a function of the step."""
  if isinstance(value, _policy.Schedule):
    return value
  if callable(value):
    return _from_function.from_function(value)
  raise _checks.refuse(
      owner, name, 'a schedule', value,
      'wrap a number as lrax.constant(number)', TypeError,
  )


def part_or_number(owner: str, name: str, value: Any) -> Any:
  """A check for a part or a number that stands for a constant."""
  if callable(value):
    return part(owner, name, value)
  return _checks.non_negative(owner, name, value)


def at(part: Any, step: jax.Array) -> Any:
  return part(step) if isinstance(part, Part) else part


def wrapped(schedule: Any, operators: tuple[str, ...]) -> str:
  """The expression, in brackets where it is one of these operators."""
  text = repr(schedule)
  if isinstance(schedule, _policy.Schedule):
    if schedule.constructor.__name__ in operators:
      return f'({text})'
  return '<traced>' if isinstance(schedule, Tracer) else text


def show_method(schedule: _policy.Schedule) -> str:
  inner = wrapped(schedule.arguments['schedule'], ('sum', 'product'))
  return f"{inner}.{_call.show_call(schedule, skip=('schedule',))}"
