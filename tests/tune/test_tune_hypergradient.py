"""Derivatives through training: closed forms, finite differences, and warnings."""

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.tasks import Arrays
from lrax.tasks import Stream
from lrax.tasks import Task
from lrax.tune import _cautions
from lrax.tune import _coordinates
from lrax.tune import _optimizer
from lrax.tune import _policies
from lrax.tune import _reliability
from lrax.tune import _unrolled

CURVATURE = np.array([1.0, 0.3, 0.05])
ORIGIN = np.array([1.0, -2.0, 0.5])


def quadratic(steps=20):
  """Half the sum of curvature * w ** 2: SGD multiplies w by 1 - rate * curvature."""
  # Copies, since JAX keeps what it made of an array when x64 was on or off.
  curvature, origin = CURVATURE.copy(), ORIGIN.copy()

  def loss(w, batch, key):
    return 0.5 * jnp.sum(curvature * w**2)

  ones = Arrays(np.ones(1))
  return Task(
      init=lambda key: jnp.asarray(origin), loss=loss, train=ones, validation=ones,
      steps=steps, name='quadratic',
  )


@jax.custom_vjp
def square(x):
  """Has no derivative forwards of its own."""
  return x**2


square.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))


def examples():
  rng = np.random.default_rng(0)
  inputs = rng.normal(size=(40, 6))
  inputs[:, 0] = 0.0  # its weights never get a gradient
  return inputs, np.sin(inputs.sum(1, keepdims=True))


def network():
  """An MLP; it validates in three batches, the last one smaller."""
  data = examples()

  def init(key):
    # Normal numbers from the host: compiling a generator takes most of a test.
    rng = np.random.default_rng(0)
    return {
        'w': jnp.asarray(rng.normal(size=(6, 8)) / 2),
        'b': jnp.zeros(8),
        'v': jnp.asarray(rng.normal(size=(8, 1)) / 2),
    }

  def loss(params, batch, key):
    inputs, targets = batch
    hidden = jax.nn.relu(inputs @ params['w'] + params['b'])
    return jnp.mean(square(hidden @ params['v'] - targets))

  return Task(
      init=init, loss=loss, train=Arrays(data, 8), validation=Arrays(data, 16),
      steps=60, name='network',
  )


def unrolled(task, optimizer, at, steps, schedule: Any = 'cosine'):
  """The run that `hypergradient` differentiates, and where."""
  point = _coordinates.Point(
      at, _optimizer.as_optimizer(optimizer, 'test'),
      _policies.as_shape(schedule, 'test'), steps, 'test',
  )
  return _unrolled.Unrolled(task, point.optimizer, steps, point.table), point.where


def differences(run, where, seed, by=1e-5):
  """Central ones, of the validation loss."""
  loss = lambda step: run(where + step, seed).validation_loss
  return np.asarray([
      (loss(step) - loss(-step)) / (2 * by) for step in by * np.eye(len(where))
  ])


def test_sgd_on_a_quadratic_in_closed_form(x64):
  found = lrax.tune.hypergradient(
      quadratic(), {'learning_rate': 0.1}, optimizer='sgd', steps=20
  )
  moves = 0.05 * (1 + np.cos(np.pi * np.arange(20) / 20))[:, None] * CURVATURE
  last = ORIGIN * (1 - moves).prod(0)
  # Twenty products in float64.
  np.testing.assert_allclose(
      found.validation_loss, 0.5 * (CURVATURE * last**2).sum(), rtol=1e-13
  )
  slope = -(CURVATURE * last**2 * (moves / (1 - moves)).sum(0)).sum()
  np.testing.assert_allclose(found.gradient['learning_rate'], slope, rtol=1e-12)
  # The seed plays no part; three numbers' mean is rounded.
  assert found.spread['learning_rate'] < 1e-15
  assert found.directions == {'learning_rate': 1}
  assert found.coordinates == {'learning_rate': 'log(learning_rate)'}
  assert found.warnings == ()
  assert 'Raise learning_rate: the loss moves by -' in found.verdict


AT = {'learning_rate': 0.01, 'b1': 0.8, 'b2': 0.99, 'weight_decay': 0.1, 'eps': 1e-4}


def test_adam_against_finite_differences(x64):
  """Of a loss without derivatives forwards, and with weights without gradients."""
  run, where = unrolled(network(), 'adamw', AT, 30)
  found = run.run(where, 0)
  # Differences err by the square of 1e-5 and by 1e-16 / 1e-5, of losses near 1.
  expected = differences(run.run, where, 0)
  np.testing.assert_allclose(found.gradient, expected, rtol=1e-6, atol=1e-9)
  assert (np.abs(expected) > 1e-6).all()


def stateful():
  """Momentum SGD on batches from the host, with state of every kind."""

  def init(key):
    state = {'mean': jnp.zeros(()), 'count': jnp.zeros((), jnp.int32), 'key': key}
    return {'w': jnp.asarray(ORIGIN)}, state

  def loss(params, state, batch, key):
    mean = 0.9 * state['mean'] + 0.1 * params['w'].mean()
    state = {**state, 'mean': mean, 'count': state['count'] + 1}
    return jnp.mean((batch @ params['w'] - 1) ** 2) + 0.1 * mean**2, state

  def evaluate(params, state, batch):
    return jnp.mean((batch @ params['w'] - 1) ** 2) + state['mean'] ** 2

  def batches(seed):
    rng = np.random.default_rng(seed)
    while True:
      yield rng.normal(size=(4, 3))

  def to_validate(seed):
    rng = np.random.default_rng(99)
    yield from (rng.normal(size=(4, 3)), rng.normal(size=(2, 3)))

  return Task(
      init=init, loss=loss, evaluate=evaluate, train=Stream(batches),
      validation=Stream(to_validate), steps=20, stateful=True, name='stateful',
  )


def test_streams_and_state_against_finite_differences(x64, monkeypatch):
  """In chunks of 3 batches, of which the last is not full."""
  monkeypatch.setattr(_unrolled, '_CHUNK_BYTES', 3 * 4 * 3 * 8)
  at = {'learning_rate': 0.02, 'momentum': 0.7}
  run, where = unrolled(stateful(), 'sgd', at, 20, 'constant')
  assert len(list(run._chunks(0))) == 7
  found = run.run(where, 1)
  expected = differences(run.run, where, 1)
  np.testing.assert_allclose(found.gradient, expected, rtol=1e-6, atol=1e-9)
  # All that a run is does not depend on how its batches come.
  monkeypatch.setattr(_unrolled, '_CHUNK_BYTES', 2**20)
  whole, _ = unrolled(stateful(), 'sgd', at, 20, 'constant')
  assert len(list(whole._chunks(0))) == 1
  np.testing.assert_allclose(
      whole.run(where, 1).gradient, found.gradient, rtol=1e-12  # rounding
  )


def test_memory_does_not_grow_with_the_steps():
  ones = Arrays(np.ones(1))
  task = Task(
      init=lambda key: jnp.ones(64), loss=lambda w, batch, key: jnp.tanh(w).sum(),
      train=ones, validation=ones, steps=500, name='many',
  )

  def scratch(steps):
    run, where = unrolled(task, 'sgd', {'learning_rate': 0.01}, steps)
    where, seed = jnp.asarray(where, jnp.float32), np.int32(0)
    dual = jax.eval_shape(run._begin, where, seed)
    lowered = run._advance.lower(
        dual, where, seed, np.int32(steps), run._data[0], None, np.int32(0)
    )
    analysis = lowered.compile().memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes

  # The losses, their derivatives and the rates, of 4 bytes a step, a few times;
  # what a derivative backwards keeps, the 64 weights of each step, is 256 bytes.
  assert scratch(500) - scratch(50) <= 450 * 4 * 10


@pytest.mark.parametrize('optimizer', [lrax.adamw, optax.adam, lrax.nadam])
def test_a_root_of_zero_gets_an_eps_root(optimizer):
  """The derivative of an update by a gradient of 0 that stays 0, in float32."""

  def moved(make):
    tx = make(0.1)
    update = lambda g: tx.update(g, tx.init(g), jnp.ones(1))[0]
    return jax.jvp(update, (jnp.zeros(1),), (jnp.zeros(1),))[1]

  assert np.isnan(moved(optimizer))
  assert moved(_coordinates.smooth(optimizer)) == 0
  # What has a root of its own keeps it.
  own = functools.partial(optimizer, eps_root=1e-8)
  assert _coordinates.smooth(own) is own
  assert _coordinates.smooth(lrax.sgd) is lrax.sgd


def test_a_derivative_that_is_not_finite_is_said():
  ones = Arrays(np.ones(1))
  task = Task(
      init=lambda key: jnp.ones(2), loss=lambda w, batch, key: w[0] ** 2, train=ones,
      validation=ones, steps=10, name='half used',
  )
  plain = functools.partial(lrax.adam, eps_root=1e-60)  # 0 in float32
  found = lrax.tune.hypergradient(
      task, {'learning_rate': 0.01}, optimizer=plain, steps=10, seeds=1
  )
  assert np.isnan(found.gradient['learning_rate'])
  assert np.isfinite(found.validation_loss)
  assert found.warnings[0].kind == 'derivative not finite'
  assert 'eps_root > 0' in found.verdict
  assert found.directions == {'learning_rate': 0}
  assert json.loads(json.dumps(found.to_dict()))['gradient']['learning_rate'] is None


def kinds(runs, steps=40, task_steps=40, rounded=(), clip=1.0):
  """Of the cautions about some runs, of one coordinate."""
  mean = _reliability.average(runs, clip)
  found = _cautions.cautions(
      runs, mean, ['learning_rate'], range(len(runs)), steps, task_steps, rounded
  )
  return [caution.kind for caution in found]


def test_divergence_is_said():
  at = {'learning_rate': 2.5}
  run, where = unrolled(quadratic(), 'sgd', at, 40, 'constant')
  high, lost = run.run(where, 0), run.run(np.log([1e3]), 0)
  assert kinds([high, high]) == ['diverged', 'explodes', 'no fall', 'clipped']
  assert not np.isfinite(lost.validation_loss)
  assert kinds([lost, lost])[0] == 'loss not finite'
  assert not _reliability.trusted([high]) and not _reliability.trusted([lost])
  # Clipped to the scale, which is the first loss, since none fell below it.
  mean = _reliability.average([high], 1.0)
  np.testing.assert_allclose(mean.gradient, high.losses[:1], rtol=1e-12)


def noisy(noise=0.5, dim=500):
  """SGD on half the squared distance to a noisy point."""

  def batches(seed):
    rng = np.random.default_rng(seed)
    while True:
      yield rng.normal(size=dim).astype(np.float32)

  return Task(
      init=lambda key: jnp.full(dim, 2.0),
      loss=lambda w, batch, key: 0.5 * jnp.mean((w - noise * batch) ** 2),
      evaluate=lambda w, batch: 0.5 * jnp.mean(w**2),
      train=Stream(batches), validation=Arrays(np.ones(1)), steps=30, name='noisy',
  )


def test_the_sign_on_either_side_of_the_best_rate():
  """In float32; the expected loss is known, and lowest near a rate of 0.12 * dim."""

  def expected(rate):
    mean = 2.0 * (1 - rate) ** 30
    left = (1 - rate) ** 2
    variance = (rate * 0.5) ** 2 * (1 - left**30) / (1 - left)
    return 0.5 * (mean**2 + variance)

  # The mean over 500 coordinates divides the curvature by 500.
  run, where = unrolled(noisy(), 'sgd', {'learning_rate': 20.0}, 30, 'constant')
  for rate, sign in ((0.04, -1), (0.5, 1)):
    assert sign == np.sign(expected(rate * 1.001) - expected(rate))
    runs = [run.run(np.log([500 * rate]), seed) for seed in range(3)]
    mean = _reliability.average(runs, 1.0)
    slope = (expected(rate * 1.001) - expected(rate / 1.001)) / (2 * np.log(1.001))
    # Sums of 500 squares over three seeds: a relative spread of sqrt(2 / 1500),
    # 3.7%, of the loss, and as much of its slope; five of those.
    np.testing.assert_allclose(mean.gradient, slope, rtol=0.18)
    assert np.sign(mean.gradient) == sign and mean.agreement == 1
    assert _reliability.settled(mean) and _reliability.trusted(runs)
    assert kinds(runs, 30, 30) == []


def run_of(gradient, losses=(2.0, 1.5, 1.0, 0.5), slopes=0.1, diverged=False):
  """A run as it might have been, of one coordinate."""
  losses = np.asarray(losses)
  return _unrolled.Derivative(
      losses[-1], np.asarray([gradient]), losses, np.full((1, len(losses)), slopes),
      diverged,
  )


def test_the_mean_over_seeds():
  runs = [run_of(1.0), run_of(-3.0), run_of(-2.0)]
  mean = _reliability.average(runs, 1.0)
  # By hand: -3 is clipped to -2, the first loss.
  assert mean.gradient == [-1.0] and mean.clipped
  np.testing.assert_allclose(mean.spread, [np.sqrt(3.0)])
  np.testing.assert_allclose(mean.agreement, [2 / 3])
  np.testing.assert_array_equal(mean.by_seed, [[1.0, -3.0, -2.0]])
  loose = _reliability.average(runs, None)
  assert not loose.clipped and loose.gradient == [-4 / 3]
  assert np.isnan(_reliability.average(runs[:1], 1.0).spread[0])
  # Losses about 0: what they fall by is the scale.
  assert _reliability.scale_of(np.array([0.1, -5.0, -4.0])) == 5.1


def test_each_caution():
  calm = [run_of(-0.5), run_of(-0.6), run_of(-0.55)]
  assert kinds(calm) == []
  assert kinds(calm, task_steps=41) == ['short horizon']
  assert kinds(calm, rounded=['int8']) == ['rounded']
  assert kinds(calm[:1]) == ['one seed']
  assert kinds(calm, clip=0.1) == ['clipped']
  assert kinds([*calm, run_of(0.5)]) == ['sign open']
  assert kinds([run_of(-0.01), run_of(-0.02), run_of(-0.3)]) == ['sign open']
  assert kinds([*calm[:2], run_of(-0.5, slopes=2.1)]) == ['explodes']
  assert kinds([*calm[:2], run_of(-0.5, slopes=1.9)]) == []
  assert kinds([*calm[:2], run_of(-0.5, diverged=True)]) == ['diverged']
  rising = run_of(-0.5, losses=(1.0, 1.0, 1.0, 1.1))
  assert kinds([*calm[:2], rising]) == ['no fall']
  lost = run_of(np.nan, losses=(2.0, np.inf, np.nan, np.nan), slopes=np.nan)
  assert kinds([*calm, lost]) == ['loss not finite']
  overflowed = run_of(np.inf, slopes=3.0)
  assert kinds([*calm, overflowed])[:2] == ['derivative not finite', 'explodes']


def test_what_is_rounded_is_named():
  at = {'learning_rate': 0.01}
  ones = Arrays(np.ones(1))
  task = Task(
      init=lambda key: jnp.ones((256, 256)), loss=lambda w, batch, key: w.sum(),
      train=ones, validation=ones, steps=5, name='wide',
  )

  def rounded(optimizer):
    run, where = unrolled(task, optimizer, at, 5)
    return run.rounded(where)

  assert rounded('adam') == []
  assert rounded('adam(nu_dtype="block8")') == ['uint8']
  half = functools.partial(lrax.adam, mu_dtype=jnp.bfloat16)
  assert rounded(half) == ['bfloat16']


def test_a_schedule_of_ones_own_may_have_numbers_too(x64):
  def tail(rate, steps, end=0.5):
    return lrax.linear(rate, end * rate, steps)

  at = {'learning_rate': 0.1, 'end': 0.3}
  run, where = unrolled(quadratic(), 'sgd', at, 20, tail)
  found = run.run(where, 0)
  expected = differences(run.run, where, 0)
  np.testing.assert_allclose(found.gradient, expected, rtol=1e-6)


@pytest.mark.parametrize(('change', 'error', 'words'), [
    ({'task': 'digits'}, TypeError, '`task` must be a lrax.tasks.Task'),
    ({'at': 0.1}, TypeError, '`at` must be a dict'),
    ({'at': {'b1': 0.9}}, ValueError, "one with 'learning_rate'"),
    ({'at': {'learning_rate': 0.0}}, ValueError, 'must be a finite number > 0'),
    ({'at': {'learning_rate': 0.1, 'b1': 1.0}}, ValueError, r'in \[0, 1\)'),
    ({'at': {'learning_rate': 0.1, 'lr': 1.0}}, ValueError, "got 'lr'"),
    ({'at': {'learning_rate': 0.1, 'nesterov': 1.0}}, TypeError, 'may be traced'),
    ({'at': {'learning_rate': 0.1, 'warmup_fraction': 0.1}}, TypeError, 'traced'),
    ({'optimizer': 'adamv'}, ValueError, 'did you mean'),
    ({'schedule': 'cosin'}, ValueError, 'did you mean'),
    ({'steps': 0}, ValueError, '`steps` must be'),
    ({'seeds': []}, ValueError, '`seeds` must be'),
    ({'clip': 0.0}, ValueError, '`clip` must be'),
])
def test_bad_arguments_are_refused(change, error, words):
  arguments = {'task': quadratic(), 'at': {'learning_rate': 0.1}} | change
  task, at = arguments.pop('task'), arguments.pop('at')
  with pytest.raises(error, match=words):
    lrax.tune.hypergradient(task, at, **arguments)


def test_a_validation_without_batches_is_refused():
  task = quadratic()
  empty = Task(
      init=task.init, loss=task.loss, train=task.train, steps=3,
      validation=Stream(lambda seed: []), name='empty',
  )
  with pytest.raises(ValueError, match='empty: `validation` must give'):
    lrax.tune.hypergradient(
        empty, {'learning_rate': 0.1}, optimizer='sgd', steps=3, seeds=1
    )
