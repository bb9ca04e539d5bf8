"""Studies: what is proposed, what is kept, and who may work."""

import json
import logging

import jax
import numpy as np
import optuna
import pytest
from study_workers import early_tpe
from study_workers import quadratic
from study_workers import study

import lrax
from lrax.tune._objective import Trial
from lrax.tune._study import _proposals
from lrax.tune._study import _storage
from lrax.tune._study import Study

WIDE = {
    'learning_rate': lrax.tune.log_uniform(1e-3, 1.0),
    'b2': lrax.tune.uniform(0.9, 0.999),
    'width': lrax.tune.integer(1, 64, log=True),
    'depth': lrax.tune.integer(-2, 2),
    'kind': lrax.tune.choice('a', 2, 0.5, None, True),
    'only': lrax.tune.choice('one'),
}
RATES = {'learning_rate': lrax.tune.log_uniform(1e-3, 1.0)}


@pytest.fixture(scope='module')
def objective():
  """Compiled once for all studies of `SPACE` with one seed."""
  return study(None)._objective


def shared(objective, *arguments, **named):
  """A study whose program is compiled already."""
  made = study(*arguments, **named)
  made._objective = objective
  return made


def ledger_of(storage, sampler='random', space=WIDE, **named):
  """A study's ledger with nothing to train."""

  def optimizer(rate, b2=0.0, width=1, depth=1, kind=None, only=''):
    raise AssertionError('nothing is trained')

  made = Study(
      quadratic(), space, storage=storage, optimizer=optimizer, sampler=sampler,
      **named,
  )
  return made._ledger


def begin(ledger, count, worker='worker-0', most=1000):
  """Begins trials and gives them points."""
  numbers = [ledger.begin(worker, (0, count), most) for _ in range(count)]
  for number in numbers:
    ledger.propose(number)
  return numbers


def finished(loss=0.5, seed=0, steps=3):
  status = 'finished' if np.isfinite(loss) else 'diverged'
  return Trial({}, seed, loss, status, np.zeros(steps))


# --- what is proposed --------------------------------------------------------


def test_tpe_proposes_what_optuna_itself_would():
  """Asked and told by Optuna's own loop, with a seed for each trial."""
  ledger = ledger_of(None, 'tpe', study_seed=7)
  theirs = optuna.create_study()
  distributions = _proposals.distributions(WIDE)
  names = sorted(WIDE)
  losses = np.random.default_rng(0).uniform(size=20)
  losses[[2, 11]] = np.inf
  for start in range(0, 20, 4):  # from 12 on TPE has enough of them
    asked = []
    for number in range(start, start + 4):
      seeds = np.random.SeedSequence([7, number]).generate_state(1)
      theirs.sampler = optuna.samplers.TPESampler(
          seed=int(seeds[0]), multivariate=True, constant_liar=True
      )
      trial = theirs.ask()
      asked.append({name: trial._suggest(name, distributions[name]) for name in names})
    numbers = begin(ledger, 4)
    points = [ledger.entries()[number].point for number in numbers]
    assert points == asked
    for number in numbers:
      theirs.tell(number, losses[number])
      ledger.finish(number, [finished(losses[number])])
  rates = [trial.params['learning_rate'] for trial in theirs.trials]
  assert len(set(rates)) == 20


@pytest.mark.parametrize('sampler', ['random', 'qmc'])
def test_a_number_alone_says_what_is_proposed(sampler):
  one, other = (ledger_of(None, sampler, study_seed=5) for _ in range(2))
  begin(one, 8)
  for _ in range(4):  # in other batches, and knowing more
    for number in begin(other, 2):
      other.finish(number, [finished(1.0 + number)])
  points = [entry.point for entry in one.entries()]
  assert points == [entry.point for entry in other.entries()]
  assert len({point['learning_rate'] for point in points}) == 8
  apart = ledger_of(None, sampler, study_seed=6)
  begin(apart, 8)
  assert points != [entry.point for entry in apart.entries()]


def test_qmc_is_even_on_each_dimension():
  """Of 8 points of a scrambled Sobol sequence each eighth holds one."""
  ledger = ledger_of(None, 'qmc')
  begin(ledger, 8)
  for name in ('learning_rate', 'b2'):
    places = [WIDE[name].to_unit(e.point[name]) for e in ledger.entries()]
    assert sorted(int(8 * place) for place in places) == [*range(8)]


@pytest.mark.parametrize('file, sampler', [('a.db', 'random'), ('a.journal', 'tpe')])
def test_points_come_back_from_a_file_as_they_were(tmp_path, file, sampler):
  in_memory, kept = ledger_of(None, sampler), ledger_of(tmp_path / file, sampler)
  for ledger in (in_memory, kept):
    begin(ledger, 6)
  kept = ledger_of(tmp_path / file, sampler)  # opened again
  for before, after in zip(in_memory.entries(), kept.entries(), strict=True):
    assert before == after
    assert list(after.point) == list(WIDE)
    for name, value in after.point.items():
      assert type(value) is type(before.point[name])
      assert WIDE[name].check('test', name, value) == value


def test_a_sampler_may_be_optunas():
  given = optuna.samplers.RandomSampler(seed=3)
  ledger = ledger_of(None, given)
  begin(ledger, 2)
  assert ledger._proposals.name == 'RandomSampler'
  theirs = optuna.samplers.RandomSampler(seed=3)
  alone = optuna.create_study(sampler=theirs)
  first = {
      name: theirs.sample_independent(alone, alone.ask(), name, distribution)
      for name, distribution in sorted(_proposals.distributions(WIDE).items())
      if name != 'only'
  }
  assert ledger.entries()[0].point == first | {'only': 'one'}


# --- what is kept ------------------------------------------------------------


@pytest.mark.parametrize('file', ['a.db', 'a.log'])
def test_a_diverged_trial_is_told_as_infinite_and_kept(tmp_path, file):
  ledger = ledger_of(tmp_path / file, seeds=2)
  numbers = begin(ledger, 3)
  for number, losses in zip(numbers, [(0.25, 0.75), (0.5, np.nan), (1 / 3, 0.1)]):
    ledger.finish(number, [finished(loss, seed) for seed, loss in enumerate(losses)])
  opened, _ = _storage.open_storage(tmp_path / file, 'test')
  values = [t.value for t in optuna.load_study(study_name=None, storage=opened).trials]
  assert values == [0.5, np.inf, (1 / 3 + 0.1) / 2]
  runs = [entry.runs for entry in ledger_of(tmp_path / file, seeds=2).entries()]
  assert [run.validation_loss for run in runs[2]] == [1 / 3, 0.1]
  assert [run.status for run in runs[1]] == ['finished', 'diverged']
  assert np.isnan(runs[1][1].validation_loss)
  assert [run.seed for run in runs[0]] == [0, 1]
  assert [len(run.losses) for run in runs[0]] == [3, 3]


def test_a_study_finds_the_best_and_says_so(objective):
  made = shared(objective, None, sampler=early_tpe)
  heard = []
  made.run(trials=12, batch=4, on_trial=heard.append)
  assert [row['number'] for row in made.table()] == [*range(12)]
  losses = [row.validation_loss for row in made.rows]
  assert sorted(map(repr, losses)) == sorted(repr(t.validation_loss) for t in heard)
  assert any(np.isnan(losses)) and not all(np.isnan(losses))
  best = int(np.nanargmin(losses))
  assert made.best == made.rows[best].point
  assert made.validation_loss == losses[best]
  # By the formula of SGD with momentum, in float64; the runs are in float32.
  c, w, v = np.array([1.0, 3.0, 10.0]), np.ones(3), np.zeros(3)
  for _ in range(12):
    v = c * w + made.best['momentum'] * v
    w = w - made.best['learning_rate'] * v
  np.testing.assert_allclose(losses[best], 0.5 * (c * w**2).sum(), rtol=1e-4)
  assert str(made) == made.verdict
  assert 'is the best of 12 points for quadratic with sgd' in made.verdict
  plain = json.loads(json.dumps(made.to_dict(), allow_nan=False))
  assert plain['best'] == made.best and plain['name'] == 'quadratic'
  assert plain['method'] == 'early_tpe' and plain['running'] == {}
  ended = [(trial['status'], trial['steps_done']) for trial in plain['trials']]
  assert ('finished', 12) in ended
  assert all(steps < 12 for status, steps in ended if status == 'diverged')
  assert made.result.steps_spent == sum(steps for _, steps in ended)


def test_a_study_goes_on_where_it_was(objective, tmp_path):
  whole = shared(objective, None)
  whole.run(trials=6, batch=3)
  first = shared(objective, tmp_path / 'a.journal')
  first.run(trials=3, batch=3)
  heard = []
  again = shared(objective, tmp_path / 'a.journal')
  again.run(trials=6, batch=3, on_trial=heard.append)
  assert len(heard) == 3
  again.run(trials=6, batch=3, on_trial=heard.append)
  assert len(heard) == 3
  assert repr(again.table()) == repr(whole.table())  # NaN is not equal to itself
  assert again.to_dict() == first.to_dict() == whole.to_dict()


def test_what_has_ended_is_kept_when_a_batch_is_interrupted(objective):
  heard = []

  def interrupt(trial):
    heard.append(trial)
    if len(heard) == 2:
      raise KeyboardInterrupt

  made = shared(objective, None)
  with pytest.raises(KeyboardInterrupt):
    made.run(trials=4, batch=4, on_trial=interrupt)
  kept = [row.learning_rate for row in made.rows]
  assert sorted(kept) == sorted(trial.learning_rate for trial in heard)
  assert len(made.running['worker-0']) == 2
  assert '2 trials are unfinished under worker-0' in made.verdict
  made.run(trials=4, batch=4, on_trial=heard.append)
  assert len({trial.learning_rate for trial in heard}) == len(heard) == 4
  assert made.running == {}


def test_a_study_without_trials_says_so():
  made = study(None)
  assert made.best is None and np.isnan(made.validation_loss)
  assert made.rows == () and made.table() == []
  assert str(made) == 'No trial has finished yet.'
  json.dumps(made.to_dict(), allow_nan=False)


def test_of_equal_losses_the_smaller_rate_is_best():
  level = quadratic(curvatures=(0.0,), shift=1.0)
  made = Study(level, RATES, optimizer='sgd', sampler='random')
  made.run(trials=4, batch=4)
  rates = [row.learning_rate for row in made.rows]
  assert [row.validation_loss for row in made.rows] == [1.0] * 4
  assert rates[0] != min(rates) and made.best == {'learning_rate': min(rates)}


def test_every_seed_is_trained_and_equal_points_once():
  space = {'learning_rate': lrax.tune.choice(0.1, 0.05)}
  made = Study(
      quadratic(), space, optimizer='sgd', sampler='qmc', seeds=[3, 5], fixed={}
  )
  heard = []
  made.run(trials=4, batch=4, on_trial=heard.append)
  tried = [row.learning_rate for row in made.rows]
  assert sorted(tried) == [0.05, 0.05, 0.1, 0.1]
  assert sorted((t.learning_rate, t.seed) for t in heard) == [
      (0.05, 3), (0.05, 5), (0.1, 3), (0.1, 5)
  ]
  assert [[t.seed for t in row.trials] for row in made.rows] == [[3, 5]] * 4
  assert made.table()[0]['seeds'] == 2


def test_a_batch_keeps_the_cores_busy():
  made, devices = study(None, seeds=2), jax.local_device_count()
  cores = made._objective.engine.workers * devices
  assert made._batch() == max(4, -(-cores // 2))
  assert study(None, seeds=1000)._batch() == 4
  assert study(None, engine='vmap')._batch() == 16 * devices


# --- whose study it is -------------------------------------------------------

SETTINGS = [
    {'steps': 13}, {'seeds': 2}, {'schedule': 'linear'}, {'optimizer': 'adam'},
    {'fixed': {'nesterov': True}},
]


@pytest.mark.parametrize('file', [None, 'a.db', 'a.journal'])
def test_other_settings_are_refused_and_named(tmp_path, file):
  storage = tmp_path / file if file else optuna.storages.InMemoryStorage()
  same = {'task': quadratic(), 'space': RATES, 'optimizer': 'sgd', 'storage': storage}
  Study(**same)
  for other in SETTINGS:
    (name,) = other
    with pytest.raises(ValueError, match=f"^Study: `{name}` must be as the study 'qua"):
      Study(**same | other)
  narrow = {'learning_rate': lrax.tune.log_uniform(1e-3, 0.1)}
  with pytest.raises(ValueError, match='`steps`, `space` must be .*1.0}.* got .*0.1}'):
    Study(**same | {'space': narrow, 'steps': 1})
  # How it is searched may differ from worker to worker.
  Study(**same, sampler='random', study_seed=1, worker='b')
  Study(**same | {'steps': 13}, name='another')


def test_of_two_that_make_a_study_at_once_one_is_refused(objective):
  """Neither saw the other's settings when it wrote its own."""
  storage = optuna.storages.InMemoryStorage()
  first = shared(objective, storage)
  first._ledger._study.set_user_attr('lrax', first._ledger._settings | {'steps': 99})
  with pytest.raises(ValueError, match='`steps` must be as the study'):
    first.run(trials=1)
  assert first.rows == ()


def test_a_study_of_somebody_else_is_refused():
  storage = optuna.storages.InMemoryStorage()
  theirs = optuna.create_study(storage=storage, study_name='quadratic')
  theirs.ask()
  with pytest.raises(ValueError, match='trials of others'):
    study(storage)


def test_the_last_trials_are_begun_once():
  """Two workers that both saw room for one."""
  ledger = ledger_of(None)
  begin(ledger, 3, 'a')
  assert ledger.begin('a', (1, 1), most=4) == 3
  assert ledger.begin('b', (0, 1), most=4) is None
  assert [entry.number for entry in ledger.entries()] == [0, 1, 2, 3]
  assert ledger.begin('b', (0, 1), most=5) == 5  # 4 was given up


def test_one_process_has_a_workers_name(objective, tmp_path):
  made = shared(objective, tmp_path / 'a.journal')

  def same(trial):
    with pytest.raises(ValueError, match="`worker` must be .* got 'worker-0'"):
      shared(objective, tmp_path / 'a.journal').run(trials=2)
    with pytest.raises(ValueError, match="`worker` must be .* got 'worker-0'"):
      shared(objective, tmp_path / 'a.journal', worker='b').take_over('worker-0')
    shared(objective, tmp_path / 'a.journal', worker='b').run(trials=2)

  made.run(trials=1, on_trial=same)
  assert [row['worker'] for row in made.table()] == ['worker-0', 'b']
  assert [path.name for path in tmp_path.iterdir()] == ['a.journal']  # no locks left


def test_where_there_is_no_lock_the_later_process_goes_on(objective):
  storage = optuna.storages.InMemoryStorage()
  made, later = (shared(objective, storage) for _ in range(2))

  def overtake(trial):
    if not later.rows[1:]:
      later.run(trials=4, batch=2)

  with pytest.raises(RuntimeError, match='another runs the study'):
    made.run(trials=4, batch=2, on_trial=overtake)
  assert len(made.rows) == 4 and made.running == {}


def test_unfinished_trials_are_taken_over(objective, tmp_path):
  def die(trial):
    raise KeyboardInterrupt

  first = shared(objective, tmp_path / 'a.db', sampler='random', worker='a')
  with pytest.raises(KeyboardInterrupt):
    first.run(trials=4, batch=3, on_trial=die)
  left = first.running
  other = shared(objective, tmp_path / 'a.db', sampler='random', worker='b')
  other.run(trials=4, batch=3)
  assert other.running == left and len(left['a']) == 2 and len(other.rows) == 2
  assert other.take_over('c') == 0
  assert other.take_over('a') == 2
  assert other.running == {'b': left['a']}
  other.run(trials=4, batch=3)
  whole = shared(objective, None, sampler='random')
  whole.run(trials=4)
  assert [row.point for row in other.rows] == [row.point for row in whole.rows]
  with pytest.raises(ValueError, match="another one's name"):
    other.take_over('b')


# --- files -------------------------------------------------------------------


def test_half_a_line_of_a_journal_is_taken_off(tmp_path):
  path = tmp_path / 'a.journal'
  ledger = ledger_of(path)
  begin(ledger, 2)
  second = ledger.entries()[1]
  before = path.read_bytes()
  for left in (len(before) - 1, len(before) - 20):  # the newline only, and more
    path.write_bytes(before[:left])
    again = ledger_of(path)
    assert again.begin('worker-0', (0, 3), 9) == 2
    assert path.read_bytes().endswith(b'}\n')
    # The last line held a number of the second point.
    assert [entry.point is None for entry in again.entries()] == [False, True, True]
    again.propose(1)
    assert again.entries()[1] == second


@pytest.mark.parametrize(
    'storage, error, says',
    [
        (3, TypeError, 'a path, a database URL or an Optuna storage'),
        ('study.txt', ValueError, 'ends in .db, .sqlite, .sqlite3, .log, .journal'),
        ('no/such/folder/study.db', ValueError, 'in a folder that exists'),
    ],
)
def test_what_is_no_storage_is_refused(storage, error, says):
  with pytest.raises(error, match=f'^Study: `storage` must be .*{says}'):
    study(storage)


def test_a_url_is_a_database(tmp_path):
  url = f'sqlite:///{tmp_path / "here"}'
  begin(ledger_of(url), 2)
  assert len(ledger_of(url).entries()) == 2


@pytest.mark.parametrize(
    'named, error, says',
    [
        ({'worker': ''}, ValueError, '`worker` must be not empty'),
        ({'worker': 1}, TypeError, '`worker` must be a string'),
        ({'name': 2}, TypeError, '`name` must be a string'),
        ({'sampler': 'tpee'}, ValueError, "`sampler` must be .*did you mean 'tpe'"),
        ({'sampler': 1}, TypeError, '`sampler` must be one of'),
        ({'study_seed': -1}, ValueError, '`study_seed` must be'),
        ({'fixed': {'momentum': quadratic}}, TypeError, 'must be a number, a word'),
    ],
)
def test_bad_arguments_are_refused(named, error, says):
  with pytest.raises(error, match=says):
    Study(quadratic(), RATES, **{'optimizer': 'sgd'} | named)


def test_a_name_that_nothing_takes_is_refused():
  with pytest.raises(ValueError, match='no such argument'):
    Study(quadratic(), RATES | {'b9': lrax.tune.uniform(0, 1)})


@pytest.mark.parametrize('named', [{'trials': 0}, {'batch': 0}])
def test_bad_counts_are_refused(named):
  with pytest.raises(ValueError, match=next(iter(named))):
    study(None).run(**named)


def test_shared_storages_are_for_single_processes(tmp_path, monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  with pytest.raises(ValueError, match='several processes'):
    study(tmp_path / 'a.db')
  study(None)


def test_optuna_is_silent_and_as_it_was(tmp_path, caplog):
  optuna.logging.enable_propagation()
  level = optuna.logging.get_verbosity()
  try:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    with caplog.at_level(logging.INFO):
      begin(ledger_of(tmp_path / 'a.db', 'tpe'), 2)
      ledger_of(tmp_path / 'a.db', 'tpe')
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert caplog.records == []
  finally:
    optuna.logging.set_verbosity(level)
    optuna.logging.disable_propagation()
