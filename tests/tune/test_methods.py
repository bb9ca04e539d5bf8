"""Search methods: what all of them keep to, and what each of them does."""

import itertools
import math

import numpy as np
import pytest
from scipy import special

from lrax.tune import _space
from lrax.tune._methods import _bayesian
from lrax.tune._methods import _warp
from lrax.tune._methods import METHODS

RATE = 'learning_rate'
ONE = {RATE: _space.log_uniform(1e-6, 1e2)}
MIXED = {
    'schedule': _space.choice('constant', 'cosine', 'linear'),
    'layers': _space.integer(1, 6),
    RATE: _space.log_uniform(1e-5, 1.0),
    'momentum': _space.uniform(0.0, 0.99),
}
FEW = {'a': _space.choice('x', 'y', 'z'), 'b': _space.integer(1, 3)}
SPACES = {'one': ONE, 'mixed': MIXED}

every = pytest.mark.parametrize('method', METHODS)
on_each = pytest.mark.parametrize('space', SPACES.values(), ids=SPACES)


def curve(point):
  """U in the logarithm of the rate, lowest at 3e-3; beyond 3 it diverges."""
  rate = point[RATE]
  if rate > 3:
    return math.nan
  other = (point.get('momentum', 0.9) - 0.9) ** 2 + 0.1 * point.get('layers', 0)
  return (math.log10(rate) - math.log10(3e-3)) ** 2 + other


def run(searcher, score=curve, batch=4):
  """Asks and tells to the end; the points in their order."""
  points = []
  while new := searcher.ask(batch):
    searcher.tell(new, [score(point) for point in new])
    points += new
  return points


def made(method, space=ONE, budget=24, seed=0):
  return METHODS[method](space, budget, seed)


def different(points):
  return len({tuple(point.items()) for point in points}) == len(points)


# --- what all methods keep to -------------------------------------------------


@every
@on_each
def test_a_search_keeps_to_its_budget_and_its_space(method, space):
  searcher = made(method, space)
  points = run(searcher)
  # A factorial grid of these sizes has 24 points too: 3 * 2 * 2 * 2.
  assert len(points) == 24 and different(points)
  for point in points:
    assert list(point) == list(space)
    for name, dimension in space.items():
      least, most = dimension.bounds
      assert type(point[name]) in (float, int, str)
      assert dimension.check('test', name, point[name]) == point[name]
      if not isinstance(point[name], str):
        assert least <= point[name] <= most
  assert searcher.ask(1) == []


@every
@on_each
def test_a_search_repeats_itself(method, space):
  first, second = (run(made(method, space, seed=3)) for _ in range(2))
  assert first == second
  if method != 'grid':
    assert run(made(method, space, seed=4)) != first


@every
@on_each
def test_the_order_of_telling_plays_no_part(method, space):
  """Two that are told the same in another order, in pieces, stay together."""
  one, other = (made(method, space) for _ in range(2))
  order = np.random.default_rng(0)
  while points := one.ask(8):
    assert other.ask(8) == points
    one.tell(points, map(curve, points))
    for i in order.permutation(len(points)):
      other.tell([points[i]], [curve(points[i])])
  assert one.best() == other.best()


def test_the_order_of_telling_does_not_round_the_model():
  points = made('random').ask(12)
  places = []
  for order in (points, points[::-1]):
    searcher = made('bayesian')
    searcher.tell(order, map(curve, order))
    searcher.ask(1)
    places.append(searcher._belief.place)
  np.testing.assert_array_equal(*places)


@every
def test_what_is_not_finite_is_never_best(method):
  searcher = made(method)
  points = searcher.ask(5)
  searcher.tell(points, [math.nan, 3.0, -math.inf, 2.0, math.inf])
  assert searcher.best() == (points[3], 2.0)


@every
def test_a_batch_is_so_many_single_points(method):
  one, other = (made(method) for _ in range(2))
  for _ in range(4):
    batch = one.ask(5)
    single = [point for _ in range(5) for point in other.ask(1)]
    assert single == batch
    one.tell(batch, map(curve, batch))
    other.tell(batch, map(curve, batch))


@every
@on_each
@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_a_search_where_all_diverge_goes_on(method, space, bad):
  searcher = made(method, space)
  points = run(searcher, lambda point: bad)
  assert len(points) == 24 and different(points)
  assert searcher.best() is None and searcher.edges() == []


@every
def test_every_point_of_a_small_space_is_tried_once(method):
  score = lambda point: abs(point['b'] - 2) + (point['a'] != 'y')
  searcher = made(method, FEW, budget=50)
  points = run(searcher, score)
  assert different(points)
  if method == 'zoom':  # It looks around the best alone.
    assert 5 <= len(points) <= 9
  else:
    assert len(points) == 9
  assert searcher.best() == ({'a': 'y', 'b': 2}, 0.0)


@every
def test_asking_without_telling_ends(method):
  searcher = made(method)
  points = [p for _ in range(50) for p in searcher.ask(3)]
  assert different(points)
  # Zoom waits for its first grid; the model for half of its first design.
  assert len(points) == {'zoom': 8, 'bayesian': 6}.get(method, 24)


@every
def test_a_budget_of_one(method):
  points = run(made(method, budget=1))
  assert len(points) == 1


@every
def test_points_of_earlier_studies_count(method):
  known = [{RATE: 10.0**p} for p in (-5, -4, -3, -2, -1)]
  searcher = made(method, budget=8)
  searcher.tell(known, map(curve, known))
  points = run(searcher)
  assert len(points) == 8 and different(known + points)
  assert searcher.best()[1] <= min(map(curve, known))


def test_ties_go_to_the_smaller_rate():
  searcher = made('random', MIXED)
  points = searcher.ask(8)
  searcher.tell(points, [1.0, 1.0, math.nan, 2.0, 1.0, 3.0, 1.0, 2.0])
  tied = [points[i] for i in (0, 1, 4, 6)]
  assert searcher.best() == (min(tied, key=lambda p: p[RATE]), 1.0)


def test_without_a_rate_ties_go_to_the_smaller_first_number():
  searcher = made('random', FEW, budget=9)
  points = searcher.ask(9)
  searcher.tell(points, [0.0] * 9)
  assert searcher.best() == ({'a': 'x', 'b': 1}, 0.0)


@pytest.mark.parametrize(
    'call, error, says',
    [
        (lambda s: s.ask(0), ValueError, '`count`'),
        (lambda s: s.ask(1.5), ValueError, '`count`'),
        (lambda s: s.tell([{RATE: 1.0}], []), ValueError, '`scores`'),
        (lambda s: s.tell([{RATE: 1.0}], [None]), TypeError, '`scores`'),
        (lambda s: s.tell([{'rate': 1.0}], [1.0]), ValueError, '`points`'),
        (lambda s: s.tell([1.0], [1.0]), TypeError, '`points`'),
        (lambda s: s.tell([{RATE: 1e4}], [1.0]), ValueError, '`learning_rate`'),
        (lambda s: s.tell([{RATE: 1.0}] * 2, [1.0] * 2), ValueError, 'told once'),
        (lambda s: METHODS['zoom'](ONE, 0), ValueError, '`budget`'),
        (lambda s: METHODS['zoom'](ONE, 8, seed=-1), ValueError, '`seed`'),
        (lambda s: METHODS['zoom']({}, 8), ValueError, '`space`'),
        (lambda s: METHODS['bayesian'](ONE, 201), ValueError, 'at most 200'),
        (lambda s: METHODS['grid'](FEW, 2), ValueError, 'at least 3'),
    ],
)
def test_bad_calls_are_refused(call, error, says):
  searcher = made('random')
  with pytest.raises(error, match=says):
    call(searcher)
  assert searcher.best() is None  # A refused call changes nothing.


def test_a_point_is_told_once():
  searcher = made('random')
  points = searcher.ask(2)
  searcher.tell(points, [1.0, 2.0])
  with pytest.raises(ValueError, match='told once'):
    searcher.tell(points, [1.0, 2.0])


# --- edges and widening -------------------------------------------------------

BELOW, ABOVE = 1e-7, 1e3  # where curves are lowest that end beyond the range


def towards(place):
  return lambda point: (math.log10(point[RATE]) - math.log10(place)) ** 2


@every
@pytest.mark.parametrize('place', [BELOW, ABOVE])
def test_only_zoom_and_bayesian_widen(method, place):
  searcher = made(method, {RATE: _space.log_uniform(1e-4, 1e-1)})
  run(searcher, towards(place))
  assert searcher.edges() == [RATE]
  best = searcher.best()[0][RATE]
  if method in ('zoom', 'bayesian'):
    end = 1e-5 if place == BELOW else 1.0
    # To the bounds that a log range has, a factor of 10, and no further.
    assert best == end
    low, high = searcher.widened[RATE]
    assert (low, high) == ((end, 1e-1) if place == BELOW else (1e-4, end))
  else:
    assert 1e-4 <= best <= 1e-1 and searcher.widened == {}


@pytest.mark.parametrize('method', ['zoom', 'bayesian'])
def test_a_range_that_must_not_widen_does_not(method):
  space = {RATE: _space.log_uniform(1e-4, 1e-1, within=(1e-4, 1e-1))}
  searcher = made(method, space)
  points = run(searcher, towards(ABOVE))
  assert max(point[RATE] for point in points) == 1e-1
  assert searcher.edges() == [RATE] and searcher.widened == {}


@pytest.mark.parametrize('method', ['zoom', 'bayesian'])
def test_a_minimum_beyond_the_range_is_found(method):
  searcher = made(method, {RATE: _space.log_uniform(1e-4, 1e-1)})
  run(searcher, towards(0.3))
  # Within a factor of 1.5 of a curve without noise, whose grids begin at 2.4.
  assert abs(math.log(searcher.best()[0][RATE] / 0.3)) < math.log(1.5)
  assert searcher.edges() == [] and searcher.widened[RATE][0] == 1e-4


@every
def test_a_best_inside_is_on_no_edge(method):
  searcher = made(method)
  run(searcher)
  assert searcher.edges() == [] and searcher.widened == {}


def test_a_whole_number_on_its_end_is_on_the_edge():
  searcher = made('sobol', MIXED)
  run(searcher, lambda point: point['layers'] + towards(1e-2)(point))
  assert searcher.best()[0]['layers'] == 1
  assert 'layers' in searcher.edges() and 'schedule' not in searcher.edges()


def test_a_point_beyond_shows_that_the_best_is_no_edge():
  searcher = made('random')
  points = [{RATE: rate} for rate in (1e-3, 1e-2, 1e-1)]
  searcher.tell(points[:2], [2.0, 1.0])
  assert searcher.edges() == [RATE]
  searcher.tell(points[2:], [math.nan])  # What diverged was tried as well.
  assert searcher.edges() == []


# --- grid, random, Sobol ------------------------------------------------------


def test_a_grid_is_even_and_has_both_ends():
  rates = [point[RATE] for point in made('grid', budget=9).ask(9)]
  np.testing.assert_allclose(rates, 10.0 ** np.arange(-6, 3), rtol=1e-12)
  assert rates[0] == 1e-6 and rates[-1] == 1e2


def test_a_grid_takes_all_combinations():
  space = {'a': _space.choice('x', 'y'), 'b': _space.uniform(0, 1), **ONE}
  points = run(made('grid', space, budget=13))
  # 2 options, then 3 rates and 2 of the other: one more of it would be 18.
  values = [sorted({p[name] for p in points}) for name in space]
  assert list(map(len, values)) == [2, 2, 3]
  asked = {tuple(point.values()) for point in points}
  assert asked == set(itertools.product(*values))


def test_a_grid_of_few_whole_numbers_leaves_the_rest_to_others():
  points = run(made('grid', {'n': _space.integer(1, 3), **ONE}, budget=24))
  assert sorted({p['n'] for p in points}) == [1, 2, 3] and len(points) == 24


def test_random_draws_are_even():
  units = [ONE[RATE].to_unit(p[RATE]) for p in made('random', budget=500).ask(500)]
  # The largest distance from an even distribution: above 1.95 / sqrt(n) in one
  # of 1,000 (Kolmogorov).
  distance = np.abs(np.sort(units) - (np.arange(500) + 0.5) / 500).max()
  assert distance < 1.95 / math.sqrt(500) + 0.5 / 500


def test_sobol_points_are_one_in_each_part():
  space = {'x': _space.uniform(0, 1), 'y': _space.uniform(0, 1)}
  points = [list(p.values()) for p in made('sobol', space, budget=16).ask(16)]
  for column in np.transpose(points):
    assert sorted(np.floor(16 * column)) == list(range(16))
  cells = {(math.floor(4 * x), math.floor(4 * y)) for x, y in points}
  assert len(cells) == 16  # The same of squares, which random points leave out.


# --- zoom ---------------------------------------------------------------------


def units(points):
  return np.asarray([ONE[RATE].to_unit(point[RATE]) for point in points])


def test_zoom_brackets_the_best():
  points = units(run(made('zoom', budget=16)))
  first, second, third = points[:8], points[8:12], points[12:]
  np.testing.assert_allclose(np.diff(first), 1 / 8, rtol=1e-9)
  assert 0 <= first[0] < 1 / 8
  # Lowest at log10(3e-3), of a range of 8 powers of ten from -6: 0.435.
  best = first[np.abs(first - 0.435).argmin()]
  np.testing.assert_allclose(
      sorted(second - best), np.array([-2, -1, 1, 2]) / 24, rtol=1e-6
  )
  best = points[:12][np.abs(points[:12] - 0.435).argmin()]
  np.testing.assert_allclose(
      sorted(third - best), np.array([-2, -1, 1, 2]) / 72, rtol=1e-6
  )


@pytest.mark.parametrize('seed', range(5))
def test_zoom_finds_the_lowest_of_a_curve(seed):
  searcher = made('zoom', budget=16, seed=seed)
  run(searcher)
  # Its last step is 1 / 72 of 8 powers of ten, a factor of 1.29; half of it.
  assert abs(math.log10(searcher.best()[0][RATE] / 3e-3)) <= 8 / 72 / 2 + 1e-9


@pytest.mark.parametrize('budget, sizes', [(8, [8]), (12, [8, 4]), (32, [16, 8, 8])])
def test_zoom_divides_its_budget(budget, sizes):
  searcher, found = made('zoom', budget=budget), []
  while points := searcher.ask(100):
    found.append(len(points))
    searcher.tell(points, map(curve, points))
  assert found == sizes


def test_zoom_keeps_two_valleys():
  """The first grid misses the narrow valley's ground, which is the lower one."""
  searcher = made('zoom', budget=16)
  grid = searcher.ask(8)
  places = units(grid)
  # Wide and 0.2 deep around the second point; 1 deep and narrow beside the
  # sixth, so that it shows less than the second does.
  def score(point):
    place = ONE[RATE].to_unit(point[RATE])
    wide = 0.2 * math.exp(-(((place - places[1]) / 0.05) ** 2))
    narrow = math.exp(-(((place - places[5] - 0.04) / 0.03) ** 2))
    return -max(wide, narrow)

  scores = list(map(score, grid))
  assert np.argsort(scores)[:2].tolist() == [1, 5]
  searcher.tell(grid, scores)
  second = searcher.ask(4)
  near = [np.abs(places - place).argmin() for place in units(second)]
  assert {1, 5} <= set(near)
  searcher.tell(second, map(score, second))
  run(searcher, score)
  assert searcher.best()[1] < -0.9


def test_zoom_does_not_split_for_what_is_worse_than_a_neighbour():
  searcher = made('zoom', budget=16)
  grid = searcher.ask(8)
  searcher.tell(grid, [3, 2, 1, 2, 3, 2.5, 3, 3])
  second = units(searcher.ask(4))
  assert np.abs(second - units(grid)[2]).max() < 1 / 8


def test_zoom_goes_round_several_ranges_the_rate_first():
  searcher = made('zoom', MIXED, budget=60)
  points = searcher.ask(60)
  assert len(points) == 8 and len({p[RATE] for p in points}) == 8
  assert len({(p['layers'], p['momentum'], p['schedule']) for p in points}) == 1
  searcher.tell(points, map(curve, points))
  # Then the others in their order, each with the best rate so far. One option,
  # and one of the four numbers of layers, are those of the best point.
  rate = searcher.best()[0][RATE]
  for name, size in (('schedule', 2), ('layers', 3), ('momentum', 4)):
    points = searcher.ask(60)
    assert len(points) == size and len({p[name] for p in points}) == size
    assert {p[RATE] for p in points} == {rate}
    searcher.tell(points, map(curve, points))
  best = searcher.best()[1]
  run(searcher)
  assert searcher.best()[1] < best


# --- the warp -----------------------------------------------------------------

SCORES = np.array([0.5, 0.1, 2.3, 0.12, 2.3, 1e9, 0.3, 0.11, 40.0])


def test_the_warp_keeps_the_order():
  warped = _warp.warp(SCORES)
  assert (warped.argsort(kind='stable') == SCORES.argsort(kind='stable')).all()
  assert warped[2] == warped[4]
  # Rounding of nine numbers.
  assert warped.mean() == pytest.approx(0, abs=1e-14)
  assert warped.std() == pytest.approx(1, abs=1e-14)


def test_the_unit_of_scores_and_where_they_begin_play_no_part():
  # Differences of 0.01 beside 1e9 lose what 1e9 * 2.2e-16 / 0.01 says: 2e-5.
  np.testing.assert_allclose(
      _warp.warp(3e-3 * SCORES - 7), _warp.warp(SCORES), atol=1e-4
  )


def test_of_the_upper_half_the_ranks_count():
  other = np.where(SCORES > 1e8, 41.0, SCORES)
  np.testing.assert_array_equal(_warp.warp(other), _warp.warp(SCORES))


def test_low_scores_are_told_apart():
  warped = dict(zip(SCORES, _warp.warp(SCORES)))
  # From 0.1 to 0.11 is a 25th of the way to the median, 0.5: the log makes it
  # log((0.1 + 0.025) / 0.1) / log(1.1 / 0.1), a tenth.
  share = (warped[0.11] - warped[0.1]) / (warped[0.5] - warped[0.1])
  assert share == pytest.approx(math.log(1.25) / math.log(11), rel=1e-9)


def test_the_upper_half_reaches_as_far_as_the_lower():
  scores = np.array([0.0, 1.0, 2.0, 5.0, 100.0])
  lower = np.log((0.1 + np.array([0.0, 0.5, 1.0])) / 1.1)
  spread = math.sqrt(np.mean(lower**2))
  upper = spread * special.ndtri([0.7, 0.9])  # the middles of the ranks
  expected = np.append(lower, upper)
  expected = (expected - expected.mean()) / expected.std()
  # The quantile of the standard library is good to 1e-15, relatively.
  np.testing.assert_allclose(_warp.warp(scores), expected, rtol=1e-12)


@pytest.mark.parametrize('scores', [[], [3.0], [2.0, 2.0, 2.0]])
def test_what_does_not_differ_is_zero(scores):
  assert not _warp.warp(np.array(scores)).any()


def test_more_than_half_the_same():
  warped = _warp.warp(np.array([1.0, 1.0, 1.0, 2.0, 9.0]))
  assert np.isfinite(warped).all() and warped[0] < warped[3] < warped[4]


# --- Bayesian -----------------------------------------------------------------


@pytest.mark.parametrize('seed', range(3))
def test_the_model_finds_the_lowest_of_a_curve(seed):
  searcher = made('bayesian', seed=seed)
  run(searcher)
  # A parabola without noise: the model is sure of it to 1 %, 0.08 powers of ten.
  assert abs(math.log10(searcher.best()[0][RATE] / 3e-3)) < 0.08


def test_the_model_finds_the_lowest_in_several_dimensions():
  def score(point):
    place = [d.to_unit(point[name]) for name, d in MIXED.items()][1:]
    return np.sum(np.subtract(place, [0.42, 0.7, 0.3]) ** 2) + 0.2 * (
        point['schedule'] != 'cosine'
    )

  found, chance = [], []
  for seed in range(3):
    for method, best in (('bayesian', found), ('sobol', chance)):
      searcher = made(method, MIXED, budget=32, seed=seed)
      run(searcher, score)
      best.append(searcher.best()[1])
  # 32 Sobol points leave about (1 / 32) ** (2 / 3) = 0.1; the model a tenth.
  assert max(found) < 0.01 < min(chance)


def test_a_batch_of_the_model_spreads_out():
  searcher = made('bayesian', budget=40)
  points = searcher.ask(8)
  searcher.tell(points, map(curve, points))
  batch = searcher.ask(8)
  places = np.sort(units(points + batch))
  # Nothing is asked for within half a percent of the range of another point.
  assert np.diff(places).min() >= 0.005 - 1e-12
  # Side by side at the best place, for want of what is pending, they would take
  # 7 * 0.005 of the range.
  assert np.ptp(units(batch)) > 0.1


@pytest.mark.parametrize('seed', range(3))
def test_the_model_keeps_out_of_where_runs_diverge(seed):
  half = lambda point: math.inf if point[RATE] > 1e-2 else towards(1e-4)(point)
  searcher = made('bayesian', budget=32, seed=seed)
  points = run(searcher, half)
  # Half of the range diverges, so half of what does not look where it asks. An
  # eighth lies between the lowest rate seen to diverge and the highest that does
  # not, at the start, and has to be looked at.
  assert np.mean([point[RATE] > 1e-2 for point in points[6:]]) < 0.3


def test_the_model_goes_up_to_a_cliff():
  cliff = lambda point: math.inf if point[RATE] > 1e-2 else -math.log(point[RATE])
  searcher = made('bayesian', budget=32)
  run(searcher, cliff)
  # As near as half a percent of the range, a factor of 1.1, and a half more.
  assert 1e-2 / 1.15 < searcher.best()[0][RATE] <= 1e-2


def test_a_whole_study_compiles_once():
  run(made('bayesian', budget=24))
  before = _bayesian._gain._cache_size()
  run(made('bayesian', budget=40), towards(1.0))
  assert _bayesian._gain._cache_size() == before


def test_too_many_points_are_refused():
  searcher = made('bayesian', budget=8)
  known = made('random', budget=257).ask(257)
  searcher.tell(known, map(curve, known))
  with pytest.raises(ValueError, match='at most 256 in all'):
    searcher.ask(1)
