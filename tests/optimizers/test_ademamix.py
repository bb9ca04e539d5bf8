"""AdEMAMix against the paper and pytorch_optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
import trajectories

import lrax


def test_follows_the_paper():
  build = lambda rate: lrax.ademamix(rate, b3=0.999)
  trajectories.assert_follows('ademamix', build)


def test_follows_the_paper_with_warm_ups():
  build = lambda rate: lrax.ademamix(
      rate, b3=0.999, weight_decay=0.05, warmup_steps=40
  )
  trajectories.assert_follows('ademamix_warmup', build)


def _run(tx, gradients):
  gradients = [jnp.asarray(g) for g in gradients]
  state, updates = tx.init(gradients[0]), []
  for g in gradients:
    update, state = tx.update(g, state)
    updates.append(update)
  return np.array(updates), state


def _slow(steps, warmup_steps, b1=0.9, b3=0.9999):
  """The slow average of ones, from the half-lives of section 3, in float64."""
  half_life = lambda decay: np.log(0.5) / np.log(decay)
  slow = 0.0
  for t in range(1, steps + 1):
    p = min(t / warmup_steps, 1)
    life = (1 - p) * half_life(b1) + p * half_life(b3)
    decay = min(0.5 ** (1 / life), b3)
    slow = decay * slow + (1 - decay)
  return slow


@pytest.mark.parametrize('steps', [1, 3, 20, 40, 60])
def test_the_half_life_of_the_slow_average_grows_linearly(steps):
  tx = lrax.transforms.scale_by_ademamix(warmup_steps=40)
  _, state = _run(tx, np.ones(steps, np.float32))
  # Some float32 roundings of 6e-8 a step, most of which the decay forgets.
  np.testing.assert_allclose(state.slow, _slow(steps, 40), rtol=3e-6)


def test_alpha_grows_linearly():
  # The fast and the slow average of a decay of 0 are the gradient.
  tx = lrax.transforms.scale_by_ademamix(
      b1=0.0, b2=0.0, b3=0.0, alpha=8.0, eps=0.0, warmup_steps=4
  )
  updates, _ = _run(tx, np.full(6, -2.0, np.float32))
  # 1 + 8 * min(t / 4, 1), exact in binary.
  assert updates.tolist() == [-3.0, -5.0, -7.0, -9.0, -9.0, -9.0]


@pytest.mark.parametrize('warmup_steps', [0, 1])
def test_a_warm_up_of_no_length_vanishes(warmup_steps):
  gradients = np.random.default_rng(0).normal(size=20)
  with jax.enable_x64(True):
    ours, _ = _run(
        lrax.transforms.scale_by_ademamix(b3=0.99, warmup_steps=warmup_steps), gradients
    )
    theirs, _ = _run(
        optax.contrib.scale_by_ademamix(b3=0.99, alpha=5.0), gradients
    )
  # The same formula in float64; 20 steps gather about 1e-14.
  np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_the_length_of_the_warm_up_may_be_traced():
  def last(warmup_steps):
    tx = lrax.transforms.scale_by_ademamix(warmup_steps=warmup_steps)
    state = tx.init(jnp.ones(()))
    for _ in range(3):
      update, state = tx.update(jnp.ones(()), state)
    return update

  lengths = jnp.array([0, 4, 10])
  together = jax.jit(jax.vmap(last))(lengths)
  # Some float32 roundings, of 1 - 0.9999 too where it is a Python number.
  np.testing.assert_allclose(together, [last(int(n)) for n in lengths], rtol=2e-6)


def test_without_alpha_it_is_adamw():
  gradients = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)
  params = jnp.ones(3)
  steps = []
  for tx in (
      lrax.ademamix(0.1, alpha=0.0, weight_decay=0.1),
      lrax.adamw(0.1, weight_decay=0.1),
  ):
    state = tx.init(params)
    for g in gradients:
      update, state = tx.update(jnp.asarray(g), state, params)
    steps.append(update)
  np.testing.assert_array_equal(*steps)


def test_the_slow_average_of_bfloat16_gradients_moves():
  """In bfloat16 0.9999 of it is all of it, and 1e-4 more is nothing."""
  g = jnp.ones(2, jnp.bfloat16)
  tx = lrax.transforms.scale_by_ademamix(mu_dtype=jnp.bfloat16)
  _, state = _run(tx, [g] * 30)
  assert state.mu.dtype == jnp.bfloat16
  # Some float32 roundings of 6e-8 a step.
  np.testing.assert_allclose(state.slow, 1 - 0.9999**30, rtol=2e-6)


def test_alpha_and_b3_may_be_schedules():
  tx = lrax.transforms.scale_by_ademamix(
      b1=0.0, b2=0.0, b3=optax.linear_schedule(0.0, 0.5, 1),
      alpha=lrax.linear(4.0, 8.0, steps=1), eps=0.0,
  )
  updates, _ = _run(tx, np.array([1.0, -2.0], np.float32))
  # slow is 1, then 1/2 - 1: (1 + 4) / 1 and (-2 - 8/2) / 2.
  assert updates.tolist() == [5.0, -3.0]


@pytest.mark.parametrize('name, value', [('b3', 1.0), ('alpha', -1.0)])
def test_refuses_arguments_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'scale_by_ademamix: `{name}` must be'):
    lrax.ademamix(0.1, **{name: value})


def test_refuses_a_length_that_is_not_whole():
  with pytest.raises(ValueError, match='scale_by_ademamix: `warmup_steps` must be'):
    lrax.ademamix(0.1, warmup_steps=0.5)
