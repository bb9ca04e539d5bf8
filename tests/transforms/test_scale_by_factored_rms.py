"""The factored root mean square against its formula and Optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lrax import transforms


@pytest.mark.parametrize('shape', [(4, 3), (3, 4), (3, 3), (2, 5, 4), (5,), ()])
@pytest.mark.parametrize('factored', [True, False])
def test_equals_optax(shape, factored):
  rng = np.random.default_rng(0)
  ours = transforms.scale_by_factored_rms(factored, 0.7, min_dim_size_to_factor=3)
  theirs = optax.scale_by_factored_rms(factored, 0.7, min_dim_size_to_factor=3)
  with jax.enable_x64(True):
    params = jnp.zeros(shape)
    state, their_state = ours.init(params), theirs.init(params)
    for _ in range(5):
      g = jnp.asarray(rng.normal(size=shape))
      found, state = ours.update(g, state)
      expected, their_state = theirs.update(g, their_state, params)
      # Optax has its step's number in float32: t ** -0.7 to 6e-8.
      np.testing.assert_allclose(found, expected, rtol=5e-7)
  shapes = lambda tree: jax.tree.map(jnp.shape, tree)
  assert shapes(state) == shapes(their_state)


def test_updates_before_the_offset_are_the_first():
  tx = transforms.scale_by_factored_rms(step_offset=2, epsilon=0.0)
  g = jnp.array([2.0, -3.0])
  state = tx.init(g)
  for scale in (1.0, 5.0, 7.0):
    updates, state = tx.update(scale * g, state)
    # The decay is 0: the square is that of the latest gradient.
    np.testing.assert_allclose(updates, [1.0, -1.0], rtol=1e-6)
  updates, _ = tx.update(g, state)
  assert jnp.abs(updates).max() < 0.5


def test_a_parameter_scale_by_hand():
  tx = transforms.scale_by_param_block_rms(0.5)
  params = {'w': jnp.array([3.0, 4.0j, 0.0, 0.0]), 'z': jnp.zeros(2)}
  updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
  np.testing.assert_allclose(updates['w'], 2.5, rtol=1e-6)
  assert updates['z'].tolist() == [0.5, 0.5]
