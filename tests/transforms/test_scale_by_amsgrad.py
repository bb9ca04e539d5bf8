"""AMSGrad's direction: exact cases, accuracy and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax

scale_by_amsgrad = lrax.transforms.scale_by_amsgrad


def _updates(tx, gradients):
  """The update of each gradient in turn, and the last state."""
  gradients = jnp.asarray(gradients)
  step = lambda state, g: tx.update(g, state)[::-1]
  state, updates = jax.lax.scan(step, tx.init(gradients[0]), gradients)
  return updates, state


def test_the_largest_average_divides():
  # b2 = 3/4: nu is 4, 13/4, 43/16; its largest stays 4, of root 2.
  tx = scale_by_amsgrad(b1=0.0, b2=0.75, eps=0.0)
  updates, state = _updates(tx, [jnp.array([g]) for g in (4.0, 1.0, -1.0)])
  assert updates[:, 0].tolist() == [2.0, 0.5, -0.5]
  assert state.nu.tolist() == [43 / 16]
  assert state.nu_max.tolist() == [4.0]


def test_the_first_step_is_not_corrected():
  # (1 - b1) * g / sqrt((1 - b2) * g**2) = 1/2 / sqrt(1/4) = 1.
  tx = scale_by_amsgrad(b1=0.5, b2=0.75, eps=0.0)
  assert _updates(tx, [jnp.array([-3.0])])[0].tolist() == [[-1.0]]


@pytest.mark.parametrize(
    'correct_mu, correct_nu, expected',
    [(True, False, 2.0), (False, True, 0.5), (True, True, 1.0)],
)
def test_each_flag_corrects_one_average(correct_mu, correct_nu, expected):
  # The factors that the corrections remove at the first step are 1/2 and 1/4.
  tx = scale_by_amsgrad(0.5, 0.75, 0.0, 0.0, None, correct_mu, correct_nu)
  updates, _ = _updates(tx, [jnp.array([3.0])])
  # -expm1(log(1/2)) is 1/2 to a rounding or two of 6e-8.
  np.testing.assert_allclose(updates, expected, rtol=3e-7)


def test_eps_and_eps_root_of_the_first_step():
  # 3 / (sqrt(9 + 7) + 2), exact in binary.
  tx = scale_by_amsgrad(b1=0.0, b2=0.0, eps=2.0, eps_root=7.0)
  assert _updates(tx, [jnp.array([3.0])])[0].tolist() == [[0.5]]


def test_bias_correction_keeps_its_digits_in_float32():
  # Corrected, the averages of a constant gradient are it and its square.
  tx = scale_by_amsgrad(eps=0.0, bias_correction_mu=True, bias_correction_nu=True)
  updates, state = _updates(tx, jnp.full((20, 1), 3.0))
  # Some ten float32 roundings of 6e-8 a step, which the averages partly forget;
  # 1 - 0.999**t by subtraction would be wrong by 6e-6.
  np.testing.assert_allclose(updates, 1.0, rtol=2e-6)
  np.testing.assert_allclose(state.nu_max, 9.0, rtol=2e-6)


def test_the_maximum_is_of_corrected_averages():
  # Corrected, g**2 = 9 is the first average and the largest. PyTorch corrects
  # the largest uncorrected one, and would have 9 / (1 + b2) = 4.5 here.
  tx = scale_by_amsgrad(eps=0.0, bias_correction_nu=True)
  _, state = _updates(tx, [jnp.array([3.0]), jnp.array([0.0])])
  # Some float32 roundings of 6e-8.
  np.testing.assert_allclose(state.nu_max, 9.0, rtol=1e-6)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float32])
def test_the_average_square_is_float32_and_decays(dtype):
  gradients = jnp.zeros((201, 2), dtype).at[0].set(1)
  _, state = _updates(scale_by_amsgrad(b2=0.999), gradients)
  assert state.nu.dtype == state.nu_max.dtype == jnp.float32
  # 201 steps of one or two float32 roundings; in bfloat16 it would stay at 1e-3.
  np.testing.assert_allclose(state.nu, 1e-3 * 0.999**200, rtol=5e-5)
  # Its largest is the first, of one product.
  np.testing.assert_allclose(state.nu_max, 1e-3, rtol=1e-6)


@pytest.mark.parametrize('mu_dtype', [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_mu_dtype_is_honoured(mu_dtype, dtype):
  tx = scale_by_amsgrad(mu_dtype=mu_dtype)
  g = jnp.ones(2, dtype)
  assert tx.init(g).mu.dtype == mu_dtype
  updates, state = jax.eval_shape(tx.update, g, tx.init(g))
  assert state.mu.dtype == mu_dtype
  assert updates.dtype == dtype
  assert state.nu.dtype == state.nu_max.dtype == jnp.float32


def test_complex_gradients_are_divided_by_their_modulus():
  tx = scale_by_amsgrad(b1=0.0, b2=0.0, eps=0.0)
  updates, state = _updates(tx, [jnp.array([3 - 4j], jnp.complex64)])
  # One division in float32.
  np.testing.assert_allclose(updates[0], [0.6 - 0.8j], rtol=2e-7)
  assert state.nu_max.dtype == jnp.float32
  assert state.nu_max.tolist() == [25.0]


@pytest.mark.parametrize(
    'argument, value', [('b1', 1.0), ('b2', -0.1), ('eps', -1.0), ('eps_root', -1)]
)
def test_refuses_arguments_out_of_range(argument, value):
  with pytest.raises(ValueError, match=f'scale_by_amsgrad: `{argument}` must be'):
    scale_by_amsgrad(**{argument: value})
