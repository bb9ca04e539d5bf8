"""A search kept in a storage, for one worker or for many."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import jax

from lrax import _checks
from lrax import tasks
from lrax.tune import _objective
from lrax.tune import _range_test
from lrax.tune import _search
from lrax.tune import _space
from lrax.tune._study import _batch
from lrax.tune._study import _ledger
from lrax.tune._study import _proposals
from lrax.tune._study import _result
from lrax.tune._study import _storage

_OWNER = 'Study'
_BATCH = 4  # trials asked for at a time, at least
_SIDE_BY_SIDE = 16  # runs that an accelerator trains at once at little cost

OnTrial = Callable[[_objective.Trial], None]


class Study:
  """A search whose trials are kept, so that it can stop, go on and be shared.

  Optuna keeps the trials and proposes the points; each batch of points is trained
  by one compiled program, as in `sweep`. A point is judged by the mean validation
  loss over the seeds after a whole run, and is infinitely bad where one diverged.

  A worker may be killed at any moment. Started again under its name it first trains
  what it had not finished, with the numbers and the points that they have; no
  finished trial is lost or trained again. What is proposed depends on `study_seed`,
  on the trial's number, and for 'tpe' on what is known. So a killed study ends as
  one that was not disturbed:

  * with one worker, whatever the sampler's name, to the last bit on CPU; on an
    accelerator but for how sums are rounded. Pass the same `batch`;
  * with several workers for 'random' and 'qmc'. For 'tpe' the order in which
    workers finish decides what is proposed next, disturbed or not.

  Trials of a worker that never comes back stay its own, until another one takes
  them over: see `take_over`. The other workers do not wait for them.

  For many machines, run the same program on each with its own `worker` and one
  `storage`: a journal on a shared file system, or a database. SQLite is for workers
  on one machine.

  Args:
    task: what to train.
    space: ranges by name: `log_uniform`, `uniform`, `integer` or `choice` of
      `lrax.tune`, as for `search`. They are never widened.
    storage: None for memory; a path that ends in .db or .sqlite (SQLite), or in
      .journal or .log (a journal file); a database URL, such as
      'postgresql://user@host/name'; or an Optuna storage.
    name: the study's in the storage; None for the task's.
    worker: this process's name. Each worker has its own, and the same when it is
      started again.
    optimizer: a function of the rate that returns an optimizer, such as
      `lrax.adamw`, or a text such as 'sgd(momentum=0.9)'.
    schedule: what the rate is the peak of: 'cosine' or 'linear' (down to 0 at
      the last step), 'constant', or a function (rate, steps, names of the space)
      -> `lrax.Schedule` of the step alone.
    steps: updates of each run; None for the task's.
    seeds: the seeds to judge over, or how many.
    fixed: hyperparameters that all points have, by name.
    sampler: 'tpe', 'random', 'qmc' (a scrambled Sobol sequence), a function of a
      seed that returns an Optuna sampler, or an Optuna sampler. The last has
      chance of its own: a study that was stopped goes on otherwise.
    study_seed: for what the sampler leaves to chance.
    engine: 'auto', 'map' or 'vmap', as for `sweep`.
    lanes: runs side by side on a device; None for what fits.

  Raises:
    ImportError: Optuna is not installed; `pip install 'lrax[optuna]'`.
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, a name is none that the optimizer or
      the schedule takes, or the study is there with another task, space,
      optimizer, schedule, steps, seeds or fixed hyperparameters. A function is
      known by its name only.

  Source:
    Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization
    Framework", 2019; 'tpe': Bergstra et al., "Algorithms for Hyper-Parameter
    Optimization", 2011, for several names together and with running trials taken
    for bad ones; a seed for each trial and the taking up of trials are lrax's own.

  Example:
    >>> import lrax
    >>> space = {'learning_rate': lrax.tune.log_uniform(1e-4, 1.0)}
    >>> study = lrax.tune.Study(
    ...     lrax.tasks.digits(), space, steps=50, sampler='qmc')
    >>> study.run(trials=8)
    >>> 1e-3 < study.best['learning_rate'] < 0.3
    True
    >>> study.run(trials=10)
    >>> len(study.rows)
    10
  """

  def __init__(
      self,
      task: tasks.Task,
      space: Mapping[str, Any],
      *,
      storage: Any = None,
      name: str | None = None,
      worker: str = 'worker-0',
      optimizer: Any = 'adamw',
      schedule: Any = 'cosine',
      steps: int | None = None,
      seeds: Sequence[int] | int = 1,
      fixed: Mapping[str, Any] | None = None,
      sampler: Any = 'tpe',
      study_seed: int = 0,
      engine: str = 'auto',
      lanes: int | None = None,
  ):
    self.space = _space.as_space(space, _OWNER)
    self._objective = _objective.Objective(
        task, optimizer, schedule, steps, _range_test.as_seeds(seeds, _OWNER), _OWNER,
        engine, lanes, fixed,
    )
    self._objective.check(self.space)
    self.task, self.worker = task, _text('worker', worker)
    if storage is not None and jax.process_count() > 1:
      raise _checks.refuse(
          _OWNER, 'storage', 'None over several processes of jax.distributed', storage,
          'or start each process as a worker of its own, without it',
      )
    study_seed = int(_checks.steps(_OWNER, 'study_seed', study_seed))
    _storage.import_optuna(_OWNER)
    self._proposals = _proposals.Proposals(self.space, sampler, study_seed, _OWNER)
    name = task.name if name is None else name
    self._ledger = _ledger.Ledger(
        storage, _text('name', name), self._proposals, _OWNER
    )
    objective = self._objective
    self._ledger.settle({
        'task': task.name,
        'optimizer': objective.names[0],
        'schedule': objective.names[1],
        'steps': objective.steps,
        'seeds': objective.seeds,
        'space': _space.to_dict(self.space),
        'fixed': objective.fixed,
    })

  @property
  def name(self) -> str:
    """The study's name in its storage."""
    return self._ledger.name

  # --- work

  def run(
      self, trials: int = 64, batch: int | None = None, on_trial: OnTrial | None = None
  ) -> None:
    """Trains, until the study has so many trials, of all its workers.

    Each trial is written down as its last seed ends, also where the rest of the
    batch is interrupted. Where other workers still train the last ones, it does
    not wait for them.

    Args:
      trials: how many the study shall have in all, >= 1.
      batch: how many are asked for and trained at a time, >= 1; None for one a
        core, or 16 runs a device of an accelerator, and for at least 4.
      on_trial: called with each `Trial` as it ends, after it was written down.

    Raises:
      TypeError: an argument is of the wrong kind, or the task's loss is no scalar.
      ValueError: an argument is out of range, or another process works under this
        worker's name.
      RuntimeError: another process has begun under this worker's name, or has
        taken over its trials.
    """
    trials = int(_checks.positive_steps(_OWNER, 'trials', trials))
    size = _checks.optional(_checks.positive_steps)(_OWNER, 'batch', batch)
    size = self._batch() if size is None else int(size)
    with self._ledger.working(self.worker):
      while entries := _batch.next_batch(self._ledger, self.worker, trials, size):
        _batch.train(self._ledger, self.worker, self._objective, entries, on_trial)

  def take_over(self, worker: str) -> int:
    """Makes the unfinished trials of another worker this one's: how many there were.

    The next `run` trains them. It is for a worker that will not be started again.
    Where the study is a file, a worker that still runs on this machine is refused;
    anywhere else it stops with an error when its next run ends.

    Args:
      worker: the other's name.

    Raises:
      TypeError: it is no string.
      ValueError: it is this worker's own name, or that worker still runs.
    """
    if _text('worker', worker) == self.worker:
      raise _checks.refuse(
          'take_over', 'worker', "another one's name", worker,
          'its own trials are trained first anyway',
      )
    with self._ledger.working(self.worker), self._ledger.working(worker):
      numbers = self.running.get(worker, [])
      for number in numbers:
        self._ledger.give(number, self.worker)
    return len(numbers)

  def _batch(self) -> int:
    """How many trials to ask for at a time."""
    if self._objective.engine.engine == 'map':
      runs = self._objective.engine.workers * jax.local_device_count()
    else:
      runs = _SIDE_BY_SIDE * jax.local_device_count()
    return max(_BATCH, -(-runs // len(self._objective.seeds)))

  # --- what is known

  @property
  def result(self) -> _search.Searched:
    """The finished trials by now, in the form in which `search` returns them.

    Of the runs' curves only the lengths are kept: their losses are NaN.
    """
    return self._result_of(self._ledger.entries())

  @property
  def running(self) -> dict[str, list[int]]:
    """The numbers of the trials that have begun and not ended, by worker."""
    return _result.running(self._ledger.entries())

  @property
  def best(self) -> Mapping[str, Any] | None:
    """The best point by now, the smaller rate of equals; None where there is none."""
    return self.result.best

  @property
  def validation_loss(self) -> float:
    """The mean loss of the best point; NaN where there is none."""
    return self.result.validation_loss

  @property
  def rows(self) -> tuple[_objective.Row, ...]:
    """The finished trials by number."""
    return self.result.rows

  @property
  def verdict(self) -> str:
    """What was found, in plain words."""
    return self.result.verdict

  def table(self) -> list[dict[str, Any]]:
    """The finished trials, one dict each, for a data frame or a CSV."""
    entries = self._ledger.entries()
    done = [entry for entry in entries if entry.finished]
    return [
        {'number': entry.number, **row, 'worker': entry.worker}
        for entry, row in zip(done, self._result_of(entries).table())
    ]

  def plot(self, axes: Any = None) -> Any:
    """Draws what was tried; see `lrax.plot.search`."""
    return self.result.plot(axes)

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; NaN as None, so that it is valid JSON."""
    entries = self._ledger.entries()
    plain = self._result_of(entries).to_dict()
    for trial in plain['trials']:
      trial['steps_done'] = len(trial.pop('losses'))
    return plain | {'name': self.name, 'running': _result.running(entries)}

  def __str__(self) -> str:
    return self.verdict

  def _result_of(self, entries: Sequence[_ledger.Entry]) -> _search.Searched:
    name = self._proposals.name
    return _result.result(self._objective, self.space, name, entries)


def _text(name: str, value: Any) -> str:
  if not isinstance(value, str):
    raise _checks.refuse(_OWNER, name, 'a string', value, 'name it', TypeError)
  if not value:
    raise _checks.refuse(_OWNER, name, 'not empty', value, 'name it')
  return value
