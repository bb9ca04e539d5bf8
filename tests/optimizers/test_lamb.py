"""LAMB against its paper, timm and Optax."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


@pytest.mark.parametrize(
    'run, arguments', [('lamb', {'weight_decay': 0.01}), ('lamb_no_decay', {})]
)
def test_follows_the_reference(run, arguments):
  trajectories.assert_follows(run, lambda rate: lrax.lamb(rate, **arguments))


def test_an_update_is_as_long_as_the_weights():
  params = {'w': jnp.array([[3.0, 4.0]]), 'b': jnp.array([8.0, 15.0])}
  grads = {'w': jnp.array([[1e-3, 2.0]]), 'b': jnp.array([-5.0, 1.0])}
  tx = lrax.lamb(0.5, weight_decay=0.1)
  updates, _ = tx.update(grads, tx.init(params), params)
  # A norm and a division: a few roundings of float32.
  assert jnp.linalg.norm(updates['w']) == pytest.approx(2.5, rel=1e-6)
  assert jnp.linalg.norm(updates['b']) == pytest.approx(8.5, rel=1e-6)


@pytest.mark.parametrize('params, grads', [(0.0, 2.0), (3.0, 0.0), (0.0, 0.0)])
def test_the_ratio_is_1_where_a_norm_is_0(params, grads):
  params, grads = jnp.full(2, params), jnp.full(2, grads)
  tx = lrax.lamb(0.5, eps=0.0)
  updates, _ = tx.update(grads, tx.init(params), params)
  np.testing.assert_allclose(updates, -0.5 * jnp.sign(grads), rtol=1e-6)


def test_the_trust_ratio_equals_optax():
  arguments = {'min_norm': 0.5, 'trust_coefficient': 0.3, 'eps': 0.1}
  ours = lrax.transforms.scale_by_trust_ratio(**arguments)
  theirs = optax.scale_by_trust_ratio(**arguments)
  params = {'a': jnp.array([3.0, 4.0]), 'b': jnp.array([0.1, 0.0])}
  grads = {'a': jnp.array([0.0, 0.1]), 'b': jnp.array([-2.0, 1.0])}
  updates, _ = ours.update(grads, ours.init(params), params)
  expected, _ = theirs.update(grads, theirs.init(params), params)
  for name in params:
    np.testing.assert_allclose(updates[name], expected[name], rtol=1e-6)
