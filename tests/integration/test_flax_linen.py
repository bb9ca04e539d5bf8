"""Flax linen: a network with dropout and batch normalisation in a TrainState."""

from __future__ import annotations

import functools
import math
from typing import Any

from flax import linen as nn
from flax.training import train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrax

PEAK, WARMUP, STEPS = 0.02, 4, 20


class Network(nn.Module):
  """Two layers for ten classes."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.Dense(32)(x)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    x = nn.relu(x)
    x = nn.Dropout(0.2, deterministic=not train)(x)
    return nn.Dense(10)(x)


class TrainState(train_state.TrainState):
  batch_stats: Any
  dropout_key: Any


def data():
  """Three blurred classes of ten, told apart by where they are."""
  keys = jax.random.split(jax.random.key(1), 3)
  centres = jax.random.normal(keys[0], (10, 16))
  labels = jax.random.randint(keys[1], (128,), 0, 10)
  noise = 0.5 * jax.random.normal(keys[2], (128, 16))
  return centres[labels] + noise, labels


DATA = data()


@functools.cache
def network_at_start():
  return jax.jit(lambda key: Network().init(key, DATA[0], train=False))(
      jax.random.key(0)
  )


def start(tx):
  variables = network_at_start()
  return TrainState.create(
      apply_fn=Network().apply,
      params=variables['params'],
      tx=tx,
      batch_stats=variables['batch_stats'],
      dropout_key=jax.random.key(2),
  )


def train_step(state, batch):
  key = jax.random.fold_in(state.dropout_key, state.step)

  def loss_of(params):
    logits, changed = state.apply_fn(
        {'params': params, 'batch_stats': state.batch_stats},
        batch[0],
        train=True,
        rngs={'dropout': key},
        mutable=['batch_stats'],
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch[1])
    return losses.mean(), changed['batch_stats']

  (loss, stats), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
  state = state.apply_gradients(grads=grads, batch_stats=stats)
  return state, {'loss': loss, **lrax.metrics(state)}


@jax.jit
def evaluate(state):
  inputs, labels = DATA
  variables = {'params': state.params, 'batch_stats': state.batch_stats}
  logits = state.apply_fn(variables, inputs, train=False)
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return losses.mean()


def formula(step):
  """The warmup and the cosine that `schedule` is."""
  if step < WARMUP:
    return PEAK * step / WARMUP
  return PEAK * (1 + math.cos(math.pi * min(step - WARMUP, STEPS) / STEPS)) / 2


def schedule():
  return lrax.cosine_annealing(PEAK, steps=STEPS).with_warmup(WARMUP)


def counted():
  """The compiled step, and a list that grows by one for each trace of it."""
  traces = []

  @jax.jit
  def step(state, batch):
    traces.append(None)
    return train_step(state, batch)

  return step, traces


def test_it_learns_and_logs_the_rate_of_the_formula():
  state, batch = start(lrax.adamw(schedule())), DATA
  step, traces = counted()
  before = evaluate(state)
  for count in range(WARMUP + STEPS):
    state, logged = step(state, batch)
    # Three roundings of float32 for a cosine; near its end it is small next to
    # the peak, of which 1e-7 is one rounding.
    expected = formula(count)
    np.testing.assert_allclose(
        logged['learning_rate'], expected, rtol=1e-6, atol=1e-7 * PEAK
    )
    assert int(logged['learning_rate_step']) == count + 1
  assert len(traces) == 1
  # Ten classes at chance are log(10) = 2.3.
  assert before > 2.0
  assert evaluate(state) < 0.5 * before
  assert float(lrax.get_learning_rate(state)) == logged['learning_rate']


# One optimizer and one compiled step for the tests that need no other.
SGD = lrax.sgd(schedule())
STEP, TRACES = counted()


def test_the_rate_changes_in_mid_run_without_recompiling():
  state = start(SGD)
  for _ in range(WARMUP):
    state, _ = STEP(state, DATA)

  frozen = lrax.set_learning_rate(state, 0.0)
  after, logged = STEP(frozen, DATA)
  assert float(logged['learning_rate']) == 0.0
  for x, y in zip(jax.tree.leaves(after.params), jax.tree.leaves(state.params)):
    np.testing.assert_array_equal(x, y)
  # What is not trained by gradients goes on: the statistics of the batches.
  assert not jax.tree.all(
      jax.tree.map(np.array_equal, after.batch_stats, state.batch_stats)
  )

  after, logged = STEP(lrax.set_learning_rate(state, 0.5), DATA)
  assert float(logged['learning_rate']) == 0.5
  assert int(logged['learning_rate_overridden']) == 1
  after, logged = STEP(lrax.follow_schedule(after), DATA)
  expected = formula(WARMUP + 1)
  # Three roundings of float32.
  np.testing.assert_allclose(logged['learning_rate'], expected, rtol=1e-6)
  after, logged = STEP(lrax.scale_learning_rate(after, 0.5), DATA)
  expected = 0.5 * formula(WARMUP + 2)
  np.testing.assert_allclose(logged['learning_rate'], expected, rtol=1e-6)
  after, logged = STEP(lrax.restart_schedule(after, WARMUP), DATA)
  np.testing.assert_allclose(logged['learning_rate'], 0.5 * PEAK, rtol=1e-6)
  assert int(after.step) == WARMUP + 4  # the TrainState counts on
  assert len(TRACES) == 1


def test_twice_the_rate_that_was_read_moves_twice_as_far():
  state = start(SGD)
  for _ in range(3):
    state, _ = STEP(state, DATA)
  # The rate of step 3 of the warmup, and twice that on the same gradient.
  once, logged = STEP(state, DATA)
  np.testing.assert_allclose(logged['learning_rate'], PEAK * 3 / 4, rtol=1e-6)
  twice, _ = STEP(lrax.set_learning_rate(state, PEAK * 3 / 2), DATA)
  move = lambda after: jax.tree.map(jnp.subtract, after.params, state.params)
  for x, y in zip(jax.tree.leaves(move(once)), jax.tree.leaves(move(twice))):
    # Differences of parameters of up to 1 in float32, spaced 1.2e-7.
    np.testing.assert_allclose(2 * x, y, rtol=1e-5, atol=3e-7)
  kernel = move(twice)['Dense_1']['kernel']
  assert np.max(np.abs(kernel)) > 1e-4


def test_a_plateau_is_reported_through_apply_gradients():
  """`apply_gradients` forwards no metric; `report` needs no forwarding."""

  def begin(init_value):
    return init_value, jnp.asarray(init_value, jnp.float32)

  @lrax.control.closed_loop(begin)
  def halve_when_above_one(memory, step, signals, init_value):
    del step, init_value
    memory = jnp.where(signals.reported > 1.0, memory / 2, memory)
    return memory, memory

  state, batch = start(lrax.adam(halve_when_above_one(PEAK))), DATA
  step, traces = counted()
  rates = []
  for metric in (0.5, 2.0, None, 3.0, 0.5):
    if metric is not None:
      state = lrax.report(state, metric)
    state, logged = step(state, batch)
    rates.append(float(logged['learning_rate']) / float(np.float32(PEAK)))
  assert rates == [1.0, 0.5, 0.5, 0.25, 0.25]  # halving is exact
  assert len(traces) == 1


def test_frozen_layers_and_a_rate_for_each_group():
  """Labels by layer: one frozen, two with their own rates."""
  labels = lambda params: {
      name: {'Dense_0': 'frozen', 'Dense_1': 'head'}.get(name, 'norm')
      for name in params
  }
  tx = optax.partition(
      {
          'frozen': optax.set_to_zero(),
          'head': lrax.adam(schedule()),
          'norm': lrax.sgd(0.125),
      },
      labels,
  )
  state, batch = start(tx), DATA
  step, traces = counted()
  first = state.params
  for _ in range(3):
    state, logged = step(state, batch)
  np.testing.assert_allclose(logged['learning_rate/head'], formula(2), rtol=1e-6)
  assert float(logged['learning_rate/norm']) == 0.125
  state, logged = step(lrax.set_learning_rate(state, 0.0, 'norm'), batch)
  assert float(logged['learning_rate/norm']) == 0.0
  np.testing.assert_allclose(logged['learning_rate/head'], formula(3), rtol=1e-6)
  kernel = lambda params, layer: params[layer]['kernel']
  np.testing.assert_array_equal(
      kernel(state.params, 'Dense_0'), kernel(first, 'Dense_0')
  )
  assert not np.array_equal(
      kernel(state.params, 'Dense_1'), kernel(first, 'Dense_1')
  )
  assert len(traces) == 1
