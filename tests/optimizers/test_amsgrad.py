"""AMSGrad against the paper and Optax."""

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


@pytest.mark.parametrize('correct_mu', [False, True])
@pytest.mark.parametrize('correct_nu', [False, True])
def test_equals_optax_with_the_same_flags(correct_mu, correct_nu):
  arguments = {
      'b2': 0.99,
      'bias_correction_mu': correct_mu,
      'bias_correction_nu': correct_nu,
  }
  ours = run(lambda rate: lrax.amsgrad(rate, **arguments), 0.01, 0.002)
  theirs = run(lambda rate: optax.amsgrad(rate, **arguments), 0.01, 0.002)
  np.testing.assert_allclose(ours, theirs, rtol=RTOL)


def test_defaults_differ_from_optax():
  # Without correction the first step is (1 - b1) / sqrt(1 - b2) = 3.2 rates
  # instead of one.
  ours, theirs = run(lrax.amsgrad, 0.01, 0.002), run(optax.amsgrad, 0.01, 0.002)
  assert np.abs(ours[:, 0] - theirs[:, 0]).max() > 0.01


def test_equals_the_paper_without_bias_correction():
  """Algorithm 2 of Reddi et al.; eps is added to the root."""
  rates, b1, b2, eps = (0.01, 0.002), 0.9, 0.99, 1e-8
  paths = []
  for final in rates:
    x, path = START, []
    m, v, v_hat = np.zeros((3, 6))
    for t in range(200):
      g = gradient(x)
      m = b1 * m + (1 - b1) * g
      v = b2 * v + (1 - b2) * g**2
      v_hat = np.maximum(v_hat, v)
      x = x - (rates[0] if t < 100 else final) * m / (np.sqrt(v_hat) + eps)
      path.append(x)
    paths.append(path)
  ours = run(lambda rate: lrax.amsgrad(rate, b1, b2, eps), *rates)
  np.testing.assert_allclose(ours, paths, rtol=RTOL)


def test_the_divisor_never_shrinks():
  # b1 = 0, b2 = 3/4: nu is 4, 13/4, 43/16, and the largest stays 4: root 2.
  tx = lrax.amsgrad(0.5, b1=0.0, b2=0.75, eps=0.0)
  state = tx.init(jnp.zeros(()))
  updates = []
  for g in (4.0, 1.0, 1.0, -8.0):
    update, state = tx.update(jnp.float32(g), state)
    updates.append(float(update))
  # The last: nu = 3/4 * 43/16 + 16 > 4, so the divisor grows again.
  assert updates[:3] == [-1.0, -0.25, -0.25]
  # One root and one division in float32: three roundings of 6e-8.
  grown = 4.0 / np.sqrt(0.75 * 43 / 16 + 16)
  np.testing.assert_allclose(updates[3], grown, rtol=2e-7)


def test_the_counterexample_of_the_paper():
  """Theorem 1: on [-1, 1], of C x every third step and -x otherwise.

  Their sum falls to the left, for C > 2, yet Adam goes to the right end.
  """
  C = 4.0
  box = lambda x: jnp.clip(x, -1.0, 1.0)
  rate = lambda step: 0.5 / jnp.sqrt(1.0 + step)
  arguments = {'b1': 0.0, 'b2': 1 / (1 + C**2), 'eps': 0.0}

  def final(tx):
    def step(carry, t):
      x, state = carry
      g = jnp.where(t % 3 == 0, C, -1.0)
      updates, state = tx.update(g, state, x)
      return (box(x + updates), state), None

    x = jnp.zeros(())
    (x, _), _ = jax.lax.scan(step, (x, tx.init(x)), jnp.arange(3000))
    return float(x)

  # By then a step is 0.5 / sqrt(3000) = 0.009 at most, so an end of the interval
  # is told from the other, and from the middle, by a hair of 0.05.
  assert final(lrax.adam(rate, **arguments)) > 0.95
  assert final(lrax.amsgrad(rate, **arguments)) < -0.95


@pytest.mark.parametrize('argument', ['bias_correction_mu', 'bias_correction_nu'])
def test_refuses_a_flag_that_is_no_bool(argument):
  with pytest.raises(TypeError, match=f'`{argument}` must be True or False'):
    lrax.amsgrad(0.1, **{argument: 1})
