"""Nadam against the paper, Optax and PyTorch."""

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


def _paper(momentum, rates, b1=0.9, b2=0.999, eps=1e-8, decay=0.0):
  """Dozat's algorithm 2 in NumPy; `momentum(t)` from t = 1, decoupled decay."""
  paths = []
  for final in rates:
    x, m, v, product, path = START, np.zeros(6), np.zeros(6), 1.0, []
    for t in range(1, 201):
      g = gradient(x)
      now, ahead = momentum(t), momentum(t + 1)
      product *= now
      m = b1 * m + (1 - b1) * g
      v = b2 * v + (1 - b2) * g**2
      m_bar = ahead * m / (1 - product * ahead) + (1 - now) * g / (1 - product)
      direction = m_bar / (np.sqrt(v / (1 - b2**t)) + eps)
      x = x - (rates[0] if t <= 100 else final) * (direction + decay * x)
      path.append(x)
    paths.append(path)
  return paths


@pytest.mark.parametrize(
    'arguments', [{}, {'b1': 0.5, 'b2': 0.95, 'eps': 1e-3, 'eps_root': 1e-4}]
)
def test_equals_optax(arguments):
  ours = run(lambda rate: lrax.nadam(rate, **arguments), 0.02, 0.005)
  theirs = run(lambda rate: optax.nadam(rate, **arguments), 0.02, 0.005)
  np.testing.assert_allclose(ours, theirs, rtol=RTOL)


def test_equals_torch():
  frozen = FROZEN['runs']['nadam']
  make = lambda rate: lrax.nadam(rate, momentum_decay=4e-3)
  ours = run(make, *frozen['rates'])[:, np.array(FROZEN['steps']) - 1]
  expected = [frozen['constant'], frozen['changing']]
  np.testing.assert_allclose(ours, expected, rtol=RTOL)


@pytest.mark.parametrize('growth', [4e-3, 0.05])
def test_equals_the_paper_with_a_momentum_that_grows(growth):
  rates = (0.02, 0.005)
  momentum = lambda t: 0.9 * (1 - 0.5 * 0.96 ** (t * growth))
  ours = run(lambda rate: lrax.nadam(rate, momentum_decay=growth), *rates)
  np.testing.assert_allclose(ours, _paper(momentum, rates), rtol=RTOL)


def test_equals_the_paper_with_a_constant_momentum():
  # The product of t equal momenta is b1**t.
  rates = (0.02, 0.005)
  ours = run(lrax.nadam, *rates)
  np.testing.assert_allclose(ours, _paper(lambda t: 0.9, rates), rtol=RTOL)


def test_a_momentum_that_does_not_grow_stays_at_half_of_b1():
  rates = (0.02, 0.005)
  ours = run(lambda rate: lrax.nadam(rate, momentum_decay=0.0), *rates)
  np.testing.assert_allclose(ours, _paper(lambda t: 0.45, rates), rtol=RTOL)


def test_a_momentum_that_grows_at_once_is_a_constant_one():
  # 0.96**1000 = 2e-18 is nothing beside 1 in float64.
  rates = (0.02, 0.005)
  ours = run(lambda rate: lrax.nadam(rate, momentum_decay=1000.0), *rates)
  np.testing.assert_allclose(ours, run(lrax.nadam, *rates), rtol=RTOL)


def test_a_constant_gradient():
  # mu = 1 - b1**t times g, and nu_hat = g**2.
  b1 = 0.9
  with jax.enable_x64(True):
    tx = lrax.nadam(0.5, b1, eps=0.0)
    state = tx.init(jnp.zeros(()))
    for t in range(1, 31):
      updates, state = tx.update(jnp.asarray(-3.0), state)
      ahead = b1 * (1 - b1**t) / (1 - b1 ** (t + 1))
      expected = 0.5 * (ahead + (1 - b1) / (1 - b1**t))
      # A few roundings a step; 1 - b1**t cancels one digit at most.
      np.testing.assert_allclose(updates, expected, rtol=1e-13)


def test_without_averaging_of_the_gradient_it_is_adam():
  arguments = {'b1': 0.0, 'b2': 0.9}
  nadam = run(lambda rate: lrax.nadam(rate, **arguments), 0.02, 0.005)
  adam = run(lambda rate: optax.adam(rate, **arguments), 0.02, 0.005)
  np.testing.assert_allclose(nadam, adam, rtol=RTOL)


def test_refuses_a_negative_momentum_decay():
  with pytest.raises(ValueError, match='`momentum_decay` must be'):
    lrax.nadam(0.1, momentum_decay=-1e-3)
