"""Every rate of a list with every seed, trained by one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from lrax import _checks
from lrax import tasks
from lrax.tune import _curves
from lrax.tune import _objective
from lrax.tune import _plain
from lrax.tune import _range_test
from lrax.tune import _rungs

_GAIN = 0.1  # of a smaller rate's gain, that a run must reach

_share = _checks.number(
    'a share in (0, 1)', lambda x: 0 < x < 1, 'it is a part of the run'
)


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
  """What a sweep saw; arrays are (rates, seeds) where nothing else is said.

  Attributes:
    task: the task's name.
    optimizer: the optimizer, as text.
    schedule: what each rate was the peak of, as text.
    learning_rates: (rates,), rising.
    seeds: the seeds.
    losses: (rates, seeds, steps), the training loss before each update; NaN from
      where the run ended.
    steps_done: int, updates of each run.
    status: 'finished', 'stopped early' or 'diverged': its loss was not finite, or
      rose above where it began by more than it had gained and by more than noise,
      or gained in the end less than a tenth of what a smaller rate did, which was
      more than noise. Only the last is known when all have ended.
    validation_loss: after the run's last step; NaN where diverging ended it.
    mean: (rates,), of `validation_loss` over the seeds; NaN where one is.
    spread: (rates,), standard deviation over the seeds; 0 for one seed, NaN where
      a loss is.
    best: the rate of the lowest mean among those that finished, the smallest of
      equals; NaN if none did.
    steps_spent: updates of all runs together.
  """

  task: str
  optimizer: str
  schedule: str
  learning_rates: np.ndarray
  seeds: tuple[int, ...]
  losses: np.ndarray
  steps_done: np.ndarray
  status: np.ndarray
  validation_loss: np.ndarray

  @property
  def mean(self) -> np.ndarray:
    """(rates,): the mean validation loss over the seeds; NaN where one is."""
    return self.validation_loss.mean(1)

  @property
  def spread(self) -> np.ndarray:
    """(rates,): its standard deviation over the seeds; NaN where a loss is."""
    several = len(self.seeds) > 1
    return self.validation_loss.std(1, ddof=1) if several else 0 * self.mean

  @property
  def best(self) -> float:
    """The best of the rates that finished; NaN if none did."""
    finished = (self.status == _objective.FINISHED).all(1)
    losses = np.where(finished, self.mean, np.nan)
    if np.isnan(losses).all():
      return np.nan
    return float(self.learning_rates[np.nanargmin(losses)])

  @property
  def steps_spent(self) -> int:
    """Updates of all runs together."""
    return int(self.steps_done.sum())

  def table(self) -> list[dict[str, Any]]:
    """One dict a rate, for a data frame or a CSV."""
    count = lambda status: (self.status == status).sum(1)
    columns = {
        'learning_rate': self.learning_rates,
        'validation_loss': self.mean,
        'spread': self.spread,
        'finished': count(_objective.FINISHED),
        'diverged': count(_objective.DIVERGED),
        'stopped_early': count(_objective.STOPPED),
    }
    return [
        {name: value.item() for name, value in zip(columns, row)}
        for row in zip(*columns.values())
    ]

  def plot(self, axes: Any = None) -> Any:
    """Draws the losses over the rates and the curves; see `lrax.plot.sweep`."""
    from lrax import plot

    return plot.sweep(self, axes)

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; NaN as None, so that it is valid JSON."""
    names = [field.name for field in dataclasses.fields(self)]
    names += ['mean', 'spread', 'best', 'steps_spent']
    return {name: _plain.plain(getattr(self, name)) for name in names}


def sweep(
    task: tasks.Task,
    learning_rates: Sequence[float],
    *,
    optimizer: Any = 'adamw',
    schedule: Any = 'cosine',
    steps: int | None = None,
    seeds: Sequence[int] | int = 1,
    engine: str = 'auto',
    lanes: int | None = None,
    halve_at: Sequence[float] = (),
    known: Sequence[_objective.Trial] = (),
    on_trial: Callable[[_objective.Trial], None] | None = None,
) -> Sweep:
  """Trains a task at every rate with every seed, compiling once for all of them.

  On CPU a run is alone on a core, as many at once as there are, and ends where it
  diverges. On an accelerator runs are side by side, as many as its memory holds;
  one that has ended makes room for the next between two rungs. Over several local
  devices the runs are cut, and over several processes of `jax.distributed` each
  takes a share and all return everything; every process must make the same call.
  The engines run the same updates on the same numbers; how a sum is rounded may
  differ between them.

  Args:
    task: what to train.
    learning_rates: (rates,), each > 0 and once.
    optimizer: a function of the rate that returns an optimizer, such as
      `lrax.adamw`, or a text such as 'sgd(momentum=0.9)'.
    schedule: what the rate is the peak of: 'cosine' or 'linear' (down to 0 at
      the last step), 'constant', or a function (rate, steps) -> `lrax.Schedule`
      of the step alone.
    steps: updates of each run; None for the task's.
    seeds: the seeds, or how many; runs of one seed share initial parameters and
      batches, so that rates are compared in pairs.
    engine: 'map' for one run after another on each core, 'vmap' for side by side,
      'auto' for what suits the backend.
    lanes: runs side by side on a device, >= 1; None for what fits.
    halve_at: shares of a run, each in (0, 1) and rising, after which the worse
      half of the rates is stopped early, by the validation loss there.
    known: trials that an earlier call with the same arguments finished: they are
      not trained again. Not with `halve_at`.
    on_trial: called with each `Trial` as it ends, in any order, the known ones
      too; over processes with those of its own.

  Returns:
    A `Sweep`, its rates rising.

  Raises:
    TypeError: an argument is of the wrong kind, or the task's loss is no scalar.
    ValueError: an argument is out of range.

  Source:
    lrax's own; halving: Jamieson and Talwalkar, "Non-stochastic Best Arm
    Identification and Hyperparameter Optimization", 2016, with half kept.

  Example:
    >>> import lrax
    >>> task = lrax.tasks.digits()
    >>> swept = lrax.tune.sweep(task, [1e-4, 1e-2, 1e3], steps=50, seeds=2)
    >>> swept.best
    0.01
    >>> swept.losses.shape
    (3, 2, 50)
  """
  owner = 'sweep'
  checked = _checks.several(_checks.positive)(owner, 'learning_rates', learning_rates)
  rates = [float(rate) for rate in checked]
  if not rates or len(set(rates)) < len(rates):
    raise _checks.refuse(
        owner, 'learning_rates', 'at least one, each once', list(rates),
        'for example np.geomspace(1e-5, 1, 16)',
    )
  shares = _checks.several(_share)(owner, 'halve_at', halve_at)
  if any(a >= b for a, b in zip(shares, shares[1:])):
    raise _checks.refuse(
        owner, 'halve_at', 'rising', list(shares), 'for example [0.25, 0.5]'
    )
  if known and shares:
    raise _checks.refuse(
        owner, 'known', 'empty where `halve_at` is given', f'{len(known)} trials',
        'it compares runs while they go on, and begins anew',
    )
  objective = _objective.Objective(
      task, optimizer, schedule, steps, _range_test.as_seeds(seeds, owner), owner,
      engine, lanes, known=known,
  )
  points = [{'learning_rate': float(rate)} for rate in sorted(rates)]
  if shares:
    pauses = _rungs.pauses(shares, objective.steps)
    found = _rungs.halve(objective, points, pauses, on_trial)
  else:
    found = objective.run(points, on_trial)
  losses = np.full((len(points), len(objective.seeds), objective.steps), np.nan)
  for row, trials in zip(losses, found):
    for curve, trial in zip(row, trials):
      curve[: len(trial.losses)] = trial.losses
  of = lambda get: np.asarray([[get(trial) for trial in trials] for trials in found])
  status = of(lambda trial: trial.status)
  for column, trials in zip(status.T, zip(*found)):
    useless = _curves.useless([trial.losses for trial in trials], _GAIN)
    column[useless & (column == _objective.FINISHED)] = _objective.DIVERGED
  return Sweep(
      task=task.name,
      optimizer=objective.names[0],
      schedule=objective.names[1],
      learning_rates=np.asarray(sorted(rates)),
      seeds=objective.seeds,
      losses=losses,
      steps_done=of(lambda trial: len(trial.losses)),
      status=status,
      validation_loss=of(lambda trial: trial.validation_loss),
  )
