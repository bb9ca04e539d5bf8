"""SOAP against its authors' code and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def test_follows_the_reference_with_a_new_basis_every_step():
  build = lambda rate: lrax.soap(rate, eps=1e-3, precondition_frequency=1)
  trajectories.assert_follows('soap_often', build)


def test_follows_the_reference_with_its_decay_after_the_step():
  """Its decay comes after the step, and not in the first: by hand here."""

  def build(rate):
    soap = lrax.soap(rate, eps=1e-3)

    def update(updates, state, params):
      steps, state = soap.update(updates, state, params)
      decay = 0.01 * lrax.get_learning_rate(state) * (state[0].count > 1)
      after = lambda x, step: (x + step) * (1 - decay) - x
      return jax.tree.map(after, params, steps), state

    return optax.GradientTransformation(soap.init, update)

  trajectories.assert_follows('soap', build)


def test_the_first_update_is_zero_and_makes_the_axes():
  tx = lrax.soap(0.5)
  params = {'w': jnp.array([[0.0, 2.0], [-3.0, 0.0]]), 'b': jnp.ones(2)}
  updates, state = tx.update(params, tx.init(params), params)
  assert not any(u.any() for u in jax.tree.leaves(updates))
  # The largest singular value first: the second row, the first column.
  rows, columns = state[0].bases['w']
  np.testing.assert_array_equal(jnp.abs(rows), [[0, 1], [1, 0]])
  np.testing.assert_array_equal(jnp.abs(columns), [[1, 0], [0, 1]])
  assert state[0].bases['b'] == (None,)
  updates, _ = tx.update(params, state, params)
  # Adam's first step along each axis: the sign, by a few roundings.
  np.testing.assert_allclose(updates['w'], -0.5 * jnp.sign(params['w']), rtol=1e-5)
  np.testing.assert_allclose(updates['b'], -0.5, rtol=1e-5)


def test_turning_the_gradient_turns_the_update():
  """Shampoo's axes turn with it: U g V' gets U u V'."""
  with jax.enable_x64(True):
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in (3, 4))
    gradients = rng.normal(size=(13, 3, 4))
    tx = lrax.transforms.scale_by_soap(precondition_frequency=4)
    state, update = tx.init(jnp.zeros((3, 4))), jax.jit(tx.update)
    turned = state
    for g in gradients:
      updates, state = update(jnp.asarray(g), state)
      expected = left @ updates @ right.T
      found, turned = update(jnp.asarray(left @ g @ right.T), turned)
      # The first gradient has three directions for four axes: the eigenvectors
      # of the rest carry roundings of float64 times their gaps.
      np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize('max_precond_dim', [0, 3])
def test_an_axis_that_is_too_long_has_no_factor(max_precond_dim):
  tx = lrax.transforms.scale_by_soap(max_precond_dim=max_precond_dim)
  g = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
  state = tx.init(g)
  shapes = [None if f is None else f.shape for f in state.factors]
  assert shapes == ([(3, 3), None] if max_precond_dim else [None, None])
  _, state = tx.update(g, state)
  updates, _ = tx.update(g, state)
  if not max_precond_dim:
    # Adam: the sign of the first gradient that counts.
    np.testing.assert_allclose(updates, jnp.sign(g), rtol=1e-5)


def test_stacks_have_a_factor_for_each_axis():
  tx = lrax.soap(0.1)
  g = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
  state = tx.init(g)
  assert [f.shape for f in state[0].factors] == [(2, 2), (3, 3), (4, 4)]
  for _ in range(3):
    updates, state = jax.jit(tx.update)(g, state, g)
  assert jnp.isfinite(updates).all() and updates.any()


def test_rounding_is_no_signal():
  """A gradient of rank 1 moves a matrix along it, and nowhere else."""
  rng = np.random.default_rng(0)
  left, right = rng.normal(size=5), rng.normal(size=7)
  g = jnp.asarray(np.outer(left, right), jnp.float32)
  tx = lrax.transforms.scale_by_soap(eps=0.0)
  state = tx.init(g)
  for _ in range(5):
    updates, state = tx.update(g, state)
  unit = g / jnp.linalg.norm(g)
  # Adam's constant step of 1 along one axis; roundings of float32.
  np.testing.assert_allclose(updates, unit, atol=1e-5)


@pytest.mark.parametrize('eps', [0.0, 1e-8])
def test_zeros_are_never_nan(eps):
  tx = lrax.soap(0.1, eps=eps, precondition_frequency=1)
  zeros = jnp.zeros((4, 3))
  state, update = tx.init(zeros), jax.jit(tx.update)
  for g in (zeros, zeros, zeros.at[0].set(1.0), zeros, zeros):
    updates, state = update(g, state, zeros)
    assert jnp.isfinite(updates).all()
    assert not updates[1:].any()


@pytest.mark.parametrize(
    'argument, value',
    [
        ('b1', 1.0),
        ('eps', -1.0),
        ('precondition_frequency', 0),
        ('max_precond_dim', -1),
    ],
)
def test_refuses_arguments_out_of_range(argument, value):
  with pytest.raises(ValueError, match=f'scale_by_soap: `{argument}` must be'):
    lrax.soap(0.1, **{argument: value})
