"""The same trials whichever engine ran them, on devices and over processes."""

import json
import os
from pathlib import Path
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax.tasks import Arrays
from lrax.tasks import Drawn
from lrax.tasks import Stream
from lrax.tasks import Task
from lrax.tune import _engine
from lrax.tune._engine import _engine as engine_file

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype(np.float32)
Y = np.sin(X @ np.array([1.0, -2.0, 0.5, 0.0])).astype(np.float32)
BATCHES = [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 48, 16)]
SOURCES = {
    'arrays': Arrays((X, Y), batch_size=16),
    'drawn': Drawn(
        lambda key: (jax.random.normal(key, (16, 4)), jnp.ones(16)), batches=2
    ),
    'stream': Stream(lambda seed: BATCHES),
}
STEPS = 24


def init(key):
  """A small network, and a running mean that is not trained."""
  first, second = jax.random.split(key)
  params = {
      'w': jax.random.normal(first, (4, 8)) / 2,
      'v': jax.random.normal(second, (8,)) / 3,
  }
  return params, jnp.zeros(8)


def hidden(params, batch):
  return jnp.tanh(batch[0] @ params['w'])


def loss(params, state, batch, key):
  """With dropout, so that keys matter, and the mean, so that the state does."""
  h = hidden(params, batch)
  state = 0.9 * state + 0.1 * h.mean(0)
  kept = jax.random.bernoulli(key, 0.8, h.shape)
  h = jnp.where(kept, h - state, 0)
  return jnp.mean((h @ params['v'] - batch[1]) ** 2), state


def evaluate(params, state, batch):
  return jnp.mean(((hidden(params, batch) - state) @ params['v'] - batch[1]) ** 2)


def task(kind='arrays'):
  validation = SOURCES[kind] if kind != 'arrays' else Arrays((X, Y), batch_size=32)
  return Task(
      init=init, loss=loss, evaluate=evaluate, stateful=True, train=SOURCES[kind],
      validation=validation, steps=STEPS, name='network',
  )


def trials():
  """Eleven: no whole number of devices or lanes; two diverge, one is shorter."""
  peaks = np.array([0.01, 0.02, 0.05, 0.1, 40.0, 0.2, 0.3, np.inf, 0.03, 0.04, 0.06])
  rates = np.where(np.isinf(peaks), 1e30, peaks)[:, None] * np.linspace(1, 0.5, STEPS)
  rates[3, 15:] = np.nan
  seeds = np.array([0, 1, 0, 1, 0, 1, 0, 1, 2, 0, 0])
  return _engine.Trials(rates, seeds, {'momentum': np.linspace(0.0, 0.9, 11)})


def run(kind, engine, monkeypatch, devices=1, lanes=None):
  """The trials by one engine on so many of the eight devices."""
  local = jax.local_devices()[:devices]
  monkeypatch.setattr(jax, 'local_devices', lambda: local)
  make = lambda rate, momentum: lrax.sgd(rate, momentum=momentum)
  return _engine.Engine(task(kind), make, STEPS, engine, lanes).run(trials())


@pytest.fixture(scope='module', params=list(SOURCES))
def alone(request):
  """Each trial by itself on one device: the simplest way."""
  with pytest.MonkeyPatch.context() as patch:
    return request.param, run(request.param, 'map', patch)


# Some 24 float32 updates; side by side a product may be summed in another order.
# Where a rate makes the run chaotic that grows, but those have ended by then.
SAME = {'rtol': 1e-4, 'atol': 1e-6}


def assert_same(runs, others):
  np.testing.assert_array_equal(runs.steps_done, others.steps_done)
  np.testing.assert_array_equal(runs.diverged, others.diverged)
  calm = ~runs.diverged
  np.testing.assert_allclose(runs.losses[calm], others.losses[calm], **SAME)
  np.testing.assert_allclose(runs.validation_loss, others.validation_loss, **SAME)


def test_what_becomes_of_trials(alone):
  _, runs = alone
  assert runs.diverged[7] and not runs.diverged[:4].any()
  assert runs.steps_done[7] < STEPS
  assert runs.steps_done[3] == 15 and np.isfinite(runs.validation_loss[3])
  assert np.isnan(runs.validation_loss[runs.diverged]).all()
  for losses, done in zip(runs.losses, runs.steps_done):
    assert np.isnan(losses[done:]).all()
    assert np.isfinite(losses[: done - 1]).all()


@pytest.mark.parametrize(
    'engine, devices, lanes',
    [('map', 8, None), ('vmap', 1, 3), ('vmap', 8, None)],
)
def test_every_engine_gives_the_same_trials(
    alone, engine, devices, lanes, monkeypatch
):
  kind, runs = alone
  others = run(kind, engine, monkeypatch, devices, lanes)
  assert_same(runs, others)


def test_survivors_are_gathered_into_fewer_lanes(alone, monkeypatch):
  kind, runs = alone
  if kind != 'arrays':
    pytest.skip('streams keep their lanes; one kind shows it')
  widths = []
  programs = engine_file.Engine._programs_of

  def noted(self, group, batches):
    widths.append(len(group.lanes))
    self._compile_seconds = 0.0  # so that gathering is always worth it
    return programs(self, group, batches)

  monkeypatch.setattr(engine_file.Engine, '_programs_of', noted)
  others = run(kind, 'vmap', monkeypatch, lanes=8)
  assert_same(runs, others)
  assert widths[0] == 8 and widths[-1] < 8
  assert widths == sorted(widths, reverse=True)


def test_lanes_fit_into_what_a_device_has_free(alone, monkeypatch):
  kind, runs = alone
  if kind == 'stream':
    pytest.skip('what a stack of batches takes is known when it is read')
  widths = []
  programs = engine_file.Engine._programs_of

  def noted(self, group, batches):
    begin, train = programs(self, group, batches)
    used = train.memory_analysis()
    widths.append((len(group.lanes), used.temp_size_in_bytes))
    return begin, train

  monkeypatch.setattr(engine_file.Engine, '_programs_of', noted)
  free = 40_000
  monkeypatch.setattr(engine_file.Engine, '_free', lambda self: free)
  others = run(kind, 'vmap', monkeypatch)
  assert_same(runs, others)
  (first, much), (last, little) = widths[0], widths[-1]
  assert first == 11 and 1 < last < 11
  assert little < 0.8 * free < much + 11 * 600  # a lane keeps some 600 bytes


def test_each_width_is_compiled_once(monkeypatch):
  lowered = []
  program = jax.jit

  def counted(function, **options):
    made = program(function, **options)
    if options.get('donate_argnums') == 0:
      lowered.append(function)
    return made

  monkeypatch.setattr(jax, 'jit', counted)
  local = jax.local_devices()[:1]
  monkeypatch.setattr(jax, 'local_devices', lambda: local)
  make = lambda rate, momentum: lrax.sgd(rate, momentum=momentum)
  engine = _engine.Engine(task(), make, STEPS, 'map')
  for _ in range(2):
    engine.run(trials())
  assert [function.__name__ for function in lowered] == ['_trace_begin', '_trace']


def test_an_interrupted_sweep_trains_no_further(monkeypatch):
  """What is told of a trial may raise: runs that have not begun never do."""
  local = jax.local_devices()[:1]
  monkeypatch.setattr(jax, 'local_devices', lambda: local)
  make = lambda rate, momentum: lrax.sgd(rate, momentum=momentum)
  engine = _engine.Engine(task(), make, STEPS, 'map')
  begun = []
  group = engine_file.Engine.group
  monkeypatch.setattr(
      engine_file.Engine, 'group', lambda *a: begun.append(1) or group(*a)
  )

  def stop(place, runs):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    engine.run(trials(), stop)
  # Two for each worker are on their way when the first one ends.
  assert len(begun) <= 2 * engine.workers < 11


def test_two_processes_share_the_trials_and_return_all():
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = str(free.getsockname()[1])
  script = str(Path(__file__).with_name('two_processes.py'))
  environment = dict(os.environ, XLA_FLAGS='')  # a device each
  start = lambda index: subprocess.Popen(
      [sys.executable, script, port, str(index)], env=environment, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
  )
  processes = [start(index) for index in (0, 1, -1)]
  said = [process.communicate(timeout=300) for process in processes]
  assert [p.returncode for p in processes] == [0, 0, 0], [e[-2000:] for _, e in said]
  lines = [out.splitlines() for out, _ in said]
  one, other, alone = (json.loads(x[-1]) for x in lines)
  assert one == other == alone  # to the bit: each trial is the same program
  rows = alone[0]['status'] + alone[1]['status']
  assert {status for row in rows for status in row} == {
      'finished', 'diverged', 'stopped early',
  }
  # Each is told of its own: ten trials in two shares of five, and all ten alone.
  told = [[json.loads(line) for line in some[-3:-1]] for some in lines]
  assert told == [[5, 5], [5, 5], [10, 10]]
