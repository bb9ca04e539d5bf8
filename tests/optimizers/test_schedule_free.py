"""Schedule-Free against the paper, the authors' package and Optax's faults."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax

MOMENTUM = lrax.transforms.scale_by_momentum


def warm(rate, steps=20):
  """The package's warm-up, which is at 1 / steps at first."""
  return rate * lrax.schedules.from_function(
      lambda t: jnp.minimum(1.0, (jnp.asarray(t, float) + 1) / steps)
  )


def sgd(rate, **arguments):
  return lrax.schedule_free_sgd(rate, maximal_rate=True, **arguments)


def adamw(rate, **arguments):
  return lrax.schedule_free_adamw(
      rate, maximal_rate=True, divide_by_weight=True, **arguments
  )


def wrapped(rate):
  def with_decay(updates, state, params=None, **extra_args):
    steps, state = inner.update(updates, state, params, **extra_args)
    return jax.tree.map(lambda s, y: s + 0.02 * y, steps, params), state

  inner = MOMENTUM(0.5, nesterov=True)
  decayed = optax.GradientTransformationExtraArgs(inner.init, with_decay)
  return lrax.schedule_free(decayed, rate, maximal_rate=True)


RUNS = {
    'schedulefree_sgd': sgd,
    'schedulefree_sgd_warm': lambda rate: sgd(
        warm(rate), b1=0.95, weight_decay=0.05, r=1.0, weight_lr_power=1.0
    ),
    'schedulefree_adamw': adamw,
    'schedulefree_adamw_warm': lambda rate: adamw(
        warm(rate), weight_decay=0.05, r=0.5
    ),
    'schedulefree_adamw_power': lambda rate: adamw(
        warm(rate, 10), b1=0.95, b2=0.99, r=1.0, weight_lr_power=0.0
    ),
    'schedulefree_adamw_paper': lambda rate: lrax.schedule_free_adamw(
        warm(rate), weight_decay=0.05, maximal_rate=True
    ),
    'schedulefree_wrapped': wrapped,
}


@pytest.mark.parametrize('evaluate', [None, lrax.eval_params], ids=['y', 'x'])
@pytest.mark.parametrize('name', RUNS)
def test_follows(name, evaluate):
  trajectories.assert_follows(name, RUNS[name], evaluate=evaluate)


def walk(tx, params, gradients, update=None):
  """(state, params) after each gradient."""
  state = tx.init(params)
  for g in gradients:
    updates, state = (update or tx.update)(g, state, params)
    params = optax.apply_updates(params, updates)
    yield state, params


@pytest.mark.parametrize('b1', [0.0, 0.25, 0.9])
@pytest.mark.parametrize('r', [0.0, 2.0])
def test_the_formula(b1, r):
  """Equations 2 to 4 by hand, b1 = 0 included, whose average is kept."""
  rates = [0.0, 0.5, 0.25, 0.25, 0.125]
  rate = lambda t: jnp.asarray(rates)[t]
  gradients = np.random.default_rng(0).normal(size=(5, 3))
  z = x = y = start = np.array([1.0, -2.0, 0.5])
  total = 0.0
  with jax.enable_x64(True):
    found = walk(
        lrax.schedule_free(optax.identity(), rate, b1, r=r),
        jnp.asarray(start), map(jnp.asarray, gradients),
    )
    for t, (state, params) in enumerate(found):
      z = z - rates[t] * gradients[t]
      w = (t + 1) ** r * rates[t] ** 2
      total += w
      x = x + (w / total if total else 0.0) * (z - x)
      y = (1 - b1) * z + b1 * x
      # Some roundings of float64, of which x at b1 = 1/4 has three more.
      np.testing.assert_allclose(params, y, rtol=1e-14, atol=1e-14)
      evaluated = lrax.eval_params(state, params)
      np.testing.assert_allclose(evaluated, x, rtol=1e-14, atol=1e-14)
      assert float(lrax.get_learning_rate(state)) == rates[t]


def test_b1_of_0_that_is_traced_gives_no_nan():
  """Optax's evaluation parameters are NaN there."""

  def evaluated(b1):
    tx = lrax.schedule_free(optax.identity(), 0.5, b1)
    *_, (state, params) = walk(tx, jnp.ones(()), [jnp.ones(())] * 2)
    return lrax.eval_params(state, params)

  # z is 1/2, then 0, and x their mean, whatever b1.
  assert jax.jit(jax.vmap(evaluated))(jnp.array([0.0, 0.5])).tolist() == [0.25] * 2


def test_the_weights_are_of_the_rates_applied():
  """Optax reads a schedule one step ahead of what it weighs."""
  rate = lrax.piecewise_constant([1.0, 0.5], [1])
  *_, (state, _) = walk(lrax.schedule_free_sgd(rate), jnp.ones(()), [jnp.ones(())] * 2)
  assert float(state.weight_sum) == 1.0 + 0.25
  state = lrax.set_learning_rate(state, 2.0)
  _, state = lrax.schedule_free_sgd(rate).update(jnp.ones(()), state, jnp.ones(()))
  assert float(state.weight_sum) == 1.25 + 4.0


@pytest.mark.parametrize('build', [lrax.schedule_free_sgd, lrax.schedule_free_adamw])
def test_learns_after_a_warm_up_from_0_and_a_zero_gradient(build):
  tx = build(0.5, warmup_steps=2)
  params = jnp.array([1.0, -1.0])
  state = tx.init(params)
  for step in range(40):
    g = params * (step > 3)
    updates, state = tx.update(g, state, params)
    params = optax.apply_updates(params, updates)
    assert bool(jnp.isfinite(params).all())
    assert step > 3 or params.tolist() == [1.0, -1.0]
  assert jnp.abs(lrax.eval_params(state, params)).max() < 0.5


def test_bfloat16_keeps_its_sums_wide():
  """Optax's weight_sum stays at 0.000488 there, and the average follows nothing."""
  tx = lrax.schedule_free_sgd(1e-3, b1=0.9)
  params = jnp.ones((), jnp.bfloat16)
  update = jax.jit(tx.update)
  *_, (state, params) = walk(tx, params, [jnp.ones((), jnp.bfloat16)] * 600, update)
  # 600 roundings of float32 at most.
  np.testing.assert_allclose(state.weight_sum, 600e-6, rtol=600 * 6e-8)
  # z falls by 1e-3 a step; x is the mean of z_1 to z_600.
  np.testing.assert_allclose(state.z, 1 - 0.6, rtol=1e-4)
  np.testing.assert_allclose(state.x, 1 - 0.3005, rtol=1e-4)
  assert params.dtype == lrax.eval_params(state, params).dtype == jnp.bfloat16
  # y is 0.1 z + 0.9 x, to half a unit of bfloat16 at 2/3.
  np.testing.assert_allclose(float(params), 0.1 * 0.4 + 0.9 * 0.6995, atol=2**-9)


NESTS = {
    'chain': lambda tx: optax.chain(optax.clip(100.0), tx),
    'MultiSteps': lambda tx: optax.MultiSteps(tx, 1),
    'partition': lambda tx: optax.partition(
        {'free': tx, 'plain': lrax.sgd(0.5)}, {'a': 'free', 'b': 'plain'}
    ),
    'apply_if_finite': lambda tx: optax.apply_if_finite(tx, 3),
}


@pytest.mark.parametrize('b1', [0.0, 0.5])
@pytest.mark.parametrize('nest', NESTS)
def test_eval_params_at_any_nesting(nest, b1):
  free = lrax.schedule_free_sgd(0.5, b1=b1)
  params = {'a': jnp.ones(2), 'b': jnp.ones(2)}
  gradients = [jax.tree.map(jnp.ones_like, params)] * 2
  *_, (state, params) = walk(NESTS[nest](free), params, gradients)
  evaluated = lrax.eval_params(state, params)
  assert evaluated['a'].tolist() == [0.25] * 2
  expected = params['b'] if nest == 'partition' else evaluated['a']
  assert evaluated['b'].tolist() == expected.tolist()


def test_refuses_a_direction_with_a_rate_of_its_own():
  with pytest.raises(ValueError, match='schedule_free: `transform` must be a direc'):
    lrax.schedule_free(lrax.sgd(0.1), 0.1).init(jnp.ones(2))


@pytest.mark.parametrize('b1', [-0.1, 1.0])
def test_refuses_b1_out_of_range(b1):
  with pytest.raises(ValueError, match=r'schedule_free_sgd: `b1` must be'):
    lrax.schedule_free_sgd(b1=b1)
