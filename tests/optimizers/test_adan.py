"""Adan against the paper and the authors' code."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def test_follows_the_authors():
  build = lambda rate: lrax.adan(rate, weight_decay=0.02)
  trajectories.assert_follows('adan', build)


def test_follows_the_authors_without_the_proximal_step():
  build = lambda rate: lrax.adan(rate, weight_decay=0.02, proximal=False)
  trajectories.assert_follows('adan_no_prox', build)


def test_the_second_step_weighs_the_difference_by_b2():
  # b1 = b3 = 0: mu = g and nu = (g + b2 * d)**2; of differences 0 and 2 the
  # corrected average is 2 * (1 - b2) / (1 - b2**2) = 2 / (1 + b2). With b2 = 1/4,
  # g = 1 then 3: (3 + 1/4 * 8/5) / (3 + 1/4 * 2).
  tx = lrax.transforms.scale_by_adan(b1=0.0, b2=0.25, b3=0.0, eps=0.0)
  first, state = tx.update(jnp.array(1.0), tx.init(jnp.zeros(())))
  second, _ = tx.update(jnp.array(3.0), state)
  assert float(first) == 1.0
  # A few float32 roundings of 6e-8.
  np.testing.assert_allclose(second, 3.4 / 3.5, rtol=5e-7)


def test_optax_weighs_it_by_1_less_b2():
  gradients = [jnp.array(1.0), jnp.array(3.0)]
  steps = []
  for make in (lrax.transforms.scale_by_adan, optax.scale_by_adan):
    tx = make(b1=0.0, b2=0.25, b3=0.0, eps=0.0)
    state = tx.init(jnp.zeros(()))
    for g in gradients:
      update, state = tx.update(g, state)
    steps.append(float(update))
  # (3 + 3/4 * 8/5) / (3 + 3/4 * 2) there; see above for ours.
  np.testing.assert_allclose(steps, [3.4 / 3.5, 4.2 / 4.5], rtol=5e-7)


def test_the_decay_of_a_zero_gradient_divides():
  # x / (1 + 1/2 * 2) at each step, exact in binary.
  tx = lrax.adan(0.5, weight_decay=2.0)
  x = jnp.ones(())
  state = tx.init(x)
  for t in range(1, 6):
    updates, state = tx.update(jnp.zeros(()), state, x)
    x = optax.apply_updates(x, updates)
    assert float(x) == 0.5**t


def test_the_decay_follows_the_rate_that_is_applied():
  tx = lrax.adan(lrax.linear(0.5, 0.25, steps=1), weight_decay=2.0)
  x = jnp.ones(())
  state = tx.init(x)
  _, state = tx.update(jnp.zeros(()), state, x)
  updates, _ = tx.update(jnp.zeros(()), state, x)
  # 1 / (1 + 1/4 * 2) - 1, in float32.
  np.testing.assert_allclose(updates, -1 / 3, rtol=2e-7)
  updates, _ = tx.update(
      jnp.zeros(()), lrax.set_learning_rate(state, 1.0), x
  )
  np.testing.assert_allclose(updates, -2 / 3, rtol=2e-7)


@pytest.mark.parametrize(
    'mask',
    [{'a': True, 'b': False}, lambda params: {name: name == 'a' for name in params}],
    ids=['tree', 'function'],
)
@pytest.mark.parametrize('proximal', [True, False])
def test_a_mask_says_where_to_decay(mask, proximal):
  params = {'a': jnp.full((2,), 4.0), 'b': jnp.full((2,), 2.0)}
  tx = lrax.adan(0.5, weight_decay=2.0, mask=mask, proximal=proximal)
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(zeros, tx.init(params), params)
  # 4 / 2 - 4, or -4 * 1/2 * 2.
  assert updates['a'].tolist() == ([-2.0] * 2 if proximal else [-4.0] * 2)
  assert updates['b'].tolist() == [0.0, 0.0]


def test_weight_decay_may_be_a_schedule():
  tx = lrax.adan(0.5, weight_decay=optax.linear_schedule(2.0, 0.0, 1))
  x = jnp.ones(())
  state = tx.init(x)
  moves = []
  for _ in range(2):
    updates, state = tx.update(jnp.zeros(()), state, x)
    moves.append(float(updates))
  assert moves == [-0.5, 0.0]


def test_bfloat16_keeps_its_averages_in_float32():
  x = jnp.ones(2, jnp.bfloat16)
  tx = lrax.adan(0.5, weight_decay=2.0)
  state = tx.init(x)
  updates, state = tx.update(x, state, x)
  assert updates.dtype == jnp.bfloat16
  assert [leaf.dtype for leaf in (state[0].mu, state[0].delta, state[0].nu)] == [
      jnp.float32
  ] * 3
  assert state[0].previous.dtype == jnp.bfloat16


@pytest.mark.parametrize('name', ['b1', 'b2', 'b3'])
def test_refuses_a_decay_of_one(name):
  with pytest.raises(ValueError, match=f'scale_by_adan: `{name}` must be'):
    lrax.adan(0.1, **{name: 1.0})


def test_refuses_a_proximal_that_is_no_bool():
  with pytest.raises(TypeError, match='adan: `proximal` must be'):
    lrax.adan(0.1, proximal=1)  # type: ignore[arg-type]
