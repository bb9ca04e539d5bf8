"""`lrax study`: what it keeps, how it goes on and is shared, and how it ends."""

import csv
import os
from pathlib import Path
import sys

import numpy as np
from programs import check_refusal
from programs import is_png
from programs import run
from programs import strictly
import pytest

from lrax import tune

pytestmark = pytest.mark.usefixtures('place')

QUICK = 'lrax_cli_tasks.py:quick'
STUDY = (
    'study', QUICK, '--space', 'learning_rate=log_uniform(0.1, 1)', '--sampler', 'qmc',
    '--optimizer', 'sgd', '--schedule', 'constant', '--out', 'out',
)


def closed_form(rate):
  """The loss after 12 updates of gradient descent from 0 on mean of (w x - 3 x)**2."""
  squares = float(np.mean(np.linspace(-1, 1, 16) ** 2))
  return 9 * squares * (1 - 2 * squares * rate) ** 24


def read(name='study.json'):
  return strictly(Path('out', name).read_text())


def lines():
  with open('out/study.csv') as file:
    return list(csv.DictReader(file))


def instead(monkeypatch):
  """Takes the place of the training; returns the points of each call."""

  def train(objective, points, on_trial):
    calls.append(points)
    found = []
    for point in points:
      loss = abs(np.log(point['learning_rate'] / 0.3))
      found.append([
          tune.Trial(point, seed, loss, 'finished', np.ones(objective.steps))
          for seed in objective.seeds
      ])
      for trial in found[-1]:
        on_trial(trial)
    return found

  calls = []
  monkeypatch.setattr(tune._objective.Objective, 'run', train)
  return calls


@pytest.fixture
def called(monkeypatch, undrawn):
  """As `instead`, from the start."""
  return instead(monkeypatch)


# What it keeps.


def test_study_trains_and_goes_on_where_it_was(monkeypatch, capsys):
  assert run(monkeypatch, *STUDY, '--trials', '3', '--batch', '3') == 0
  said = capsys.readouterr()
  assert said.err == ''
  found = read()
  assert found['complete'] is True
  assert found['verdict'] in said.out
  assert 'is the best of 3 points for quick with sgd' in said.out
  assert len(found['trials']) == 3
  for one in found['trials']:
    # Twelve updates in float32, each of a few roundings of 6e-8, of a loss that
    # may end at 1e-13 of the first.
    np.testing.assert_allclose(
        one['validation_loss'], closed_form(one['learning_rate']), rtol=1e-3, atol=1e-11
    )
  before = lines()
  assert [line['number'] for line in before] == ['0', '1', '2']
  assert {line['worker'] for line in before} == {'worker-0'}
  assert is_png(Path('out/study.png'))
  files = ['study.csv', 'study.db', 'study.json', 'study.png']
  assert sorted(os.listdir('out')) == files
  # It goes on: the first three are those of before.
  calls = instead(monkeypatch)
  assert run(monkeypatch, *STUDY, '--trials', '5') == 0
  assert lines()[:3] == before
  assert len(lines()) == 5
  assert [len(points) for points in calls] == [2]


def test_study_takes_its_options(monkeypatch, called):
  Path('kept').mkdir()
  code = run(
      monkeypatch, 'study', QUICK, '--space', 'learning_rate=log_uniform(0.1, 1)',
      '--space', 'b2=uniform(0.9, 0.999)', '--storage', 'kept/one.journal', '--name',
      'mine', '--worker', 'w3', '--trials', '6', '--batch', '2', '--sampler', 'random',
      '--optimizer', 'lion', '--schedule', 'linear', '--steps', '15', '--seeds', '2',
      '--fixed', 'b1=0.8', '--out', 'out',
  )
  assert code == 0
  assert [len(points) for points in called] == [2, 2, 2]
  found = read()
  assert (found['name'], found['method']) == ('mine', 'random')
  assert (found['optimizer'], found['schedule']) == ('lion', 'linear')
  assert (found['steps'], found['seeds']) == (15, [0, 1])
  assert list(found['space']) == ['learning_rate', 'b2']
  assert len(found['trials']) == 12
  assert {line['worker'] for line in lines()} == {'w3'}
  assert Path('kept/one.journal').exists()


def test_two_workers_share_a_study(monkeypatch, called):
  assert run(monkeypatch, *STUDY, '--worker', 'a', '--trials', '2') == 0
  assert run(monkeypatch, *STUDY, '--worker', 'b', '--trials', '5') == 0
  assert [line['worker'] for line in lines()] == ['a', 'a', 'b', 'b', 'b']
  assert len(read()['trials']) == 5


def test_ctrl_c_keeps_what_was_finished_and_the_rest_is_trained(
    monkeypatch, capsys, called
):
  def stopping(objective, points, on_trial):
    loss = 0.123  # that no training gives
    on_trial(tune.Trial(points[0], 0, loss, 'finished', np.ones(12)))
    raise KeyboardInterrupt

  train = tune._objective.Objective.run
  monkeypatch.setattr(tune._objective.Objective, 'run', stopping)
  options = ('--trials', '4', '--batch', '4')
  assert run(monkeypatch, *STUDY, *options) == 130
  assert capsys.readouterr().err == (
      'lrax: stopped; 1 runs were finished; out/study.json has what there is; the same'
      ' call goes on.\n'
  )
  left = read()
  assert left['complete'] is False
  assert [one['validation_loss'] for one in left['trials']] == [0.123]
  assert left['running'] == {'worker-0': [1, 2, 3]}
  monkeypatch.setattr(tune._objective.Objective, 'run', train)
  assert run(monkeypatch, *STUDY, *options) == 0
  assert [len(points) for points in called] == [3]
  found = read()
  assert found['complete'] is True
  assert found['trials'][0] == left['trials'][0]
  assert len(found['trials']) == 4


def test_the_trials_of_a_lost_worker_are_taken_over(monkeypatch, capsys, called):
  def lost(objective, points, on_trial):
    raise KeyboardInterrupt

  train = tune._objective.Objective.run
  monkeypatch.setattr(tune._objective.Objective, 'run', lost)
  options = ('--trials', '2', '--batch', '2')
  assert run(monkeypatch, *STUDY, *options, '--worker', 'lost') == 130
  monkeypatch.setattr(tune._objective.Objective, 'run', train)
  # All trials have begun, so there is nothing to do, and the study is not complete.
  assert run(monkeypatch, *STUDY, *options, '--worker', 'b') == 0
  assert read()['complete'] is False
  said = capsys.readouterr().out
  assert '2 trials are unfinished under lost' in said
  assert run(monkeypatch, *STUDY, *options, '--worker', 'b', '--take-over', 'lost') == 0
  assert read()['complete'] is True
  assert [line['worker'] for line in lines()] == ['b', 'b']


def test_where_no_point_trains_it_ends_with_1(monkeypatch, capsys):
  def diverging(objective, points, on_trial):
    found = [
        [tune.Trial(point, 0, np.nan, 'diverged', np.ones(2))] for point in points
    ]
    for (trial,) in found:
      on_trial(trial)
    return found

  monkeypatch.setattr(tune._objective.Objective, 'run', diverging)
  assert run(monkeypatch, *STUDY, '--trials', '3') == 1
  assert read()['best'] is None
  assert 'every one diverged' in capsys.readouterr().out


# How it ends where something is wrong.


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['--space', 'learning_rate=1'], ['study: `--space`', "got '1'"]),
        (['--space', 'b2=uniform(0, 1)'], ["one with 'learning_rate'"]),
        (['--fixed', 'b1'], ['study: --fixed must be name=']),
        (['--storage', 'study.txt'], ['`storage`', '.db', '.journal', "'study.txt'"]),
        (['--storage', 'none/study.db'], ['`storage`', 'folder', "'none/study.db'"]),
        (['--storage', 'nothing://here'], ['cannot open --storage', 'nothing://here']),
        (['--storage', 'file/study.db'], ['file/study.db']),
        (['--worker', ''], ['`worker`', 'not empty']),
        (['--take-over', 'worker-0'], ['`worker`', "another one's name"]),
        (['--sampler', 'tpee'], ["did you mean 'tpe'"]),
        (['--trials', '0'], ['`trials`', 'got 0']),
        (['--batch', '0'], ['`batch`', 'got 0']),
        (['--steps', '0'], ['`steps`', 'got 0']),
        (['--seeds', '0'], ['`seeds`', 'got 0']),
        (['--out', 'file'], ["study: cannot write to --out 'file'"]),
        (['--trails', '3'], ['--trails']),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
def test_a_bad_call_is_one_line(monkeypatch, capsys, called, arguments, words):
  code = run(monkeypatch, 'study', QUICK, *arguments)
  check_refusal(code, capsys.readouterr(), *words)
  assert not called


def test_another_study_of_that_name_is_refused(monkeypatch, capsys, called):
  assert run(monkeypatch, *STUDY, '--trials', '2') == 0
  before = Path('out/study.json').read_text()
  capsys.readouterr()
  code = run(monkeypatch, *STUDY, '--trials', '3', '--steps', '99')
  check_refusal(code, capsys.readouterr(), '`steps`', '99', 'another name')
  assert len(called) == 1
  assert Path('out/study.json').read_text() == before


def test_a_worker_that_lost_its_name_is_told(monkeypatch, capsys):
  """Another process, on another machine, has begun under the same one."""
  said = 'Study: `worker` must be of one process, got w; give each its own.'

  def lost(self, trials, batch, on_trial):
    raise RuntimeError(said)

  monkeypatch.setattr(tune.Study, 'run', lost)
  code = run(monkeypatch, *STUDY, '--trials', '2')
  caught = capsys.readouterr()
  check_refusal(code, caught)
  assert caught.err == f'lrax: {said}\n'


def test_an_error_of_the_model_is_its_own(monkeypatch, capsys):
  code = run(monkeypatch, 'study', 'lrax_cli_tasks.py:angry', '--trials', '2')
  check_refusal(code, capsys.readouterr(), 'tasks.py:angry', 'no_such_thing')


def test_without_optuna_it_says_what_to_install(monkeypatch, capsys, called):
  monkeypatch.setitem(sys.modules, 'optuna', None)
  code = run(monkeypatch, *STUDY)
  check_refusal(code, capsys.readouterr(), 'Optuna', "pip install 'lrax[optuna]'")


def test_help_names_every_option(monkeypatch, capsys):
  monkeypatch.setenv('COLUMNS', '200')  # so that no name is broken over lines
  assert run(monkeypatch, 'study', '--help') == 0
  said = capsys.readouterr().out
  for option in (
      'space', 'storage', 'name', 'worker', 'take-over', 'trials', 'batch', 'sampler',
      'optimizer', 'schedule', 'steps', 'seeds', 'fixed', 'out',
  ):
    assert f'--{option}' in said
