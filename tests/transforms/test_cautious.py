"""The cautious mask against the paper and timm."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax
from lrax.transforms import cautious
from lrax.transforms import scale_by_adam
from lrax.transforms import scale_by_adopt
from lrax.transforms import scale_by_lion
from lrax.transforms import scale_by_momentum

# What the runs do, with the decay unmasked.
RUNS = {
    'cautious_adamw': (scale_by_adam, 0.02),
    'cautious_lion': (scale_by_lion, 0.05),
    'cautious_adopt': (scale_by_adopt, 0.0),
}


@pytest.mark.parametrize('run', RUNS)
def test_follows_timm(run):
  direction, decay = RUNS[run]
  build = lambda rate: optax.chain(
      cautious(direction()), optax.add_decayed_weights(decay), rate
  )
  trajectories.assert_follows(run, build)


def _fixed(direction):
  """A transformation that always gives this direction."""
  return optax.stateless(lambda updates, params: direction)


def _update(tx, g):
  updates, _ = tx.update(g, tx.init(g), g)
  return updates


def test_what_agrees_is_divided_by_its_share():
  tx = cautious(_fixed(jnp.array([1.0, 2.0, -3.0, 4.0])))
  # Half of it agrees.
  assert _update(tx, jnp.array([1.0, -1.0, -1.0, 0.0])).tolist() == [2, 0, -6, 0]
  # All of it does: nothing changes.
  assert _update(tx, jnp.array([1.0, 1.0, -1.0, 9.0])).tolist() == [1, 2, -3, 4]


def test_the_share_is_that_of_each_array():
  direction = {'a': jnp.array([1.0, 1.0]), 'b': jnp.ones(4)}
  g = {'a': jnp.array([1.0, 1.0]), 'b': jnp.array([1.0, -1.0, -1.0, -1.0])}
  updates = _update(cautious(_fixed(direction)), g)
  assert updates['a'].tolist() == [1.0, 1.0]
  assert updates['b'].tolist() == [4.0, 0.0, 0.0, 0.0]


def test_the_share_has_a_floor():
  tx = cautious(_fixed(jnp.ones(8)), min_share=0.25)
  assert (_update(tx, -jnp.ones(8)) == 0).all()
  # 1 of 8 agrees: over 1/4, and not over 1/8.
  assert _update(tx, jnp.eye(8)[0]).tolist() == [4.0] + [0.0] * 7


def test_tiny_numbers_of_one_sign_agree():
  """Their product is 0 in float32."""
  tiny = jnp.full((2,), -1e-30)
  assert _update(cautious(_fixed(tiny)), tiny).tolist() == tiny.tolist()


def test_the_averages_are_not_masked():
  plain, masked = scale_by_momentum(0.5), cautious(scale_by_momentum(0.5))
  ours, theirs = masked.init(jnp.ones(3)), plain.init(jnp.ones(3))
  for seed in range(5):
    g = jnp.asarray(np.random.default_rng(seed).normal(size=3), jnp.float32)
    _, ours = masked.update(g, ours)
    _, theirs = plain.update(g, theirs)
  assert jax.tree.structure(ours) == jax.tree.structure(theirs)
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_keyword_arguments_and_parameters_go_through():
  def update(updates, state, params=None, *, value, **extra_args):
    assert set(extra_args) == {'other'}
    return jax.tree.map(lambda g: g * value + params, updates), state

  inner = optax.GradientTransformationExtraArgs(lambda params: (), update)
  tx = cautious(inner)
  updates, _ = tx.update(jnp.array(2.0), (), jnp.array(1.0), value=3.0, other=None)
  assert float(updates) == 7.0


def test_goes_around_a_chain_and_before_a_rate():
  inner = optax.chain(optax.clip_by_global_norm(1.0), scale_by_adam())
  tx = lrax.with_learning_rate(cautious(inner), 0.5)
  g = jnp.array([3.0, 0.0])
  updates, state = tx.update(g, tx.init(g), g)
  # One of two agrees, so that it counts twice: -0.5 * 1 * 2.
  np.testing.assert_allclose(updates, [-1.0, 0.0], rtol=1e-6)
  assert float(lrax.get_learning_rate(state)) == 0.5


def test_a_complex_direction_agrees_within_a_right_angle():
  tx = cautious(_fixed(jnp.full((3,), 1 + 1j, jnp.complex64)))
  g = jnp.array([1 + 0j, -1 + 0j, -1 - 1j], jnp.complex64)
  # A float32 division by 1/3.
  np.testing.assert_allclose(_update(tx, g), [3 + 3j, 0, 0], rtol=2e-7)


def test_a_nan_in_a_direction_is_seen():
  updates = _update(cautious(optax.identity()), jnp.array([1.0, jnp.nan]))
  assert updates[0] == 2.0
  assert jnp.isnan(updates[1])


def test_an_array_of_no_elements():
  assert _update(cautious(optax.identity()), jnp.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    'inner', [lrax.adam(0.1), optax.chain(lrax.adam(0.1), optax.identity())]
)
def test_refuses_what_has_a_rate(inner):
  """Its updates go against the gradient: all of them would be masked."""
  with pytest.raises(ValueError, match='cautious: `transform` must be a direction'):
    cautious(inner).init(jnp.ones(2))


def test_refuses_what_is_no_transformation():
  with pytest.raises(TypeError, match='cautious: `transform` must be an optax'):
    cautious(scale_by_adam)


@pytest.mark.parametrize('min_share', [0.0, -1.0, 1.5])
def test_refuses_a_floor_out_of_range(min_share):
  with pytest.raises(ValueError, match='cautious: `min_share` must be'):
    cautious(scale_by_adam(), min_share)
