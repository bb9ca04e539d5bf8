"""A study whose workers are killed ends as one that was not disturbed."""

import functools

import numpy as np
import optuna
import pytest
from study_workers import early_tpe
from study_workers import finish
from study_workers import kill_when
from study_workers import processes
from study_workers import SPACE
from study_workers import study
from study_workers import updates_of


@pytest.fixture(scope='module')
def objective():
  """Compiled once for all studies of this process."""
  return study(None)._objective


def states(made):
  """The numbers of a study's trials by state, as Optuna sees them."""
  storage = made._ledger._storage
  found = {}
  for trial in optuna.load_study(study_name=made.name, storage=storage).trials:
    found.setdefault(trial.state.name, []).append(trial.number)
  return found


def told(made):
  """What a study knows of its finished trials."""
  return [
      (row['number'], *(row[name] for name in SPACE), repr(row['validation_loss']))
      for row in made.table()
  ]


# --- a write that is the last, whichever it is -------------------------------

WRITES = (
    'create_new_trial', 'set_trial_param', 'set_trial_user_attr',
    'set_trial_system_attr', 'set_trial_state_values', 'set_study_user_attr',
)


class Crash(BaseException):
  """The end of a worker."""


class Mortal(optuna.storages.InMemoryStorage):
  """A storage whose worker dies before a write."""

  writes_left = np.inf


def _dying(name, function):
  @functools.wraps(function)
  def write(self, *arguments, **named):
    if self.writes_left == 0:
      raise Crash(name)
    self.writes_left -= 1
    return function(self, *arguments, **named)

  return write


for _name in WRITES:
  setattr(Mortal, _name, _dying(_name, getattr(Mortal, _name)))


def test_a_study_survives_the_loss_of_any_write(objective):
  whole = study(None, sampler=early_tpe)
  whole._objective = objective
  whole.run(trials=5, batch=2)
  assert len({told(whole)[n][1] for n in range(5)}) == 5
  died_in = set()
  for writes in range(1000):
    storage = Mortal()
    made = study(storage, sampler=early_tpe)
    made._objective = objective
    storage.writes_left = writes
    try:
      made.run(trials=5, batch=2)
      break
    except Crash as crash:
      died = crash
    died_in.add(str(died))
    storage.writes_left = np.inf
    done = {row['learning_rate'] for row in made.table()}
    again = study(storage, sampler=early_tpe)
    again._objective = objective
    trained = []
    again.run(trials=5, batch=2, on_trial=trained.append)
    assert told(again) == told(whole), writes
    assert states(again) == {'COMPLETE': [0, 1, 2, 3, 4]}
    assert not done & {trial.learning_rate for trial in trained}
    # What was trained and only not told yet is told from what was written down.
    untold = str(died) == 'set_trial_state_values'
    assert len(done) + len(trained) + untold == 5
  # Optuna 4 writes no attribute of the system.
  assert died_in | {'set_trial_system_attr'} == set(WRITES)


# --- workers that are killed -------------------------------------------------


def test_a_killed_worker_goes_on_as_if_it_had_not_been(tmp_path):
  storage, log = tmp_path / 'killed.db', tmp_path / 'log'
  run = {'trials': 6, 'batch': 3}
  with processes() as start:
    stopped = start.context.Event()
    killed = start(storage, log, run, 5, stopped, sampler=early_tpe)
    undisturbed = start(
        tmp_path / 'whole.journal', tmp_path / 'other', run, sampler=early_tpe
    )
    kill_when(stopped, killed)
    made = study(storage, log, sampler=early_tpe)
    before, at_kill = told(made), states(made)
    assert len(at_kill['COMPLETE']) == 5 and len(at_kill['RUNNING']) == 1
    assert made.running == {'worker-0': at_kill['RUNNING']}
    assert '1 trial is unfinished under worker-0' in str(made)
    finish(start(storage, log, run, sampler=early_tpe), undisturbed)
  whole = study(tmp_path / 'whole.journal', sampler=early_tpe)
  assert states(made) == states(whole) == {'COMPLETE': [*range(6)]}
  assert told(made) == told(whole)
  assert set(before) < set(told(made))
  assert made.best == whole.best
  assert at_kill['RUNNING'][0] not in trained_once(made, log)
  assert trained_once(made, log) >= set(at_kill['COMPLETE'])


def test_two_workers_of_which_one_is_killed_find_the_same(objective, tmp_path):
  storage, log = tmp_path / 'two.journal', tmp_path / 'log'
  run, random = {'trials': 9, 'batch': 2}, {'sampler': 'random', 'study_seed': 3}
  with processes() as start:
    stopped, together = start.context.Event(), start.context.Barrier(2)
    first = start(storage, log, run, 1, stopped, together, worker='a', **random)
    second = start(storage, log, run, together=together, worker='b', **random)
    kill_when(stopped, first)
    finish(second)
    made = study(storage, log, **random)
    left = made.running['a']
    assert len(left) == 1 and len(made.rows) == 8
    assert {row['worker'] for row in made.table()} == {'a', 'b'}
    finish(start(storage, log, run, worker='a', **random))
  ends_as_undisturbed(made, 9, objective, random)
  assert trained_once(made, log) >= {*range(9)} - {*left}
  assert {row['number'] for row in made.table() if row['worker'] == 'a'} >= {*left}


def test_the_trials_of_a_killed_worker_are_taken_over_from_four(objective, tmp_path):
  storage, log = tmp_path / 'four.sqlite', tmp_path / 'log'
  run, qmc = {'trials': 12, 'batch': 2}, {'sampler': 'qmc', 'study_seed': 3}
  with processes() as start:
    stopped, together = start.context.Event(), start.context.Barrier(4)
    first = start(storage, log, run, 1, stopped, together, worker='a', **qmc)
    others = [
        start(storage, log, run, together=together, worker=name, **qmc)
        for name in 'bcd'
    ]
    assert stopped.wait(120)
    finish(*others)
    made = study(storage, log, worker='e', **qmc)
    with pytest.raises(ValueError, match='one runs the study'):
      made.take_over('a')
    kill_when(stopped, first)
    left = made.running
    assert list(left) == ['a'] and len(made.rows) == 11
    finish(start(storage, log, run, worker='e', take_over='a', **qmc))
  ends_as_undisturbed(made, 12, objective, qmc)
  assert trained_once(made, log) >= {*range(12)} - {*left['a']}
  assert made.table()[left['a'][0]]['worker'] == 'e'


def trained_once(made, log):
  """The numbers of the trials that had as many updates as one run has."""
  updates = updates_of(log)
  return {
      row['number']
      for row in made.table()
      if updates[np.float32(row['learning_rate'])] == row['steps_done']
  }


def ends_as_undisturbed(made, count, objective, others):
  """Whether a study ends as that of one worker whom nobody kills."""
  whole = study(None, **others)
  whole._objective = objective
  whole.run(trials=count)
  assert states(made)['COMPLETE'] == [*range(count)]
  assert [row.point for row in made.rows] == [row.point for row in whole.rows]
  assert made.best == whole.best
  losses = lambda some: [row.validation_loss for row in some.rows]
  # Compiled for another number of devices, where sums may be rounded otherwise.
  np.testing.assert_allclose(losses(made), losses(whole), rtol=1e-5)
