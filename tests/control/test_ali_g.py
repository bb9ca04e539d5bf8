import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax
from lrax.control import ali_g
from lrax.schedules import minimum

PARAMS = {'w': jnp.array([3.0, 4.0])}
# What the reference package has where the authors have 1e-5.
EPS = 1e-6


def first_rate(policy, grads, value):
  state = policy.update(grads, policy.init(), value=value)[1]
  return float(state.learning_rate)


def test_follows_the_reference():
  trajectories.assert_follows(
      'alig', lambda rate: lrax.sgd(minimum(rate, ali_g(None, eps=EPS)))
  )


@pytest.mark.parametrize('name, momentum', [
    ('alig_capped', 0.9), ('alig_momentum', 0.5),
])
def test_follows_the_reference_with_the_authors_momentum(name, momentum):
  trajectories.assert_follows(name, lambda rate: optax.chain(
      minimum(rate, ali_g(None, eps=EPS)),
      lrax.transforms.scale_by_momentum(momentum, nesterov=True),
  ))


def test_follows_the_reference_with_momentum_before_the_rate():
  trajectories.assert_follows('alig_adjusted', lambda rate: lrax.sgd(
      minimum(rate, ali_g(None, eps=EPS)), momentum=0.5, nesterov=True
  ))


def test_the_loss_by_the_squared_norm_below_a_highest_rate():
  assert first_rate(ali_g(1.0, eps=7.0), PARAMS, 4.0) == 0.125
  assert first_rate(ali_g(0.0625, eps=7.0), PARAMS, 4.0) == 0.0625
  # The authors' eps: here the norm is nothing beside it.
  rate = first_rate(ali_g(None), {'w': jnp.zeros(2)}, 3.0)
  assert rate == np.float32(3.0) / np.float32(1e-5)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, -1.0, 0.0])
def test_a_bad_loss_moves_nothing(value):
  assert first_rate(ali_g(1.0), PARAMS, value) == 0


def test_zero_and_huge_gradients_give_a_finite_rate():
  assert first_rate(ali_g(1.0, eps=0.0), {'w': jnp.zeros(2)}, 3.0) == 0
  assert first_rate(ali_g(1.0), {'w': jnp.full(2, 1e30)}, 3.0) == 0
  assert first_rate(ali_g(1.0), {'w': jnp.full(2, math.nan)}, 3.0) == 0


def test_a_missing_loss_is_named():
  policy = ali_g(1.0)
  with pytest.raises(ValueError, match='ali_g: needs the signal `value`'):
    policy.update(PARAMS, policy.init())


@pytest.mark.parametrize('name, value', [('max_value', 0.0), ('eps', -1.0)])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'ali_g: `{name}` must be'):
    ali_g(**{'max_value': 1.0, name: value})
