"""The verified recommendation: a range test, then a sweep around what it says."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
from typing import Any
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import schedules
from lrax import tasks
from lrax.tune import _curves
from lrax.tune import _range_test
from lrax.tune import _train

# Rates are tried at suggestion * 2 ** (place / 2), places being whole numbers:
# a first grid a factor of 4 apart, then the best one's neighbours at 2, at
# sqrt(2). A tenth of the minimum is about a quarter of the best rate, so the
# grid starts there and looks up.
_FIRST = (0, 4, 8)
_REFINE = (2, 1)
_WIDEN = 6  # times, in either direction

SCHEDULES = {
    'cosine': lambda rate, steps: schedules.cosine_annealing(rate, steps),
    'linear': lambda rate, steps: schedules.linear(rate, 0.0, steps),
    'constant': lambda rate, steps: schedules.constant(rate),
}


class Trial(NamedTuple):
  """One full training run."""

  learning_rate: float  # the peak of the schedule
  seed: int
  validation_loss: float  # after the last step; NaN where it diverged
  diverged: bool
  losses: np.ndarray  # (steps done,), the training loss before each update

  def to_dict(self) -> dict[str, Any]:
    """The trial as plain values; NaN as None."""
    return {k: _range_test.plain(v) for k, v in self._asdict().items()}


class Row(NamedTuple):
  """What the seeds say of one rate."""

  learning_rate: float
  validation_loss: float  # mean over the seeds; NaN where one diverged
  spread: float  # standard deviation over the seeds; 0 for one seed
  diverged: int  # how many seeds did
  trials: tuple[Trial, ...]


class Progress(NamedTuple):
  """What `on_progress` is told."""

  stage: str  # 'range test' or 'sweep'
  done: int  # runs of this stage
  planned: int  # runs of this stage as far as is known now
  result: Any  # the RangeTest when it is complete, a Trial, or None


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
  """A recommended rate and the evidence for it.

  Attributes:
    task: the task's name.
    optimizer: the optimizer, as text.
    schedule: what the rate was the peak of, as text.
    learning_rate: the recommendation, one of the rates tried: the smallest
      down to half the best one and within one standard error of its loss. NaN
      where no rate trained, or where the rate made no difference.
    interval: the lowest and highest rate around it whose loss is within noise
      (two standard errors) of the best.
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
  """

  task: str
  optimizer: str
  schedule: str
  learning_rate: float
  interval: tuple[float, float]
  validation_loss: float
  noise: float
  rows: tuple[Row, ...]
  range_test: _range_test.RangeTest
  steps: int
  seeds: tuple[int, ...]
  steps_spent: int
  ratio: float
  at_edge: bool
  verdict: str

  def __str__(self) -> str:
    return self.verdict

  def table(self) -> list[dict[str, Any]]:
    """What was tried, one dict a rate, for a data frame or a CSV."""
    return [
        {
            'learning_rate': row.learning_rate,
            'validation_loss': row.validation_loss,
            'spread': row.spread,
            'diverged': row.diverged,
            'seeds': len(row.trials),
        }
        for row in self.rows
    ]

  def plot(self, axes: Any = None) -> Any:
    """Draws the range test and the sweep; see `lrax.plot.find`."""
    from lrax import plot

    return plot.find(self, axes)

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; NaN as None, so that it is valid JSON."""
    result = {
        field.name: _range_test.plain(getattr(self, field.name))
        for field in dataclasses.fields(self)
        if field.name not in ('rows', 'range_test')
    }
    result['trials'] = [
        trial.to_dict() for row in self.rows for trial in row.trials
    ]
    return result | {'range_test': self.range_test.to_dict()}


def find(
    task: tasks.Task,
    optimizer: Any = 'adamw',
    *,
    steps: int | None = None,
    seeds: Sequence[int] | int = 3,
    schedule: Any = 'cosine',
    budget: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
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
      such as 'sgd(momentum=0.9)'.
    steps: updates of each run; None for the task's. The best rate depends on
      it.
    seeds: the seeds to judge over, or how many; runs of one seed share initial
      parameters and batches, so that rates are compared in pairs.
    schedule: what the rate is the peak of: 'cosine' or 'linear' (down to 0 at
      the last step), 'constant', or a function (rate, steps) -> `lrax.Schedule`
      of the step alone.
    budget: at most so many updates in all, a whole number; None for as many as
      it takes, about ten rates. The search ends where the next runs would go
      over it, and the verdict says so.
    on_progress: called with a `Progress` after each run.

  Returns:
    A `Found`: never a bare number.

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
  trainer = _train.trainer(task, optimizer, owner)
  run_steps = task.steps
  if steps is not None:
    run_steps = int(_checks.positive_steps(owner, 'steps', steps))
  search = _Search(
      trainer=trainer,
      steps=run_steps,
      seeds=_range_test.as_seeds(seeds, owner),
      shape=_as_schedule(schedule, owner),
      budget=_checks.optional(_checks.positive_steps)(owner, 'budget', budget),
      tell=on_progress or (lambda progress: None),
  )
  test = search.range_test()
  search.sweep(test.learning_rate)
  text = schedule if isinstance(schedule, str) else _name(schedule)
  return _conclude(search, test, _name(optimizer), text)


def _as_schedule(schedule: Any, owner: str) -> Callable[[Any, int], Any]:
  if callable(schedule) and not hasattr(schedule, 'init'):
    return schedule
  return SCHEDULES[_checks.choice(*SCHEDULES)(owner, 'schedule', schedule)]


def _name(function: Any) -> str:
  """What to call a function in a report."""
  if isinstance(function, functools.partial):
    arguments = [f'{v!r}' for v in function.args]
    arguments += [f'{k}={v!r}' for k, v in function.keywords.items()]
    return f"{_name(function.func)}({', '.join(arguments)})"
  return function if isinstance(function, str) else getattr(
      function, '__name__', type(function).__name__
  )


class _Search:
  """The runs of one search: what was tried, and what may still be."""

  def __init__(self, trainer, steps, seeds, shape, budget, tell):
    self.trainer, self.steps, self.seeds = trainer, steps, seeds
    self.shape, self.budget, self.tell = shape, budget, tell
    self.rows: dict[int, Row] = {}  # by place
    self.spent = 0
    self.out_of_budget = False
    self.start = np.nan  # the rate at place 0
    ramp = int(np.clip(steps, 10, 100))
    self.ramp_steps, self.ramp_seeds = ramp, seeds[:2]
    least = ramp * len(self.ramp_seeds) + len(_FIRST) * steps * len(seeds)
    if budget is not None and budget < least:
      raise _checks.refuse(
          'find', 'budget', f'at least {least} steps', budget,
          f'that is the range test and {len(_FIRST)} rates of {steps} steps and'
          f' {len(seeds)} seeds; lower steps or seeds',
      )

  def range_test(self) -> _range_test.RangeTest:
    told = lambda done, planned: self.tell(
        Progress('range test', done, planned, None)
    )
    test = _range_test.run(
        self.trainer, 1e-7, 10.0, self.ramp_steps, self.ramp_seeds, on_seed=told
    )
    self.spent += int(np.isfinite(test.losses).sum())
    total = len(self.ramp_seeds)
    self.tell(Progress('range test', total, total, test))
    return test

  def sweep(self, suggestion: float) -> None:
    """Fills `rows`: the first grid, widened, then refined around the best."""
    # With nothing to start from, the widening has to find the place.
    self.start = suggestion if np.isfinite(suggestion) else 1e-3
    if not self.try_places(_FIRST):
      return
    for _ in range(2 * _WIDEN):
      edge = self.beyond_edge()
      if edge is None:
        break
      if not self.try_places([edge]):
        return
    for width in _REFINE:
      best = self.best()
      if best is None or not self.try_places([best - width, best + width]):
        return

  def best(self) -> int | None:
    """The place of the lowest mean loss; the lower one of two equal."""
    known = {
        p: r.validation_loss
        for p, r in sorted(self.rows.items())
        if np.isfinite(r.validation_loss)
    }
    return min(known, key=known.__getitem__) if known else None

  def beyond_edge(self) -> int | None:
    """The place to try next where the best one is on the edge."""
    best, low, high = self.best(), min(self.rows), max(self.rows)
    if best is None or best == low:
      place = low - 4
    elif best == high:
      place = high + 4
    else:
      return None
    within = _FIRST[0] - 4 * _WIDEN <= place <= _FIRST[-1] + 4 * _WIDEN
    return place if within else None

  def try_places(self, places: Sequence[int]) -> bool:
    """Trains at these places with every seed; False where the budget ends."""
    places = [place for place in places if place not in self.rows]
    for index, place in enumerate(places):
      cost = self.steps * len(self.seeds)
      if self.budget is not None and self.spent + cost > self.budget:
        self.out_of_budget = True
        return False
      rate = float(self.start * 2 ** (place / 2))
      trials = []
      for seed in self.seeds:
        trials.append(self.train(rate, seed))
        done = len(self.rows) * len(self.seeds) + len(trials)
        left = len(places) - index
        planned = (len(self.rows) + left) * len(self.seeds)
        self.tell(Progress('sweep', done, planned, trials[-1]))
      self.rows[place] = _row(rate, trials)
    return True

  def train(self, rate: float, seed: int) -> Trial:
    policy = schedules.as_schedule(self.shape(rate, self.steps), 'find')
    rates = np.asarray(policy(jnp.arange(self.steps)))
    stop = lambda losses: _curves.diverged(losses) is not None
    run = self.trainer.run(rates, seed, stop)
    self.spent += len(run.losses)
    diverged = not (run.finite and np.isfinite(run.validation_loss))
    return Trial(rate, seed, run.validation_loss, diverged, run.losses)


def _row(rate: float, trials: list[Trial]) -> Row:
  losses = np.asarray([trial.validation_loss for trial in trials])
  gone = sum(trial.diverged for trial in trials)
  mean = float(losses.mean()) if not gone else np.nan
  spread = float(losses.std(ddof=1)) if not gone and len(losses) > 1 else 0.0
  return Row(rate, mean, spread, gone, tuple(trials))


def _conclude(
    search: _Search, test: _range_test.RangeTest, optimizer: str, schedule: str
) -> Found:
  """The recommendation from the rows."""
  places = sorted(search.rows)
  rows = [search.rows[place] for place in places]
  best = search.best()
  learning_rate = loss = noise = ratio = np.nan
  interval, at_edge = (np.nan, np.nan), False
  if best is not None and not _nothing_seen(rows, _noise(search, best), test):
    index = places.index(best)
    noise = _noise(search, best)
    slack = noise if np.isfinite(noise) else 0.0
    lowest = rows[index].validation_loss
    low = high = index
    smallest = rows[index].learning_rate / 2 * (1 - 1e-9)
    while (
        low > 0
        and rows[low - 1].validation_loss <= lowest + slack
        and rows[low - 1].learning_rate >= smallest
    ):
      low -= 1
    pick = low
    while low > 0 and rows[low - 1].validation_loss <= lowest + 2 * slack:
      low -= 1
    while (
        high + 1 < len(rows)
        and rows[high + 1].validation_loss <= lowest + 2 * slack
    ):
      high += 1
    learning_rate, loss = rows[pick].learning_rate, rows[pick].validation_loss
    interval = (rows[low].learning_rate, rows[high].learning_rate)
    at_edge = index in (0, len(rows) - 1)
    beside = [rows[i].learning_rate for i in (pick - 1, pick + 1) if 0 <= i < len(rows)]
    ratio = max(max(r / learning_rate, learning_rate / r) for r in beside)
  found = Found(
      task=search.trainer.task.name,
      optimizer=optimizer,
      schedule=schedule,
      learning_rate=float(learning_rate),
      interval=(float(interval[0]), float(interval[1])),
      validation_loss=float(loss),
      noise=float(noise),
      rows=tuple(rows),
      range_test=test,
      steps=search.steps,
      seeds=search.seeds,
      steps_spent=search.spent,
      ratio=float(ratio),
      at_edge=at_edge,
      verdict='',
  )
  return dataclasses.replace(found, verdict=_verdict(found, search.out_of_budget))


def _nothing_seen(rows: list[Row], noise: float, test: Any) -> bool:
  """Whether neither the range test nor the sweep saw the rate matter."""
  return not np.isfinite(test.learning_rate) and _hidden(rows, noise)


def _hidden(rows: Sequence[Row], noise: float) -> bool:
  """Whether all rates that trained are within noise of each other."""
  finite = [r.validation_loss for r in rows if np.isfinite(r.validation_loss)]
  return max(finite) - min(finite) <= 2 * np.nan_to_num(noise)


def _noise(search: _Search, best: int) -> float:
  """Standard error of the difference of two rates' mean losses, near the best.

  The losses are rates x seeds. What is left after taking off each rate's and
  each seed's mean is what differs when a rate is compared with another on the
  same seeds; its variance, twice, over the seeds, is that of a difference.
  """
  table = np.asarray([
      [trial.validation_loss for trial in row.trials]
      for place, row in search.rows.items()
      if abs(place - best) <= 4 and np.isfinite(row.validation_loss)
  ])
  rates, seeds = table.shape
  if rates < 2 or seeds < 2:
    return np.nan
  rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
  variance = (rest**2).sum() / ((rates - 1) * (seeds - 1))
  return float(np.sqrt(2 * variance / seeds))


def _verdict(found: Found, out_of_budget: bool) -> str:
  """The result in plain words."""
  rows, seeds = found.rows, len(found.seeds)
  if not np.isfinite(found.learning_rate):
    tried = f'from {rows[0].learning_rate:.2g} to {rows[-1].learning_rate:.2g}'
    if any(np.isfinite(row.validation_loss) for row in rows):
      return (
          f'No rate {tried} made a difference to {found.task} with'
          f' {found.optimizer} that noise does not hide. Check the loss and its'
          ' gradient, or train for more steps.'
      )
    return (
        f'No rate {tried} trained {found.task} with {found.optimizer}: every run'
        ' diverged. Check the loss and the data.'
    )
  said = [
      f'Use {found.learning_rate:.2g} with {found.optimizer} for {found.task}'
      + (
          ', at a constant rate,'
          if found.schedule == 'constant'
          else f' as the peak of the {found.schedule} schedule'
      )
      + f' over {found.steps} steps: validation loss {found.validation_loss:.4g},'
      f' mean of {seeds} seed{"s" * (seeds > 1)}.'
  ]
  low, high = found.interval
  if np.isnan(found.noise):
    said.append('With one seed the noise is not known: pass more seeds to see it.')
  elif low < high:
    said.append(
        f'Rates from {low:.2g} to {high:.2g} are within noise'
        f' (±{2 * found.noise:.2g}) of the best.'
    )
  else:
    said.append(f'No other rate tried is within noise (±{2 * found.noise:.2g}).')
  if _hidden(rows, found.noise):
    said.append('Noise hides any difference between the rates: the choice is open.')
  gone = [row.learning_rate for row in rows if row.diverged]
  if gone:
    said.append(f'Training diverged from {min(gone):.2g} on.')
  if found.at_edge:
    said.append('The best lies on the edge of what was tried: look further there.')
  if out_of_budget:
    said.append(
        'The budget ended the search: neighbours are a factor of'
        f' {found.ratio:.2g} apart.'
    )
  return ' '.join(said)
