"""Which rows of a log count and in which order; no loss that broke is lost."""

import io

import numpy as np
import pytest

import lrax
from lrax.diagnose import read_log

NAN = np.nan
COUNT = 300
# Falls and settles: healthy if nothing follows.
GOOD = 2 * np.exp(-np.arange(COUNT) / 40) + 0.3
GOOD += 0.01 * np.random.default_rng(0).normal(size=COUNT)


def text(steps, losses, head='step,loss'):
  rows = ''.join(f'{step},{loss}\n' for step, loss in zip(steps, losses))
  return f'{head}\n{rows}'


def judged(source):
  if isinstance(source, str):
    source = read_log(io.StringIO(source))
  return lrax.diagnose.diagnose(source)


def ending_in_nan(start):
  return np.where(np.arange(COUNT) < start, GOOD, NAN)


def test_the_run_of_these_tests_is_healthy():
  assert judged(text(range(COUNT), GOOD)).verdict == 'healthy'


ROWS = np.arange(COUNT)
EACH_SECOND = np.where((ROWS % 2 == 1) & (ROWS >= 290), NAN, GOOD)
# A step here and there is there twice, and so is the last.
SELDOM = ROWS - ROWS // 10
SELDOM[-1] = SELDOM[-2]
LAST = np.where(np.arange(COUNT) == COUNT - 1, NAN, GOOD)


@pytest.mark.parametrize('losses, steps', [
    (ending_in_nan(295), ROWS // 10),
    (EACH_SECOND, ROWS // 2),
    (LAST, SELDOM),
])
def test_nan_after_a_number_of_the_same_step_is_a_divergence(losses, steps):
  rows = [{'step': int(s), 'loss': x} for s, x in zip(steps, losses)]
  arrays = {'step': steps, 'loss': losses}
  for source in (text(steps, losses), rows, arrays):
    assert judged(source).verdict == 'diverging'
  assert lrax.diagnose.diagnose(**arrays).verdict == 'diverging'


def test_nan_where_nothing_was_measured_replaces_no_number():
  losses = np.stack([GOOD, np.full(COUNT, NAN)], 1).ravel()
  steps = np.repeat(ROWS, 2)
  found = lrax.diagnose.diagnose(loss=losses, step=steps)
  np.testing.assert_array_equal(found.log.loss, GOOD)
  assert found.verdict == 'healthy'
  # In a file it is the row of the other loss.
  log = read_log(io.StringIO('step,loss,val_loss\n1,2,nan\n1,nan,3\n2,1,nan\n2,nan,2'))
  np.testing.assert_array_equal(log.loss, [2, 1])
  np.testing.assert_array_equal(log.validation_loss, [3, 2])


def test_rows_without_a_step_are_put_between_those_around_them():
  log = read_log(io.StringIO('step,loss\n,9\n10,8\n,7\n,nan\n40,5\n50,4\n,inf\n70,3\n'))
  np.testing.assert_array_equal(log.step, [0, 10, 20, 30, 40, 50, 60, 70])
  np.testing.assert_array_equal(log.loss, [9, 8, 7, NAN, 5, 4, np.inf, 3])
  assert '4 rows without a step' in ' '.join(log.notes)
  steps = [*range(200), *[''] * 100]
  found = judged(text(steps, ending_in_nan(200)))
  assert found.verdict == 'diverging' and len(found.log) == COUNT


def test_a_row_without_a_step_belongs_before_a_resumption():
  steps = [*range(20), '', *range(10, 20)]
  log = read_log(io.StringIO(text(steps, [*[2.0] * 20, NAN, *[1.0] * 10])))
  np.testing.assert_array_equal(log.loss, [2.0] * 10 + [1.0] * 10)
  assert '11 rows before it' in log.notes[-1] and '1 of them with a loss of NaN' in (
      log.notes[-1]
  )


@pytest.mark.parametrize('place', [150, COUNT])
def test_one_late_row_removes_no_other(place):
  steps = np.insert(ROWS, place, 100)
  losses = np.insert(ending_in_nan(200), place, 0.5)
  found = judged(text(steps, losses))
  assert len(found.log) == COUNT and found.verdict == 'diverging'
  assert found.log.loss[100] == 0.5


def test_late_rows_of_another_spacing_remove_no_other():
  steps, losses = [*ROWS, *range(0, 200, 20)], [*ending_in_nan(200), *[0.5] * 10]
  found = judged(text(steps, losses))
  assert len(found.log) == COUNT and found.verdict == 'diverging'


@pytest.mark.parametrize('rows', [
    np.random.default_rng(1).permutation(COUNT),
    ROWS.reshape(-1, 2)[:, ::-1].ravel(),
])
def test_rows_in_disorder_are_sorted(rows):
  losses = ending_in_nan(250)
  found = judged(text(rows, losses[rows]))
  np.testing.assert_array_equal(found.log.step, ROWS)
  np.testing.assert_array_equal(found.log.loss, losses)
  assert found.verdict == 'diverging'
  assert 'The rows were not in the order' in ' '.join(found.log.notes)


def test_a_resumed_run_replaces_what_it_repeats_and_says_what_broke():
  steps = [*ROWS[:200], *range(150, COUNT)]
  losses = [*ending_in_nan(180)[:200], *GOOD[150:]]
  found = judged(text(steps, losses))
  np.testing.assert_array_equal(found.log.loss, GOOD)
  assert '50 rows before it' in found.log.notes[0]
  assert '20 of them with a loss of NaN or infinite' in found.log.notes[0]


def test_the_steps_of_each_epoch_are_counted_on():
  steps = [f'{i // 150},{i % 150}' for i in ROWS]
  found = judged(text(steps, GOOD, 'epoch,step,loss'))
  assert found.log.unit == 'rows'
  np.testing.assert_array_equal(found.log.loss, GOOD)
  # A run that begins anew begins with its first epoch.
  steps = [f'{i // 50},{i}' for i in [*ROWS[:100], *ROWS]]
  log = read_log(io.StringIO(text(steps, [*GOOD[:100] + 9, *GOOD], 'epoch,step,loss')))
  np.testing.assert_array_equal(log.loss, GOOD)


def test_many_losses_a_step_are_counted():
  log = read_log(io.StringIO(text(ROWS // 10, GOOD, 'epoch,loss')))
  assert log.unit == 'rows' and len(log) == COUNT
  assert 'several losses' in log.notes[-1]
  # Validation has a row of its own, and then the step is not there twice.
  steps = np.repeat(ROWS, 2)
  losses = [f'{GOOD[i // 2]},' if i % 2 == 0 else ',1' for i in range(2 * COUNT)]
  log = read_log(io.StringIO(text(steps, losses, 'epoch,loss,val_loss')))
  assert log.unit == 'epochs' and len(log) == COUNT
