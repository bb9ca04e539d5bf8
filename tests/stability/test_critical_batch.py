"""What a noise scale says of the batch and the rate."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax.stability import advise_batch_size


def test_the_critical_batch_takes_twice_of_either():
  advice = advise_batch_size(430.4)
  assert advice.value == {'batch_size': 430}
  assert 'twice the least steps' in advice.reason and 'order of' in str(advice)


def test_the_rate_is_that_of_the_noise_scale_rule():
  for exponent in (0.5, 1.0):
    advice = advise_batch_size(1000, 64, learning_rate=0.1, exponent=exponent)
    rule = lrax.scale.noise_scale_rule(0.1, 64, 1000, 1000, exponent)
    assert advice.value['learning_rate'] == rule.value
    # (1 + 1000 / 64) / 2 by the paper's form.
    want = 0.1 * (16.625 / 2) ** exponent
    assert rule.value == pytest.approx(want, rel=1e-12)  # a few roundings
  assert '16.6 times the least steps' in advice.reason
  assert '1.06 times the least examples' in advice.reason


def test_the_extremes_are_advice_too():
  assert advise_batch_size(1e-30).value['batch_size'] == 1
  assert 'one example is large enough' in advise_batch_size(0.2, 8).reason
  huge = advise_batch_size(1e30, 10, learning_rate=1.0)
  assert huge.value['batch_size'] == 10**30 or huge.value['batch_size'] > 9e29
  assert math.isfinite(huge.value['learning_rate']) and len(huge.reason) < 400
  assert advise_batch_size(jnp.float32(64)).value == {'batch_size': 64}


@pytest.mark.parametrize('bad', [math.inf, math.nan, 0.0, -3.0, jnp.inf, np.nan])
def test_what_the_data_cannot_tell_is_refused_in_words(bad):
  with pytest.raises(ValueError, match='cannot tell'):
    advise_batch_size(bad)
  with pytest.raises(ValueError, match='cannot tell'):
    advise_batch_size(jnp.asarray(bad))


def test_a_measured_noise_scale_brings_its_interval():
  data = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
  task = lrax.tasks.Task(
      init=lambda key: jnp.zeros(3), loss=lambda w, x, key: jnp.mean((x + 1) @ w),
      train=lrax.tasks.Arrays(data, 4), validation=lrax.tasks.Arrays(data), steps=1,
  )
  found = lrax.stability.noise_scale(task, jnp.zeros(3))
  low, high = found.interval
  assert f'({low:,.3g} to {high:,.3g})' in advise_batch_size(found).reason
  lost = dataclasses.replace(found, noise_scale=math.inf, verdict='It is lost.')
  with pytest.raises(ValueError, match='It is lost'):
    advise_batch_size(lost)


@pytest.mark.parametrize(
    'options, error',
    [
        ({'batch_size': 0}, ValueError),
        ({'batch_size': 1.5}, ValueError),
        ({'learning_rate': 0.1}, ValueError),
        ({'learning_rate': 0.0, 'batch_size': 1}, ValueError),
        ({'exponent': 0.4}, ValueError),
        ({'noise_scale': 'a'}, TypeError),
    ],
)
def test_bad_calls_are_refused(options, error):
  with pytest.raises(error):
    advise_batch_size(**{'noise_scale': 10.0} | options)
