import math

import numpy as np
import pytest
import runs

from lrax.control import newbob

NAN, INF = math.nan, math.inf
ERRORS = [10.0, 9.0, 9.0, 8.9, 8.89, 8.0, 8.5, 8.4, 8.39, 8.39, 7.0, 7.0, 7.0]


@pytest.mark.parametrize('patience, expect', [
    (0, [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 1 / 16, 1 / 32, 1 / 32,
         1 / 64, 1 / 128]),
    (2, [1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]),
])
def test_is_that_of_speechbrain(patience, expect):
  """The rule of speechbrain/nnet/schedulers.py at commit 01c8a112, restated.

  It computes in float64; powers of 0.5 are exact, and no gain is within rounding
  of the threshold.
  """
  rates = runs.rates(newbob(patience=patience), ERRORS)
  np.testing.assert_array_equal(rates, np.float32(expect))


def test_a_gain_is_one_below_zero_too():
  policy = newbob(rtol=0.125)
  rates = runs.rates(policy, [[-8.0, -9.5, -11.0], [-8.0, -8.5, -7.0]])
  np.testing.assert_array_equal(rates, [[1, 1, 1], [1, 0.5, 0.25]])
  mirrored = newbob(rtol=0.125, mode='max')
  rates = runs.rates(mirrored, [[8.0, 9.5, 11.0], [8.0, 8.5, 7.0]])
  np.testing.assert_array_equal(rates, [[1, 1, 1], [1, 0.5, 0.25]])


def test_what_is_not_finite_is_poor_and_is_not_compared_with():
  rates = runs.rates(newbob(), [[NAN, 3.0, -INF, 2.0], [3.0, INF, 2.0, 1.0]])
  np.testing.assert_array_equal(rates, [[0.5, 0.5, 0.25, 0.25], [1, 0.5, 0.5, 0.5]])


def test_stays_above_its_floor():
  rates = runs.rates(newbob(min_scale=0.3), [1.0, 1.0, 1.0, 1.0])
  np.testing.assert_array_equal(rates, np.float32([1, 0.5, 0.3, 0.3]))


def test_a_report_is_heard_once_at_the_next_update():
  rates = runs.reported_rates(newbob(signal='report'), [3.0, 3.0, 2.0])
  np.testing.assert_array_equal(rates, [[1, 1], [0.5, 0.5], [0.5, 0.5]])


@pytest.mark.parametrize('name, value', [
    ('factor', 0.0), ('patience', -1), ('rtol', -1.0), ('min_scale', 2.0),
    ('mode', 'up'), ('signal', 'loss'),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'newbob: `{name}` must be'):
    newbob(**{name: value})
