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
X = np.linspace(-1, 1, 16)
HESSIAN = 2 * np.mean(X**2)

# The same in four batches, times 1 + state, where every update adds 1 to the state.
STATEFUL = '''
    import jax.numpy as jnp
    import numpy as np
    from lrax.tasks import Arrays, Stream, Task

    x = np.linspace(-1, 1, 16).astype(np.float32)

    def loss(w, state, batch, key):
      return (1 + state) * jnp.mean((w * batch - 3 * batch) ** 2), state + 1

    task = Task(
        init=lambda key: (jnp.zeros(()), jnp.zeros(())), loss=loss,
        evaluate=lambda *at: loss(*at, None)[0],
        train=Stream(lambda seed: x.reshape(4, 4)),
        validation=Arrays(x), steps=20, stateful=True, name='stateful')
    arrays = Task(
        init=lambda key: jnp.zeros(()), loss=lambda w, x, key: loss(w, 0, x, key)[0],
        train=Arrays(x, 8), validation=Arrays(x), steps=20, name='arrays')
'''
OWN = 'lrax_cli_stateful.py'


@pytest.fixture(autouse=True)
def wide(monkeypatch, place):
  monkeypatch.setenv('COLUMNS', '120')
  Path(OWN).write_text(textwrap.dedent(STATEFUL))


@pytest.fixture
def brief(monkeypatch, undrawn):
  """Without figure, density and trace, which take seconds to compile."""
  for name in ('spectral_density', 'hutchinson_trace'):
    monkeypatch.setattr(lrax.stability, name, lambda *args, **options: None)


def found():
  return strictly(Path('lrax-out/stability.json').read_text())


def test_of_a_stream_and_a_state_the_limit_is_that_of_the_hessian(
    monkeypatch, capsys
):
  """One weight: its only eigenvalue is known, and gradient descent's limit."""
  arguments = ['--optimizer', 'sgd', '--steps', '4', '--rate', '0.05']
  assert run(monkeypatch, 'stability', f'{OWN}:task', *arguments) == 0
  said = capsys.readouterr()
  assert said.err == ''
  kept = found()
  assert kept['complete'] is True
  assert (kept['task'], kept['optimizer'], kept['steps']) == ('stateful', 'sgd', 4)
  rate = kept['limit']['learning_rate']
  # Sums of 16 products in float32. After 4 updates the state is 4.
  hessian = 5 * HESSIAN
  np.testing.assert_allclose(rate, 2 / hessian, rtol=1e-5)
  np.testing.assert_allclose(kept['eigenvalues']['values'], hessian, rtol=1e-5)
  np.testing.assert_allclose(kept['trace']['value'], hessian, rtol=1e-5)
  curve = kept['curve']
  assert curve['steps'] == [1, 2, 3, 4]
  after = HESSIAN * np.array([2, 3, 4, 5])
  np.testing.assert_allclose(curve['sharpness'], after, rtol=1e-5)
  np.testing.assert_allclose(curve['limits'], 2 / 0.05)
  # Of each batch before its update, in a loop of its own.
  w, losses = 0.0, []
  for state, batch in enumerate(X.reshape(4, 4)):
    losses.append((1 + state) * np.mean(batch**2) * (w - 3) ** 2)
    w -= 0.05 * (1 + state) * 2 * np.mean(batch**2) * (w - 3)
  np.testing.assert_allclose(curve['losses'], losses, rtol=1e-4)
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
  assert f'The rate of 0.05 is {0.05 / rate:.2g} of it, and so stable here' in words
  noise = kept['noise']
  assert (noise['batches'], noise['batch_size']) == (4, 4)
  if noise['told']:
    assert kept['advice']['value']['batch_size'] == round(noise['noise_scale'])
  assert noise['verdict'] in words


@pytest.mark.usefixtures('brief')
def test_weight_decay_is_part_of_the_limit(monkeypatch, capsys):
  code = run(
      monkeypatch, 'stability', f'{OWN}:arrays', '--optimizer',
      'adamw(weight_decay=0.5)', '--steps', '3', '--rate', '9.5',
  )
  assert code == 0
  limit = found()['limit']
  assert limit['weight_decay'] == 0.5
  # The decay alone bears 2 / 0.5; without it the limit would be above 38.
  assert 3 < limit['learning_rate'] < 4
  assert 'times as high: at it the loss leaves this place' in capsys.readouterr().out


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
  # One batch is not enough for the noise of batches, and no reason to fail.
  assert 'No noise scale: ' in said


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


@pytest.mark.usefixtures('brief')
def test_a_training_that_is_lost_is_not_called_stable(monkeypatch, capsys):
  """The curvature of a parabola is finite even where its parameters are not."""
  code = run(
      monkeypatch, 'stability', f'{OWN}:arrays', '--optimizer', 'sgd', '--rate', '100',
      '--steps', '40',
  )
  said = capsys.readouterr().out
  assert code == 1
  curve = found()['curve']
  first = curve['steps'][curve['losses'].index(None)]
  assert f'The training is lost: after {first} updates at 100 its loss' in said
  assert 'stable here' not in said and 'times as high' not in said


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
