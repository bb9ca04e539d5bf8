"""Searches of known losses by every method, and what a search keeps to."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax.tasks import Arrays
from lrax.tasks import Task
from lrax.tune import choice
from lrax.tune import integer
from lrax.tune import log_uniform
from lrax.tune import search
from lrax.tune import uniform

STEPS = 16
RATE = {'learning_rate': log_uniform(1e-3, 10.0)}
CONSTANT = {'optimizer': 'sgd', 'schedule': 'constant'}


def bowl(best=0.25):
  """SGD multiplies w by 1 - rate; the validation asks how far the rate was off.

  After all steps w is (1 - rate) ** STEPS, from which the rate is known again.
  """

  def evaluate(w, batch):
    rate = 1 - jnp.abs(w) ** (1 / STEPS)
    return jnp.log(jnp.maximum(rate, 1e-6) / best) ** 2

  return Task(
      init=lambda key: jnp.ones(()),
      loss=lambda w, batch, key: 0.5 * w**2,
      evaluate=evaluate,
      train=Arrays(np.ones(1)),
      validation=Arrays(np.ones(1)),
      steps=STEPS,
      name='bowl',
  )


@pytest.mark.parametrize(
    'method, budget, within',
    [
        ('grid', 16, 1.4),  # half of (1e4) ** (1 / 15), and what rounding adds
        ('sobol', 16, 2.0),
        ('random', 24, 2.0),
        ('zoom', 16, 1.1),
        ('bayesian', 14, 1.1),
        ('halving', 12, 2.0),
    ],
)
def test_every_method_finds_the_bottom_of_a_bowl(method, budget, within):
  space = {'learning_rate': log_uniform(1e-2, 0.9)}
  found = search(bowl(), space, method=method, budget=budget, **CONSTANT)
  assert 0.25 / within < found.best['learning_rate'] < 0.25 * within
  assert found.validation_loss == min(
      row.validation_loss for row in found.rows
      if row.trials[0].status == 'finished'
  )
  assert found.method == method and found.steps == STEPS
  if method != 'halving':
    assert len(found.rows) == budget
  else:
    assert len(found.rows) > budget
  assert found.steps_spent <= budget * STEPS


def test_halving_lets_half_go_at_each_pause():
  space = {'learning_rate': log_uniform(1e-2, 0.9)}
  found = search(bowl(), space, method='halving', budget=12, **CONSTANT)
  done = sorted(len(row.trials[0].losses) for row in found.rows)
  count = len(done)
  assert set(done) == {2, 4, 8, 16}
  assert done.count(2) == count // 2
  for row in found.rows:
    whole = len(row.trials[0].losses) == STEPS
    assert row.trials[0].status == ('finished' if whole else 'stopped early')


def test_diverged_points_are_the_worst_and_are_never_chosen():
  found = search(bowl(), {'learning_rate': log_uniform(0.1, 50.0)}, method='sobol',
                 budget=16, **CONSTANT)
  gone = [row for row in found.rows if row.diverged]
  assert gone and all(row.point['learning_rate'] > 2 for row in gone)
  assert all(np.isnan(row.validation_loss) for row in gone)
  assert found.best['learning_rate'] < 2
  assert f'{len(gone)} points diverged' in found.verdict


def test_where_all_diverge_nothing_is_best():
  found = search(bowl(), {'learning_rate': log_uniform(20.0, 50.0, within=(20, 50))},
                 method='sobol', budget=4, **CONSTANT)
  assert found.best is None and np.isnan(found.validation_loss)
  assert 'every one diverged' in found.verdict
  assert found.edges == ()


@pytest.mark.parametrize('method', ['zoom', 'bayesian'])
def test_a_range_is_widened_where_the_best_is_on_its_edge(method):
  space = {'learning_rate': log_uniform(0.01, 0.1, within=(0.001, 0.9))}
  found = search(bowl(), space, method=method, budget=16, **CONSTANT)
  # Zoom widens by a step of its first grid for each finer one, and says where the
  # best is still on the edge; the model goes on until there is nothing to gain.
  assert found.best['learning_rate'] > 0.12
  assert found.edges == ('learning_rate',) or found.best['learning_rate'] < 0.4
  low, high = found.widened['learning_rate']
  assert high > 0.1 and low >= 0.001 and high <= 0.9
  assert 'The range of learning_rate was widened' in found.verdict


def test_an_edge_that_cannot_be_widened_is_reported():
  space = {'learning_rate': log_uniform(0.01, 0.1, within=(0.01, 0.1))}
  found = search(bowl(), space, method='grid', budget=5, **CONSTANT)
  assert found.best['learning_rate'] == 0.1
  assert found.edges == ('learning_rate',)
  assert 'edge of learning_rate: look further' in found.verdict


def test_numbers_words_and_counts_of_optimizer_and_schedule():
  """Each is handed to what takes it; only words are compiled for."""
  made = []

  def optimizer(rate, momentum, nesterov):
    made.append(nesterov)
    return lrax.sgd(rate, momentum=momentum, nesterov=nesterov)

  def schedule(rate, steps, drop, at):
    assert isinstance(at, int)
    return lrax.piecewise_constant([rate, rate * drop], [at])

  space = {
      'learning_rate': log_uniform(0.01, 0.1),
      'momentum': uniform(0.0, 0.9),
      'nesterov': choice(True, False),
      'drop': uniform(0.1, 1.0),
      'at': integer(1, STEPS - 1),
  }
  found = search(
      bowl(), space, method='random', budget=8, optimizer=optimizer, schedule=schedule
  )
  assert {type(v) for row in found.rows for v in row.point.values()} == {
      float, bool, int,
  }
  assert set(made) == {True, False}
  for row in found.rows:
    # One trial by hand.
    p, w, trace = row.point, 1.0, 0.0
    for step in range(STEPS):
      rate = p['learning_rate'] * (p['drop'] if step >= p['at'] else 1.0)
      trace = w + p['momentum'] * trace
      w -= rate * (w + p['momentum'] * trace if p['nesterov'] else trace)
    expected = np.log(max(1 - abs(w) ** (1 / STEPS), 1e-6) / 0.25) ** 2
    if not row.diverged:
      # A logarithm of float32s that differ by rounding.
      np.testing.assert_allclose(row.validation_loss, expected, rtol=2e-3, atol=1e-5)


def test_a_choice_of_optimizers():
  space = RATE | {'optimizer': choice('sgd', 'adam', 'sgd(momentum=0.9)')}
  found = search(bowl(), space, method='grid', budget=9, schedule='constant')
  assert {row.point['optimizer'] for row in found.rows} == {
      'sgd', 'adam', 'sgd(momentum=0.9)',
  }


def test_the_warmup_and_the_length_are_hyperparameters_too():
  space = {'warmup_fraction': uniform(0.0, 0.5), 'steps': integer(4, 16)}
  found = search(
      bowl(), space, method='random', budget=6, optimizer='sgd',
      fixed={'learning_rate': 0.1},
  )
  for row in found.rows:
    assert len(row.trials[0].losses) == row.point['steps']
    assert 'learning_rate' not in row.point


def test_what_is_known_is_not_trained_again(monkeypatch):
  space = {'learning_rate': log_uniform(1e-2, 0.9)}
  arguments = {'method': 'bayesian', 'budget': 8, 'batch': 2, **CONSTANT}
  whole = search(bowl(), space, **arguments)
  trials = [trial for row in whole.rows for trial in row.trials]
  plain = json.loads(json.dumps([trial.to_dict() for trial in trials]))
  known = [lrax.tune.Trial.from_dict(trial) for trial in plain]
  from lrax.tune import _engine

  trained = []
  run = _engine.Engine.run
  monkeypatch.setattr(
      _engine.Engine, 'run',
      lambda self, trials, *a, **k: trained.append(len(trials.seeds))
      or run(self, trials, *a, **k),
  )
  again = search(bowl(), space, known=known[:6], **arguments)
  assert sum(trained) == 2  # the last batch
  assert [row.point for row in again.rows] == [row.point for row in whole.rows]
  assert again.best == whole.best and again.validation_loss == whole.validation_loss


def test_population_goes_on_from_the_best():
  """The rate multiplies w in every step, so the product over the run shows it."""
  space = {'learning_rate': log_uniform(1e-3, 0.5)}
  found = search(bowl(), space, method='population', budget=8, **CONSTANT)
  assert len(found.rows) == 8 and found.steps_spent == 8 * STEPS
  assert [step for step, _ in found.history] == sorted(
      {step for step, _ in found.history}
  )
  assert found.history[0][0] == 0
  assert found.best == dict(found.history[-1][1])
  past = [point for _, point in found.history]
  changed = [row for row in found.rows if row.point not in past]
  assert changed  # not all are the same
  # The best's whole past accounts for where it is: w is the product of 1 - rate.
  steps = [step for step, _ in found.history] + [STEPS]
  w = np.prod([
      (1 - point['learning_rate']) ** (end - start)
      for (start, point), end in zip(found.history, steps[1:])
  ])
  expected = np.log((1 - w ** (1 / STEPS)) / 0.25) ** 2
  # A logarithm near 0 of a power that float32 rounds at each of 16 steps.
  np.testing.assert_allclose(found.validation_loss, expected, rtol=1e-3, atol=1e-5)
  first = {row.trials[0].losses[0] for row in found.rows}
  assert first == {0.5}
  # The losses of each member are those of its past, 0.5 w ** 2 before each update.
  (best,) = [row for row in found.rows if row.point == found.best][:1]
  rates = np.repeat(
      [point['learning_rate'] for _, point in found.history], np.diff(steps)
  )
  ws = np.concatenate([[1.0], np.cumprod(1 - rates)[:-1]])
  np.testing.assert_allclose(best.trials[0].losses, 0.5 * ws**2, rtol=1e-4)


def test_two_searches_are_equal():
  space = {'learning_rate': log_uniform(1e-2, 0.9), 'momentum': uniform(0.0, 0.9)}
  arguments = {'budget': 10, 'batch': 2, 'optimizer': 'sgd', 'schedule': 'constant'}
  one, other = (search(bowl(), space, **arguments) for _ in range(2))
  assert [row.point for row in one.rows] == [row.point for row in other.rows]
  third = search(bowl(), space, method_seed=1, **arguments)
  assert [row.point for row in third.rows] != [row.point for row in one.rows]


def test_every_face_of_a_result_agrees():
  told = []
  found = search(
      bowl(), RATE, method='sobol', budget=6, seeds=2, on_trial=told.append, **CONSTANT
  )
  assert len(told) == 12
  assert len(found.table()) == 6
  assert set(found.table()[0]) == {
      'learning_rate', 'validation_loss', 'spread', 'diverged', 'steps_done', 'seeds',
  }
  plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
  assert plain['best'] == found.best and len(plain['trials']) == 12
  assert plain['space'] == {
      'learning_rate': {'kind': 'log_uniform', 'low': 1e-3, 'high': 10.0}
  }
  assert str(found) == found.verdict
  assert f"learning_rate={found.best['learning_rate']:.3g} is the best of 6 points" in (
      found.verdict
  )


def test_seeds_that_agree_leave_no_noise():
  """The bowl has no chance in it, so two seeds give the same."""
  found = search(bowl(), RATE, method='sobol', budget=8, seeds=2, **CONSTANT)
  assert found.noise == 0.0 or found.noise < 1e-12
  assert 'No other point is within noise (±0' in found.verdict
  single = search(bowl(), RATE, method='sobol', budget=8, **CONSTANT)
  assert np.isnan(single.noise)
  assert 'pass more seeds' in single.verdict


@pytest.mark.parametrize(
    'changes, error, says',
    [
        ({'task': None}, TypeError, '`task` must be a lrax.tasks.Task'),
        ({'space': {}}, ValueError, '`space` must be of at least one'),
        ({'space': [0.1]}, TypeError, '`space` must be a dict'),
        ({'space': {'learning_rate': (0.1, 1)}}, TypeError, 'must be a range or'),
        ({'space': {'momentum': uniform(0, 1)}}, ValueError, "with 'learning_rate'"),
        ({'space': RATE | {'momentun': uniform(0, 1)}}, ValueError, "'momentun'"),
        ({'fixed': {'momentun': 0.9}}, ValueError, "'momentun'"),
        ({'method': 'bayes'}, ValueError, "did you mean 'bayesian'"),
        ({'budget': 0}, ValueError, '`budget` must be'),
        ({'budget': 2.5}, ValueError, '`budget` must be'),
        ({'batch': 0}, ValueError, '`batch` must be'),
        ({'method_seed': -1}, ValueError, '`method_seed` must be'),
        ({'method': 'population', 'budget': 4}, ValueError, 'at least 8'),
        (
            {'method': 'population', 'space': RATE | {'nesterov': choice(True, False)}},
            ValueError, 'a log_uniform or uniform',
        ),
    ],
)
def test_refuses(changes, error, says):
  arguments = {'task': bowl(), 'space': RATE, 'optimizer': 'sgd'} | changes
  with pytest.raises(error, match=says):
    search(**arguments)


def test_what_is_known_is_no_help_in_segments():
  trial = lrax.tune.Trial({'learning_rate': 0.1}, 0, 1.0, 'finished', np.ones(3))
  with pytest.raises(ValueError, match='`known` must be empty'):
    search(bowl(), RATE, method='halving', known=[trial])


def test_a_range_may_ask_for_longer_runs_than_the_task():
  space = RATE | {'steps': integer(STEPS, 3 * STEPS)}
  found = search(bowl(), space, method='grid', budget=6, **CONSTANT)
  done = {row.point['steps']: len(row.trials[0].losses) for row in found.rows
          if not row.diverged}
  assert max(done) > STEPS and all(steps == n for steps, n in done.items())


def test_what_is_known_of_some_seeds_is_not_trained_again():
  arguments = {'method': 'grid', 'budget': 3, 'seeds': 2, **CONSTANT}
  whole = search(bowl(), RATE, **arguments)
  trials = [trial for row in whole.rows for trial in row.trials]
  told = []
  again = search(bowl(), RATE, known=trials[:5], on_trial=told.append, **arguments)
  assert sorted((t.learning_rate, t.seed) for t in told) == sorted(
      (t.learning_rate, t.seed) for t in trials
  )
  assert again.steps_spent == whole.steps_spent and again.best == whole.best


@pytest.mark.parametrize('method', ['halving', 'population'])
def test_methods_in_segments_report_an_edge_and_keep_to_the_range(method):
  space = {'learning_rate': log_uniform(1e-3, 1e-2)}
  found = search(bowl(), space, method=method, budget=8, **CONSTANT)
  assert all(1e-3 <= row.point['learning_rate'] <= 1e-2 for row in found.rows)
  assert found.widened == {}
  if method == 'population':
    assert found.edges == ('learning_rate',)
  else:
    # Points of a sequence need not lie on the very end.
    best = found.best['learning_rate']
    assert best == max(
        row.point['learning_rate'] for row in found.rows
        if row.trials[0].status == 'finished'
    )


@pytest.mark.parametrize('steps', [1, 3])
@pytest.mark.parametrize('method', ['halving', 'population'])
def test_short_runs_are_paused_only_in_between(method, steps):
  found = search(bowl(), RATE, method=method, budget=8, steps=steps, **CONSTANT)
  for row in found.rows:
    for trial in row.trials:
      if trial.status == 'stopped early':
        assert 0 < len(trial.losses) < steps
  at = [step for step, _ in found.history]
  assert at == sorted(set(at))


@pytest.mark.parametrize('engine, lanes', [('map', None), ('vmap', 2)])
def test_a_population_on_a_stream_goes_on_from_the_winner(engine, lanes):
  """Lanes of two hold four parts of one seed; a winner may be in any of them."""
  from lrax.tasks import Stream

  task = bowl()
  stream = Task(
      init=task.init, loss=task.loss, evaluate=task.evaluate, steps=STEPS,
      train=Stream(lambda seed: [np.ones(1)]), validation=Arrays(np.ones(1)),
  )
  space = {'learning_rate': log_uniform(1e-3, 0.5)}
  found, same = (
      search(one, space, method='population', budget=8, engine=e, lanes=n, **CONSTANT)
      for one, e, n in ((stream, engine, lanes), (task, 'map', None))
  )
  assert [row.point for row in found.rows] == [row.point for row in same.rows]
  for row, other in zip(found.rows, same.rows):
    # Side by side a float32 may be rounded otherwise at each of 16 steps.
    np.testing.assert_allclose(
        row.trials[0].losses, other.trials[0].losses, rtol=1e-5
    )


@pytest.mark.parametrize(
    'changes, error, says',
    [
        ({'fixed': {'learning_rate': 0.1}}, ValueError, 'neither fixed nor those'),
        ({'space': RATE | {'seed': uniform(0, 1)}}, ValueError, 'neither fixed nor'),
        ({'fixed': {'mask': {}}}, TypeError, r"`fixed\['mask'\]` must be a number"),
        ({'fixed': [1]}, TypeError, '`fixed` must be a dict'),
        ({'known': [1]}, TypeError, '`known` must be a list of Trial'),
    ],
)
def test_refuses_what_would_be_lost_or_mistaken(changes, error, says):
  arguments = {'task': bowl(), 'space': RATE, 'optimizer': 'sgd'} | changes
  with pytest.raises(error, match=says):
    search(**arguments)


def test_a_fixed_number_may_be_an_array_and_a_rate_may_be_fixed():
  found = search(
      bowl(), {'momentum': uniform(0.0, 0.5)}, method='grid', budget=2,
      fixed={'learning_rate': jnp.float32(0.125)}, **CONSTANT,
  )
  assert np.isnan(found.rows[0].learning_rate)
  assert found.rows[0].point == {'momentum': 0.0}
  np.testing.assert_allclose(  # without momentum w is multiplied by 0.875
      found.rows[0].trials[0].losses[:3], 0.5 * 0.875 ** (2 * np.arange(3)), rtol=1e-5
  )
