"""The engine: one program for all trials, and the runs of a plain loop."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import single_runs

import lrax
from lrax.optimizers._from_text import optimizer as parse
from lrax.tasks import Arrays
from lrax.tasks import Drawn
from lrax.tasks import Stream
from lrax.tasks import Task
from lrax.tune._engine._feed import Feed
from lrax.tune._optimizer import as_optimizer

RNG = np.random.default_rng(0)
BATCHES = [
    (x, x @ np.array([1.0, -2.0, 0.5], np.float32) + 0.1 * x[:, 0] ** 2)
    for x in RNG.normal(size=(7, 16, 3)).astype(np.float32)
]


def squares(params, batch):
  return jnp.mean((batch[0] @ params['w'] + params['b'] - batch[1]) ** 2)


def line(traces=None, **changes):
  """A line fitted to BATCHES; each trace of its loss is noted in `traces`."""

  def loss(params, batch, key):
    if traces is not None:
      traces.append(key)
    return squares(params, batch)

  arguments = {
      'init': lambda key: {'w': jnp.full(3, 0.5), 'b': jnp.zeros(())},
      'loss': loss,
      'evaluate': squares,
      'train': Stream(lambda seed: BATCHES[seed:] + BATCHES[:seed]),
      'validation': Stream(lambda seed: BATCHES[:2]),
      'steps': 30,
      'name': 'line',
  }
  return Task(**(arguments | changes))


@functools.cache
def compiled_step(optimizer):
  def step(params, opt_state, batch, rate):
    loss, grad = jax.value_and_grad(squares)(params, batch)
    updates, opt_state = optimizer(rate).update(grad, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss

  return jax.jit(step)


def by_hand(optimizer, rates, seed=0):
  """The losses of a plain loop and its last parameters: optax and BATCHES."""
  params = {'w': jnp.full(3, 0.5), 'b': jnp.zeros(())}
  opt_state, losses = optimizer(0.0).init(params), []
  for i, rate in enumerate(rates):
    params, opt_state, loss = compiled_step(optimizer)(
        params, opt_state, BATCHES[(seed + i) % 7], jnp.float32(rate)
    )
    losses.append(float(loss))
  return np.asarray(losses), params, opt_state


def judged(params):
  """The validation loss of the line, in float64."""
  w, b = np.asarray(params['w'], float), float(params['b'])
  return np.mean([np.mean((x @ w + b - y) ** 2) for x, y in BATCHES[:2]])


SGD = functools.partial(optax.sgd, momentum=0.9)
# Some hundred float32 steps, compiled differently: each rounds by 6e-8 of a
# parameter, and the losses fall to a hundredth of their start, where a rounding
# of the parameters weighs ten times as much.
ROUNDING = {'rtol': 1e-4, 'atol': 1e-6}


# One program.


def sources():
  x, y = (np.concatenate(leaves) for leaves in zip(*BATCHES))
  return {
      'arrays': Arrays((x, y), batch_size=16),
      'drawn': Drawn(lambda key: (jax.random.normal(key, (16, 3)), jnp.ones(16))),
      'stream': Stream(lambda seed: BATCHES),
  }


@pytest.mark.parametrize('kind', ['arrays', 'drawn', 'stream'])
def test_one_trace_serves_all_rates_steps_and_seeds(kind):
  traces = []
  trainer = single_runs.Trainer(line(traces, train=sources()[kind]), optax.adam)
  runs = [
      np.full(60, 1e-3),
      np.geomspace(1e-7, 1e-1, 100),
      np.full(50, 0.0),
      np.linspace(1e-2, 0, 51),
  ]
  if kind != 'stream':  # whose chunks are no longer than a run
    runs += [np.full(1, 1e-3), np.full(7, 1e-3), np.full(49, 1e-3)]
  for seed, rates in enumerate(runs):
    run = trainer.run(rates, seed)
    assert len(run.losses) == len(rates) and np.isfinite(run.validation_loss)
  assert len(traces) == 1


def test_the_optimizer_is_made_from_a_traced_rate():
  """A factory that saw a number would be compiled once for each rate."""
  seen = []

  def factory(rate):
    seen.append(rate)
    return optax.sgd(rate)

  trainer = single_runs.Trainer(line(), factory)
  trainer.run(np.full(60, 1e-3), 0)
  trainer.run(np.full(60, 1e-2), 1)
  assert sum(isinstance(rate, jax.core.Tracer) for rate in seen) >= 1
  assert not {float(r) for r in seen if not isinstance(r, jax.core.Tracer)} - {0.0}


# The same runs as a plain loop's.


@pytest.mark.parametrize('steps', [1, 7, 49, 50, 51, 100, 123])
def test_a_run_is_that_of_a_plain_loop(steps):
  """Whatever fills the last chunk: momentum would show one step too many."""
  rates = np.geomspace(1e-3, 3e-2, steps)
  run = trainer_of_sgd().run(rates, seed=3)
  losses, params, _ = by_hand(SGD, rates, seed=3)
  assert run.losses.shape == (steps,)
  assert not run.diverged
  np.testing.assert_allclose(run.losses, losses, **ROUNDING)
  np.testing.assert_allclose(run.validation_loss, judged(params), **ROUNDING)


@functools.cache
def trainer_of_sgd():
  return single_runs.Trainer(line(), SGD)


def test_a_seed_is_handed_to_the_stream():
  rates = np.full(10, 1e-2)
  for seed in (0, 2):
    run = trainer_of_sgd().run(rates, seed, validate=False)
    np.testing.assert_allclose(run.losses, by_hand(SGD, rates, seed)[0], **ROUNDING)


def test_runs_do_not_touch_each_other():
  rates = np.full(60, 1e-2)
  first = trainer_of_sgd().run(rates, 1)
  trainer_of_sgd().run(np.full(60, 1.0), 2)
  again = trainer_of_sgd().run(rates, 1)
  np.testing.assert_array_equal(first.losses, again.losses)
  assert first.validation_loss == again.validation_loss


def test_parameters_that_init_hands_out_are_left_alone():
  """`init` may return arrays that the caller keeps; they are not given away."""
  kept = {'w': jnp.full(3, 0.5), 'b': jnp.zeros(())}
  trainer = single_runs.Trainer(line(init=lambda key: kept), optax.sgd)
  runs = [trainer.run(np.full(20, 0.05), 0) for _ in range(2)]
  np.testing.assert_array_equal(kept['w'], np.full(3, 0.5, np.float32))
  assert float(kept['b']) == 0.0
  np.testing.assert_array_equal(runs[0].losses, runs[1].losses)


def test_streams_arrays_and_drawn_give_the_same_numbers_for_the_same_batches():
  """The whole of the data is one batch: its order, which differs, is all one."""
  x, y = BATCHES[0]
  whole = {
      'arrays': Arrays((x, y)),
      'drawn': Drawn(lambda key: (jnp.asarray(x), jnp.asarray(y))),
      'stream': Stream(lambda seed: [(x, y)]),
  }
  init = lambda key: {'w': jax.random.normal(key, (3,)), 'b': jnp.zeros(())}
  runs = {
      kind: single_runs.Trainer(
          line(init=init, train=source, validation=source), optax.sgd
      ).run(np.full(60, 3e-2), seed=4)
      for kind, source in whole.items()
  }
  for kind in ('drawn', 'stream'):
    # Means over 16 rows in another order.
    np.testing.assert_allclose(runs[kind].losses, runs['arrays'].losses, **ROUNDING)
    np.testing.assert_allclose(
        runs[kind].validation_loss, runs['arrays'].validation_loss, **ROUNDING
    )


def test_a_stream_of_large_batches_goes_in_smaller_chunks():
  """16 MiB a batch: four a call, 64 MiB, and the same losses."""
  big = [np.full(2**22, value, np.float32) for value in (3.0, 2.0, 1.0)]
  task = line(
      init=lambda key: jnp.zeros(()),
      loss=lambda params, batch, key: (params - jnp.mean(batch)) ** 2,
      evaluate=lambda params, batch: params,
      train=Stream(lambda seed: big),
      validation=Arrays(np.zeros(1)),
  )
  run = single_runs.Trainer(task, optax.sgd, steps=10).run(np.zeros(10), 0)
  stacks = list(Feed(task.train, 0, 10).stacks(0, 10))
  assert [ends for _, *ends in stacks] == [[0, 4], [4, 8], [8, 10]]
  assert {stack.shape for stack, *_ in stacks} == {(4, 2**22)}
  # Means of 4 million equal numbers: float32 sums of whole numbers up to 1.3e7.
  np.testing.assert_allclose(run.losses, [9, 4, 1, 9, 4, 1, 9, 4, 1, 9], rtol=1e-5)


@pytest.mark.parametrize('steps', [1, 50, 60])
def test_a_stream_is_asked_for_one_batch_a_step(steps):
  count = []

  def batches(seed):
    while True:
      count.append(seed)
      yield BATCHES[0]

  trainer = single_runs.Trainer(line(train=Stream(batches)), optax.sgd)
  trainer.run(np.full(steps, 1e-3), 5, validate=False)
  assert count == [5] * steps


# Stopping.


def sudden():
  """A task whose loss is 1 for as many steps as its seed says, and then NaN.

  The parameter counts the steps, and the batches hold the seed.
  """
  return line(
      init=lambda key: jnp.zeros(()),
      loss=lambda w, batch, key: jnp.where(w < batch - 0.5, 1.0, jnp.nan) + w - w,
      evaluate=lambda w, batch: w,
      train=Stream(lambda seed: [np.float32(seed)]),
  )


NEVER = 1000  # a seed at which all losses are finite


def counting(updates=None):
  """An optimizer whose every update adds 1, and is noted in `updates`."""

  def update(grads, state, params=None):
    if updates is not None:
      jax.debug.callback(lambda: updates.append(1))
    return jax.tree.map(jnp.ones_like, grads), state

  return lambda rate: optax.GradientTransformation(lambda params: (), update)


@pytest.mark.parametrize('at', [0, 1, 20, 49, 50, 51, 99])
def test_a_loss_that_is_not_finite_ends_the_run(at):
  run = nan_trainer().run(np.full(100, 1.0), at)
  np.testing.assert_array_equal(run.losses, [1.0] * at + [np.nan])
  assert run.diverged
  assert np.isnan(run.validation_loss)


@functools.cache
def nan_trainer():
  return single_runs.Trainer(sudden(), counting())


def test_no_step_is_computed_after_a_loss_that_is_not_finite():
  updates = []
  trainer = single_runs.Trainer(sudden(), counting(updates))
  trainer.run(np.full(100, 1.0), 20)
  jax.effects_barrier()
  assert len(updates) == 21  # the 20 before it, and its own


def test_padding_computes_no_step():
  updates = []
  trainer = single_runs.Trainer(sudden(), counting(updates))
  run = trainer.run(np.full(53, 1.0), NEVER)
  jax.effects_barrier()
  assert len(updates) == 53
  assert run.validation_loss == 53.0  # w after 53 updates


def test_a_run_whose_last_update_breaks_it_is_not_finite():
  """Every training loss is finite; only the validation sees the parameters."""
  task = line(
      init=lambda key: jnp.zeros(()),
      loss=lambda w, batch, key: w,
      evaluate=lambda w, batch: jnp.where(w < 9.5, w, jnp.nan),
  )
  run = single_runs.Trainer(task, counting()).run(np.ones(10), 0)
  assert np.isfinite(run.losses).all()
  assert np.isnan(run.validation_loss)
  assert run.diverged


def test_without_validation_there_is_no_validation_loss():
  run = trainer_of_sgd().run(np.full(5, 1e-3), 0, validate=False)
  assert np.isnan(run.validation_loss)
  assert not run.diverged


def test_a_validation_without_batches_is_refused_with_the_name_of_the_task():
  trainer = single_runs.Trainer(line(validation=Stream(lambda seed: [])), optax.sgd)
  with pytest.raises(ValueError, match='^line: `validation` must give at least one'):
    trainer.run(np.full(5, 1e-3), 0)


# Optimizers.


@pytest.mark.parametrize(
    'factory, own, text',
    [
        (SGD, functools.partial(lrax.sgd, momentum=0.9), 'sgd(momentum=0.9)'),
        (
            functools.partial(optax.adamw, weight_decay=0.1),
            functools.partial(lrax.adamw, weight_decay=0.1),
            'adamw(weight_decay=0.1)',
        ),
    ],
    ids=['sgd', 'adamw'],
)
def test_optax_lrax_and_text_give_the_same_runs(factory, own, text):
  rates = np.geomspace(1e-2, 1e-1, 50)
  runs = [
      single_runs.Trainer(line(), as_optimizer(optimizer, 'test')).run(rates, 0)
      for optimizer in (factory, own, text)
  ]
  np.testing.assert_array_equal(runs[2].losses, runs[1].losses)
  np.testing.assert_allclose(runs[0].losses, runs[1].losses, **ROUNDING)
  assert runs[0].losses[-7:].sum() < 0.5 * runs[0].losses[:7].sum()  # it trained


def test_an_optimizer_that_needs_more_is_given_the_loss_and_the_gradient():
  """Extra arguments as Optax names them, and nothing where none are taken."""
  seen = []

  def update(updates, state, params, *, value, grad, **extra):
    seen.append((value, grad, extra))
    return jax.tree.map(lambda g: -0.01 * value * g, grad), state

  tx = optax.GradientTransformationExtraArgs(lambda params: (), update)
  run = single_runs.Trainer(line(), lambda rate: tx).run(np.ones(20), 0)
  assert run.losses[-1] < run.losses[0]
  assert seen


def test_what_averages_parameters_is_evaluated_at_its_average():
  """Schedule-free: the evaluated parameters are not those that are trained."""
  factory = lambda rate: optax.contrib.schedule_free_sgd(rate)
  run = single_runs.Trainer(line(), factory).run(np.full(40, 3e-2), 0)
  _, params, opt_state = by_hand(factory, np.full(40, 3e-2))
  averaged = optax.contrib.schedule_free_eval_params(opt_state, params)
  np.testing.assert_allclose(run.validation_loss, judged(averaged), **ROUNDING)
  assert abs(judged(averaged) / judged(params) - 1) > 0.01


@pytest.mark.parametrize(
    'text',
    ['sgd', ' sgd ', 'sgd()', 'sgd(momentum=0.9, nesterov=True)', 'adamw(b2=0.95)',
     'sgd(momentum=None)', 'rmsprop(decay=0.99,)'],
)
def test_a_text_may_be(text):
  assert isinstance(parse(text, 'find')(0.1), optax.GradientTransformation)


def test_the_arguments_of_a_text_arrive():
  assert parse('sgd(momentum=0.5, nesterov=True)', 'find').keywords == {
      'momentum': 0.5, 'nesterov': True,
  }


@pytest.mark.parametrize(
    'text',
    [
        "__import__('os').system('touch {0}')",
        "__import__('os')",
        "sgd(momentum=__import__('os').system('touch {0}'))",
        "sgd(momentum=open('{0}', 'w'))",
        "(lambda: open('{0}', 'w'))()",
        "[open('{0}', 'w')]",
        'sgd.__class__',
        'sgd.__globals__',
        'lrax.sgd',
        'optax.sgd(momentum=0.9)',
        'sgd(momentum=0.9).init',
        'sgd()()',
        'sgd(0.1)',
        'sgd(*[0.1])',
        "sgd(**{{'momentum': 0.9}})",
        'sgd(momentum=x)',
        'sgd(momentum=0.9',
        'sgd; adam',
        'sgd\nadam',
        'x = sgd',
        '0.1',
        '"sgd"',
        '',
        '   ',
        '\0',
        'sgd(momentum={{[1]: 2}})',
    ],
)
def test_a_text_that_is_no_plain_call_is_refused_and_nothing_is_run(text, tmp_path):
  file = tmp_path / 'made'
  with pytest.raises(ValueError, match='^find: `optimizer` must'):
    parse(text.format(file), 'find')
  assert not os.path.exists(file)


@pytest.mark.parametrize(
    'text, says',
    [
        ('sdg', "did you mean 'sgd'"),
        ('Adam', "did you mean 'adam'"),
        ('adamww(b1=0.9)', "did you mean 'adamw'"),
        ('with_learning_rate', 'must be one of'),
        ('zzz', 'must be one of'),
        ('sgd(momentun=0.9)', 'momentun'),
        ('sgd(learning_rate=0.1)', 'learning_rate'),
        ('sgd(momentum=0.9, momentum=0.5)', 'momentum'),
        ("sgd(momentum='high')", 'momentum'),
        ('sgd(momentum=2.0)', 'momentum'),
        ('adam(b1=-1)', 'b1'),
    ],
)
def test_a_text_with_bad_names_or_arguments_says_which(text, says):
  with pytest.raises(ValueError) as caught:
    parse(text, 'find')
  assert str(caught.value).startswith('find: `optimizer`')
  assert says in str(caught.value)


@pytest.mark.parametrize(
    'optimizer', [optax.sgd(0.1), lrax.constant(0.1), 0.1, None, ['sgd']]
)
def test_what_is_no_function_of_the_rate_is_refused(optimizer):
  with pytest.raises(TypeError, match='`optimizer` must be a function of the rate'):
    lrax.tune.range_test(line(), optimizer)


def test_a_function_that_makes_no_optimizer_is_refused():
  with pytest.raises(TypeError, match='`optimizer`'):
    lrax.tune.range_test(line(), lambda rate: rate, steps=10, seeds=1)


@pytest.mark.parametrize('task', [line, 'digits', None])
def test_what_is_no_task_is_refused(task):
  with pytest.raises(TypeError, match='`task` must be a lrax.tasks.Task'):
    lrax.tune.find(task)


# Precision.


def test_x64(x64):
  """Losses in float64 are those of a plain float64 loop, far below float32's."""
  w = np.full(3, 0.5)
  rates, losses = np.geomspace(1e-3, 3e-2, 60), []
  for i, rate in enumerate(rates):
    x, y = (leaf.astype(np.float64) for leaf in BATCHES[i % 7])
    error = x @ w - y
    losses.append(np.mean(error**2))
    w = w - rate * 2 * x.T @ error / len(y)
  wide = [tuple(leaf.astype(np.float64) for leaf in batch) for batch in BATCHES]
  task = line(
      init=lambda key: jnp.full(3, 0.5),
      loss=lambda w, batch, key: jnp.mean((batch[0] @ w - batch[1]) ** 2),
      evaluate=lambda w, batch: jnp.mean((batch[0] @ w - batch[1]) ** 2),
      train=Stream(lambda seed: wide),
  )
  run = single_runs.Trainer(task, optax.sgd).run(rates, 0)
  # Sixty steps of float64 roundings; in float32 they would be 1e-7.
  np.testing.assert_allclose(run.losses, losses, rtol=1e-12)
  # lrax's own: rates in float64 too.
  run = single_runs.Trainer(task, lrax.sgd).run(rates, 0)
  np.testing.assert_allclose(run.losses, losses, rtol=1e-12)


def test_parameters_of_bfloat16_keep_their_dtype_and_train():
  dtypes = []

  def evaluate(params, batch):
    dtypes.append(jax.tree.map(lambda p: p.dtype, params))
    return squares(params, batch)

  task = line(
      init=lambda key: {'w': jnp.full(3, 0.5, jnp.bfloat16), 'b': jnp.bfloat16(0)},
      evaluate=evaluate,
  )
  run = single_runs.Trainer(task, lrax.adam).run(np.full(60, 3e-2), 0)
  assert dtypes[0] == {'w': jnp.bfloat16, 'b': jnp.bfloat16}
  assert run.validation_loss < 0.5 * run.losses[0]
