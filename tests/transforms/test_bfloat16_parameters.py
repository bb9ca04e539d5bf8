"""Links that let small steps count on bfloat16 parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.transforms import _bfloat16

LINKS = {
    'master_weights': lrax.transforms.master_weights,
    'stochastic_rounding': lrax.transforms.stochastic_rounding,
}
every_link = pytest.mark.parametrize('name', LINKS)


def run(tx, params, gradient, steps):
  """The parameters after steps of `gradient(params)`, in one program."""

  def step(carry, _):
    params, state = carry
    updates, state = tx.update(gradient(params), state, params)
    return (optax.apply_updates(params, updates), state), None

  carry = (params, tx.init(params))
  return jax.jit(lambda c: jax.lax.scan(step, c, length=steps))(carry)[0]


@every_link
def test_300_small_steps_of_adam_arrive(name):
  """Without a link the parameters stay at 1: each step is lost when applied."""
  params = {'w': jnp.ones((32, 32), jnp.bfloat16)}
  gradient = lambda x: jax.tree.map(jnp.ones_like, x)
  stuck, _ = run(lrax.adam(1e-3), params, gradient, 300)
  assert (stuck['w'] == 1).all()
  moved, _ = run(optax.chain(lrax.adam(1e-3), LINKS[name]()), params, gradient, 300)
  assert moved['w'].dtype == jnp.bfloat16
  # The average of gradients, a bfloat16 as the parameters are, stops a few
  # roundings short of 1: up to a 256th of each step for every 0.1 of b1 missing.
  np.testing.assert_allclose(moved['w'].astype(jnp.float32).mean(), 0.7, atol=0.01)


def test_master_weights_are_float32_training_to_the_bit():
  """With updates that bfloat16 holds exactly the weights are those of float32."""
  rng = np.random.default_rng(0)
  start = jnp.asarray(rng.normal(size=200), jnp.bfloat16)
  steps = [jnp.asarray(rng.normal(size=200) * 1e-3, jnp.bfloat16) for _ in range(50)]
  tx = lrax.transforms.master_weights()
  params, state, exact = start, tx.init(start), start.astype(jnp.float32)
  for update in steps:
    updates, state = tx.update(update, state, params)
    params = optax.apply_updates(params, updates)
    exact = exact + update.astype(jnp.float32)
    np.testing.assert_array_equal(_bfloat16.join(params, state.lost), exact)
    # The nearest: at a tie another one than JAX takes.
    ours, theirs = (np.float64(x) - np.float64(exact)
                    for x in (params, exact.astype(jnp.bfloat16)))
    np.testing.assert_array_equal(np.abs(ours), np.abs(theirs))


def test_halves_of_every_kind_of_float32():
  """Normal, tiny, huge, negative, zero, at a tie: none is changed by a split."""
  rng = np.random.default_rng(1)
  bits = rng.integers(0, 2**32, 100_000, dtype=np.uint32)
  x = jnp.asarray(bits.view(np.float32))
  x = x[jnp.isfinite(x)]
  x = jnp.concatenate([x, jnp.array([0.0, -0.0, 1.00390625, -1.00390625, 3.4e38])])
  nearest, lost = _bfloat16.split(x)
  again = _bfloat16.join(nearest, lost)
  as_bits = lambda a: np.asarray(a).view(np.uint32)
  np.testing.assert_array_equal(as_bits(again), as_bits(x))
  # As near as the nearest; at a tie the one away from 0, where IEEE takes the even.
  # The least numbers are left out: XLA takes them for 0.
  there = np.asarray(nearest.astype(jnp.float32), np.float64)
  usual = np.asarray(x.astype(jnp.bfloat16).astype(jnp.float32), np.float64)
  exact = np.asarray(x, np.float64)
  finite = np.isfinite(there) & np.isfinite(usual) & (np.abs(exact) > 1e-37)
  assert finite.mean() > 0.9
  error = lambda a: np.abs(a - exact)[finite]
  np.testing.assert_array_equal(error(there), error(usual))
  for bad in (jnp.nan, jnp.inf, -jnp.inf):
    nearest, lost = _bfloat16.split(jnp.float32(bad))
    np.testing.assert_array_equal(nearest.astype(jnp.float32), np.float32(bad))
    assert lost == 0


def test_a_parameter_that_was_set_to_0_stays_near_it():
  """The lost bits of another number, below 0, would make a NaN of it."""
  tx = lrax.transforms.master_weights()
  x = jnp.ones(64, jnp.bfloat16)
  _, state = tx.update(jnp.full(64, -1e-3, jnp.bfloat16), tx.init(x), x)
  assert (state.lost != 0).all()
  pruned = jnp.zeros_like(x)
  updates, _ = tx.update(jnp.zeros_like(x), state, pruned)
  after = optax.apply_updates(pruned, updates)
  assert (jnp.abs(after) < 1e-37).all()


def test_rounding_by_chance_is_right_on_average_and_nearest():
  value = jnp.linspace(1.0, 1.0078125, 65)[:, None] * jnp.ones((1, 4096))
  noise = lrax.transforms._moments.Noise(jnp.int32(3)).bits(value.shape)
  rounded = _bfloat16.round_by_chance(value, noise).astype(jnp.float32)
  assert set(np.unique(rounded)) == {1.0, 1.0078125}
  # 4096 draws of a step of 2**-7: a standard deviation of 6e-5 at most.
  np.testing.assert_allclose(rounded.mean(1), value[:, 0], atol=3e-4)
  for bad in (jnp.nan, jnp.inf, -jnp.inf):
    x = jnp.full(3, bad, jnp.float32)
    full = jnp.full(3, 2**32 - 1, jnp.uint32)
    np.testing.assert_array_equal(
        _bfloat16.round_by_chance(x, full).astype(jnp.float32), x
    )


@every_link
def test_other_parameters_pass(name):
  params = {'a': jnp.ones(3), 'b': jnp.ones(3, jnp.bfloat16), 'c': jnp.int32(3)}
  updates = {'a': jnp.full(3, 1e-3), 'b': jnp.ones(3, jnp.bfloat16), 'c': jnp.int32(1)}
  tx = LINKS[name]()
  after, state = jax.jit(tx.update)(updates, tx.init(params), params)
  assert after['a'].dtype == jnp.float32 and (after['a'] == updates['a']).all()
  assert after['c'].dtype == jnp.int32 and after['c'] == 1
  applied = optax.apply_updates(params, after)
  assert applied['b'].dtype == jnp.bfloat16
  assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))


@every_link
def test_trees_and_refusals(name):
  tx = LINKS[name]()
  for empty in ({}, (), {'a': None}, {'a': optax.MaskedNode()}):
    updates, _ = tx.update(empty, tx.init(empty), empty)
    assert updates == empty
  with pytest.raises(ValueError, match=f'{name}: `params`'):
    tx.update(jnp.ones(3), tx.init(jnp.ones(3)))
  with pytest.raises(TypeError, match=rf"{name}: .*float16 at \['w'\]"):
    tx.init({'w': jnp.ones(3, jnp.float16)})


@every_link
def test_nan_is_seen(name):
  x = jnp.ones(3, jnp.bfloat16)
  tx = LINKS[name]()
  g = jnp.array([1.0, jnp.nan, 1.0], jnp.bfloat16)
  updates, _ = tx.update(g, tx.init(x), x)
  assert jnp.isnan(updates).tolist() == [False, True, False]


@every_link
def test_the_rate_is_still_found_and_a_guard_takes_back(name):
  inner = optax.chain(lrax.adam(lrax.linear(0.5, 0.0, steps=4)), LINKS[name]())
  tx = lrax.guard(inner)
  x = jnp.ones(8, jnp.bfloat16)
  state = tx.init(x)
  updates, state = tx.update(x, state, x, value=1.0)
  assert float(lrax.get_learning_rate(state)) == 0.5
  bad, kept = tx.update(x * jnp.nan, state, x, value=1.0)
  assert (bad == 0).all()
  before, after = state.inner_state[-1], kept.inner_state[-1]
  assert all((a == b).all() for a, b in zip(*map(jax.tree.leaves, (before, after))))
