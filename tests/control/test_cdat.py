import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax.control import averaged
from lrax.control import cdat

START = jnp.array([1.0, -2.0, 0.5])
CURVATURE = jnp.array([1.0, 4.0, 16.0])


def bowl(w):
  return 0.5 * jnp.sum(CURVATURE * w**2)


def newton(w, direction):
  """The step to the lowest point of the bowl along a direction."""
  curvature = np.float64(CURVATURE)
  w, direction = np.float64(w), np.float64(direction)
  return np.sum(curvature * w * direction) / np.sum(curvature * direction**2)


def rates(policy, directions, loss=bowl, w=START):
  state, found = policy.init(), []
  for direction in directions:
    state = policy.update(direction, state, w, value_fn=loss)[1]
    found.append(float(state.learning_rate))
  return found


# --- the paper's formula -----------------------------------------------------


@pytest.mark.parametrize('sigma', [1.0, 2.0])
@pytest.mark.parametrize('direction', [CURVATURE * START, jnp.array([1.0, -1.0, 1.0])])
def test_of_a_parabola_it_is_sigma_times_newtons_step(sigma, direction):
  found = rates(cdat(10.0, sigma=sigma), [direction])
  # Sums of three products in float32, divided.
  np.testing.assert_allclose(
      found, sigma * newton(START, direction), rtol=16 * 2.0**-24
  )


def test_two_is_the_edge_of_stability():
  """There a step ends as high on the other side of the valley."""
  direction = CURVATURE * START
  for sigma, sign in ((1.9, -1), (2.1, 1)):
    rate = rates(cdat(10.0, sigma=sigma), [direction])[0]
    change = bowl(START - rate * direction) - bowl(START)
    assert np.sign(change) == sign


def test_slope_and_curvature_are_averaged_apart():
  """By hand in float64, of a loss that is no parabola."""
  with jax.enable_x64(True):
    loss = lambda w: jnp.sum(jnp.exp(w)) + jnp.sum(w**4)
    w = jnp.asarray(np.float64(START))
    directions = [jnp.array([1.0, 0.5, 0.25]), jnp.array([0.0, -1.0, 2.0])]
    found = rates(cdat(100.0, smoothing=0.75), directions, loss, w)
    x, above, below, expect = np.float64(START), 0.0, 0.0, []
    for direction in directions:
      d = np.float64(direction)
      slope = np.sum((np.exp(x) + 4 * x**3) * d)
      bend = np.sum((np.exp(x) + 12 * x**2) * d**2)
      above = 0.75 * above + 0.25 * max(slope, 0)
      below = 0.75 * below + 0.25 * abs(bend)
      expect.append(min(2 * above / below, 100.0))
    np.testing.assert_allclose(found, expect, rtol=1e-13)


def test_eps_is_added_to_the_curvature():
  loss = lambda w: jnp.sum(w)  # slope 3 and no curvature along ones
  found = rates(cdat(10.0, eps=4.0), [jnp.ones(3)], loss)
  assert found == [1.5]


# --- faults ------------------------------------------------------------------


def test_a_straight_loss_takes_the_highest_rate():
  assert rates(cdat(0.5), [jnp.ones(3)], lambda w: jnp.sum(w)) == [0.5]


def test_a_bend_downwards_counts_by_its_size():
  """-w ** 2 at 1 along -1: slope 2 and curvature 2."""
  loss = lambda w: -(w**2)
  assert rates(cdat(10.0, sigma=1.0), [-jnp.ones(())], loss, jnp.ones(())) == [1.0]


def test_uphill_there_is_no_step():
  assert rates(cdat(), [-CURVATURE * START]) == [0.0]


def test_zero_gradients_are_finite():
  assert rates(cdat(), [jnp.zeros(3)]) == [0.0]
  steep = CURVATURE * START
  # A step of 0 adds nothing to either average: the rate stays.
  found = rates(cdat(10.0), [steep, jnp.zeros(3)])
  np.testing.assert_allclose(found[1], found[0], rtol=8 * 2.0**-24)


def test_what_is_not_finite_is_passed_over():
  steep = CURVATURE * START
  expect = rates(cdat(10.0), [steep])[0]
  found = rates(cdat(10.0), [jnp.full(3, math.nan), steep, jnp.full(3, 1e30)])
  np.testing.assert_array_equal(found, [0.0, expect, expect])


def test_half_precision_parameters_are_measured():
  """The derivative goes through the rounding of the parameters."""
  loss = lambda w: bowl(w.astype(jnp.float32))
  start, direction = START.astype(jnp.bfloat16), (CURVATURE * START)
  found = rates(cdat(10.0), [direction.astype(jnp.bfloat16)], loss, start)
  # These numbers are bfloat16's; what is left are roundings of the derivatives,
  # of 2**-9 each.
  np.testing.assert_allclose(found, 2 * newton(START, direction), rtol=4 * 2.0**-9)


# --- signals and company -----------------------------------------------------


def test_missing_signals_are_named():
  policy = cdat()
  with pytest.raises(ValueError, match='cdat: needs the signal `value_fn`'):
    policy.update(START, policy.init(), START)
  with pytest.raises(ValueError, match='cdat: needs the signal `params`'):
    policy.update(START, policy.init(), value_fn=bowl)


def test_multiplies_a_schedule_and_comes_after_a_warmup():
  steep = CURVATURE * START
  alone = np.float32(rates(cdat(8.0, smoothing=0.0), [steep])[0])
  line = lrax.linear(1.0, 0.0, steps=4)
  found = rates((line * cdat(8.0, smoothing=0.0)).with_warmup(2), [steep] * 4)
  np.testing.assert_allclose(
      found, [0.0, 4.0, alone, 0.75 * alone], rtol=2.0**-23
  )


def test_replicas_take_one_rate():
  """By the derivatives of the mean loss, which is 4.5 times as steep."""
  policy = averaged(cdat(10.0), axis_name='batch')

  def step(scale):
    loss = lambda w: scale * bowl(w)
    grads = jax.lax.pmean(jax.grad(loss)(START), 'batch')
    state = policy.update(grads, policy.init(), START, value_fn=loss)[1]
    return state.learning_rate

  found = np.asarray(jax.pmap(step, axis_name='batch')(jnp.arange(1.0, 9.0)))
  assert len(set(found.tolist())) == 1
  expect = 2 * newton(START, CURVATURE * START) / 4.5
  np.testing.assert_allclose(found, expect, rtol=32 * 2.0**-24)


@pytest.mark.parametrize('name, value', [
    ('max_value', 0.0), ('sigma', 0.0), ('smoothing', 1.0), ('eps', -1.0),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'cdat: `{name}` must be'):
    cdat(**{name: value})
