import math

import numpy as np
import pytest
import runs

from lrax.control import greedy

LOSSES = [
    5, 4, 3, 2.5, 2.4, 2.6, 2.7, 2.8, 2.9, math.nan, 2.0, 1.9, 1.8, 1.8, 1.9, 1.7,
    1.6, 1.5, 1.4, 1.3, 1.2, 1.1,
]
# transformers 5.23.0, transformers.optimization.GreedyLR, from a rate of 1, with
# min_lr and max_lr as given here. Powers of 0.5 are exact in any precision.
TRANSFORMERS = {
    'plain': (
        dict(patience=1, max_scale=4.0, min_scale=0.25), LOSSES,
        [1, 2, 2, 4, 4, 4, 2, 2, 1, 1, 1, 2, 2, 2, 1, 1, 2, 2, 4, 4, 4, 4],
    ),
    'cooldown': (  # cooldown=2, warmup=2
        dict(patience=1, cooldown=2), LOSSES,
        [1, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 4, 4, 4, 4, 8, 8],
    ),
    'maximum': (
        dict(patience=0, mode='max', max_scale=10.0, min_scale=0.25),
        [-loss for loss in LOSSES],
        [2, 4, 8, 10, 10, 5, 2.5, 1.25, 0.625, 0.3125, 0.625, 1.25, 2.5, 1.25,
         0.625, 1.25, 2.5, 5, 10, 10, 10, 10],
    ),
}


@pytest.mark.parametrize('case', TRANSFORMERS)
def test_is_that_of_transformers(case):
  arguments, metrics, expect = TRANSFORMERS[case]
  rates = runs.rates(greedy(0.5, **arguments), metrics)
  np.testing.assert_array_equal(rates, np.float32(expect))


def test_stays_within_its_bounds():
  policy = greedy(0.5, patience=0, min_scale=0.3, max_scale=3.0)
  falling, rising = np.arange(6.0)[::-1], np.arange(6.0)
  np.testing.assert_array_equal(
      runs.rates(policy, [falling, rising]),
      np.float32([[2, 3, 3, 3, 3, 3], [2, 1, 0.5, 0.3, 0.3, 0.3]]),
  )


def test_a_relative_threshold_is_right_below_zero():
  policy = greedy(0.5, patience=0, rtol=0.125, atol=0.0)
  rates = runs.rates(policy, [[-1.0, -1.125, -1.25], [-1.0, -1.25, -1.5]])
  np.testing.assert_array_equal(rates, [[2, 1, 2], [2, 4, 8]])


def test_a_report_is_heard_once_at_the_next_update():
  policy = greedy(0.5, patience=1, signal='report')
  rates = runs.reported_rates(policy, [3.0, 2.0, 2.0, math.inf])
  np.testing.assert_array_equal(rates[:, 0], [1, 2, 2, 1])
  np.testing.assert_array_equal(rates[:, 0], rates[:, 1])


@pytest.mark.parametrize('name, value', [
    ('factor', 1.0), ('patience', -1), ('max_scale', 0.5), ('min_scale', -0.5),
    ('mode', 'up'), ('signal', 'loss'),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'greedy: `{name}` must be'):
    greedy(**{name: value})
