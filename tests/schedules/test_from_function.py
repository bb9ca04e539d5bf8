"""`from_function` and `as_schedule`: any function of the step is a policy."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.schedules import as_schedule
from lrax.schedules import from_function

STEPS = np.array([0, 1, 4, 5, 6, 39, 40, 41, 400])


def halves(step):
  return 0.5**step


@pytest.mark.parametrize(
    'theirs',
    [
        optax.linear_schedule(0.3, 0.01, 40),
        optax.cosine_decay_schedule(0.3, 40),
        optax.warmup_cosine_decay_schedule(0.0, 0.3, 5, 40),
        functools.partial(np.interp, xp=[0, 40], fp=[0.3, 0.01]),
    ],
)
def test_is_the_function(theirs):
  policy = from_function(theirs)
  for t in STEPS:
    assert policy(int(t)) == np.float32(theirs(int(t)))


def test_the_function_gets_a_whole_step_of_at_least_0():
  seen = []

  def look(step):
    seen.append(step)
    return step * 0.5

  policy = from_function(look)
  assert policy(-3) == 0.0 and policy(3) == 1.5
  assert all(s.dtype == jnp.int32 and s.shape == () for s in seen)
  assert [int(s) for s in seen] == [0, 3]


def test_a_constant_function_fills_the_shape():
  assert from_function(lambda step: 0.5)(STEPS).shape == STEPS.shape


def test_is_equal_where_the_function_is_the_same_object():
  line = optax.linear_schedule(0.3, 0.01, 40)
  assert from_function(line) == from_function(line)
  assert hash(from_function(line)) == hash(from_function(line))
  assert from_function(line) != from_function(optax.linear_schedule(0.3, 0.01, 40))


def test_pickles_where_the_function_does():
  policy = from_function(halves)
  assert pickle.loads(pickle.dumps(policy)) == policy
  with pytest.raises((pickle.PicklingError, AttributeError)):
    pickle.dumps(from_function(lambda step: 0.5))


def test_is_a_part_and_an_optimizer_takes_the_function_itself():
  policy = from_function(halves) * 0.5
  assert policy(1) == 0.25
  tx = lrax.sgd(halves)
  state = tx.init(np.ones(2, np.float32))
  _, state = tx.update(np.ones(2, np.float32), state)
  _, state = tx.update(np.ones(2, np.float32), state)
  assert lrax.get_learning_rate(state) == 0.5


def test_as_schedule_leaves_a_schedule_alone():
  policy = lrax.linear(0.3, 0.01, 40)
  assert as_schedule(policy) is policy


@pytest.mark.parametrize('number', [0.5, 1, np.float32(0.5), np.array(0.5)])
def test_as_schedule_of_a_number_is_constant(number):
  assert as_schedule(number) == lrax.constant(float(number))


def test_as_schedule_of_a_traced_number():
  rate = jax.jit(lambda x: as_schedule(x)(7))(0.25)
  assert rate == 0.25
  assert jax.grad(lambda x: as_schedule(x)(7))(0.25) == 1.0


def test_as_schedule_of_a_function():
  assert as_schedule(halves) == from_function(halves)
