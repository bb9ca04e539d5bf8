"""Adafactor against the paper and the packages that follow it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


@pytest.mark.parametrize(
    'run, arguments',
    [
        (
            'adafactor',
            {'multiply_by_parameter_scale': False, 'weight_decay_rate': 0.05},
        ),
        (
            'adafactor_big_vision',
            {
                'multiply_by_parameter_scale': False,
                'weight_decay_rate': 0.01,
                'momentum': 0.9,
                'dtype_momentum': None,
            },
        ),
    ],
)
def test_follows_the_reference(run, arguments):
  build = lambda rate: lrax.adafactor(rate, 1, **arguments)
  trajectories.assert_follows(run, build)


def test_follows_the_relative_step_of_the_paper():
  trajectories.assert_follows('adafactor_relative', lambda: lrax.adafactor(None, 1))


def test_averages_the_steps_before_the_rate(monkeypatch):
  """As Hugging Face, which averages behind it, at a constant rate only."""
  run = dict(trajectories.REFERENCE['runs']['adafactor_scaled'])
  changed = run.pop('changing')
  monkeypatch.setitem(trajectories.REFERENCE['runs'], 'constant_rate', run)
  build = lambda rate: lrax.adafactor(rate, 1, momentum=0.9, dtype_momentum=None)
  trajectories.assert_follows('constant_rate', build)
  run |= {'constant': changed, 'changing': changed}
  with pytest.raises(AssertionError):
    trajectories.assert_follows('constant_rate', build)


def test_the_relative_step_is_a_rate_to_read():
  t = np.array([1, 2, 100, 10_000, 10_001, 40_000, 10**6])
  for warm in (None, 1e-6):
    state = lrax.adafactor(warmup_init=warm).init(jnp.ones(2))
    for step in t - 1:
      tx = lrax.adafactor(warmup_init=warm)
      at = lrax.restart_schedule(state, at=int(step))
      _, after = tx.update(jnp.ones(2), at, jnp.ones(2))
      start = warm * (step + 1) if warm else 1e-2
      # A few roundings of float32.
      np.testing.assert_allclose(
          lrax.get_learning_rate(after), min(start, (step + 1) ** -0.5), rtol=4e-7
      )


def test_no_rate_is_no_rate_of_one():
  """Optax moves these to 0 in one step; the relative step is 1e-2 of them."""
  params = jnp.full(4, 2.0)
  updates, _ = optax.adafactor().update(params, optax.adafactor().init(params), params)
  np.testing.assert_allclose(params + updates, 0, atol=1e-6)
  tx = lrax.adafactor()
  updates, _ = tx.update(params, tx.init(params), params)
  # u is 1, RMS(x) is 2, rho is 1e-2: rounded a few times in float32.
  np.testing.assert_allclose(updates, -0.02, rtol=1e-6)


def test_a_leaf_of_zeros_can_move():
  tx = lrax.adafactor()
  zeros = jnp.zeros(3)
  updates, _ = tx.update(jnp.array([1.0, -1.0, 1.0]), tx.init(zeros), zeros)
  np.testing.assert_allclose(updates, [-1e-5, 1e-5, -1e-5], rtol=1e-6)


def test_an_outer_product_is_factored_without_loss():
  """The square of a rank-1 gradient is rank 1: the direction is its sign."""
  g = jnp.outer(jnp.array([1e-3, -2.0, 30.0]), jnp.array([5.0, -1e-4]))
  tx = lrax.adafactor(
      0.5, 1, multiply_by_parameter_scale=False, clipping_threshold=None
  )
  updates, _ = tx.update(g, tx.init(g), g)
  # Means and roots: several roundings of float32.
  np.testing.assert_allclose(updates, -0.5 * np.sign(g), rtol=1e-6)


def test_the_update_is_clipped_by_its_root_mean_square():
  tx = lrax.adafactor(1.0, multiply_by_parameter_scale=False, clipping_threshold=0.5)
  g = jnp.array([1.0, -4.0])
  updates, _ = tx.update(g, tx.init(g), g)
  np.testing.assert_allclose(updates, [-0.5, 0.5], rtol=1e-6)


def test_what_is_kept():
  params = {
      'matrix': jnp.ones((128, 256), jnp.bfloat16),
      'stack': jnp.ones((3, 256, 128)),
      'small': jnp.ones((127, 500)),
      'vector': jnp.ones(1000),
      'number': jnp.ones(()),
  }
  state = jax.eval_shape(lrax.adafactor().init, params)[0]
  shapes = lambda tree: {name: leaf.shape for name, leaf in tree.items()}
  none = {name: (1,) for name in params}
  assert shapes(state.v_row) == none | {'matrix': (128,), 'stack': (3, 128)}
  assert shapes(state.v_col) == none | {'matrix': (256,), 'stack': (3, 256)}
  full = {name: params[name].shape for name in ('small', 'vector', 'number')}
  assert shapes(state.v) == none | full
  assert {leaf.dtype for leaf in jax.tree.leaves(state[1:])} == {jnp.dtype('float32')}
  state = jax.eval_shape(lrax.adafactor(factored=False).init, params)[0]
  assert shapes(state.v) == {name: leaf.shape for name, leaf in params.items()}


@pytest.mark.parametrize('eps', [0.0, 1e-30])
@pytest.mark.parametrize('shape', [(4, 3), (3,), (), (0, 3)])
def test_zeros_are_never_nan(eps, shape):
  tx = lrax.adafactor(min_dim_size_to_factor=1, eps=eps)
  zeros = jnp.zeros(shape)
  state, update = tx.init(zeros), jax.jit(tx.update)
  for _ in range(5):
    updates, state = update(zeros, state, zeros)
    assert not updates.any() and not jnp.isnan(updates).any()
  one_row = zeros.at[..., :1].set(1.0) if shape else jnp.ones(())
  updates, _ = update(one_row, state, zeros)
  assert jnp.isfinite(updates).all()
  assert not updates[..., 1:].any() if shape else True


def test_tiny_gradients_keep_their_direction():
  """Means of 1e-28 multiply to 1e-56, which float32 does not hold."""
  g = jnp.array([[1.0, -1.0], [-1.0, 1.0]]) * 1e-14
  tx = lrax.adafactor(0.5, 1, multiply_by_parameter_scale=False, eps=0.0)
  updates, _ = tx.update(g, tx.init(g), g)
  np.testing.assert_allclose(updates, -0.5 * jnp.sign(g), rtol=1e-5)


def test_the_decay_is_scaled_by_the_rate_and_masked():
  params = {'a': jnp.full(2, 4.0), 'b': jnp.full(2, 4.0)}
  tx = lrax.adafactor(
      0.5, weight_decay_rate=0.25, weight_decay_mask={'a': True, 'b': False}
  )
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(zeros, tx.init(params), params)
  assert updates['a'].tolist() == [-0.5, -0.5]
  assert updates['b'].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    'argument, value',
    [
        ('min_dim_size_to_factor', 0),
        ('decay_rate', 0.0),
        ('decay_offset', -1),
        ('clipping_threshold', 0.0),
        ('momentum', 1.0),
        ('weight_decay_rate', -0.1),
        ('eps', -1e-30),
    ],
)
def test_refuses_arguments_out_of_range(argument, value):
  with pytest.raises(ValueError, match=f'`{argument}` must be'):
    lrax.adafactor(**{argument: value})


def test_refuses_a_warmup_of_a_rate_that_is_given():
  with pytest.raises(ValueError, match='adafactor: `warmup_init` must be None'):
    lrax.adafactor(0.1, warmup_init=1e-6)


def test_a_warm_up_longer_than_the_clock_is_refused():
  with pytest.raises(ValueError, match='adafactor: `warmup_init` must be .* 1e-13'):
    lrax.adafactor(warmup_init=1e-20)
  with pytest.raises(TypeError, match='adafactor: `warmup_init` must be a known'):
    jax.jit(lambda w: lrax.adafactor(warmup_init=w).init(jnp.ones(2)))(1e-6)
