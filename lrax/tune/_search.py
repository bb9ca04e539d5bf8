"""The search for the best hyperparameters, by one of several methods."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from lrax import _checks
from lrax import tasks
from lrax.tune import _dimension
from lrax.tune import _methods
from lrax.tune import _objective
from lrax.tune import _plain
from lrax.tune import _population
from lrax.tune import _range_test
from lrax.tune import _rungs
from lrax.tune import _space
from lrax.tune import _verdict

# Those that train in segments; the others are asked for points.
_IN_SEGMENTS = ('halving', 'population')
METHODS = (*_methods.METHODS, *_IN_SEGMENTS)

_BATCH = 4  # of the Gaussian process: the same on every machine
_PAUSES = (1 / 8, 1 / 4, 1 / 2)  # of a run, at which half of the points stop


@dataclasses.dataclass(frozen=True, eq=False)
class Searched:
  """What a search found.

  Attributes:
    task: the task's name.
    optimizer: the optimizer, as text.
    schedule: what the rate was the peak of, as text.
    method: how it was searched.
    space: the dimensions by name.
    best: the hyperparameters of the lowest mean validation loss among those whose
      every run finished, the smaller rate of equals; None where none did.
    validation_loss: their mean over the seeds; NaN where there are none.
    noise: standard error of the difference of two points' mean losses, over the
      best quarter of the points; NaN for one seed or a single point.
    rows: all that was tried, in the order in which it was asked for.
    edges: the names of hyperparameters whose best value lies on the edge of what
      was searched, after widening.
    widened: the ranges that were widened, by name: (low, high).
    history: for 'population', what the best member went through: (step, its
      hyperparameters from there on); else empty.
    steps: updates of a whole run.
    seeds: the seeds.
    steps_spent: updates of all runs together.
    verdict: all this in plain words.
  """

  task: str
  optimizer: str
  schedule: str
  method: str
  space: _space.Space
  best: Mapping[str, Any] | None
  validation_loss: float
  noise: float
  rows: tuple[_objective.Row, ...]
  edges: tuple[str, ...]
  widened: Mapping[str, tuple[float, float]]
  history: tuple[tuple[int, Mapping[str, Any]], ...]
  steps: int
  seeds: tuple[int, ...]
  steps_spent: int
  verdict: str

  def __str__(self) -> str:
    return self.verdict

  def table(self) -> list[dict[str, Any]]:
    """What was tried, one dict a point, for a data frame or a CSV."""
    return [
        {
            **row.point,
            'validation_loss': row.validation_loss,
            'spread': row.spread,
            'diverged': row.diverged,
            'steps_done': max(len(trial.losses) for trial in row.trials),
            'seeds': len(row.trials),
        }
        for row in self.rows
    ]

  def plot(self, axes: Any = None) -> Any:
    """Draws what was tried; see `lrax.plot.search`."""
    from lrax import plot

    return plot.search(self, axes)

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; NaN as None, so that it is valid JSON."""
    result = {
        field.name: _plain.plain(getattr(self, field.name))
        for field in dataclasses.fields(self)
        if field.name not in ('rows', 'space')
    }
    trials = [trial.to_dict() for row in self.rows for trial in row.trials]
    return result | {'space': _space.to_dict(self.space), 'trials': trials}


def search(
    task: tasks.Task,
    space: Mapping[str, Any],
    *,
    method: str = 'bayesian',
    budget: int = 32,
    optimizer: Any = 'adamw',
    schedule: Any = 'cosine',
    steps: int | None = None,
    seeds: Sequence[int] | int = 1,
    fixed: Mapping[str, Any] | None = None,
    batch: int | None = None,
    method_seed: int = 0,
    engine: str = 'auto',
    lanes: int | None = None,
    known: Sequence[_objective.Trial] = (),
    on_trial: Callable[[_objective.Trial], None] | None = None,
) -> Searched:
  """Searches the best hyperparameters, the learning rate first.

  Points are judged by the mean validation loss over the seeds after a whole run;
  where a seed diverged a point is the worst. Numbers are arguments of one compiled
  program; a choice, or a whole number of the optimizer, is compiled once for each
  value. The methods:

  * 'grid': evenly spaced on each dimension's scale, all combinations;
  * 'random' and 'sobol': by chance, and evenly spread by a scrambled sequence;
  * 'zoom': a coarse grid, then finer ones around the best; for few dimensions;
  * 'bayesian': where a Gaussian process expects most to be gained;
  * 'halving': many points, of which the worse half stops after 1/8, 1/4 and 1/2
    of a run;
  * 'population': rates and other numbers change while the runs go on, the worst
    quarter of the members going on from the best; what it finds is a schedule. Like
    'halving' it keeps the states of all runs in memory at once.

  Where the best lies on the edge of a range, 'zoom' and 'bayesian' widen it within
  its bounds.

  Args:
    task: what to train.
    space: ranges by name: `log_uniform`, `uniform`, `integer` or `choice` of
      `lrax.tune`. 'learning_rate' is the peak of the schedule, 'steps' the length
      of the run, 'optimizer' a choice of optimizers; any other name is an argument
      of the schedule ('warmup_fraction' of those by name) or of the optimizer.
    method: one of the words above.
    budget: how many whole runs it may take, for each seed.
    optimizer: a function of the rate that returns an optimizer, such as
      `lrax.adamw`, or a text such as 'sgd(momentum=0.9)'.
    schedule: what the rate is the peak of: 'cosine' or 'linear' (down to 0 at
      the last step), 'constant', or a function (rate, steps, names of the space)
      -> `lrax.Schedule` of the step alone.
    steps: updates of each run; None for the task's.
    seeds: the seeds to judge over, or how many.
    fixed: hyperparameters that all points have, by name: numbers, words, True,
      False or None, and none that is in the space.
    batch: points trained at a time, at most; None for 4 for 'bayesian', which learns
      from every one, and else for all that the method asks for.
    method_seed: for what the method leaves to chance.
    engine: 'auto', 'map' or 'vmap', as for `sweep`.
    lanes: runs side by side on a device; None for what fits.
    known: trials that an earlier call with the same arguments finished: they are
      not trained again. Not for 'halving' and 'population'.
    on_trial: called with each `Trial` as it ends.

  Returns:
    A `Searched`.

  Raises:
    TypeError: an argument is of the wrong kind, or the task's loss is no scalar.
    ValueError: an argument is out of range, a name is none that the optimizer or
      the schedule takes, or the method cannot search such a space.

  Source:
    Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", 2012;
    Snoek et al., "Practical Bayesian Optimization of Machine Learning
    Algorithms", 2012; Jamieson and Talwalkar, "Non-stochastic Best Arm
    Identification and Hyperparameter Optimization", 2016 (halving, with half
    kept); Jaderberg et al., "Population Based Training of Neural Networks", 2017.

  Example:
    >>> import lrax
    >>> space = {'learning_rate': lrax.tune.log_uniform(1e-4, 1.0)}
    >>> found = lrax.tune.search(
    ...     lrax.tasks.digits(), space, method='zoom', budget=12, steps=50)
    >>> 1e-3 < found.best['learning_rate'] < 0.3
    True
  """
  owner = 'search'
  space = _space.as_space(space, owner)
  method = _checks.choice(*METHODS)(owner, 'method', method)
  budget = int(_checks.count(owner, 'budget', budget))
  batch = _checks.optional(_checks.count)(owner, 'batch', batch)
  method_seed = int(_checks.seed(owner, 'method_seed', method_seed))
  if known and method in _IN_SEGMENTS:
    raise _checks.refuse(
        owner, 'known', f'empty for {method!r}', f'{len(known)} trials',
        'it compares runs while they go on, and begins anew',
    )
  objective = _objective.Objective(
      task, optimizer, schedule, steps, _range_test.as_seeds(seeds, owner), owner,
      engine, lanes, fixed, known=known,
  )
  objective.check(space)
  history: list[list[tuple[int, Any]]] = []
  if method in _IN_SEGMENTS:
    pauses = _rungs.pauses(_PAUSES, objective.steps)
    count = budget
    if method == 'halving':
      count = _affordable(budget, [*pauses, objective.steps])
    searcher = _methods.METHODS['sobol'](space, count, method_seed)
    points = searcher.ask(count)
    if method == 'halving':
      found = _rungs.halve(objective, points, pauses, on_trial)
    else:
      _check_population(space, budget)
      rng = np.random.default_rng(method_seed)
      found, history = _population.population(
          objective, space, points, rng, on_trial
      )
      points = [past[-1][1] for past in history]
  else:
    searcher = _methods.METHODS[method](space, budget, method_seed)
    points, found = [], []
    most = batch or (_BATCH if method == 'bayesian' else budget)
    while asked := searcher.ask(min(most, budget - len(points))):
      trials = objective.run(asked, on_trial)
      searcher.tell(asked, [_objective.score(some) for some in trials])
      points, found = points + asked, found + trials
      if len(points) >= budget:
        break
  rows = tuple(_objective.row_of(p, some) for p, some in zip(points, found))
  best = best_of(rows)
  if method == 'population' and best is not None:
    ends = lambda name: (space[name].low, space[name].high)
    edges = [name for name in space if rows[best].point[name] in ends(name)]
  else:
    if method == 'halving':  # those that were stopped are no better than any
      whole = lambda some: all(t.status == _objective.FINISHED for t in some)
      scores = [_objective.score(s) if whole(s) else np.inf for s in found]
      searcher.tell(points, scores)
    edges = [] if best is None else searcher.edges()
  searched = Searched(
      task=task.name,
      optimizer=objective.names[0],
      schedule=objective.names[1],
      method=method,
      space=space,
      best=None if best is None else rows[best].point,
      validation_loss=np.nan if best is None else rows[best].validation_loss,
      noise=noise_of(rows),
      rows=rows,
      edges=tuple(edges),
      widened={} if method == 'population' else dict(searcher.widened),
      history=tuple(history[best]) if history and best is not None else (),
      steps=objective.steps,
      seeds=objective.seeds,
      steps_spent=sum(len(t.losses) for row in rows for t in row.trials),
      verdict='',
  )
  return dataclasses.replace(searched, verdict=_verdict.of_search(searched))


def best_of(rows: Sequence[_objective.Row]) -> int | None:
  """The number of the best row whose runs all finished."""
  whole = [
      (row.validation_loss, row.point.get('learning_rate', 0.0), index)
      for index, row in enumerate(rows)
      if all(trial.status == _objective.FINISHED for trial in row.trials)
  ]
  return min(whole)[-1] if whole else None


def noise_of(rows: Sequence[_objective.Row]) -> float:
  """Of a difference of two means, among the best quarter that finished."""
  whole = sorted(
      [row.validation_loss, *(trial.validation_loss for trial in row.trials)]
      for row in rows
      if all(trial.status == _objective.FINISHED for trial in row.trials)
  )
  near = whole[: max(3, -(-len(whole) // 4))]
  return _verdict.noise(np.asarray([losses[1:] for losses in near]))


def _affordable(budget: int, pauses: Sequence[int]) -> int:
  """The most points whose runs, with halving, cost at most so many whole ones."""

  def cost(count: int) -> int:
    steps, before = 0, 0
    for pause in pauses:
      steps += count * (pause - before)
      count, before = -(-count // 2), pause
    return steps

  count = budget
  while cost(count + 1) <= budget * pauses[-1]:
    count += 1
  return count


def _check_population(space: _space.Space, budget: int) -> None:
  """Refuses what cannot change while a run goes on, and too few members."""
  for name, dimension in space.items():
    if not isinstance(dimension, _dimension.Uniform):
      raise _checks.refuse(
          'search', f'space[{name!r}]', "a log_uniform or uniform for 'population'",
          dimension, 'what is compiled into a run cannot change while it goes on',
      )
  if budget < 2 * _population.QUARTER:
    raise _checks.refuse(
        'search', 'budget', f"at least {2 * _population.QUARTER} for 'population'",
        budget, 'each counts for a member, of which a quarter is replaced',
    )
