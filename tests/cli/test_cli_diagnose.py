"""`lrax diagnose`: what it says, writes and draws of a log, and how it ends."""

import io
import json
import os
from pathlib import Path
import sys

import numpy as np
from programs import check_refusal
from programs import is_png
from programs import run
from programs import strictly
import pytest

import lrax

ROWS = 200
LOSSES = 0.3 + 2 * np.exp(-np.arange(ROWS) / 30)
LOSSES[150:] *= np.exp(np.arange(ROWS - 150) / 4)  # from 0.3 to 60,000


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
  """A working directory with a log that is as messy as logs are."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('COLUMNS', '120')
  monkeypatch.delenv('LRAX_DEBUG', raising=False)
  header = 'iter,train/ce,val_loss,lr'
  lines = [header]
  for i, loss in enumerate(LOSSES):
    validation = f'{loss + 0.1:.17g}' if i % 10 == 0 else ''
    lines.append(f'{i},{loss:.17g},{validation},0.1')
    if i == 100:
      lines += [header, '']  # as a run that was started again
  Path('log.csv').write_text('\n'.join(lines) + '\n')
  Path('numbers.csv').write_text('a,b\n1,2\n2,3\n')
  Path('empty.csv').write_text('')
  Path('picture.csv').write_bytes(b'\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00')
  Path('folder').mkdir()


NAMED = ('log.csv', '--loss', 'train/ce')


def test_it_says_the_verdict_the_evidence_and_how_the_log_was_read(
    monkeypatch, capsys
):
  assert run(monkeypatch, 'diagnose', *NAMED) == 0
  said = capsys.readouterr()
  assert said.err == ''
  assert sorted(os.listdir('lrax-out')) == ['diagnose.json', 'diagnose.png']
  assert is_png(Path('lrax-out/diagnose.png'))
  kept = strictly(Path('lrax-out/diagnose.json').read_text())
  expected = lrax.diagnose.diagnose('log.csv', columns={'loss': 'train/ce'})
  plain = strictly(json.dumps(expected.to_dict()))
  assert kept == plain | {'source': 'log.csv'}
  assert kept['log']['loss'] == LOSSES.tolist()  # all digits, in their places
  assert f'{kept["verdict"]}: {kept["reason"]}' in said.out
  words = ' '.join(said.out.replace('│', ' ').split())
  assert 'log.csv: 200 rows, updates 0 to 199' in words
  assert "optimizer='" not in said.out  # said as an option of the command
  for note in expected.log.notes:
    assert note in said.out
  assert 'val_loss' in said.out and "'lr'" in said.out  # guessed
  for one in expected.evidence:
    assert one.sign in said.out
  for line in expected.remedy.splitlines():
    assert line in said.out
  assert 'Wrote diagnose.json and diagnose.png to lrax-out' in said.out


@pytest.mark.usefixtures('undrawn')
def test_the_verdict_of_a_run_that_diverged_is_no_error(monkeypatch, capsys):
  assert run(monkeypatch, 'diagnose', *NAMED, '--out', 'deep/er') == 0
  kept = strictly(Path('deep/er/diagnose.json').read_text())
  assert kept['verdict'] == 'diverging'
  assert kept['remedy'] in capsys.readouterr().out.replace('\n  ', '\n')


@pytest.mark.usefixtures('undrawn')
def test_the_remedy_is_for_the_optimizer_that_is_named(monkeypatch, capsys):
  optimizer = 'sgd(momentum=0.9)'
  run(monkeypatch, 'diagnose', *NAMED, '--optimizer', optimizer)
  kept = strictly(Path('lrax-out/diagnose.json').read_text())
  expected = lrax.diagnose.diagnose(
      'log.csv', columns={'loss': 'train/ce'}, optimizer=optimizer
  )
  assert kept['remedy'] == expected.remedy
  assert 'sgd' in kept['remedy'] and 'momentum=0.9' in kept['remedy']
  capsys.readouterr()


@pytest.mark.usefixtures('undrawn')
def test_a_dash_reads_standard_input(monkeypatch, capsys):
  source = io.TextIOWrapper(io.BytesIO(Path('log.csv').read_bytes()))
  monkeypatch.setattr(sys, 'stdin', source)
  assert run(monkeypatch, 'diagnose', '-', *NAMED[1:]) == 0
  assert capsys.readouterr().out.startswith('standard input: 200 rows')
  kept = strictly(Path('lrax-out/diagnose.json').read_text())
  assert kept['source'] == 'standard input'
  assert kept['log']['loss'] == LOSSES.tolist()
  monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(b'')))
  code = run(monkeypatch, 'diagnose', '-')
  check_refusal(code, capsys.readouterr(), 'standard input is no log')


@pytest.mark.usefixtures('undrawn')
def test_thresholds_are_those_of_the_call(monkeypatch, capsys):
  run(monkeypatch, 'diagnose', *NAMED, '--threshold', 'burst=100')
  kept = strictly(Path('lrax-out/diagnose.json').read_text())
  (burst,) = [e['threshold'] for e in kept['evidence'] if e['sign'] == 'burst']
  assert burst == 100
  assert lrax.diagnose.Thresholds().burst != 100
  capsys.readouterr()


@pytest.mark.usefixtures('undrawn')
@pytest.mark.parametrize(
    'arguments, words',
    [
        (['nowhere.csv'], ["'nowhere.csv'", 'No such file']),
        (['folder'], ["'folder'", 'directory']),
        (['empty.csv'], ['empty.csv is no log', 'empty']),
        (['picture.csv'], ['picture.csv is no log', 'binary']),
        (['numbers.csv'], ['numbers.csv is no log', "'a', 'b'", '--loss COLUMN']),
        (['log.csv', '--loss', 'los'], ["no column 'los'", "'train/ce'"]),
        ([*NAMED, '--learning-rate', 'rate'], ["no column 'rate'", "'lr'"]),
        ([*NAMED, '--threshold', 'pionts=3'], ["did you mean 'points'"]),
        ([*NAMED, '--threshold', 'points'], ['name=..., got', 'points=50']),
        ([*NAMED, '--threshold', 'points=few'], ["'points=few'", 'default']),
        ([*NAMED, '--threshold', 'points=0'], ['`points`', 'got 0']),
        ([*NAMED, '--optimizer', 'adamm'], ["did you mean 'adam"]),
        ([*NAMED, '--out', 'log.csv'], ['--out', 'log.csv']),
        ([*NAMED, 'more.csv'], ['more.csv']),
        ([], ['log']),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
def test_what_is_no_log_or_no_call_is_one_line(monkeypatch, capsys, arguments, words):
  code = run(monkeypatch, 'diagnose', *arguments)
  check_refusal(code, capsys.readouterr(), *words)
  assert not Path('lrax-out').exists()


def test_a_log_that_may_not_be_read_is_one_line(monkeypatch, capsys):
  def refuse(path, *arguments, **options):
    raise PermissionError(13, 'Permission denied', os.fspath(path))

  # As root, who may run the tests, may read everything.
  monkeypatch.setattr(lrax.diagnose, 'read_log', refuse)
  code = run(monkeypatch, 'diagnose', 'log.csv')
  check_refusal(code, capsys.readouterr(), "'log.csv'", 'Permission denied')


def test_ctrl_c_ends_it_with_130(monkeypatch, capsys):
  """While it waits for a log that does not come."""
  class Waiting(io.RawIOBase):

    def readable(self):
      return True

    def readinto(self, buffer):
      raise KeyboardInterrupt

  stdin = io.TextIOWrapper(io.BufferedReader(Waiting()))
  monkeypatch.setattr(sys, 'stdin', stdin)
  assert run(monkeypatch, 'diagnose', '-') == 130
  assert 'Traceback' not in capsys.readouterr().err
  assert not Path('lrax-out').exists()


def test_the_help_tells_the_exit_codes(monkeypatch, capsys):
  assert run(monkeypatch, 'diagnose', '--help') == 0
  said = ' '.join(capsys.readouterr().out.split())
  assert 'Ends with 0, whatever the verdict; 2 for a bad call' in said
  assert '130 after Ctrl-C' in said
