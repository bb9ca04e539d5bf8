"""What a study's storage holds, and who may change it.

Of a trial: its number, its point, the worker that trains it, the batch it was asked
for in, and what became of it, in that order. A trial begins in one write with its
worker's name, so that none is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
from typing import Any
from typing import NamedTuple
import uuid

import numpy as np

from lrax import _checks
from lrax.tune import _objective
from lrax.tune import _plain
from lrax.tune._study import _proposals
from lrax.tune._study import _storage

_SETTINGS = 'lrax'  # of a study
_WORKER, _BATCH, _RUNS = 'worker', 'batch', 'runs'  # of a trial


class Entry(NamedTuple):
  """One trial."""

  number: int
  worker: str
  batch: tuple[int, int] | None  # the how manieth of the worker, and its size
  point: _objective.Point | None  # None where it was not all written down
  runs: tuple[_objective.Trial, ...]  # none until all seeds have ended
  finished: bool


class Ledger:
  """The trials of one study, written so that any write may be the last."""

  def __init__(
      self, storage: Any, name: str, proposals: _proposals.Proposals, owner: str
  ):
    """Opens the study, and makes it if it is not there."""
    self._optuna = _storage.import_optuna(owner)
    self._storage, self._path = _storage.open_storage(storage, owner)
    self.name, self._owner, self._proposals = name, owner, proposals
    with _storage.quiet(self._optuna):
      self._study = self._optuna.create_study(
          storage=self._storage, study_name=name, load_if_exists=True,
          sampler=self._optuna.samplers.RandomSampler(),
      )
    self._id = self._storage.get_study_id_from_name(name)
    self._ids: dict[int, int] = {}  # the storage's own numbers of trials
    self._session = uuid.uuid4().hex
    self._settings: dict[str, Any] = {}

  def settle(self, settings: dict[str, Any]) -> None:
    """Writes the settings down, or compares them with those of who came first.

    Raises:
      TypeError: they are nothing that a file can hold.
      ValueError: they differ, or the study is not one of lrax.
    """
    for name, value in settings.items():
      try:
        settings[name] = json.loads(json.dumps(_plain.plain(value)))
      except TypeError as error:
        raise _checks.refuse(
            self._owner, name, 'of numbers, strings, bools and None', value,
            'a storage holds nothing else', TypeError,
        ) from error
    if _SETTINGS not in self._study.user_attrs:
      if self._study.get_trials(deepcopy=False):
        raise _checks.refuse(
            self._owner, 'name', 'of a study of lrax or of none', self.name,
            'the storage holds a study of that name with trials of others',
        )
      self._study.set_user_attr(_SETTINGS, settings)
    self._settings = settings
    self._compare(self._study.user_attrs[_SETTINGS])

  def _compare(self, known: dict[str, Any]) -> None:
    """Refuses settings that are not those of the study."""
    settings = self._settings
    unlike = [n for n in settings if settings[n] != known.get(n)]
    if unlike:
      some = lambda values: {name: values.get(name) for name in unlike}
      raise _checks.refuse(
          self._owner, '`, `'.join(unlike),
          f'as the study {self.name!r} has it, {some(known)}', some(settings),
          'pass the same, or give the study another name',
      )

  # --- who works

  @contextlib.contextmanager
  def working(self, worker: str) -> Iterator[None]:
    """While it lasts no other process works under the name.

    Where the study is a file, another that tries is refused. In a database the
    other goes on, and this one stops at its next write.
    """
    with contextlib.ExitStack() as stack:
      if self._path is not None:
        free = stack.enter_context(_storage.held(self._path, self.name, worker))
        if not free:
          raise _checks.refuse(
              self._owner, 'worker', 'of no process that runs', worker,
              f'one runs the study {self.name!r} under that name: give each its own',
          )
      self._study.set_user_attr(f'{_WORKER} {worker}', self._session)
      yield

  def check(self, worker: str) -> None:
    """Stops this process if another one has begun under the same name.

    Or with other settings: of two that made the study at once, one wrote last.
    """
    known = self._study.user_attrs
    self._compare(known[_SETTINGS])
    if known.get(f'{_WORKER} {worker}') != self._session:
      raise _checks.refuse(
          self._owner, 'worker', 'of one process', worker,
          f'another runs the study {self.name!r} under that name, or took over its'
          ' trials: give each its own', RuntimeError,
      )

  def give(self, number: int, worker: str) -> None:
    """Makes a trial that runs another worker's."""
    trial = self._id_of(number)
    self._storage.set_trial_user_attr(trial, _BATCH, None)
    self._storage.set_trial_user_attr(trial, _WORKER, worker)

  # --- trials

  def entries(self) -> list[Entry]:
    """Those that run or have finished, by number."""
    states = self._optuna.trial.TrialState
    trials = self._study.get_trials(
        deepcopy=False, states=(states.RUNNING, states.COMPLETE)
    )
    return [
        self._entry(trial, trial.state == states.COMPLETE)
        for trial in trials
        if _WORKER in trial.user_attrs
    ]

  def begin(self, worker: str, batch: tuple[int, int], most: int) -> int | None:
    """The number of a new trial; None if the study has so many already."""
    states = self._optuna.trial.TrialState
    attributes = {_WORKER: worker, _BATCH: list(batch)}
    blank = self._optuna.trial.create_trial(state=states.RUNNING, user_attrs=attributes)
    trial = self._storage.create_new_trial(self._id, blank)
    number = self._storage.get_trial_number_from_id(trial)
    self._ids[number] = trial
    # Others may have begun the last ones at the same time.
    if number < most or sum(e.number < number for e in self.entries()) < most:
      return number
    self._storage.set_trial_state_values(trial, states.FAIL)
    return None

  def propose(self, number: int) -> None:
    """Gives a trial its point."""
    trial = self._id_of(number)
    frozen = self._storage.get_trial(trial)
    point = self._proposals.point(self._study, frozen)
    for name, distribution in self._proposals.distributions.items():
      if name not in frozen.params:
        value = distribution.to_internal_repr(point[name])
        self._storage.set_trial_param(trial, name, value, distribution)

  def finish(self, number: int, runs: Sequence[_objective.Trial]) -> None:
    """Writes down what became of a trial, infinite where a seed diverged."""
    plain = [
        {
            'seed': run.seed,
            'validation_loss': _plain.plain(run.validation_loss),
            'status': run.status,
            'steps_done': len(run.losses),
        }
        for run in runs
    ]
    self._storage.set_trial_user_attr(self._id_of(number), _RUNS, plain)
    self._study.tell(number, _objective.score(runs))

  def _id_of(self, number: int) -> int:
    if number not in self._ids:
      find = self._storage.get_trial_id_from_study_id_trial_number
      self._ids[number] = find(self._id, number)
    return self._ids[number]

  def _entry(self, trial: Any, finished: bool) -> Entry:
    point = None
    space = self._proposals.space
    if set(space) <= set(trial.params):
      point = {
          name: dimension.check(self._owner, name, trial.params[name])
          for name, dimension in space.items()
      }
    known = trial.user_attrs
    batch = known.get(_BATCH)
    runs = tuple(_run(point or {}, plain) for plain in known.get(_RUNS, ()))
    return Entry(
        trial.number, known[_WORKER], None if batch is None else (batch[0], batch[1]),
        point, runs, finished,
    )


def _run(point: _objective.Point, plain: dict[str, Any]) -> _objective.Trial:
  """As it was, but for its curve, of which only the length was kept."""
  loss = plain['validation_loss']
  return _objective.Trial(
      point, plain['seed'], np.nan if loss is None else loss, plain['status'],
      np.broadcast_to(np.nan, plain['steps_done']),
  )
