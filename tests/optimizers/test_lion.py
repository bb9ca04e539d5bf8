"""Lion against the paper and lion-pytorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectories

import lrax


def test_follows_the_reference():
  build = lambda rate: lrax.lion(rate, weight_decay=0.0)
  trajectories.assert_follows('lion', build)


def test_follows_the_reference_with_decay():
  build = lambda rate: lrax.lion(rate, b1=0.95, b2=0.98, weight_decay=0.1)
  trajectories.assert_follows('lion_decay', build)


def test_the_update_looks_before_the_average_moves():
  # mu: 4 / 4 = 1, then 3/4 - 2/4 = 1/4. Updates: sign(1/2 * 0 + 4 / 2), then
  # sign(1/2 - 2 / 2); after the move it would be sign(1/8 - 1).
  tx = lrax.transforms.scale_by_lion(b1=0.5, b2=0.75)
  first, state = tx.update(jnp.array(4.0), tx.init(jnp.zeros(())))
  second, after = tx.update(jnp.array(-0.5), state)
  assert (float(first), float(second)) == (1.0, 1.0)
  assert (float(state.mu), float(after.mu)) == (1.0, 0.625)


def test_a_zero_gradient_moves_nothing_at_first():
  tx = lrax.transforms.scale_by_lion()
  g = jnp.array([0.0, 1e-30, -1e30])
  updates, _ = tx.update(g, tx.init(g))
  assert updates.tolist() == [0.0, 1.0, -1.0]


def test_the_sign_of_a_complex_number_has_its_direction():
  tx = lrax.transforms.scale_by_lion()
  g = jnp.array([3 + 4j, 0j], jnp.complex64)
  updates, _ = tx.update(g, tx.init(g))
  # One float32 rounding of 6e-8 each.
  np.testing.assert_allclose(updates, [0.6 + 0.8j, 0], rtol=2e-7)


@pytest.mark.parametrize(
    'coupling, expected',
    # Two steps at rates 1/2 and 1/4 from x = 1 with a gradient of 0: the decay is
    # 1/2 times rate, rate / (1/2), or 1.
    [('rate', 0.75 * 0.875), ('schedule', 0.5 * 0.75), ('none', 0.25)],
)
def test_what_scales_the_decay(coupling, expected):
  reference = {'reference_rate': 0.5} if coupling == 'schedule' else {}
  tx = lrax.lion(
      lrax.linear(0.5, 0.0, steps=2), weight_decay=0.5, decay_coupling=coupling,
      **reference,
  )
  x = jnp.ones(())
  state = tx.init(x)
  for _ in range(2):
    updates, state = tx.update(jnp.zeros(()), state, x)
    x = x + updates
  assert float(x) == expected


def test_the_average_may_be_bfloat16():
  g = {'w': jnp.ones(3)}
  tx = lrax.lion(0.1, mu_dtype=jnp.bfloat16)
  updates, state = tx.update(g, tx.init(g), g)
  assert updates['w'].dtype == jnp.float32
  assert jnp.bfloat16 in [x.dtype for x in jax.tree.leaves(state)]


@pytest.mark.parametrize('name, value', [('b1', 1.0), ('b2', -0.5)])
def test_refuses_arguments_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'scale_by_lion: `{name}` must be'):
    lrax.lion(0.1, **{name: value})
