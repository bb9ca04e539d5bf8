"""`lrax stability`: what it measures, says and writes, and how it ends."""

import csv
import os
from pathlib import Path
import textwrap

import numpy as np
from programs import check_refusal
from programs import is_png
from programs import run
from programs import strictly
import pytest

import lrax

pytestmark = pytest.mark.usefixtures('place')

QUICK = 'lrax_cli_tasks.py:quick'
# Of the loss mean((w * x - 3 * x) ** 2) of tests/cli/programs.py.
X = np.linspace(-1, 1, 16).astype(np.float32)
HESSIAN = 2 * float(np.mean(X.astype(float) ** 2))

# A loss whose state, as that of BatchNorm, moves with every update.
STATEFUL = '''
    import jax.numpy as jnp
    import numpy as np
    from lrax.tasks import Arrays, Task

    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)

    def loss(params, state, batch, key):
      mean = 0.9 * state + 0.1 * jnp.mean(batch, 0)
      error = (batch - mean) @ params['w'] - batch[:, 0]
      return jnp.mean(error ** 2), mean

    task = Task(
        init=lambda key: ({'w': jnp.zeros(2)}, jnp.zeros(2)), loss=loss,
        evaluate=lambda params, state, batch: loss(params, state, batch, None)[0],
        train=Arrays(x, 8), validation=Arrays(x, 8), steps=20, stateful=True,
        name='stateful')
'''


@pytest.fixture(autouse=True)
def wide(monkeypatch):
  monkeypatch.setenv('COLUMNS', '120')


@pytest.fixture
def brief(monkeypatch, undrawn):
  """Without figure, density and trace, which take seconds to compile."""
  for name in ('spectral_density', 'hutchinson_trace'):
    monkeypatch.setattr(lrax.stability, name, lambda *args, **options: None)


def found():
  return strictly(Path('lrax-out/stability.json').read_text())


def test_of_a_stream_the_limit_is_that_of_its_hessian(monkeypatch, capsys):
  """One weight: its only eigenvalue is known, and gradient descent's limit."""
  arguments = ['--optimizer', 'sgd', '--steps', '4', '--rate', '0.5']
  assert run(monkeypatch, 'stability', QUICK, *arguments) == 0
  said = capsys.readouterr()
  assert said.err == ''
  kept = found()
  assert kept['complete'] is True
  assert (kept['task'], kept['optimizer'], kept['steps']) == ('quick', 'sgd', 4)
  rate = kept['limit']['learning_rate']
  # Sums of 16 products in float32.
  np.testing.assert_allclose(rate, 2 / HESSIAN, rtol=1e-5)
  np.testing.assert_allclose(kept['eigenvalues']['values'], HESSIAN, rtol=1e-5)
  np.testing.assert_allclose(kept['trace']['value'], HESSIAN, rtol=1e-5)
  curve = kept['curve']
  assert curve['steps'] == [1, 2, 3, 4]
  np.testing.assert_allclose(curve['sharpness'], HESSIAN, rtol=1e-5)
  np.testing.assert_allclose(curve['limits'], 4.0)
  # The loss of each batch before its update: w - 3 shrinks by 1 - rate * HESSIAN.
  expected = HESSIAN / 2 * 9 * (1 - 0.5 * HESSIAN) ** (2 * np.arange(4))
  np.testing.assert_allclose(curve['losses'], expected, rtol=1e-4)
  with open('lrax-out/stability.csv') as file:
    rows = {row['quantity']: row for row in csv.DictReader(file)}
  assert float(rows['highest stable rate']['value']) == rate
  assert float(rows['largest eigenvalue']['value']) == kept['eigenvalues']['values'][0]
  assert is_png(Path('lrax-out/stability.png'))
  assert sorted(os.listdir('lrax-out')) == [
      f'stability.{kind}' for kind in ('csv', 'json', 'png')
  ]
  words = ' '.join(said.out.split())
  assert f'{rate:.4g}' in words and 'highest stable rate' in words
  assert f'The rate of 0.5 is {0.5 / rate:.2g} of it, and so stable here' in words
  # One batch is not enough for the noise of batches, and no reason to fail.
  assert 'No noise scale: ' in words


@pytest.mark.usefixtures('brief')
def test_weight_decay_is_part_of_the_limit(monkeypatch, capsys):
  code = run(
      monkeypatch, 'stability', QUICK, '--optimizer',
      'adamw(weight_decay=0.5)', '--steps', '3', '--rate', '9.5',
  )
  assert code == 0
  limit = found()['limit']
  assert limit['weight_decay'] == 0.5
  # The decay alone bears 2 / 0.5; without it the limit would be above 38.
  assert 3 < limit['learning_rate'] < 4
  assert 'times as high: at it the loss leaves this place' in capsys.readouterr().out


@pytest.mark.usefixtures('brief')
def test_a_state_that_is_not_trained_is_that_of_the_end(monkeypatch, capsys):
  Path('lrax_cli_stateful.py').write_text(textwrap.dedent(STATEFUL))
  name = 'lrax_cli_stateful.py:task'
  assert run(monkeypatch, 'stability', name, '--optimizer', 'sgd', '--steps', '5') == 0
  capsys.readouterr()
  kept = found()
  x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
  # Whatever the state is, it has moved from 0, and the Hessian with it.
  at_start = np.linalg.eigvalsh(2 * x.T @ x / 64)[::-1]
  values = np.asarray(kept['eigenvalues']['values'])
  assert len(values) == 2
  np.testing.assert_allclose(values, at_start, rtol=0.1)
  assert (np.abs(values / at_start - 1) > 1e-5).any()
  noise = kept['noise']
  assert noise['batches'] >= 4 and noise['noise_scale'] > 0
  assert kept['advice']['value']['batch_size'] == round(noise['noise_scale'])


@pytest.mark.usefixtures('brief')
def test_without_training_it_is_that_of_the_start(monkeypatch, capsys):
  code = run(
      monkeypatch, 'stability', QUICK, '--optimizer',
      'sgd(momentum=0.5)', '--steps', '0', '--rate', '9',
  )
  said = capsys.readouterr().out
  assert code == 0
  kept = found()
  assert kept['curve'] is None
  rate = kept['limit']['learning_rate']
  np.testing.assert_allclose(rate, 2 * 1.5 / HESSIAN, rtol=1e-5)
  assert 'Before any training' in said
  assert f'The rate of 9 is {9 / rate:.3g} times as high' in said


@pytest.mark.usefixtures('brief')
def test_where_the_training_is_not_finite_it_says_so_and_ends_with_1(
    monkeypatch, capsys
):
  name = 'lrax_cli_tasks.py:hopeless'
  assert run(monkeypatch, 'stability', name, '--optimizer', 'sgd', '--steps', '2') == 1
  said = capsys.readouterr()
  assert 'the curvature is not finite' in said.out
  assert 'Traceback' not in said.out + said.err
  assert found()['limit']['learning_rate'] is None


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['digit'], ["no built-in task is called 'digit'", "did you mean 'digits'"]),
        (['lrax_cli_tasks.py:vector'], ['quick: `loss`', 'shape (16,)']),
        (['lrax_cli_tasks.py:broken'], ['tasks.py:broken', 'ZeroDivisionError']),
        ([QUICK, '--steps', '0'], ['`--steps` must be at least 1 for adamw']),
        ([QUICK, '--steps', '-1'], ['`--steps`', 'got -1']),
        ([QUICK, '--rate', '0'], ['`--rate`', 'got 0']),
        ([QUICK, '--rate', 'nan'], ['`--rate`', 'got nan']),
        ([QUICK, '--batches', '0'], ['`--batches`', 'got 0']),
        ([QUICK, '--seed', '-1'], ['`--seed`', 'got -1']),
        ([QUICK, '--optimizer', 'adamm'], ["did you mean 'adam"]),
        ([QUICK, '--optimizer', 'lion'], ['`optimizer`', 'lion']),
        ([QUICK, '--out', 'file'], ['--out', "'file'"]),
        ([], ['task']),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
def test_a_bad_call_or_a_bad_task_is_one_line(monkeypatch, capsys, arguments, words):
  code = run(monkeypatch, 'stability', *arguments)
  check_refusal(code, capsys.readouterr(), *words)
  assert not os.path.exists('lrax-out/stability.json')


@pytest.mark.usefixtures('brief')
def test_ctrl_c_keeps_what_was_finished(monkeypatch, capsys):
  def stop(*arguments, **options):
    raise KeyboardInterrupt

  monkeypatch.setattr(lrax.stability, 'lanczos', stop)
  code = run(
      monkeypatch, 'stability', QUICK, '--optimizer', 'sgd',
      '--steps', '2',
  )
  assert code == 130
  error = capsys.readouterr().err
  assert error.startswith('lrax: stopped; 2 parts were finished; ')
  assert 'stability.json has what there is' in error and error.count('\n') == 1
  kept = found()
  assert kept['complete'] is False
  np.testing.assert_allclose(kept['limit']['learning_rate'], 2 / HESSIAN, rtol=1e-5)
  assert kept['curve']['steps'] == [1, 2] and kept['trace'] is None
