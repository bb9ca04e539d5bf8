"""NadamW against the paper, Optax and PyTorch."""

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


@pytest.mark.parametrize('arguments', [{}, {'weight_decay': 0.1, 'b1': 0.5}])
def test_equals_optax(arguments):
  ours = run(lambda rate: lrax.nadamw(rate, **arguments), 0.02, 0.005)
  theirs = run(lambda rate: optax.nadamw(rate, **arguments), 0.02, 0.005)
  np.testing.assert_allclose(ours, theirs, rtol=RTOL)


def test_equals_torch():
  frozen = FROZEN['runs']['nadam_decoupled']
  make = lambda rate: lrax.nadamw(rate, weight_decay=0.01, momentum_decay=4e-3)
  ours = run(make, *frozen['rates'])[:, np.array(FROZEN['steps']) - 1]
  expected = [frozen['constant'], frozen['changing']]
  np.testing.assert_allclose(ours, expected, rtol=RTOL)


def test_equals_the_paper_with_a_momentum_that_grows():
  rates, growth = (0.02, 0.005), 0.05
  momentum = lambda t: 0.9 * (1 - 0.5 * 0.96 ** (t * growth))
  make = lambda rate: lrax.nadamw(
      rate, weight_decay=0.1, momentum_decay=growth
  )
  paper = _paper(momentum, rates, decay=0.1)
  np.testing.assert_allclose(run(make, *rates), paper, rtol=RTOL)


def test_without_decay_it_is_nadam():
  nadamw = run(lambda rate: lrax.nadamw(rate, weight_decay=0.0), 0.02, 0.005)
  np.testing.assert_allclose(
      nadamw, run(optax.nadam, 0.02, 0.005), rtol=RTOL
  )


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
  tx = lrax.nadamw(0.5, weight_decay=0.25, mask=mask)
  zeros = jax.tree.map(jnp.zeros_like, PARAMS)
  updates, _ = tx.update(zeros, tx.init(PARAMS), PARAMS)
  # -0.5 * 0.25 * 4, exact in binary; Adam adds nothing for a zero gradient.
  assert updates['kernel'].tolist() == [-0.5, -0.5]
  assert updates['bias'].tolist() == [0.0, 0.0]


def test_weight_decay_may_be_a_schedule():
  decay = lrax.linear(0.5, 0.0, steps=2)
  tx = lrax.nadamw(0.5, weight_decay=decay)
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
  tx = lrax.nadamw(0.5, weight_decay=decay)
  updates, _ = tx.update(jnp.zeros_like(x), tx.init(x), x)
  assert updates.dtype == jnp.bfloat16


def test_decay_of_a_zero_gradient_is_geometric():
  # Each step multiplies x by 1 - 1/2 * 1/2 = 3/4, and 3**10 < 2**24 keeps all
  # ten powers exact in float32.
  tx = lrax.nadamw(0.5, weight_decay=0.5)
  x = jnp.ones(())
  state = tx.init(x)
  for t in range(1, 11):
    updates, state = tx.update(jnp.zeros(()), state, x)
    x = optax.apply_updates(x, updates)
    assert float(x) == 0.75**t


@pytest.mark.parametrize('weight_decay', [-0.1, float('inf')])
def test_refuses_a_decay_out_of_range(weight_decay):
  with pytest.raises(ValueError, match='nadamw: `weight_decay` must be'):
    lrax.nadamw(0.1, weight_decay=weight_decay)
