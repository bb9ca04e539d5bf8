"""Worker processes of a study: what they train, and where they are killed.

They come from a server that has imported everything and started nothing, so that
one takes a fraction of a second to begin.
"""

import contextlib
import multiprocessing
import os
from pathlib import Path
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optuna

import lrax
from lrax.tune._study import Study

STEPS = 12
SPACE = {
    'learning_rate': lrax.tune.log_uniform(1e-3, 1.0),
    'momentum': lrax.tune.uniform(0.0, 0.9),
}
_IMPORTED = [
    'lrax', 'optuna', 'optuna.storages.journal', 'optuna.storages._rdb.models',
    'alembic.migration', 'scipy.stats',
]
_LONG = 120  # seconds; by then something is wrong


def quadratic(curvatures=(1.0, 3.0, 10.0), shift=0.0):
  """Half the sum of c w^2, which diverges above a rate of 2 / 10 or so."""
  c = jnp.asarray(curvatures)
  data = lrax.tasks.Arrays(np.ones((1, 1), np.float32))
  return lrax.tasks.Task(
      init=lambda key: jnp.ones(len(curvatures)),
      loss=lambda w, batch, key: 0.5 * jnp.sum(c * w**2) * batch.sum() + shift,
      train=data,
      validation=data,
      steps=STEPS,
      name='quadratic',
  )


def sgd(rate, momentum=0.0, log=None):
  """SGD that writes the rate to a file at every update."""
  tx = optax.sgd(rate, momentum)
  if log is None:
    return tx

  def write(rate):
    with open(log, 'a') as file:
      file.write(f'{float(rate)!r}\n')

  def update(updates, state, params=None):
    jax.debug.callback(write, rate)
    return tx.update(updates, state, params)

  return optax.GradientTransformation(tx.init, update)


def updates_of(log):
  """How many updates each rate has had, by the rate as a float32."""
  rates = [float(line) for line in Path(log).read_text().split()]
  return {rate: rates.count(rate) for rate in set(rates)}


class Optimizer:
  """`sgd` with a log, that is called the same in every process."""

  __name__ = 'sgd'

  def __init__(self, log):
    self.log = log

  def __call__(self, rate, momentum=0.0):
    return sgd(rate, momentum, self.log)


def early_tpe(seed):
  """TPE that learns from the second batch on."""
  return optuna.samplers.TPESampler(
      seed=seed, n_startup_trials=2, multivariate=True, constant_liar=True
  )


def study(storage, log=None, **others):
  others = {'schedule': 'constant', 'optimizer': Optimizer(log)} | others
  return Study(quadratic(), SPACE, storage=storage, **others)


def work(
    storage, log, run, stop_at=None, stopped=None, together=None, take_over=None,
    **others,
):
  """What a process does: at its `stop_at`-th trial it says so and waits.

  Where it works `together` with others, it waits for them before it opens the
  study and after its first trial, so that each gets a batch.
  """
  os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=1'
  told = []

  def on_trial(trial):
    told.append(trial)
    if together is not None and len(told) == 1:
      together.wait(_LONG)
    if len(told) == stop_at:
      stopped.set()
      time.sleep(_LONG)

  if together is not None:
    together.wait(_LONG)
  made = study(storage, log, **others)
  if take_over is not None:
    assert made.take_over(take_over)
  made.run(on_trial=on_trial, **run)


@contextlib.contextmanager
def processes():
  """A function that starts a worker; none of them outlives the test."""
  context = multiprocessing.get_context('forkserver')
  context.set_forkserver_preload(_IMPORTED)
  running = []

  def start(*arguments, **named):
    running.append(context.Process(target=work, args=arguments, kwargs=named))
    running[-1].start()
    return running[-1]

  start.context = context
  try:
    yield start
  finally:
    for process in running:
      process.kill()
      process.join()


def finish(*some):
  for process in some:
    process.join(_LONG)
    assert process.exitcode == 0


def kill_when(stopped, process):
  """SIGKILL, in the midst of a batch."""
  assert stopped.wait(_LONG)
  process.kill()
  process.join()
  assert process.exitcode == -signal.SIGKILL
