"""State functions through `monitor`, its losses, and the history of a run."""

from __future__ import annotations

import json
import math

from flax import nnx
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.diagnose import _losses
from lrax.diagnose import history
from lrax.diagnose import monitor

PARAMS = {'a': jnp.ones(3), 'b': jnp.ones(2)}


def nested(every=200):
  """Monitors under the labels of a partition, inside a chain."""
  rate = lambda: lrax.linear(1.0, 0.0, steps=4)
  parts = {
      'body': monitor(lrax.sgd(rate()), every=every),
      'head': monitor(lrax.adam(rate() * lrax.control.newbob()), every=every),
  }
  labels = {'a': 'body', 'b': 'head'}
  return optax.chain(optax.clip(9.0), optax.partition(parts, labels))


def test_state_functions_reach_through_it_at_any_depth():
  state = nested().init(PARAMS)
  rates = lrax.get_learning_rate(state)
  assert {name: float(x) for name, x in rates.items()} == {'body': 1.0, 'head': 1.0}
  state = lrax.set_learning_rate(state, 0.25, group='body')
  state = lrax.scale_learning_rate(state, 0.5, group='head')
  state = lrax.restart_schedule(state, 2)
  state = lrax.report(state, 0.7, group='head')
  found = lrax.metrics(state)
  assert float(found['learning_rate_overridden/body']) == 1
  assert float(found['learning_rate_scale/head']) == 0.5
  assert int(found['learning_rate_step/head']) == 2
  # The monitors say whose they are, and have measured nothing yet.
  assert int(found['monitor_step/body']) == int(found['monitor_step/head']) == 0
  assert math.isnan(float(found['monitor_gradient_norm/head']))


def test_the_label_of_a_partition_is_before_the_group():
  params = {'a': jnp.ones(2), 'b': {'c': jnp.ones(2), 'd': jnp.ones(1)}}
  parts = {
      'x': monitor(optax.identity(), {'b/c': 'b/c', 'b': 'b/d'}),
      'y': monitor(optax.identity(), []),
  }
  labels = {'a': 'y', 'b': 'x'}
  found = lrax.metrics(optax.partition(parts, labels).init(params))
  updates = [name for name in found if name.startswith('monitor_updates')]
  assert updates == ['monitor_updates/x', 'monitor_updates/y']
  assert history([found]).groups == ('x', 'x/b/c', 'x/b', 'y')


def test_eval_params_reach_through_it():
  tx, plain = monitor(lrax.schedule_free_sgd(0.5)), lrax.schedule_free_sgd(0.5)
  found = lrax.eval_params(tx.init(PARAMS), PARAMS)
  want = lrax.eval_params(plain.init(PARAMS), PARAMS)
  assert found['a'].tolist() == want['a'].tolist()


def test_metrics_of_a_monitor_need_no_rate_of_lrax():
  state = monitor(optax.adam(0.1)).init(PARAMS)
  assert set(map(type, lrax.metrics(state))) == {str}
  assert 'learning_rate' not in lrax.metrics(state)
  with pytest.raises(ValueError, match='no lrax learning rate was found'):
    lrax.metrics(optax.adam(0.1).init(PARAMS))


def trained(tx):
  state = tx.init(PARAMS)
  return state._replace(
      step=jnp.int32(7), measured=jnp.int32(6), sample_step=jnp.int32(7),
      overall=jnp.arange(9.0), groups={n: jnp.arange(9.0) + 1 for n in state.groups},
      loss=_losses.push(state.loss, 2.0, 0.9), sample=state.sample + 1,
  )


def test_transplant_carries_measurements_and_no_sample():
  old = trained(monitor(lrax.sgd(0.1), ['a', 'b']))
  tx = monitor(lrax.adam(0.1), ['b'])
  moved = lrax.transplant(old, tx.init(PARAMS))
  assert int(moved.state.step) == 7 and int(moved.state.measured) == 6
  assert moved.state.overall.tolist() == list(range(9))
  assert float(moved.state.loss.mean) == 2.0
  # The next cosine is of two updates of the new optimizer.
  assert int(moved.state.sample_step) == 0 and float(moved.state.sample.sum()) == 0
  assert any('mu' in text for text in moved.fresh)


def test_an_nnx_optimizer():
  model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
  optimizer = nnx.Optimizer(model, monitor(lrax.sgd(0.1)), wrt=nnx.Param)

  @nnx.jit
  def step(model, optimizer):
    grads = nnx.grad(lambda m: jnp.sum(m(jnp.ones((1, 2)))))(model)
    optimizer.update(model, grads)

  step(model, optimizer)
  found = lrax.metrics(optimizer.opt_state)
  # The kernel's are six ones, the bias's three.
  assert float(found['monitor_gradient_norm']) == pytest.approx(3.0)
  assert float(found['monitor_gradient_norm/bias']) == pytest.approx(math.sqrt(3))


# --- losses ----------------------------------------------------------------------


def pushed(losses, decay):
  state = _losses.start()
  for loss in losses:
    state = _losses.push(state, loss, decay)
  return state


def test_losses_are_first_averaged_and_then_smoothed():
  losses = np.random.default_rng(0).normal(3.0, 1.0, 12)
  # Of the first ten a plain mean, as 1 - decay = 1 / 10; float32 rounds by 6e-8 each.
  state = pushed(losses[:10], 0.9)
  assert float(state.mean) == pytest.approx(np.mean(losses[:10]), rel=1e-6)
  assert float(state.deviation) == pytest.approx(np.std(losses[:10]), rel=1e-6)
  mean, variance = np.mean(losses[:10]), np.var(losses[:10])
  for loss in losses[10:]:
    # The weights 0.9 and 0.1 of what was and of the new one.
    new = 0.9 * mean + 0.1 * loss
    second = 0.9 * (variance + mean**2) + 0.1 * loss**2
    mean, variance = new, second - new**2
  state = pushed(losses, 0.9)
  assert float(state.mean) == pytest.approx(mean, rel=1e-6)
  assert float(state.deviation) == pytest.approx(math.sqrt(variance), rel=1e-5)


def test_the_lowest_loss_and_the_updates_since():
  state = pushed([3.0, 1.0, 2.0, math.nan, 1.0], 0.5)
  assert (float(state.lowest), int(state.since_lowest)) == (1.0, 3)
  assert int(state.seen) == 4


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_left_out(bad):
  state, clean = pushed([bad, 1.0, bad, 3.0], 0.5), pushed([1.0, 3.0], 0.5)
  for name in ('mean', 'deviation', 'lowest', 'last'):
    assert getattr(state, name) == getattr(clean, name)


def test_losses_whose_squares_overflow():
  state = pushed([3e38, -3e38], 0.5)
  # Mean and deviation of two numbers that are apart by more than the largest one.
  assert abs(float(state.mean)) < 1e32
  assert float(state.deviation) == pytest.approx(3e38, rel=1e-6)
  assert float(pushed([3e38, -3e38, 1.0, 1.0], 0.0).deviation) == 0.0


# --- history -----------------------------------------------------------------------


def test_history_of_rows():
  rows = [
      {'step': np.int32(10), 'loss': jnp.float32(2), 'learning_rate/a': 0.1, 't': 'x'},
      {'step': 20, 'val_loss': 3.0, 'learning_rate/a': 0.2, 'learning_rate/b': 0.3},
  ]
  found = history(rows)
  assert found.step.dtype == np.int64 and found.step.tolist() == [10, 20]
  np.testing.assert_array_equal(found.loss, [2, np.nan])
  np.testing.assert_array_equal(found.validation_loss, [np.nan, 3])
  np.testing.assert_array_equal(found.learning_rate, [0.1, 0.3])
  assert 't' not in found.values
  assert json.loads(json.dumps(found.to_dict()))['loss'] == [2, None]


def test_history_names_and_defaults():
  found = history([{'train': 1.0, 'monitor_loss': 5.0}] * 3, loss='train')
  assert found.step.tolist() == [0, 1, 2] and found.loss.tolist() == [1, 1, 1]
  assert history({'monitor_loss': np.ones(2)}).loss.tolist() == [1, 1]
  assert history([]).step.tolist() == history({}).step.tolist() == []
  assert history([{}, {}]).step.tolist() == [0, 1]


@pytest.mark.parametrize(
    'rows, names, error, says',
    [
        ('log', {}, TypeError, '`rows` must be a list of dicts'),
        ([1.0], {}, TypeError, '`rows` must be a list of dicts'),
        ({'a': np.ones(2), 'b': np.ones(3)}, {}, ValueError, 'and one length'),
        ({'a': np.ones((2, 3))}, {}, ValueError, 'of one axis'),
        ([{'a': 1.0}], {'loss': 'b'}, ValueError, r"`loss` must be one of \['a'\]"),
        ([{'step': 1}, {}], {}, ValueError, 'row 1 has none'),
        ([{'step': 0.5}], {}, ValueError, '`step` must be a whole number'),
    ],
)
def test_a_history_that_is_none(rows, names, error, says):
  with pytest.raises(error, match=says):
    history(rows, **names)
