"""Momentum: exact cases and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

scale_by_momentum = lrax.transforms.scale_by_momentum


def _updates(tx, gradients):
  """The update of each gradient in turn, and the last state."""
  gradients = jnp.asarray(gradients)
  step = lambda state, g: tx.update(g, state)[::-1]
  state, updates = jax.lax.scan(step, tx.init(gradients[0]), gradients)
  return updates, state


def test_the_velocity_of_a_constant_gradient():
  # 1, 3/2, 7/4: the partial sums of 1 / 2**t, exact in binary.
  updates, state = _updates(scale_by_momentum(0.5), jnp.ones((3, 1)))
  assert updates[:, 0].tolist() == [1.0, 1.5, 1.75]
  assert state.trace.tolist() == [1.75]


def test_nesterov_looks_one_step_ahead():
  # Half of that velocity, and the gradient: 3/2, 7/4, 15/8.
  updates, state = _updates(scale_by_momentum(0.5, nesterov=True), jnp.ones((3, 1)))
  assert updates[:, 0].tolist() == [1.5, 1.75, 1.875]
  assert state.trace.tolist() == [1.75]


def test_a_gradient_is_forgotten_geometrically():
  gradients = jnp.zeros((11, 1)).at[0].set(4.0)
  updates, _ = _updates(scale_by_momentum(0.75), gradients)
  # 3**10 < 2**24 keeps all of it exact in float32.
  assert updates[:, 0].tolist() == [4 * 0.75**t for t in range(11)]


@pytest.mark.parametrize('nesterov', [False, True])
def test_equals_trace_of_optax(nesterov):
  gradients = jax.random.normal(jax.random.key(0), (20, 3))
  ours, _ = _updates(scale_by_momentum(0.9, nesterov), gradients)
  theirs, _ = _updates(optax.trace(0.9, nesterov), gradients)
  # The same products and sums, which the compiler may contract: a few float32
  # roundings of 6e-8, of velocities of about 3.
  np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize('accumulator', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_accumulator_dtype_is_honoured(dtype, accumulator, nesterov):
  tx = scale_by_momentum(0.5, nesterov, accumulator)
  g = jnp.ones(2, dtype)
  assert tx.init(g).trace.dtype == accumulator
  updates, state = jax.eval_shape(tx.update, g, tx.init(g))
  assert state.trace.dtype == accumulator
  assert updates.dtype == dtype


def test_a_wide_velocity_remembers_what_bfloat16_forgets():
  # 2 * (1 - 2**-20) takes 20 bits: float32 has them, bfloat16 would say 2.
  gradients = jnp.ones((20, 1), jnp.bfloat16)
  tx = scale_by_momentum(0.5, accumulator_dtype=jnp.float32)
  _, state = _updates(tx, gradients)
  assert state.trace.tolist() == [2 * (1 - 2.0**-20)]


@pytest.mark.parametrize('decay', [-0.1, 1.0, float('nan')])
def test_refuses_a_decay_out_of_range(decay):
  with pytest.raises(ValueError, match='scale_by_momentum: `decay` must be'):
    scale_by_momentum(decay)


def test_refuses_a_nesterov_that_is_no_bool():
  with pytest.raises(TypeError, match='`nesterov` must be True or False'):
    scale_by_momentum(nesterov=1)
