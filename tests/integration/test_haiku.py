"""Haiku: a transformed network, parameters and optimizer state apart."""

from __future__ import annotations

import math
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrax

PEAK, STEPS = 0.05, 20


class Training(NamedTuple):
  params: hk.Params
  opt_state: optax.OptState
  key: jax.Array


def forward(x, train):
  x = jax.nn.tanh(hk.Linear(32, name='first')(x))
  if train:
    x = hk.dropout(hk.next_rng_key(), 0.1, x)
  return hk.Linear(1, name='second')(x)[:, 0]


NETWORK = hk.transform(forward)
INPUTS = jax.random.normal(jax.random.key(1), (128, 8))
TARGETS = jnp.sin(INPUTS[:, 0]) + INPUTS[:, 1] * INPUTS[:, 2]


def loss_of(params, key, train):
  outputs = NETWORK.apply(params, key, INPUTS, train)
  return jnp.mean(jnp.square(outputs - TARGETS))


def start(tx):
  params = NETWORK.init(jax.random.key(0), INPUTS, False)
  return Training(params, tx.init(params), jax.random.key(2))


def counted(tx):
  """The compiled step, and a list that grows by one for each trace of it."""
  traces = []

  @jax.jit
  def step(training):
    traces.append(None)
    key, used = jax.random.split(training.key)
    grads = jax.grad(loss_of)(training.params, used, True)
    updates, state = tx.update(grads, training.opt_state, training.params)
    params = optax.apply_updates(training.params, updates)
    return Training(params, state, key), lrax.get_learning_rate(state)

  return step, traces


def formula(step):
  return PEAK * (1 + math.cos(math.pi * min(step, STEPS) / STEPS)) / 2


def schedule():
  return lrax.cosine_annealing(PEAK, steps=STEPS)


def test_it_learns_at_the_rate_of_the_formula():
  tx = optax.chain(optax.clip_by_global_norm(10.0), lrax.adam(schedule()))
  step, traces = counted(tx)
  training = start(tx)
  before = float(loss_of(training.params, None, False))
  for count in range(STEPS):
    training, rate = step(training)
    # Three roundings of float32 for a cosine; near its end it is small next to
    # the peak, of which 1e-7 is one rounding.
    np.testing.assert_allclose(rate, formula(count), rtol=1e-6, atol=1e-7 * PEAK)
  assert len(traces) == 1
  assert float(loss_of(training.params, None, False)) < 0.6 * before


def test_a_group_for_each_module_changes_without_recompiling():
  """Haiku's parameters are keyed by module: the labels are too."""
  labels = lambda params: {
      module: dict.fromkeys(leaves, module) for module, leaves in params.items()
  }
  tx = optax.partition(
      {'first': lrax.sgd(schedule()), 'second': lrax.adamw(schedule())}, labels
  )
  step, traces = counted(tx)
  training, _ = step(start(tx))
  kernel = lambda training, module: np.asarray(training.params[module]['w'])

  frozen = lrax.set_learning_rate(training.opt_state, 0.0, 'first')
  frozen = lrax.scale_learning_rate(frozen, 0.5, 'second')
  after, rates = step(training._replace(opt_state=frozen))
  assert float(rates['first']) == 0.0
  expected = 0.5 * formula(1)
  np.testing.assert_allclose(rates['second'], expected, rtol=1e-6)  # of a cosine
  np.testing.assert_array_equal(kernel(after, 'first'), kernel(training, 'first'))
  assert not np.array_equal(kernel(after, 'second'), kernel(training, 'second'))

  # The whole training is a tree that holds the state, and is changed as one.
  followed = lrax.restart_schedule(lrax.follow_schedule(after), 7, 'first')
  after, rates = step(followed)
  np.testing.assert_allclose(rates['first'], formula(7), rtol=1e-6)
  np.testing.assert_allclose(rates['second'], 0.5 * formula(2), rtol=1e-6)
  assert not np.array_equal(kernel(after, 'first'), kernel(training, 'first'))
  assert len(traces) == 1
