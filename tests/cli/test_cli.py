"""`lrax find`: what it writes and says, and how it ends."""

import csv
import importlib.metadata
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from programs import check_refusal
from programs import is_png
from programs import program
from programs import run
from programs import strictly
import pytest

from lrax import cli

pytestmark = pytest.mark.usefixtures('place')

# What it writes.


def test_find_digits(tmp_path):
  ended = program('find', 'digits', '--steps', '60', '--seeds', '1', '--out', 'out')
  assert (ended.returncode, ended.stderr) == (0, '')
  found = strictly(Path('out/find.json').read_text())
  assert found['complete'] is True
  assert (found['task'], found['optimizer'], found['steps']) == ('digits', 'adamw', 60)
  assert found['seeds'] == [0]
  # AdamW trains this MLP at rates about 0.03; ten times less or more is wrong.
  assert 0.003 < found['learning_rate'] < 0.3
  assert found['verdict'] in ended.stdout
  assert f'{found["learning_rate"]:.2g}' in found['verdict']
  assert len(found['range_test']['losses'][0]) == 60
  with open('out/find.csv') as file:
    table = list(csv.DictReader(file))
  by_rate = {trial['learning_rate']: trial for trial in found['trials']}
  assert [float(line['learning_rate']) for line in table] == sorted(by_rate)
  for line in table:
    trial = by_rate[float(line['learning_rate'])]
    assert float(line['validation_loss']) == trial['validation_loss']
    assert (line['diverged'], line['seeds']) == ('0', '1')
  assert is_png(tmp_path / 'out' / 'find.png')
  assert sorted(os.listdir('out')) == ['find.csv', 'find.json', 'find.png']


def test_find_takes_its_options(monkeypatch, capsys):
  code = run(
      monkeypatch, 'find', 'lrax_cli_tasks.py:quick', '--optimizer',
      'sgd(momentum=0.5)', '--schedule', 'linear', '--seeds', '2', '--steps', '15',
      '--budget', '149', '--out', 'deep/er',
  )
  said = capsys.readouterr()
  assert (code, said.err) == (0, '')
  found = strictly(Path('deep/er/find.json').read_text())
  assert found['complete'] is True
  assert (found['task'], found['optimizer']) == ('quick', 'sgd(momentum=0.5)')
  assert (found['schedule'], found['steps'], found['seeds']) == ('linear', 15, [0, 1])
  # The ramp takes 15 steps on two seeds, three rates 30 each; a fourth is too much.
  assert found['steps_spent'] == 120
  assert len(found['trials']) == 6
  assert 'The budget ended the search' in said.out
  assert 'deep/er' in said.out
  assert all(name in os.listdir('deep/er') for name in ('find.csv', 'find.png'))


def test_find_compares_optimizers_and_picks(monkeypatch, capsys):
  code = run(
      monkeypatch, 'find', 'lrax_cli_tasks.py:quick', '--optimizer', 'sgd',
      '--optimizer', 'sgd(momentum=0.5)', '--pick', 'warmup', '--pick', 'steps',
      '--seeds', '2', '--out', 'both',
  )
  said = capsys.readouterr()
  assert (code, said.err) == (0, '')
  found = strictly(Path('both/find.json').read_text())
  (other,) = found['others']
  both = {'sgd', 'sgd(momentum=0.5)'}
  assert {found['optimizer'], other['optimizer']} == both
  assert found['validation_loss'] <= other['validation_loss']
  for one in (found, other):
    assert {t.get('steps') for t in one['picked']} == {None, 3, 6, 24}
    assert one['steps'] in (3, 6, 12, 24)
  assert f'{other["optimizer"]} reaches' in said.out.replace('\n', ' ')
  with open('both/find.csv') as file:
    assert {line['optimizer'] for line in csv.DictReader(file)} == both
  assert is_png(Path('both/find.png'))


def test_without_options_it_writes_to_lrax_out(monkeypatch, capsys):
  assert run(monkeypatch, 'find', 'lrax_cli_tasks:quick', '--seeds', '1') == 0
  assert sorted(os.listdir('lrax-out')) == ['find.csv', 'find.json', 'find.png']
  assert strictly(Path('lrax-out/find.json').read_text())['seeds'] == [0]
  assert capsys.readouterr().err == ''


def test_where_no_rate_trains_it_says_so_and_ends_with_1(monkeypatch, capsys):
  code = run(
      monkeypatch, 'find', 'lrax_cli_tasks.py:hopeless', '--seeds', '1', '--out', 'out'
  )
  said = capsys.readouterr()
  assert code == 1
  assert 'every run diverged' in said.out
  assert 'Traceback' not in said.out + said.err
  found = strictly(Path('out/find.json').read_text())
  assert found['complete'] is True
  assert found['learning_rate'] is None
  assert is_png(Path('out/find.png'))


def test_the_evidence_is_written_though_nobody_reads_the_output():
  """As in `lrax find ... | head -0`: all the training is done by then."""
  read, write = os.pipe()
  process = subprocess.Popen(
      [
          sys.executable, '-m', 'lrax', 'find', 'lrax_cli_tasks.py:quick',
          '--seeds', '1', '--out', 'out',
      ],
      stdout=write, stderr=subprocess.DEVNULL,
  )
  os.close(read)
  os.close(write)
  process.wait(120)
  assert strictly(Path('out/find.json').read_text())['complete'] is True


def test_without_matplotlib_it_says_what_to_install(monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'matplotlib', None)
  code = run(
      monkeypatch, 'find', 'lrax_cli_tasks.py:quick', '--seeds', '1', '--out', 'out'
  )
  error = capsys.readouterr().err
  assert code == 2
  assert error.startswith('lrax: ') and error.count('\n') == 1
  assert 'matplotlib' in error
  assert "pip install 'lrax[cli]'" in error


# How it ends where something is wrong.


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['digit'], ["no built-in task is called 'digit'", "did you mean 'digits'"]),
        (['nowhere.py:task'], ["there is no file 'nowhere.py'"]),
        (['lrax_cli_none:task'], ["there is no module 'lrax_cli_none'"]),
        (['lrax_cli_tasks.py:none'], ["there is no 'none' in lrax_cli_tasks.py"]),
        (['lrax_cli_tasks.py:x'], ['must be a lrax.tasks.Task', 'ndarray']),
        (['lrax_cli_bad.py:task'], ['lrax_cli_bad.py', 'RuntimeError: no data here']),
        (['lrax_cli_syntax.py:task'], ['lrax_cli_syntax.py', 'SyntaxError']),
        (['lrax_cli_exit.py:task'], ['lrax_cli_exit.py', 'SystemExit']),
        (['lrax_cli_tasks.py:vector'], ['quick: `loss`', 'shape (16,)']),
        (['lrax_cli_tasks.py:broken'], ['tasks.py:broken', 'ZeroDivisionError']),
        (['lrax_cli_tasks.py:angry'], ['tasks.py:angry', 'no_such_thing']),
        (['digits', '--optimizer', 'adamm'], ["did you mean 'adam"]),
        (['digits', '--optimizer', 'sgd(momentun=1)'], ['momentun']),
        (['digits', '--optimizer', "__import__('os').abort()"], ['`optimizer`']),
        (['digits', '--schedule', 'cosin'], ["did you mean 'cosine'"]),
        (['digits', '--steps', '0'], ['`steps`', 'got 0']),
        (['digits', '--steps', 'many'], ['--steps', 'integer']),
        (['digits', '--seeds', '0'], ['`seeds`', 'got 0']),
        (['digits', '--seeds', '1.5'], ['--seeds', 'integer']),
        (['digits', '--budget', '10'], ['`budget` must be at least', 'got 10']),
        (['digits', '--out', 'file/below'], ['--out', 'file/below']),
        (['digits', '--out', 'file'], ['--out', "'file'"]),
        (['digits', '--stesp', '3'], ['--stesp']),
        (['digits', '--steps'], ['--steps']),
        (['digits', 'more'], ['more']),
        ([], ['task']),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
def test_a_bad_call_or_a_bad_task_is_one_line(monkeypatch, capsys, arguments, words):
  code = run(monkeypatch, 'find', *arguments)
  check_refusal(code, capsys.readouterr(), *words)


def test_an_unknown_command_is_one_line(monkeypatch, capsys):
  code = run(monkeypatch, 'fnd', 'digits')
  check_refusal(code, capsys.readouterr(), 'fnd')


def test_a_refused_call_leaves_earlier_results_alone(monkeypatch, capsys):
  Path('out').mkdir()
  Path('out/find.json').write_text('{"complete": true}')
  run(monkeypatch, 'find', 'digit', '--out', 'out')
  capsys.readouterr()
  assert Path('out/find.json').read_text() == '{"complete": true}'


def test_the_real_program_refuses_in_one_line_too():
  ended = program('find', 'lrax_cli_tasks.py:vector', '--out', 'out')
  assert ended.returncode == 2
  assert not ended.stdout.strip()
  assert ended.stderr.startswith('lrax: quick: `loss` must return a floating-point')
  assert ended.stderr.count('\n') == 1


def test_debugging_shows_where_it_was(monkeypatch):
  monkeypatch.setenv('LRAX_DEBUG', '1')
  monkeypatch.setattr(sys, 'argv', ['lrax', 'find', 'lrax_cli_tasks.py:broken'])
  with pytest.raises(ZeroDivisionError):
    cli.main()


# Ctrl-C.


def test_ctrl_c_keeps_what_was_finished(tmp_path):
  """SIGINT to the real process in the middle of the sweep."""
  out = tmp_path / 'out' / 'find.json'
  process = subprocess.Popen(
      # A shell makes its background jobs, and their children, ignore Ctrl-C; a
      # program that a person starts does not.
      [
          sys.executable, '-c',
          'import signal; signal.signal(signal.SIGINT, signal.default_int_handler);'
          ' from lrax.cli import main; main()',
          'find', 'lrax_cli_tasks.py:slow', '--out', 'out',
      ],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
  )
  try:
    # Each run sleeps for 0.4 s, and some twenty are wanted; two are waited for.
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
      if out.exists() and len(strictly(out.read_text())['trials']) >= 2:
        break
      time.sleep(0.02)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
  finally:
    process.kill()
    process.wait()
  assert process.returncode == 130
  assert 'Traceback' not in error
  assert error.count('\n') == 1
  kept = strictly(out.read_text())
  assert kept['complete'] is False
  assert len(kept['trials']) >= 2
  finished = int(re.search(r'(\d+) runs were finished', error)[1])
  # The signal may come between a run's end and its being written.
  assert len(kept['trials']) <= finished <= len(kept['trials']) + 1
  assert 'out/find.json' in error
  for trial in kept['trials']:
    assert set(trial) >= {'learning_rate', 'seed', 'validation_loss', 'status'}
    assert len(trial['losses']) == 20
  # The range test was finished too, and is evidence.
  assert len(kept['range_test']['losses']) == 2
  assert not {'find.csv', 'find.png'} & set(os.listdir('out'))


def test_ctrl_c_before_any_run_says_that_there_is_none(monkeypatch, capsys):
  Path('lrax_cli_stops.py').write_text('raise KeyboardInterrupt\n')
  code = run(monkeypatch, 'find', 'lrax_cli_stops.py:task', '--out', 'out')
  said = capsys.readouterr()
  assert code == 130
  assert '0 runs were finished' in said.err
  assert not Path('out/find.json').exists()


# Its face.


@pytest.mark.parametrize('missing', ['rich', 'typer'])
def test_without_its_libraries_it_says_what_to_install(missing):
  code = (
      f"import sys; sys.modules['{missing}'] = None; sys.argv = ['lrax', 'find', 'x'];"
      ' from lrax.cli import main; main()'
  )
  ended = subprocess.run(
      [sys.executable, '-c', code], capture_output=True, text=True, timeout=120,
      check=False,
  )
  assert ended.returncode == 2
  assert ended.stdout == ''
  assert ended.stderr.count('\n') == 1
  assert missing in ended.stderr
  assert "pip install 'lrax[cli]'" in ended.stderr


def test_python_m_lrax_help():
  ended = program('--help')
  assert (ended.returncode, ended.stderr) == (0, '')
  assert 'Everything about the learning rate' in ended.stdout
  for command in ('find', 'sweep', 'search', 'study', 'schedule'):
    assert command in ended.stdout


def test_without_a_command_it_shows_how_to_use_it(monkeypatch, capsys):
  assert run(monkeypatch) == 0
  said = capsys.readouterr()
  assert 'find' in said.out
  assert said.err == ''


def test_find_help_names_every_option(monkeypatch, capsys):
  monkeypatch.setenv('COLUMNS', '200')  # so that no name is broken over lines
  assert run(monkeypatch, 'find', '--help') == 0
  said = capsys.readouterr().out
  for option in ('optimizer', 'schedule', 'steps', 'seeds', 'budget', 'out'):
    assert f'--{option}' in said
  assert 'TASK' in said


def test_the_script_that_is_installed_is_this_program():
  (script,) = importlib.metadata.entry_points(group='console_scripts', name='lrax')
  assert script.load() is cli.main
