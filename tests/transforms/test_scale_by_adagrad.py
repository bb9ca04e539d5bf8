"""AdaGrad's direction: exact cases and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax

scale_by_adagrad = lrax.transforms.scale_by_adagrad


def _updates(tx, gradients):
  """The update of each gradient in turn, and the last state."""
  gradients = jnp.asarray(gradients)
  step = lambda state, g: tx.update(g, state)[::-1]
  state, updates = jax.lax.scan(step, tx.init(gradients[0]), gradients)
  return updates, state


def test_the_sum_of_squares_divides():
  # 3**2 = 9, + 4**2 = 25, + 12**2 = 169, all perfect squares.
  gradients = [jnp.array([g]) for g in (3.0, -4.0, 12.0)]
  updates, state = _updates(scale_by_adagrad(eps=0.0), gradients)
  assert state.sum_of_squares.tolist() == [169.0]
  # One division in float32.
  np.testing.assert_allclose(updates[:, 0], [1, -4 / 5, 12 / 13], rtol=1e-7)


@pytest.mark.parametrize(
    'eps_in_sqrt, expected', [(True, 3.0 / 4.0), (False, 3.0 / 10.0)]
)
def test_where_eps_is(eps_in_sqrt, expected):
  # 3 / sqrt(9 + 7), and 3 / (3 + 7).
  tx = scale_by_adagrad(eps=7.0, eps_in_sqrt=eps_in_sqrt)
  # One division in float32.
  np.testing.assert_allclose(
      _updates(tx, [jnp.array([3.0])])[0], expected, rtol=1e-7
  )


def test_the_sum_starts_at_the_initial_value():
  # 7 + 9 = 16.
  tx = scale_by_adagrad(initial_accumulator_value=7.0, eps=0.0)
  assert _updates(tx, [jnp.array([3.0])])[0].tolist() == [[0.75]]


def test_a_constant_gradient_moves_by_one_over_root_t():
  updates, _ = _updates(scale_by_adagrad(eps=0.0), jnp.full((64, 1), 2.0))
  # 4 t is exact; one root and one division in float32.
  expected = 1 / np.sqrt(np.arange(1, 65))
  np.testing.assert_allclose(updates[:, 0], expected, rtol=2e-7)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float32])
def test_the_sum_is_float32_and_goes_on_growing(dtype):
  # In bfloat16 the sum would stop at 256, whose next number is 258.
  _, state = _updates(scale_by_adagrad(), jnp.ones((400, 2), dtype))
  assert state.sum_of_squares.dtype == jnp.float32
  assert state.sum_of_squares.tolist() == [400.0, 400.0]


def test_squares_outside_the_range_of_float16_count():
  # 1000**2 is infinite in float16 and 1e-4**2 is 0; the update is a sign.
  g = jnp.array([1000.0, 1e-4], jnp.float16)
  updates, _ = _updates(scale_by_adagrad(eps=0.0), [g])
  assert updates.dtype == jnp.float16
  # x / sqrt(x * x) in float32 is 1 to a rounding, which float16 drops.
  assert updates.tolist() == [[1.0, 1.0]]


def test_complex_gradients_are_divided_by_their_modulus():
  updates, state = _updates(
      scale_by_adagrad(eps=0.0), [jnp.array([3 - 4j], jnp.complex64)]
  )
  # One division in float32.
  np.testing.assert_allclose(updates[0], [0.6 - 0.8j], rtol=2e-7)
  assert state.sum_of_squares.dtype == jnp.float32
  assert state.sum_of_squares.tolist() == [25.0]


@pytest.mark.parametrize('argument', ['initial_accumulator_value', 'eps'])
def test_refuses_negative_arguments(argument):
  with pytest.raises(ValueError, match=f'scale_by_adagrad: `{argument}` must be'):
    scale_by_adagrad(**{argument: -1.0})
