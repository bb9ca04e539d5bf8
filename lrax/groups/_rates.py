"""What a group may be given: a factor, a schedule, or nothing until a step."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

from lrax import _checks
from lrax import _policy
from lrax._types import Numeric
from lrax.schedules import as_schedule


class Frozen:
  """A group that is not trained: no state, and updates of exactly zero."""

  def __repr__(self) -> str:
    return 'frozen'

  def __reduce__(self) -> str:
    return 'frozen'


frozen = Frozen()


class Rate(NamedTuple):
  """The rate of one group that is trained."""

  factor: Any = 1.0  # of the shared rate
  policy: _policy.Schedule | None = None  # instead of the shared rate
  start: Any = 0  # the update from which on it is trained

  def __repr__(self) -> str:
    shown = repr(self.factor) if self.policy is None else repr(self.policy)
    known_zero = isinstance(self.start, int) and not self.start
    return shown if known_zero else f'unfrozen_at({self.start!r}, {shown})'


def is_shared(rate: Rate) -> bool:
  """Whether it is known to be the shared rate, from the first update on."""
  known = isinstance(rate.factor, (int, float)) and isinstance(rate.start, int)
  return known and rate == Rate()


def unfrozen_at(step: Numeric, rate: Any = 1.0) -> Rate:
  """Freezes a group until a step, and gives it a rate from there on.

  Formula:
    rate = 0 for updates before step, else the group's rate

  While it waits, updates are exactly zero, weight decay included, and the rate is
  shown as 0. Its moments are there from the start and gather the gradients that
  come, so that the bias correction, whose count all groups share, is right when
  it is unfrozen. Gradients that are not finite count as 0 meanwhile.

  Args:
    step: the first update that changes the group, a whole number >= 0, counted
      from `init`: `lrax.restart_schedule` does not move it.
    rate: a factor of the shared rate, or a schedule, as in `param_groups`.

  Returns:
    What `param_groups` takes for a rate.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Howard and Ruder, "Universal Language Model Fine-tuning for Text
    Classification", 2018, section 3.3, gradual unfreezing.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> rules = [('head', 1.0), ('body', lrax.groups.unfrozen_at(1, 0.5))]
    >>> tx = lrax.groups.param_groups(rules, lrax.sgd(0.5))
    >>> params = {'body': jnp.ones(()), 'head': jnp.ones(())}
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['body']), float(updates['head'])
    (0.0, -0.5)
    >>> updates, state = tx.update(params, state, params)
    >>> float(updates['body']), float(updates['head'])
    (-0.25, -0.5)
  """
  step = _checks.steps('unfrozen_at', 'step', step)
  if isinstance(rate, (Frozen, Rate)):
    raise _checks.refuse(
        'unfrozen_at', 'rate', 'a factor or a schedule', rate,
        'leave it out for the shared rate', TypeError,
    )
  return as_rate('unfrozen_at', 'rate', rate)._replace(start=step)


def as_rate(owner: str, name: str, value: Any) -> Any:
  """A `Rate`, or `frozen`, from what a user gives."""
  if isinstance(value, (Frozen, Rate)):
    return value
  if isinstance(value, _policy.Schedule) or callable(value):
    return Rate(policy=as_schedule(value, owner))
  check = _checks.number(
      'a factor >= 0, a schedule, unfrozen_at(step), or frozen',
      lambda x: x >= 0,
      'a number multiplies the shared rate; for a constant rate of its own pass'
      ' lrax.constant(...)',
  )
  return Rate(factor=check(owner, name, value))
