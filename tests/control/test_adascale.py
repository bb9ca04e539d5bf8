import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax
from lrax.control import adascale

PARAMS = {'w': jnp.ones(2)}


def rates(policy, grads, norms):
  """The rates of updates with these mean gradients and mean square norms."""
  state, found = policy.init(), []
  for grad, norm in zip(grads, norms):
    grad = {'w': jnp.asarray(grad, jnp.float32)}
    state = policy.update(grad, state, shard_square_norm=norm)[1]
    found.append(float(state.learning_rate))
  return found


def telling(tx):
  """Tells the norms of the reference's two gradients, g +- cos(step) * noise."""
  noise = jax.tree.leaves(trajectories.PROBLEM['noise'])
  size = float(np.sum(np.square(noise)))

  def init(params):
    return jnp.zeros(()), tx.init(params)

  def update(updates, state, params=None, **signals):
    step = state[0] + 1
    norm = optax.tree.norm(updates, squared=True) + jnp.cos(step) ** 2 * size
    updates, inner = tx.update(
        updates, state[1], params, shard_square_norm=norm, **signals
    )
    return updates, (step, inner)

  return optax.GradientTransformationExtraArgs(init, update)


def test_follows_the_reference():
  trajectories.assert_follows('adascale_sgd', lambda rate: telling(
      lrax.sgd(rate * adascale(2, smoothing=0.9), momentum=0.9)
  ))


def test_noise_gives_the_number_of_shards_and_agreement_one():
  # Eight shards whose mean has an eighth of the variance 8, and no more.
  assert rates(adascale(8), [[1.0, 0.0]], [8.0]) == [8.0]
  # All the same: the variance is the least, 2**-20 beside 2**10.
  agree = rates(adascale(8, eps=2.0**-20), [[32.0, 0.0]], [1024.0])
  assert 1 <= agree[0] <= 1 + 2.0**-22
  # Two gradients, (2, 1) and (2, -1): variance 2, square 4 - 1.
  assert rates(adascale(2, 0.0), [[2.0, 0.0]], [5.0]) == [5 / 4]


def test_the_averages_are_of_both_moments():
  # Variances 2 and 8, squares 3 and 0, weights 1/4 and 1/2.
  found = rates(adascale(2, 0.5), [[2.0, 0.0], [2.0, 0.0]], [5.0, 8.0])
  assert found == [5 / 4, (0.5 + 4 + 0.75) / (0.25 + 2 + 0.75)]


def test_the_papers_smoothing_is_the_default():
  """1 - shards / 1000; with a thousand shards and more nothing is kept."""
  signals = [[2.0, 0.0], [2.0, 0.0]], [5.0, 8.0]
  assert rates(adascale(2000), *signals) == rates(adascale(2000, 0.0), *signals)
  ours, theirs = (rates(adascale(100, s), *signals) for s in (None, 0.9))
  # 0.9 and 1 - 0.1 are an ulp apart in float32, and 0.1 from it then 16.
  np.testing.assert_allclose(ours, theirs, rtol=16 * 2.0**-24)


def test_one_norm_for_each_shard_is_their_mean():
  norms = jnp.array([[4.0, 1.0], [9.0, 2.0]])
  assert rates(adascale(4), [[1.0, 0.0]], [norms]) == rates(
      adascale(4), [[1.0, 0.0]], [4.0]
  )


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_what_is_not_finite_is_passed_over(bad):
  assert rates(adascale(2), [[2.0, 0.0]], [bad]) == [1.0]
  found = rates(adascale(2), [[2.0, 0.0]] * 3, [5.0, bad, 5.0])
  # Three float32 roundings of the averages.
  np.testing.assert_allclose(found, 5 / 4, rtol=6 * 2.0**-24)
  found = rates(adascale(2), [[2.0, 0.0], [bad, 0.0]], [5.0, 5.0])
  np.testing.assert_allclose(found, 5 / 4, rtol=6 * 2.0**-24)


def test_zero_gradients_give_a_finite_gain():
  assert rates(adascale(8), [[0.0, 0.0]], [0.0]) == [8.0]


def test_replicas_take_one_rate():
  """Devices with gradients 1, ..., 8: the variance is 6, the mean 4.5."""
  tx = lrax.sgd(0.5 * adascale(8))

  def step(local):
    grads = {'w': jnp.stack([local, 0.0])}
    norm = jax.lax.pmean(optax.tree.norm(grads, squared=True), 'batch')
    grads = jax.lax.pmean(grads, 'batch')
    state = tx.update(grads, tx.init(PARAMS), PARAMS, shard_square_norm=norm)[1]
    return lrax.get_learning_rate(state)

  rates = jax.pmap(step, axis_name='batch')(jnp.arange(1.0, 9.0))
  square = 4.5**2 - 6 / 8
  expect = 0.5 * (6 + square) / (6 / 8 + square)
  # A few float32 roundings of numbers below 40.
  np.testing.assert_allclose(rates, np.full(8, expect), rtol=8 * 2.0**-24)
  assert len(set(np.asarray(rates).tolist())) == 1


def test_a_missing_signal_is_named():
  with pytest.raises(ValueError, match='needs the signal `shard_square_norm`'):
    adascale(2).update(PARAMS, adascale(2).init())
  with pytest.raises(TypeError, match='`shard_square_norm` must be real'):
    rates(adascale(2), [[2.0, 0.0]], [1j])


@pytest.mark.parametrize('name, value', [
    ('shards', 1), ('smoothing', 1.0), ('eps', 0.0),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'adascale: `{name}` must be'):
    adascale(**{'shards': 2, name: value})
