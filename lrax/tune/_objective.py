"""What a search minimises: the validation loss of a task at given hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import inspect
from typing import Any
from typing import NamedTuple

import numpy as np

from lrax import _checks
from lrax import tasks
from lrax.tune import _engine
from lrax.tune import _optimizer
from lrax.tune import _plain
from lrax.tune import _policies

FINISHED, DIVERGED, STOPPED = 'finished', 'diverged', 'stopped early'

_LEAST = 10  # updates of a range test, which shares the program
_OWN = ('learning_rate', 'steps')  # of a point, and of no optimizer

Point = Mapping[str, Any]  # hyperparameters by name


class Trial(NamedTuple):
  """One training run."""

  point: Point  # its hyperparameters, 'learning_rate' the peak of the schedule
  seed: int
  validation_loss: float  # after its last step; NaN where it diverged
  status: str  # 'finished', 'diverged', or 'stopped early'
  losses: np.ndarray  # (steps done,), the training loss before each update

  @property
  def learning_rate(self) -> float:
    """The peak rate; NaN where all trials had one that was fixed."""
    return self.point.get('learning_rate', np.nan)

  @classmethod
  def from_dict(cls, plain: Mapping[str, Any]) -> Trial:
    """The trial that `to_dict` made plain."""
    number = lambda x: np.nan if x is None else x
    point = {k: v for k, v in plain.items() if k not in cls._fields}
    losses = np.asarray([number(x) for x in plain['losses']], float)
    loss = number(plain['validation_loss'])
    return cls(point, plain['seed'], loss, plain['status'], losses)

  @property
  def diverged(self) -> bool:
    """Whether its loss was not finite, or rose above the start beyond noise."""
    return self.status == DIVERGED

  def to_dict(self) -> dict[str, Any]:
    """The trial as plain values; None for what is not finite."""
    values = {**self.point, **self._asdict()}
    del values['point']
    return {k: _plain.plain(v) for k, v in values.items()}


class Row(NamedTuple):
  """What the seeds say of one point."""

  point: Point  # its hyperparameters by name
  validation_loss: float  # mean over the seeds; NaN where one diverged
  spread: float  # standard deviation over the seeds; 0 for one seed
  diverged: int  # how many seeds did
  trials: tuple[Trial, ...]

  @property
  def learning_rate(self) -> float:
    """The peak rate; NaN where all points had one that was fixed."""
    return self.point.get('learning_rate', np.nan)


class Objective:
  """Trains a task at any hyperparameters, compiling once for all numbers."""

  def __init__(
      self, task: Any, optimizer: Any, schedule: Any, steps: int | None,
      seeds: tuple[int, ...], owner: str, engine: str = 'auto',
      lanes: int | None = None, fixed: Point | None = None, validates: bool = True,
      known: Sequence[Trial] = (),
  ):
    """Compiles nothing yet.

    Args:
      task: what to train.
      optimizer: a function of the rate, or a text; of names too that it is
        asked for.
      schedule: a name, or a function (rate, steps) -> schedule; of names too.
      steps: updates of a run; None for the task's.
      seeds: the seeds of every point.
      owner: who asks, for messages.
      engine: 'auto', 'map' or 'vmap'.
      lanes: trials side by side on a device; None for what fits.
      fixed: hyperparameters that every point has.
      validates: whether any run will be validated.
      known: trials of an earlier process, which are not trained again.
    """
    if not isinstance(task, tasks.Task):
      raise _checks.refuse(
          owner, 'task', 'a lrax.tasks.Task', task,
          'build one, or take lrax.tasks.load("digits")', TypeError,
      )
    self.task, self.owner, self.seeds = task, owner, seeds
    self.optimizer = _optimizer.as_optimizer(optimizer, owner)
    self.shape = _policies.as_shape(schedule, owner)
    self.names = _optimizer.name_of(optimizer), _policies.name_of(schedule)
    self.steps = task.steps
    if steps is not None:
      self.steps = int(_checks.positive_steps(owner, 'steps', steps))
    self._engine = _checks.choice(*_engine.ENGINES)(owner, 'engine', engine)
    self._validates = validates
    self._lanes = _checks.optional(_checks.count)(owner, 'lanes', lanes)
    self.fixed = _as_fixed(fixed, owner)
    self._known = {}
    for trial in known:
      if not isinstance(trial, Trial):
        raise _checks.refuse(
            owner, 'known', 'a list of Trial', trial,
            'Trial.from_dict reads what to_dict wrote', TypeError,
        )
      self._known[_key(trial.point, trial.seed)] = trial
    # Of the longest run; more than `steps` where points have their own.
    self.most_steps = max(self.steps, _LEAST, int(self.fixed.get('steps', 0)))
    self._engines: dict[Any, _engine.Engine] = {}
    self._of_schedule = _policies.own_names(self.shape)

  @property
  def engine(self) -> _engine.Engine:
    """That of the optimizer as it was given."""
    return self._engine_of(())

  @property
  def updates(self) -> int:
    """Of all runs of this process so far."""
    return sum(engine.updates for engine in self._engines.values())

  def check(self, names: Sequence[str] | Mapping[str, Any]) -> None:
    """Refuses hyperparameters that nothing takes, and a rate that is missing.

    Args:
      names: of the hyperparameters; a space says too how long a run may be.
    """
    if isinstance(names, Mapping) and 'steps' in names:
      longest = names['steps']
      longest = getattr(longest, 'options', None) or [longest.high]
      steps = [_checks.positive_steps(self.owner, 'steps', s) for s in longest]
      self.most_steps = max(self.most_steps, *steps)
    for name in sorted({*names} & ({*self.fixed} | {*Trial._fields})):
      raise _checks.refuse(
          self.owner, 'space', 'of names that are neither fixed nor those of a Trial',
          name, 'leave it out of one of them, or call it something else',
      )
    given = {*names, *self.fixed}
    if 'learning_rate' not in given:
      raise _checks.refuse(
          self.owner, 'space', "one with 'learning_rate'", sorted(names),
          "add it, or pass a number as fixed={'learning_rate': ...}",
      )
    for name in sorted(given - {'optimizer', *_OWN} - self._of_schedule):
      if 'optimizer' not in given and not _takes(self.optimizer, name):
        raise _checks.refuse(
            self.owner, 'space', 'of what the optimizer or the schedule takes',
            name, f'{self.names[0]} and {self.names[1]} have no such argument',
        )

  def trials(self, points: Sequence[Point]) -> Any:
    """The engine's form of points, each with all seeds: [(engine, Trials, which)].

    Points that differ in numbers share an engine; words and whole numbers of the
    optimizer are part of the program. What is known already is left out.
    """
    groups: dict[Any, list[tuple[int, Point, Point]]] = {}
    new = lambda index, seed: _key(points[index], seed) not in self._known
    for index, point in enumerate(points):
      if not any(new(index, seed) for seed in self.seeds):
        continue
      whole = {**self.fixed, **point}
      numbers, words = {}, {}
      for name, value in whole.items():
        if name not in (*_OWN, *self._of_schedule):
          (numbers if isinstance(value, float) else words)[name] = value
      key = tuple(sorted(words.items(), key=lambda item: item[0]))
      groups.setdefault((key, *sorted(numbers)), []).append((index, whole, numbers))
    made = []
    for (words, *_), members in groups.items():
      rows = [
          (row, seed)
          for row, (index, _, _) in enumerate(members)
          for seed in self.seeds
          if new(index, seed)
      ]
      at = [row for row, _ in rows]
      rates = np.stack([self._rates(whole) for _, whole, _ in members])
      numbers = {
          name: np.asarray([numbers[name] for _, _, numbers in members])[at]
          for name in members[0][2]
      }
      trials = _engine.Trials(rates[at], np.asarray([s for _, s in rows]), numbers)
      which = [(members[row][0], seed) for row, seed in rows]
      made.append((self._engine_of(words), trials, which))
    return made

  def run(
      self, points: Sequence[Point], on_trial: Callable[[Trial], None] | None = None
  ) -> list[list[Trial]]:
    """Trains every point with every seed: the trials of each point."""
    found: dict[tuple[int, int], Trial] = {}
    for index, point in enumerate(points):
      for seed in self.seeds:
        if (trial := self._known.get(_key(point, seed))) is not None:
          found[index, seed] = trial
          if on_trial is not None:
            on_trial(trial)
    for engine, trials, which in self.trials(points):

      def tell(place: int, runs: _engine.Runs) -> None:
        index, seed = which[place]  # noqa: B023
        found[index, seed] = trial_of(points[index], seed, runs, 0)
        if on_trial is not None:
          on_trial(found[index, seed])

      runs = engine.run(trials, tell)
      for place, (index, seed) in enumerate(which):  # those of other processes too
        found.setdefault((index, seed), trial_of(points[index], seed, runs, place))
    return [[found[i, seed] for seed in self.seeds] for i in range(len(points))]

  def _rates(self, point: Point) -> np.ndarray:
    own = {k: v for k, v in point.items() if k in self._of_schedule}
    steps = int(point.get('steps', self.steps))
    rates = np.full(self.most_steps, np.nan)  # a run ends where they do
    rates[:steps] = _policies.rates(
        self.shape, self.owner, point['learning_rate'], steps, **own
    )
    return rates

  def _engine_of(self, words: tuple[tuple[str, Any], ...]) -> _engine.Engine:
    if words not in self._engines:
      chosen = dict(words)
      optimizer = self.optimizer
      if 'optimizer' in chosen:
        optimizer = _optimizer.as_optimizer(chosen.pop('optimizer'), self.owner)
      if chosen:
        optimizer = functools.partial(optimizer, **chosen)
      self._engines[words] = _engine.Engine(
          self.task, optimizer, self.most_steps, self._engine, self._lanes,
          self._validates,
      )
    return self._engines[words]


def _as_fixed(fixed: Any, owner: str) -> dict[str, Any]:
  """The fixed hyperparameters as plain values."""
  if fixed is None:
    return {}
  if not isinstance(fixed, Mapping):
    raise _checks.refuse(
        owner, 'fixed', 'a dict of names and values', fixed,
        "for example {'weight_decay': 0.1}", TypeError,
    )
  plain = {}
  for name, value in fixed.items():
    value = value.item() if hasattr(value, 'item') and np.ndim(value) == 0 else value
    if not isinstance(value, (int, float, str, bool, type(None))):
      raise _checks.refuse(
          owner, f'fixed[{name!r}]', 'a number, a word, True, False or None', value,
          'put anything else into the optimizer: functools.partial(lrax.adamw, ...)',
          TypeError,
      )
    plain[name] = value
  return plain


def trial_of(point: Point, seed: int, runs: _engine.Runs, place: int) -> Trial:
  """The record of one of some runs."""
  losses = runs.losses[place, : int(runs.steps_done[place])]
  status = DIVERGED if runs.diverged[place] else FINISHED
  return Trial(dict(point), seed, float(runs.validation_loss[place]), status, losses)


def _key(point: Point, seed: int) -> Any:
  return tuple(sorted(point.items())), seed


def row_of(point: Point, trials: Sequence[Trial]) -> Row:
  """What the trials of one point say together."""
  losses = np.asarray([trial.validation_loss for trial in trials])
  gone = sum(trial.diverged for trial in trials)
  mean = float(losses.mean()) if not gone else np.nan
  spread = float(losses.std(ddof=1)) if not gone and len(losses) > 1 else 0.0
  return Row(dict(point), mean, spread, gone, tuple(trials))


def score(trials: Sequence[Trial]) -> float:
  """The mean validation loss over the seeds; infinite where one diverged."""
  losses = np.asarray([trial.validation_loss for trial in trials])
  return float(losses.mean()) if np.isfinite(losses).all() else np.inf


def _takes(optimizer: Any, name: str) -> bool:
  try:
    parameters = inspect.signature(optimizer).parameters
  except (TypeError, ValueError):  # a function that does not tell
    return True
  keywords = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
  return keywords or name in parameters
