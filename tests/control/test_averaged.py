import math

import jax
from jax import sharding
import jax.numpy as jnp
import numpy as np
import pytest
import runs

import lrax
from lrax.control import averaged
from lrax.control import bold_driver
from lrax.control import early_stop
from lrax.control import reduce_on_plateau

NAN, INF = math.nan, math.inf
DEVICES = 8
PARAMS = {'w': jnp.ones(3)}
SPEC = sharding.PartitionSpec
# Half of the devices see their loss fall, the others a plateau; the mean falls.
LOSSES = np.array([[3.0, 2.0, 1.0, 0.5]] * 4 + [[1.0] * 4] * 4, np.float32)
PLATEAU = reduce_on_plateau(0.5, patience=2)


def over_devices(policy, losses, axis_name='batch'):
  """The rates on each device, in one pmapped run over losses[device, step]."""
  tx = lrax.sgd(0.5 * policy)

  def run(losses):
    def step(state, loss):
      _, state = tx.update(PARAMS, state, value=loss)
      return state, lrax.get_learning_rate(state)

    return jax.lax.scan(step, tx.init(PARAMS), losses)[1]

  return np.asarray(jax.pmap(run, axis_name=axis_name)(np.float32(losses)))


# --- over devices ------------------------------------------------------------


def test_replicas_drift_apart_without_an_axis_and_not_with_it():
  apart = over_devices(PLATEAU, LOSSES)
  np.testing.assert_array_equal(apart[:4], 0.5)
  np.testing.assert_array_equal(apart[4:], [[0.5, 0.5, 0.25, 0.25]] * 4)
  together = over_devices(averaged(PLATEAU, axis_name='batch'), LOSSES)
  np.testing.assert_array_equal(together, 0.5)
  # And not for want of a plateau: here the mean stays where it is.
  opposite = np.where(np.arange(DEVICES) % 2, 1.0, -1.0)[:, None] * np.arange(4.0)
  together = over_devices(averaged(PLATEAU, axis_name='batch'), opposite)
  np.testing.assert_array_equal(together, [[0.5, 0.5, 0.25, 0.25]] * DEVICES)


@pytest.mark.parametrize('bad', [NAN, INF, -INF])
def test_what_is_not_finite_on_one_device_is_not_on_any(bad):
  losses = np.tile(np.float32([3.0, 2.0, 1.0, 0.5]), (DEVICES, 1))
  losses[5, 2] = bad
  policy = averaged(bold_driver(2.0, factor=0.5), 0.0, 'batch')
  expect = [0.5, 1.0, 0.5, 1.0]
  np.testing.assert_array_equal(over_devices(policy, losses), [expect] * DEVICES)


def test_both_infinities_at_once_are_one_failed_evaluation():
  policy = averaged(
      early_stop(patience=1, signal='report'), axis_name='batch'
  )

  def run(metric):
    state = lrax.report(policy.init(), metric)
    return lrax.control.should_stop(policy.update((), state)[1])

  metrics = jnp.ones(DEVICES).at[0].set(INF).at[1].set(-INF)
  assert np.all(jax.pmap(run, axis_name='batch')(metrics))
  assert not np.any(jax.pmap(run, axis_name='batch')(jnp.ones(DEVICES)))


def mesh(**axes):
  shape, names = tuple(axes.values()), tuple(axes)
  types = (sharding.AxisType.Auto,) * len(axes)
  return jax.make_mesh(shape, names, axis_types=types)


def test_shard_map_sees_that_the_state_is_one():
  """With `out_specs` that say so, which JAX itself checks."""
  over = mesh(batch=DEVICES)

  def stepping(policy):
    tx = lrax.sgd(policy)

    def step(state, losses):
      return tx.update(PARAMS, state, value=losses[0])[1]

    specs = dict(mesh=over, in_specs=(SPEC(), SPEC('batch')), out_specs=SPEC())
    return tx, jax.jit(jax.shard_map(step, **specs))

  tx, step = stepping(averaged(0.5 * PLATEAU, axis_name='batch'))
  state = tx.init(PARAMS)
  for losses in LOSSES.T:
    state = step(state, losses)
  shards = lrax.get_learning_rate(state).addressable_shards
  assert [float(shard.data) for shard in shards] == [0.5] * DEVICES
  # The mean of the last losses; sums of eighths are exact.
  assert float(state[-1].memory.inner[0].kept.best) == 0.75

  tx, step = stepping(0.5 * PLATEAU)
  with pytest.raises(ValueError, match='require replication'):
    step(tx.init(PARAMS), LOSSES[:, 0])


def test_several_axes_and_reports():
  policy = averaged(
      reduce_on_plateau(0.5, patience=1, signal='report'),
      axis_name=('data', 'model'),
  )

  def step(state, metrics):
    state = lrax.report(state, metrics[0, 0])
    return policy.update((), state)[1]

  spec = SPEC('data', 'model')
  step = jax.jit(jax.shard_map(
      step, mesh=mesh(data=4, model=2), in_specs=(SPEC(), spec), out_specs=SPEC()
  ))
  metrics = jnp.arange(8.0).reshape(4, 2)
  state = step(policy.init(), metrics)
  kept = lambda s: s.memory.inner.kept
  assert float(kept(state).best) == 3.5
  assert float(step(state, metrics[::-1]).learning_rate) == 0.5
  # What is not finite on one device is a failed evaluation on all.
  failed = step(state, metrics.at[2, 1].set(NAN))
  assert float(failed.learning_rate) == 0.5 and float(kept(failed).best) == 3.5


# --- over time ---------------------------------------------------------------


def test_smoothing_is_the_average_without_bias():
  policy = averaged(reduce_on_plateau(0.5, signal='value', rtol=0.0), 0.75)
  values = np.float32([8.0, 6.0, 7.0, 1.0, 0.5])

  @jax.jit
  def bests(values):
    def step(state, value):
      _, state = policy.update((), state, value=value)
      return state, state.memory.inner.kept.best

    return jax.lax.scan(step, policy.init(), values)[1]

  weights = 0.75 ** np.arange(5)[::-1]
  expect = [
      np.average(values[:n], weights=weights[-n:]) for n in range(1, 6)
  ]
  # Three roundings a step in float32, each of half an ulp, over five steps.
  np.testing.assert_allclose(
      bests(values), np.minimum.accumulate(expect), rtol=15 * 2.0**-24
  )


def test_no_smoothing_changes_nothing():
  losses = [0.1, 0.3, NAN, 0.2, 0.7, INF, 0.05, 0.1]
  driver = bold_driver()
  np.testing.assert_array_equal(
      runs.rates(averaged(driver), losses), runs.rates(driver, losses)
  )


def test_one_lucky_batch_does_not_hide_the_trend():
  losses = 10.0 - np.arange(400) / 100
  losses[200] = -3.0  # below all that come after it
  policy = reduce_on_plateau(0.5, patience=50)
  # It raises the bar for good, 199 steps of which are three cuts; averaged it
  # is a dip of 0.02 * 11, which the trend of 0.01 a step passes in 16.
  assert runs.rates(policy, losses)[-1] == 0.125
  assert runs.rates(averaged(policy, 0.98), losses)[-1] == 1


def test_what_is_not_finite_is_heard_and_not_averaged_in():
  policy = averaged(bold_driver(2.0, factor=0.5), 0.5)
  # Averages: 4, then that again and not NaN, (4 + 2 * 1) / 3 = 2.
  rates = runs.rates(policy, [NAN, 4.0, INF, 1.0])
  np.testing.assert_array_equal(rates, [0.5, 0.5, 0.25, 0.5])


def test_reports_are_averaged_and_updates_between_them_are_not():
  policy = averaged(bold_driver(2.0, factor=0.5, signal='report'), 0.5)
  # Averages: 6, 4, 26 / 7.
  rates = runs.reported_rates(policy, [6.0, 3.0, 3.5])
  np.testing.assert_array_equal(rates, [[1, 1], [2, 2], [4, 4]])


def test_the_average_waits_for_its_segment():
  """After a warmup it has heard nothing of the warmup."""
  policy = averaged(bold_driver(2.0, factor=0.5), 0.5).with_warmup(3, 0.25)
  # Of 900 there would be an average far above 6, and of 6 a fall.
  rates = runs.rates(policy, [900.0, 900.0, 900.0, 6.0, 3.0])
  np.testing.assert_array_equal(rates, [0.25, 0.5, 0.75, 1.0, 2.0])


def test_an_average_of_an_open_loop_is_that_one():
  line = lrax.linear(1.0, 0.0, steps=4)
  policy = averaged(line, 0.9, 'batch')
  assert not policy.closed_loop and policy.init().memory == ()
  steps = np.arange(6)
  np.testing.assert_array_equal(policy(steps), line(steps))


def test_the_state_keeps_its_dtypes(x64):
  policy = averaged(0.5 * PLATEAU, smoothing=0.9)
  state = policy.init()
  dtypes = lambda state: [leaf.dtype for leaf in jax.tree.leaves(state)]
  for value in (1.0, jnp.bfloat16(0.5), np.float32(2.0)):
    _, after = policy.update((), state, value=value)
    assert dtypes(after) == dtypes(state)
    assert set(dtypes(after)) == {jnp.dtype('int32'), jnp.dtype('float64')}
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(after))


@pytest.mark.parametrize('name, value, error', [
    ('smoothing', 1.0, ValueError),
    ('smoothing', -0.5, ValueError),
    ('axis_name', 3, TypeError),
    ('axis_name', (), TypeError),
    ('axis_name', ('batch', None), TypeError),
    ('schedule', 0.1, TypeError),
])
def test_bad_arguments_are_refused(name, value, error):
  with pytest.raises(error, match=f'averaged: `{name}` must be'):
    averaged(**{'schedule': PLATEAU, name: value})
