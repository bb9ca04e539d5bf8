"""Tasks for the program, the program itself, and what it must leave behind."""

import json
import subprocess
import sys

import pytest

from lrax import cli

TASK = '''
    import time

    import jax.numpy as jnp
    import numpy as np
    import lrax
    from lrax.tasks import Arrays, Stream, Task

    x = np.linspace(-1, 1, 16).astype(np.float32)

    def mse(w, batch):
      return jnp.mean((w * batch[0] - 3 * batch[0]) ** 2)

    def make(loss=lambda w, batch, key: mse(w, batch), **changes):
      arguments = dict(
          init=lambda key: jnp.zeros(()), loss=loss, evaluate=mse,
          train=Stream(lambda seed: [(x,)]), validation=Arrays((x,)),
          steps=12, name='quick')
      return Task(**(arguments | changes))

    quick = make()
    vector = make(loss=lambda w, batch, key: (w * batch[0]) ** 2)
    broken = make(loss=lambda w, batch, key: mse(w, batch) / (1 // 0))
    angry = make(loss=lambda w, batch, key: mse(w, batch).no_such_thing)
    hopeless = make(loss=lambda w, batch, key: mse(w, batch) * jnp.nan)

    def batches(seed):
      while True:
        time.sleep(0.02)
        yield (x,)

    slow = make(train=Stream(batches), steps=20)
'''


def run(monkeypatch, *arguments):
  """The exit code of the program, run in this process as the script runs it."""
  monkeypatch.setattr(sys, 'argv', ['lrax', *arguments])
  with pytest.raises(SystemExit) as caught:
    cli.main()
  return caught.value.code


def program(*arguments, **options):
  """The real program."""
  command = [sys.executable, '-m', 'lrax', *arguments]
  return subprocess.run(
      command, capture_output=True, text=True, timeout=120, check=False, **options
  )


def is_png(path):
  data = path.read_bytes()
  return data[:8] == b'\x89PNG\r\n\x1a\n' and data[-8:-4] == b'IEND'


def strictly(text):
  """JSON as other programs read it, where NaN is no number."""
  def refuse(name):
    raise AssertionError(f'{name} is no JSON')

  return json.loads(text, parse_constant=refuse)


def check_refusal(code, said, *words):
  """Exit code 2, one line on stderr that says what is wrong, and no traceback."""
  assert code == 2
  assert said.err.startswith('lrax: ')
  assert said.err.endswith('\n')
  assert said.err.count('\n') == 1
  assert 'Traceback' not in said.err + said.out
  assert 'Use ' not in said.out  # no recommendation
  for word in words:
    assert word in said.err
