"""What `find` picks beside the rate, and optimizers side by side."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax.tasks import Arrays
from lrax.tasks import Stream
from lrax.tasks import Task
from lrax.tune import _pick
from lrax.tune._objective import row_of
from lrax.tune._objective import Trial

DIM = 64


def draws(seed):
  rng = np.random.default_rng(seed)
  while True:
    yield rng.normal(size=DIM).astype(np.float32)


def quadratic(noise=0.3, steps=40, curvature=1.0):
  """Half the squared distance to a noisy point, by the curvature."""
  return Task(
      init=lambda key: jnp.full(DIM, 2.0),
      loss=lambda w, batch, key: 0.5 * jnp.sum(curvature * (w - noise * batch) ** 2),
      evaluate=lambda w, batch: 0.5 * jnp.sum(curvature * w**2),
      train=Stream(draws),
      validation=Arrays(np.ones(1)),
      steps=steps,
      name='quadratic',
  )


@functools.cache
def picked(noise):
  return lrax.tune.find(quadratic(noise), 'sgd', pick=['warmup', 'steps'])


def test_without_noise_in_the_batches_a_longer_run_is_better():
  """Curvatures a hundredfold apart: no rate takes all of them to 0 at once."""
  task = quadratic(0.0, curvature=np.geomspace(0.01, 1, DIM).astype(np.float32))
  found = lrax.tune.find(task, 'sgd', pick=['warmup', 'steps'])
  assert found.steps == 80  # twice the task's
  assert 'are the fewest within noise of the best length' in found.verdict
  assert {row.point.get('steps') for row in found.picked} == {None, 10, 20, 80}


def test_lengths_are_really_trained():
  for row in picked(0.3).picked:
    for trial in row.trials:
      if not trial.diverged:
        assert len(trial.losses) == row.point.get('steps', 40)


def test_what_is_picked_is_one_of_what_was_tried():
  found = picked(0.3)
  row = _pick._chosen(found)
  assert row.point.get('warmup_fraction', 0.0) == found.warmup_fraction
  assert row.point.get('steps', 40) == found.steps
  assert found.validation_loss == min(
      r.validation_loss for r in (*found.rows, *found.picked)
      if r.point.get('steps', 40) == found.steps
      and r.point.get('warmup_fraction', 0.0) == found.warmup_fraction
      and r.learning_rate == found.learning_rate
  )


def test_steps_spent_counts_what_was_picked_from():
  found = picked(0.3)
  rows = [trial for row in (*found.rows, *found.picked) for trial in row.trials]
  ramp = found.range_test.losses
  assert found.steps_spent >= sum(len(trial.losses) for trial in rows)
  assert found.steps_spent <= sum(len(trial.losses) for trial in rows) + ramp.size


def test_a_budget_that_leaves_nothing_picks_nothing():
  whole = lrax.tune.find(quadratic(), 'sgd')
  found = lrax.tune.find(
      quadratic(), 'sgd', budget=whole.steps_spent, pick=['warmup', 'steps']
  )
  assert found.picked == () and found.warmup_fraction == 0 and found.steps == 40
  assert found.learning_rate == whole.learning_rate
  assert 'The budget ended the search' in found.verdict


@pytest.mark.parametrize(
    'pick, error, says',
    [
        ('warmup', TypeError, '`pick` must be a list of words'),
        (['warm'], ValueError, "`pick` must be one of 'warmup', 'steps'"),
        ([1], TypeError, "`pick` must be one of 'warmup', 'steps'"),
    ],
)
def test_refuses_other_picks(pick, error, says):
  with pytest.raises(error, match=says):
    lrax.tune.find(quadratic(), 'sgd', pick=pick)


def test_refuses_a_warmup_that_the_schedule_does_not_take():
  own = lambda rate, steps: lrax.constant(rate)
  with pytest.raises(ValueError, match='have no such argument'):
    lrax.tune.find(quadratic(), 'sgd', schedule=own, pick=['warmup'])


def row(rate, *losses, **point):
  trials = [
      Trial({'learning_rate': rate}, seed, loss, 'finished', np.ones(3))
      for seed, loss in enumerate(losses)
  ]
  return row_of({'learning_rate': rate, **point}, trials)


class Scripted:
  """A search whose points give what a table says."""

  steps = 100

  def __init__(self, losses):
    self.losses = losses

  def try_points(self, points):
    return [self.row(point) for point in points]

  def row(self, point):
    return row(point['learning_rate'], *self.losses(point), **{
        k: v for k, v in point.items() if k != 'learning_rate'
    })


def test_a_warmup_must_gain_more_than_a_standard_error():
  base = row(0.1, 1.0, 1.2)
  # Differences from the base of 0.05 and 0.25: mean 0.15, standard error 0.1.
  clear = Scripted(lambda p: (0.95, 0.95) if p['warmup_fraction'] == 0.1 else (2, 2))
  found = _pick.pick(clear, base, ('warmup',))
  assert found.warmup_fraction == 0.1 and found.row.learning_rate == 0.1
  # Of -0.05 and 0.25: mean 0.1, standard error 0.15.
  hidden = Scripted(lambda p: (1.05, 0.95))
  found = _pick.pick(hidden, base, ('warmup',))
  assert found.warmup_fraction == 0.0 and found.row is base
  assert found.said == ('No warmup lowers the loss by more than noise.',)


def test_the_fewest_steps_within_a_standard_error_are_picked():
  base = row(0.1, 1.0, 1.2)
  losses = {25: (3.0, 3.0), 50: (0.95, 1.3), 200: (1.02, 1.12)}
  found = _pick.pick(Scripted(lambda p: losses[p['steps']]), base, ('steps',))
  # 50 steps are 0.055 above the best on average, with a standard error of 0.125,
  # and 100 steps 0.03 with one of 0.05.
  assert found.steps == 50
  losses[50] = (1.3, 1.4)  # 0.28 above, with none
  found = _pick.pick(Scripted(lambda p: losses[p['steps']]), base, ('steps',))
  assert found.steps == 100 and found.row is base


def test_a_longer_run_keeps_the_warmup_that_was_picked():
  seen = []

  def losses(point):
    seen.append(point)
    return (0.5, 0.5) if point.get('warmup_fraction') == 0.2 else (1.0, 1.0)

  _pick.pick(Scripted(losses), row(0.1, 1.0, 1.0), ('warmup', 'steps'))
  assert {p['warmup_fraction'] for p in seen if 'steps' in p} == {0.2}


# Side by side.


@functools.cache
def side_by_side():
  slow = functools.partial(lrax.sgd, momentum=0.5)
  return lrax.tune.find(quadratic(), ['sgd', slow, 'sgd(momentum=0.0)'])


def test_optimizers_are_compared_with_the_best_first():
  found = side_by_side()
  losses = [found.validation_loss, *(o.validation_loss for o in found.others)]
  assert losses == sorted(losses) and len(losses) == 3
  assert {found.optimizer, *(o.optimizer for o in found.others)} == {
      'sgd', 'sgd(momentum=0.5)', 'sgd(momentum=0.0)',
  }
  for other in found.others:
    assert f'{other.optimizer} reaches {other.validation_loss:.4g}' in found.verdict


def test_the_same_method_twice_is_hidden_by_noise():
  """Momentum 0 is no momentum: to the same losses, up to rounding."""
  alone, zero = (
      lrax.tune.find(quadratic(), text) for text in ('sgd', 'sgd(momentum=0.0)')
  )
  np.testing.assert_allclose(
      alone.validation_loss, zero.validation_loss, rtol=1e-4  # float32 sums
  )
  assert 'hides which is better' in _pick.beside(alone, zero)


def test_a_clear_difference_is_said_to_be_one():
  found = side_by_side()
  chosen = _pick._chosen(found)
  worse = chosen._replace(
      validation_loss=chosen.validation_loss + 1,
      trials=tuple(
          t._replace(validation_loss=t.validation_loss + 1) for t in chosen.trials
      ),
  )
  other = dataclasses.replace(
      found, validation_loss=worse.validation_loss, rows=(worse,), optimizer='worse',
  )
  assert ', 1 more, beyond noise (±0)' in _pick.beside(found, other)


def test_the_table_and_the_dict_hold_all_of_them():
  found = side_by_side()
  table = found.table()
  assert {line['optimizer'] for line in table} == {
      'sgd', 'sgd(momentum=0.5)', 'sgd(momentum=0.0)',
  }
  assert len({frozenset(line) for line in table}) == 1
  plain = found.to_dict()
  assert [o['optimizer'] for o in plain['others']] == [
      o.optimizer for o in found.others
  ]


@pytest.mark.parametrize('optimizers', [[], ['sgd', 'sgd']])
def test_refuses_none_and_doubles(optimizers):
  with pytest.raises(ValueError, match='`optimizer` must be a list of at least one'):
    lrax.tune.find(quadratic(), optimizers)
