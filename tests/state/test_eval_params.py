"""The parameters to evaluate, against the averages computed by hand."""

from __future__ import annotations

from flax import nnx
from flax.training import train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

TARGET = {'w': np.array([1.0, -2.0, 0.5]), 'b': np.array([[3.0], [0.25]])}
RATE, B1 = 0.25, 0.75
# Some ten roundings of float32 a step, solved for x with a division by b1.
TOLERANCE = dict(rtol=1e-5, atol=1e-6)


def zeros(dtype=jnp.float32):
  return jax.tree.map(lambda t: jnp.zeros(t.shape, dtype), TARGET)


def gradient(params):
  """Of half the squared distance to TARGET."""
  leaves = [p - t for p, t in zip(jax.tree.leaves(params), jax.tree.leaves(TARGET))]
  return jax.tree.unflatten(jax.tree.structure(params), leaves)


def averages(steps, b1=B1, rate=RATE):
  """Schedule-free gradient descent in float64: (y, x) after each step.

  z = z - rate * gradient(y), x = (1 - 1 / t) * x + z / t, y = (1 - b1) * z + b1 * x.
  """
  result = {}
  for name, target in TARGET.items():
    x = y = z = np.zeros_like(target)
    points = [(y, x)]
    for t in range(1, steps + 1):
      z = z - rate * (y - target)
      x = (1 - 1 / t) * x + z / t
      y = (1 - b1) * z + b1 * x
      points.append((y, x))
    result[name] = points
  return result


def schedule_free(b1=B1, rate=RATE):
  return optax.contrib.schedule_free(lrax.sgd(rate), rate, b1)


def run(tx, params, steps, calls=1):
  """The state and the parameters after each step, the start first."""
  state, points = tx.init(params), [(tx.init(params), params)]

  @jax.jit
  def step(params, state):
    for _ in range(calls):
      updates, state = tx.update(gradient(params), state, params)
      params = optax.apply_updates(params, updates)
    return params, state

  for _ in range(steps):
    params, state = step(params, state)
    points.append((state, params))
  return points


NESTS = {
    'alone': lambda tx: (tx, 1),
    'chain': lambda tx: (optax.chain(optax.clip(100.0), optax.chain(tx)), 1),
    'MultiSteps': lambda tx: (optax.MultiSteps(tx, 2), 2),
    'apply_if_finite': lambda tx: (optax.apply_if_finite(tx, 3), 1),
    'named_chain': lambda tx: (optax.named_chain(('free', tx)), 1),
    'MultiSteps of a chain': lambda tx: (
        optax.MultiSteps(optax.chain(optax.clip(100.0), tx), 2),
        2,
    ),
}


@pytest.mark.parametrize('name', NESTS)
def test_schedule_free_gives_the_average_at_any_depth(name):
  tx, calls = NESTS[name](schedule_free())
  expected = averages(4)
  for step, (state, params) in enumerate(run(tx, zeros(), 4, calls)):
    found = lrax.eval_params(state, params)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    for leaf, points in expected.items():
      y, x = points[step]
      np.testing.assert_allclose(params[leaf], y, **TOLERANCE)
      np.testing.assert_allclose(found[leaf], x, **TOLERANCE)
      if step > 1:  # from then on the average is another point than y
        assert np.max(np.abs(x - y)) > 1e-2
  jitted = jax.jit(lrax.eval_params)(state, params)
  for leaf in found:
    # XLA may fuse a product and a sum.
    np.testing.assert_allclose(jitted[leaf], found[leaf], rtol=1e-6)


def test_between_two_updates_of_multi_steps_the_average_stays():
  tx = optax.MultiSteps(schedule_free(), 2)
  state, params = run(tx, zeros(), 3, calls=2)[-1]
  before = lrax.eval_params(state, params)
  updates, state = tx.update(gradient(params), state, params)
  after = lrax.eval_params(state, optax.apply_updates(params, updates))
  for leaf in before:
    np.testing.assert_array_equal(after[leaf], before[leaf])


def test_a_partition_averages_its_schedule_free_group_only():
  tx = optax.partition(
      {'free': schedule_free(), 'plain': lrax.sgd(RATE)},
      {'w': 'free', 'b': 'plain'},
  )
  state, params = run(tx, zeros(), 3)[-1]
  found = lrax.eval_params(state, params)
  np.testing.assert_allclose(found['w'], averages(3)['w'][3][1], **TOLERANCE)
  np.testing.assert_array_equal(found['b'], params['b'])


def test_two_schedule_free_groups_each_give_their_average():
  tx = optax.partition(
      {'fast': schedule_free(0.75, 0.5), 'slow': schedule_free(0.5, 0.125)},
      {'w': 'fast', 'b': 'slow'},
  )
  state, params = run(tx, zeros(), 3)[-1]
  found = lrax.eval_params(state, params)
  fast = averages(3, 0.75, 0.5)['w'][3][1]
  slow = averages(3, 0.5, 0.125)['b'][3][1]
  np.testing.assert_allclose(found['w'], fast, **TOLERANCE)
  np.testing.assert_allclose(found['b'], slow, **TOLERANCE)


def test_labels_for_whole_subtrees():
  """A label may stand for all the parameters below it."""
  tx = optax.partition(
      {'free': schedule_free(), 'plain': lrax.sgd(RATE)},
      {'body': 'free', 'head': 'plain'},
  )
  params = {'body': zeros(), 'head': zeros()}
  state = tx.init(params)
  for _ in range(3):
    grads = {name: gradient(part) for name, part in params.items()}
    updates, state = tx.update(grads, state, params)
    params = optax.apply_updates(params, updates)
  found = lrax.eval_params(state, params)
  for leaf, points in averages(3).items():
    np.testing.assert_allclose(found['body'][leaf], points[3][1], **TOLERANCE)
    np.testing.assert_array_equal(found['head'][leaf], params['head'][leaf])


def test_a_masked_schedule_free_leaves_the_rest():
  tx = optax.chain(
      optax.masked(schedule_free(), {'w': True, 'b': False}),
      optax.masked(optax.set_to_zero(), {'w': False, 'b': True}),
  )
  state, params = run(tx, zeros(), 3)[-1]
  found = lrax.eval_params(state, params)
  np.testing.assert_allclose(found['w'], averages(3)['w'][3][1], **TOLERANCE)
  np.testing.assert_array_equal(found['b'], 0)


def test_a_linen_train_state():
  state = train_state.TrainState.create(
      apply_fn=None, params=zeros(), tx=schedule_free()
  )
  for _ in range(3):
    state = state.apply_gradients(grads=gradient(state.params))
  for found in (
      lrax.eval_params(state, state.params),
      lrax.eval_params(state.opt_state, state.params),
  ):
    for leaf, points in averages(3).items():
      np.testing.assert_allclose(found[leaf], points[3][1], **TOLERANCE)


def test_an_nnx_optimizer():
  class Model(nnx.Module):

    def __init__(self):
      self.w, self.b = nnx.Param(zeros()['w']), nnx.Param(zeros()['b'])

  model = Model()
  optimizer = nnx.Optimizer(model, schedule_free(), wrt=nnx.Param)
  for _ in range(3):
    optimizer.update(model, gradient(nnx.state(model, nnx.Param)))
  params = nnx.state(model, nnx.Param)
  for state in (optimizer, optimizer.opt_state):
    found = lrax.eval_params(state, params)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    for leaf, points in averages(3).items():
      value = jax.tree.leaves(found[leaf])[0]
      np.testing.assert_allclose(value, points[3][1], **TOLERANCE)


def test_an_nnx_optimizer_of_a_partition():
  class Model(nnx.Module):

    def __init__(self):
      self.w, self.b = nnx.Param(zeros()['w']), nnx.Param(zeros()['b'])

  def labels(params):
    group = lambda path, _: 'free' if "'w'" in str(path) else 'plain'
    return jax.tree_util.tree_map_with_path(group, params)

  tx = optax.partition({'free': schedule_free(), 'plain': lrax.sgd(RATE)}, labels)
  model = Model()
  optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
  for _ in range(3):
    # The leaves are in the order of their names, as those of TARGET are.
    optimizer.update(model, gradient(nnx.state(model, nnx.Param)))
  params = nnx.state(model, nnx.Param)
  found = lrax.eval_params(optimizer, params)
  assert jax.tree.structure(found) == jax.tree.structure(params)
  value = lambda tree, leaf: jax.tree.leaves(tree[leaf])[0]
  np.testing.assert_allclose(value(found, 'w'), averages(3)['w'][3][1], **TOLERANCE)
  np.testing.assert_array_equal(value(found, 'b'), value(params, 'b'))


def test_a_state_with_a_leading_axis():
  """As `vmap` over runs gives it; three runs, which no other axis has as length."""
  rates = jnp.array([0.125, 0.25, 0.5])
  params = {'w': zeros()['w'][:2]}
  target = TARGET['w'][:2]

  def train(rate):
    tx = optax.contrib.schedule_free(lrax.sgd(rate), rate, B1)
    state, y = tx.init(params), params
    for _ in range(3):
      updates, state = tx.update({'w': y['w'] - target}, state, y)
      y = optax.apply_updates(y, updates)
    return state, y

  states, trained = jax.vmap(train)(rates)
  expected = [averages(3, B1, float(r))['w'][3][1][:2] for r in rates]
  inside = jax.vmap(lrax.eval_params)(states, trained)
  np.testing.assert_allclose(inside['w'], expected, **TOLERANCE)
  outside = lrax.eval_params(states, trained)
  np.testing.assert_allclose(outside['w'], expected, **TOLERANCE)


def test_bfloat16_parameters_stay_bfloat16():
  tx = schedule_free(0.5)
  params = zeros(jnp.bfloat16)
  state = tx.init(params)
  updates, state = tx.update(jax.tree.map(jnp.ones_like, params), state, params)
  params = optax.apply_updates(params, updates)
  found = lrax.eval_params(state, params)
  for leaf in found:
    assert found[leaf].dtype == jnp.bfloat16
    # After one step x is z, minus the rate: powers of two throughout.
    np.testing.assert_array_equal(found[leaf].astype(jnp.float32), -RATE)


def test_an_average_kept_wider_than_the_parameters():
  tx = optax.contrib.schedule_free(
      lrax.sgd(RATE), RATE, 0.5, state_dtype=jnp.float32
  )
  params = zeros(jnp.bfloat16)
  found = lrax.eval_params(tx.init(params), params)
  assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}


def test_b1_of_zero_holds_nothing_of_the_average():
  tx = optax.chain(schedule_free(b1=0.0))
  params = zeros()
  state = tx.init(params)
  with pytest.raises(ValueError, match='eval_params: `state` must have b1 > 0'):
    lrax.eval_params(state, params)
  # Inside jit b1 has no value to check, so the result must not look like one.
  found = jax.jit(lrax.eval_params)(state, params)
  assert all(np.isnan(x).all() for x in jax.tree.leaves(found))


# Lookahead

NESTED_LOOKAHEAD = {
    'alone': lambda tx: tx,
    'chain': lambda tx: optax.chain(tx),
    'named_chain': lambda tx: optax.named_chain(('look', tx)),
}


@pytest.mark.parametrize('name', NESTED_LOOKAHEAD)
def test_lookahead_gives_its_slow_parameters(name):
  """Every second step the slow ones go half of the way to the fast ones."""
  lookahead = optax.lookahead(lrax.sgd(RATE), sync_period=2, slow_step_size=0.5)
  tx = NESTED_LOOKAHEAD[name](lookahead)
  params = optax.LookaheadParams.init_synced(zeros())
  state = tx.init(params)
  fast = slow = np.zeros(3)
  for step in range(1, 6):
    grads = gradient(params.fast)
    updates, state = tx.update(grads, state, params)
    params = optax.apply_updates(params, updates)
    fast = fast - RATE * (fast - TARGET['w'])
    if step % 2 == 0:
      slow = fast = slow + 0.5 * (fast - slow)
    found = lrax.eval_params(state, params)
    np.testing.assert_allclose(found['w'], slow, **TOLERANCE)
    np.testing.assert_allclose(params.fast['w'], fast, **TOLERANCE)
  assert np.max(np.abs(fast - slow)) > 1e-2
  jitted = jax.jit(lrax.eval_params)(state, params)
  np.testing.assert_array_equal(jitted['w'], found['w'])


# Everything else


@pytest.mark.parametrize(
    'tx',
    [
        lrax.sgd(0.1),
        lrax.adamw(lrax.cosine_annealing(0.1, steps=10)),
        optax.adam(0.1),
        optax.chain(optax.clip(1.0), lrax.amsgrad(0.1)),
        optax.MultiSteps(lrax.adam(0.1), 2),
        optax.partition({'a': lrax.adam(0.1), 'b': optax.set_to_zero()}, 'a'),
        optax.set_to_zero(),
    ],
    ids=['sgd', 'adamw', 'optax', 'chain', 'MultiSteps', 'partition', 'nothing'],
)
def test_every_other_optimizer_gives_the_parameters_themselves(tx):
  params = zeros()
  assert lrax.eval_params(tx.init(params), params) is params


def test_no_state_at_all_gives_the_parameters_themselves():
  params = zeros()
  assert lrax.eval_params((), params) is params
