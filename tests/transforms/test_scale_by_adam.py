"""Adam's direction: exact cases, accuracy and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax

scale_by_adam = lrax.transforms.scale_by_adam


def _updates(tx, gradients):
  """The update of each gradient in turn, and the last state."""
  gradients = jnp.asarray(gradients)
  step = lambda state, g: tx.update(g, state)[::-1]
  state, updates = jax.lax.scan(step, tx.init(gradients[0]), gradients)
  return updates, state


def test_without_averages_it_is_the_sign():
  # g / sqrt(g**2) is exact wherever g**2 is a float32 with an exact root.
  tx = scale_by_adam(b1=0.0, b2=0.0, eps=0.0)
  updates, _ = _updates(tx, [jnp.array([3.0, -0.5, 0.0, 1024.0])])
  assert updates[0].tolist() == [1.0, -1.0, 0.0, 1.0]


def test_eps_and_eps_root_of_the_first_step():
  # 3 / (sqrt(9 + 7) + 2), exact in binary.
  tx = scale_by_adam(b1=0.0, b2=0.0, eps=2.0, eps_root=7.0)
  updates, _ = _updates(tx, [jnp.array([3.0])])
  assert updates[0].tolist() == [0.5]


def test_eps_root_makes_derivatives_finite_at_a_gradient_of_zero():
  tx = scale_by_adam(b1=0.0, b2=0.0, eps=1.0, eps_root=0.25)
  state = tx.init(jnp.zeros(()))
  slope = jax.grad(lambda g: tx.update(g, state)[0])(0.0)
  # d/dg of g / (sqrt(g**2 + 1/4) + 1) at 0 is 1 / (1/2 + 1).
  # One division in float32.
  np.testing.assert_allclose(slope, 2 / 3, rtol=1e-7)


def test_nesterov_at_the_first_step():
  # b1 * (1 - b1) / (1 - b1**2) + 1 = 1/3 + 1 at b1 = 1/2.
  updates, _ = _updates(
      scale_by_adam(b1=0.5, eps=0.0, nesterov=True), [jnp.array([-3.0])]
  )
  # Some ten float32 roundings of 6e-8.
  np.testing.assert_allclose(updates, -4 / 3, rtol=5e-7)


def test_averages_are_those_of_the_formula():
  b1, b2 = 0.75, 0.875  # exact in binary, as are the numbers below
  _, state = _updates(
      scale_by_adam(b1, b2), [jnp.array([4.0]), jnp.array([-8.0])]
  )
  assert state.mu.tolist() == [b1 * (1 - b1) * 4 - (1 - b1) * 8]
  assert state.nu.tolist() == [b2 * (1 - b2) * 16 + (1 - b2) * 64]
  assert int(state.count) == 2


def _truth(b1, b2, gradients, nesterov):
  """The formula in float64, with eps = 0."""
  mu = nu = 0.0
  updates = []
  for t, g in enumerate(gradients, 1):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g * g
    hat = mu / -np.expm1(t * np.log(b1))
    if nesterov:
      hat = b1 * mu / -np.expm1((t + 1) * np.log(b1))
      hat += (1 - b1) * g / -np.expm1(t * np.log(b1))
    updates.append(hat / np.sqrt(nu / -np.expm1(t * np.log(b2))))
  return np.array(updates)


@pytest.mark.parametrize('traced', [False, True], ids=['python', 'traced'])
@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize('b2', [0.999, 0.99999])
def test_bias_correction_keeps_its_digits_in_float32(b2, nesterov, traced):
  """By subtraction 1 - b2**t puts the first update off by 6e-6, or by 7e-4."""
  gradients = np.array([3.0, 2.5, -1.0, 0.5, 2.0, 3.0])

  def updates(b1, b2):
    tx = scale_by_adam(b1, b2, eps=0.0, nesterov=nesterov)
    state = tx.init(jnp.zeros(()))
    steps = []
    for g in gradients:
      step, state = tx.update(jnp.float32(g), state)
      steps.append(step)
    return jnp.stack(steps)

  b1 = 0.9
  if traced:
    # The truth is that of the float32 arguments.
    b1, b2 = np.float32([b1, b2])
    ours = jax.jit(updates)(b1, b2)
  else:
    ours = updates(b1, b2)
  truth = _truth(float(b1), float(b2), gradients, nesterov)
  # Some ten float32 roundings of 6e-8 a step, for six steps.
  np.testing.assert_allclose(ours, truth, rtol=2e-6)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float32])
def test_the_average_square_is_float32_and_decays(dtype):
  gradients = jnp.zeros((201, 2), dtype).at[0].set(1)
  _, state = _updates(scale_by_adam(b2=0.999), gradients)
  assert state.nu.dtype == jnp.float32
  # 201 steps of one or two float32 roundings; in bfloat16 it would stay at 1e-3.
  np.testing.assert_allclose(state.nu, 1e-3 * 0.999**200, rtol=5e-5)


def test_squares_below_the_range_of_float16_count():
  # 1e-4**2 is 0 in float16, where Adam would divide by eps alone.
  g = jnp.full((2,), 1e-4, jnp.float16)
  updates, _ = _updates(scale_by_adam(eps=0.0), [g, g])
  assert updates.dtype == jnp.float16
  # The average keeps float16's eleven bits.
  np.testing.assert_allclose(updates.astype(float), 1.0, rtol=2e-3)


@pytest.mark.parametrize('mu_dtype', [jnp.bfloat16, 'bfloat16', jnp.float32])
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_mu_dtype_is_honoured(mu_dtype, dtype):
  tx = scale_by_adam(mu_dtype=mu_dtype)
  g = jnp.ones(2, dtype)
  assert tx.init(g).mu.dtype == jnp.dtype(mu_dtype)
  updates, state = jax.eval_shape(tx.update, g, tx.init(g))
  assert state.mu.dtype == jnp.dtype(mu_dtype)
  assert updates.dtype == dtype
  assert state.nu.dtype == jnp.float32


def test_mu_defaults_to_the_dtype_of_the_parameters():
  state = scale_by_adam().init({'a': jnp.ones(2, jnp.bfloat16), 'b': jnp.ones(2)})
  assert (state.mu['a'].dtype, state.mu['b'].dtype) == (jnp.bfloat16, jnp.float32)


def test_complex_gradients_are_divided_by_their_modulus():
  # |3 - 4i| = 5; the average square is real.
  tx = scale_by_adam(b1=0.0, b2=0.0, eps=0.0)
  updates, state = _updates(tx, [jnp.array([3 - 4j], jnp.complex64)])
  # One division in float32.
  np.testing.assert_allclose(updates[0], [0.6 - 0.8j], rtol=2e-7)
  assert state.nu.dtype == jnp.float32
  assert state.nu.tolist() == [25.0]


def test_a_real_mu_dtype_keeps_the_imaginary_part():
  # With b1 = 1/2 the second mu_hat of a constant gradient is that gradient.
  tx = scale_by_adam(b1=0.5, b2=0.0, eps=0.0, mu_dtype=jnp.bfloat16)
  g = jnp.array([3 - 4j], jnp.complex64)
  updates, _ = _updates(tx, [g, g])
  # bfloat16 keeps eight bits.
  np.testing.assert_allclose(updates[1], [0.6 - 0.8j], rtol=1e-2)


def test_nesterov_goes_on_where_the_count_ends():
  """The count stops at 2**31 - 1, and the step ahead of it must not wrap."""
  tx = scale_by_adam(b1=0.5, b2=0.5, eps=0.0, nesterov=True)
  one = jnp.ones(2)
  state = tx.init(one)._replace(
      count=jnp.int32(2**31 - 2), mu=jnp.ones(2), nu=jnp.ones(2)
  )
  for _ in range(2):
    updates, state = tx.update(one, state)
    # All averages are 1 and the corrections long over: 1/2 * 1 + 1/2 * 1.
    assert updates.tolist() == [1.0, 1.0]
    assert int(state.count) == 2**31 - 1


@pytest.mark.parametrize(
    'argument, value', [('b1', 1.0), ('b2', -0.1), ('eps', -1.0), ('eps_root', -1)]
)
def test_refuses_arguments_out_of_range(argument, value):
  with pytest.raises(ValueError, match=f'scale_by_adam: `{argument}` must be'):
    scale_by_adam(**{argument: value})


def test_refuses_a_nesterov_that_is_no_bool():
  with pytest.raises(TypeError, match='`nesterov` must be True or False'):
    scale_by_adam(nesterov=1)
