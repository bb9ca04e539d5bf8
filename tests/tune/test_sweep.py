"""Sweeps of known curves: what each run gives, its status, and what is refused."""

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

DIM, STEPS, NOISE = 200, 40, 0.3
RATES = [0.03, 0.1, 0.3, 1.0, 3.0]


def draws(seed):
  rng = np.random.default_rng(seed)
  while True:
    yield rng.normal(size=DIM).astype(np.float32)


def quadratic(noise=NOISE):
  """Half the squared distance to a noisy point: SGD multiplies w by 1 - rate."""
  return Task(
      init=lambda key: jnp.full(DIM, 2.0),
      loss=lambda w, batch, key: 0.5 * jnp.sum((w - noise * batch) ** 2),
      evaluate=lambda w, batch: 0.5 * jnp.sum(w**2),
      train=Stream(draws),
      validation=Arrays(np.ones(1)),
      steps=STEPS,
      name='quadratic',
  )


@pytest.fixture(scope='module')
def swept():
  return lrax.tune.sweep(
      quadratic(), RATES, optimizer='sgd', schedule='constant', seeds=3
  )


def by_hand(rate, seed):
  """The losses and the last w of a plain loop in float64."""
  w, losses = np.full(DIM, 2.0), []
  for _, x in zip(range(STEPS), draws(seed)):
    losses.append(0.5 * np.sum((w - NOISE * x) ** 2))
    w = w - rate * (w - NOISE * x)
  return np.asarray(losses), w


def test_curves_and_losses_are_those_of_a_plain_loop(swept):
  for i, rate in enumerate(RATES[:4]):
    for j, seed in enumerate(swept.seeds):
      losses, w = by_hand(rate, seed)
      # Sums of 200 float32 squares, over 40 updates.
      np.testing.assert_allclose(swept.losses[i, j], losses, rtol=1e-4)
      np.testing.assert_allclose(
          swept.validation_loss[i, j], 0.5 * np.sum(w**2), rtol=1e-3, atol=1e-4
      )


def test_a_rate_above_two_over_the_curvature_ends_early(swept):
  assert (swept.status[:4] == 'finished').all()
  assert (swept.status[4] == 'diverged').all()
  assert (swept.steps_done[:4] == STEPS).all()
  assert (swept.steps_done[4] < STEPS / 2).all()
  assert np.isnan(swept.validation_loss[4]).all() and np.isnan(swept.mean[4])
  assert swept.steps_spent == swept.steps_done.sum() < 5 * 3 * STEPS
  for losses, done in zip(swept.losses[4], swept.steps_done[4]):
    assert np.isfinite(losses[:done]).all() and np.isnan(losses[done:]).all()


def test_the_mean_and_the_spread_are_over_seeds(swept):
  np.testing.assert_allclose(swept.mean, swept.validation_loss.mean(1))
  np.testing.assert_allclose(
      swept.spread[:4], swept.validation_loss[:4].std(1, ddof=1)
  )
  assert swept.best == RATES[int(np.nanargmin(swept.mean))]


def test_rates_in_any_order_come_back_rising(swept):
  again = lrax.tune.sweep(
      quadratic(), np.array(RATES)[::-1], optimizer='sgd', schedule='constant', seeds=3
  )
  assert again.learning_rates.tolist() == RATES
  np.testing.assert_array_equal(again.validation_loss, swept.validation_loss)


def test_one_seed_has_no_spread():
  one = lrax.tune.sweep(quadratic(), [0.1], optimizer='sgd', seeds=[5], steps=12)
  assert one.spread.tolist() == [0.0] and one.losses.shape == (1, 1, 12)


def test_a_run_that_gains_nothing_where_a_smaller_rate_did_has_diverged():
  """It leaps at once and comes back, so nothing rises above where it began."""

  def loss(w, batch, key):
    del batch, key
    return jnp.minimum(0.5 * w[0] ** 2, 2.0) + 0 * w.sum()

  task = Task(
      init=lambda key: jnp.ones(2), loss=loss, evaluate=lambda w, b: loss(w, b, None),
      train=Arrays(np.ones(1)), validation=Arrays(np.ones(1)), steps=30,
  )
  # At 2 w goes from 1 to -1 and back: the loss stays what it was.
  found = lrax.tune.sweep(task, [0.1, 2.0], optimizer='sgd', schedule='constant')
  assert found.status.tolist() == [['finished'], ['diverged']]
  assert found.steps_done.tolist() == [[30], [30]]
  # Where none gained anything there is nothing to compare with.
  still = lrax.tune.sweep(task, [1e-9, 2.0], optimizer='sgd', schedule='constant')
  assert (still.status == 'finished').all()


def test_halving_stops_the_worse_half():
  told = []
  found = lrax.tune.sweep(
      quadratic(0.0), RATES, optimizer='sgd', schedule='constant', seeds=2,
      halve_at=[0.25, 0.5], on_trial=told.append,
  )
  # Without noise the best of them at every step is 1.0, then 0.3, then 0.1.
  assert found.steps_done[:, 0].tolist() == [10, 20, 40, 40, 10]
  assert found.best == 1.0
  finished = found.status == 'finished'
  assert (found.steps_done[finished] == STEPS).all()
  stopped = found.status == 'stopped early'
  assert stopped.any() and np.isfinite(found.validation_loss[stopped]).all()
  for i, j in np.argwhere(stopped):
    done = found.steps_done[i, j]
    w = 2.0 * (1 - RATES[i]) ** done
    # w is rounded at every update, and squared in the end.
    np.testing.assert_allclose(
        found.validation_loss[i, j], 0.5 * DIM * w**2, rtol=1e-4
    )
  assert len(told) == 10
  assert sorted((t.learning_rate, t.seed, t.status) for t in told) == sorted(
      (rate, seed, found.status[i, j])
      for i, rate in enumerate(RATES)
      for j, seed in enumerate(found.seeds)
  )


def test_the_survivors_of_halving_train_as_if_alone(swept):
  found = lrax.tune.sweep(
      quadratic(), RATES, optimizer='sgd', schedule='constant', seeds=3,
      halve_at=[0.25],
  )
  left = (found.status == 'finished').all(1)
  assert 2 <= left.sum() <= 3
  np.testing.assert_array_equal(found.losses[left], swept.losses[left])
  np.testing.assert_array_equal(
      found.validation_loss[left], swept.validation_loss[left]
  )


def test_side_by_side_streams_and_halving_too(swept):
  found = lrax.tune.sweep(
      quadratic(), RATES, optimizer='sgd', schedule='constant', seeds=3,
      engine='vmap', halve_at=[0.25],
  )
  left = (found.status == 'finished').all(1)
  # Side by side the sums of 200 squares may be taken in another order.
  np.testing.assert_allclose(found.losses[left], swept.losses[left], rtol=1e-4)


def test_each_end_is_told_once(swept):
  told = []
  lrax.tune.sweep(
      quadratic(), RATES, optimizer='sgd', schedule='constant', seeds=3,
      on_trial=told.append,
  )
  assert sorted((t.learning_rate, t.seed) for t in told) == [
      (rate, seed) for rate in RATES for seed in range(3)
  ]
  for trial in told:
    i, j = RATES.index(trial.learning_rate), trial.seed
    assert trial.status == swept.status[i, j]
    np.testing.assert_array_equal(
        trial.losses, swept.losses[i, j, : len(trial.losses)]
    )


def test_the_peak_is_that_of_the_schedule():
  """Half a cosine multiplies w by the product of 1 - rate_t."""
  found = lrax.tune.sweep(quadratic(0.0), [0.5], optimizer='sgd')
  rates = 0.25 * (1 + np.cos(np.pi * np.arange(STEPS) / STEPS))
  w = 2.0 * np.prod(1 - rates)
  np.testing.assert_allclose(found.mean, 0.5 * DIM * w**2, rtol=1e-4)  # float32


def test_the_table_and_the_dict_are_plain(swept):
  rows = swept.table()
  assert [row['learning_rate'] for row in rows] == RATES
  assert rows[4]['diverged'] == 3 and rows[0]['finished'] == 3
  plain = json.loads(json.dumps(swept.to_dict(), allow_nan=False))
  assert plain['best'] == swept.best and plain['mean'][4] is None
  assert plain['status'] == swept.status.tolist()


def test_all_may_diverge():
  found = lrax.tune.sweep(quadratic(), [30.0, 50.0], optimizer='sgd', seeds=2)
  assert np.isnan(found.best) and (found.status == 'diverged').all()


@pytest.mark.parametrize(
    'changes, error, says',
    [
        ({'task': 'digits'}, TypeError, '`task` must be a lrax.tasks.Task'),
        ({'learning_rates': []}, ValueError, '`learning_rates` must be at least one'),
        ({'learning_rates': [0.1, 0.1]}, ValueError, 'each once'),
        ({'learning_rates': [0.0]}, ValueError, r'`learning_rates\[0\]` must be'),
        ({'learning_rates': [np.nan]}, ValueError, r'`learning_rates\[0\]` must be'),
        ({'learning_rates': 0.1}, TypeError, '`learning_rates` must be a list'),
        ({'optimizer': 'adamm'}, ValueError, "did you mean 'adam'"),
        ({'optimizer': 3}, TypeError, '`optimizer` must be a function'),
        ({'schedule': 'cosin'}, ValueError, "did you mean 'cosine'"),
        ({'schedule': lrax.constant(1.0)}, TypeError, '`schedule` must be one of'),
        ({'steps': 0}, ValueError, '`steps` must be a whole number >= 1'),
        ({'seeds': 0}, ValueError, '`seeds` must be a whole number >= 1'),
        ({'seeds': [1, 1]}, ValueError, '`seeds` must be at least one, each once'),
        ({'engine': 'pmap'}, ValueError, "did you mean 'vmap'|`engine` must be one"),
        ({'lanes': 0}, ValueError, '`lanes` must be'),
        ({'halve_at': [0.5, 0.25]}, ValueError, '`halve_at` must be rising'),
        ({'halve_at': [1.0]}, ValueError, r'`halve_at\[0\]` must be a share'),
        ({'halve_at': 0.5}, TypeError, '`halve_at` must be a list'),
    ],
)
def test_refuses(changes, error, says):
  arguments = {'task': quadratic(), 'learning_rates': [0.1]} | changes
  with pytest.raises(error, match=says):
    lrax.tune.sweep(**arguments)


def test_an_infinite_learning_rate_of_a_schedule_is_no_surprise():
  """What the schedule gives is used as it is; the run ends there."""
  own = lambda rate, steps: lambda step: jnp.where(step < 3, rate, 1e30)
  found = lrax.tune.sweep(quadratic(), [0.1], optimizer='sgd', schedule=own)
  assert found.status.tolist() == [['diverged']]
  assert 3 < found.steps_done[0, 0] <= 6


def test_arrays_of_jax_are_rates():
  found = lrax.tune.sweep(
      quadratic(), jnp.asarray([0.1, 0.2]), optimizer='sgd', steps=12
  )
  assert found.learning_rates.shape == (2,)
  assert isinstance(found.validation_loss, np.ndarray)
  assert not isinstance(found.losses, jax.Array)


def test_an_easy_first_batch_does_not_make_better_rates_diverge():
  """Fine-tuning: the first batch has less noise, so later losses are above it."""

  def batches(seed):
    rng = np.random.default_rng(seed)
    yield 0.7 * rng.normal(size=DIM).astype(np.float32)
    while True:
      yield rng.normal(size=DIM).astype(np.float32)

  task = Task(
      init=lambda key: jnp.full(DIM, 0.1),
      loss=lambda w, batch, key: 0.5 * jnp.sum((w - batch) ** 2),
      evaluate=lambda w, batch: 0.5 * jnp.sum(w**2),
      train=Stream(batches), validation=Arrays(np.ones(1)), steps=STEPS,
  )
  rates = [1e-5, 1e-3, 1e-2, 3e-2]
  found = lrax.tune.sweep(task, rates, optimizer='sgd', seeds=2)
  assert (found.status == 'finished').all()
  assert found.best == rates[int(np.argmin(found.mean))] != 1e-5


@pytest.mark.parametrize('schedule', ['constant', 'linear'])
def test_injected_hyperparameters_follow_the_rate(schedule):
  arguments = {'schedule': schedule, 'seeds': 1}
  plain = lrax.tune.sweep(quadratic(), [0.1, 0.3], optimizer=optax.sgd, **arguments)
  injected = lrax.tune.sweep(
      quadratic(), [0.1, 0.3], optimizer=optax.inject_hyperparams(optax.sgd),
      **arguments,
  )
  # The same updates, fused otherwise: roundings of float32.
  np.testing.assert_allclose(injected.losses, plain.losses, rtol=1e-5)
  assert (injected.status == 'finished').all()


def test_an_optimizer_may_be_no_tuple():
  """`optax.MultiSteps` has `init` and `update`, and moves at every second step."""
  every_second = lambda rate: optax.MultiSteps(optax.sgd(rate), 2)
  found = lrax.tune.sweep(
      quadratic(0.0), [0.1], optimizer=every_second, schedule='constant', steps=6
  )
  losses = found.losses[0, 0]
  # Nothing has moved between the two, so that these are to the bit one loss.
  np.testing.assert_array_equal(losses[::2], losses[1::2])
  assert losses[0] > losses[2] > losses[4]


def test_an_optimizer_that_searches_along_the_loss_is_given_it():
  found = lrax.tune.sweep(
      quadratic(0.0), [1.0], optimizer=lambda rate: optax.lbfgs(), steps=3
  )
  assert found.validation_loss[0, 0] < 1e-6  # a quadratic, in one step


def test_pauses_that_are_no_step_are_left_out():
  found = lrax.tune.sweep(
      quadratic(0.0), RATES[:4], optimizer='sgd', schedule='constant',
      halve_at=[0.001, 0.002, 0.5, 0.9999],
  )
  assert sorted(found.steps_done[:, 0].tolist()) == [20, 20, 39, 40]
