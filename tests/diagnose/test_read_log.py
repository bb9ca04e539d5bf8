"""Logs of many forms: what is read, what is guessed, and what is refused."""

import io
import json

import numpy as np
import pytest

import lrax
from lrax.diagnose import read_log

NAN = np.nan


def read(text, **arguments):
  return read_log(io.StringIO(text), **arguments)


CASES = {
    'plain': ('step,loss\n1,2.5\n2,1.5\n', [1, 2], [2.5, 1.5], None, None),
    'semicolons and decimal commas': (
        'step;loss;lr\n1;2,5;0,001\n2;1,5;0,002\n', [1, 2], [2.5, 1.5], None,
        [0.001, 0.002],
    ),
    'tabs': ('step\tloss\n1\t2.5\n2\t1.5\n', [1, 2], [2.5, 1.5], None, None),
    'spaces, as numpy writes': (
        '# step loss\n1.0e0 2.5e0\n2 1.5\n', [1, 2], [2.5, 1.5], None, None,
    ),
    'a mark of byte order': ('\ufeffstep,loss\n1,2.5\n2,1.5', [1, 2], [2.5, 1.5],
                             None, None),
    'comments, empty lines, a repeated header, ragged rows': (
        '# run 1\n\nstep,loss,val_loss\n1,2.5,\n2,1.5,3\nstep,loss,val_loss\n3,1.0\n'
        '4,0.5,2,9\n', [1, 2, 3, 4], [2.5, 1.5, 1.0, 0.5], [NAN, 3, NAN, 2], None,
    ),
    'text before the header': (
        'my run\nstep,loss\n1,2.5\n2,1.5\n', [1, 2], [2.5, 1.5], None, None,
    ),
    'thousands and units': (
        'step,loss\n"1,000",2.5 nats\n"2,000",tensor(1.5)\n', [1000, 2000],
        [2.5, 1.5], None, None,
    ),
    'keras': (
        'epoch,accuracy,loss,lr,val_accuracy,val_loss\n0,.5,2.5,.1,.4,3\n'
        '1,.6,1.5,.1,.5,2\n', [0, 1], [2.5, 1.5], [3, 2], [0.1, 0.1],
    ),
    'lightning, sparse': (
        'epoch,lr-AdamW,step,train_loss_epoch,train_loss_step,val_loss\n'
        '0,,49,,2.5,\n0,,49,2.0,,\n0,0.1,49,,,3.0\n1,,99,,1.5,\n', [49, 99],
        [2.5, 1.5], [3, NAN], [0.1, NAN],
    ),
    'a web export': (
        '"Step","run - loss","run - loss__MIN","run - loss__MAX"\n1,2.5,2,3\n'
        '2,1.5,1,2\n', [1, 2], [2.5, 1.5], None, None,
    ),
    'transformers in one line': (
        json.dumps({'log_history': [
            {'loss': 2.5, 'step': 10, 'learning_rate': 0.1},
            {'eval_loss': 3.0, 'step': 10},
            {'loss': 1.5, 'step': 20, 'learning_rate': 0.1},
            {'train_loss': 2.0, 'train_runtime': 3.0, 'step': 20},
        ]}), [10, 20], [2.5, 1.5], [3, NAN], [0.1, 0.1],
    ),
    'lines of JSON with mixed keys': (
        '{"step": 1, "train": {"loss": 2.5}}\n{"step": 2, "train": {"loss": NaN}}\n'
        'not JSON\n{"step": 3, "val_loss": 3}\n', [1, 2, 3], [2.5, NAN, NAN],
        [NAN, NAN, 3], None,
    ),
    'an object of arrays': (
        '{"loss": [2.5, 1.5], "val_loss": [3, null]}', [0, 1], [2.5, 1.5],
        [3, NAN], None,
    ),
    'what only sounds like the loss': (
        'step,loss_scale,best_loss,loss_time,train/ce,lr_scheduler_step\n'
        '1,9,8,7,2.5,6\n2,9,8,7,1.5,6\n', [1, 2], [2.5, 1.5], None, None,
    ),
    'one column without a header': ('2.5\n1.5\n', [0, 1], [2.5, 1.5], None, None),
    'newest first': ('step,loss\n2,1.5\n1,2.5\n', [1, 2], [2.5, 1.5], None, None),
    'a later row of a step wins': (
        'step,loss\n1,2.5\n2,9\n2,1.5\n', [1, 2], [2.5, 1.5], None, None,
    ),
    'a resumed run': (
        'step,loss\n' + ''.join(f'{i},9\n' for i in range(1, 9))
        + ''.join(f'{i},1.5\n' for i in range(2, 8)), range(1, 8),
        [9] + [1.5] * 6, None, None,
    ),
    'batches of three epochs': (
        'batch,loss\n' + '0,3\n1,2\n' * 3, range(6), [3, 2] * 3, None, None,
    ),
    'a negative rate is none': (
        'step,loss,lr\n1,2.5,-1\n2,1.5,0.1\n', [1, 2], [2.5, 1.5], None, [NAN, 0.1],
    ),
}


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_what_is_read(case):
  text, step, loss, validation, rate = case
  log = read(text)
  nothing = np.full(len(loss), NAN)
  np.testing.assert_array_equal(log.step, np.asarray(list(step), float))
  np.testing.assert_array_equal(log.loss, loss)
  np.testing.assert_array_equal(
      log.validation_loss, nothing if validation is None else validation
  )
  np.testing.assert_array_equal(log.learning_rate, nothing if rate is None else rate)


@pytest.mark.parametrize(
    'text, unit',
    [
        ('step,loss\n1,2\n2,1', 'updates'),
        ('global_step,epoch,loss\n1,0,2\n2,0,1', 'updates'),
        ('Epoch,loss\n1,2\n2,1', 'epochs'),
        ('loss\n1\n2', 'rows'),
        ('tokens,loss\n100,2\n200,1', 'rows'),
        ('step,loss\n7,2\n7,1', 'rows'),
    ],
)
def test_what_a_step_counts(text, unit):
  assert read(text).unit == unit


@pytest.mark.parametrize(
    'text, says',
    [
        ('', 'it is empty'),
        (' \n', 'it is empty'),
        ('<html><body>', 'HTML'),
        ('a,b\n1,2\n', "the columns are 'a', 'b'"),
        ('dear reader\nof this text\n', 'it is no table'),
        ('word\nwords\n', 'it is no table'),
        ('1,2\n3,4\n', "the columns are 'column 1', 'column 2'"),
        ('step,loss\n', 'no rows'),
        ('step,loss\n1,\n2,\n', 'holds no number'),
        ('step,loss\n1,2,5\n2,1,5\n', 'separate the cells with ;'),
        ('step,loss\n1,"1,234"\n2,"1,233"\n', 'may be of thousands or of decimals'),
        ('step,loss\n1,2\nloss,step\n1,2\n', 'header of another order'),
        ('{"loss": 3', 'begins as JSON and is none'),
        ('[1, 2, 3]', 'a list without objects'),
    ],
)
def test_what_is_no_log_is_refused_in_one_line(text, says):
  with pytest.raises(ValueError) as caught:
    read(text)
  message = str(caught.value)
  assert says in message and '\n' not in message
  assert message.startswith('read_log: ')


@pytest.mark.parametrize(
    'data', [b'\x89PNG\r\n\x1a\n\0\0\0', bytes(range(128, 256)) * 9]
)
def test_a_binary_file_is_refused(tmp_path, data):
  path = tmp_path / 'log.csv'
  path.write_bytes(data)
  with pytest.raises(ValueError, match='no log: it is binary'):
    read_log(path)


def test_another_encoding_is_read(tmp_path):
  path = tmp_path / 'log.csv'
  path.write_bytes('step,loss\n1,2\n2,1\n'.encode('utf-16'))
  np.testing.assert_array_equal(read_log(str(path)).loss, [2, 1])


def test_columns_can_be_named():
  text = 'when,train/ce,speed\n1,2,30\n2,1,20\n'
  log = read(text, columns={'loss': 'speed', 'step': 'when'})
  np.testing.assert_array_equal(log.loss, [30, 20])
  with pytest.raises(ValueError, match="no column 'sped', did you mean 'speed'"):
    read(text, columns={'loss': 'sped'})
  with pytest.raises(ValueError, match='`columns` must name step'):
    read(text, columns={'los': 'speed'})


def test_what_was_guessed_and_skipped_is_told():
  log = read('n,loss,loss,lr\nstep,loss\n1,2,2,x\n2,1,1,0.1\n')
  told = ' '.join(log.notes)
  assert "learning_rate is the column 'lr'." in told
  assert "The column 'loss' is there twice: the first is taken." in told
  assert "no numbers, as 'x'" in told


def test_empty_and_nan_are_not_the_same():
  log = read('step,loss\n1,2\n2,\n3,nan\n4,inf\n5,null\n')
  np.testing.assert_array_equal(log.missing, [False, True, False, False, True])
  np.testing.assert_array_equal(log.loss, [2, NAN, NAN, np.inf, NAN])


def test_rows_arrays_and_a_log_are_the_same_source():
  rows = [{'step': i, 'loss': 1.0 / (i + 1)} for i in range(30)]
  arrays = {name: [row[name] for row in rows] for name in ('step', 'loss')}
  first = lrax.diagnose.diagnose(rows)
  for other in (arrays, first.log):
    found = lrax.diagnose.diagnose(other)
    np.testing.assert_array_equal(found.log.loss, first.log.loss)
    assert found.verdict == first.verdict
