"""`lrax sweep`: what it trains, writes and says, how it goes on, and how it ends."""

import csv
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
from programs import check_refusal
from programs import is_png
from programs import run
from programs import strictly
import pytest

from lrax import tune
from lrax.cli import _report

pytestmark = pytest.mark.usefixtures('place')

QUICK = 'lrax_cli_tasks.py:quick'
SGD = ('--optimizer', 'sgd', '--schedule', 'constant')


def closed_form(rate, steps=12):
  """The loss that gradient descent from 0 has on the mean of (w x - 3 x)**2."""
  squares = float(np.mean(np.linspace(-1, 1, 16) ** 2))
  return 9 * squares * (1 - 2 * squares * rate) ** (2 * steps)


def read(name):
  return strictly(Path('out', name).read_text())


def trial(rate, seed=0, loss=0.5, status='finished'):
  return tune.Trial(
      {'learning_rate': rate}, seed, loss, status, np.linspace(2.0, loss, 12)
  )


def swept(trials):
  """The sweep that these trials make."""
  rates = sorted({t.learning_rate for t in trials})
  seeds = tuple(sorted({t.seed for t in trials}))
  found = {(t.learning_rate, t.seed): t for t in trials}
  of = lambda get: np.asarray([[get(found[r, s]) for s in seeds] for r in rates])
  return tune.Sweep(
      'quick', 'adamw', 'cosine', np.asarray(rates), seeds, of(lambda t: t.losses),
      of(lambda t: len(t.losses)), of(lambda t: t.status),
      of(lambda t: t.validation_loss),
  )


@pytest.fixture
def called(monkeypatch, undrawn):
  """Takes the place of the training: every trial is found at once; its calls."""
  calls = []

  def sweep(task, rates, *, seeds, on_trial, known, **rest):
    calls.append({'rates': list(rates), 'seeds': seeds, 'known': known, **rest})
    trials = [trial(rate, seed) for rate in rates for seed in range(seeds)]
    for one in trials:
      on_trial(one)
    return swept(trials)

  monkeypatch.setattr(tune, 'sweep', sweep)
  return calls


# What it trains, and what it writes.


def test_sweep_trains_every_rate_and_writes_all(monkeypatch, capsys):
  code = run(
      monkeypatch, 'sweep', QUICK, '--rates', '0.1,0.5,100', '--seeds', '2', *SGD,
      '--out', 'out',
  )
  said = capsys.readouterr()
  assert (code, said.err) == (0, '')
  found = read('sweep.json')
  assert found['complete'] is True
  assert (found['task'], found['optimizer'], found['best']) == ('quick', 'sgd', 0.5)
  assert found['learning_rates'] == [0.1, 0.5, 100.0]
  assert {(t['learning_rate'], t['seed']) for t in found['trials']} == {
      (rate, seed) for rate in (0.1, 0.5, 100.0) for seed in (0, 1)
  }
  for one in found['trials']:
    if one['learning_rate'] == 100.0:  # it grows 5,600 times with every step
      assert one['status'] == 'diverged'
    else:
      assert one['status'] == 'finished'
      # Twelve updates in float32, each of a few roundings of 6e-8.
      np.testing.assert_allclose(
          one['validation_loss'], closed_form(one['learning_rate']), rtol=1e-4
      )
      assert len(one['losses']) == 12
  with open('out/sweep.csv') as file:
    table = list(csv.DictReader(file))
  assert [float(line['learning_rate']) for line in table] == [0.1, 0.5, 100.0]
  assert [line['diverged'] for line in table] == ['0', '0', '2']
  assert [float(line['validation_loss']) for line in table[:2]] == found['mean'][:2]
  assert is_png(Path('out/sweep.png'))
  assert sorted(os.listdir('out')) == ['sweep.csv', 'sweep.json', 'sweep.png']
  assert '0.5 is the best of 3 rates for quick with sgd over 12 steps' in said.out
  assert '2 of 2 diverged' in said.out
  assert 'Training diverged from 1e+02 on.' in said.out
  assert 'Wrote sweep.json, sweep.csv and sweep.png to out' in said.out


def test_sweep_takes_its_options(monkeypatch, called):
  code = run(
      monkeypatch, 'sweep', QUICK, '--rates', '1e-4:1:5', '--optimizer',
      'sgd(momentum=0.5)', '--schedule', 'linear', '--steps', '15', '--seeds', '3',
      '--engine', 'vmap', '--halve-at', '0.25,0.5', '--out', 'out',
  )
  assert code == 0
  (call,) = called
  # Powers of ten; geomspace is a few roundings of 1e-16 off.
  np.testing.assert_allclose(
      call.pop('rates'), [1e-4, 1e-3, 1e-2, 0.1, 1.0], rtol=1e-12
  )
  assert call == {
      'optimizer': 'sgd(momentum=0.5)', 'schedule': 'linear', 'steps': 15, 'seeds': 3,
      'engine': 'vmap', 'halve_at': [0.25, 0.5], 'known': [],
  }


def test_without_options_it_tries_sixteen_rates(monkeypatch, called):
  assert run(monkeypatch, 'sweep', QUICK) == 0
  (call,) = called
  assert len(call['rates']) == 16
  assert (min(call['rates']), max(call['rates'])) == (1e-5, 1.0)
  assert (call['optimizer'], call['schedule']) == ('adamw', 'cosine')
  assert (call['steps'], call['seeds'], call['halve_at']) == (None, 1, [])
  assert sorted(os.listdir('lrax-out')) == ['sweep.csv', 'sweep.json', 'sweep.png']


def test_how_a_run_ended_is_told_as_the_sweep_judged_it(monkeypatch, called):
  """A rate that gains nothing beside a smaller one is known for it at the end."""
  judge = swept([trial(0.1), trial(1.0, status='diverged')])

  def sweep(task, rates, *, on_trial, **rest):
    for one in (trial(0.1), trial(1.0)):
      on_trial(one)
    return judge

  monkeypatch.setattr(tune, 'sweep', sweep)
  assert run(monkeypatch, 'sweep', QUICK, '--rates', '0.1,1', '--out', 'out') == 0
  status = {t['learning_rate']: t['status'] for t in read('sweep.json')['trials']}
  assert status == {0.1: 'finished', 1.0: 'diverged'}


def test_where_no_rate_trains_it_ends_with_1(monkeypatch, capsys):
  code = run(
      monkeypatch, 'sweep', 'lrax_cli_tasks.py:hopeless', '--rates', '0.1,1',
      '--out', 'out',
  )
  said = capsys.readouterr()
  assert (code, said.err) == (1, '')
  assert 'None of 2 rates trained quick' in said.out
  found = read('sweep.json')
  assert found['complete'] is True
  assert found['best'] is None
  assert is_png(Path('out/sweep.png'))


@pytest.mark.parametrize(
    'trials, words',
    [
        (
            [trial(r, s, loss + 0.01 * s * (r == 0.1)) for s in (0, 1)
             for r, loss in ((0.01, 0.9), (0.1, 0.5), (1.0, 0.507))],
            ['0.1 is the best of 3 rates', 'peak of the cosine schedule over 12 steps',
             'validation loss 0.505, mean of 2 seeds',
             '2 rates from 0.1 to 1 are within noise'],
        ),
        (
            [trial(r, s, loss) for s in (0, 1)
             for r, loss in ((0.01, 0.9), (0.1, 0.5), (1.0, 0.7))],
            ['No other rate is within noise'],
        ),
        ([trial(0.1), trial(1.0, loss=0.4)],
         ['The best lies on the edge', 'the noise is not known']),
        ([trial(0.1)], ['0.1 is the best of 1 rate for']),
    ],
    ids=['noise', 'no noise', 'edge', 'alone'],
)
def test_its_verdict(monkeypatch, capsys, undrawn, trials, words):
  monkeypatch.setattr(tune, 'sweep', lambda *args, **rest: swept(trials))
  assert run(monkeypatch, 'sweep', QUICK, '--out', 'out') == 0
  said = capsys.readouterr().out
  for word in words:
    assert word in said
  if len(trials) == 1:
    assert 'edge' not in said


# Going on.


def earlier(trials, complete=False, **changes):
  """out/sweep.json as a run of these settings leaves it."""
  settings = {
      'task': QUICK, 'optimizer': 'sgd', 'schedule': 'constant', 'steps': 12,
      'seeds': 2, 'rates': [0.1, 0.5], 'halve_at': [],
  }
  Path('out').mkdir()
  Path('out/sweep.json').write_text(json.dumps({
      'complete': complete, 'settings': settings | changes,
      'trials': [one.to_dict() for one in trials],
  }))


RESUME = (
    'sweep', QUICK, '--rates', '0.5,0.1', '--seeds', '2', *SGD, '--out', 'out',
    '--resume',
)


def test_what_was_finished_is_not_trained_again(monkeypatch, undrawn):
  # No training gives these losses.
  earlier([trial(0.1, 0, 0.123), trial(0.1, 1, 0.124)])
  assert run(monkeypatch, *RESUME) == 0
  found = read('sweep.json')
  assert found['complete'] is True
  losses = {
      (t['learning_rate'], t['seed']): t['validation_loss'] for t in found['trials']
  }
  assert len(found['trials']) == 4
  assert (losses[0.1, 0], losses[0.1, 1]) == (0.123, 0.124)
  np.testing.assert_allclose(losses[0.5, 1], closed_form(0.5), rtol=1e-4)  # as above


def test_a_complete_sweep_trains_nothing(monkeypatch, capsys, undrawn):
  trials = [trial(r, s, 0.1 + r) for r in (0.1, 0.5) for s in (0, 1)]
  earlier(trials, complete=True)
  monkeypatch.setattr(
      tune._engine.Engine, 'run', lambda *args: pytest.fail('it trains')
  )
  assert run(monkeypatch, *RESUME) == 0
  assert '0.1 is the best of 2 rates' in capsys.readouterr().out
  assert len(read('sweep.json')['trials']) == 4


def test_where_there_is_nothing_to_go_on_from_it_begins(monkeypatch, called):
  assert run(monkeypatch, *RESUME) == 0
  assert called[0]['known'] == []
  assert read('sweep.json')['settings']['rates'] == [0.1, 0.5]


def test_what_it_writes_is_what_it_goes_on_from(monkeypatch, called):
  assert run(monkeypatch, *RESUME[:-1]) == 0
  assert run(monkeypatch, *RESUME) == 0
  known = called[1]['known']
  assert [(t.learning_rate, t.seed) for t in known] == [
      (0.1, 0), (0.1, 1), (0.5, 0), (0.5, 1)
  ]
  np.testing.assert_array_equal(known[0].losses, trial(0.1).losses)


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'task': 'digits'}, ['task was "digits" there', 'is "lrax_cli_tasks.py:q']),
        ({'optimizer': 'adamw'}, ['optimizer was "adamw" there and is "sgd" here']),
        ({'schedule': 'cosine'}, ['schedule was "cosine"']),
        ({'steps': 100}, ['steps was 100 there and is 12 here']),
        ({'seeds': 3}, ['seeds was 3 there and is 2 here']),
        ({'rates': [0.1, 0.2]}, ['rates was [0.1, 0.2] there']),
        ({'halve_at': [0.5]}, ['halve_at was [0.5]']),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_it_does_not_go_on_from_another_sweep(
    monkeypatch, capsys, called, changes, words
):
  earlier([trial(0.1)], **changes)
  before = Path('out/sweep.json').read_text()
  code = run(monkeypatch, *RESUME)
  check_refusal(code, capsys.readouterr(), '--resume', 'out/sweep.json', *words)
  assert not called
  assert Path('out/sweep.json').read_text() == before


@pytest.mark.parametrize(
    'text', ['', '{"complete": tr', '[]', '{"trials": []}', '{"settings": {}}', '3'],
)
def test_it_does_not_go_on_from_what_is_no_sweep(monkeypatch, capsys, called, text):
  Path('out').mkdir()
  Path('out/sweep.json').write_text(text)
  code = run(monkeypatch, *RESUME)
  check_refusal(code, capsys.readouterr(), 'cannot go on from', 'out/sweep.json')
  assert not called


def test_it_does_not_go_on_where_runs_are_compared_on_the_way(
    monkeypatch, capsys, called
):
  code = run(monkeypatch, *RESUME, '--halve-at', '0.5')
  check_refusal(code, capsys.readouterr(), '--resume', '--halve-at')
  assert not called


def test_a_killed_sweep_goes_on(monkeypatch, undrawn):
  """SIGKILL to the real process, then the same call with --resume."""
  arguments = [
      'sweep', 'lrax_cli_tasks.py:slow', '--rates', '0.1,0.5', '--seeds', '9', *SGD,
      '--out', 'out',
  ]
  process = subprocess.Popen(
      [sys.executable, '-m', 'lrax', *arguments], stdout=subprocess.PIPE,
      stderr=subprocess.PIPE, text=True,
  )
  try:
    # The two runs of a seed share its batches and 0.4 s; all take 3.6 s.
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
      if Path('out/sweep.json').exists() and len(read('sweep.json')['trials']) >= 2:
        break
      time.sleep(0.02)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.wait(60)
  finally:
    process.kill()
    process.communicate()
  left = read('sweep.json')
  assert left['complete'] is False
  assert 2 <= len(left['trials']) < 18
  trained = []
  sweep = tune.sweep

  def watched(*args, known, on_trial, **rest):
    keys = [(t.learning_rate, t.seed) for t in known]

    def tell(one):
      if (one.learning_rate, one.seed) not in keys:
        trained.append(one)
      on_trial(one)

    return sweep(*args, known=known, on_trial=tell, **rest)

  monkeypatch.setattr(tune, 'sweep', watched)
  assert run(monkeypatch, *arguments, '--resume') == 0
  found = read('sweep.json')
  assert found['complete'] is True
  assert len(found['trials']) == 18
  assert len(trained) == 18 - len(left['trials'])
  assert found['trials'][: len(left['trials'])] == left['trials']
  for one in found['trials']:  # as above, and its last losses are about 1e-7
    np.testing.assert_allclose(
        one['validation_loss'], closed_form(one['learning_rate'], 20), rtol=1e-3,
        atol=1e-9,
    )


# How it ends where something is wrong.


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['digit'], ["did you mean 'digits'"]),
        ([QUICK, '--rates', '1:2'], ['--rates', "got '1:2'", '1e-5:1:16']),
        ([QUICK, '--rates', 'many'], ["got 'many'"]),
        ([QUICK, '--rates', '1e-5:1:1'], ["got '1e-5:1:1'"]),
        ([QUICK, '--rates', '1:1e-5:4'], ["got '1:1e-5:4'"]),
        ([QUICK, '--rates', '0:1:4'], ["got '0:1:4'"]),
        ([QUICK, '--rates', '1e-5:inf:4'], ["got '1e-5:inf:4'"]),
        ([QUICK, '--rates', '1e-5:1:1e9'], ["got '1e-5:1:1e9'"]),
        ([QUICK, '--rates', '1e-5:1:1000000000'], ['--rates']),
        ([QUICK, '--rates', ''], ['--rates']),
        ([QUICK, '--rates', '0.1,,1'], ['--rates']),
        ([QUICK, '--rates', '0.1,-1'], ['`learning_rates[0]`', 'got -1.0']),
        ([QUICK, '--rates', '0.1,nan'], ['`learning_rates[', 'got nan']),
        ([QUICK, '--rates', '0.1,0.1'], ['`learning_rates`', 'each once']),
        ([QUICK, '--halve-at', 'half'], ['--halve-at', "got 'half'"]),
        ([QUICK, '--halve-at', '2'], ['`halve_at[0]`', 'got 2']),
        ([QUICK, '--engine', 'vmp'], ["did you mean 'vmap'"]),
        ([QUICK, '--optimizer', 'adamm'], ["did you mean 'adam"]),
        ([QUICK, '--schedule', 'cosin'], ["did you mean 'cosine'"]),
        ([QUICK, '--steps', '0'], ['`steps`', 'got 0']),
        ([QUICK, '--seeds', '0'], ['`seeds`', 'got 0']),
        ([QUICK, '--out', 'file/below'], ['sweep: cannot write to --out']),
        ([QUICK, '--rate', '1'], ['--rate']),
        (['lrax_cli_tasks.py:broken'], ['tasks.py:broken', 'ZeroDivisionError']),
        ([], ['task']),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
def test_a_bad_call_or_a_bad_task_is_one_line(monkeypatch, capsys, arguments, words):
  Path('lrax-out').mkdir()
  Path('lrax-out/sweep.json').write_text('an earlier result')
  code = run(monkeypatch, 'sweep', *arguments)
  check_refusal(code, capsys.readouterr(), *words)
  assert Path('lrax-out/sweep.json').read_text() == 'an earlier result'


def test_without_matplotlib_it_says_so_before_it_trains(monkeypatch, capsys, called):
  monkeypatch.setitem(sys.modules, 'matplotlib', None)
  code = run(monkeypatch, 'sweep', QUICK, '--out', 'out')
  check_refusal(code, capsys.readouterr(), 'matplotlib', "pip install 'lrax[cli]'")
  assert not called


def stopping(error, *trials):
  """A sweep that finds these trials, and then stops."""

  def sweep(*args, on_trial, **rest):
    for one in trials:
      on_trial(one)
    raise error

  return sweep


def test_ctrl_c_keeps_what_was_finished(monkeypatch, capsys):
  monkeypatch.setattr(
      tune, 'sweep', stopping(KeyboardInterrupt, trial(0.1), trial(0.5))
  )
  code = run(monkeypatch, 'sweep', QUICK, '--rates', '0.1,0.5,1', '--out', 'out')
  said = capsys.readouterr()
  assert code == 130
  assert said.err == (
      'lrax: stopped; 2 runs were finished; out/sweep.json has what there is; the same'
      ' call with --resume goes on.\n'
  )
  left = read('sweep.json')
  assert left['complete'] is False
  assert len(left['trials']) == 2
  assert os.listdir('out') == ['sweep.json']


def test_ctrl_c_before_any_run_leaves_earlier_results_alone(monkeypatch, capsys):
  Path('out').mkdir()
  Path('out/sweep.json').write_text('an earlier result')
  monkeypatch.setattr(tune, 'sweep', stopping(KeyboardInterrupt))
  code = run(monkeypatch, 'sweep', QUICK, '--out', 'out')
  assert code == 130
  assert capsys.readouterr().err == 'lrax: stopped; 0 runs were finished.\n'
  assert Path('out/sweep.json').read_text() == 'an earlier result'


def test_ctrl_c_loses_nothing_of_what_it_went_on_from(monkeypatch, capsys):
  earlier([trial(0.1, 0), trial(0.1, 1), trial(0.5, 0)])
  # The known ones are told as their rates come up.
  monkeypatch.setattr(tune, 'sweep', stopping(KeyboardInterrupt, trial(0.5, 1)))
  assert run(monkeypatch, *RESUME) == 130
  assert len(read('sweep.json')['trials']) == 4


def test_an_error_in_the_midst_keeps_what_was_finished(monkeypatch, capsys):
  error = ZeroDivisionError('in a callback')
  monkeypatch.setattr(tune, 'sweep', stopping(error, *map(trial, (0.1, 0.2, 0.3))))
  code = run(monkeypatch, 'sweep', QUICK, '--out', 'out')
  check_refusal(code, capsys.readouterr(), 'ZeroDivisionError: in a callback')
  assert len(read('sweep.json')['trials']) == 3


def test_what_an_earlier_run_left_goes_with_the_first_trial(monkeypatch, capsys):
  Path('out').mkdir()
  for name in ('sweep.json', 'sweep.csv', 'sweep.png', 'find.json'):
    Path('out', name).write_text('an earlier result')
  monkeypatch.setattr(tune, 'sweep', stopping(KeyboardInterrupt, trial(0.1)))
  run(monkeypatch, 'sweep', QUICK, '--out', 'out')
  assert sorted(os.listdir('out')) == ['find.json', 'sweep.json']
  assert len(read('sweep.json')['trials']) == 1


# What it keeps while it runs.


def test_writing_takes_a_small_part_of_the_time(monkeypatch, tmp_path):
  """However large the file grows, and nothing is left unwritten at the end."""
  clock, writes = [0.0], []
  write = _report.Report._write

  def slowly(self, result):
    clock[0] += 1.0
    writes.append(len(result['trials']))
    write(self, result)

  monkeypatch.setattr(_report.time, 'monotonic', lambda: clock[0])
  monkeypatch.setattr(_report.Report, '_write', slowly)
  report = _report.Report('sweep', tmp_path)
  with pytest.raises(SystemExit), report.running('task'):
    for index in range(1000):
      clock[0] += 0.1
      report.add(trial(0.1 + index))
    raise KeyboardInterrupt
  # 100 s of training; a second of writing may come with every 20 s, and the first
  # and the last are written whatever they take.
  assert writes[0] == 1
  assert writes[-1] == 1000
  assert 4 <= len(writes) <= 8


def test_every_trial_is_written_at_once_where_that_is_quick(monkeypatch, tmp_path):
  monkeypatch.setattr(_report.time, 'monotonic', lambda: 0.0)
  report = _report.Report('sweep', tmp_path)
  for index in range(3):
    report.add(trial(0.1 + index))
    kept = strictly((tmp_path / 'sweep.json').read_text())
    assert len(kept['trials']) == index + 1
    assert kept['complete'] is False


def test_the_bar_shows_the_best_by_the_mean_over_the_seeds(tmp_path):
  report = _report.Report('sweep', tmp_path)
  assert report.best() == ''
  for one in (
      trial(0.1, 0, 0.4), trial(0.1, 1, 0.6), trial(0.5, 0, 0.1), trial(0.5, 1, 0.95),
      trial(0.7, 0, 0.0, 'diverged'), trial(0.7, 1, 0.0), trial(0.9, 0, 0.01),
  ):
    report.add(one)
  # 0.5 has the lowest loss but not the lowest mean; 0.9 has one seed to come.
  assert report.best() == 'best 0.5 at learning_rate=0.1'


def test_help_names_every_option(monkeypatch, capsys):
  monkeypatch.setenv('COLUMNS', '200')  # so that no name is broken over lines
  assert run(monkeypatch, 'sweep', '--help') == 0
  said = capsys.readouterr().out
  for option in (
      'rates', 'optimizer', 'schedule', 'steps', 'seeds', 'engine', 'halve-at', 'out',
      'resume',
  ):
    assert f'--{option}' in said
