"""Every remedy is code that runs, fitted to what the log tells."""

from curves import falling
from curves import validated
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax import optimizers
from lrax.diagnose import _optimizer
from lrax.diagnose import _remedy
from lrax.diagnose import diagnose

STEPS = np.arange(300)


def overfitted():
  validation = falling(seed=1) + 0.1
  validation[100:] += np.linspace(0, 1, 200)
  return {'loss': falling(end=0.05), 'validation_loss': validated(validation)}


TROUBLES = {
    'diverging': {'loss': np.concatenate([falling(299), [np.nan]])},
    'oscillating': {'loss': falling(end=1.2) + 0.8 * np.sin(STEPS / 3)},
    'too low': {'loss': 2.3 - STEPS / 1000},
    'plateau': {'loss': falling(time=0.01, end=0.8, size=0.5)},
    'overfitting': overfitted(),
}
OPTIMIZERS = (
    None,
    'sgd(momentum=0.9)',
    'adamw(b2=linear(0.9, 0.99, steps=100), weight_decay=0.01)',
    'lion(b1=0.8)',
)
PARAMS = {'w': jnp.ones(2)}


def made(remedy, **known):
  """The optimizer that a remedy makes; what it cannot know is given."""
  space = {'lrax': lrax}
  exec(remedy, space)
  return space['tx'] if 'tx' in space else space['optimizer'](**known)


@pytest.mark.parametrize('verdict', TROUBLES)
def test_a_remedy_runs_with_any_optimizer(verdict):
  for text in OPTIMIZERS:
    for known in ({'learning_rate': 0.1, 'step': STEPS}, {'learning_rate': 0.1}, {}):
      found = diagnose(**TROUBLES[verdict], **known, optimizer=text)
      assert found.verdict == verdict
      name = (text or 'adamw').partition('(')[0]
      assert f'lrax.{name}(' in found.remedy
      head = found.remedy.partition('return')[0] if 'def ' in found.remedy else ''
      possible = {'learning_rate': 0.1, 'steps': 300}
      unknown = {name: x for name, x in possible.items() if name in head}
      assert isinstance(made(found.remedy, **unknown), optax.GradientTransformation)
      for argument in unknown:
        assert f'`{argument}` is' in found.advice
      assert bool(unknown) == ('def ' in found.remedy)


@pytest.mark.parametrize(
    'verdict, says',
    [
        ('diverging', 'lrax.guard(lrax.sgd(lrax.constant(0.033).with_warmup(14),'),
        ('oscillating', 'lrax.sgd(lrax.constant(0.033).with_warmup(14),'),
        ('too low', 'lrax.sgd(lrax.constant(1), momentum=0.9)'),
        ('plateau', 'lrax.sgd(lrax.constant(0.1).cooldown(299, steps=59),'),
        ('overfitting', 'lrax.sgd(0.1 * lrax.control.early_stop('),
    ],
)
def test_the_numbers_of_the_log_are_in_it(verdict, says):
  found = diagnose(
      **TROUBLES[verdict], learning_rate=0.1, step=STEPS, optimizer='sgd(momentum=0.9)'
  )
  assert says in found.remedy
  tx = made(found.remedy)
  state = tx.init(PARAMS)
  if verdict == 'too low':
    updates, state = tx.update(PARAMS, state, PARAMS)
    np.testing.assert_array_equal(updates['w'], -PARAMS['w'])


def test_a_schedule_stays_one():
  cosine = 0.05 * (1 + np.cos(np.pi * STEPS / 300))
  found = diagnose(**TROUBLES['too low'], learning_rate=cosine, step=STEPS)
  assert 'lrax.cosine_annealing(1, steps=299)' in found.remedy
  written = _optimizer.Written('sgd')
  stopped = _remedy.remedy('overfitting', found.log, written).code
  assert 'lrax.cosine_annealing(0.1, steps=299) * lrax.control.early_stop(' in stopped


def test_a_plateau_is_left_from_the_rate_that_it_is_at():
  rate = np.where(STEPS < 30, 0.1, 0.02)
  log = diagnose(**TROUBLES['plateau'], learning_rate=rate, step=STEPS).log
  code = _remedy.remedy('plateau', log, _optimizer.Written('sgd')).code
  assert 'lrax.constant(0.02).cooldown(299, steps=59)' in code


def test_more_weight_decay_where_the_optimizer_has_it():
  found = diagnose(**overfitted(), optimizer='adamw(weight_decay=0.01)')
  assert 'weight_decay=10 * 0.01' in found.remedy
  assert 'weight_decay=0.1' in diagnose(**overfitted(), optimizer='lion').remedy
  assert 'optax' in diagnose(**overfitted(), optimizer='adam').remedy


@pytest.mark.parametrize('name', ['epoch', None])
def test_epochs_and_rows_are_not_taken_for_updates(name):
  rows = [{'loss': x, 'lr': 0.1} for x in TROUBLES['oscillating']['loss']]
  if name:
    rows = [row | {name: i} for i, row in enumerate(rows)]
  found = diagnose(rows)
  assert found.remedy.startswith('def optimizer(steps):')
  assert '299' not in found.remedy and '14' not in found.remedy
  assert 'does not count updates' in found.advice
  tx = made(found.remedy, steps=40_000)
  assert isinstance(tx, optax.GradientTransformation)
  plateau = diagnose([
      {'epoch': i, 'loss': x, 'lr': 0.1}
      for i, x in enumerate(TROUBLES['plateau']['loss'])
  ])
  assert 'reduce_on_plateau' in plateau.remedy


def test_every_optimizer_can_be_named():
  for name in optimizers.__all__:
    function = getattr(optimizers, name)
    takes = not isinstance(function, type) and name not in (
        'mechanic', 'schedule_free', 'with_learning_rate'
    )
    if takes:
      found = diagnose(**TROUBLES['diverging'], learning_rate=0.1, optimizer=name)
      assert f'lrax.{name}(' in found.remedy
    else:
      with pytest.raises(ValueError, match='`optimizer` must be one of'):
        diagnose(**TROUBLES['diverging'], optimizer=name)


@pytest.mark.parametrize(
    'text', ['', 'sgd(0.1)', 'sgd(momentum=2.0)', 'sgd(what=1)', '__import__("os")']
)
def test_what_is_no_optimizer_is_refused(text):
  with pytest.raises(ValueError, match='diagnose: `optimizer`'):
    diagnose(loss=[1.0], optimizer=text)
