"""A sweep beside the loops that people write, from a cold process.

Sixteen rates of Adam on digits, 300 steps each with the validation loss after
them, in a fresh process for every measurement; imports are not counted. By hand:

* `recompiled`: a loop over rates, each closed over by a function that scans the
  steps and is compiled for it;
* `lax.map` and `vmap`: one compiled function of the rate, mapped over all.

lrax watches every run for divergence besides, and returns all curves.

Then, in one process with everything compiled: what leaving diverged runs early
saves, sixteen rates of SGD of which a third diverge, against the same sweep whose
runs all go to their end. Ratios are medians of rounds in which all take turns.

Run: python tests/benchmarks/sweep_speed.py
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import optimizers
from lrax import tasks
from lrax import tune
from lrax.tune import _curves
from lrax.tune import _engine

RATES = np.geomspace(1e-4, 1e-1, 16)
STEPS = 300
WAYS = ('recompiled', 'lax.map', 'vmap', 'lrax')
OF_RECOMPILED, OF_BY_HAND, SAVED = 0.15, 1.0, 0.2


def train(task, rate, seed, data, validation):
  """Losses and validation loss of one run, as one would write it."""
  init, draw, key = jax.random.split(jax.random.key(seed), 3)
  params = task.init(init)
  tx = optax.adam(rate)

  def step(carry, index):
    params, state, position = carry
    batch, position = task.train.next(data, position)
    loss, grad = jax.value_and_grad(task.loss)(
        params, batch, jax.random.fold_in(key, index)
    )
    updates, state = tx.update(grad, state, params)
    return (optax.apply_updates(params, updates), state, position), loss

  start = params, tx.init(params), task.train.start(draw)
  (params, _, _), losses = jax.lax.scan(step, start, jnp.arange(STEPS))
  return losses, task.evaluate(params, validation)


def results_of(way: str):
  """(losses, validation losses) of all rates."""
  task = tasks.digits()
  if way == 'lrax':
    swept = tune.sweep(
        task, RATES, optimizer=optimizers.adam, schedule='constant', steps=STEPS
    )
    return swept.losses[:, 0], swept.validation_loss[:, 0]
  arrays = lambda source: jax.tree.map(jnp.asarray, source.data)
  data, validation = arrays(task.train), arrays(task.validation)
  one = functools.partial(train, task, seed=0, data=data, validation=validation)
  if way == 'recompiled':
    runs = [jax.jit(functools.partial(one, float(rate)))() for rate in RATES]
    losses, judged = (jnp.stack(part) for part in zip(*runs))
  elif way == 'lax.map':
    losses, judged = jax.jit(lambda r: jax.lax.map(one, r))(jnp.asarray(RATES))
  else:
    losses, judged = jax.jit(jax.vmap(one))(jnp.asarray(RATES))
  return np.asarray(losses), np.asarray(judged)


def measure(way: str) -> None:
  """In a process of its own: prints the seconds and what came out."""
  import sklearn.datasets  # noqa: F401  which the task imports

  jax.devices()  # the backend is part of the imports
  began = time.perf_counter()
  _, judged = results_of(way)
  seconds = time.perf_counter() - began
  print(json.dumps({'seconds': seconds, 'validation_loss': judged.tolist()}))


def cold(rounds: int) -> bool:
  """The table of cold processes; whether lrax is within its limits."""
  seconds: dict[str, list[float]] = {way: [] for way in WAYS}
  for _ in range(rounds):
    judged = {}
    for way in WAYS:
      run = subprocess.run(
          [sys.executable, __file__, '--measure', way],
          capture_output=True, text=True, check=True,
      )
      said = json.loads(run.stdout.splitlines()[-1])
      seconds[way].append(said['seconds'])
      judged[way] = said['validation_loss']
    # One set of batches, seeds and updates, so that all do the same work: at rates
    # where rounding does not grow they agree to a part in a thousand.
    for way in WAYS:
      np.testing.assert_allclose(judged[way][:6], judged['vmap'][:6], rtol=1e-3)
  print(f'{"way":<12} {"seconds":>8} {"of recompiled":>14} {"of best by hand":>16}')
  times = {way: np.asarray(seconds[way]) for way in WAYS}
  best = np.minimum(times['lax.map'], times['vmap'])
  for way in WAYS:
    print(
        f'{way:<12} {np.median(times[way]):>8.2f}'
        f' {np.median(times[way] / times["recompiled"]):>14.3f}'
        f' {np.median(times[way] / best):>16.2f}'
    )
  of_recompiled = np.median(times['lrax'] / times['recompiled'])
  of_best = np.median(times['lrax'] / best)
  print(
      f'lrax: {of_recompiled:.3f} of recompiled (limit {OF_RECOMPILED}),'
      f' {of_best:.2f} of the best by hand (limit {OF_BY_HAND})'
  )
  return bool(of_recompiled <= OF_RECOMPILED and of_best <= OF_BY_HAND)


def early_exit(rounds: int) -> bool:
  """What leaving diverged runs early saves; whether that is enough."""
  task = tasks.digits()
  # Above 1,000 the penalty of 1e-3 alone makes the weights grow at every step.
  calm, wild = np.geomspace(1e-3, 0.5, 11), np.geomspace(2e3, 2e5, 5)
  rates = np.concatenate([calm, wild])[:, None] * np.ones(STEPS)
  trials = _engine.Trials(rates, np.zeros(16, int))

  def engine(watches: bool):
    watch = _curves.watch
    if not watches:
      _curves.watch = lambda before, losses, step: before
    try:
      made = _engine.Engine(task, optimizers.sgd, STEPS)
      runs = made.run(trials)  # compiles
    finally:
      _curves.watch = watch
    return made, runs

  (leaving, runs), (staying, whole) = engine(True), engine(False)
  assert whole.steps_done.sum() == 16 * STEPS
  times = {leaving: [], staying: []}
  for _ in range(rounds):
    for one in times:
      began = time.perf_counter()
      one.run(trials)
      times[one].append(time.perf_counter() - began)
  ratio = np.median(np.asarray(times[leaving]) / np.asarray(times[staying]))
  print(
      f'early exit: {runs.diverged.sum()} of 16 runs diverged,'
      f' {1 - runs.steps_done.sum() / (16 * STEPS):.0%} of the steps and'
      f' {1 - ratio:.0%} of the time saved (limit {SAVED:.0%})'
  )
  return bool(1 - ratio >= SAVED)


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument('--measure', choices=WAYS)
  parser.add_argument('--rounds', type=int, default=5)
  arguments = parser.parse_args()
  if arguments.measure:
    measure(arguments.measure)
    return
  reached = [cold(arguments.rounds), early_exit(3 * arguments.rounds)]
  sys.exit(not all(reached))


if __name__ == '__main__':
  main()
