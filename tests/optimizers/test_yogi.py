"""Yogi against the paper."""

import jax.numpy as jnp
import optax
import pytest
import trajectories

import lrax


def test_follows_the_paper():
  trajectories.assert_follows('yogi_paper', lrax.yogi)


def test_nu_moves_by_a_share_of_the_square_whatever_its_size():
  # 1 - b2 = 1/4: nu goes 4 -> 4 - 1/4 -> 15/4 - 1/4, then up by 16/4, and stays
  # for a gradient of 0.
  tx = lrax.transforms.scale_by_yogi(b2=0.75, initial_accumulator_value=4.0)
  state, seen = tx.init(jnp.zeros(())), []
  for g in (1.0, 1.0, 4.0, 0.0):
    _, state = tx.update(jnp.float32(g), state)
    seen.append(float(state.nu))
  assert seen == [3.75, 3.5, 7.5, 7.5]


def test_the_first_step_has_no_bias_correction():
  # mu = g / 2, nu = g**2 / 4.
  tx = lrax.yogi(0.5, b1=0.5, b2=0.75, eps=0.0, initial_accumulator_value=0.0)
  g = jnp.array(-3.0)
  updates, _ = tx.update(g, tx.init(g))
  assert float(updates) == 0.5


def test_a_zero_gradient_moves_nothing():
  """Optax starts mu at 1e-6 and then corrects a bias: its parameters move."""
  zero = jnp.zeros(3)
  moved = []
  for make in (lrax.yogi, optax.yogi):
    tx = make(0.01)
    updates, _ = tx.update(zero, tx.init(zero))
    moved.append(bool((updates != 0).any()))
  assert moved == [False, True]


@pytest.mark.parametrize(
    'name, value', [('b1', 1.0), ('b2', 1.0), ('initial_accumulator_value', -1.0)]
)
def test_refuses_arguments_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'scale_by_yogi: `{name}` must be'):
    lrax.yogi(0.1, **{name: value})
