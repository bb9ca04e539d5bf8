"""Flax nnx: an Optimizer over a model with dropout and batch normalisation."""

from __future__ import annotations

import math

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrax

PEAK, STEPS = 0.02, 20


class Network(nnx.Module):
  """Two layers for a smooth function of eight numbers."""

  def __init__(self, rngs):
    self.first = nnx.Linear(8, 32, rngs=rngs)
    self.norm = nnx.BatchNorm(32, momentum=0.9, rngs=rngs)
    self.dropout = nnx.Dropout(0.1, rngs=rngs)
    self.second = nnx.Linear(32, 1, rngs=rngs)

  def __call__(self, x):
    x = nnx.relu(self.norm(self.first(x)))
    return self.second(self.dropout(x))[:, 0]


def data():
  inputs = jax.random.normal(jax.random.key(1), (128, 8))
  return inputs, jnp.sin(inputs[:, 0]) + inputs[:, 1] * inputs[:, 2]


DATA = data()


def loss_of(model, batch):
  return jnp.mean(jnp.square(model(batch[0]) - batch[1]))


@nnx.jit
def network():
  return Network(nnx.Rngs(0))


def start(tx):
  model = network()
  return model, nnx.Optimizer(model, tx, wrt=nnx.Param)


def counted():
  """The compiled step, and a list that grows by one for each trace of it."""
  traces = []

  @nnx.jit
  def step(model, optimizer, batch):
    traces.append(None)
    loss, grads = nnx.value_and_grad(loss_of)(model, batch)
    optimizer.update(model, grads)
    logged = {'gradient': grads['second']['kernel'][...], 'loss': loss}
    return logged | lrax.metrics(optimizer)

  return step, traces


def evaluate(model):
  model.eval()
  loss = float(nnx.jit(loss_of)(model, DATA))
  model.train()
  return loss


def formula(step):
  return PEAK * (1 + math.cos(math.pi * min(step, STEPS) / STEPS)) / 2


def schedule():
  return lrax.cosine_annealing(PEAK, steps=STEPS)


def kernel(model):
  return np.asarray(model.second.kernel[...])


# One optimizer and one compiled step for the tests that need no other.
SGD = lrax.sgd(schedule())
STEP, TRACES = counted()


def test_it_learns_and_logs_the_rate_of_the_formula():
  model, optimizer = start(lrax.adamw(schedule()))
  step, traces = counted()
  before, batch = evaluate(model), DATA
  assert float(lrax.get_learning_rate(optimizer)) == np.float32(PEAK)
  for count in range(STEPS):
    logged = step(model, optimizer, batch)
    # Three roundings of float32 for a cosine; near its end it is small next to
    # the peak, of which 1e-7 is one rounding.
    np.testing.assert_allclose(
        logged['learning_rate'], formula(count), rtol=1e-6, atol=1e-7 * PEAK
    )
    assert float(lrax.get_learning_rate(optimizer)) == logged['learning_rate']
    assert int(logged['learning_rate_step']) == count + 1
  assert len(traces) == 1
  assert evaluate(model) < 0.6 * before


def test_a_new_optimizer_from_each_change_goes_on_without_recompiling():
  """`set_learning_rate(optimizer, ...)` returns an optimizer for the same model."""
  model, optimizer = start(SGD)
  STEP(model, optimizer, DATA)

  before = kernel(model)
  frozen = lrax.set_learning_rate(optimizer, 0.0)
  assert isinstance(frozen, nnx.Optimizer)
  logged = STEP(model, frozen, DATA)
  assert float(logged['learning_rate']) == 0.0
  np.testing.assert_array_equal(kernel(model), before)
  assert int(frozen.step[...]) == 2

  moved = lrax.follow_schedule(frozen)
  logged = STEP(model, moved, DATA)
  np.testing.assert_allclose(logged['learning_rate'], formula(2), rtol=1e-6)
  assert not np.array_equal(kernel(model), before)
  moved = lrax.scale_learning_rate(lrax.restart_schedule(moved, 1), 0.5)
  logged = STEP(model, moved, DATA)
  np.testing.assert_allclose(logged['learning_rate'], 0.5 * formula(1), rtol=1e-6)
  assert len(TRACES) == 1
  # The optimizer that the first change came from is as it was.
  assert int(lrax.metrics(optimizer)['learning_rate_overridden']) == 0
  assert int(optimizer.step[...]) == 1


def test_the_state_is_changed_in_place_of_the_old_one():
  """`optimizer.opt_state = ...` keeps the one optimizer."""
  model, optimizer = start(SGD)
  STEP(model, optimizer, DATA)
  changed = lrax.set_learning_rate(optimizer.opt_state, 0.125)
  optimizer.opt_state = nnx.data(changed)
  logged = STEP(model, optimizer, DATA)
  assert float(logged['learning_rate']) == 0.125
  assert float(lrax.get_learning_rate(optimizer.opt_state)) == 0.125
  assert len(TRACES) == 1


def test_a_step_is_the_gradient_times_the_rate():
  model, optimizer = start(SGD)
  for changed, rate in (
      (optimizer, formula(0)),
      (lrax.set_learning_rate(optimizer, 0.125), 0.125),
  ):
    before = kernel(model)
    logged = STEP(model, changed, DATA)
    # A difference of parameters of up to 1 in float32, spaced 1.2e-7.
    expected = rate * np.asarray(logged['gradient'])
    moved = before - kernel(model)
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=2e-7)
    assert np.max(np.abs(moved)) > 1e-4


def test_a_change_inside_the_compiled_step():
  """Cooling down by a traced condition, within `nnx.jit`."""
  model, optimizer = start(lrax.sgd(schedule()))
  traces = []

  @nnx.jit
  def step(model, optimizer, batch, factor):
    traces.append(None)
    scaled = lrax.scale_learning_rate(optimizer.opt_state, factor)
    nnx.update(optimizer.opt_state, nnx.state(scaled))
    grads = nnx.grad(loss_of)(model, batch)
    optimizer.update(model, grads)
    return lrax.get_learning_rate(optimizer)

  rates = [step(model, optimizer, DATA, f) for f in (1.0, 0.5, 0.5)]
  expected = [formula(0), 0.5 * formula(1), 0.25 * formula(2)]
  np.testing.assert_allclose(rates, expected, rtol=1e-6)  # roundings of a cosine
  assert len(traces) == 1


def test_under_jax_jit_with_split_and_merge():
  """The functional way: graph and state apart, plain `jax.jit`."""
  model, optimizer = start(lrax.adam(schedule()))
  graph, state = nnx.split((model, optimizer))
  traces = []

  @jax.jit
  def step(state, batch):
    traces.append(None)
    model, optimizer = nnx.merge(graph, state)
    grads = nnx.grad(loss_of)(model, batch)
    optimizer.update(model, grads)
    return nnx.state((model, optimizer)), lrax.get_learning_rate(optimizer)

  for count in range(3):
    state, rate = step(state, DATA)
    np.testing.assert_allclose(rate, formula(count), rtol=1e-6)  # of a cosine
  # Merged again, the optimizer is changed, and split for the next step.
  model, optimizer = nnx.merge(graph, state)
  np.testing.assert_allclose(
      lrax.get_learning_rate(optimizer), formula(2), rtol=1e-6
  )
  changed = lrax.set_learning_rate(optimizer, 0.125)
  _, rate = step(nnx.state((model, changed)), DATA)
  assert float(rate) == 0.125
  assert len(traces) == 1


def test_a_rate_for_each_layer():
  def labels(params):
    group = lambda path, _: 'first' if 'first' in str(path) else 'rest'
    return jax.tree_util.tree_map_with_path(group, params)

  tx = optax.partition(
      {'first': lrax.sgd(0.0625), 'rest': lrax.adam(schedule())}, labels
  )
  model, optimizer = start(tx)
  step, traces = counted()
  step(model, optimizer, DATA)
  before = np.asarray(model.first.kernel[...]), kernel(model)
  frozen = lrax.set_learning_rate(optimizer, 0.0, 'first')
  logged = step(model, frozen, DATA)
  assert float(logged['learning_rate/first']) == 0.0
  np.testing.assert_allclose(logged['learning_rate/rest'], formula(1), rtol=1e-6)
  np.testing.assert_array_equal(model.first.kernel[...], before[0])
  assert not np.array_equal(kernel(model), before[1])
  assert len(traces) == 1
