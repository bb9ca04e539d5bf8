"""`lrax schedule`: what it prints, draws and writes, and how it ends."""

import csv
import os
from pathlib import Path
import re
import sys

import numpy as np
import pytest

import lrax
from lrax import cli

WARM = 'warm_restarts(0.1, 100).with_warmup(10)'


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
  """An empty working directory, and a screen that is wide enough for a table."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('COLUMNS', '120')
  monkeypatch.delenv('LRAX_DEBUG', raising=False)
  Path('file').write_text('')


@pytest.fixture
def run(monkeypatch, capsys):
  """Runs the program as the script does: its exit code and what it said."""
  def main(*arguments):
    monkeypatch.setattr(sys, 'argv', ['lrax', 'schedule', *arguments])
    with pytest.raises(SystemExit) as caught:
      cli.main()
    said = capsys.readouterr()
    return caught.value.code, said.out, said.err

  return main


def rows(said):
  """The tables: for each one {step: (rate, note)}."""
  tables = []
  for line in said.splitlines():
    cells = [cell.strip() for cell in re.split('[│┃]', line)]
    if len(cells) == 5 and cells[1] == 'step':
      tables.append({})
    elif len(cells) == 5:
      tables[-1][int(cells[1].replace(',', ''))] = (float(cells[2]), cells[3])
  return tables


def is_png(path):
  data = Path(path).read_bytes()
  return data[:8] == b'\x89PNG\r\n\x1a\n' and data[-8:-4] == b'IEND'


def test_one_expression_is_a_table_and_a_figure(run):
  code, out, err = run(WARM)
  assert (code, err) == (0, '')
  (table,) = rows(out)
  policy = lrax.warm_restarts(0.1, cycle_steps=100).with_warmup(10)
  for step, (rate, _) in table.items():
    # Six digits are printed.
    np.testing.assert_allclose(rate, float(policy(step)), rtol=1e-5, atol=1e-12)
  # Both sides of each change, the ends and the quarters.
  assert {0, 1, 9, 10, 102, 109, 110, 205, 209, 210, 307, 309, 310} <= set(table)
  assert {409, 410, 411} <= set(table)
  assert table[0] == (0.0, 'first update, lowest')
  assert table[10] == (0.1, 'change, highest')
  assert table[410] == (0.1, 'end')
  assert WARM in out and 'Wrote schedule.png to lrax-out' in out
  assert os.listdir('lrax-out') == ['schedule.png']
  assert is_png('lrax-out/schedule.png')


def test_several_are_over_each_other_and_in_one_csv(run):
  texts = ['linear(1.0, 0.0, steps=8)', '0.1*constant(3) + 0.1', WARM]
  code, out, err = run(*texts, '--steps', '20', '--csv', '--log', '--out', 'deep/er')
  assert (code, err) == (0, '')
  tables = rows(out)
  assert [max(table) for table in tables] == [21, 21, 21]
  assert tables[0][8] == (0.0, 'change, lowest')
  assert tables[1][20] == (pytest.approx(0.4), 'end')
  assert 'Wrote schedule.png and schedule.csv to deep/er' in out
  assert sorted(os.listdir('deep/er')) == ['schedule.csv', 'schedule.png']
  with open('deep/er/schedule.csv', newline='') as file:
    header, *lines = csv.reader(file)
  assert header == ['step', *texts]
  assert [int(line[0]) for line in lines] == list(range(21))
  for column, text in enumerate(texts, 1):
    written = np.asarray([line[column] for line in lines], np.float32)
    expected = lrax.schedules.parse(text)(np.arange(21))
    np.testing.assert_array_equal(written, expected)  # all digits are there


def test_what_is_drawn_is_what_was_asked_for(run, monkeypatch):
  drawn = []
  draw = lrax.plot.schedule

  def watched(*policies, **options):
    drawn.append(draw(*policies, **options))
    return drawn[-1]

  monkeypatch.setattr(lrax.plot, 'schedule', watched)
  run('linear(1, 0, 8)')
  run('linear(1, 0, 8)', WARM, '--steps', '20', '--log')
  plain, log = drawn
  assert (plain.get_yscale(), log.get_yscale()) == ('linear', 'log')
  assert [len(line.get_xdata()) for line in plain.lines] == [10]  # 0 to 1.05 * 8 + 1
  assert [len(line.get_xdata()) for line in log.lines] == [21, 21]
  names = [text.get_text() for text in log.get_legend().get_texts()]
  assert names == ['linear(1, 0, 8)', WARM]


def test_a_csv_of_more_steps_than_it_can_hold_has_some_of_them(run, monkeypatch):
  from lrax.cli import _schedule

  monkeypatch.setattr(_schedule, '_MOST_LINES', 50)
  text = 'constant(1).with_warmup(1_001).then(constant(2), 2**30)'
  code, _, _ = run(text, '--csv')
  assert code == 0
  with open('lrax-out/schedule.csv', newline='') as file:
    steps = [int(line['step']) for line in csv.DictReader(file)]
  assert {0, 1_000, 1_001, 2**30 - 1, 2**30} <= set(steps)
  assert len(steps) < 60 and steps == sorted(set(steps))


def test_the_last_step_of_the_clock_is_the_last_of_the_table(run):
  code, out, err = run('linear(1, 0, 2**31 - 1)', '--steps', str(2**31 - 1))
  assert (code, err) == (0, '')
  (table,) = rows(out)
  assert max(table) == 2**31 - 1
  assert table[2**31 - 1] == (0.0, 'end, lowest')


@pytest.mark.parametrize(
    'arguments, words',
    [
        (["__import__('os').system('touch made')"], ["got '__import__' at char"]),
        (["constant(1).__class__.x(open('made', 'w'))"], ["1).__class__' at ch"]),
        (['().__class__'], ["got '().__class__'"]),
        (['9**9**9'], ["got '9**9**9'"]),
        (['cosine_anealing(0.1, 10)'], ["did you mean 'cosine_annealing'"]),
        (['constant(1', '--csv'], ["at character 9; '(' was never closed"]),
        (['constant(1)', 'constant(-1)'], ['constant: `value` must be', 'got -1']),
        (['0.1'], ['must be a schedule']),
        (['reduce_on_plateau()'], ['must be open loop', 'got reduce_on_plateau()']),
        (['constant(1)', '--steps', '0'], ['`steps`', 'got 0']),
        (['constant(1)', '--steps', '3000000000'], ['`steps`', 'got 3000000000']),
        (['constant(1)', '--steps', 'many'], ['--steps', 'integer']),
        (['constant(1)', '--out', 'file'], ["cannot write to --out 'file'"]),
        (['constant(1)', '--stesp', '3'], ['--stesp']),
        ([], ['EXPR']),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
def test_a_bad_call_is_one_line_and_writes_nothing(run, arguments, words):
  code, out, err = run(*arguments)
  assert (code, out) == (2, '')
  assert err.startswith('lrax: ') and err.endswith('\n') and err.count('\n') == 1
  for word in words:
    assert word in err
  assert os.listdir() == ['file'] or os.listdir('lrax-out') == []


def test_without_matplotlib_it_says_what_to_install(run, monkeypatch):
  monkeypatch.setitem(sys.modules, 'matplotlib', None)
  code, _, err = run('constant(1)')
  assert code == 2
  assert err.count('\n') == 1
  assert 'schedule: matplotlib draws schedule.png' in err
  assert "pip install 'lrax[cli]'" in err


def test_help_names_every_option(run):
  code, out, err = run('--help')
  assert (code, err) == (0, '')
  for option in ('EXPR', '--steps', '--csv', '--log', '--out', 'lrax-out'):
    assert option in out
