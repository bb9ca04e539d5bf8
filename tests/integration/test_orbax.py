"""Orbax: a run saved under one rate goes on under another from where it was."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import lrax

B1, B2, PEAK, STEPS = 0.75, 0.875, 0.05, 20
INPUTS = jax.random.normal(jax.random.key(1), (64, 8))
TARGETS = jnp.sin(INPUTS[:, 0]) + INPUTS[:, 1]


def loss_of(params):
  hidden = jnp.tanh(INPUTS @ params['first'] + params['bias'])
  return jnp.mean(jnp.square(hidden @ params['second'] - TARGETS))


def start():
  keys = jax.random.split(jax.random.key(0))
  return {
      'first': jax.random.normal(keys[0], (8, 16)) / 3,
      'bias': jnp.zeros(16),
      'second': jax.random.normal(keys[1], (16,)) / 4,
  }


@functools.cache
def program(make):
  """An optimizer, its compiled step, and a list that grows with each trace."""
  tx, traces = make(), []

  @jax.jit
  def step(params, state):
    traces.append(None)
    updates, state = tx.update(jax.grad(loss_of)(params), state, params)
    return optax.apply_updates(params, updates), state

  return tx, step, traces


def train(make, steps):
  """The parameters and the state after so many steps from the start."""
  tx, step, _ = program(make)
  params = start()
  state = tx.init(params)
  for _ in range(steps):
    params, state = step(params, state)
  return params, state


def constant():
  return lrax.adam(0.0625, b1=B1, b2=B2)


def cosine():
  return lrax.adam(lrax.cosine_annealing(PEAK, steps=STEPS), b1=B1, b2=B2)


def warm():
  policy = lrax.linear(PEAK, 0.0, steps=STEPS) * 0.5
  return lrax.adam(policy.with_warmup(4), b1=B1, b2=B2)


# Each optimizer with the formula of its rate.
RATES = {
    constant: lambda step: 0.0625,
    cosine: lambda step: (
        PEAK * (1 + math.cos(math.pi * min(step, STEPS) / STEPS)) / 2
    ),
    warm: lambda step: (
        PEAK / 2 * (step / 4 if step < 4 else 1 - min(step - 4, STEPS) / STEPS)
    ),
}
# A checkpoint written under the first is read under the second.
PAIRS = [(constant, cosine), (cosine, constant), (constant, warm)]
pairs = pytest.mark.parametrize(
    'old, new', PAIRS, ids=lambda pair: pair.__name__
)


def save(path, tree):
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(path / 'run', tree)


def restore(path, like):
  target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore(path / 'run', target)


def assert_equal(actual, expected):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)


@pairs
def test_a_run_goes_on_under_another_rate(old, new, tmp_path):
  """The state has one structure for all; the rate follows the new schedule."""
  params, state = train(old, 5)
  save(tmp_path, (params, state))

  tx, step, traces = program(new)
  like = (start(), tx.init(start()))
  restored = restore(tmp_path, like)
  assert jax.tree.structure(restored) == jax.tree.structure(like)
  assert_equal(restored, (params, state))
  params, state = restored
  assert int(state[0].count) == 5
  # Until the first update it is the rate that the old run applied last.
  np.testing.assert_allclose(
      lrax.get_learning_rate(state), RATES[old](4), rtol=1e-6  # of a cosine
  )

  # The next update by hand: Adam's moments go on, the rate is the new one's.
  gradient = np.asarray(jax.grad(loss_of)(params)['second'], np.float64)
  mu = B1 * np.asarray(state[0].mu['second'], np.float64) + (1 - B1) * gradient
  nu = np.asarray(state[0].nu['second'], np.float64)
  nu = B2 * nu + (1 - B2) * gradient**2
  direction = mu / (1 - B1**6) / (np.sqrt(nu / (1 - B2**6)) + 1e-8)
  before = loss_of(params)
  after, state = step(params, state)
  moved = np.asarray(params['second']) - np.asarray(after['second'])
  # The gradient is that of another program, with sums in another order; the
  # difference is of parameters of up to 1 in float32, spaced 1.2e-7.
  np.testing.assert_allclose(moved, RATES[new](5) * direction, rtol=1e-3, atol=2e-7)
  assert int(state[0].count) == 6

  for count in range(6, 15):
    after, state = step(after, state)
    np.testing.assert_allclose(
        lrax.get_learning_rate(state), RATES[new](count), rtol=1e-6  # of a cosine
    )
  assert len(traces) == 1
  assert loss_of(after) < before


@pairs
def test_an_override_is_restored_and_followed_no_more(old, new, tmp_path):
  params, state = train(old, 3)
  state = lrax.scale_learning_rate(lrax.set_learning_rate(state, 0.125), 0.5)
  save(tmp_path, state)

  tx, step, traces = program(new)
  state = restore(tmp_path, tx.init(start()))
  assert int(lrax.metrics(state)['learning_rate_overridden']) == 1
  params, state = step(params, state)
  assert float(lrax.get_learning_rate(state)) == 0.125
  # The scale was restored too; the clock counted on under the override.
  params, state = step(params, lrax.follow_schedule(state))
  expected = 0.5 * RATES[new](4)
  np.testing.assert_allclose(
      lrax.get_learning_rate(state), expected, rtol=1e-6  # of a cosine
  )
  params, state = step(params, lrax.restart_schedule(state))
  expected = 0.5 * RATES[new](0)
  np.testing.assert_allclose(lrax.get_learning_rate(state), expected, rtol=1e-6)
  assert int(state[0].count) == 6
  assert len(traces) == 1


def test_nan_in_the_override_is_written_and_read(tmp_path):
  """No override is NaN, which a checkpoint must not lose."""
  state = constant().init(start())
  save(tmp_path, state)
  restored = restore(tmp_path, cosine().init(start()))
  assert math.isnan(restored[-1].override)
  assert int(lrax.metrics(restored)['learning_rate_overridden']) == 0


def test_the_clock_and_the_moments_without_interruption(tmp_path):
  """Saved and restored in the middle, a run ends in the very same place."""
  tx, step, _ = program(cosine)
  save(tmp_path, train(cosine, 4))
  params, state = restore(tmp_path, (start(), tx.init(start())))
  for _ in range(4):
    params, state = step(params, state)
  assert_equal((params, state), train(cosine, 8))


def two_groups(body, head):
  labels = {'first': 'body', 'bias': 'body', 'second': 'head'}
  return optax.partition({'body': body, 'head': head}, labels)


def test_groups_under_a_partition(tmp_path):
  params, state = train(lambda: two_groups(constant(), cosine()), 3)
  state = lrax.set_learning_rate(state, 0.125, 'head')
  save(tmp_path, state)
  new, step, _ = program(lambda: two_groups(cosine(), constant()))
  state = restore(tmp_path, new.init(start()))
  _, state = step(params, state)
  rates = lrax.get_learning_rate(state)
  np.testing.assert_allclose(rates['body'], RATES[cosine](3), rtol=1e-6)
  assert float(rates['head']) == 0.125


def test_a_checkpoint_of_optax_goes_on_by_transplant(tmp_path):
  """Its tree differs, so it is restored as it was and then carried over."""
  old = lambda: optax.adam(optax.constant_schedule(0.0625), b1=B1, b2=B2)
  params, state = train(old, 5)
  save(tmp_path, state)
  restored = restore(tmp_path, old().init(start()))
  tx, step, _ = program(cosine)
  moved = lrax.transplant(restored, tx.init(start()))
  assert_equal(moved.state[0].mu, state[0].mu)
  assert int(moved.state[0].count) == 5
  _, state = step(params, moved.state)
  expected = RATES[cosine](5)
  np.testing.assert_allclose(
      lrax.get_learning_rate(state), expected, rtol=1e-6  # of a cosine
  )
