"""A schedule learned by gradients through whole training runs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from lrax import _checks
from lrax import _policy
from lrax import schedules
from lrax import tasks
from lrax.tune import _coordinates
from lrax.tune import _engine
from lrax.tune import _judged
from lrax.tune import _meta_descent
from lrax.tune import _optimizer
from lrax.tune import _plain
from lrax.tune import _range_test
from lrax.tune import _unrolled

_FRESH = 5  # seeds to judge on that nothing was chosen by

_knots = _checks.number(
    'a whole number >= 2', lambda x: x >= 2, 'there is one at either end', whole=True
)


@dataclasses.dataclass(frozen=True, eq=False)
class LearnedSchedule:
  """A learned schedule, how it was learned, and what it is worth.

  Attributes:
    schedule: the schedule, that of the best meta-step; its rates are rounded to
      four digits.
    task: the task's name.
    optimizer: the optimizer, as text.
    steps: updates of each run.
    knots: the steps of the knots; the last one is `steps`.
    history: what each meta-step saw, a `MetaStep`, in order.
    seeds: those it was learned on.
    fresh_seeds: those it was judged on.
    learned: the schedule on the fresh seeds.
    start: the constant rate that it started from, on them.
    constant: the best constant rate, on them; chosen as the schedule was, on
      the same seeds, from at most `meta_steps` rates.
    constants: the constant rates that were tried, and their losses on `seeds`.
    steps_spent: updates of all runs together.
    verdict: all this in plain words.
  """

  schedule: _policy.Schedule
  task: str
  optimizer: str
  steps: int
  knots: tuple[int, ...]
  history: tuple[_meta_descent.MetaStep, ...]
  seeds: tuple[int, ...]
  fresh_seeds: tuple[int, ...]
  learned: _judged.Judged
  start: _judged.Judged
  constant: _judged.Judged
  constants: tuple[tuple[float, float], ...]
  steps_spent: int
  verdict: str

  def __str__(self) -> str:
    return self.verdict

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; NaN as None, so that it is valid JSON."""
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    fields['schedule'] = self.schedule.to_dict()
    fields['history'] = [
        step._asdict() | {'warnings': [caution._asdict() for caution in step.warnings]}
        for step in self.history
    ]
    for name in ('learned', 'start', 'constant'):
      judged = fields[name]
      fields[name] = {'schedule': judged.schedule.to_dict(), 'losses': judged.losses}
    return {name: _plain.plain(value) for name, value in fields.items()}


def learned_schedule(
    task: tasks.Task,
    optimizer: Any = 'adamw',
    *,
    knots: int = 8,
    steps: int | None = None,
    init_value: float = 1e-3,
    meta_steps: int = 30,
    meta_rate: float = 0.3,
    seeds: Sequence[int] | int = 2,
    on_step: Callable[[_meta_descent.MetaStep], None] | None = None,
) -> LearnedSchedule:
  """Learns a schedule for a task, by the gradient of the loss after training.

  The schedule is straight lines between rates at evenly spaced knots. From a
  constant, Rprop moves the logarithms of these rates by the signs of the
  derivatives of the validation loss after a whole run, which are carried forwards
  with the run as by `hypergradient`. Memory does not grow with the steps; a
  meta-step takes about as long as `knots` plain runs a seed.

  Where training becomes so unstable that derivatives say nothing, it goes back to
  the best place before and takes half the step. The schedule with the lowest loss
  seen is returned, and is judged on five seeds that it was not learned on, against
  the start and against the best constant rate.

  It fits this task, optimizer and number of steps. A rate that pays off only after
  the last step is not learned, so learn over the steps that you mean to train.

  Formula:
    schedule = piecewise_interpolate(exp(logs), evenly spaced boundaries)
    logs -= length * sign(mean over seeds of d validation_loss / d logs)
    where, for each knot, length *= 1.2 if its sign is as before, up to 0.7, and
    length *= 0.5 if it turned, whereupon the knot rests for a step

  Args:
    task: what to train.
    optimizer: a function of the rate that returns an optimizer, such as
      `lrax.adamw`, or a text such as 'sgd(momentum=0.9)'; one with an `eps_root`
      of 0 is given 1e-30, see `hypergradient`.
    knots: how many rates to learn, a whole number from 2 to `steps` + 1.
    steps: updates of each run; None for the task's.
    init_value: the constant rate to start from, > 0; better too small than too
      large.
    meta_steps: how many schedules to try at most, a whole number >= 1; it ends
      sooner where every length is below a sixteenth of `meta_rate`.
    meta_rate: the length of the first meta-step, of the logarithm of each rate, > 0.
    seeds: the seeds to learn on, or how many.
    on_step: called with a `MetaStep` after each.

  Returns:
    A `LearnedSchedule`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Forward-mode derivatives: Franceschi et al., "Forward and Reverse
    Gradient-Based Hyperparameter Optimization", 2017. Rprop, in its form without
    backtracking: Igel and Huesken, "Improving the Rprop Learning Algorithm", 2000,
    "iRprop-"; the original starts at 0.1 and goes up to 50. Schedules by gradients:
    Maclaurin et al., "Gradient-based Hyperparameter Optimization through
    Reversible Learning", 2015; Micaelli and Storkey, "Gradient-based
    Hyperparameter Optimization Over Long Horizons", 2021, who also share rates
    among neighbouring steps.

  Example:
    >>> import lrax
    >>> learned = lrax.tune.learned_schedule(
    ...     lrax.tasks.digits(), 'sgd', steps=30, knots=3, init_value=0.05,
    ...     meta_steps=6)
    >>> learned.learned.validation_loss < learned.start.validation_loss
    True
  """
  owner = 'learned_schedule'
  if not isinstance(task, tasks.Task):
    raise _checks.refuse(
        owner, 'task', 'a lrax.tasks.Task', task,
        'build one, or take lrax.tasks.load("digits")', TypeError,
    )
  count = int(_knots(owner, 'knots', knots))
  length = task.steps
  if steps is not None:
    length = int(_checks.positive_steps(owner, 'steps', steps))
  if count > length + 1:
    raise _checks.refuse(
        owner, 'knots', f'at most one more than the {length} steps', count,
        'each is at a step of its own',
    )
  init_value = float(_checks.positive(owner, 'init_value', init_value))
  meta_steps = int(_checks.positive_steps(owner, 'meta_steps', meta_steps))
  meta_rate = float(_checks.positive(owner, 'meta_rate', meta_rate))
  numbers = _range_test.as_seeds(seeds, owner)
  make = _coordinates.smooth(_optimizer.as_optimizer(optimizer, owner))

  form = _meta_descent.Knots(count, length)
  unrolled = _unrolled.Unrolled(task, make, length, form.table)
  logs = np.full(count, np.log(init_value))
  history = []
  for step in _meta_descent.descend(
      unrolled.run, logs, meta_steps, meta_rate, numbers
  ):
    history.append(step)
    if on_step is not None:
      on_step(step)
  best = min(history, key=lambda step: np.nan_to_num(step.validation_loss, nan=np.inf))
  learned = form.schedule([float(f'{value:.4g}') for value in best.values])

  engine = _engine.Engine(task, make, length)
  constants = _judged.search(engine, init_value, meta_steps, numbers)
  constant = schedules.constant(min(constants, key=lambda rate: constants[rate]))
  start = schedules.constant(init_value)
  fresh = tuple(range(max(numbers) + 1, max(numbers) + 1 + _FRESH))
  policies = [learned, start, constant]
  losses = _judged.losses(engine, policies, fresh)
  judged = [_judged.Judged(*pair) for pair in zip(policies, losses)]
  result = LearnedSchedule(
      schedule=learned,
      task=task.name,
      optimizer=_optimizer.name_of(optimizer),
      steps=length,
      knots=(0, *form.boundaries),
      history=tuple(history),
      seeds=numbers,
      fresh_seeds=fresh,
      learned=judged[0],
      start=judged[1],
      constant=judged[2],
      constants=tuple(sorted(constants.items())),
      steps_spent=len(history) * len(numbers) * length + engine.updates,
      verdict='',
  )
  return dataclasses.replace(result, verdict=_verdict(result))


def _verdict(result: LearnedSchedule) -> str:
  learned, start, constant = result.learned, result.start, result.constant
  said = [
      f'Learned for {result.steps} steps of {result.optimizer} on {result.task} in'
      f' {len(result.history)} meta-steps: validation loss'
      f' {learned.validation_loss:.4g}, mean of {_FRESH} seeds that it was not'
      ' learned on.'
  ]
  if not np.isfinite(learned.validation_loss):
    return ' '.join(said + ['It diverged: start from a smaller init_value.'])
  for other, name in ((start, 'start'), (constant, 'best constant')):
    rate = float(other.schedule(0))
    if not np.isfinite(other.validation_loss):
      said.append(f'The {name}, {rate:.4g}, diverged.')
      continue
    gain, error = learned.less(other)
    said.append(
        f"{abs(gain):.2g} (+-{2 * error:.2g}) {'more' if gain < 0 else 'less'} than"
        f' the {name}, {rate:.4g}, with {other.validation_loss:.4g}.'
    )
    if abs(gain) <= 2 * error:
      said.append('Noise hides the difference.')
  unsteady = sum(not step.trusted for step in result.history)
  if result.history[-1].blocked:
    said.append(f'It was not learned: {result.history[-1].warnings[0].text}')
  elif unsteady:
    said.append(
        f'In {unsteady} meta-steps training was too unstable for derivatives.'
    )
  return ' '.join(said)
