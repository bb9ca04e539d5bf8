"""RMSProp's direction: exact cases, the centred variance and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax

scale_by_rms = lrax.transforms.scale_by_rms


def _updates(tx, gradients):
  """The update of each gradient in turn, and the last state."""
  gradients = jnp.asarray(gradients)
  step = lambda state, g: tx.update(g, state)[::-1]
  state, updates = jax.lax.scan(step, tx.init(gradients[0]), gradients)
  return updates, state


def test_the_first_step_is_exact():
  # nu = 1/4 * 9, of root 3/2.
  updates, state = _updates(scale_by_rms(0.75, eps=0.0), [jnp.array([-3.0])])
  assert updates.tolist() == [[-2.0]]
  assert state.nu.tolist() == [2.25]
  assert state.mu is None


@pytest.mark.parametrize(
    'eps_in_sqrt, expected', [(True, 3.0 / 4.0), (False, 3.0 / 10.0)]
)
def test_where_eps_is(eps_in_sqrt, expected):
  # With decay 0: 3 / sqrt(9 + 7), and 3 / (3 + 7).
  tx = scale_by_rms(0.0, eps=7.0, eps_in_sqrt=eps_in_sqrt)
  updates, _ = _updates(tx, [jnp.array([3.0])])
  # One division in float32.
  np.testing.assert_allclose(updates, expected, rtol=1e-7)


def test_the_average_starts_at_initial_scale():
  # 3/4 * 12 + 1/4 * 28 = 16 with g**2 = 28, and g = 0 beside it: root 3.
  tx = scale_by_rms(0.75, eps=0.0, initial_scale=12.0)
  _, state = _updates(tx, [jnp.array([0.0, 2.0])])
  assert state.nu.tolist() == [9.0, 10.0]


def test_centred_by_the_mean():
  # decay 1/2, g = 4 then 0: mu = 1, nu = 4 and the variance 3.
  tx = scale_by_rms(0.5, eps=1.0, centered=True)
  updates, state = _updates(tx, [jnp.array([4.0]), jnp.array([0.0])])
  assert state.mu.tolist() == [1.0]
  assert state.nu.tolist() == [4.0]
  # At the first step the variance is 8 - 4, and the update 4 / sqrt(4 + 1).
  # One root and one division in float32.
  np.testing.assert_allclose(updates[:, 0], [4 / np.sqrt(5), 0.0], rtol=2e-7)


def test_bias_correction_keeps_its_digits_in_float32():
  # The corrected average of a constant gradient's square is that square.
  tx = scale_by_rms(0.999, eps=0.0, bias_correction=True)
  updates, _ = _updates(tx, jnp.full((20, 1), 3.0))
  # A few float32 roundings of 6e-8 a step; 1 - 0.999**t by subtraction would
  # put the first off by 6e-6.
  np.testing.assert_allclose(updates, 1.0, rtol=2e-6)


@pytest.mark.parametrize('bias_correction', [False, True])
@pytest.mark.parametrize('eps_in_sqrt', [False, True])
def test_the_variance_of_a_constant_gradient_is_never_negative(
    eps_in_sqrt, bias_correction
):
  """By rounding alone nu - mu**2 falls below 0, and its root is NaN."""
  tx = scale_by_rms(
      0.9, 1e-12, eps_in_sqrt=eps_in_sqrt, centered=True,
      bias_correction=bias_correction,
  )

  constants = jnp.array([1.0, 0.1, 3.7, 1e-3, 1234.5])
  updates, _ = _updates(tx, jnp.broadcast_to(constants, (300, 5)))
  assert jnp.isfinite(updates).all()
  # A positive gradient never gives a negative step, nor none.
  assert (updates > 0).all()


def test_a_centred_constant_gradient_without_eps_is_finite():
  tx = scale_by_rms(0.5, eps=0.0, centered=True, bias_correction=True)
  # The corrected variance of a constant is 0, or what rounding makes of it.
  updates, _ = _updates(tx, jnp.full((40, 1), 2.0))
  assert jnp.isfinite(updates).all()


@pytest.mark.parametrize('centered', [False, True])
@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float32])
def test_the_average_square_is_float32_and_decays(dtype, centered):
  gradients = jnp.zeros((201, 2), dtype).at[0].set(1)
  tx = scale_by_rms(0.999, centered=centered)
  _, state = _updates(tx, gradients)
  assert state.nu.dtype == jnp.float32
  # 201 steps of one or two float32 roundings; in bfloat16 it would stay at 1e-3.
  np.testing.assert_allclose(state.nu, 1e-3 * 0.999**200, rtol=5e-5)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16, jnp.float32])
def test_the_centred_variance_is_right_for_narrow_gradients(dtype):
  """Its terms nearly cancel, so the mean needs float32 as much as nu does."""
  # 17/16 and 15/16 in turn, exact in each dtype: mean about 1, variance 1/256.
  gradients = 1 + (-1.0) ** np.arange(100) / 16
  tx = scale_by_rms(0.9, centered=True)
  updates, _ = _updates(tx, jnp.asarray(gradients[:, None], dtype))
  mu, nu, truth = 0.0, 0.0, []
  for g in gradients:
    mu, nu = 0.9 * mu + 0.1 * g, 0.9 * nu + 0.1 * g**2
    truth.append(g / np.sqrt(nu - mu**2 + 1e-8))
  # The update itself is rounded to bfloat16's eight bits, 4e-3.
  np.testing.assert_allclose(updates[:, 0].astype(float), truth, rtol=5e-3)


def test_complex_gradients_are_divided_by_their_modulus():
  tx = scale_by_rms(0.0, eps=0.0)
  updates, state = _updates(tx, [jnp.array([3 - 4j], jnp.complex64)])
  # One division in float32.
  np.testing.assert_allclose(updates[0], [0.6 - 0.8j], rtol=2e-7)
  assert state.nu.dtype == jnp.float32
  assert state.nu.tolist() == [25.0]


def test_the_complex_variance_is_about_the_complex_mean():
  # decay 1/2, g = 4i: mu = 2i, nu = 8, and the variance 8 - |2i|**2 = 4.
  tx = scale_by_rms(0.5, eps=0.0, centered=True)
  updates, state = _updates(tx, [jnp.array([4j], jnp.complex64)])
  assert updates.tolist() == [[2j]]
  assert state.mu.tolist() == [2j]


@pytest.mark.parametrize(
    'argument, value', [('decay', 1.0), ('eps', -1.0), ('initial_scale', -1.0)]
)
def test_refuses_arguments_out_of_range(argument, value):
  with pytest.raises(ValueError, match=f'scale_by_rms: `{argument}` must be'):
    scale_by_rms(**{argument: value})
