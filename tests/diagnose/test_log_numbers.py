"""Units, thousands and numbers of rows in a log; what is cut is told."""

import io

import numpy as np
import pytest

from lrax.diagnose import read_log


def read(*lines):
  return read_log(io.StringIO('\n'.join(lines)))


@pytest.mark.parametrize('cells, numbers', [
    (('900', '1k', '1.1k'), (900, 1000, 1100)),
    (('1.001 K', '2k steps', '1M'), (1001, 2000, 1e6)),
    (('500k', '1.5m', '2G'), (5e5, 1.5e6, 2e9)),
    (('1/50', '2/50', '3/50'), (1, 2, 3)),
    (('10%', '20%', '30%'), (0.1, 0.2, 0.3)),
])
def test_units_of_steps(cells, numbers):
  log = read('step,loss', *(f'{cell},{3 - i}' for i, cell in enumerate(cells)))
  np.testing.assert_array_equal(log.step, numbers)
  assert "Of the cells of 'step'" in log.notes[-1]


@pytest.mark.parametrize('cells, numbers, note', [
    (('2301m', '1.5', '900m'), (2.301, 1.5, 0.9), "2 have a unit: '2301m' is read as"),
    (('1.2k', '900', '1E'), (1200, 900, 1), "1 have a unit: '1.2k' is read as 1200"),
    (('1 nats', '2 nats', '3'), (1, 2, 3), "2 have more than a number, which is cut"),
    (('1 best', '2/3', '3'), (1, 2, 3), '2 have more than a number'),
])
def test_units_of_losses(cells, numbers, note):
  log = read('step,loss', *(f'{i},{cell}' for i, cell in enumerate(cells)))
  np.testing.assert_array_equal(log.loss, numbers)
  assert f"Of the cells of 'loss', {note}" in ' '.join(log.notes)


def test_nothing_is_told_where_nothing_was_cut():
  assert not read('step,loss', '1,tensor(2.5)', '2,[1.5]').notes


def test_a_rate_may_be_a_quotient():
  log = read('step,loss,lr', '1,2,1/1000', '2,1,1e-1 / 4', '3,1,5/0')
  np.testing.assert_array_equal(log.learning_rate, [1 / 1000, 1 / 40, np.nan])


def test_points_of_thousands_in_steps_beside_decimal_commas():
  log = read('step;loss', '500;2,75', '1.000;2,5', '1.500;2,25', '1.000.000;2,0')
  np.testing.assert_array_equal(log.step, [500, 1000, 1500, 1e6])
  assert 'those of thousands' in ' '.join(log.notes)
  # Points are decimal where no comma is, or where some are no groups of three.
  log = read('epoch;loss', '1.000;2.75', '1.500;2.5')
  np.testing.assert_array_equal(log.step, [1, 1.5])
  log = read('epoch;loss', '1.000;2,75', '1.25;2,5')
  np.testing.assert_array_equal(log.step, [1, 1.25])
  log = read('epoch;loss', '0.125;2,75', '1.250;2,5')
  np.testing.assert_array_equal(log.step, [0.125, 1.25])


@pytest.mark.parametrize('lines', [
    ('step,loss', '0,10,2.5', '1,20,1.5'),
    ('step\tloss', '1\t10\t2.5', '2\t20\t1.5'),
    ('"step" "loss"', '"1" 10 2.5', '"2" 20 1.5'),
])
def test_numbers_of_rows_without_a_name_are_left_out(lines):
  log = read(*lines)
  np.testing.assert_array_equal(log.step, [10, 20])
  np.testing.assert_array_equal(log.loss, [2.5, 1.5])
  assert 'numbers the rows' in log.notes[0]


def test_an_empty_cell_at_the_end_of_rows_is_no_number_of_rows():
  np.testing.assert_array_equal(read('step,loss', '0,2.5,', '1,1.5,').step, [0, 1])
