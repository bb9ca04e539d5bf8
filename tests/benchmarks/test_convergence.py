"""The convergence benchmark, at sizes so small that only its working is seen."""

import dataclasses
import inspect

import convergence
import numpy as np
import pytest

from lrax import optimizers


def cell(method, *losses, **changes):
  made = convergence.Cell('digits', method, 10, len(losses), losses=losses)
  return dataclasses.replace(made, **changes)


def test_every_optimizer_is_a_row_or_left_out_with_a_reason():
  public = {
      name
      for name in optimizers.__all__
      if inspect.isfunction(getattr(optimizers, name))
  }
  rows = set(convergence.methods())
  assert public <= rows | set(convergence.LEFT_OUT)
  assert not rows & set(convergence.LEFT_OUT)
  assert all(convergence.LEFT_OUT.values())
  named = {
      *convergence.RATE_FREE, *convergence.CONSTANT, *convergence.ARGUMENTS,
  }
  assert named <= rows


@pytest.mark.parametrize('name', convergence.methods())
def test_every_row_builds_at_a_rate(name):
  tx = convergence.methods()[name].build(1e-3)
  params = {'w': np.ones((3, 2), np.float32), 'b': np.ones(2, np.float32)}
  updates, _ = tx.update(params, tx.init(params), params, value=1.0, grad=params)
  assert all(np.isfinite(leaf).all() for leaf in updates.values())


def test_runs_prints_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
  out = tmp_path / 'table.csv'
  small = ['--steps', '10', '--seeds', '2', '--jobs', '1', '--out', str(out)]
  chosen = ['--tasks', 'digits', '--methods', 'adamw', 'dog']
  with pytest.raises(SystemExit) as ended:
    convergence.main(chosen + small)
  assert ended.value.code == 0
  first = capsys.readouterr()
  assert '[2/2] digits, dog: ' in first.err
  results = convergence.Results(out).cells
  tuned, free = (results['digits', name, 10, 2] for name in ('adamw', 'dog'))
  assert 1e-4 < tuned.learning_rate < 10 and 3 <= tuned.rates_tried <= 10
  assert (free.learning_rate, free.rates_tried, free.schedule) == (1, 0, 'constant')
  # A guess among ten digits costs 2.30; ten steps bring AdamW well below.
  assert len(tuned.losses) == 2 and max(tuned.losses) < 2.0
  assert f'{tuned.mean:.4f} ± {tuned.spread:.4f} *' in first.out
  for name, reason in convergence.LEFT_OUT.items():
    assert f'left out: {name}, {reason}' in first.out

  def refuse(*arguments):
    raise AssertionError('it is known already')

  monkeypatch.setattr(convergence, 'measure', refuse)
  with pytest.raises(SystemExit):
    convergence.main(chosen + small)
  again = capsys.readouterr()
  assert again.err == ''
  table = lambda text: text.partition('validation loss')[0]
  assert table(again.out) == table(first.out)


def test_states_run_at_the_rate_of_the_first(tmp_path, capsys):
  out = tmp_path / 'states.csv'
  with pytest.raises(SystemExit) as ended:
    convergence.main([
        '--states', '--tasks', 'digits', '--steps', '10', '--seeds', '2',
        '--jobs', '1', '--out', str(out),
    ])
  assert ended.value.code == 0
  assert 'the noise of the seeds' in capsys.readouterr().out
  cells = list(convergence.Results(out).cells.values())
  assert [cell.method for cell in cells] == list(convergence.STATES)
  assert len({cell.learning_rate for cell in cells}) == 1
  assert cells[0].rates_tried and not cells[1].rates_tried
  assert cells[0].losses != cells[1].losses  # another format, other roundings


def test_a_method_that_fails_is_said_and_leaves_the_others(monkeypatch, capsys):
  def breaks(rate):
    raise ValueError('no such thing')

  monkeypatch.setattr(
      convergence, 'methods',
      lambda: {'bad': convergence.Method(breaks, rate=1.0)},
  )
  with pytest.raises(SystemExit) as ended:
    convergence.main(['--tasks', 'digits', '--steps', '5', '--jobs', '1'])
  assert ended.value.code == 1
  assert 'digits, bad: ValueError: no such thing' in capsys.readouterr().out


def test_marks_are_those_of_students_t():
  """Spreads of 1: the half interval is 2.776 * sqrt(2 / 3) = 2.267 for 3 seeds."""
  best = cell('best', 9.0, 10.0, 11.0)
  assert convergence.noise(best, best) == pytest.approx(2.267, abs=1e-3)
  cells = [
      best,
      cell('near', 11.2, 12.2, 13.2),
      cell('worse', 11.3, 12.3, 13.3),
      cell('unsteady', 8.0, 13.0, 18.0),
      cell('gone', 9.0, float('nan'), 9.0),
  ]
  assert convergence.marks(cells) == {
      'best': '*', 'near': '~', 'worse': '', 'unsteady': '?',
  }
  assert convergence.marks(cells[-1:]) == {}
  printed = convergence.table(cells)
  assert 'diverged' in printed
  assert '12.2000 ± 1.0000 ~' in printed


def test_a_cell_comes_back_from_the_csv_as_it_was():
  made = cell(
      'adamw', 0.25, 0.5, learning_rate=0.01, rates_tried=7, at_edge=True,
      training=0.5, schedule='cosine', seconds=1.5, error='none, "really"',
  )
  row = {name: str(value) for name, value in made.to_row().items()}
  assert convergence.Cell.from_row(row) == made


def test_a_method_that_does_not_exist_is_refused(capsys):
  with pytest.raises(SystemExit) as ended:
    convergence.main(['--methods', 'adamm'])
  assert ended.value.code == 2
  assert "no method 'adamm'" in capsys.readouterr().err
