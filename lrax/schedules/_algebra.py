"""Schedules made of schedules.

A combination is one formula over its parts. A part is called as
`part(step, active)`: it gives its rate at that step, and if it is closed loop
it remembers what it saw where `active` is true. So one formula serves open and
closed loop alike.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import chex
import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.schedules import _from_function
from lrax.schedules import _progress
from lrax.schedules import _schedule


class Part:
  """A schedule inside a combination, with its share of the memory."""

  def __init__(self, schedule: _types.Schedule, memory: Any, signals: Any):
    self.schedule = schedule
    self.memory = memory
    self._signals = signals

  def __call__(self, step: jax.Array, active: Any = True) -> jax.Array:
    """The rate at the part's own `step`; it remembers where `active`."""
    rule, arguments = self.schedule.rule, self.schedule.arguments
    if self._signals is None and self.schedule.closed_loop:
      return rule.start(arguments)[0]
    rate, memory = _types.decide(
        rule, arguments, step, self.memory, self._signals
    )
    keep = lambda new, old: jnp.where(active, new, old)
    self.memory = jax.tree.map(keep, memory, self.memory)
    return rate


class Combination(NamedTuple):
  """The rule of a formula `(step, **arguments)` over parts."""

  formula: Callable[..., Any]
  show: Callable[[_types.Schedule], str]

  def closed_loop(self, arguments: Mapping[str, Any]) -> bool:
    return any(part.closed_loop for part in _parts(arguments))

  def start(self, arguments: Mapping[str, Any]) -> tuple[Any, chex.ArrayTree]:
    memory = ()
    if self.closed_loop(arguments):
      memory = tuple(p.rule.start(p.arguments)[1] for p in _parts(arguments))
    step = _types.as_step('start', 0)
    return _types.decide(self, arguments, step, memory, None)[0], memory

  def decide(
      self,
      arguments: Mapping[str, Any],
      step: jax.Array,
      memory: chex.ArrayTree,
      signals: _types.Signals | None,
  ) -> tuple[Any, chex.ArrayTree]:
    schedules = _parts(arguments)
    closed = self.closed_loop(arguments)
    memories: Any = memory if closed else ((),) * len(schedules)
    parts = [Part(s, m, signals) for s, m in zip(schedules, memories)]
    remaining = iter(parts)
    ready = {k: _replace_parts(v, remaining) for k, v in arguments.items()}
    rate = self.formula(step, **ready)
    return rate, tuple(part.memory for part in parts) if closed else memory


def _parts(arguments: Mapping[str, Any]) -> list[_types.Schedule]:
  """The schedules among the arguments, in order."""
  is_schedule = lambda x: isinstance(x, _types.Schedule)
  values = list(arguments.values())
  return [x for x in jax.tree.leaves(values, is_leaf=is_schedule) if is_schedule(x)]


def _replace_parts(value: Any, parts: Any) -> Any:
  """The argument with each schedule replaced by the next part."""
  if isinstance(value, _types.Schedule):
    return next(parts)
  if isinstance(value, tuple):
    return tuple(_replace_parts(v, parts) for v in value)
  return value


def combination(
    show: Callable[[_types.Schedule], str] = _types.show_call,
    together: Callable[..., None] | None = None,
    **checks: _checks.Check,
) -> Callable[[Callable[..., Any]], Callable[..., _types.Schedule]]:
  """Turns a formula over parts into a constructor, as `schedule` does."""

  def decorate(formula: Callable[..., Any]) -> Callable[..., _types.Schedule]:
    rule = Combination(formula, show)
    return _schedule.constructor(formula, rule, 1, checks, together)

  return decorate


def _part(owner: str, name: str, value: Any) -> _types.Schedule:
  """A check for one part: a schedule, or a function of the step."""
  if isinstance(value, _types.Schedule):
    return value
  if callable(value):
    return _from_function.from_function(value)
  raise _checks.refuse(
      owner, name, 'a schedule', value,
      'wrap a number as lrax.constant(number)', TypeError,
  )


def _part_or_number(owner: str, name: str, value: Any) -> Any:
  """A check for a part or a number that stands for a constant."""
  if callable(value):
    return _part(owner, name, value)
  return _checks.non_negative(owner, name, value)


def _at(part: Any, step: jax.Array) -> Any:
  return part(step) if isinstance(part, Part) else part


def _wrapped(schedule: Any, operators: tuple[str, ...]) -> str:
  """The expression, in brackets where it is one of these operators."""
  text = repr(schedule)
  if isinstance(schedule, _types.Schedule):
    if schedule.constructor.__name__ in operators:
      return f'({text})'
  return '<traced>' if isinstance(schedule, Tracer) else text


def _show_product(schedule: _types.Schedule) -> str:
  left, right = schedule.arguments.values()
  # Products group from the left, so only a product on the right needs brackets.
  return f"{_wrapped(left, ('sum',))} * {_wrapped(right, ('sum', 'product'))}"


def _show_sum(schedule: _types.Schedule) -> str:
  left, right = schedule.arguments.values()
  return f"{_wrapped(left, ())} + {_wrapped(right, ('sum',))}"


def _show_method(schedule: _types.Schedule) -> str:
  inner = _wrapped(schedule.arguments['schedule'], ('sum', 'product'))
  return f"{inner}.{_types.show_call(schedule, skip=('schedule',))}"


@combination(_show_product, left=_part_or_number, right=_part_or_number)
def product(step: jax.Array, left: Any, right: Any):
  """The product of two policies, or of a policy and a number: `left * right`.

  Formula:
    rate = left(step) * right(step)

  Args:
    left: a `lrax.Schedule`, a function of the step, or a finite number >= 0.
    right: the same.

  Returns:
    A `lrax.Schedule`, closed loop where a factor is; each factor sees every
    step.

  Raises:
    TypeError: a factor is none of these.
    ValueError: a number is negative or not finite.

  Source:
    The pointwise product; PyTorch's `ChainedScheduler` multiplies likewise.

  Example:
    >>> import lrax
    >>> policy = 0.5 * lrax.constant(0.5)
    >>> policy, float(policy(0))
    (0.5 * constant(0.5), 0.25)
  """
  return _at(left, step) * _at(right, step)


@combination(_show_sum, left=_part_or_number, right=_part_or_number)
def sum(step: jax.Array, left: Any, right: Any):  # pylint: disable=redefined-builtin
  """The sum of two policies, or of a policy and a number: `left + right`.

  Formula:
    rate = left(step) + right(step)

  Args:
    left: a `lrax.Schedule`, a function of the step, or a finite number >= 0.
    right: the same.

  Returns:
    A `lrax.Schedule`, closed loop where a term is; each term sees every step.

  Raises:
    TypeError: a term is none of these.
    ValueError: a number is negative or not finite.

  Source:
    The pointwise sum.

  Example:
    >>> import lrax
    >>> policy = lrax.linear(1.0, 0.0, steps=4) + 0.25
    >>> float(policy(4))
    0.25
  """
  return _at(left, step) + _at(right, step)


@combination(_show_method, schedule=_part, steps=_checks.steps)
def with_warmup(
    step: jax.Array,
    schedule: Any,
    steps: Numeric,
    init_value: Numeric = 0.0,
):
  """Puts a linear warmup in front: `schedule.with_warmup(steps)`.

  Formula:
    rate = init_value + (schedule(0) - init_value) * step / steps  for step < steps
    rate = schedule(step - steps)                                  from then on

  Args:
    schedule: the policy to reach; a closed-loop one starts after the warmup.
    steps: length of the warmup, a whole number >= 0; 0 leaves the schedule as
      it is. It is added to the schedule's own length.
    init_value: the rate of the first update, a finite number >= 0.

  Returns:
    A `lrax.Schedule`; before 0 its rate is that of step 0.

  Raises:
    TypeError: `schedule` is no schedule, or a number is no real scalar.
    ValueError: a number is out of range.

  Source:
    Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2. From an
    `init_value` of 0 the first update does nothing, as in Optax and
    Transformers; torchtitan starts at 1 / steps of the peak and NeMo at
    1 / (steps + 1): pass that rate as `init_value`.

  Example:
    >>> import lrax
    >>> policy = lrax.constant(1.0).with_warmup(4)
    >>> [float(policy(t)) for t in (0, 1, 4, 100)]
    [0.0, 0.25, 1.0, 1.0]
  """
  peak = schedule(jnp.zeros_like(step), False)
  left = _progress.remaining(step, steps)
  warming = init_value * left + peak * _progress.elapsed(step, steps)
  return jnp.where(step < steps, warming, schedule(step - steps, step >= steps))


def _schedules(owner: str, name: str, value: Any) -> tuple[_types.Schedule, ...]:
  if isinstance(value, _types.Schedule) or not isinstance(value, Sequence):
    raise _checks.refuse(
        owner, name, 'a list of schedules', value,
        'put even a single one in a list', TypeError,
    )
  if not value:
    raise _checks.refuse(
        owner, name, 'a list of at least one schedule', value, 'pass one'
    )
  return tuple(
      _part(owner, f'{name}[{i}]', part) for i, part in enumerate(value)
  )


def _boundaries(owner: str, name: str, value: Any) -> tuple[Any, ...]:
  if isinstance(value, (np.ndarray, jax.Array)) and np.ndim(value) == 1:
    value = list(value)
  if not isinstance(value, Sequence) or isinstance(value, str):
    raise _checks.refuse(
        owner, name, 'a list of steps', value, 'one for each change', TypeError
    )
  steps = tuple(
      _checks.steps(owner, f'{name}[{i}]', v) for i, v in enumerate(value)
  )
  known = [s for s in steps if not isinstance(s, Tracer)]
  if any(a > b for a, b in zip(known, known[1:])):
    raise _checks.refuse(
        owner, name, 'in rising order', list(value),
        'each one is counted from the very start, not from the last one',
    )
  return steps


def _one_each(owner: str, *, schedules: Any, boundaries: Any) -> None:
  if len(boundaries) != len(schedules) - 1:
    raise _checks.refuse(
        owner, 'boundaries',
        f'one fewer than the {len(schedules)} schedules',
        list(boundaries), 'give one step for each change of schedule',
    )


@combination(together=_one_each, schedules=_schedules, boundaries=_boundaries)
def join(
    step: jax.Array,
    schedules: Sequence[Any],
    boundaries: Sequence[Numeric],
):
  """Follows one schedule after another; each counts its steps from its start.

  Formula:
    with start_0 = 0 and start_i = boundaries[i - 1], and i the last segment
    that has started, rate = schedules[i](step - start_i)

  Args:
    schedules: the policies in turn, at least one; numbers go in as
      `lrax.constant(number)`.
    boundaries: the steps at which the next one starts, whole numbers >= 0 in
      rising order, one fewer than the schedules. Two equal ones leave a
      segment of no length, which is skipped.

  Returns:
    A `lrax.Schedule`; a closed-loop part decides and remembers only within
    its own segment. Every part is evaluated within its own segment only, so
    gradients with respect to hyperparameters stay finite.

  Raises:
    TypeError: a part is no schedule, or a boundary no whole number.
    ValueError: the boundaries fall, or there are too few or too many.

  Source:
    The same as `optax.join_schedules(schedules, boundaries)`, which drops
    segments silently where boundaries are missing or out of order.

  Example:
    >>> import lrax
    >>> policy = lrax.join(
    ...     [lrax.constant(1.0), lrax.linear(1.0, 0.0, steps=4)], [10])
    >>> [float(policy(t)) for t in (9, 10, 12, 14)]
    [1.0, 1.0, 0.5, 0.0]
  """
  starts = (0, *boundaries)
  ends = (*boundaries, None)
  rate = jnp.zeros(step.shape, _types.rate_dtype())
  for part, start, end in zip(schedules, starts, ends):
    started = step >= start
    active = started if end is None else started & (step < end)
    local = jnp.maximum(step - start, 0)
    if end is not None:
      local = jnp.minimum(local, end - start)
    rate = jnp.where(started, part(local, active), rate)
  return rate


# Names for `from_dict`: every constructor of this file.
COMBINATIONS = {f.__name__: f for f in (product, sum, with_warmup, join)}
