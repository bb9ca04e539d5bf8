"""Nadam's direction with a momentum that grows: exact cases and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax

scale_by_nadam = lrax.transforms.scale_by_nadam


def _updates(tx, gradients):
  """The update of each gradient in turn, and the last state."""
  gradients = jnp.asarray(gradients)
  step = lambda state, g: tx.update(g, state)[::-1]
  state, updates = jax.lax.scan(step, tx.init(gradients[0]), gradients)
  return updates, state


def test_without_averages_it_is_the_sign():
  tx = scale_by_nadam(b1=0.0, b2=0.0, eps=0.0)
  updates, _ = _updates(tx, [jnp.array([3.0, -0.5, 0.0, 1024.0])])
  # All shares are exactly 1 or 0, and the roots exact.
  assert updates[0].tolist() == [1.0, -1.0, 0.0, 1.0]


def test_the_first_step_under_half_the_momentum():
  # A growth of 0 keeps m at b1 / 2 = 1/4, while mu = (1 - 1/2) * g; so
  # 1/4 * 1/2 / (1 - 1/16) + (1 - 1/4) / (1 - 1/4) = 2/15 + 1.
  tx = scale_by_nadam(b1=0.5, b2=0.0, eps=0.0, momentum_decay=0.0)
  updates, state = _updates(tx, [jnp.array([-3.0])])
  # Some ten float32 roundings of 6e-8.
  np.testing.assert_allclose(updates, -17 / 15, rtol=5e-7)
  assert float(state.momentum_product) == 0.25


def test_the_product_of_momenta_is_that_of_the_formula():
  growth, steps = 0.05, 40
  _, state = _updates(
      scale_by_nadam(momentum_decay=growth), jnp.ones((steps, 1))
  )
  t = np.arange(1, steps + 1)
  expected = np.prod(0.9 * (1 - 0.5 * 0.96 ** (t * growth)))
  # 40 products of numbers good to some float32 roundings of 6e-8.
  np.testing.assert_allclose(state.momentum_product, expected, rtol=2e-5)


@pytest.mark.parametrize('traced', [False, True], ids=['python', 'traced'])
def test_accuracy_of_the_first_steps_in_float32(traced):
  gradients, growth = np.array([3.0, 2.5, -1.0, 0.5, 2.0, 3.0]), 4e-3
  b1, b2 = (np.float32([0.9, 0.999]) if traced else (0.9, 0.999))

  def updates(b1, b2):
    tx = scale_by_nadam(b1, b2, eps=0.0, momentum_decay=growth)
    state = tx.init(jnp.zeros(()))
    steps = []
    for g in gradients:
      step, state = tx.update(jnp.float32(g), state)
      steps.append(step)
    return jnp.stack(steps)

  ours = jax.jit(updates)(b1, b2) if traced else updates(b1, b2)
  b1, b2 = float(b1), float(b2)  # the truth is that of the float32 arguments
  momentum = lambda t: b1 * (1 - 0.5 * 0.96 ** (t * growth))
  mu, nu, product, truth = 0.0, 0.0, 1.0, []
  for t, g in enumerate(gradients, 1):
    product *= momentum(t)
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g * g
    hat = momentum(t + 1) * mu / (1 - product * momentum(t + 1))
    hat += (1 - momentum(t)) * g / (1 - product)
    truth.append(hat / np.sqrt(nu / (1 - b2**t)))
  # Some ten float32 roundings of 6e-8 a step, for six steps; 1 - 0.999**t by
  # subtraction in float32 would put the first off by 6e-6.
  np.testing.assert_allclose(ours, truth, rtol=2e-6)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float32])
def test_the_average_square_is_float32_and_decays(dtype):
  gradients = jnp.zeros((201, 2), dtype).at[0].set(1)
  _, state = _updates(scale_by_nadam(b2=0.999), gradients)
  assert state.nu.dtype == state.momentum_product.dtype == jnp.float32
  # 201 steps of one or two float32 roundings; in bfloat16 it would stay at 1e-3.
  np.testing.assert_allclose(state.nu, 1e-3 * 0.999**200, rtol=5e-5)


@pytest.mark.parametrize('mu_dtype', [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_mu_dtype_is_honoured(mu_dtype, dtype):
  tx = scale_by_nadam(mu_dtype=mu_dtype)
  g = jnp.ones(2, dtype)
  assert tx.init(g).mu.dtype == mu_dtype
  updates, state = jax.eval_shape(tx.update, g, tx.init(g))
  assert state.mu.dtype == mu_dtype
  assert updates.dtype == dtype
  assert state.nu.dtype == jnp.float32


def test_complex_gradients_are_divided_by_their_modulus():
  tx = scale_by_nadam(b1=0.0, b2=0.0, eps=0.0)
  updates, state = _updates(tx, [jnp.array([3 - 4j], jnp.complex64)])
  # One division in float32.
  np.testing.assert_allclose(updates[0], [0.6 - 0.8j], rtol=2e-7)
  assert state.nu.dtype == jnp.float32
  assert state.nu.tolist() == [25.0]


def test_it_goes_on_where_the_count_ends():
  """The count stops at 2**31 - 1, and the step ahead of it must not wrap."""
  tx = scale_by_nadam(b1=0.5, b2=0.5, eps=0.0)
  one = jnp.ones(2)
  state = tx.init(one)._replace(
      count=jnp.int32(2**31 - 2),
      mu=jnp.ones(2),
      nu=jnp.ones(2),
      momentum_product=jnp.zeros(()),
  )
  for _ in range(2):
    updates, state = tx.update(one, state)
    # All averages are 1, and the momentum has long reached 1/2.
    assert updates.tolist() == [1.0, 1.0]
    assert int(state.count) == 2**31 - 1


@pytest.mark.parametrize(
    'argument, value', [('b1', 1.0), ('b2', -0.1), ('momentum_decay', -1e-3)]
)
def test_refuses_arguments_out_of_range(argument, value):
  with pytest.raises(ValueError, match=f'scale_by_nadam: `{argument}` must be'):
    scale_by_nadam(**{argument: value})
