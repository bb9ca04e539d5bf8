"""The verified recommendation: a range test, then a sweep around what it says."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from lrax import _checks
from lrax import tasks
from lrax.tune import _find_runs
from lrax.tune import _objective
from lrax.tune import _optimizer
from lrax.tune import _pick
from lrax.tune import _plain
from lrax.tune import _range_test
from lrax.tune import _verdict


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
  """A recommended rate and the evidence for it.

  Attributes:
    task: the task's name.
    optimizer: the optimizer, as text.
    schedule: what the rate was the peak of, as text.
    learning_rate: the recommendation, one of the rates tried: the smallest
      down to half the best one and within one standard error of its loss, or
      that of what was picked. NaN where no rate trained, or where the rate made
      no difference.
    interval: the lowest and highest rate of `rows` around the one that was found
      there whose loss is within noise (two standard errors) of the best.
    validation_loss: its mean over the seeds.
    noise: standard error of the difference of two rates' mean losses, over the
      rates near the best; NaN for one seed.
    rows: what was tried, by rising rate.
    range_test: the range test that the sweep started from.
    steps: updates of each run.
    seeds: the seeds.
    steps_spent: updates of all runs together, the range test's included.
    ratio: the largest ratio of the recommendation to a neighbour that was
      tried, at most 2 unless the budget ended.
    at_edge: whether the best rate is the lowest or highest tried, after the
      range was widened as far as it goes; then there may be a better one.
    verdict: all this in plain words.
    warmup_fraction: the share of the run over which the rate rises, if that was to
      be picked; else 0.
    picked: what was tried to pick the warmup and the length, where asked.
    others: what was found with the other optimizers, from the best on, where
      several were compared.
  """

  task: str
  optimizer: str
  schedule: str
  learning_rate: float
  interval: tuple[float, float]
  validation_loss: float
  noise: float
  rows: tuple[_objective.Row, ...]
  range_test: _range_test.RangeTest
  steps: int
  seeds: tuple[int, ...]
  steps_spent: int
  ratio: float
  at_edge: bool
  verdict: str
  warmup_fraction: float = 0.0
  picked: tuple[_objective.Row, ...] = ()
  others: tuple[Found, ...] = ()

  def __str__(self) -> str:
    return self.verdict

  def table(self) -> list[dict[str, Any]]:
    """What was tried, one dict a rate, for a data frame or a CSV.

    Where several optimizers were compared, theirs too, with a column for it.
    """
    named = {'optimizer': self.optimizer} if self.others else {}
    rows = [
        named | {
            'learning_rate': row.learning_rate,
            'validation_loss': row.validation_loss,
            'spread': row.spread,
            'diverged': row.diverged,
            'seeds': len(row.trials),
        }
        for row in self.rows
    ]
    for other in self.others:
      rows += [{'optimizer': other.optimizer} | row for row in other.table()]
    return rows

  def plot(self, axes: Any = None) -> Any:
    """Draws the range test and the sweep; see `lrax.plot.find`."""
    from lrax import plot

    return plot.find(self, axes)

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; NaN as None, so that it is valid JSON."""
    result = {
        field.name: _plain.plain(getattr(self, field.name))
        for field in dataclasses.fields(self)
        if field.name not in ('rows', 'range_test', 'picked', 'others')
    }
    of = lambda rows: [trial.to_dict() for row in rows for trial in row.trials]
    result['trials'], result['picked'] = of(self.rows), of(self.picked)
    result['others'] = [other.to_dict() for other in self.others]
    return result | {'range_test': self.range_test.to_dict()}


def find(
    task: tasks.Task,
    optimizer: Any = 'adamw',
    *,
    steps: int | None = None,
    seeds: Sequence[int] | int = 3,
    schedule: Any = 'cosine',
    budget: int | None = None,
    pick: Sequence[str] = (),
    on_progress: Callable[[_find_runs.Progress], None] | None = None,
) -> Found:
  """Recommends a learning rate, with the evidence: which was tried, and how sure.

  A range test says where to look. Full training runs around its suggestion,
  judged by the validation loss over several seeds, say what is best: first a
  factor of 4 apart, then around the best one a factor of 2 and of 1.4. Where
  the best lies on the edge of what was tried, the range is widened. Among
  rates that noise cannot tell apart a smaller one is recommended, down to half
  the best: too high a rate costs more than too low a one. One compiled program
  serves all runs.

  Formula:
    recommended = the smallest of the rates next to the best one, and not under
    half of it, with loss <= best loss + standard error

  Args:
    task: what to train.
    optimizer: a function of the rate that returns an optimizer, such as
      `lrax.adamw` or `functools.partial(optax.sgd, momentum=0.9)`, or a text
      such as 'sgd(momentum=0.9)'; or a list of them, to be compared side by side.
    steps: updates of each run; None for the task's. The best rate depends on
      it.
    seeds: the seeds to judge over, or how many; runs of one seed share initial
      parameters and batches, so that rates are compared in pairs.
    schedule: what the rate is the peak of: 'cosine' or 'linear' (down to 0 at
      the last step), 'constant', or a function (rate, steps) -> `lrax.Schedule`
      of the step alone.
    budget: at most so many updates in all, a whole number; None for as many as
      it takes, about ten rates. The search ends where the next runs would go
      over it, and the verdict says so. Several optimizers share it evenly.
    pick: what to pick beside the rate: 'warmup', a share of the run, and 'steps',
      the fewest that lose nothing to noise, from a quarter of `steps` to twice.
    on_progress: called with a `Progress` after each run.

  Returns:
    A `Found`: never a bare number. Of several optimizers that with the lowest loss,
    with the `others`; the verdict says whether noise hides the difference.

  Raises:
    TypeError: an argument is of the wrong kind, or the task's loss is no
      scalar.
    ValueError: an argument is out of range, or the budget does not hold the
      range test and three rates.

  Source:
    Measured choices of lrax; the one-standard-error rule is that of Breiman et
    al., "Classification and Regression Trees", 1984, section 3.4.3.

  Example:
    >>> import lrax
    >>> found = lrax.tune.find(lrax.tasks.digits(), 'adamw', steps=100, seeds=2)
    >>> 3e-3 < found.learning_rate < 1.0
    True
    >>> found.interval[0] <= found.learning_rate <= found.interval[1]
    True
  """
  owner = 'find'
  budget = _checks.optional(_checks.positive_steps)(owner, 'budget', budget)
  tell = on_progress or (lambda progress: None)
  picks = _pick.check(pick, owner)
  if type(optimizer) in (list, tuple):  # Optax's transformations are tuples too
    return _side_by_side(
        task, optimizer, budget, tell, steps=steps, seeds=seeds, schedule=schedule,
        pick=picks,
    )
  objective = _objective.Objective(
      task, optimizer, schedule, steps, _range_test.as_seeds(seeds, owner), owner
  )
  if 'steps' in picks:
    objective.most_steps = max(objective.most_steps, _pick.MOST * objective.steps)
  if 'warmup' in picks:
    objective.check(['learning_rate', 'warmup_fraction'])
  search = _find_runs.Search(objective=objective, budget=budget, tell=tell)
  test = search.range_test()
  search.sweep(test.learning_rate)
  choice = _verdict.choose(search, test.learning_rate)
  # A smaller rate than the best may be chosen: it too has neighbours.
  while search.surround(choice.learning_rate):
    choice = _verdict.choose(search, test.learning_rate)
  found = Found(
      task=task.name,
      optimizer=objective.names[0],
      schedule=objective.names[1],
      rows=tuple(search.sorted_rows()),
      range_test=test,
      steps=objective.steps,
      seeds=objective.seeds,
      steps_spent=0,
      verdict='',
      **choice._asdict(),
  )
  said: tuple[str, ...] = ()
  changes: dict[str, Any] = {}
  row = picked = None
  if picks and np.isfinite(found.learning_rate):
    (row,) = [r for r in found.rows if r.learning_rate == found.learning_rate]
    picked = _pick.pick(search, row, picks)
    said = picked.said
    changes = {
        'learning_rate': picked.row.learning_rate,
        'validation_loss': picked.row.validation_loss,
        'steps': picked.steps,
        'warmup_fraction': picked.warmup_fraction,
        'picked': picked.rows,
    }
  words = _verdict.in_words(found, search.out_of_budget)
  if picked is not None and row is not None and picked.row.point != row.point:
    words = f'{_pick.in_words(picked, found)} How: {words[0].lower()}{words[1:]}'
  verdict = ' '.join([words, *said])
  return dataclasses.replace(
      found, verdict=verdict, steps_spent=search.spent, **changes
  )


def _side_by_side(
    task: tasks.Task, optimizers: Sequence[Any], budget: int | None,
    tell: Callable[[_find_runs.Progress], None], **arguments: Any,
) -> Found:
  """The best of what each optimizer finds, and the others."""
  names = [_optimizer.name_of(optimizer) for optimizer in optimizers]
  if not names or len(set(names)) < len(names):
    raise _checks.refuse(
        'find', 'optimizer', 'a list of at least one, each once', names,
        "for example ['adamw', 'sgd(momentum=0.9)']",
    )
  each = []
  for name, optimizer in zip(names, optimizers):
    named = lambda progress: tell(progress._replace(optimizer=name))  # noqa: B023
    share = None if budget is None else budget // len(names)
    each.append(
        find(task, optimizer, budget=share, on_progress=named, **arguments)
    )
  each.sort(key=lambda found: np.nan_to_num(found.validation_loss, nan=np.inf))
  best, *others = each
  verdict = ' '.join([best.verdict, *(_pick.beside(best, o) for o in others)])
  return dataclasses.replace(best, verdict=verdict, others=tuple(others))
