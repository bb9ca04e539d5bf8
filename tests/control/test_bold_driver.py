import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs

import lrax
from lrax.control import bold_driver

NAN, INF = math.nan, math.inf


def test_grows_while_the_loss_falls_and_is_cut_when_it_rises():
  policy = bold_driver(growth=2.0, factor=0.25)
  losses = np.array([3.0, 2.0, 1.0, 1.0, 1.5, 1.25])
  expect = [1.0, 2.0, 4.0, 4.0, 1.0, 2.0]
  np.testing.assert_array_equal(runs.rates(policy, losses), expect)
  mirrored = bold_driver(growth=2.0, factor=0.25, mode='max')
  np.testing.assert_array_equal(runs.rates(mirrored, -losses), expect)


def test_the_papers_factors_are_the_defaults():
  rates = runs.rates(bold_driver(), [3.0, 2.0, 3.0])
  # One product in float32 each.
  grown = np.float32(1.05)
  np.testing.assert_array_equal(rates, [1.0, grown, grown * np.float32(0.7)])


def test_a_small_rise_is_let_pass_whatever_the_sign():
  policy = bold_driver(growth=2.0, factor=0.5, rtol=0.125)
  rates = runs.rates(policy, [[8.0, 9.0, 10.5], [-8.0, -7.0, -6.0]])
  np.testing.assert_array_equal(rates, [[1, 1, 0.5], [1, 1, 0.5]])


def test_what_is_not_finite_cuts_and_is_not_compared_with():
  policy = bold_driver(growth=2.0, factor=0.5)
  rates = runs.rates(policy, [
      [NAN, 3.0, INF, 2.0, -INF, 2.5], [3.0, NAN, NAN, 3.0, 2.0, 1.0],
  ])
  np.testing.assert_array_equal(rates, [
      [0.5, 0.5, 0.25, 0.5, 0.25, 0.125], [1.0, 0.5, 0.25, 0.25, 0.5, 1.0],
  ])


def test_stays_within_its_bounds():
  policy = bold_driver(growth=2.0, factor=0.5, min_scale=0.3, max_scale=3.0)
  rates = runs.rates(policy, [[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
  np.testing.assert_array_equal(
      rates, np.float32([[1, 2, 3, 3], [1, 0.5, 0.3, 0.3]])
  )


def test_a_report_is_heard_once_at_the_next_update():
  policy = bold_driver(growth=2.0, factor=0.5, signal='report')
  rates = runs.reported_rates(policy, [3.0, 2.0, 4.0])
  np.testing.assert_array_equal(rates, [[1, 1], [2, 2], [1, 1]])


def test_finds_a_rate_for_gradient_descent():
  """On a quadratic of curvature 1 a rate above 2 diverges; it leaves both ends."""
  curvature = jnp.array([1.0, 0.01])
  loss = lambda w: 0.5 * jnp.sum(curvature * w**2)

  def run(rate):
    tx = lrax.sgd(rate * bold_driver(factor=0.5, max_scale=1e4, min_scale=1e-4))

    def step(carry, _):
      w, state = carry
      value, grads = jax.value_and_grad(loss)(w)
      updates, state = tx.update(grads, state, w, value=value)
      return (w + updates, state), None

    w = jnp.ones(2)
    (w, _), _ = jax.lax.scan(step, (w, tx.init(w)), length=300)
    return loss(w)

  # Without it, 300 steps of 1e-3 leave the flat direction where it was, at half
  # of 0.01 * 0.997**2, and those of 3 multiply the steep one by 2 each.
  final = jax.jit(jax.vmap(run))(jnp.array([1e-3, 3.0]))
  assert np.all(final < 1e-3), final


@pytest.mark.parametrize('name, value', [
    ('growth', 0.5), ('factor', 1.0), ('rtol', -1.0), ('max_scale', 0.5),
    ('mode', 'up'), ('signal', 'loss'),
])
def test_bad_arguments_are_refused(name, value):
  with pytest.raises(ValueError, match=f'bold_driver: `{name}` must be'):
    bold_driver(**{name: value})
