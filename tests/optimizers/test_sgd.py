"""Gradient descent against closed forms, Optax and PyTorch."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

FROZEN = json.loads(
    (Path(__file__).parents[1] / 'reference/torch_trajectories.json').read_text()
)
START = np.array(FROZEN['start'])

# Both sides evaluate the same formula in float64, where 200 steps gather about
# 1e-14 of rounding; another convention shows at 1e-9 or more.
RTOL = 1e-12


def gradient(x):
  """The gradient of the frozen problem, for NumPy and JAX."""
  gap = x - np.array(FROZEN['optimum'])
  return np.array(FROZEN['curvature']) * gap + (gap**2).sum() * gap


def run(make, before, after):
  """Parameters after each of 200 steps in float64, of shape (2, 200, 6).

  First at the constant rate `before`, then with a change to `after` at step 100.
  """

  def optimizer(final):
    return make(lambda step: jnp.where(step < 100, before, final))

  @jax.jit
  def step(x, state, final):
    updates, state = optimizer(final).update(gradient(x), state, x)
    return optax.apply_updates(x, updates), state

  def path(final):
    x = jnp.asarray(START)
    state = optimizer(final).init(x)
    for _ in range(200):
      x, state = step(x, state, final)
      yield x

  with jax.enable_x64(True):
    return np.array([list(path(final)) for final in (before, after)])


@pytest.mark.parametrize(
    'arguments',
    [{}, {'momentum': 0.9}, {'momentum': 0.9, 'nesterov': True}],
    ids=['plain', 'momentum', 'nesterov'],
)
def test_equals_optax(arguments):
  ours = run(lambda rate: lrax.sgd(rate, **arguments), 0.01, 0.002)
  theirs = run(lambda rate: optax.sgd(rate, **arguments), 0.01, 0.002)
  np.testing.assert_allclose(ours, theirs, rtol=RTOL)


@pytest.mark.parametrize(
    'name, arguments',
    [
        ('sgd', {}),
        ('sgd_momentum', {'momentum': 0.9}),
        ('sgd_nesterov', {'momentum': 0.9, 'nesterov': True}),
    ],
)
def test_equals_torch(name, arguments):
  frozen = FROZEN['runs'][name]
  ours = run(lambda rate: lrax.sgd(rate, **arguments), *frozen['rates'])
  ours = ours[:, np.array(FROZEN['steps']) - 1]
  expected = [frozen['constant'], frozen['changing']]
  np.testing.assert_allclose(ours, expected, rtol=RTOL)


def _updates(tx, gradients):
  """The update of each gradient, from a fresh state."""
  state = tx.init(jnp.zeros(()))
  updates = []
  for g in gradients:
    update, state = tx.update(jnp.float32(g), state)
    updates.append(float(update))
  return updates


def test_plain_is_minus_rate_times_gradient():
  # Powers of 2 are exact in float32, so nothing is left to a tolerance.
  assert _updates(lrax.sgd(0.25), [1, -3, 0]) == [-0.25, 0.75, 0.0]


def test_heavy_ball_of_a_constant_gradient():
  # The velocity is 1, 3/2, 7/4: the partial sums of 1 / 2**t, exact in binary.
  updates = _updates(lrax.sgd(0.25, momentum=0.5), [1, 1, 1])
  assert updates == [-0.25, -0.375, -0.4375]


def test_nesterov_of_a_constant_gradient():
  # velocity / 2 + 1 with that velocity: 3/2, 7/4, 15/8, exact in binary.
  updates = _updates(lrax.sgd(0.25, momentum=0.5, nesterov=True), [1, 1, 1])
  assert updates == [-0.375, -0.4375, -0.46875]


def test_plain_descent_of_a_quadratic_is_a_geometric_sequence():
  # With curvature 1/2 and rate 1/2 each step multiplies x by exactly 3/4, and
  # 3**10 < 2**24 keeps all ten powers exact in float32.
  tx = lrax.sgd(0.5)
  x = jnp.ones(())
  state = tx.init(x)
  for t in range(1, 11):
    updates, state = tx.update(0.5 * x, state, x)
    x = optax.apply_updates(x, updates)
    assert float(x) == 0.75**t


def test_a_change_of_the_rate_scales_the_whole_velocity_at_once():
  tx = lrax.sgd(lambda step: jnp.where(step < 1, 0.25, 0.0), momentum=0.5)
  # The second velocity is 3/2, and a rate of 0 stops it dead.
  assert _updates(tx, [1, 1]) == [-0.25, 0.0]


def test_accumulator_dtype_is_the_dtype_of_the_velocity():
  tx = lrax.sgd(0.25, momentum=0.5, accumulator_dtype=jnp.bfloat16)
  x = jnp.zeros(3)
  state = tx.init(x)
  velocity = lambda state: {
      leaf.dtype for leaf in jax.tree.leaves(state) if leaf.shape == (3,)
  }
  assert velocity(state) == {jnp.dtype(jnp.bfloat16)}
  updates, state = tx.update(jnp.ones(3), state)
  assert velocity(state) == {jnp.dtype(jnp.bfloat16)}
  assert updates.dtype == jnp.float32


def test_a_wide_velocity_leaves_bfloat16_updates_bfloat16():
  """"Updates keep their dtype" holds with `accumulator_dtype` too."""
  x = jnp.zeros(3, jnp.bfloat16)
  tx = lrax.sgd(0.25, momentum=0.5, accumulator_dtype=jnp.float32)
  updates, _ = tx.update(jnp.ones_like(x), tx.init(x))
  assert updates.dtype == jnp.bfloat16


def test_without_momentum_no_velocity_is_kept():
  state = lrax.sgd(0.1).init(jnp.zeros(3))
  assert all(leaf.shape == () for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize('momentum', [-0.1, 1.0, float('nan')])
def test_refuses_a_momentum_out_of_range(momentum):
  with pytest.raises(ValueError, match='sgd: `momentum` must be'):
    lrax.sgd(0.1, momentum=momentum)
