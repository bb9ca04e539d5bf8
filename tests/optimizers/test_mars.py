"""MARS against the paper and timm."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def test_follows_the_paper():
  build = lambda rate: lrax.mars(rate, weight_decay=0.02)
  trajectories.assert_follows('mars', build)


def test_follows_timm_with_vectors_by_adamw():
  def build(rate):
    optimizers = {
        'matrix': lrax.mars(rate, weight_decay=0.02),
        'vector': lrax.adamw(rate * 0.5, b2=0.95, weight_decay=0.02),
    }
    return optax.partition(optimizers, {'x': 'vector', 'w': 'matrix'})

  trajectories.assert_follows('mars_matrices', build)


def _run(tx, gradients):
  gradients = [jnp.asarray(g) for g in gradients]
  state, states = tx.init(gradients[0]), []
  for g in gradients:
    _, state = tx.update(g, state)
    states.append(state)
  return states


def test_the_correction_and_its_first_step():
  # gamma * b1 / (1 - b1) = 3 at b1 = 3/4: c is 1/8, then 1/4 + 3 * 1/8; mu keeps
  # a quarter of each.
  tx = lrax.transforms.scale_by_mars(b1=0.75, gamma=1.0)
  first, second = _run(tx, [0.125, 0.25])
  assert float(first.mu) == 0.125 / 4
  assert float(second.mu) == 0.75 * 0.125 / 4 + (0.25 + 0.375) / 4
  assert float(second.previous) == 0.25


def test_the_norm_is_bounded_after_the_correction_and_array_by_array():
  g = {'large': jnp.array([3.0, -4.0]), 'small': jnp.array([0.3, -0.4])}
  tx = lrax.transforms.scale_by_mars(b1=0.0)
  _, state = tx.update(g, tx.init(g))
  # A few float32 roundings of 6e-8.
  np.testing.assert_allclose(state.mu['large'], [0.6, -0.8], rtol=3e-7)
  np.testing.assert_allclose(state.mu['small'], [0.3, -0.4], rtol=3e-7)


def test_without_gamma_it_is_adam_of_clipped_gradients():
  gradients = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
  ours = lrax.transforms.scale_by_mars(gamma=0.0)
  theirs = optax.chain(
      optax.clip_by_block_rms(0.5), lrax.transforms.scale_by_adam(0.95, 0.99)
  )  # a norm of 1 is a root mean square of 1/2 for four numbers
  ours_state, theirs_state = ours.init(jnp.ones(4)), theirs.init(jnp.ones(4))
  for g in gradients:
    one, ours_state = ours.update(jnp.asarray(g), ours_state)
    other, theirs_state = theirs.update(jnp.asarray(g), theirs_state)
    # A norm against a root mean square: some float32 roundings of 6e-8.
    np.testing.assert_allclose(one, other, rtol=2e-6)


def test_a_nan_stays_where_it_is():
  g = jnp.array([jnp.nan, 3.0, -4.0])
  tx = lrax.transforms.scale_by_mars(b1=0.0)
  updates, state = tx.update(g, tx.init(g))
  assert jnp.isnan(updates).tolist() == [True, False, False]
  np.testing.assert_allclose(state.mu[1:], [0.6, -0.8], rtol=3e-7)


def test_b1_may_be_a_schedule():
  # The correction of the second step uses the second b1: 1 / (1 - 1/2) = 1.
  b1 = lambda step: jnp.where(step < 1, 0.0, 0.5)
  tx = lrax.transforms.scale_by_mars(b1=b1, gamma=1.0)
  _, second = _run(tx, [0.125, 0.25])
  assert float(second.inner_state.mu) == 0.125 / 2 + (0.25 + 0.125) / 2


@pytest.mark.parametrize('coupling, expected', [('rate', 0.75), ('none', 0.5)])
def test_what_scales_the_decay(coupling, expected):
  tx = lrax.mars(0.5, weight_decay=0.5, decay_coupling=coupling)
  x = jnp.ones(())
  updates, _ = tx.update(jnp.zeros(()), tx.init(x), x)
  assert float(x + updates) == expected


def test_the_average_may_be_bfloat16():
  g = {'w': jnp.ones(3)}
  tx = lrax.mars(0.1, mu_dtype=jnp.bfloat16)
  updates, state = tx.update(g, tx.init(g), g)
  assert updates['w'].dtype == jnp.float32
  assert jnp.bfloat16 in [x.dtype for x in jax.tree.leaves(state)]


@pytest.mark.parametrize('name, value', [('b1', 1.0), ('gamma', -0.1)])
def test_refuses_arguments_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'scale_by_mars: `{name}` must be'):
    lrax.mars(0.1, **{name: value})
