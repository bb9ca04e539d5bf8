"""Grams against the paper and its packages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax
from lrax.transforms import grams
from lrax.transforms import scale_by_adam
from lrax.transforms import scale_by_momentum


def _follow(run, eps, decay):
  build = lambda rate: optax.chain(
      grams(scale_by_adam(eps=eps)), optax.add_decayed_weights(decay), rate
  )
  trajectories.assert_follows(run, build)


def test_follows_the_paper():
  _follow('grams_eps_after', 1e-3, 0.05)


@pytest.mark.parametrize('run, decay', [('grams', 0.0), ('grams_decay', 0.05)])
def test_follows_the_authors_with_eps_before_the_correction(run, decay):
  eps = lambda step: 1e-6 / jnp.sqrt(1 - 0.999 ** (step + jnp.float64(1)))
  _follow(run, eps, decay)


def test_the_size_is_of_the_direction_and_the_sign_of_the_gradient():
  direction = jnp.array([1.0, -2.0, 3.0, -4.0, 5.0])
  tx = grams(optax.stateless(lambda updates, params: direction))
  g = jnp.array([-0.5, -0.5, 0.5, 1e-30, 0.0])
  updates, _ = tx.update(g, tx.init(g))
  assert updates.tolist() == [-1.0, -2.0, 3.0, 4.0, 0.0]


def test_the_averages_are_not_turned():
  plain, turned = scale_by_momentum(0.5), grams(scale_by_momentum(0.5))
  ours, theirs = turned.init(jnp.ones(3)), plain.init(jnp.ones(3))
  for seed in range(5):
    g = jnp.asarray(np.random.default_rng(seed).normal(size=3), jnp.float32)
    updates, ours = turned.update(g, ours)
    expected, theirs = plain.update(g, theirs)
    np.testing.assert_array_equal(updates, jnp.abs(expected) * jnp.sign(g))
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_keyword_arguments_go_through():
  def update(updates, state, params=None, *, value):
    del params
    return jax.tree.map(lambda g: g * value, updates), state

  tx = grams(optax.GradientTransformationExtraArgs(lambda params: (), update))
  updates, _ = tx.update(jnp.array(2.0), (), value=-3.0)
  assert float(updates) == 6.0


def test_a_complex_gradient_gives_its_direction():
  tx = grams(optax.stateless(lambda updates, params: jnp.complex64(-5j)))
  updates, _ = tx.update(jnp.complex64(3 + 4j), tx.init(None))
  # Some float32 roundings of 6e-8.
  np.testing.assert_allclose(updates, 3 + 4j, rtol=3e-7)


def test_goes_before_a_rate_and_not_around_one():
  tx = lrax.with_learning_rate(grams(scale_by_adam(eps=0.0)), 0.5)
  g = jnp.array([3.0, -2.0])
  updates, _ = tx.update(g, tx.init(g), g)
  # Adam's first update: some float32 roundings of 6e-8.
  np.testing.assert_allclose(updates, [-0.5, 0.5], rtol=1e-6)
  with pytest.raises(ValueError, match='grams: `transform` must be a direction'):
    grams(lrax.adam(0.1)).init(g)


def test_refuses_what_is_no_transformation():
  with pytest.raises(TypeError, match='grams: `transform` must be an optax'):
    grams(0.1)
