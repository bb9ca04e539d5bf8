"""Clipping by the global norm: exact cases, and Optax's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

clip = lrax.transforms.clip_by_global_norm


def clipped(max_norm, updates):
  return clip(max_norm).update(updates, optax.EmptyState())[0]


def test_the_norm_is_that_of_all_leaves_together():
  updates = {'a': jnp.array([3.0]), 'b': (jnp.array([[0.0, 4.0]]), None)}
  found = clipped(2.5, updates)  # half of a norm of 5, exact in binary
  assert found['a'].tolist() == [1.5] and found['b'][0].tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize('max_norm', [5.0, 5.5, 1e30])
def test_what_is_within_is_left_as_it_is(max_norm):
  updates = {'w': jnp.array([3.0, -4.0])}
  assert clipped(max_norm, updates)['w'].tolist() == [3.0, -4.0]


def test_no_gradient_and_no_leaf():
  assert clipped(1.0, {'w': jnp.zeros(3)})['w'].tolist() == [0.0] * 3
  assert clipped(1.0, {}) == {}


def test_a_complex_gradient_counts_by_its_size():
  found = clipped(2.5, {'w': jnp.array([3.0 + 4.0j])})
  assert found['w'].tolist() == [1.5 + 2.0j]


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_what_is_not_finite_stays_so(bad):
  found = clipped(1.0, {'w': jnp.array([bad, 1.0])})
  assert not np.isfinite(found['w'][0])


def test_a_norm_of_bfloat16_is_computed_in_float32():
  """In bfloat16 the sum of squares of 1,000 ones stops at 256."""
  found = clipped(1.0, {'w': jnp.ones(1000, jnp.bfloat16)})['w']
  assert found.dtype == jnp.bfloat16
  assert found[0] == jnp.bfloat16(1000**-0.5)


def test_the_same_as_optax():
  """To three roundings: one factor for all against a division of each."""
  keys = jax.random.split(jax.random.key(0), 4)
  updates = [jax.random.normal(key, (7, n)) for n, key in enumerate(keys)]
  for max_norm in (0.1, 3.0, 100.0):
    theirs, _ = optax.clip_by_global_norm(max_norm).update(updates, optax.EmptyState())
    ours = jax.jit(lambda u, n=max_norm: clipped(n, u))(updates)
    for a, b in zip(ours, theirs):
      np.testing.assert_allclose(a, b, rtol=3 * 2.0**-23)


def test_its_limit_may_be_a_schedule():
  tx = clip(lrax.piecewise_constant([5.0, 2.5], [1]))
  updates = {'w': jnp.array([3.0, 4.0])}
  first, state = tx.update(updates, tx.init(updates))
  second, state = tx.update(updates, state)
  assert first['w'].tolist() == [3.0, 4.0] and second['w'].tolist() == [1.5, 2.0]
  assert float(state.values['max_norm']) == 2.5


def test_no_gradient_is_written_before_the_next_link():
  """The factor is part of the kernels that follow: no memory between them."""
  tx = optax.chain(clip(1.0), lrax.adamw(1e-3))

  def step(params, state, grads):
    updates, state = tx.update(grads, state, params)
    return optax.apply_updates(params, updates), state

  params = [jax.ShapeDtypeStruct((256, 256), jnp.float32)] * 5
  compiled = jax.jit(step, donate_argnums=(0, 1)).lower(
      params, jax.eval_shape(tx.init, params), params
  ).compile()
  if jax.default_backend() == 'cpu':
    assert compiled.memory_analysis().temp_size_in_bytes < 256 * 256 * 4
