"""AdamW against the paper, Optax and PyTorch."""

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
    [
        {},
        {'weight_decay': 0.1, 'b1': 0.5, 'b2': 0.95},
        {'weight_decay': 0.1, 'nesterov': True},
        {'weight_decay': optax.linear_schedule(0.2, 0.0, 150)},
    ],
    ids=['defaults', 'moments', 'nesterov', 'scheduled_decay'],
)
def test_equals_optax(arguments):
  ours = run(lambda rate: lrax.adamw(rate, **arguments), 0.02, 0.005)
  theirs = run(lambda rate: optax.adamw(rate, **arguments), 0.02, 0.005)
  np.testing.assert_allclose(ours, theirs, rtol=RTOL)


def test_equals_torch():
  frozen = FROZEN['runs']['adamw']
  make = lambda rate: lrax.adamw(rate, weight_decay=0.01)
  ours = run(make, *frozen['rates'])[:, np.array(FROZEN['steps']) - 1]
  expected = [frozen['constant'], frozen['changing']]
  np.testing.assert_allclose(ours, expected, rtol=RTOL)


def test_lambda_of_the_paper_is_weight_decay_times_the_peak():
  """Algorithm 2: theta -= eta * (alpha * adam + lambda * theta), eta from 1."""
  alpha, b1, b2, eps, decay = 0.02, 0.9, 0.999, 1e-8, 0.002
  paths = []
  for final in (1.0, 0.25):
    theta, m, v, path = START, np.zeros(6), np.zeros(6), []
    for t in range(1, 201):
      eta = 1.0 if t <= 100 else final
      g = gradient(theta)
      m = b1 * m + (1 - b1) * g
      v = b2 * v + (1 - b2) * g**2
      adam = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
      theta = theta - eta * (alpha * adam + decay * theta)
      path.append(theta)
    paths.append(path)
  make = lambda rate: lrax.adamw(rate, b1, b2, eps, weight_decay=decay / alpha)
  ours = run(make, alpha, alpha / 4)
  np.testing.assert_allclose(ours, paths, rtol=RTOL)


def test_decay_is_decoupled_from_the_moments():
  # The state after a step is Adam's, whatever the decay.
  x, g = jnp.ones(3), jnp.array([1.0, -2.0, 3.0])
  adam, adamw = lrax.adam(0.1), lrax.adamw(0.1, weight_decay=0.5)
  _, plain = adam.update(g, adam.init(x), x)
  _, decayed = adamw.update(g, adamw.init(x), x)
  np.testing.assert_array_equal(decayed[0].mu, plain[0].mu)
  np.testing.assert_array_equal(decayed[0].nu, plain[0].nu)


PARAMS = {'kernel': jnp.full((2,), 4.0), 'bias': jnp.full((2,), 2.0)}


@pytest.mark.parametrize(
    'mask',
    [
        {'kernel': True, 'bias': False},
        lambda params: {name: name == 'kernel' for name in params},
    ],
    ids=['tree', 'function'],
)
def test_mask_says_where_to_decay(mask):
  tx = lrax.adamw(0.5, weight_decay=0.25, mask=mask)
  zeros = jax.tree.map(jnp.zeros_like, PARAMS)
  updates, _ = tx.update(zeros, tx.init(PARAMS), PARAMS)
  # -0.5 * 0.25 * 4, exact in binary; Adam adds nothing for a zero gradient.
  assert updates['kernel'].tolist() == [-0.5, -0.5]
  assert updates['bias'].tolist() == [0.0, 0.0]


def test_weight_decay_may_be_a_schedule():
  decay = lrax.linear(0.5, 0.0, steps=2)
  tx = lrax.adamw(0.5, weight_decay=decay)
  x = jnp.ones(())
  state = tx.init(x)
  moves = []
  for _ in range(3):
    updates, state = tx.update(jnp.zeros(()), state, x)
    moves.append(float(updates))
  # -0.5 times 1/2, 1/4 and 0, exact in binary.
  assert moves == [-0.25, -0.125, 0.0]


@pytest.mark.parametrize(
    'decay', [lrax.linear(0.5, 0.0, steps=2), optax.linear_schedule(0.5, 0.0, 2)]
)
def test_a_scheduled_decay_leaves_bfloat16_updates_bfloat16(decay):
  x = jnp.ones(2, jnp.bfloat16)
  tx = lrax.adamw(0.5, weight_decay=decay)
  updates, _ = tx.update(jnp.zeros_like(x), tx.init(x), x)
  assert updates.dtype == jnp.bfloat16


def test_decay_of_a_zero_gradient_is_geometric():
  # Each step multiplies x by 1 - 1/2 * 1/2 = 3/4, and 3**10 < 2**24 keeps all
  # ten powers exact in float32.
  tx = lrax.adamw(0.5, weight_decay=0.5)
  x = jnp.ones(())
  state = tx.init(x)
  for t in range(1, 11):
    updates, state = tx.update(jnp.zeros(()), state, x)
    x = optax.apply_updates(x, updates)
    assert float(x) == 0.75**t


@pytest.mark.parametrize('weight_decay', [-0.1, float('inf')])
def test_refuses_a_decay_out_of_range(weight_decay):
  with pytest.raises(ValueError, match='adamw: `weight_decay` must be'):
    lrax.adamw(0.1, weight_decay=weight_decay)
