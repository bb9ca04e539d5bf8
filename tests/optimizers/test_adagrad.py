"""AdaGrad against the paper, Optax and PyTorch."""

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


def test_equals_optax_with_the_arguments_that_its_docstring_names():
  ours = run(lambda rate: lrax.adagrad(rate, 0.1, 1e-7, eps_in_sqrt=True), 0.1, 0.03)
  theirs = run(optax.adagrad, 0.1, 0.03)
  np.testing.assert_allclose(ours, theirs, rtol=RTOL)


def test_defaults_differ_from_optax():
  # Optax starts the sum at 0.1: with gradients of about 1 that is 5% of the
  # first step, so a tenth of that cannot be rounding.
  ours, theirs = run(lrax.adagrad, 0.1, 0.03), run(optax.adagrad, 0.1, 0.03)
  assert np.abs(ours[:, 0] - theirs[:, 0]).max() > 5e-4


def test_equals_torch():
  frozen = FROZEN['runs']['adagrad']
  ours = run(lrax.adagrad, *frozen['rates'])
  ours = ours[:, np.array(FROZEN['steps']) - 1]
  expected = [frozen['constant'], frozen['changing']]
  np.testing.assert_allclose(ours, expected, rtol=RTOL)


@pytest.mark.parametrize('start, delta', [(0.0, 1e-10), (0.0, 0.5), (2.0, 1e-3)])
def test_equals_the_paper(start, delta):
  """H = delta * I + diag(s), s the sum of squares: delta is outside the root."""
  rates = (0.1, 0.03)
  paths = []
  for final in rates:
    x, s, path = START, np.full(6, start), []
    for t in range(200):
      g = gradient(x)
      s = s + g * g
      x = x - (rates[0] if t < 100 else final) * g / (delta + np.sqrt(s))
      path.append(x)
    paths.append(path)
  ours = run(lambda rate: lrax.adagrad(rate, start, delta), *rates)
  np.testing.assert_allclose(ours, paths, rtol=RTOL)


def test_a_constant_gradient_moves_by_rate_over_root_t():
  with jax.enable_x64(True):
    tx = lrax.adagrad(0.5, eps=0.0)
    x = jnp.zeros(2)
    state = tx.init(x)
    for t in range(1, 51):
      updates, state = tx.update(jnp.array([-3.0, 1e-4]), state)
      # The sum of t equal squares carries at most t roundings of 1.1e-16.
      expected = np.array([0.5, -0.5]) / np.sqrt(t)
      np.testing.assert_allclose(updates, expected, rtol=1e-14)


def test_the_initial_value_enters_the_sum():
  # s = 7 + 3**2 = 16 exactly, so the update is exactly -3/4 of the rate.
  tx = lrax.adagrad(0.5, initial_accumulator_value=7.0, eps=0.0)
  updates, _ = tx.update(jnp.float32(3.0), tx.init(jnp.zeros(())))
  assert float(updates) == -0.375


@pytest.mark.parametrize(
    'arguments', [{'initial_accumulator_value': -0.1}, {'eps': -1e-8}]
)
def test_refuses_negative_arguments(arguments):
  (name,) = arguments
  with pytest.raises(ValueError, match=f'`{name}` must be'):
    lrax.adagrad(0.1, **arguments)
