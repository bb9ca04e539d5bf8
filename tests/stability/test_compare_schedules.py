"""Schedules compared by their bounds."""

import json

import jax
import numpy as np
import pytest

import lrax
from lrax.stability import compare_schedules
from lrax.stability import last_iterate_bound

STEPS = 300


@pytest.fixture(scope='module')
def compared():
  return compare_schedules(
      {
          'constant': lrax.constant(0.3),
          'linear': lrax.linear(5.0, 0.0, STEPS),
          'wsd': lrax.warmup_stable_decay(
              1.0, warmup_steps=0, steps=STEPS, decay_steps=STEPS // 5
          ),
          'array': np.linspace(1.0, 0.1, STEPS),
      },
      STEPS, distance=2.0, gradient_norm=0.5, points=40,
  )


def test_rows_are_ranked_and_each_at_its_best(compared):
  # As in the paper's comparison: linear first, a cooldown near it, constant last.
  assert [row.name for row in compared.rows] == ['linear', 'array', 'wsd', 'constant']
  assert compared.rows[0].ratio == 1
  told = {'distance': 2.0, 'gradient_norm': 0.5}
  for row in compared.rows:
    # Both ends are stops, and the last one is the bound.
    assert len(row.curve) == len(compared.stops) == len(row.rates) <= 40
    assert row.curve[-1] == pytest.approx(row.bound, rel=1e-12)
    assert row.ratio == pytest.approx(row.bound / compared.rows[0].bound, rel=1e-15)
    assert row.rates.max() == pytest.approx(row.learning_rate, rel=1e-12)
  constant = compared.rows[-1]
  assert (compared.stops[0], compared.stops[-1]) == (1, STEPS)
  at = compared.stops == STEPS  # a run of STEPS, and one stopped half way
  half = int(np.argmax(compared.stops > STEPS // 2))
  shorter = last_iterate_bound(
      np.full(compared.stops[half], constant.learning_rate), **told
  )
  assert constant.curve[half] == pytest.approx(shorter.bound, rel=1e-12)
  assert constant.curve[at] == pytest.approx(constant.bound)


def test_distance_and_norm_do_not_matter_to_the_ratios(compared):
  again = compare_schedules(
      {row.name: row.rates for row in [compared.rows[0]]}, len(compared.stops)
  )
  assert len(again.rows) == 1 and again.rows[0].ratio == 1
  other = compare_schedules(
      {'linear': lrax.linear(1.0, 0.0, STEPS), 'constant': lrax.constant(1.0)}, STEPS
  )
  # The linear rates are rounded to float32 at another height.
  assert other.rows[1].ratio == pytest.approx(compared.rows[-1].ratio, rel=1e-6)
  assert other.rows[1].bound == pytest.approx(compared.rows[-1].bound, rel=1e-6)


def test_it_prints_and_is_plain(compared):
  lines = str(compared).splitlines()
  assert len(lines) == 2 + 4 and lines[2].startswith('linear')
  assert [row['name'] for row in compared.table()] == [r.name for r in compared.rows]
  warm = compare_schedules({'warm': [0.0, 1.0]}, 2, gradient_norm=[1.0, 2.0])
  told = json.loads(json.dumps(warm.to_dict(), allow_nan=False))
  assert told['rows'][0]['curve'][0] is None  # before any rate
  assert told['gradient_norm'] == [1.0, 2.0] and told['stops'] == [1, 2]
  assert 'as given' in str(warm)


@pytest.mark.parametrize(
    'schedules, options, error',
    [
        ([lrax.constant(1.0)], {}, TypeError),
        ({}, {}, ValueError),
        ({'a': 1.0}, {}, ValueError),
        ({'a': [1.0, 1.0]}, {}, ValueError),
        ({'a': lrax.constant(1.0)}, {'points': 1}, ValueError),
        ({'a': lrax.constant(1.0)}, {'distance': -1}, ValueError),
    ],
)
def test_bad_calls_are_refused(schedules, options, error):
  with pytest.raises(error):
    compare_schedules(schedules, 3, **options)


def test_traced_rates_are_refused():
  with pytest.raises(TypeError, match='last_iterate_bound'):
    jax.jit(lambda rate: compare_schedules({'a': lrax.constant(rate)}, 3))(1.0)
