"""A leaf function is traced once a shape inside jit, and called as it is elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax._traced_once import traced_once


def calls_of(tree, run):
  """How often the function ran in Python, and what the mapped tree became."""
  calls = []

  def leaf(x):
    calls.append(x.shape)
    return x * 2

  def mapped(tree):
    return jax.tree.map(traced_once(leaf, tree), tree)

  return calls, run(mapped)(tree)


def test_many_leaves_of_two_shapes_are_traced_twice_inside_jit():
  tree = [jnp.ones(3)] * 6 + [jnp.ones((2, 2))] * 6
  calls, doubled = calls_of(tree, jax.jit)
  assert calls == [(3,), (2, 2)]
  assert all((x == 2).all() for x in doubled)


@pytest.mark.parametrize('run', [lambda f: f, jax.vmap], ids=['eager', 'vmap'])
def test_elsewhere_nothing_is_compiled(run):
  calls, doubled = calls_of([jnp.ones(3)] * 12, run)
  assert len(calls) == 12
  assert all((x == 2).all() for x in doubled)


def test_leaves_of_one_shape_and_two_dtypes_stay_apart():
  tree = [jnp.ones(3)] * 6 + [jnp.ones(3, jnp.bfloat16)] * 6
  _, doubled = calls_of(tree, jax.jit)
  assert [x.dtype for x in doubled] == [x.dtype for x in tree]


def adamw(rate, b1=0.9):
  return optax.chain(
      lrax.transforms.clip_by_global_norm(1.0), lrax.adamw(rate, b1, weight_decay=0.1)
  )


def step(tx, grads, state, params):
  updates, state = tx.update(grads, state, params)
  return optax.apply_updates(params, updates), state


def run_steps(one, params, grads, state):
  for _ in range(3):
    params, state = one(grads, state, params)
  return params


@pytest.fixture
def many():
  rng = np.random.default_rng(0)
  shapes = [(3,), (2, 2), ()] * 6
  make = lambda: [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]
  return make(), make()


def check_equal(ours, theirs):
  for x, y in zip(ours, theirs):
    np.testing.assert_allclose(x, y, rtol=2e-6, atol=1e-7)


def test_many_leaves_train_as_one_by_one(many):
  params, grads = many
  tx = adamw(0.1)
  eager = run_steps(lambda *a: step(tx, *a), params, grads, tx.init(params))
  jitted = run_steps(
      jax.jit(lambda *a: step(tx, *a)), params, grads, tx.init(params)
  )
  check_equal(jitted, eager)


def test_rates_and_decays_from_outside_may_be_traced_mapped_and_derived(many):
  """What the jitted leaf closes over belongs to other transformations of JAX."""
  params, grads = many

  def loss(rate, b1):
    tx = adamw(rate, b1)
    after = run_steps(lambda *a: step(tx, *a), params, grads, tx.init(params))
    return sum(jnp.sum(x**2) for x in after)

  rates, b1s = jnp.array([0.1, 0.2]), jnp.array([0.8, 0.9])
  alone = jnp.array([loss(r, b) for r, b in zip(rates, b1s)])
  for mapped in (jax.jit(jax.vmap(loss)), jax.vmap(jax.jit(loss))):
    np.testing.assert_allclose(mapped(rates, b1s), alone, rtol=1e-5)
  slopes = [jax.grad(f)(0.1, 0.9) for f in (loss, jax.jit(loss))]
  np.testing.assert_allclose(slopes[1], slopes[0], rtol=1e-4)
  small = 1e-2
  there = (loss(0.1 + small, 0.9) - loss(0.1 - small, 0.9)) / (2 * small)
  np.testing.assert_allclose(slopes[1], there, rtol=2e-2)


def test_noise_differs_from_leaf_to_leaf(many):
  """Equal leaves rounded by chance must not be rounded alike."""
  params = {str(i): jnp.zeros((64, 64)) for i in range(12)}
  grads = jax.tree.map(lambda x: x + 0.3, params)
  for kinds in ({'nu_dtype': jnp.bfloat16}, {'mu_dtype': 'block8'}):
    tx = lrax.adamw(0.1, **kinds)
    one = jax.jit(tx.update)
    state = tx.init(params)
    for _ in range(2):
      _, state = one(grads, state, params)
    moment = state[0].nu if 'nu_dtype' in kinds else state[0].mu
    leaves = [jax.tree.leaves(x)[0] for x in moment.values()]
    kept = {np.asarray(x).tobytes() for x in leaves}
    assert len(kept) == len(leaves), kinds
