"""Search spaces: places and values, what is refused, and what is plain."""

import json
import math
import pickle

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrax.tune import _dimension
from lrax.tune import _space
from lrax.tune._space import choice
from lrax.tune._space import integer
from lrax.tune._space import log_uniform
from lrax.tune._space import uniform

KINDS = {f.__name__: f for f in (choice, integer, log_uniform, uniform)}
DIMENSIONS = (
    log_uniform(1e-6, 1.0),
    log_uniform(0.3, 0.7, within=(0.1, 1.0)),
    uniform(-2.0, 5.0),
    uniform(0.1, 0.3, within=(0.0, 1.0)),
    integer(-3, 4),
    integer(1, 1000, log=True),
    choice('constant', 'cosine', None),
    choice(True, 2.5),
)
each = pytest.mark.parametrize('dimension', DIMENSIONS, ids=repr)


def ranges(least, most):
  """Pairs low < high that are not so close that no float lies between."""
  ends = st.floats(least, most)
  apart = lambda pair: pair[1] - pair[0] > 1e-6 * max(map(abs, pair))
  return st.tuples(ends, ends).map(sorted).filter(apart)


# --- places and values --------------------------------------------------------

# 10 ** log10 errs by some rounding errors times the logarithm, at most 38 here:
# 38 * ln(10) * 2.2e-16 = 2e-14 of the value.
NEAR = 1e-13


@given(ends=ranges(1e-37, 1e38), unit=st.floats(0, 1))
@settings(deadline=None)
def test_a_log_range_spaces_logarithms_evenly(ends, unit):
  low, high = ends
  value = log_uniform(low, high).from_unit(unit)
  truth = math.exp((1 - unit) * math.log(low) + unit * math.log(high))
  assert low <= value <= high
  # exp(log) errs as 10 ** log10 does.
  assert value == pytest.approx(truth, rel=2 * NEAR)


@given(ends=ranges(-1e6, 1e6), unit=st.floats(0, 1))
@settings(deadline=None)
def test_a_range_is_even(ends, unit):
  low, high = ends
  value = uniform(low, high).from_unit(unit)
  assert low <= value <= high
  truth = (1 - unit) * low + unit * high
  # Three roundings of numbers as large as the ends.
  assert value == pytest.approx(truth, abs=1e-15 * max(abs(low), abs(high)), rel=0)


@given(ends=ranges(1e-37, 1e38), unit=st.floats(0, 1), log=st.booleans())
@settings(deadline=None)
def test_a_value_has_its_place(ends, unit, log):
  dimension = (log_uniform if log else uniform)(*ends)
  back = dimension.to_unit(dimension.from_unit(unit))
  scale = math.log10 if log else float
  low, high = map(scale, ends)
  # A rounding of the scaled value, relative to the scaled range.
  slack = 1e-15 * max(abs(low), abs(high), 1) / (high - low)
  assert back == pytest.approx(unit, abs=max(slack, 1e-15), rel=0)


@given(
    low=st.integers(1, 10**6), more=st.integers(1, 10**6), log=st.booleans(),
    data=st.data(),
)
@settings(deadline=None)
def test_a_whole_number_survives(low, more, log, data):
  dimension = integer(low, low + more, log)
  value = data.draw(st.integers(low, low + more))
  assert 0 < dimension.to_unit(value) < 1
  assert dimension.from_unit(dimension.to_unit(value)) == value
  assert type(dimension.from_unit(0.5)) is int


@each
def test_the_ends_are_exact(dimension):
  assert dimension.from_unit(0.0) == dimension.low
  assert dimension.from_unit(1.0) == dimension.high


@each
def test_values_are_plain(dimension):
  kinds = {type(dimension.from_unit(u)) for u in (0.0, 0.4, 1.0)}
  assert kinds <= {float, int, bool, str, type(None)}


def test_whole_numbers_have_equal_shares():
  values = [integer(1, 4).from_unit((i + 0.5) / 100) for i in range(100)]
  assert [values.count(v) for v in (1, 2, 3, 4)] == [25] * 4


def test_a_log_share_of_whole_numbers_is_that_of_their_logarithms():
  dimension = integer(1, 8, log=True)
  values = [dimension.from_unit((i + 0.5) / 1000) for i in range(1000)]
  for value in range(1, 9):
    share = math.log((value + 0.5) / (value - 0.5)) / math.log(8.5 / 0.5)
    # Of 1,000 places a share gets the whole number below or above.
    assert values.count(value) == pytest.approx(1000 * share, abs=1)


def test_options_have_equal_shares():
  values = [choice('a', 'b', 'c').from_unit((i + 0.5) / 99) for i in range(99)]
  assert [values.count(v) for v in 'abc'] == [33] * 3


@each
def test_a_place_outside_is_refused(dimension):
  for unit in (-5.0, 5.0, math.nan):
    with pytest.raises(ValueError, match='`unit` must be in'):
      dimension.from_unit(unit)


def test_counts():
  assert [d.count for d in DIMENSIONS] == [math.inf] * 4 + [8, 1000, 3, 2]


# --- widening -----------------------------------------------------------------


def test_a_log_range_may_widen_tenfold():
  assert log_uniform(1e-4, 1.0).bounds == (1e-5, 10.0)
  assert log_uniform(1e-4, 1.0, within=(1e-4, 2.0)).bounds == (1e-4, 2.0)


def test_others_stay_as_they_are():
  assert uniform(0.0, 1.0).bounds == (0.0, 1.0)
  assert uniform(0.0, 1.0, within=(-1.0, 1.0)).bounds == (-1.0, 1.0)
  assert integer(1, 4).bounds == (1, 4)


def test_values_beyond_the_range_lie_outside_of_the_unit():
  dimension = log_uniform(1e-4, 1.0)
  assert dimension.to_unit(10.0) == pytest.approx(1.25, rel=NEAR)
  assert dimension.from_unit(1.25) == 10.0
  assert dimension.from_unit(-0.25) == 1e-5


# --- as text and as plain values ----------------------------------------------


@each
def test_it_prints_as_its_call(dimension):
  assert eval(repr(dimension), dict(KINDS)) == dimension


@each
def test_it_is_a_value(dimension):
  copy = pickle.loads(pickle.dumps(dimension))
  assert copy == dimension and hash(copy) == hash(dimension)
  with pytest.raises(AttributeError):
    dimension.low = 0.0


def test_a_space_goes_through_json():
  space = {f'x{i}': dimension for i, dimension in enumerate(DIMENSIONS)}
  text = json.dumps(_space.to_dict(space), allow_nan=False)
  assert _space.from_dict(json.loads(text)) == space


def test_numbers_of_other_kinds_become_plain():
  made = log_uniform(np.float32(0.5), jnp.asarray(2.0))
  assert made == log_uniform(0.5, 2.0) and type(made.high) is float
  assert integer(np.int64(1), 3.0) == integer(1, 3)


# --- what is refused ----------------------------------------------------------


@pytest.mark.parametrize(
    'make, error, says',
    [
        (lambda: log_uniform(0.0, 1.0), ValueError, '`low`'),
        (lambda: log_uniform(-1.0, 1.0), ValueError, '`low`'),
        (lambda: log_uniform(1.0, 1.0), ValueError, '`high` must be above `low`'),
        (lambda: log_uniform(1.0, 0.1), ValueError, '`high` must be above `low`'),
        (lambda: log_uniform(math.nan, 1.0), ValueError, '`low`'),
        (lambda: log_uniform(1.0, math.inf), ValueError, '`high`'),
        (lambda: log_uniform(True, 2.0), TypeError, '`low`'),
        (lambda: log_uniform('1e-3', 2.0), TypeError, '`low`'),
        (lambda: log_uniform(np.ones(2), 2.0), TypeError, '`low`'),
        (lambda: log_uniform(0.1, 1.0, (0.2, 1.0)), ValueError, '`within`'),
        (lambda: log_uniform(0.1, 1.0, (0.1, 0.9)), ValueError, '`within`'),
        (lambda: log_uniform(0.1, 1.0, (0.0, 1.0)), ValueError, '`within`'),
        (lambda: log_uniform(0.1, 1.0, 10.0), TypeError, '`within`'),
        (lambda: log_uniform(0.1, 1.0, (0.1,)), TypeError, '`within`'),
        (lambda: uniform(1, 0), ValueError, '`high` must be above `low`'),
        (lambda: uniform(0, math.nan), ValueError, '`high`'),
        (lambda: uniform(None, 1), TypeError, '`low`'),
        (lambda: uniform(0, 1, within=(0, True)), TypeError, '`within`'),
        (lambda: integer(1.5, 3), ValueError, '`low`'),
        (lambda: integer(3, 3), ValueError, '`high` must be above `low`'),
        (lambda: integer(0, 3, log=True), ValueError, '`low` must be >= 1'),
        (lambda: integer(1, 3, log=1), TypeError, '`log`'),
        (lambda: integer(False, 3), TypeError, '`low`'),
        (lambda: choice(), ValueError, '`options` must be at least one'),
        (lambda: choice('a', 'a'), ValueError, '`options` must be different'),
        (lambda: choice(1, True), ValueError, '`options` must be different'),
        (lambda: choice(math.nan), ValueError, '`options` must be finite'),
        (lambda: choice(['a', 'b']), TypeError, '`options` must be strings'),
        (lambda: choice(max, min), TypeError, '`options` must be strings'),
    ],
)
def test_bad_arguments_are_refused(make, error, says):
  with pytest.raises(error, match=says):
    make()


def test_a_traced_end_is_refused():
  with pytest.raises(TypeError, match='`high` must be a plain number'):
    jax.eval_shape(lambda x: log_uniform(0.1, x) and x, jnp.ones(()))


@pytest.mark.parametrize(
    'dimension, value, error',
    [
        (log_uniform(0.1, 1.0), 11.0, ValueError),
        (log_uniform(0.1, 1.0), math.nan, ValueError),
        (uniform(0.0, 1.0), 1.5, ValueError),
        (uniform(0.0, 1.0), '1', TypeError),
        (integer(1, 4), 5, ValueError),
        (integer(1, 4), 2.5, ValueError),
        (choice('a', 'b'), 'c', ValueError),
        (choice(1, 2), True, ValueError),
    ],
)
def test_a_value_that_is_not_in_it_is_refused(dimension, value, error):
  with pytest.raises(error, match='value'):
    dimension.to_unit(value)


@pytest.mark.parametrize(
    'space, error, says',
    [
        ({}, ValueError, 'at least one'),
        ([('a', uniform(0, 1))], TypeError, '`space` must be a dict'),
        (None, TypeError, '`space` must be a dict'),
        ({'a': (0.0, 1.0)}, TypeError, r"space\['a'\]"),
        ({'a': [1, 2]}, TypeError, r"space\['a'\]"),
        ({1: uniform(0, 1)}, TypeError, 'named by strings'),
    ],
)
def test_a_space_is_checked(space, error, says):
  with pytest.raises(error, match=says):
    _space.as_space(space, 'search')


def test_a_space_is_a_copy_in_its_order():
  given_ = {'b': uniform(0, 1), 'a': integer(1, 2)}
  made = _space.as_space(given_, 'search')
  assert made is not given_ and list(made) == ['b', 'a']
  assert all(isinstance(d, _dimension.Dimension) for d in made.values())
