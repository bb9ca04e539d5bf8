"""Equinox: modules whose leaves are arrays and callables."""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrax

PEAK, STEPS = 0.05, 20
INPUTS = jax.random.normal(jax.random.key(1), (128, 8))
TARGETS = jnp.sin(INPUTS[:, 0]) + INPUTS[:, 1] * INPUTS[:, 2]


class Network(eqx.Module):
  """Two layers; it can be called, and one of its leaves is a function."""

  first: eqx.nn.Linear
  second: eqx.nn.Linear
  activation: Callable[[jax.Array], jax.Array]

  def __init__(self, key):
    keys = jax.random.split(key)
    self.first = eqx.nn.Linear(8, 32, key=keys[0])
    self.second = eqx.nn.Linear(32, 'scalar', key=keys[1])
    self.activation = jnp.tanh

  def __call__(self, x):
    return self.second(self.activation(self.first(x)))


class Training(eqx.Module):
  model: Network
  opt_state: Any
  tx: Any = eqx.field(static=True)


def start(tx):
  model = Network(jax.random.key(0))
  return Training(model, tx.init(eqx.filter(model, eqx.is_inexact_array)), tx)


@eqx.filter_jit
def loss_of(model):
  return jnp.mean(jnp.square(jax.vmap(model)(INPUTS) - TARGETS))


def counted():
  """The compiled step, and a list that grows by one for each trace of it."""
  traces = []

  @eqx.filter_jit
  def step(training):
    traces.append(None)
    model = training.model
    grads = eqx.filter_grad(loss_of)(model)
    params = eqx.filter(model, eqx.is_inexact_array)
    updates, state = training.tx.update(grads, training.opt_state, params)
    after = Training(eqx.apply_updates(model, updates), state, training.tx)
    return after, lrax.metrics(after)

  return step, traces


def formula(step):
  return PEAK * (1 + math.cos(math.pi * min(step, STEPS) / STEPS)) / 2


def schedule():
  return lrax.cosine_annealing(PEAK, steps=STEPS)


def test_it_learns_at_the_rate_of_the_formula():
  training = start(lrax.adam(schedule()))
  step, traces = counted()
  before = float(loss_of(training.model))
  for count in range(STEPS):
    training, logged = step(training)
    # Three roundings of float32 for a cosine; near its end it is small next to
    # the peak, of which 1e-7 is one rounding.
    np.testing.assert_allclose(
        logged['learning_rate'], formula(count), rtol=1e-6, atol=1e-7 * PEAK
    )
  assert len(traces) == 1
  assert float(loss_of(training.model)) < 0.6 * before


def test_the_module_that_holds_everything_changes_without_recompiling():
  """The change leaves the model, its callables and the static fields alone."""
  training = start(lrax.sgd(schedule(), momentum=0.5))
  step, traces = counted()
  training, _ = step(training)

  frozen = lrax.set_learning_rate(training, 0.0)
  assert isinstance(frozen, Training)
  assert frozen.tx is training.tx
  assert frozen.model.activation is training.model.activation
  after, logged = step(frozen)
  assert float(logged['learning_rate']) == 0.0
  np.testing.assert_array_equal(
      after.model.first.weight, training.model.first.weight
  )
  # The velocity goes on under a rate of 0.
  assert not np.array_equal(
      after.opt_state[0].trace.first.weight,
      training.opt_state[0].trace.first.weight,
  )
  after, logged = step(lrax.scale_learning_rate(lrax.follow_schedule(after), 0.5))
  expected = 0.5 * formula(2)
  np.testing.assert_allclose(logged['learning_rate'], expected, rtol=1e-6)
  assert not np.array_equal(
      after.model.first.weight, training.model.first.weight
  )
  assert len(traces) == 1


def test_a_change_inside_filter_jit():
  training = start(lrax.sgd(schedule()))
  change = eqx.filter_jit(lrax.set_learning_rate)
  for value in (0.5, 0.25):
    changed = change(training, jnp.asarray(value))
    assert float(changed.opt_state[-1].override) == value
    assert changed.model.activation is training.model.activation


def test_a_rate_for_each_layer_of_a_model_that_can_be_called():
  """Optax calls labels that can be called: they go in as a function of params."""
  first = lambda tree: [tree.first.weight, tree.first.bias]

  def labels(params):
    rest = jax.tree.map(lambda _: 'second', params)
    return eqx.tree_at(first, rest, ['first', 'first'])

  tx = optax.partition(
      {'first': lrax.sgd(0.0625), 'second': lrax.adam(schedule())}, labels
  )
  training = start(tx)
  step, traces = counted()
  training, _ = step(training)
  after, logged = step(lrax.set_learning_rate(training, 0.0, 'first'))
  assert float(logged['learning_rate/first']) == 0.0
  np.testing.assert_allclose(logged['learning_rate/second'], formula(1), rtol=1e-6)
  np.testing.assert_array_equal(
      after.model.first.weight, training.model.first.weight
  )
  assert not np.array_equal(
      after.model.second.weight, training.model.second.weight
  )
  assert len(traces) == 1


def test_a_sweep_over_rates_by_filter_vmap():
  """Runs side by side, each with its own peak; one program for all of them."""
  peaks = jnp.array([0.0, 0.05, 0.1])
  model = Network(jax.random.key(0))

  @eqx.filter_jit
  @eqx.filter_vmap
  def train(peak):
    tx = lrax.sgd(lrax.cosine_annealing(peak, steps=STEPS))
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    state = tx.init(arrays)
    for _ in range(3):
      grads = jax.grad(lambda a: loss_of(eqx.combine(a, static)))(arrays)
      updates, state = tx.update(grads, state, arrays)
      arrays = eqx.apply_updates(arrays, updates)
    return state, loss_of(eqx.combine(arrays, static))

  state, losses = train(peaks)
  expected = np.asarray(peaks) * formula(2) / PEAK
  # A cosine in float32.
  np.testing.assert_allclose(lrax.get_learning_rate(state), expected, rtol=1e-6)
  # A rate of 0 stays at the loss of the start, but for the roundings of a mean.
  np.testing.assert_allclose(losses[0], loss_of(model), rtol=1e-5)
  assert losses[0] > losses[1] > losses[2]
