"""Schedule-Free+ by hand, from the equations of its author's code."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def by_hand(
    steps, rate=1.0, b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.0, share=0.9,
    end_share=0.965, anneal_steps=0, average_after=0, norm_decay=0.0, r=0.0,
):
  """(y, x, rate) after each step, on the problem of the reference runs."""
  gradient = jax.jit(jax.value_and_grad(trajectories.loss))
  shape = trajectories.start()
  shaped = lambda flat: {'x': flat[:6], 'w': flat[6:].reshape(shape['w'].shape)}
  x = y = z = trajectories.flat(shape)
  mu = nu = np.zeros_like(x)
  norm = largest = total = 0.0
  for t in range(1, steps + 1):
    value, grads = gradient(shaped(y))
    g = trajectories.flat(grads)
    p = min((t - 1) / anneal_steps, 1.0) if anneal_steps else 0.0
    between = 1 - (1 - share) ** (1 - p) * (1 - end_share) ** p
    norm = norm_decay * norm + (1 - norm_decay) * (np.pi / 2) ** 0.5 * abs(g).sum()
    gap = float(value) + between * g @ (z - x)
    size = rate * max(0.0, gap) / (norm / (1 - norm_decay**t))
    mu, nu = b1 * mu + (1 - b1) * g, b2 * nu + (1 - b2) * g**2
    root = (nu / (1 - b2**t)) ** 0.5 + eps
    z = z - size**2 * weight_decay * y - size * mu / (1 - b1**t) / root
    largest = max(largest, size)
    w = t**r * largest**2
    total += w if t > average_after else 0.0
    c = w / total if t > average_after else 1.0
    x = (1 - c) * x + c * z
    y = (1 - between) * z + between * x
    yield y, x, size


ARGUMENTS = {
    'defaults': {},
    'annealed': {'anneal_steps': 15, 'norm_decay': 0.9, 'r': 2.0},
    'decayed': {'weight_decay': 20.0, 'b1': 0.5, 'share': 0.5, 'average_after': 4},
    'kept': {'share': 0.0, 'anneal_steps': 15},
}


@pytest.mark.parametrize('name', ARGUMENTS)
def test_the_formula(name):
  arguments = ARGUMENTS[name]
  with jax.enable_x64(True):
    tx = lrax.schedule_free_plus(0.5, **arguments)
    params = trajectories.start()
    state, update = tx.init(params), jax.jit(tx.update)
    gradient = jax.jit(jax.value_and_grad(trajectories.loss))
    shown = []
    for y, x, rate in by_hand(40, 0.5, **arguments):
      value, grads = gradient(params)
      updates, state = update(grads, state, params, value=value)
      params = optax.apply_updates(params, updates)
      shown.append(float(lrax.get_learning_rate(state)))
      # Roundings of float64 that 40 steps make larger, and those of x = z +
      # (y - z) / share.
      close = {'rtol': 1e-11, 'atol': 1e-11}
      np.testing.assert_allclose(trajectories.flat(params), y, **close)
      evaluated = lrax.eval_params(state, params)
      np.testing.assert_allclose(trajectories.flat(evaluated), x, **close)
      np.testing.assert_allclose(shown[-1], rate, **close)
  # The step is Polyak's: it changes by itself.
  assert max(shown) > 1.5 * min(shown)


def test_the_first_step_is_polyaks():
  """The loss by its slope along the signs, and sqrt(pi / 2)."""
  tx = lrax.schedule_free_plus(eps=0.0)
  x = jnp.array([3.0, -1.0])  # of the loss |x_1| + |x_2|
  updates, state = tx.update(jnp.sign(x), tx.init(x), x, value=jnp.float32(4.0))
  # Some roundings of float32.
  np.testing.assert_allclose(
      updates, [-2 * (2 / np.pi) ** 0.5, 2 * (2 / np.pi) ** 0.5], rtol=1e-6
  )
  np.testing.assert_allclose(
      lrax.get_learning_rate(state), 2 * (2 / np.pi) ** 0.5, rtol=1e-6
  )


def test_never_uphill_and_an_override_acts_there():
  """Below a loss of 0 Polyak's step is 0; a rate that was set is taken."""
  tx = lrax.schedule_free_plus(b1=0.0, eps=0.0)
  x = jnp.array([2.0, -1.0])
  state = tx.init(x)
  updates, after = tx.update(x, state, x, value=jnp.float32(-1.0))
  assert updates.tolist() == [0.0, 0.0]
  assert float(lrax.get_learning_rate(after)) == 0.0
  changed = lrax.set_learning_rate(state, 0.25)
  updates, after = tx.update(x, changed, x, value=jnp.float32(-1.0))
  # The direction is the sign: some roundings of float32.
  np.testing.assert_allclose(updates, [-0.25, 0.25], rtol=1e-6)
  assert float(lrax.get_learning_rate(after)) == 0.25


def test_a_missing_loss_is_named():
  tx = lrax.schedule_free_plus()
  x = jnp.ones(2)
  with pytest.raises(ValueError, match='schedule_free_plus: .*`value`'):
    tx.update(x, tx.init(x), x)


NESTS = {
    'chain': lambda tx: optax.chain(optax.clip(100.0), tx),
    'MultiSteps': lambda tx: optax.MultiSteps(tx, 1),
    'partition': lambda tx: optax.partition(
        {'free': tx, 'plain': lrax.sgd(0.5)}, {'a': 'free', 'b': 'plain'}
    ),
    'apply_if_finite': lambda tx: optax.apply_if_finite(tx, 3),
}


@pytest.mark.parametrize('share', [0.0, 0.5])
@pytest.mark.parametrize('nest', NESTS)
def test_eval_params_at_any_nesting(nest, share):
  tx = NESTS[nest](lrax.schedule_free_plus(b1=0.0, eps=0.0, share=share))
  params = {'a': jnp.ones(2), 'b': jnp.ones(2)}
  state = lrax.set_learning_rate(tx.init(params), 0.25)
  for _ in range(2):
    g = jax.tree.map(jnp.ones_like, params)
    updates, state = tx.update(g, state, params, value=jnp.float32(1.0))
    params = optax.apply_updates(params, updates)
  evaluated = lrax.eval_params(state, params)
  # z is 3/4, then 1/2, and x their mean; some roundings of float32.
  np.testing.assert_allclose(evaluated['a'], 0.625, rtol=1e-6)
  expected = params['b'] if nest == 'partition' else evaluated['a']
  assert evaluated['b'].tolist() == expected.tolist()


def test_bfloat16_keeps_its_points_wide():
  """y is rounded to bfloat16; z and x are not, nor what they add up to."""
  tx = lrax.schedule_free_plus(1e-3, b1=0.0, eps=0.0)
  params = jnp.ones((), jnp.bfloat16)
  state, update = tx.init(params), jax.jit(tx.update)
  for _ in range(100):
    state = lrax.set_learning_rate(state, 1e-3)
    g = jnp.ones((), jnp.bfloat16)
    updates, state = update(g, state, params, value=jnp.float32(1.0))
    params = optax.apply_updates(params, updates)
  # 100 roundings of float32 of about 1.
  np.testing.assert_allclose(state[0].z, 0.9, rtol=100 * 6e-8)
  np.testing.assert_allclose(state[0].x, 1 - 1e-3 * 50.5, rtol=100 * 6e-8)
  assert lrax.eval_params(state, params).dtype == params.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    'name, value',
    [
        ('share', 1.0), ('norm_decay', -0.1), ('anneal_steps', -1),
        ('average_after', 0.5),
    ],
)
def test_refuses(name, value):
  with pytest.raises(ValueError, match=f'schedule_free_plus: `{name}` must'):
    lrax.schedule_free_plus(**{name: value})
