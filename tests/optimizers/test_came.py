"""CAME against the authors' code and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectories

import lrax


def test_follows_the_reference():
  trajectories.assert_follows('came', lrax.came)


def test_follows_the_reference_with_decay():
  build = lambda rate: lrax.came(
      rate, b2=0.99, b3=0.99, clipping_threshold=0.5, weight_decay=0.1
  )
  trajectories.assert_follows('came_decay', build)


def test_a_matrix_of_ones_by_hand():
  """v = (1 - b2), u clipped to 1, mu = 1/4, s = (1 - b3) * (3/4) ** 2."""
  tx = lrax.came(0.5, b1=0.75, b2=0.75, b3=0.9375, eps=0.0, residual_eps=0.0)
  g = jnp.full((2, 3), -7.0)
  updates, _ = tx.update(g, tx.init(g), g)
  # Means and roots: a few roundings of float32.
  np.testing.assert_allclose(updates, 0.5 * 0.25 / (0.25 * 0.75), rtol=1e-6)


def test_what_is_kept():
  params = {'w': jnp.ones((5, 2, 3), jnp.bfloat16), 'b': jnp.ones(4)}
  state = jax.eval_shape(lrax.came(0.1).init, params)[0]
  shapes = lambda tree: {name: leaf.shape for name, leaf in tree.items()}
  assert shapes(state.rows) == shapes(state.residual_rows) == {'w': (5, 2), 'b': (1,)}
  assert shapes(state.columns) == {'w': (5, 3), 'b': (1,)}
  assert shapes(state.residual_columns) == {'w': (5, 3), 'b': (1,)}
  assert shapes(state.nu) == {'w': (1,), 'b': (4,)}
  assert state.mu['w'].dtype == jnp.bfloat16
  assert {x.dtype for x in jax.tree.leaves(state[1:])} == {jnp.dtype('float32')}


@pytest.mark.parametrize('eps', [0.0, 1e-30])
@pytest.mark.parametrize('residual_eps', [0.0, 1e-16])
def test_zeros_are_never_nan(eps, residual_eps):
  tx = lrax.came(0.1, eps=eps, residual_eps=residual_eps)
  zeros = jnp.zeros((4, 3))
  state, update = tx.init(zeros), jax.jit(tx.update)
  for g in (zeros, zeros, zeros.at[0].set(1.0), zeros):
    updates, state = update(g, state, zeros)
    assert jnp.isfinite(updates).all()
    assert not updates[1:].any()


@pytest.mark.parametrize(
    'argument, value',
    [('b3', 1.0), ('residual_eps', -1.0), ('clipping_threshold', 0.0)],
)
def test_refuses_arguments_out_of_range(argument, value):
  with pytest.raises(ValueError, match=f'scale_by_came: `{argument}` must be'):
    lrax.came(0.1, **{argument: value})
