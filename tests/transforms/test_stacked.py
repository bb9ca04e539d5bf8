"""stacked: the same numbers as without it, from fewer arrays."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax import control
from lrax.transforms import stacked

KEY = jax.random.key(0)


def _tree():
  """Stacks of 5 and 2, alone for their shape, their dtype, their size."""
  shapes = {
      'a': [(3,)] * 5,
      'b': ((4, 2), (4, 2)),
      'c': {'scalar': (), 'empty': (0, 3), 'large': (130, 130)},
  }
  is_shape = lambda x: isinstance(x, tuple) and all(isinstance(n, int) for n in x)
  leaves, treedef = jax.tree.flatten(shapes, is_leaf=is_shape)
  keys = jax.random.split(KEY, len(leaves))
  tree = treedef.unflatten([jax.random.normal(k, s) for k, s in zip(keys, leaves)])
  return tree | {'d': jnp.ones(3, jnp.bfloat16), 'none': None}


def _gradient(params):
  return jax.tree.map(lambda x: jnp.sin(3 * x), params)


OPTIMIZERS = {
    'adamw': lambda: lrax.adamw(lrax.linear(0.1, 0.01, 5), weight_decay=0.1),
    'clip, lion': lambda: optax.chain(
        lrax.transforms.clip_by_global_norm(0.1), lrax.lion(0.1)
    ),
    'momo': lambda: lrax.sgd(control.momo(0.5)),
    'line_search': lambda: lrax.sgd(control.line_search(1.0)),
    'dowg': lrax.dowg,
    'guard': lambda: lrax.guard(lrax.adam(0.1)),
}


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_gives_the_updates_of_the_optimizer_itself(name):
  params = _tree()

  def loss(tree):
    return sum(
        jnp.sum(1 - jnp.cos(3 * x.astype(jnp.float32))) / 3
        for x in jax.tree.leaves(tree)
    )

  def run(tx):
    @jax.jit
    def step(carry, _):
      x, state = carry
      grad = _gradient(x)
      told = {'value': loss(x), 'grad': grad, 'value_fn': loss}
      updates, state = tx.update(grad, state, x, **told)
      for update, g in zip(jax.tree.leaves(updates), jax.tree.leaves(grad)):
        assert update.dtype == g.dtype and update.shape == g.shape
      return (optax.apply_updates(x, updates), state), updates

    return jax.lax.scan(step, (params, tx.init(params)), length=4)

  (x, state), updates = run(OPTIMIZERS[name]())
  (y, packed), others = run(stacked(OPTIMIZERS[name]()))
  # Sums over all arrays are added in another order: a few roundings of float32,
  # and one of bfloat16.
  close = lambda a, b: np.testing.assert_allclose(
      a.astype(jnp.float32), b.astype(jnp.float32),
      rtol=2e-5 if a.dtype == jnp.float32 else 2**-7, atol=1e-6,
  )
  jax.tree.map(close, updates, others)
  jax.tree.map(close, x, y)
  np.testing.assert_allclose(
      lrax.get_learning_rate(state), lrax.get_learning_rate(packed), rtol=2e-5
  )


def test_the_state_has_one_array_for_each_stack():
  state = stacked(lrax.transforms.scale_by_adam()).init(_tree())
  shapes = [x.shape for x in state.mu]
  assert shapes == [(5, 3), (2, 4, 2), (0, 3), (130, 130), (), (3,)]
  assert [x.dtype for x in state.mu] == [jnp.float32] * 5 + [jnp.bfloat16]


@pytest.mark.parametrize('count', [1, 2, 3, 63, 64, 65, 66, 200])
def test_every_array_comes_back_in_its_place(count):
  params = [jnp.full(2, i, jnp.float32) for i in range(count)]
  tx = stacked(optax.identity())
  updates, _ = tx.update(params, tx.init(params), params)
  assert [u.tolist() for u in updates] == [[i, i] for i in range(count)]


def test_gradients_of_another_dtype_keep_it():
  params = {'a': jnp.ones(3), 'b': jnp.ones(3)}
  grads = {'a': jnp.ones(3, jnp.bfloat16), 'b': jnp.full(3, 1 + 2**-20)}
  tx = stacked(optax.identity())
  updates, _ = tx.update(grads, tx.init(params), params)
  assert updates['a'].dtype == jnp.bfloat16
  assert updates['b'].tolist() == grads['b'].tolist()


def test_an_empty_tree_and_what_is_masked():
  tx = stacked(lrax.adam(0.1))
  assert tx.update({}, tx.init({}), {})[0] == {}
  masked = optax.masked(tx, {'a': True, 'b': False, 'c': True})
  params = {k: jnp.ones(3) for k in 'abc'}
  updates, _ = masked.update(params, masked.init(params), params)
  assert {k: float(u[0]) for k, u in updates.items()} == pytest.approx(
      {'a': -0.1, 'b': 1.0, 'c': -0.1}, rel=1e-6
  )


def test_inside_groups():
  params = {'head': [jnp.ones(3)] * 3, 'bias': [jnp.ones(3)] * 3}
  tx = lrax.groups.param_groups(
      [('head/.*', 1.0), ('bias/.*', lrax.groups.frozen)], stacked(lrax.adam(0.1))
  )
  updates, _ = tx.update(params, tx.init(params), params)
  assert all(u.tolist() == [0, 0, 0] for u in updates['bias'])
  np.testing.assert_allclose(updates['head'], -0.1, rtol=1e-6)


def test_a_stack_is_compiled_with_few_kernels():
  """256 arrays: a few kernels of Adam for all, and 64 places that repeat."""
  params, tx = [jnp.ones(100)] * 256, stacked(lrax.adam(0.1))
  update = jax.jit(tx.update).lower(params, tx.init(params), params)
  text = update.compile().as_text()
  bodies = re.findall(r'^%fused_computation\S* \(.*?^}', text, re.M | re.S)
  assert len(bodies) >= 256  # one at least for each update
  names = re.compile(r'%[\w.\-]+|, metadata=\{[^}]*\}|\S+: ')
  assert len({names.sub('', body) for body in bodies}) < 100


def test_refusals():
  with pytest.raises(TypeError, match='stacked: `transform` must be an optax'):
    stacked(0.1)
  tx = stacked(lrax.adam(0.1))
  x = {'a': jnp.ones(3)}
  with pytest.raises(ValueError, match='stacked: `params` must be given'):
    tx.update(x, tx.init(x))


@pytest.mark.parametrize('name', ['master_weights', 'stochastic_rounding'])
def test_updates_that_are_wider_stay_so(name):
  """Of bfloat16 parameters those of master_weights are exact in float32 only."""
  params = {k: jnp.full(64, 1.0 + i, jnp.bfloat16) for i, k in enumerate('abc')}
  link = getattr(lrax.transforms, name)
  make = lambda: optax.chain(lrax.sgd(3e-4), link())

  def run(tx):
    x, state = params, tx.init(params)
    step = jax.jit(tx.update)
    for _ in range(30):
      updates, state = step(params, state, x)
      assert {u.dtype for u in updates.values()} == {jnp.dtype(jnp.float32)}
      x = optax.apply_updates(x, updates)
    return x

  x, y = run(make()), run(stacked(make()))
  if name == 'master_weights':  # the other one has other chances
    jax.tree.map(np.testing.assert_array_equal, x, y)
  mean = lambda tree: np.mean([x.astype(jnp.float32).mean() for x in tree.values()])
  # 30 steps of 3e-4 of each; two roundings to nearest would leave it where it is.
  assert mean(y) == pytest.approx(2 * (1 - 30 * 3e-4), abs=2e-3)


def test_an_average_in_stacks_is_no_average_of_the_parameters():
  params = {'a': jnp.ones(3), 'b': jnp.ones(3)}
  state = stacked(lrax.schedule_free_sgd(0.1)).init(params)
  with pytest.raises(ValueError, match='eval_params: `params` must have the tree'):
    lrax.eval_params(state, params)
