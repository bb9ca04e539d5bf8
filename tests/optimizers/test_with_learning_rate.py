"""A learning rate behind any transformation."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

FROZEN = json.loads(
    (Path(__file__).parents[1] / 'reference/torch_trajectories.json').read_text()
)
START = np.array(FROZEN['start'])

# Both sides evaluate the same formula in float64, where 200 steps gather about
# 1e-14 of rounding; another convention shows at 1e-9 or more.
RTOL = 1e-12


def gradient(x):
  """The gradient of the frozen problem, for NumPy and JAX."""
  gap = x - np.array(FROZEN['optimum'])
  return np.array(FROZEN['curvature']) * gap + (gap**2).sum() * gap


def run(make, before, after):
  """Parameters after each of 200 steps in float64, of shape (2, 200, 6).

  First at the constant rate `before`, then with a change to `after` at step 100.
  """

  def optimizer(final):
    return make(lambda step: jnp.where(step < 100, before, final))

  @jax.jit
  def step(x, state, final):
    updates, state = optimizer(final).update(gradient(x), state, x)
    return optax.apply_updates(x, updates), state

  def path(final):
    x = jnp.asarray(START)
    state = optimizer(final).init(x)
    for _ in range(200):
      x, state = step(x, state, final)
      yield x

  with jax.enable_x64(True):
    return np.array([list(path(final)) for final in (before, after)])


@pytest.mark.parametrize(
    'transform, theirs',
    [
        (optax.scale_by_lion(), optax.lion),
        (optax.scale_by_belief(), optax.adabelief),
    ],
    ids=['lion', 'adabelief'],
)
def test_equals_the_optimizer_of_optax(transform, theirs):
  ours = run(lambda rate: lrax.with_learning_rate(transform, rate), 0.01, 0.002)
  keywords = {'weight_decay': 0.0} if theirs is optax.lion else {}
  theirs = run(lambda rate: theirs(rate, **keywords), 0.01, 0.002)
  np.testing.assert_allclose(ours, theirs, rtol=RTOL)


def test_identity_is_plain_gradient_descent_of_torch():
  frozen = FROZEN['runs']['sgd']
  make = lambda rate: lrax.with_learning_rate(optax.identity(), rate)
  ours = run(make, *frozen['rates'])[:, np.array(FROZEN['steps']) - 1]
  expected = [frozen['constant'], frozen['changing']]
  np.testing.assert_allclose(ours, expected, rtol=RTOL)


def test_the_update_is_minus_the_rate_times_the_direction():
  # Lion's direction is a sign, so the result is exactly the rate.
  tx = lrax.with_learning_rate(optax.scale_by_lion(), 0.25)
  x = jnp.array([3.0, -2.0, 0.0])
  updates, state = tx.update(x, tx.init(x), x)
  assert updates.tolist() == [-0.25, 0.25, 0.0]
  assert float(lrax.get_learning_rate(state)) == 0.25


def test_the_state_ends_with_a_learning_rate_state():
  tx = lrax.with_learning_rate(optax.scale_by_adam(), 0.25)
  state = tx.init(jnp.zeros(2))
  assert isinstance(state[-1], lrax.LearningRateState)


def test_extra_arguments_reach_a_transformation_that_takes_them():
  def update(updates, state, params=None, *, factor, **extra_args):
    del params, extra_args
    return jax.tree.map(lambda g: factor * g, updates), state

  inner = optax.GradientTransformationExtraArgs(
      lambda params: optax.EmptyState(), update
  )
  tx = lrax.with_learning_rate(inner, 0.5)
  x = jnp.ones(())
  updates, _ = tx.update(x, tx.init(x), x, factor=4.0, unknown='ignored')
  assert float(updates) == -2.0  # -0.5 * 4 * 1, exact in binary


def test_lists_of_transformations_go_through_a_chain():
  inner = optax.chain(optax.scale(4.0), optax.scale(0.5))
  tx = lrax.with_learning_rate(inner, 0.25)
  x = jnp.ones(())
  updates, _ = tx.update(x, tx.init(x))
  assert float(updates) == -0.5  # -0.25 * 4 * 0.5, exact in binary


@pytest.mark.parametrize('transform', [optax.adam, None, 0.1, (1, 2)])
def test_refuses_what_is_no_transformation(transform):
  with pytest.raises(TypeError, match='with_learning_rate: `transform` must be'):
    lrax.with_learning_rate(transform, 0.1)


@pytest.mark.parametrize('rate', [-0.1, float('nan'), float('inf')])
def test_refuses_a_rate_out_of_range(rate):
  with pytest.raises(ValueError, match='with_learning_rate: `learning_rate` must'):
    lrax.with_learning_rate(optax.identity(), rate)
