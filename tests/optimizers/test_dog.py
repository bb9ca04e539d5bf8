"""DoG, L-DoG and their average against the authors' package and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax

START = ('heuristic', 1e-4)


@pytest.mark.parametrize('evaluate', [None, lrax.eval_params], ids=['x', 'average'])
def test_follows_and_averages(evaluate):
  build = lambda rate: lrax.dog(rate, START)
  trajectories.assert_follows('dog', build, evaluate=evaluate)


RUNS = {
    'dog_decay': lambda rate: lrax.dog(rate, weight_decay=0.02),
    'dog_init_eta': lambda rate: lrax.dog(rate, ('learning_rate', 1e-3)),
    'ldog': lambda rate: lrax.ldog(rate, START),
}


@pytest.mark.parametrize('name', RUNS)
def test_follows(name):
  trajectories.assert_follows(name, RUNS[name])


def test_an_average_can_be_left_out():
  plain, averaged = lrax.dog(average_gamma=None), lrax.dog()
  x = jnp.array([1.0, 2.0])
  expected, state = averaged.update(x, averaged.init(x), x)
  updates, small = plain.update(x, plain.init(x), x)
  assert updates.tolist() == expected.tolist()
  assert lrax.eval_params(small, x) is x
  # After one update the average is where the parameters are.
  assert lrax.eval_params(state, x).tolist() == (x + updates).tolist()


@pytest.mark.parametrize('build', [lrax.dog, lrax.ldog])
def test_the_start_by_a_rate_survives_zero_gradients_and_a_rate_of_0(build):
  """The package's distance stays 0 after a first gradient of 0."""
  tx = build(lrax.constant(1.0).with_warmup(3), ('learning_rate', 0.01))
  x = jnp.array([1.0, -1.0])
  state, update = tx.init(x), jax.jit(tx.update)
  for step in range(200):
    updates, state = update(x * (step > 4), state, x)
    x = optax.apply_updates(x, updates)
    assert bool(jnp.isfinite(x).all())
  assert float(jnp.abs(x).max()) < 0.5


def test_bfloat16_parameters_have_a_wide_average():
  tx = lrax.dog(1.0, ('distance', 0.1), average_gamma=0.0)
  x = jnp.ones(2, jnp.bfloat16)
  state, points = tx.init(x), []
  for _ in range(8):
    updates, state = tx.update(x, state, x)
    x = optax.apply_updates(x, updates)
    points.append(np.asarray(x, np.float64))
  # At gamma = 0 it is the plain mean; some roundings of float32.
  np.testing.assert_allclose(
      state[1].averaged_params, np.mean(points, 0), rtol=1e-6
  )
  assert lrax.eval_params(state, x).dtype == jnp.bfloat16


NESTS = {
    'chain': lambda tx: optax.chain(optax.clip(100.0), tx),
    'MultiSteps': lambda tx: optax.MultiSteps(tx, 1),
    'partition': lambda tx: optax.partition(
        {'dog': tx, 'plain': lrax.sgd(0.5)}, {'a': 'dog', 'b': 'plain'}
    ),
}


@pytest.mark.parametrize('nest', NESTS)
def test_eval_params_at_any_nesting(nest):
  tx = NESTS[nest](lrax.dog(1.0, ('distance', 0.25)))
  params = {'a': jnp.ones(2), 'b': jnp.ones(2)}
  state = tx.init(params)
  for _ in range(3):
    updates, state = tx.update(params, state, params)
    params = optax.apply_updates(params, updates)
  evaluated = lrax.eval_params(state, params)
  assert bool((evaluated['a'] > params['a']).all())  # it lags behind
  same = bool((evaluated['b'] == params['b']).all())
  assert same == (nest == 'partition')


@pytest.mark.parametrize(
    'arguments, name, error',
    [
        ({'init_step': 1e-6}, 'init_step', TypeError),
        ({'init_step': ('rate', 1e-6)}, r'init_step\[0\]', ValueError),
        ({'init_step': ('distance', 0.0)}, r'init_step\[1\]', ValueError),
        ({'average_gamma': -1.0}, 'average_gamma', ValueError),
    ],
)
@pytest.mark.parametrize('build', [lrax.dog, lrax.ldog])
def test_refuses(build, arguments, name, error):
  with pytest.raises(error, match=f'dog: `{name}` must be'):
    build(**arguments)
