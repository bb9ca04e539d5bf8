"""Learned schedules: known optima, the way there, and what it is compared with."""

import functools
import json
import types
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax.tasks import Arrays
from lrax.tasks import Stream
from lrax.tasks import Task
from lrax.tune import _engine
from lrax.tune import _judged
from lrax.tune import _meta_descent
from lrax.tune import _unrolled

DIM, NOISE, START, STEPS = 500, 0.5, 2.0, 40


def noisy_quadratic():
  """Half the squared distance to a noisy point: SGD multiplies w by 1 - rate."""

  def batches(seed):
    rng = np.random.default_rng(seed)
    while True:
      yield rng.normal(size=DIM).astype(np.float32)

  return Task(
      init=lambda key: jnp.full(DIM, START),
      loss=lambda w, batch, key: 0.5 * jnp.sum((w - NOISE * batch) ** 2),
      evaluate=lambda w, batch: 0.5 * jnp.sum(w**2),
      train=Stream(batches), validation=Arrays(np.ones(1)), steps=STEPS,
      name='quadratic',
  )


def expected_loss(rates):
  """Of mean and variance, step by step: w becomes (1 - r) w + r NOISE x."""
  square = START**2
  for rate in rates:
    square = (1 - rate) ** 2 * square + (rate * NOISE) ** 2
  return 0.5 * DIM * square


# Each step's best rate is square / (square + NOISE ** 2), after which 1 / square has
# grown by 1 / NOISE ** 2; what is best for a step is best for the end, since the loss
# after it grows with the square before.
LOWEST = 0.5 * DIM / (1 / START**2 + STEPS / NOISE**2)


@functools.cache
def learned_on_quadratic():
  seen = []
  found = lrax.tune.learned_schedule(
      noisy_quadratic(), 'sgd', knots=6, init_value=0.02, meta_steps=40,
      on_step=seen.append,
  )
  assert seen == list(found.history)
  return found


def test_it_comes_near_the_known_optimum():
  found = learned_on_quadratic()
  rates = np.asarray(found.schedule(np.arange(STEPS)), np.float64)
  reached, start = expected_loss(rates), expected_loss(np.full(STEPS, 0.02))
  constant = min(expected_loss(np.full(STEPS, r)) for r in np.geomspace(0.01, 1, 500))
  print(f'{start:.2f} -> {reached:.3f}; constant {constant:.2f}; lowest {LOWEST:.3f}')
  # Five straight lines are no hyperbola: the best of them come to 1.041 times the
  # lowest, by minimising `expected_loss`. Two seeds' noise was learned too: sums of
  # 500 squares, of a relative spread of sqrt(2 / 1000), 4.5%.
  assert 1.041 * LOWEST < reached < 1.041 * 1.045 * LOWEST
  assert reached < 0.5 * constant < 0.5 * start
  # And so it is measured, on seeds of its own: sums of 500 squares over five seeds
  # have a relative spread of sqrt(2 / 2500), 2.8%; five of those.
  np.testing.assert_allclose(found.learned.validation_loss, reached, rtol=0.14)
  np.testing.assert_allclose(found.start.validation_loss, start, rtol=0.14)
  gain, error = found.learned.less(found.constant)
  assert gain > 5 * error
  assert not set(found.seeds) & set(found.fresh_seeds)


def test_the_best_constant_is_found():
  found = learned_on_quadratic()
  dense = np.geomspace(0.01, 1, 2000)
  losses = np.asarray([expected_loss(np.full(STEPS, rate)) for rate in dense])
  rate = float(found.constant.schedule(0))
  # Neighbours that were tried are a factor of 1.19 apart; two seeds' noise of
  # sqrt(2 / 1000), 4.5%, may hide as much again of a loss so flat.
  assert expected_loss(np.full(STEPS, rate)) <= 1.1 * losses.min()
  assert len(found.constants) <= 40
  assert [rate for rate, _ in found.constants] == sorted(dict(found.constants))


def test_what_it_returns():
  found = learned_on_quadratic()
  assert found.schedule == found.learned.schedule
  assert found.knots == (0, 8, 16, 24, 32, 40)
  best = min(found.history, key=lambda step: step.validation_loss)
  np.testing.assert_allclose(
      found.schedule(np.asarray(found.knots)), best.values, rtol=6e-4  # four digits
  )
  runs = len(found.history) * 2 + len(found.constants) * 2 + 3 * 5
  assert found.steps_spent <= runs * STEPS  # some of them diverge and end
  assert lrax.Schedule.from_dict(found.to_dict()['schedule']) == found.schedule
  json.dumps(found.to_dict())
  assert f'{found.learned.validation_loss:.4g}' in str(found)


def test_the_gradient_of_the_knots_in_closed_form(x64):
  """Without noise the loss is 0.5 * prod((1 - rate) ** 2), whatever the seed."""
  ones = Arrays(np.ones(1))
  task = Task(
      init=lambda key: jnp.ones(()), loss=lambda w, batch, key: 0.5 * w**2,
      train=ones, validation=ones, steps=12, name='line',
  )
  found = lrax.tune.learned_schedule(
      task, 'sgd', knots=4, init_value=0.1, meta_steps=1, seeds=1
  )
  (step,) = found.history
  loss = 0.5 * 0.9**24
  np.testing.assert_allclose(step.validation_loss, loss, rtol=1e-13)
  # d loss / d rate = -2 * loss / (1 - rate); each rate is a mean of two knots'.
  weights = np.stack([np.interp(np.arange(12), [0, 4, 8, 12], k) for k in np.eye(4)])
  expected = -2 * loss / 0.9 * 0.1 * weights.sum(1)
  np.testing.assert_allclose(step.gradient, expected, rtol=1e-12)  # rounding
  assert found.learned.validation_loss == found.start.validation_loss
  assert 'Noise hides the difference' in found.verdict


def valley(edge):
  """A loss of the logarithms that is lowest at 0, and chaotic above `edge`."""

  def run(logs, seed):
    slopes = np.full((len(logs), 4), 100.0 if logs.max() > edge else 0.1)
    losses = np.asarray([4.0, 3.0, 2.0, 1.0])
    loss = float((logs**2).sum())
    return _unrolled.Derivative(loss, 2 * logs, losses, slopes, False)

  return run


def test_descent_reaches_the_lowest_point():
  steps = list(_meta_descent.descend(valley(9.0), np.full(3, -2.0), 60, 0.2, [0]))
  assert all(step.trusted for step in steps)
  logs = np.log([step.values for step in steps])
  np.testing.assert_allclose(  # longer by 1.2 each time
      logs[:4, 0], [-2.0, -1.8, -1.8 + 0.24, -1.56 + 0.288], rtol=1e-6
  )
  # It ended, since its steps were below 0.2 / 16; they halve where the sign turns.
  assert len(steps) < 60
  assert np.abs(logs[-1]).max() < 2 * 0.2 / 16
  # One step of rest after the first turn.
  turn = int(np.argmax(logs[:, 0] > 0))
  np.testing.assert_array_equal(logs[turn], logs[turn + 1])


def test_descent_goes_back_where_training_is_not_calm():
  steps = list(_meta_descent.descend(valley(-1.5), np.full(1, -2.0), 60, 0.4, [0]))
  logs = np.log([step.values[0] for step in steps])
  # From -1.6 a step of 0.48, too far; of 0.24, too far; of 0.12, 0.06, ...
  expected = [-2.0, -1.6, -1.12, -1.36, -1.48, -1.54, -1.468, -1.504]
  np.testing.assert_allclose(logs[:8], expected, rtol=1e-6)
  over = [not step.trusted for step in steps[:8]]
  np.testing.assert_array_equal(over, np.asarray(expected) > -1.5)
  assert len(steps) < 20  # and then it ends


def test_descent_from_too_high_halves_the_rates():
  steps = list(_meta_descent.descend(valley(-1.0), np.zeros(2), 4, 0.2, [0]))
  assert [step.trusted for step in steps] == [False, False, True, True]
  np.testing.assert_allclose(steps[1].values, [0.5, 0.5])
  np.testing.assert_allclose(steps[2].values, [0.25, 0.25])


def test_a_loss_that_is_not_finite_is_never_the_best():
  def run(logs, seed):
    nan = np.full((1, 4), np.nan)
    return _unrolled.Derivative(np.nan, nan[:, 0], nan[0], nan, True)

  steps = list(_meta_descent.descend(run, np.zeros(1), 3, 0.2, [0, 1]))
  assert [step.values for step in steps] == [(1.0,), (0.5,), (0.25,)]
  assert not any(step.trusted for step in steps)


def test_derivatives_that_are_not_finite_end_it_and_are_said():
  """Adagrad's root of 0, of a parameter that is never used."""
  ones = Arrays(np.ones(1))
  task = Task(
      init=lambda key: jnp.ones(2), loss=lambda w, batch, key: w[0] ** 2,
      train=ones, validation=ones, steps=10, name='half used',
  )
  found = lrax.tune.learned_schedule(
      task, 'adagrad', knots=2, init_value=0.01, meta_steps=3, seeds=1
  )
  assert len(found.history) == 1 and not found.history[0].trusted
  assert 'It was not learned' in found.verdict
  assert 'initial_accumulator_value > 0' in found.verdict
  assert found.schedule == lrax.piecewise_interpolate([0.01, 0.01], [10])
  json.dumps(found.to_dict())


@pytest.mark.parametrize('best', [1e-3, 0.05, 7.0])
def test_search_for_a_constant(best):
  """Of a loss that is lowest at `best`, and infinite from 4 times that on."""

  def run(trials):
    rates = trials.rates[:, 0]
    loss = np.where(rates < 4 * best, np.log(rates / best) ** 2, np.nan)
    return _engine.Runs(loss, loss, loss, loss)

  engine: Any = types.SimpleNamespace(steps=3, run=run)
  tried = _judged.search(engine, 0.02, 40, [0, 1])
  found = min(tried, key=lambda rate: tried[rate])
  # The neighbours tried are a factor of 2 ** (1 / 4) away.
  assert abs(np.log2(found / best)) <= 0.13
  assert len(tried) <= 40
  assert len(_judged.search(engine, 0.02, 3, [0, 1])) == 3


@pytest.mark.parametrize(('change', 'error', 'words'), [
    ({'task': None}, TypeError, '`task` must be a lrax.tasks.Task'),
    ({'optimizer': 3}, TypeError, '`optimizer` must be'),
    ({'knots': 1}, ValueError, '`knots` must be a whole number >= 2'),
    ({'knots': 8, 'steps': 6}, ValueError, 'at most one more than the 6 steps'),
    ({'steps': 0}, ValueError, '`steps` must be'),
    ({'init_value': 0.0}, ValueError, '`init_value` must be'),
    ({'meta_steps': 0}, ValueError, '`meta_steps` must be'),
    ({'meta_rate': -1.0}, ValueError, '`meta_rate` must be'),
    ({'seeds': 0}, ValueError, '`seeds` must be'),
])
def test_bad_arguments_are_refused(change, error, words):
  arguments = {'task': noisy_quadratic(), 'optimizer': 'sgd'} | change
  task, optimizer = arguments.pop('task'), arguments.pop('optimizer')
  with pytest.raises(error, match=words):
    lrax.tune.learned_schedule(task, optimizer, **arguments)
