"""Which column of a log is the loss, and which is the rate."""

import io

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.diagnose import history
from lrax.diagnose import read_log

NAN = np.nan
LOSSES = [2.0, 1.0]


def read(head, *rows):
  return read_log(io.StringIO('\n'.join([head, *rows])))


@pytest.fixture(scope='module')
def unseen():
  """The metrics of a monitor that was given no loss."""
  tx = lrax.diagnose.monitor(optax.sgd(0.1))
  return lrax.metrics(tx.init({'w': jnp.ones(2)}))


def test_a_monitor_that_has_seen_no_loss_has_none(unseen):
  rows = [{**unseen, 'monitor_updates': i, 'train_loss': 1 / (i + 1)} for i in range(9)]
  for found in (lrax.diagnose.diagnose(rows).log, history(rows)):
    np.testing.assert_array_equal(found.loss, [1 / (i + 1) for i in range(9)])
    np.testing.assert_array_equal(found.step, np.arange(9))
    assert not found.missing.any()
  bare = [{**unseen, 'monitor_updates': i} for i in range(9)]
  with pytest.raises(ValueError, match="'monitor_loss.*' is NaN in every row, as"):
    lrax.diagnose.diagnose(bare)
  found = history(bare)
  assert found.missing.all() and np.isnan(found.loss).all()
  judged = lrax.diagnose.diagnose(found)
  assert judged.verdict == 'unclear' and 'no loss' in judged.reason
  # Where it has seen some, they are the loss.
  some = [row | {'monitor_loss': x} for row, x in zip(bare, LOSSES)]
  np.testing.assert_array_equal(lrax.diagnose.diagnose(some).log.loss, LOSSES)
  np.testing.assert_array_equal(history(some).loss, LOSSES)
  # As it is if it is asked for.
  assert not history(bare, loss='monitor_loss').missing.any()


def test_a_history_without_losses_has_no_cross_for_one(unseen):
  axes = lrax.plot.monitor(history([dict(unseen)] * 3))
  assert 'not finite' not in [one.get_label() for one in axes[0].lines]
  rows = [{'train_loss': 2.0}, {'accuracy': 0.5}, {'train_loss': NAN}, {'accuracy': 1}]
  axes = lrax.plot.monitor(history(rows))
  (cross,) = [one for one in axes[0].lines if one.get_label() == 'not finite']
  np.testing.assert_array_equal(cross.get_xdata(), [2])


def test_a_history_knows_the_names_of_logs():
  rows = [{'global_step': 5, 'train/ce': 2.0, 'val/ce': 3, 'lr': 0.1, 'epoch': 0.5}]
  found = history(rows)
  assert found.step.tolist() == [5] and found.loss.tolist() == [2]
  assert found.validation_loss.tolist() == [3]
  assert found.learning_rate.tolist() == [0.1]
  assert history([{'epoch': 3, 'loss': 1.0}]).step.tolist() == [0]  # no update


def test_a_history_tells_no_loss_from_nan():
  rows = [{'loss': 2.0}, {'val_loss': 3.0}, {'loss': NAN}, {'loss': None}]
  found = history(rows)
  np.testing.assert_array_equal(found.missing, [False, True, False, True])
  np.testing.assert_array_equal(found.validation_missing, [True, False, True, True])
  log = lrax.diagnose.diagnose(found).log
  np.testing.assert_array_equal(log.missing, found.missing)


@pytest.mark.parametrize('names', [
    ('lr/pg0', 'lr/pg1'), ('lr_0', 'lr_1'), ('lr-AdamW/pg1', 'lr-AdamW/pg2'),
    ('learning_rate/body', 'learning_rate/weight'),
])
def test_of_several_rates_the_largest_is_taken(names):
  log = read(f'step,loss,{",".join(names)}', '1,2,1e-5,1e-2', '2,1,1e-1,')
  np.testing.assert_array_equal(log.learning_rate, [1e-2, 1e-1])
  assert f'the largest of the columns {names[0]!r}, {names[1]!r}' in log.notes[-1]
  rows = [{'loss': 2.0, names[0]: 1e-5, names[1]: 1e-2}]
  assert history(rows).learning_rate.tolist() == [1e-2]


def test_a_plain_rate_is_the_rate_beside_others():
  log = read('step,loss,lr_2,lr,base_lr', '1,2,9,.1,8', '2,1,9,.2,8')
  np.testing.assert_array_equal(log.learning_rate, [0.1, 0.2])
  log = read('step,loss,opt_lr,base_lr', '1,2,.1,8', '2,1,.2,8')
  np.testing.assert_array_equal(log.learning_rate, [0.1, 0.2])


@pytest.mark.parametrize('whole', ['total_loss', 'loss/overall'])
def test_the_total_is_the_loss_and_not_a_part(whole):
  log = read(f'step,loss_cls,loss_box,{whole}', '1,5,6,2', '2,7,8,1')
  np.testing.assert_array_equal(log.loss, LOSSES)


def test_an_export_of_tensorboard_is_read():
  log = read('Wall time,Step,Value', '1700000000.5,10,2', '1700000001.5,20,1')
  np.testing.assert_array_equal(log.loss, LOSSES)
  np.testing.assert_array_equal(log.step, [10, 20])
  assert 'look whether it is the training loss' in ' '.join(log.notes)
