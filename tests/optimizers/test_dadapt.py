"""D-Adaptation against the authors' package and by hand."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def coupled(rate):
  tx = lrax.dadapt_adamw(rate, estim_lr0=1e-4)
  return optax.chain(optax.add_decayed_weights(0.02), tx)


RUNS = {
    'dadapt_adam': lrax.dadapt_adamw,
    'dadapt_adam_corrected': lambda rate: lrax.dadapt_adamw(
        rate, growth_rate=1.5, bias_correction=True
    ),
    'dadapt_adamw': lambda rate: lrax.dadapt_adamw(
        rate, estim_lr0=1e-4, weight_decay=0.02
    ),
    'dadapt_adam_coupled': coupled,
    'dadapt_sgd': lambda rate: lrax.dadapt_sgd(rate, momentum=0.9),
    'dadapt_adagrad': lambda rate: lrax.dadapt_adagrad(rate, estim_lr0=1e-4),
}


@pytest.mark.parametrize('name', RUNS)
def test_follows(name):
  trajectories.assert_follows(name, RUNS[name])


def test_sgd_by_hand():
  """Three gradients in one dimension; every number is exact."""
  tx = lrax.dadapt_sgd(estim_lr0=0.5)
  x = jnp.array(8.0)
  state = tx.init(x)
  rates = []
  for g in (2.0, 1.0, 1.0):
    updates, state = tx.update(jnp.array(g), state, x)
    x = x + updates
    rates.append(float(lrax.get_learning_rate(state)))
  # s = 1/2; then r = 1/8, s = 3/4, d^ = 1/3; then r = 5/16, s = 1, d^ = 5/8.
  assert rates == [0.25, 0.25, 0.25]
  assert float(x) == 7.0
  assert float(state[0].estimate) == 0.625


def test_adagrad_by_hand():
  """Four gradients of 1: s = t / 2 and v = t, until d has grown once."""
  tx = lrax.dadapt_adagrad(
      momentum=0.5, eps=0.0, estim_lr0=0.5, initial_accumulator_value=0.0
  )
  x, expected = jnp.array(8.0), 8.0
  state = tx.init(x)
  for t in range(1, 5):
    assert float(state[0].estimate) == 0.5
    updates, state = tx.update(jnp.array(1.0), state, x)
    x = x + updates
    expected = (expected + 8 - 0.5 * t**0.5) / 2
    # Some roundings of float32, at 8.
    np.testing.assert_allclose(x, expected, rtol=2e-7)
  # s**2 / sqrt(v) = 4 / 2, of which 1 / 4 * (1 + 1 / sqrt(2) + ...) was spent.
  spent = sum(t**-0.5 for t in range(1, 5)) / 4
  np.testing.assert_allclose(state[0].estimate, (2 - spent) / 2, rtol=3e-7)


BUILDS = pytest.mark.parametrize(
    'build', [lrax.dadapt_adamw, lrax.dadapt_sgd, lrax.dadapt_adagrad]
)


@BUILDS
def test_the_growth_limit(build):
  def estimate(tx):
    x = jnp.array([1.0, -1.0])
    state, y = tx.init(x), x
    for _ in range(12):
      updates, state = tx.update(x, state, y)
      y = y + updates
    return float(state[0].estimate)

  limited = estimate(build(growth_rate=1.0625))
  # Twelve roundings of float32 at most.
  assert limited <= 1e-6 * 1.0625**12 * (1 + 12 * 6e-8)
  assert limited < estimate(build())


@BUILDS
@pytest.mark.parametrize(
    'arguments', [{'estim_lr0': 0.0}, {'growth_rate': 0.5}, {'growth_rate': -1.0}]
)
def test_refuses(build, arguments):
  with pytest.raises(ValueError, match=f'dadapt_.*: `{next(iter(arguments))}` must'):
    build(**arguments)
