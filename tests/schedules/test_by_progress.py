"""A schedule whose clock is the share of the work that is done."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax

POLICY = lrax.by_progress(lrax.linear(1.0, 0.0, steps=1000), total=1000)
PARAMS = {'w': jnp.ones(3)}


def rate(progress):
  _, state = POLICY.update(PARAMS, POLICY.init(), PARAMS, progress=progress)
  return state.learning_rate


@pytest.mark.parametrize('progress', [0.25, jnp.bfloat16(0.25), np.float64(0.25)])
def test_the_rate_is_that_of_the_share_of_the_steps(progress):
  assert rate(progress) == jax.jit(rate)(progress) == 0.75


@pytest.mark.parametrize('progress, expected', [(-1.0, 1.0), (2, 0.0), (np.inf, 0.0)])
def test_a_share_out_of_range_is_the_nearer_end(progress, expected):
  assert rate(progress) == jax.jit(rate)(progress) == expected


def test_a_nan_keeps_the_step_of_the_last_update():
  _, state = POLICY.update(PARAMS, POLICY.init(), PARAMS, progress=0.5)
  _, state = POLICY.update(PARAMS, state, PARAMS, progress=jnp.nan)
  assert state.learning_rate == 0.5


@pytest.mark.parametrize('progress', [jnp.ones(2), 'a', 1j, True])
def test_what_is_no_real_scalar_is_refused(progress):
  with pytest.raises(TypeError, match='by_progress: `progress` must be a real scalar'):
    rate(progress)


def test_an_update_without_it_is_refused():
  with pytest.raises(ValueError, match='by_progress: needs the signal `progress`'):
    POLICY.update(PARAMS, POLICY.init(), PARAMS)
