"""`lrax search`: what it searches, writes and says, how it goes on, and how it ends."""

import csv
import json
import os
from pathlib import Path

import numpy as np
from programs import check_refusal
from programs import is_png
from programs import run
from programs import strictly
import pytest

from lrax import tune

pytestmark = pytest.mark.usefixtures('place')

QUICK = 'lrax_cli_tasks.py:quick'
RATES = 'learning_rate=log_uniform(0.1, 1)'


def closed_form(rate):
  """The loss after 12 updates of gradient descent from 0 on mean of (w x - 3 x)**2."""
  squares = float(np.mean(np.linspace(-1, 1, 16) ** 2))
  return 9 * squares * (1 - 2 * squares * rate) ** 24


def read(name):
  return strictly(Path('out', name).read_text())


def trial(point, loss=0.5, status='finished', seed=0, steps=12):
  if not isinstance(point, dict):
    point = {'learning_rate': point}
  return tune.Trial(point, seed, loss, status, np.linspace(2.0, 1.0, steps))


def searched(rows, **changes):
  """The result that holds these trials, a row each."""
  whole = [row for row in rows if row.status == 'finished']
  best = min(whole, key=lambda row: row.validation_loss, default=None)
  arguments = {
      'task': 'quick', 'optimizer': 'adamw', 'schedule': 'cosine', 'method': 'random',
      'space': {name: tune.uniform(0.0, 2.0) for name in rows[0].point},
      'best': best and best.point, 'noise': np.nan,
      'validation_loss': best.validation_loss if best else np.nan,
      'rows': tuple(
          tune.Row(
              row.point, row.validation_loss, 0.0, int(row.status == 'diverged'), (row,)
          )
          for row in rows
      ),
      'edges': (), 'widened': {}, 'history': (), 'steps': 12, 'seeds': (0,),
      'steps_spent': 120, 'verdict': 'This is the verdict.',
  }
  return tune.Searched(**(arguments | changes))


@pytest.fixture
def called(monkeypatch, undrawn):
  """Takes the place of the training: its calls, and what it finds."""
  calls = []

  def search(task, space, *, on_trial, **rest):
    calls.append({'space': space, **rest})
    rows = [trial(0.1, 0.9), trial(0.5, 0.4), trial(1.0, np.nan, 'diverged')]
    for row in rows:
      on_trial(row)
    return searched(rows)

  monkeypatch.setattr(tune, 'search', search)
  return calls


# What it searches, and what it writes.


def test_search_trains_and_writes_all(monkeypatch, capsys):
  code = run(
      monkeypatch, 'search', QUICK, '--space', RATES, '--method', 'grid', '--budget',
      '3', '--optimizer', 'sgd', '--schedule', 'constant', '--seeds', '2', '--out',
      'out',
  )
  said = capsys.readouterr()
  assert (code, said.err) == (0, '')
  found = read('search.json')
  assert found['complete'] is True
  assert (found['method'], found['best']) == ('grid', {'learning_rate': 1.0})
  assert found['space'] == {
      'learning_rate': {'kind': 'log_uniform', 'low': 0.1, 'high': 1.0}
  }
  assert len(found['trials']) == 6
  for one in found['trials']:
    # Twelve updates in float32, each of a few roundings of 6e-8, of a loss that
    # may end at 1e-13 of the first.
    np.testing.assert_allclose(
        one['validation_loss'], closed_form(one['learning_rate']), rtol=1e-3, atol=1e-11
    )
  with open('out/search.csv') as file:
    table = list(csv.DictReader(file))
  assert [float(line['learning_rate']) for line in table] == [0.1, 10**-0.5, 1.0]
  assert {line['seeds'] for line in table} == {'2'}
  assert is_png(Path('out/search.png'))
  assert sorted(os.listdir('out')) == ['search.csv', 'search.json', 'search.png']
  assert found['verdict'] in said.out
  assert 'learning_rate=1 is the best of 3 points for quick with sgd' in said.out


def test_search_takes_its_options(monkeypatch, called):
  code = run(
      monkeypatch, 'search', QUICK, '--space', 'learning_rate = log_uniform(1e-4, 1)',
      '--space', 'b2=uniform(0.9, 0.999, within=(0.5, 0.9999))', '--space',
      'b1=choice(0.9, 0.95)', '--space', 'n=integer(1, 2**4, log=True)', '--method',
      'sobol', '--budget', '9', '--batch', '3', '--optimizer', 'adam', '--schedule',
      'linear', '--steps', '15', '--seeds', '3', '--fixed', 'eps=1e-6', '--fixed',
      "optimizer='lion'", '--fixed', 'nesterov=True', '--out', 'out',
  )
  assert code == 0
  (call,) = called
  assert call == {
      'space': {
          'learning_rate': tune.log_uniform(1e-4, 1.0),
          'b2': tune.uniform(0.9, 0.999, within=(0.5, 0.9999)),
          'b1': tune.choice(0.9, 0.95),
          'n': tune.integer(1, 16, log=True),
      },
      'method': 'sobol', 'budget': 9, 'batch': 3, 'optimizer': 'adam',
      'schedule': 'linear', 'steps': 15, 'seeds': 3, 'known': [],
      'fixed': {'eps': 1e-6, 'optimizer': 'lion', 'nesterov': True},
  }
  assert list(call['space']) == ['learning_rate', 'b2', 'b1', 'n']


def test_without_options_it_searches_the_rate(monkeypatch, called):
  assert run(monkeypatch, 'search', QUICK) == 0
  (call,) = called
  assert call['space'] == {'learning_rate': tune.log_uniform(1e-5, 1.0)}
  assert (call['method'], call['budget'], call['batch']) == ('bayesian', 32, None)
  assert (call['optimizer'], call['steps'], call['fixed']) == ('adamw', None, {})
  files = ['search.csv', 'search.json', 'search.png']
  assert sorted(os.listdir('lrax-out')) == files


def test_its_table_shows_the_best_points_first(monkeypatch, capsys, undrawn):
  monkeypatch.setenv('COLUMNS', '120')
  rows = [trial(0.01 * i, 0.5 + 0.01 * i) for i in range(1, 14)]
  rows += [trial(0.5, 0.1, 'stopped early', steps=3), trial(0.7, 0.2)]
  monkeypatch.setattr(tune, 'search', lambda *args, **rest: searched(rows))
  assert run(monkeypatch, 'search', QUICK, '--out', 'out') == 0
  said = capsys.readouterr().out
  assert 'quick, adamw: the best 12 of 15 points' in ' '.join(said.split())
  shown = [line.split('│')[1:-1] for line in said.splitlines() if '│' in line]
  rates = [float(cells[0]) for cells in shown]
  assert rates == [0.7, *(round(0.01 * i, 2) for i in range(1, 12))]
  with open('out/search.csv') as file:
    assert len(list(csv.DictReader(file))) == 15


def test_its_table_says_what_became_of_points(monkeypatch, capsys, undrawn):
  monkeypatch.setenv('COLUMNS', '120')
  rows = [
      trial({'learning_rate': 0.1, 'b1': None}, 0.4),
      trial({'learning_rate': 0.5, 'b1': 'a'}, np.nan, 'diverged'),
      trial({'learning_rate': 0.3, 'b1': True}, 0.1, 'stopped early', steps=3),
  ]
  space = {
      'learning_rate': tune.uniform(0.0, 2.0), 'b1': tune.choice(None, 'a', True),
  }
  result = searched(rows, space=space)
  monkeypatch.setattr(tune, 'search', lambda *args, **rest: result)
  assert run(monkeypatch, 'search', QUICK, '--out', 'out') == 0
  said = capsys.readouterr().out
  shown = [
      [cell.strip() for cell in line.split('│')[1:-1]]
      for line in said.splitlines() if '│' in line
  ]
  assert shown == [
      ['0.1', 'None', '0.4', ''], ['0.3', 'True', '0.1', 'stopped early, at step 3'],
      ['0.5', 'a', '-', '1 of 1 diverged'],
  ]
  assert 'This is the verdict.' in said


def test_where_no_point_trains_it_ends_with_1(monkeypatch, capsys):
  rows = [trial(0.1, np.nan, 'diverged'), trial(0.5, np.nan, 'diverged')]
  monkeypatch.setattr(tune, 'search', lambda *args, **rest: searched(rows))
  assert run(monkeypatch, 'search', QUICK, '--out', 'out') == 1
  assert 'This is the verdict.' in capsys.readouterr().out
  found = read('search.json')
  assert (found['complete'], found['best']) == (True, None)
  assert is_png(Path('out/search.png'))


# Going on.

RESUME = (
    'search', QUICK, '--space', RATES, '--method', 'grid', '--budget', '3',
    '--optimizer', 'sgd', '--schedule', 'constant', '--out', 'out', '--resume',
)


def earlier(trials, **changes):
  """out/search.json as a run of these settings leaves it."""
  settings = {
      'task': QUICK, 'space': {'learning_rate': 'log_uniform(0.1, 1.0)'}, 'fixed': {},
      'method': 'grid', 'budget': 3, 'batch': None, 'optimizer': 'sgd',
      'schedule': 'constant', 'steps': 12, 'seeds': 1,
  }
  Path('out').mkdir()
  Path('out/search.json').write_text(json.dumps({
      'complete': False, 'settings': settings | changes,
      'trials': [one.to_dict() for one in trials],
  }))


def test_what_was_finished_is_not_trained_again(monkeypatch, undrawn):
  # No training gives this loss.
  earlier([trial(0.1, 0.123)])
  assert run(monkeypatch, *RESUME) == 0
  losses = [t['validation_loss'] for t in read('search.json')['trials']]
  assert losses[0] == 0.123
  np.testing.assert_allclose(losses[1], closed_form(10**-0.5), rtol=1e-3)  # as above


def test_what_it_writes_is_what_it_goes_on_from(monkeypatch, called):
  point = {'learning_rate': 0.5, 'b1': None, 'n': 3, 'w': 'a', 'f': True}
  rows = [trial(point, np.nan, 'diverged')]

  def search(task, space, *, on_trial, known, **rest):
    called.append(known)
    on_trial(rows[0])
    space = {name: tune.choice(value) for name, value in point.items()}
    return searched(rows, space=space)

  monkeypatch.setattr(tune, 'search', search)
  for _ in range(2):  # nothing trained, so it ends with 1
    assert run(monkeypatch, *RESUME) == 1
  assert called[0] == []
  ((again,),) = called[1:]
  assert again.point == point
  assert [type(value) for value in again.point.values()] == [
      type(value) for value in point.values()
  ]
  assert (again.seed, again.status) == (0, 'diverged')
  assert np.isnan(again.validation_loss)
  np.testing.assert_array_equal(again.losses, rows[0].losses)


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'space': {'learning_rate': 'log_uniform(0.01, 1.0)'}},
         ['space was {"learning_rate": "log_uniform(0.01, 1.0)"} there']),
        ({'fixed': {'b1': 0.8}}, ['fixed was {"b1": 0.8} there and is {} here']),
        ({'method': 'zoom'}, ['method was "zoom" there and is "grid" here']),
        ({'budget': 4}, ['budget was 4 there and is 3 here']),
        ({'batch': 2}, ['batch was 2 there and is null here']),
        ({'steps': 100}, ['steps was 100']),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_it_does_not_go_on_from_another_search(
    monkeypatch, capsys, called, changes, words
):
  earlier([trial(0.1)], **changes)
  code = run(monkeypatch, *RESUME)
  check_refusal(code, capsys.readouterr(), '--resume', 'out/search.json', *words)
  assert not called


@pytest.mark.parametrize('method', ['halving', 'population'])
def test_it_does_not_go_on_where_runs_are_compared_on_the_way(
    monkeypatch, capsys, called, method
):
  code = run(monkeypatch, 'search', QUICK, '--method', method, '--resume')
  check_refusal(code, capsys.readouterr(), '--resume', f'--method {method}')
  assert not called


def test_ctrl_c_keeps_what_was_finished(monkeypatch, capsys):

  def search(task, space, *, on_trial, **rest):
    on_trial(trial(0.1))
    raise KeyboardInterrupt

  monkeypatch.setattr(tune, 'search', search)
  code = run(monkeypatch, 'search', QUICK, '--out', 'out')
  assert code == 130
  assert capsys.readouterr().err == (
      'lrax: stopped; 1 runs were finished; out/search.json has what there is; the'
      ' same call with --resume goes on.\n'
  )
  left = read('search.json')
  assert (left['complete'], len(left['trials'])) == (False, 1)
  assert left['settings']['method'] == 'bayesian'


# How it ends where something is wrong.


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['--space', 'rate'], ['--space must be name=', "got 'rate'"]),
        (['--space', '=uniform(0, 1)'], ['--space must be name=']),
        (['--space', 'a b=uniform(0, 1)'], ['--space must be name=']),
        (['--space', 'learning_rate='], ['`--space`', 'an expression']),
        (['--space', 'learning_rate=1'], ['`--space`', 'log_uniform', "got '1'"]),
        (['--space', 'learning_rate=log_unifrm(1, 2)'], ["did you mean 'log_uniform'"]),
        (['--space', 'learning_rate=log_uniform'], ["did you mean 'log_uniform'"]),
        (['--space', 'learning_rate=log_uniform(1)'], ["argument: 'high'"]),
        (['--space', 'learning_rate=log_uniform(1, 2, 3, 4)'], ['positional']),
        (['--space', 'learning_rate=log_uniform(0, 1)'], ['log_uniform: `low`']),
        (['--space', 'learning_rate=log_uniform(1, 0.1)'], ['`high` must be above']),
        (['--space', 'learning_rate=uniform(0, "1")'], ['uniform: `high`', "got '1'"]),
        (['--space', 'learning_rate=choice()'], ['choice: `options`']),
        (['--space', 'learning_rate=choice(a, b)'], ["got 'a'"]),
        (['--space', "learning_rate=__import__('os').abort()"], ['`--space`']),
        (['--space', 'learning_rate=uniform(0, open("file"))'], ["got 'open'"]),
        (['--space', RATES, '--space', RATES], ["'learning_rate' twice"]),
        (['--space', 'b2=uniform(0.9, 0.99)'], ["one with 'learning_rate'"]),
        (['--space', RATES, '--space', 'b3=uniform(0, 1)'], ["got 'b3'"]),
        (['--fixed', 'b1'], ['--fixed must be name=', 'b2=0.95']),
        (['--fixed', 'optimizer=lion'], ['a word in quotes', "got 'lion'"]),
        (['--fixed', 'b1=[0.9]'], ['`--fixed`', "got '[0.9]'"]),
        (['--fixed', 'b1=constant(0.9)'], ['`--fixed`']),
        (['--fixed', "b1=__import__('os').abort()"], ['`--fixed`']),
        (['--fixed', 'b3=0.9'], ["got 'b3'"]),
        (['--method', 'zom'], ["did you mean 'zoom'"]),
        (['--method', 'population', '--budget', '3'], ['`budget`', 'got 3']),
        (['--budget', '0'], ['`budget`', 'got 0']),
        (['--batch', '0'], ['`batch`', 'got 0']),
        (['--seeds', '0'], ['`seeds`', 'got 0']),
        (['--out', 'file'], ["search: cannot write to --out 'file'"]),
        (['--spce', RATES], ['--spce']),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
def test_a_bad_call_is_one_line(monkeypatch, capsys, arguments, words):
  Path('lrax-out').mkdir()
  Path('lrax-out/search.json').write_text('an earlier result')
  code = run(monkeypatch, 'search', QUICK, *arguments)
  check_refusal(code, capsys.readouterr(), *words)
  assert Path('lrax-out/search.json').read_text() == 'an earlier result'


def test_help_names_every_option(monkeypatch, capsys):
  monkeypatch.setenv('COLUMNS', '200')  # so that no name is broken over lines
  assert run(monkeypatch, 'search', '--help') == 0
  said = capsys.readouterr().out
  for option in (
      'space', 'method', 'budget', 'batch', 'optimizer', 'schedule', 'steps', 'seeds',
      'fixed', 'out', 'resume',
  ):
    assert f'--{option}' in said
  for method in tune._search.METHODS:
    assert method in said
