"""The verified recommendation: known optima, noise, budgets and what is said."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.tasks import Arrays
from lrax.tasks import Stream
from lrax.tasks import Task
from lrax.tune import Progress

# A noisy quadratic, whose expected loss is known for any rates.

DIM, NOISE, START, STEPS = 500, 0.5, 2.0, 60


def draws(seed):
  """Normal numbers, on the host: compiling a generator takes most of a test."""
  rng = np.random.default_rng(seed)
  while True:
    yield rng.normal(size=DIM).astype(np.float32)


def noisy_quadratic(traces=None):
  """Half the squared distance to a noisy point: SGD multiplies w by 1 - rate."""

  def loss(w, batch, key):
    if traces is not None:
      traces.append(1)
    return 0.5 * jnp.sum((w - NOISE * batch) ** 2)

  return Task(
      init=lambda key: jnp.full(DIM, START),
      loss=loss,
      evaluate=lambda w, batch: 0.5 * jnp.sum(w**2),
      train=Stream(draws),
      validation=Arrays(np.ones(1)),
      steps=STEPS,
      name='quadratic',
  )


def shapes(steps):
  """What each schedule multiplies its peak with, by its formula in NumPy."""
  t = np.arange(steps) / steps
  return {
      'constant': np.ones(steps),
      'linear': 1 - t,
      'cosine': (1 + np.cos(np.pi * t)) / 2,
      'to a tenth': 1 - 0.9 * t,
  }


def expected_loss(rate, shape):
  """Mean and variance of w, step by step: w becomes (1 - r) w + r NOISE x."""
  mean, variance = START, 0.0
  for r in rate * shape:
    mean = (1 - r) * mean
    variance = (1 - r) ** 2 * variance + (r * NOISE) ** 2
  return 0.5 * DIM * (mean**2 + variance)


def to_a_tenth(rate, steps):
  return lrax.linear(rate, 0.1 * rate, steps)


SCHEDULES = {
    'constant': 'constant', 'linear': 'linear', 'cosine': 'cosine',
    'to a tenth': to_a_tenth,
}


@functools.cache
def found_on_quadratic(kind, scale=1.0):
  optimizer = 'sgd' if scale == 1.0 else lambda rate: lrax.sgd(scale * rate)
  return lrax.tune.find(noisy_quadratic(), optimizer, schedule=SCHEDULES[kind])


def check_optimum(found, shape, scale=1.0):
  """The recommended rate is nearly the best, and the interval holds the best."""
  dense = np.geomspace(1e-3, 2.0, 2000)
  losses = np.array([expected_loss(rate, shape) for rate in dense])
  best = dense[np.argmin(losses)] / scale
  # Rates are 1.4 apart near the best, so the best one lies up to that far outside
  # of the outermost rates that were tried.
  low, high = found.interval
  assert low / 1.42 <= best <= high * 1.42
  # A factor of 1.4 from the best costs a few percent in this problem, and one
  # standard error of three seeds about two more.
  assert expected_loss(found.learning_rate * scale, shape) <= 1.1 * losses.min()
  assert best / 2.83 <= found.learning_rate <= best * 1.42


@pytest.mark.parametrize('kind', SCHEDULES)
def test_finds_the_best_rate_of_a_noisy_quadratic(kind):
  found = found_on_quadratic(kind)
  shape = shapes(STEPS)[kind]
  check_optimum(found, shape)
  trained = [row for row in found.rows if not row.diverged]
  assert len(trained) >= 6
  for row in trained:
    # Sums of 500 squares over three seeds: a relative spread of sqrt(2 / 1500),
    # 3.7%; five of those.
    np.testing.assert_allclose(
        row.validation_loss, expected_loss(row.learning_rate, shape), rtol=0.18
    )


@pytest.mark.parametrize('scale', [1e3, 1e-3])
def test_finds_it_where_the_optimizer_has_another_scale(scale):
  """At 1e-3 the best rate is about 60, six times the end of the ramp."""
  found = found_on_quadratic('constant', scale)
  check_optimum(found, shapes(STEPS)['constant'], scale)
  assert not found.at_edge


@pytest.mark.parametrize('kind', SCHEDULES)
def test_what_is_said_of_the_schedule(kind):
  found = found_on_quadratic(kind)
  name = 'to_a_tenth' if kind == 'to a tenth' else kind
  assert found.schedule == name
  if kind == 'constant':
    assert 'at a constant rate' in found.verdict
  else:
    assert f'as the peak of the {name} schedule' in found.verdict


def test_every_face_of_a_result_agrees():
  found = found_on_quadratic('cosine')
  rates = [row.learning_rate for row in found.rows]
  assert rates == sorted(set(rates))
  assert found.interval[0] <= found.learning_rate <= found.interval[1]
  (row,) = [row for row in found.rows if row.learning_rate == found.learning_rate]
  assert found.validation_loss == row.validation_loss
  assert (found.task, found.optimizer, found.steps) == ('quadratic', 'sgd', STEPS)
  assert found.seeds == (0, 1, 2)
  for row in found.rows:
    assert [trial.seed for trial in row.trials] == [0, 1, 2]
    losses = [trial.validation_loss for trial in row.trials]
    if not row.diverged:
      np.testing.assert_allclose(row.validation_loss, np.mean(losses), rtol=1e-12)
      np.testing.assert_allclose(row.spread, np.std(losses, ddof=1), rtol=1e-9)
      assert {len(trial.losses) for trial in row.trials} == {STEPS}
    assert {trial.learning_rate for trial in row.trials} == {row.learning_rate}
  assert str(found) == found.verdict
  table = found.table()
  assert [line['learning_rate'] for line in table] == rates
  assert {line['seeds'] for line in table} == {3}


def test_neighbours_are_at_most_a_factor_of_two_apart():
  for kind in SCHEDULES:
    found = found_on_quadratic(kind)
    rates = np.array([row.learning_rate for row in found.rows])
    here = int(np.flatnonzero(rates == found.learning_rate)[0])
    ratios = (rates[1:] / rates[:-1])[max(here - 1, 0) : here + 1]
    assert 0 < here < len(rates) - 1
    assert ratios.max() <= 2.0 + 1e-9
    np.testing.assert_allclose(found.ratio, ratios.max(), rtol=1e-9)


def test_two_searches_are_equal():
  arguments = {'steps': 20, 'seeds': 2, 'schedule': 'constant'}
  first, second = (
      lrax.tune.find(noisy_quadratic(), 'sgd', **arguments) for _ in range(2)
  )
  assert first.to_dict() == second.to_dict()


def test_the_loss_is_traced_at_most_three_times_whatever_is_tried():
  traces = []
  found = lrax.tune.find(noisy_quadratic(traces), 'sgd', seeds=2)
  assert len(found.rows) >= 6
  assert 1 <= len(traces) <= 3


def test_to_dict_is_json_and_holds_the_evidence():
  found = found_on_quadratic('cosine')
  back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
  assert back['learning_rate'] == found.learning_rate
  assert back['interval'] == list(found.interval)
  assert back['seeds'] == [0, 1, 2]
  assert back['verdict'] == found.verdict
  assert len(back['trials']) == 3 * len(found.rows)
  for trial, known in zip(
      back['trials'], [trial for row in found.rows for trial in row.trials]
  ):
    assert trial['learning_rate'] == known.learning_rate
    assert trial['status'] == known.status
    if known.diverged:
      assert trial['validation_loss'] is None
  assert len(back['range_test']['losses']) == 2


# Losses made up: a table says what each seed's run at each rate ends with.

FIRST, LAST = -70, 70  # places of the table; a rate is 2 ** (place / 2)
TEN = 10  # steps of each run


class Counted:
  """Batches that hold their seed, and how many were taken."""

  def __init__(self):
    self.count = 0

  def __call__(self, seed):
    while True:
      self.count += 1
      yield np.float32(seed)


def tabled(losses, batches=None, flat=False):
  """A task whose validation loss is `losses(place, seed)`.

  Plain SGD at a constant rate takes w to minus ten times the rate, which tells
  the place; the state keeps the batch, which tells the seed. The training loss
  falls all along, so the range test suggests a tenth of its end: 1, place 0.
  """
  table = np.array(
      [[losses(place, seed) for seed in range(4)] for place in range(FIRST, LAST + 1)],
      np.float32,
  )

  def evaluate(w, seed, batch):
    place = jnp.round(2 * jnp.log2(-w / TEN)).astype(jnp.int32)
    return jnp.asarray(table)[place - FIRST, seed.astype(jnp.int32)]

  # A flat loss still has the gradient that takes w where it tells the place.
  level = lambda w: w - jax.lax.stop_gradient(w) if flat else w
  return Task(
      init=lambda key: (jnp.zeros(()), jnp.zeros(())),
      loss=lambda w, state, batch, key: (level(w), batch),
      evaluate=evaluate,
      stateful=True,
      train=Stream(batches or Counted()),
      validation=Arrays(np.ones(1)),
      steps=TEN,
      name='table',
  )


def find(task, **changes):
  return lrax.tune.find(task, 'sgd', **({'schedule': 'constant', 'seeds': 1} | changes))


def places(found):
  return [round(2 * np.log2(row.learning_rate)) for row in found.rows]


def rate(place):
  return 2.0 ** (place / 2)


def test_the_grid_is_of_four_and_then_of_two_and_of_the_root_of_two():
  found = find(tabled(lambda place, seed: abs(place - 4)))
  assert places(found) == [0, 2, 3, 4, 5, 6, 8]
  # Float32 parameters tell the rate to a part in ten million.
  np.testing.assert_allclose(found.learning_rate, rate(4), rtol=1e-6)
  np.testing.assert_allclose(found.ratio, 2**0.5, rtol=1e-6)
  assert found.validation_loss == 0.0
  assert not found.at_edge


@pytest.mark.parametrize('best', [-20, -1, 3, 9, 20])
def test_a_rate_anywhere_is_found_to_the_root_of_two(best):
  """Up to a factor of a thousand from where the range test points."""
  found = find(tabled(lambda place, seed: abs(place - best)))
  np.testing.assert_allclose(found.learning_rate, rate(best), rtol=1e-6)
  assert places(found)[0] < best < places(found)[-1]
  assert not found.at_edge
  assert found.ratio <= 2.0


@pytest.mark.parametrize('best', [-60, 60])
def test_widening_ends_and_says_so(best):
  """A factor of 4 ** 15 is too far: the edge is reported and not hidden."""
  found = find(tabled(lambda place, seed: abs(place - best)))
  assert found.at_edge
  assert 'edge of what was tried' in found.verdict
  rates = [row.learning_rate for row in found.rows]
  assert found.learning_rate == (min(rates) if best < 0 else max(rates))
  assert len(rates) < 20  # bounded


def test_ties_are_broken_downward():
  """Three rates with one loss, to the last bit: the lowest of them."""
  found = find(tabled(lambda place, seed: max(abs(place - 4) - 1, 0)))
  assert {3, 4, 5} <= set(places(found))
  np.testing.assert_allclose(found.learning_rate, rate(3), rtol=1e-6)


def test_ties_are_broken_downward_over_the_whole_of_a_plateau():
  """From 1 to 16 all rates are one; the lowest is far from the highest."""
  found = find(tabled(lambda place, seed: max(abs(place - 4) - 4, 0)))
  assert {0, 4, 8} <= set(places(found))
  np.testing.assert_allclose(found.learning_rate, rate(0), rtol=1e-6)


@pytest.mark.parametrize('kind', SCHEDULES)
def test_a_run_follows_its_schedule_step_by_step(kind):
  """The parameter is minus the sum of the rates so far, and so is the loss."""
  found = find(tabled(lambda place, seed: abs(place)), schedule=SCHEDULES[kind])
  for row in found.rows:
    rates = row.learning_rate * shapes(TEN)[kind]
    before = np.concatenate([[0.0], np.cumsum(rates)[:-1]])
    # Ten float32 sums, and rates that are rounded to float32.
    np.testing.assert_allclose(row.trials[0].losses, -before, rtol=1e-6)


def with_noise(mean, amount):
  """The table `mean`, and noise that differs from rate to rate, and averages to 0."""
  signs = {0: 1, 1: -1, 2: 0, 3: 0}
  return lambda place, seed: mean(place) + amount * signs[seed] * (-1) ** place


def test_noise_is_the_standard_error_of_the_difference_of_two_rates():
  """Against the residuals of least squares on one number a rate and one a seed."""
  draws = np.random.default_rng(0).normal(size=(LAST - FIRST + 1, 4))
  losses = lambda place, seed: (
      1 + 0.1 * abs(place - 4) + 0.05 * draws[place - FIRST, seed] + 0.3 * seed
  )
  found = find(tabled(losses), seeds=4)
  best = min(found.rows, key=lambda row: row.validation_loss).learning_rate
  near = [row for row in found.rows if best / 2.01 < row.learning_rate < best * 2.01]
  assert 3 <= len(near) < len(found.rows)
  design, seen = [], []
  for i, row in enumerate(near):
    for trial in row.trials:
      design.append(np.concatenate([np.eye(len(near))[i], np.eye(4)[trial.seed]]))
      seen.append(trial.validation_loss)
  design, seen = np.array(design), np.array(seen)
  rest = seen - design @ np.linalg.lstsq(design, seen)[0]
  free = (len(near) - 1) * (4 - 1)
  # The variance of one run, twice for a difference, over four seeds.
  error = np.sqrt(2 * np.sum(rest**2) / free / 4)
  np.testing.assert_allclose(found.noise, error, rtol=1e-9)
  assert f'±{2 * error:.2g}' in found.verdict


def test_what_is_common_to_a_seed_is_no_noise():
  """Runs of one seed are compared with each other, so its own level drops out."""
  found = find(tabled(lambda place, seed: abs(place - 4) + 100 * seed), seeds=3)
  # Losses of 200 in float32 are rounded by 1e-5.
  assert found.noise < 1e-4
  np.testing.assert_allclose(found.learning_rate, rate(4), rtol=1e-6)
  np.testing.assert_allclose(found.interval, [rate(4)] * 2, rtol=1e-6)
  assert 'No other rate tried is within noise' in found.verdict


def test_a_smaller_rate_is_taken_where_noise_cannot_tell_it_from_the_best():
  """But not one below half of the best, as good as it may be."""
  losses = with_noise(lambda place: 1 + 1e-4 * abs(place - 4), 0.5)
  found = find(tabled(losses), seeds=2)
  assert found.noise > 0.1
  np.testing.assert_allclose(found.learning_rate, rate(2), rtol=1e-6)
  assert found.interval[0] < found.learning_rate
  assert 'Noise hides any difference' in found.verdict


def test_a_smaller_rate_is_not_taken_where_it_is_worse_by_more_than_noise():
  losses = with_noise(lambda place: 1 + 0.1 * abs(place - 4), 0.01)
  found = find(tabled(losses), seeds=2)
  np.testing.assert_allclose(found.learning_rate, rate(4), rtol=1e-6)
  np.testing.assert_allclose(found.interval, [rate(4)] * 2, rtol=1e-6)


def test_the_interval_is_of_what_two_standard_errors_allow():
  losses = with_noise(lambda place: 1 + 0.1 * abs(place - 4), 0.08)
  found = find(tabled(losses), seeds=2)
  slack = 2 * found.noise
  inside = [r.learning_rate for r in found.rows if r.validation_loss <= 1 + slack]
  assert len(inside) > 1
  assert found.interval == (min(inside), max(inside))
  assert f'Rates from {min(inside):.2g} to {max(inside):.2g} are within noise' in str(
      found
  )


def test_a_smaller_rate_has_neighbours_too():
  """The best of the first grid is at its top, and noise allows half of the best.

  Then what lies below the recommended rate was tried last in the first grid, a
  factor of 4 away, unless it is looked at again.
  """
  known = {0: 2.0, 4: 1.02, 5: 1.01, 6: 1.0, 7: 1.005, 8: 1.015, 10: 1.2, 12: 1.5}
  mean = lambda place: known.get(place, 1.9)
  found = find(tabled(with_noise(mean, 0.03)), seeds=2)
  rates = np.array([row.learning_rate for row in found.rows])
  here = int(np.flatnonzero(rates == found.learning_rate)[0])
  assert found.learning_rate / rates[here - 1] <= 2.0 + 1e-6
  assert rates[here + 1] / found.learning_rate <= 2.0 + 1e-6
  assert found.ratio <= 2.0 + 1e-6


def test_one_seed_says_that_noise_is_unknown():
  found = find(tabled(lambda place, seed: abs(place - 4)))
  assert np.isnan(found.noise)
  assert 'With one seed the noise is not known' in found.verdict
  assert {row.spread for row in found.rows} == {0.0}


def test_the_verdict_is_words_with_the_rate_the_task_and_the_optimizer():
  found = find(tabled(lambda place, seed: 1 + abs(place - 4)), seeds=2)
  assert f'{found.learning_rate:.2g}' == '4'
  assert found.verdict.startswith('Use 4 with sgd for table, at a constant rate,')
  assert 'over 10 steps: validation loss 1, mean of 2 seeds.' in found.verdict
  assert 'nan' not in found.verdict


# Divergence.


def check_no_rate(found):
  assert np.isnan(found.learning_rate)
  assert np.isnan(found.interval).all()
  assert not any(np.isfinite(row.validation_loss) for row in found.rows)
  assert {row.diverged for row in found.rows} == {2}
  rates = [row.learning_rate for row in found.rows]
  assert f'rate from {min(rates):.2g} to {max(rates):.2g}' in found.verdict
  # It looked far below before it gave up.
  assert min(rates) < 1e-3 * max(rates)
  json.dumps(found.to_dict(), allow_nan=False)


def test_where_all_diverge_there_is_no_rate_and_the_verdict_says_so():
  task = tabled(lambda place, seed: np.nan)
  nothing = lambda w, state, batch, key: (w * jnp.nan, batch)
  found = find(dataclasses.replace(task, loss=nothing), seeds=2)
  check_no_rate(found)
  assert 'every run diverged' in found.verdict


def test_where_only_the_validation_fails_the_verdict_does_not_blame_training():
  found = find(tabled(lambda place, seed: np.nan), seeds=2)
  check_no_rate(found)
  assert 'validation' in found.verdict
  assert 'diverged' not in found.verdict


def test_a_rate_at_which_one_seed_diverges_is_not_recommended():
  """However good the other seeds are there."""

  def losses(place, seed):
    if place >= 4 and seed == 1:
      return np.nan
    return abs(place - 4)

  found = find(tabled(losses), seeds=3)
  np.testing.assert_allclose(found.learning_rate, rate(3), rtol=1e-6)
  gone = [row for row in found.rows if row.diverged]
  assert {row.diverged for row in gone} == {1}
  assert all(np.isnan(row.validation_loss) for row in gone)
  assert f'Training diverged from {rate(4):.2g} on.' in found.verdict


def test_where_high_rates_diverge_it_looks_lower():
  found = find(tabled(lambda place, seed: abs(place + 6) if place < -3 else np.nan))
  np.testing.assert_allclose(found.learning_rate, rate(-6), rtol=1e-6)


def test_a_run_that_diverges_in_training_is_not_validated():
  """Losses that rise far above the start end the run, once ten are known."""
  tenfold = lambda rate, steps: lrax.constant(10 * rate)
  found = lrax.tune.find(noisy_quadratic(), 'sgd', steps=120, schedule=tenfold)
  gone = [trial for row in found.rows for trial in row.trials if trial.diverged]
  assert gone and all(np.isnan(trial.validation_loss) for trial in gone)
  assert all(10 * trial.learning_rate > 2 for trial in gone)  # the edge
  for trial in gone:  # the average lags by ten; infinity ends at once
    assert 10 < len(trial.losses) < 30 or not np.isfinite(trial.losses[-1])


def test_where_the_rate_makes_no_difference_there_is_none_and_the_verdict_says_so():
  """A loss that nothing moves, in training and in validation."""
  task = Task(
      init=lambda key: jnp.zeros(()),
      loss=lambda w, batch, key: 2.3 + 0 * w,
      train=Stream(draws),
      validation=Arrays(np.ones(4)),
      steps=10,
      name='flat',
  )
  found = find(task, seeds=2)
  assert np.isnan(found.learning_rate)
  assert 'made a difference to flat' in found.verdict
  json.dumps(found.to_dict(), allow_nan=False)


def test_a_range_test_that_sees_nothing_does_not_keep_it_from_looking():
  """The training loss is flat, the validation loss is not: it starts at 1e-3."""
  found = find(tabled(lambda place, seed: abs(place + 14), flat=True), seeds=2)
  assert np.isnan(found.range_test.learning_rate)
  # Places are multiples of root 2 from 1e-3 here, which the table rounds.
  assert rate(-15) < found.learning_rate < rate(-13)


# The budget.


RAMP = TEN  # steps of the range test, as many as those of a run, at least ten


def least(seeds):
  """The range test, on two seeds at most, and three rates."""
  return RAMP * min(seeds, 2) + 3 * TEN * seeds


@pytest.mark.parametrize('seeds', [1, 3])
def test_the_least_budget_is_three_rates(seeds):
  batches = Counted()
  task = tabled(lambda place, seed: abs(place - 4), batches)
  with pytest.raises(ValueError, match=f'`budget` must be at least {least(seeds)} '):
    find(task, seeds=seeds, budget=least(seeds) - 1)
  assert batches.count == 0  # refused before anything is trained

  found = find(task, seeds=seeds, budget=least(seeds))
  assert places(found) == [0, 4, 8]
  assert found.steps_spent == least(seeds)
  # Rates that run together are given the same batches, read once a seed.
  assert batches.count == RAMP * min(seeds, 2) + TEN * seeds
  assert 'The budget ended the search' in found.verdict
  np.testing.assert_allclose(found.ratio, 4.0, rtol=1e-6)
  assert 'a factor of 4 apart' in found.verdict


@pytest.mark.parametrize('more', [9, 10, 39, 1000])
def test_the_budget_is_used_as_far_as_whole_rates_go(more):
  batches = Counted()
  task = tabled(lambda place, seed: abs(place - 4), batches)
  found = find(task, budget=least(1) + more)
  rates = 3 + min(more // TEN, 4)  # seven rates are all that it wants
  assert len(found.rows) == rates
  assert found.steps_spent == RAMP + TEN * rates
  assert batches.count <= found.steps_spent
  assert found.steps_spent <= least(1) + more
  assert ('budget ended' in found.verdict) == (rates < 7)


def test_no_budget_spends_what_it_says():
  batches = Counted()
  found = find(tabled(lambda place, seed: abs(place - 4), batches), seeds=3)
  assert found.steps_spent == 2 * RAMP + 3 * TEN * len(found.rows)
  assert 'budget' not in found.verdict


def counting(updates):
  """Plain SGD that notes each update that is computed."""

  def factory(rate):
    sgd = optax.sgd(rate)

    def update(grads, state, params=None):
      jax.debug.callback(lambda: updates.append(1))
      return sgd.update(grads, state, params)

    return optax.GradientTransformation(sgd.init, update)

  return factory


def test_updates_of_runs_that_diverge_are_spent_too():
  """A ramp that diverges has computed its updates up to where it was looked at."""
  updates = []
  found = lrax.tune.find(
      noisy_quadratic(), counting(updates), seeds=1, schedule='constant'
  )
  jax.effects_barrier()
  assert np.isfinite(found.range_test.diverged_at).all()
  assert found.steps_spent == len(updates)


def test_the_budget_holds_for_runs_that_diverge_too():
  """Sixty for the ramp and sixty a run; what the ramp saves is no run's worth."""
  for budget in (60 + 4 * 60 - 1, 60 + 5 * 60 - 1):
    updates = []
    lrax.tune.find(
        noisy_quadratic(), counting(updates), seeds=1, schedule='constant',
        budget=budget,
    )
    jax.effects_barrier()
    assert len(updates) <= budget


# What it tells on the way.


def test_progress_tells_each_run_and_how_many_are_planned():
  told = []
  task = tabled(lambda place, seed: abs(place - 4))
  found = find(task, seeds=2, on_progress=told.append)
  assert all(isinstance(event, Progress) for event in told)
  ramp = [event for event in told if event.stage == 'range test']
  sweep = [event for event in told if event.stage == 'sweep']
  assert told == ramp + sweep
  assert ramp[-1].result is found.range_test
  assert (ramp[-1].done, ramp[-1].planned) == (2, 2)
  assert [event.done for event in sweep] == list(range(1, 2 * len(found.rows) + 1))
  assert all(event.done <= event.planned for event in told)
  assert sweep[-1].done == sweep[-1].planned
  trials = [trial for row in found.rows for trial in row.trials]
  assert {id(event.result) for event in sweep} == {id(trial) for trial in trials}


# What it refuses.


@pytest.mark.parametrize(
    'arguments, error, says',
    [
        ({'steps': 0}, ValueError, '`steps`'),
        ({'steps': 1.5}, ValueError, '`steps`'),
        ({'steps': 'many'}, TypeError, '`steps`'),
        ({'seeds': 0}, ValueError, '`seeds`'),
        ({'seeds': [1, 1]}, ValueError, '`seeds`'),
        ({'seeds': 'abc'}, TypeError, '`seeds`'),
        ({'budget': 0}, ValueError, '`budget`'),
        ({'budget': -5}, ValueError, '`budget`'),
        ({'budget': 'all'}, TypeError, '`budget`'),
        ({'schedule': 'cosin'}, ValueError, "did you mean 'cosine'"),
        ({'schedule': 0.1}, TypeError, '`schedule`'),
        ({'schedule': lrax.constant(0.1)}, TypeError, '`schedule`'),
        ({'optimizer': 'adamm'}, ValueError, "did you mean 'adam'"),
        ({'optimizer': optax.sgd(0.1)}, TypeError, '`optimizer`'),
        ({'task': 'digits'}, TypeError, '`task`'),
    ],
)
def test_refuses(arguments, error, says):
  arguments = {'task': noisy_quadratic(), 'optimizer': 'sgd'} | arguments
  with pytest.raises(error) as caught:
    lrax.tune.find(**arguments)
  assert str(caught.value).startswith('find: `')
  assert says in str(caught.value)


def test_steps_of_numpy_and_seeds_as_a_list():
  found = find(
      tabled(lambda place, seed: abs(place - 4)), steps=np.int64(TEN), seeds=[3, 1]
  )
  assert (found.steps, found.seeds) == (TEN, (3, 1))
  json.dumps(found.to_dict(), allow_nan=False)


def test_an_optimizer_of_optax_is_named_with_its_arguments():
  optimizer = functools.partial(optax.sgd, nesterov=False)
  found = lrax.tune.find(
      tabled(lambda place, seed: abs(place - 4)), optimizer, schedule='constant',
      seeds=1,
  )
  assert found.optimizer == 'sgd(nesterov=False)'
  np.testing.assert_allclose(found.learning_rate, rate(4), rtol=1e-6)


# A real task.


def dense_sweep(factory, rates):
  """Mean validation loss at each rate over seeds 0, 1, 2: a loop of optax alone."""
  task = lrax.tasks.digits()
  x, y = (jnp.asarray(leaf) for leaf in task.train.data)
  judge = next(iter(task.validation.once()))

  @jax.jit
  def run(rate, params, order):
    tx = factory(optax.cosine_decay_schedule(rate, 300))

    def step(carry, rows):
      params, opt_state = carry
      grad = jax.grad(task.loss)(params, (x[rows], y[rows]), None)
      updates, opt_state = tx.update(grad, opt_state, params)
      return (optax.apply_updates(params, updates), opt_state), None

    carry, _ = jax.lax.scan(step, (params, tx.init(params)), order)
    return task.evaluate(carry[0], judge)

  start, losses = jax.jit(task.init), []
  for seed in range(3):
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(1437)[:1408] for _ in range(28)])
    order = order[: 300 * 128].reshape(300, 128)
    params = start(jax.random.key(seed))
    losses.append([float(run(jnp.float32(r), params, order)) for r in rates])
  return np.mean(losses, 0)


@pytest.mark.parametrize(
    'optimizer, factory',
    [
        ('sgd(momentum=0.9)', functools.partial(optax.sgd, momentum=0.9)),
        ('adamw', functools.partial(optax.adamw, weight_decay=1e-4)),
    ],
    ids=['sgd', 'adamw'],
)
def test_digits(optimizer, factory):
  """Within 5% of the best of a dense sweep, from a quarter to four times it."""
  found = lrax.tune.find(lrax.tasks.digits(), optimizer)
  multiples = 1.3 ** np.arange(-5, 6)
  losses = dense_sweep(factory, found.learning_rate * multiples)
  # A rate that diverged gives a large loss or NaN, and is not the best.
  assert losses[5] <= 1.05 * np.nanmin(losses)
  # The same loop on other batches: three seeds tell a mean to 2%.
  np.testing.assert_allclose(found.validation_loss, losses[5], rtol=0.08)
  assert found.ratio <= 2.0 + 1e-9
  assert (found.schedule, found.steps, found.seeds) == ('cosine', 300, (0, 1, 2))
  assert f'{found.learning_rate:.2g} with {optimizer} for digits' in found.verdict
