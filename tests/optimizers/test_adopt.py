"""ADOPT against the paper and timm."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
import trajectories

import lrax


def test_follows_the_paper():
  trajectories.assert_follows('adopt', lrax.adopt)


def test_follows_the_paper_where_the_bound_acts():
  build = lambda rate: lrax.adopt(rate, b2=0.5)
  trajectories.assert_follows('adopt_clipped', build)


def test_follows_the_first_version_of_the_paper():
  build = lambda rate: lrax.adopt(rate, b2=0.5, use_clipping=False)
  trajectories.assert_follows('adopt_unclipped', build)


def test_follows_timm_with_coupled_decay():
  build = lambda rate: optax.chain(
      optax.add_decayed_weights(0.1), lrax.adopt(rate, b2=0.9)
  )
  trajectories.assert_follows('adopt_coupled', build)


def _run(tx, gradients):
  gradients = [jnp.asarray(g) for g in gradients]
  state, updates = tx.init(gradients[0]), []
  for g in gradients:
    update, state = tx.update(g, state)
    updates.append(update)
  return updates, state


def test_the_first_step_only_fills_nu():
  (update,), state = _run(lrax.transforms.scale_by_adopt(), [-3.0])
  assert float(update) == 0.0
  assert (float(state.mu), float(state.nu), int(state.count)) == (0.0, 9.0, 1)


def test_the_divisor_is_of_the_gradients_before():
  # nu is 4 at the second step, whose scaled gradient 1/2 is halved by b1; then
  # (4 + 1) / 2, of which the root divides 0.
  tx = lrax.transforms.scale_by_adopt(b1=0.5, b2=0.5)
  updates, state = _run(tx, [2.0, 1.0, 0.0])
  assert [float(u) for u in updates] == [0.0, 0.25, 0.125]
  assert float(state.nu) == 1.25


def test_the_bound_is_a_power_of_the_step():
  # Gradients grow far faster than the bounds 1, 2**(1/4) and 3**(1/4).
  tx = lrax.transforms.scale_by_adopt(b1=0.0, b2=0.0)
  updates, _ = _run(tx, [1.0, 1e3, -1e6, 1e9])
  # One float32 power.
  np.testing.assert_allclose(updates, [0, 1, -(2**0.25), 3**0.25], rtol=3e-7)
  tx = lrax.transforms.scale_by_adopt(b1=0.0, b2=0.0, clip_power=0.5)
  updates, _ = _run(tx, [1.0, 1e3, -1e6, 1e9])
  np.testing.assert_allclose(updates, [0, 1, -(2**0.5), 3**0.5], rtol=3e-7)


@pytest.mark.parametrize('eps', [0.0, 1e-6])
def test_a_first_gradient_after_zeros_is_at_its_bound(eps):
  """nu is 0 then: no NaN, no infinity, and no blow-up."""
  tx = lrax.transforms.scale_by_adopt(b1=0.0, eps=eps)
  updates, _ = _run(tx, [0.0, 0.0, -1e-3])
  np.testing.assert_allclose(updates, [0, 0, -(2**0.25)], rtol=3e-7)


def test_the_absolute_value_of_a_complex_number_is_bounded():
  tx = lrax.transforms.scale_by_adopt(b1=0.0)
  updates, _ = _run(tx, [jnp.complex64(1), jnp.complex64(300 + 400j)])
  # Some float32 roundings of 6e-8.
  np.testing.assert_allclose(updates[1], 0.6 + 0.8j, rtol=3e-7)


def test_a_gradient_of_nan_is_seen_at_once():
  (update,), _ = _run(lrax.transforms.scale_by_adopt(), [jnp.array([1.0, jnp.nan])])
  assert jnp.isnan(update).tolist() == [False, True]


def test_bfloat16_updates_after_the_first_are_those_of_float32_rounded():
  gradients = np.random.default_rng(0).normal(size=(3, 5)).astype(jnp.bfloat16)
  narrow, _ = _run(lrax.transforms.scale_by_adopt(mu_dtype=jnp.float32), gradients)
  wide, _ = _run(lrax.transforms.scale_by_adopt(), gradients.astype(np.float32))
  assert narrow[-1].dtype == jnp.bfloat16
  # One rounding to bfloat16.
  np.testing.assert_allclose(
      np.float32(narrow[-1]), wide[-1], rtol=2**-8, atol=0
  )


@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize('use_clipping', [False, True])
def test_equals_optax(nesterov, use_clipping):
  arguments = {'b2': 0.9, 'nesterov': nesterov, 'use_clipping': use_clipping}
  gradients = np.random.default_rng(0).normal(size=(50, 3))
  with jax.enable_x64(True):
    ours, _ = _run(lrax.adopt(0.1, **arguments), gradients)
    theirs, _ = _run(optax.contrib.adopt(0.1, **arguments), gradients)
  # The same formula in float64; 50 steps gather about 1e-14.
  np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize(
    'name, value', [('b1', 1.0), ('b2', 1.0), ('eps', -1.0), ('clip_power', -1.0)]
)
def test_refuses_arguments_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'scale_by_adopt: `{name}` must be'):
    lrax.adopt(0.1, **{name: value})
