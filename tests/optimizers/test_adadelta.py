"""AdaDelta against the paper and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def test_follows_torch():
  trajectories.assert_follows('adadelta', lambda rate: lrax.adadelta(rate, rho=0.9))


def test_follows_torch_with_decay():
  build = lambda rate: lrax.adadelta(rate, rho=0.95, eps=1e-5, weight_decay=0.05)
  trajectories.assert_follows('adadelta_decay', build)


def test_the_first_step_is_that_of_the_paper():
  # sqrt(eps) / sqrt((1 - rho) * g**2 + eps) * g, at a rate of 1: with rho = 1/4,
  # eps = 1/4 and g = 1 that is 1/2 over 1.
  tx = lrax.adadelta(rho=0.25, eps=0.25)
  x = jnp.ones(())
  updates, state = tx.update(x, tx.init(x), x)
  assert float(updates) == -0.5
  # Then e_x = 3/4 * 1/4, and e_g = 3/4 + 3/16.
  updates, _ = tx.update(x, state, x)
  # A few float32 roundings of 6e-8.
  np.testing.assert_allclose(
      updates, -np.sqrt(3 / 16 + 1 / 4) / np.sqrt(15 / 16 + 1 / 4), rtol=5e-7
  )


def test_a_change_of_the_rate_leaves_the_averages_alone():
  """The average of updates is of those before the rate, as in PyTorch."""
  x = jnp.ones(3)
  states = []
  for rate in (0.0, 1.0):
    tx = lrax.adadelta(rate)
    _, state = tx.update(x, tx.init(x), x)
    states.append(state[1])
  jax.tree.map(np.testing.assert_array_equal, *states)
  assert (states[0].e_x > 0).all()


def test_a_mask_says_where_to_decay():
  params = {'a': jnp.ones(()), 'b': jnp.ones(())}
  tx = lrax.adadelta(
      weight_decay=1.0, weight_decay_mask=lambda p: {'a': True, 'b': False}
  )
  updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
  assert updates['a'] < 0
  assert updates['b'] == 0


def test_the_averages_of_bfloat16_gradients_are_float32():
  g = jnp.ones(2, jnp.bfloat16)
  tx = lrax.transforms.scale_by_adadelta(rho=0.999)
  state = tx.init(g)
  for _ in range(2):
    _, state = tx.update(g, state)
  # bfloat16 would keep three digits of 1 - 0.999**2; float32 keeps 1e-4 of it at
  # least, for 0.999 is off by 3e-8.
  np.testing.assert_allclose(state.e_g, 1 - 0.999**2, rtol=1e-4)
  assert state.e_x.dtype == jnp.float32


def test_numbers_may_be_schedules():
  x = jnp.ones(())
  tx = lrax.adadelta(eps=optax.linear_schedule(1.0, 0.5, 1), rho=0.0)
  updates, _ = tx.update(x, tx.init(x), x)
  # sqrt(1) / sqrt(1 + 1), within a few float32 roundings.
  np.testing.assert_allclose(updates, -np.sqrt(0.5), rtol=5e-7)


@pytest.mark.parametrize(
    'name, value', [('rho', 1.0), ('rho', -0.1), ('eps', 0.0), ('eps', -1.0)]
)
def test_refuses_arguments_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'scale_by_adadelta: `{name}` must be'):
    lrax.adadelta(**{name: value})
