import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs

import lrax
from lrax.control import reduce_on_plateau

NAN, INF = math.nan, math.inf
LOSSES = [
    3.0, 2.0, 2.5, 1.9999, 2.0, 2.1, NAN, 1.5, 1.6, 1.7, 1.8, 1.5,
    1.5, 1.5, 1.5, 1.2, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3,
]
SCORES = [-loss for loss in LOSSES]
# What other libraries gave for the same metrics, from a rate of 1. They compute
# in float64, and every product with 0.5 is exact: so must ours be.
PYTORCH = {  # torch 2.13.0, torch.optim.lr_scheduler.ReduceLROnPlateau
    'plain': (
        dict(factor=0.5, patience=2), LOSSES,
        [1.0] * 4 + [0.5] * 6 + [0.25] * 3 + [0.125] * 5 + [0.0625] * 3
        + [0.03125] * 3,
    ),
    'cooldown and floor': (
        dict(factor=0.5, patience=2, cooldown=2, min_scale=0.2), LOSSES,
        [1.0] * 4 + [0.5] * 6 + [0.25] * 8 + [0.2] * 6,
    ),
    'absolute of a maximum below zero': (
        dict(mode='max', factor=0.5, patience=1, rtol=0.0, atol=0.25, cooldown=1),
        SCORES,
        [1.0] * 3 + [0.5] * 3 + [0.25] * 3 + [0.125] * 3 + [0.0625] * 5
        + [0.03125] * 3 + [0.015625] * 3 + [0.0078125],
    ),
}
KERAS = {  # keras 3.15.1, keras.callbacks.ReduceLROnPlateau
    'plain': (
        dict(factor=0.5, patience=2, rtol=0.0, atol=1e-4, min_scale=0.1), LOSSES,
        [1.0] * 3 + [0.5] * 2 + [0.25] * 4 + [0.125] * 2 + [0.1] * 13,
    ),
    'cooldown of one': (
        dict(
            factor=0.5, patience=2, rtol=0.0, atol=1e-4, min_scale=0.1, cooldown=1
        ),
        LOSSES,
        [1.0] * 3 + [0.5] * 2 + [0.25] * 4 + [0.125] * 2 + [0.1] * 13,
    ),
    'cooldown of three': (
        dict(
            factor=0.5, patience=2, rtol=0.0, atol=1e-4, min_scale=0.1, cooldown=3
        ),
        LOSSES,
        [1.0] * 3 + [0.5] * 6 + [0.25] * 4 + [0.125] * 4 + [0.1] * 7,
    ),
    'maximum': (
        dict(
            mode='max', factor=0.5, patience=3, rtol=0.0, atol=0.25, cooldown=2
        ),
        SCORES,
        [1.0] * 4 + [0.5] * 6 + [0.25] * 4 + [0.125] * 4 + [0.0625] * 4
        + [0.03125] * 2,
    ),
}


@pytest.mark.parametrize('case', PYTORCH)
def test_pytorch_style_is_pytorch(case):
  arguments, metrics, expect = PYTORCH[case]
  policy = reduce_on_plateau(patience_style='pytorch', **arguments)
  np.testing.assert_array_equal(runs.rates(policy, metrics), np.float32(expect))


@pytest.mark.parametrize('case', KERAS)
def test_keras_style_is_keras(case):
  arguments, metrics, expect = KERAS[case]
  policy = reduce_on_plateau(patience_style='keras', **arguments)
  np.testing.assert_array_equal(runs.rates(policy, metrics), np.float32(expect))


def test_paper_style_is_optax_where_that_is_right():
  """Positive losses and a patience of at least 1."""
  losses = np.nan_to_num(np.float32(LOSSES), nan=9.0)
  arguments = dict(factor=0.5, patience=2, atol=1e-3, cooldown=2, min_scale=0.1)
  theirs = optax.contrib.reduce_on_plateau(**arguments)
  params = jnp.ones(())

  @jax.jit
  def run(losses):
    def step(state, loss):
      _, state = theirs.update(params, state, value=loss)
      return state, state.scale

    return jax.lax.scan(step, theirs.init(params), losses)[1]

  ours = runs.rates(reduce_on_plateau(**arguments), losses)
  np.testing.assert_array_equal(ours, run(losses))
  # Not one cut for ever: both went to the floor.
  assert ours[-1] == np.float32(0.1) and len(np.unique(ours)) == 5


def test_a_constant_metric_is_a_plateau_whatever_its_sign():
  metrics = np.array([[-1.0], [0.0], [1.0]]) * np.ones(7)
  expect = [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125]
  for mode in ('min', 'max'):
    for style, patience in (('paper', 2), ('pytorch', 1)):
      policy = reduce_on_plateau(
          0.5, patience, mode=mode, patience_style=style
      )
      np.testing.assert_array_equal(runs.rates(policy, metrics), [expect] * 3)


def test_a_relative_threshold_asks_for_a_share_of_the_size():
  """A tenth better: below by a tenth of 1, whatever the sign."""
  policy = reduce_on_plateau(0.5, patience=1, rtol=0.125)
  # The first line's second metric gains an eighth of 1 exactly, which is not
  # enough; that of the second line gains a quarter.
  rates = runs.rates(policy, [
      [1.0, 0.875, 0.75], [1.0, 0.75, 0.625],
      [-1.0, -1.125, -1.25], [-1.0, -1.25, -1.5],
  ])
  np.testing.assert_array_equal(
      rates, [[1, 0.5, 0.5], [1, 1, 1], [1, 0.5, 0.5], [1, 1, 1]]
  )


def test_thresholds_of_zero_ask_for_any_improvement():
  policy = reduce_on_plateau(0.5, patience=1, rtol=0.0)
  below = float(np.nextafter(np.float32(1), np.float32(0)))
  np.testing.assert_array_equal(
      runs.rates(policy, [1.0, below, below]), [1, 1, 0.5]
  )


def test_what_is_not_finite_is_bad_and_never_the_best():
  metrics = np.array([
      [NAN, INF, -INF, 1.0, 0.9, 0.8],
      [1.0, -INF, 0.9, INF, NAN, 0.8],
      [1.0, 0.9, 0.8, NAN, 0.7, -INF],
  ])
  expect = [
      [0.5, 0.25, 0.125, 0.125, 0.125, 0.125],
      [1.0, 0.5, 0.5, 0.25, 0.125, 0.125],
      [1.0, 1.0, 1.0, 0.5, 0.5, 0.25],
  ]
  for mode, sign in (('min', 1), ('max', -1)):
    policy = reduce_on_plateau(0.5, patience=1, mode=mode)
    np.testing.assert_array_equal(runs.rates(policy, sign * metrics), expect)


def test_a_patience_of_0_is_as_1():
  metrics = [1.0, 1.0, 0.5, 0.5, 0.25]
  for style in ('paper', 'keras'):
    none, one = (
        runs.rates(reduce_on_plateau(0.5, p, patience_style=style), metrics)
        for p in (0, 1)
    )
    np.testing.assert_array_equal(none, [1.0, 0.5, 0.5, 0.25, 0.25])
    np.testing.assert_array_equal(one, none)


def test_a_report_is_heard_once_at_the_next_update():
  policy = reduce_on_plateau(0.5, patience=2, signal='report')
  rates = runs.reported_rates(policy, [1.0, 1.0, 1.0, INF, 1.0])
  np.testing.assert_array_equal(rates[:, 0], [1.0, 1.0, 0.5, 0.5, 0.25])
  np.testing.assert_array_equal(rates[:, 0], rates[:, 1])


def test_each_signal_ignores_the_other():
  by_report = reduce_on_plateau(0.5, patience=1, signal='report')
  by_value = reduce_on_plateau(0.5, patience=1)

  @jax.jit
  def run(state):
    state = lrax.report(state, 1.0)  # worse than each value, and the same again
    for value in (0.5, 0.25, 0.125):
      state = (by_report.update((), state[0], value=value)[1],
               by_value.update((), state[1], value=value)[1])
    return [s.memory.kept for s in state]

  told, given = run((by_report.init(), by_value.init()))
  assert (told.best, told.bad, told.scale) == (1.0, 0, 1.0)
  assert (given.best, given.bad, given.scale) == (0.125, 0, 1.0)


def test_hyperparameters_may_be_traced():
  factors, patiences = jnp.array([0.5, 0.25]), jnp.array([1, 2])

  def run(factor, patience):
    policy = reduce_on_plateau(factor, patience, cooldown=patience)
    state = policy.init()
    for _ in range(4):
      _, state = policy.update((), state, value=1.0)
    return state.learning_rate

  np.testing.assert_array_equal(
      jax.jit(jax.vmap(run))(factors, patiences), [0.25, 0.25]
  )


def test_multi_steps_hands_on_the_last_micro_batch():
  tx = optax.MultiSteps(lrax.sgd(reduce_on_plateau(0.5, patience=1)), 2)
  params = {'w': jnp.ones(())}
  step = jax.jit(lambda s, v: tx.update(params, s, params, value=v)[1])
  state = tx.init(params)
  rates = []
  for loss in (9.0, 1.0, 9.0, 1.0, 0.0, 2.0):
    state = step(state, loss)
    rates.append(float(lrax.get_learning_rate(state)))
  # Heard: 1, 1, 2. The 0 of a first micro-batch is never the best.
  assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]


def test_an_update_without_its_value_says_both_ways():
  policy = 0.1 * reduce_on_plateau()
  with pytest.raises(ValueError, match=(
      'reduce_on_plateau: needs the signal `value`, which this update did not'
      " get; call tx.update.*value=.* Or pass signal='report' .* with lrax.report"
  )):
    policy.update((), policy.init())


@pytest.mark.parametrize('value', [np.ones(2), np.complex64(1)])
def test_a_value_that_is_no_real_scalar_is_refused(value):
  policy = reduce_on_plateau()
  with pytest.raises(TypeError, match='`value` must be a real scalar, got'):
    policy.update((), policy.init(), value=value)


@pytest.mark.parametrize('name, value, rule', [
    ('factor', 0.0, r'in \(0, 1\)'),
    ('factor', 1.0, r'in \(0, 1\)'),
    ('patience', -1, 'a whole number >= 0'),
    ('patience', 1.5, 'a whole number >= 0'),
    ('cooldown', -1, 'a whole number >= 0'),
    ('rtol', -0.1, '>= 0'),
    ('atol', NAN, '>= 0'),
    ('min_scale', 1.5, r'in \[0, 1\]'),
    ('mode', 'minimum', "'min', 'max'"),
    ('patience_style', 'torch', "'paper', 'pytorch', 'keras'"),
    ('signal', 'loss', "'value', 'report'"),
])
def test_bad_arguments_are_refused(name, value, rule):
  with pytest.raises(ValueError, match=f'reduce_on_plateau: `{name}` must .*{rule}'):
    reduce_on_plateau(**{name: value})
