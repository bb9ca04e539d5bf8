"""`Task`: its two forms, its checks, and models of the frameworks people use."""

import dataclasses
import weakref

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import single_runs

import lrax
from lrax.tasks import Arrays
from lrax.tasks import Drawn
from lrax.tasks import Stream
from lrax.tasks import Task

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5, 0.0], np.float32) + 0.3).astype(np.float32)
BATCHES = [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 64, 16)]


def plain(**changes):
  """A line fitted to X and Y, with anything replaced."""
  arguments = {
      'init': lambda key: jnp.zeros(4),
      'loss': lambda params, batch, key: jnp.mean((batch[0] @ params - batch[1]) ** 2),
      'train': Stream(lambda seed: BATCHES),
      'validation': Arrays((X, Y)),
      'steps': 20,
      'name': 'line',
  }
  return Task(**(arguments | changes))


def stateful(**changes):
  """The same line, with a state that counts its batches."""
  def loss(params, state, batch, key):
    return jnp.mean((batch[0] @ params - batch[1]) ** 2), state + 1

  return plain(**{
      'init': lambda key: (jnp.zeros(4), jnp.zeros((), jnp.int32)),
      'loss': loss,
      'evaluate': lambda params, state, batch: jnp.float32(state),
      'stateful': True,
  } | changes)


KEY = jax.random.key(0)


def test_plain_form():
  task = plain()
  params, state = task.start(KEY)
  assert state == ()
  loss, state = task.training_loss(params, state, BATCHES[0], KEY)
  # Zero parameters: the loss is the mean square of the targets. One rounding
  # for each of 16 squares and sums: 1e-6 is eight float32 ulps.
  np.testing.assert_allclose(loss, np.mean(Y[:16].astype(float) ** 2), rtol=1e-6)
  assert state == ()
  assert task.validation_loss(params, state, BATCHES[0]) == loss


def test_plain_form_gives_the_loss_no_key_where_nothing_else_evaluates():
  keys = []

  def loss(params, batch, key):
    keys.append(key)
    return jnp.mean(params)

  task = plain(loss=loss)
  task.training_loss(jnp.zeros(4), (), BATCHES[0], KEY)
  task.validation_loss(jnp.zeros(4), (), BATCHES[0])
  assert keys[0] is KEY
  assert keys[1] is None


def test_evaluate_takes_the_place_of_loss():
  task = plain(evaluate=lambda params, batch: jnp.float32(7.0))
  assert task.validation_loss(jnp.zeros(4), (), BATCHES[0]) == 7.0


def test_stateful_form():
  task = stateful()
  params, state = task.start(KEY)
  loss, state = task.training_loss(params, state, BATCHES[0], KEY)
  assert state == 1
  assert loss == plain().training_loss(params, (), BATCHES[0], KEY)[0]
  assert task.validation_loss(params, state, BATCHES[0]) == 1.0


def test_stateful_form_may_have_no_state():
  task = stateful(
      init=lambda key: (jnp.zeros(4), ()),
      loss=lambda params, state, batch, key: (jnp.mean(params), state),
      evaluate=lambda params, state, batch: jnp.mean(params),
  )
  assert task.start(KEY)[1] == ()
  test = lrax.tune.range_test(task, 'sgd', steps=10, max_value=1.0, seeds=1)
  # Each of four parameters falls by a quarter of the rate: the loss by a quarter
  # of their sum. Ten float32 roundings are under 2e-6.
  expected = -np.concatenate([[0], np.cumsum(test.learning_rates)[:-1]]) / 4
  np.testing.assert_allclose(test.losses[0], expected, rtol=2e-6)


def test_the_state_of_the_last_step_is_what_is_evaluated():
  """The state counts the steps; evaluate gives it back."""
  found = lrax.tune.find(stateful(), 'sgd', steps=7, seeds=1)
  trained = [row.validation_loss for row in found.rows if not row.diverged]
  assert trained and set(trained) == {7.0}


def test_a_task_is_frozen_and_can_be_changed_by_replace():
  task = plain()
  with pytest.raises(dataclasses.FrozenInstanceError):
    task.steps = 3
  assert dataclasses.replace(task, steps=3).steps == 3


@pytest.mark.parametrize(
    'changes, error, says',
    [
        ({'init': 3}, TypeError, 'Task: `init` must be a function'),
        ({'loss': None}, TypeError, 'Task: `loss` must be a function'),
        ({'evaluate': 'mse'}, TypeError, 'Task: `evaluate` must be a function'),
        ({'train': (X, Y)}, TypeError, 'Task: `train` must be Arrays, Drawn or Stream'),
        ({'validation': None}, TypeError, 'Task: `validation` must be Arrays'),
        ({'train': Arrays}, TypeError, 'Task: `train` must be Arrays'),
        ({'steps': 0}, ValueError, 'Task: `steps` must be a whole number >= 1'),
        ({'steps': 2.5}, ValueError, 'Task: `steps`'),
        ({'steps': '10'}, TypeError, 'Task: `steps`'),
        ({'stateful': 1}, TypeError, 'Task: `stateful` must be True or False'),
        ({'stateful': True}, ValueError, 'Task: `evaluate` must be given'),
        ({'name': None}, TypeError, 'Task: `name` must be a string'),
    ],
)
def test_refuses_what_it_cannot_train(changes, error, says):
  with pytest.raises(error, match=says):
    plain(**changes)


def test_steps_may_be_of_numpy_or_jax_and_are_a_python_int():
  for steps in (np.int64(12), jnp.asarray(12), 12.0):
    assert type(plain(steps=steps).steps) is int
    assert plain(steps=steps).steps == 12


@pytest.mark.parametrize(
    'value, got',
    [
        (lambda: jnp.zeros(3), r'an array of shape \(3,\)'),
        (lambda: jnp.zeros((1,)), r'an array of shape \(1,\)'),
        (lambda: jnp.zeros((), jnp.int32), 'a scalar of int32'),
        (lambda: jnp.zeros((), bool), 'a scalar of bool'),
        (lambda: jnp.zeros((), jnp.complex64), 'a scalar of complex64'),
        (lambda: (jnp.zeros(()), {}), 'a tuple'),
        (lambda: None, 'a NoneType'),
        (lambda: 'low', 'a str'),
    ],
)
def test_a_loss_that_is_no_real_scalar_is_refused_with_the_name_of_the_task(value, got):
  task = plain(loss=lambda params, batch, key: value())
  with pytest.raises(
      TypeError, match=f'^line: `loss` must return a floating-point scalar, got {got}; '
  ):
    lrax.tune.range_test(task, 'sgd', seeds=1)


def test_a_loss_that_is_no_scalar_is_refused_while_tracing():
  """No step is computed: the check costs a trace and not a run."""
  computed = []

  def loss(params, batch, key):
    jax.debug.callback(lambda: computed.append(1))
    return (batch[0] @ params - batch[1]) ** 2

  with pytest.raises(TypeError, match=r'^line: `loss` .* shape \(\d+,\)'):
    lrax.tune.find(plain(loss=loss), 'sgd', steps=5, seeds=1)
  jax.effects_barrier()
  assert not computed


def test_an_evaluation_that_is_no_scalar_is_refused_by_its_name():
  task = plain(evaluate=lambda params, batch: batch[0] @ params)
  with pytest.raises(TypeError, match=r'^line: `evaluate` must return'):
    lrax.tune.find(task, 'sgd', steps=2, seeds=1)


def test_losses_of_lower_precision_are_real_scalars_too():
  task = plain(
      init=lambda key: jnp.zeros(4, jnp.bfloat16),
      loss=lambda p, b, key: jnp.mean((b[0].astype(p.dtype) @ p - b[1]) ** 2).astype(
          jnp.bfloat16
      ),
  )
  test = lrax.tune.range_test(task, 'sgd', steps=10, max_value=1e-3, seeds=1)
  assert np.isfinite(test.losses).all()


@pytest.mark.parametrize(
    'changes, says',
    [
        (
            {'init': lambda key: jnp.zeros(4)},
            r'^line: `init` must return \(params, state',
        ),
        (
            {'loss': lambda p, s, b, key: jnp.mean(p)},
            r'^line: `loss` must return \(loss, state',
        ),
    ],
)
def test_a_stateful_function_without_its_state_is_refused(changes, says):
  with pytest.raises(TypeError, match=says):
    lrax.tune.range_test(stateful(**changes), 'sgd', seeds=1)


@pytest.mark.parametrize(
    'state', [jnp.zeros(3), {'count': jnp.zeros(())}, ()], ids=['shape', 'dict', 'none']
)
def test_a_state_that_changes_its_form_is_refused_with_what_to_do(state):
  task = stateful(loss=lambda p, s, b, key: (jnp.mean(p), state))
  with pytest.raises((TypeError, ValueError), match='state that it returns must keep'):
    lrax.tune.range_test(task, 'sgd', seeds=1)


# Real models.


class Dropped(nn.Module):
  """A small MLP with dropout."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.relu(nn.Dense(8)(x))
    x = nn.Dropout(0.5, deterministic=not train)(x)
    return nn.Dense(1)(x)[:, 0]


def dense(inputs, outputs):
  """Parameters of a dense layer, without compiling anything."""
  kernel = np.random.default_rng(outputs).normal(size=(inputs, outputs))
  return {'kernel': kernel.astype(np.float32), 'bias': np.ones(outputs, np.float32)}


DROPPED = {'params': {'Dense_0': dense(4, 8), 'Dense_1': dense(8, 1)}}


def dropout_task(keys):
  """The MLP as a task; the keys that its training loss is given go to `keys`."""
  model = Dropped()

  def loss(params, batch, key):
    jax.debug.callback(
        lambda data: keys.append(tuple(np.asarray(data).tolist())),
        jax.random.key_data(key),
    )
    out = model.apply(params, batch[0], train=True, rngs={'dropout': key})
    return jnp.mean((out - batch[1]) ** 2)

  def evaluate(params, batch):
    return jnp.mean((model.apply(params, batch[0], train=False) - batch[1]) ** 2)

  return plain(
      init=lambda key: DROPPED, loss=loss, evaluate=evaluate, name='dropout'
  )


def test_linen_with_dropout():
  """New keys at every step of every seed; one seed is one run; none to evaluate."""
  keys, rates = [], np.full(12, 1e-2)
  trainer = single_runs.Trainer(dropout_task(keys), optax.adam)
  runs = [trainer.run(rates, seed, validate=False) for seed in (0, 1)]
  jax.effects_barrier()
  assert np.isfinite([run.losses for run in runs]).all()
  assert len(keys) == 24
  assert len(set(keys)) == 24
  # One start and the same batches: what differs is what was dropped.
  assert (runs[0].losses != runs[1].losses).all()

  again = trainer.run(rates, 0, validate=False)
  jax.effects_barrier()
  np.testing.assert_array_equal(again.losses, runs[0].losses)  # to the last bit
  assert len(keys) == 36
  assert set(keys[24:]) < set(keys[:24])

  # Another rate on the same seed meets the same keys, so that rates compare in
  # pairs. At 0 the model is as it began, and its loss without dropout is known.
  still = trainer.run(np.zeros(12), 0)
  jax.effects_barrier()
  assert set(keys[36:]) == set(keys[24:36])
  first, second = DROPPED['params']['Dense_0'], DROPPED['params']['Dense_1']
  hidden = np.maximum(X @ first['kernel'] + first['bias'], 0)
  out = hidden @ second['kernel'] + second['bias']
  # Sums of 8 and 64 float32 terms; dropout moves this loss by percents.
  np.testing.assert_allclose(
      still.validation_loss, np.mean((out[:, 0] - Y) ** 2), rtol=1e-5
  )


class Normed(nn.Module):
  """A small MLP with batch normalisation."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.Dense(8)(x)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.8)(x)
    return nn.Dense(1)(nn.relu(x))[:, 0]


def test_linen_with_batch_norm_trains_as_a_plain_loop_does():
  """Losses, averages and validation against a plain loop of SGD.

  The averages start at 0 and 1, far from those of the data, so that a state
  which is not updated in training misses by a tenth.
  """
  model = Normed()
  shifted = [(x + 3.0, y) for x, y in BATCHES]
  norm = {'scale': np.ones(8, np.float32), 'bias': np.zeros(8, np.float32)}
  trained = {'Dense_0': dense(4, 8), 'BatchNorm_0': norm, 'Dense_1': dense(8, 1)}
  averages = {
      'BatchNorm_0': {'mean': np.zeros(8, np.float32), 'var': np.ones(8, np.float32)}
  }

  def loss(params, state, batch, key):
    out, new = model.apply(
        {'params': params, 'batch_stats': state}, batch[0], train=True,
        mutable=['batch_stats'],
    )
    return jnp.mean((out - batch[1]) ** 2), new['batch_stats']

  def evaluate(params, state, batch):
    out = model.apply({'params': params, 'batch_stats': state}, batch[0], train=False)
    return jnp.mean((out - batch[1]) ** 2)

  task = Task(
      init=lambda key: (trained, averages),
      loss=loss, evaluate=evaluate, stateful=True, steps=30, name='normed',
      train=Stream(lambda seed: shifted),
      validation=Stream(lambda seed: shifted[::-1]),
  )
  found = lrax.tune.find(task, 'sgd', steps=30, seeds=1, schedule='constant')
  # A rate at which thirty steps are stable and move the averages.
  row = min(found.rows, key=lambda row: abs(np.log(row.learning_rate / 0.03)))
  assert not row.diverged

  params, state, losses = trained, averages, []
  step = jax.jit(jax.value_and_grad(loss, has_aux=True))
  for i in range(30):
    (value, state), grad = step(params, state, shifted[i % 4], None)
    params = jax.tree.map(lambda p, g: p - row.learning_rate * g, params, grad)
    losses.append(float(value))
  judge = jax.jit(evaluate)
  expected = np.mean([float(judge(params, state, b)) for b in shifted])
  # Thirty steps in float32, compiled differently: roundings of 1e-7 that grow
  # by some tens in a stable run.
  np.testing.assert_allclose(row.trials[0].losses, losses, rtol=1e-4)
  np.testing.assert_allclose(row.validation_loss, expected, rtol=1e-4)
  before = np.mean([float(judge(params, averages, b)) for b in shifted])
  assert abs(before - expected) > 0.05 * expected


def linear_stream(seen):
  """Noisy batches of a line made on the host; each is noted in `seen`."""

  def batches(seed):
    rng = np.random.default_rng(seed)
    while True:
      x = rng.normal(size=(8, 4)).astype(np.float32)
      seen.append(weakref.ref(x))
      yield x, (x @ np.arange(4, dtype=np.float32))

  return batches


def test_linen_fed_by_a_host_iterator_takes_one_batch_a_step():
  model, seen = nn.Dense(1), []
  task = Task(
      init=lambda key: model.init(key, jnp.zeros((1, 4))),
      loss=lambda params, batch, key: jnp.mean(
          (model.apply(params, batch[0])[:, 0] - batch[1]) ** 2
      ),
      train=Stream(linear_stream(seen)),
      validation=Stream(linear_stream([]), limit=2),
      steps=60,
      name='stream',
  )
  test = lrax.tune.range_test(task, 'sgd', steps=130, max_value=1e-2, seeds=1)
  assert np.isfinite(test.losses).all()
  assert len(seen) == 130
  found = lrax.tune.find(task, 'adam', steps=60, seeds=1)
  # The loss ends far under that of the start, the mean of (0 + 1 + 4 + 9) and
  # more: it learns from what the iterator gives.
  assert found.validation_loss < 1.0


def test_a_host_iterator_is_not_held_in_memory():
  """Of 40 batches of 8 MiB no more are alive than two calls of the program take."""
  alive, most = weakref.WeakSet(), []

  class Batch(np.ndarray):  # one that can be kept in a set
    __hash__ = object.__hash__

  def batches(seed):
    for value in range(40, 0, -1):
      batch = np.full(2**21, value, np.float32).view(Batch)
      alive.add(batch)
      most.append(len(alive))
      yield batch

  task = Task(
      init=lambda key: jnp.zeros(()),
      loss=lambda params, batch, key: (params - jnp.mean(batch)) ** 2,
      train=Stream(batches),
      validation=Arrays(np.ones(1)),
      steps=40,
  )
  test = lrax.tune.range_test(task, 'sgd', steps=40, max_value=1e-6, seeds=1)
  assert len(most) == 40
  # The rates move nothing, so each loss is the square of the batch's number: the
  # parameter ends at most 40 steps * 1e-6 * a slope of 80 = 3e-3 from 0, and at
  # the last batch that is 6e-3 of the loss.
  np.testing.assert_allclose(test.losses[0], np.arange(40.0, 0, -1) ** 2, rtol=6e-3)
  # 64 MiB of batches a call, which is 8, being filled while 8 are handed over.
  assert max(most) <= 17


def test_equinox_trains_as_a_plain_loop_does():
  make = eqx.filter_jit(lambda key: eqx.nn.MLP(4, 'scalar', 8, 1, key=key))
  model = make(jax.random.key(2))
  params, static = eqx.partition(model, eqx.is_array)

  def loss(params, batch, key):
    out = jax.vmap(eqx.combine(params, static))(batch[0])
    return jnp.mean((out - batch[1]) ** 2)

  task = plain(
      init=lambda key: params, loss=loss, train=Stream(lambda seed: BATCHES),
      name='equinox',
  )
  test = lrax.tune.range_test(task, 'adam', steps=25, min_value=1e-3, max_value=1e-2,
                              seeds=1)
  expected = by_hand(params, loss, lambda rate: optax.adam(rate), test.learning_rates)
  # As above: 25 steps of float32 roundings.
  np.testing.assert_allclose(test.losses[0], expected, rtol=1e-4)
  assert test.losses[0, -1] < 0.8 * test.losses[0, 0]


def test_haiku_trains_as_a_plain_loop_does():
  net = hk.without_apply_rng(
      hk.transform(lambda x: hk.nets.MLP([8, 1])(x)[:, 0])
  )

  def loss(params, batch, key):
    return jnp.mean((net.apply(params, batch[0]) - batch[1]) ** 2)

  params = jax.jit(net.init)(jax.random.key(3), X[:1])
  task = plain(
      init=lambda key: params, loss=loss, train=Stream(lambda seed: BATCHES),
      name='haiku',
  )
  test = lrax.tune.range_test(task, 'sgd', steps=25, min_value=1e-3, max_value=1e-1,
                              seeds=1)
  expected = by_hand(params, loss, lambda rate: optax.sgd(rate), test.learning_rates)
  # As above.
  np.testing.assert_allclose(test.losses[0], expected, rtol=1e-4)
  assert test.losses[0, -1] < 0.8 * test.losses[0, 0]


def by_hand(params, loss, optimizer, rates):
  """The losses of a plain loop over BATCHES with one rate a step."""

  @jax.jit
  def step(params, opt_state, batch, rate):
    value, grad = jax.value_and_grad(loss)(params, batch, None)
    updates, opt_state = optimizer(rate).update(grad, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, value

  opt_state, losses = optimizer(0.0).init(params), []
  for i, rate in enumerate(rates):
    params, opt_state, value = step(params, opt_state, BATCHES[i % 4], rate)
    losses.append(float(value))
  return losses


def test_a_source_of_each_kind_trains():
  """Drawn as well: Arrays and Stream are above."""
  draw = lambda key: (jax.random.normal(key, (16, 4)), jnp.ones(16))
  task = plain(train=Drawn(draw), validation=Drawn(draw, batches=2))
  test = lrax.tune.range_test(task, 'sgd', steps=20, max_value=1e-2, seeds=1)
  # Zero parameters: the first loss is the mean square of targets of 1.
  assert test.losses[0, 0] == 1.0
  assert np.isfinite(test.losses).all()
