"""AdaMax against the paper and PyTorch."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def test_follows_the_paper():
  build = lambda rate: lrax.adamax(rate, b2=0.99)
  trajectories.assert_follows('adamax_paper', build)


def test_follows_torch():
  trajectories.assert_follows('adamax', lambda rate: lrax.adamax(rate, eps=1e-8))


def test_follows_torch_with_coupled_decay():
  build = lambda rate: optax.chain(
      optax.add_decayed_weights(0.05), lrax.adamax(rate, eps=1e-8)
  )
  trajectories.assert_follows('adamax_decay', build)


def test_the_divisor_is_the_largest_gradient_for_as_long_as_it_is():
  # nu: 8, then max(4, 1), max(2, 1), max(1, 1); mu is the gradient.
  tx = lrax.transforms.scale_by_adamax(b1=0.0, b2=0.5)
  state, updates = tx.init(jnp.zeros(())), []
  for g in (8.0, 1.0, 1.0, -1.0):
    update, state = tx.update(jnp.asarray(g), state)
    updates.append(float(update))
  assert updates == [1.0, 0.25, 0.5, -1.0]


def test_a_constant_gradient_gives_its_sign():
  # mu / (1 - b1**t) is the gradient at every t, and so is nu but for the sign.
  tx = lrax.transforms.scale_by_adamax()
  g = jnp.array([3.0, -1e-20, 0.0])
  state = tx.init(g)
  for _ in range(30):
    updates, state = tx.update(g, state)
    # Thirty float32 roundings of 6e-8, most of which the decay forgets.
    np.testing.assert_allclose(updates, [1.0, -1.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize('name', ['b1', 'b2'])
def test_refuses_a_decay_of_one(name):
  with pytest.raises(ValueError, match=f'scale_by_adamax: `{name}` must be'):
    lrax.adamax(0.1, **{name: 1.0})


def test_refuses_a_negative_eps():
  with pytest.raises(ValueError, match='scale_by_adamax: `eps` must be'):
    lrax.adamax(0.1, eps=-1e-8)
