"""Adam against closed forms, Optax and PyTorch."""

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


VARIANTS = {
    'defaults': {},
    'all': {'b1': 0.5, 'b2': 0.95, 'eps': 1e-3, 'eps_root': 1e-4},
    'no_averages': {'b1': 0.0, 'b2': 0.0},
    'nesterov': {'nesterov': True},
}


@pytest.mark.parametrize('variant', VARIANTS)
def test_equals_optax(variant):
  arguments = VARIANTS[variant]
  ours = run(lambda rate: lrax.adam(rate, **arguments), 0.02, 0.005)
  theirs = run(lambda rate: optax.adam(rate, **arguments), 0.02, 0.005)
  np.testing.assert_allclose(ours, theirs, rtol=RTOL)


def test_equals_torch():
  frozen = FROZEN['runs']['adam']
  ours = run(lrax.adam, *frozen['rates'])[:, np.array(FROZEN['steps']) - 1]
  expected = [frozen['constant'], frozen['changing']]
  np.testing.assert_allclose(ours, expected, rtol=RTOL)


def test_equals_the_paper():
  """Algorithm 1, line by line."""
  alpha, b1, b2, eps = 0.02, 0.9, 0.999, 1e-8
  theta, m, v, path = START, np.zeros(6), np.zeros(6), []
  for t in range(1, 201):
    g = gradient(theta)
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    theta = theta - alpha * m_hat / (np.sqrt(v_hat) + eps)
    path.append(theta)
  ours = run(lambda rate: lrax.adam(rate, b1, b2, eps), alpha, alpha)
  np.testing.assert_allclose(ours[0], path, rtol=RTOL)


def _updates(tx, gradients):
  """The update of each gradient in float64, from a fresh state."""
  with jax.enable_x64(True):
    state = tx.init(jnp.zeros(()))
    updates = []
    for g in gradients:
      update, state = tx.update(jnp.asarray(g), state)
      updates.append(float(update))
  return np.array(updates)


@pytest.mark.parametrize('g', [-3.0, 1e-6])
def test_a_constant_gradient_moves_by_the_rate(g):
  # Both corrected averages are those of the constant, at every step and scale.
  updates = _updates(lrax.adam(0.5, eps=0.0), [g] * 30)
  # A few roundings a step; the corrections of 1e-3 at t = 1 lose none of it.
  np.testing.assert_allclose(updates, -0.5 * np.sign(g), rtol=1e-14)


def test_one_gradient_and_then_none():
  # mu and nu decay geometrically from (1 - b1) * g and (1 - b2) * g**2.
  b1, b2, t = 0.9, 0.999, np.arange(1, 31)
  updates = _updates(lrax.adam(0.5, b1, b2, eps=0.0), [3.0] + [0.0] * 29)
  mu = (1 - b1) * b1 ** (t - 1) / (1 - b1**t)
  nu = (1 - b2) * b2 ** (t - 1) / (1 - b2**t)
  # 1 - b2**t cancels three digits here, on the expected side.
  np.testing.assert_allclose(updates, -0.5 * mu / np.sqrt(nu), rtol=1e-12)


def test_eps_is_outside_the_root_and_eps_root_inside():
  # One step from g = 3: sqrt(9 + 7) + 2 = 6, so the update is half the rate.
  tx = lrax.adam(0.5, eps=2.0, eps_root=7.0)
  # A few roundings.
  np.testing.assert_allclose(_updates(tx, [3.0]), -0.25, rtol=1e-15)


@pytest.mark.parametrize(
    'arguments',
    [{'b1': 1.0}, {'b2': 1.0}, {'b1': -0.1}, {'eps': -1e-8}, {'eps_root': -1.0}],
)
def test_refuses_arguments_out_of_range(arguments):
  (name,) = arguments
  with pytest.raises(ValueError, match=f'`{name}` must be'):
    lrax.adam(0.1, **arguments)
