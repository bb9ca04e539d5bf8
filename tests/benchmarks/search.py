"""Which search finds the best rate, and how fast does it ask?

Eight problems made of the digits task: the optimizers that people start with,
under both schedules, with widths, lengths and batch sizes taken in turn. Each
has a table: the validation loss, the mean over three seeds, at 241 rates from
1e-6 to 1e2. Every method searches all of that range, in batches of 4, from ten
seeds, and is told the loss of the table's nearest rate, infinity where that is
not finite. Excess is the lowest loss it was told over the lowest of the table,
minus 1; where it was told no finite loss, the table's highest finite one counts.

The same on 24 made-up curves that the problems were not chosen from: a plateau,
a valley, then a cliff to infinity or to noise, or a rise, with noise of up to
12 % at every rate. They have no limit; they guard against methods made to fit
the eight problems.

The tables take some minutes. They are kept in `--cache`, by the version of jax.

Run: python tests/benchmarks/search.py
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
import sys
import tempfile
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import schedules
from lrax import tasks
from lrax.tune import _optimizer
from lrax.tune import _space as tune_space
from lrax.tune._methods import METHODS

RATES = np.geomspace(1e-6, 1e2, 241)
SEEDS = (0, 1, 2)  # of a table
BATCH = 4
RUNS = (
    ('random', 16), ('random', 32), ('sobol', 16), ('sobol', 32), ('grid', 16),
    ('TPE (Optuna)', 16), ('TPE (Optuna)', 32), ('bayesian', 16),
    ('bayesian', 32), ('zoom', 16), ('zoom', 32),
)
LIMITS = {('zoom', 16): 0.10, ('bayesian', 32): 0.05}
ASK_LIMIT = 0.020  # seconds
SCHEDULES = {
    'constant': lambda rate, steps: schedules.constant(rate),
    'cosine': lambda rate, steps: schedules.cosine_annealing(rate, steps),
}


class Problem(NamedTuple):
  """A way to train on digits."""

  optimizer: str
  schedule: str
  width: int  # of the hidden layer
  steps: int
  batch_size: int


PROBLEMS = (
    Problem('sgd', 'constant', 128, 300, 128),
    Problem('sgd(momentum=0.9)', 'cosine', 64, 200, 32),
    Problem('sgd(momentum=0.9, nesterov=True)', 'constant', 32, 100, 64),
    Problem('adam', 'cosine', 128, 100, 32),
    Problem('adamw', 'constant', 64, 300, 64),
    Problem('adamw(weight_decay=0.1)', 'cosine', 32, 200, 128),
    Problem('rmsprop', 'constant', 128, 200, 64),
    Problem('lion', 'cosine', 64, 300, 128),
)


# --- the tables ---------------------------------------------------------------


def task_of(problem: Problem) -> tasks.Task:
  """Digits with an MLP of this width, this many steps and this batch size."""
  digits = tasks.digits()
  assert isinstance(digits.train, tasks.Arrays)

  def init(key):
    params = []
    for wide, narrow in ((64, problem.width), (problem.width, 10)):
      key, draw = jax.random.split(key)
      weights = jax.random.normal(draw, (wide, narrow)) * jnp.sqrt(2 / wide)
      params.append({'w': weights, 'b': jnp.zeros(narrow)})
    return params

  train = tasks.Arrays(digits.train.data, problem.batch_size)
  return dataclasses.replace(digits, init=init, train=train, steps=problem.steps)


def table(problem: Problem) -> np.ndarray:
  """(241,), the mean validation loss at every rate."""
  task = task_of(problem)
  train, validation = task.train, task.validation
  assert isinstance(train, tasks.Arrays) and isinstance(validation, tasks.Arrays)
  optimizer = _optimizer.as_optimizer(problem.optimizer, 'search')
  schedule = SCHEDULES[problem.schedule]
  data, held_out = jax.tree.map(jnp.asarray, (train.data, validation.data))

  def run(rate_and_seed):
    rate, seed = rate_and_seed
    init, order, key = jax.random.split(jax.random.key(seed), 3)
    params, state = task.start(init)
    tx = optimizer(schedule(rate, task.steps))

    def step(carry, _):
      params, opt_state, position = carry
      batch, position = train.next(data, position)
      loss = lambda p: task.training_loss(p, state, batch, key)[0]
      updates, opt_state = tx.update(jax.grad(loss)(params), opt_state, params)
      return (optax.apply_updates(params, updates), opt_state, position), None

    carry = params, tx.init(params), train.start(order)
    (params, _, _), _ = jax.lax.scan(step, carry, length=task.steps)
    return task.validation_loss(params, state, held_out)

  rates, seeds = np.meshgrid(RATES.astype(np.float32), SEEDS, indexing='ij')
  pairs = jnp.asarray(rates.ravel()), jnp.asarray(seeds.ravel())
  losses = jax.jit(lambda pairs: jax.lax.map(run, pairs))(pairs)
  return np.asarray(losses, np.float64).reshape(rates.shape).mean(axis=1)


def tables(cache: Path) -> np.ndarray:
  """(problems, 241), from the cache where it has them."""
  named = {str(problem): problem for problem in PROBLEMS}
  kept = dict(np.load(cache)) if cache.exists() else {}
  for name, problem in named.items():
    if name not in kept:
      start = time.perf_counter()
      kept[name] = table(problem)
      with cache.open('wb') as file:
        np.savez(file, **kept)
      print(f'  table of {name}: {time.perf_counter() - start:.0f} s', flush=True)
  return np.stack([kept[name] for name in named])


def curves() -> np.ndarray:
  """(24, 241), made up; some end in infinity."""
  places, found = np.log10(RATES), []
  for seed in range(24):
    draw = np.random.default_rng(seed)
    end = draw.uniform(-4.5, 0.5)  # of the valley, as a power of ten
    lowest, noise = draw.uniform(0.02, 0.8), draw.uniform(0.0, 0.12)
    middle, width = end - draw.uniform(0.5, 1.5), draw.uniform(0.25, 0.7)
    beyond = places - end - draw.uniform(0.1, 1.0)
    junk = draw.uniform(1, 20) * np.exp(0.7 * draw.normal(size=len(places)))
    rise = 0.3 * np.exp(np.minimum(draw.uniform(1, 4) * beyond, 50))
    right = (
        np.where(beyond > 0, np.inf, 0), np.where(beyond > 0, junk, 0), rise
    )[seed % 3]
    left = (2.3 - lowest) / (1 + np.exp((places - middle) / width))
    factor = np.exp(noise * draw.normal(size=len(places)))
    found.append((lowest + left) * factor + right)
  return np.stack(found)


# --- the searches -------------------------------------------------------------


def space():
  return {'learning_rate': tune_space.log_uniform(1e-6, 1e2, within=(1e-6, 1e2))}


def search(method: str, losses: np.ndarray, budget: int, seed: int) -> float:
  """The excess of one search."""
  if method == 'TPE (Optuna)':
    told = tpe(losses, budget, seed)
  else:
    searcher, told = METHODS[method](space(), budget, seed), []
    while points := searcher.ask(BATCH):
      scores = [look_up(losses, point['learning_rate']) for point in points]
      searcher.tell(points, scores)
      told += scores
  finite = losses[np.isfinite(losses)]
  return min([*np.compress(np.isfinite(told), told), finite.max()]) / finite.min() - 1


def look_up(losses: np.ndarray, rate: float) -> float:
  """The loss of the nearest rate; infinity where it is not finite."""
  loss = losses[np.abs(np.log(RATES / rate)).argmin()]
  return float(loss) if np.isfinite(loss) else np.inf


def tpe(losses: np.ndarray, budget: int, seed: int) -> list[float]:
  """What Optuna's default sampler was told."""
  import optuna

  optuna.logging.set_verbosity(optuna.logging.ERROR)
  study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
  told = []
  while len(told) < budget:
    trials = [study.ask() for _ in range(BATCH)]
    for trial in trials:
      rate = trial.suggest_float('learning_rate', RATES[0], RATES[-1], log=True)
      told.append(look_up(losses, rate))
    for trial, score in zip(trials, told[-BATCH:]):
      study.tell(trial, score)
  return told


def seconds_to_ask(dimensions: int) -> tuple[float, float]:
  """The first `ask` of the model after 50 observations, and the median."""
  ranges = {'learning_rate': tune_space.log_uniform(1e-6, 1e2)}
  if dimensions == 3:
    ranges |= {'momentum': tune_space.uniform(0.0, 0.99)}
    ranges |= {'weight_decay': tune_space.log_uniform(1e-6, 1.0)}
  points = METHODS['sobol'](ranges, 50, 0).ask(50)
  units = [[d.to_unit(p[n]) for n, d in ranges.items()] for p in points]
  scores = [np.inf if u[0] > 0.9 else np.sum((np.asarray(u) - 0.6) ** 2) for u in units]
  taken = []
  for seed in range(32):
    searcher = METHODS['bayesian'](ranges, 100, seed)
    searcher.tell(points, scores)
    start = time.perf_counter()
    assert len(searcher.ask(1)) == 1
    taken.append(time.perf_counter() - start)
  return taken[0], float(np.median(taken[1:]))


def main() -> None:
  parser = argparse.ArgumentParser(description='How good and fast are searches?')
  default = Path(tempfile.gettempdir()) / f'lrax-search-jax-{jax.__version__}.npz'
  parser.add_argument('--cache', type=Path, default=default)
  cache = parser.parse_args().cache
  failed = False

  print('bayesian: ask(1) after 50 observations')
  for dimensions in (1, 3):
    first, median = seconds_to_ask(dimensions)
    failed = failed or median > ASK_LIMIT
    print(
        f'  {dimensions} dimensions: first {first:.1f} s, then'
        f' {1e3 * median:.1f} ms (limit {1e3 * ASK_LIMIT:.0f} ms)'
    )

  sets = {'digits': tables(cache), 'made up': curves()}
  print(f'{"mean excess":<18}' + ''.join(f'{name:>10}' for name in sets))
  for method, budget in RUNS:
    seeds = 1 if method == 'grid' else 10  # it has no seed
    means = [
        np.mean([
            search(method, losses, budget, seed)
            for losses in problems
            for seed in range(seeds)
        ])
        for problems in sets.values()
    ]
    limit = LIMITS.get((method, budget), np.inf)
    failed = failed or means[0] > limit
    print(
        f'{f"{method}-{budget}":<18}' + ''.join(f'{m:>10.1%}' for m in means)
        + (f'  (limit {limit:.0%} on digits)' if limit < np.inf else ''),
        flush=True,
    )
  sys.exit(int(failed))


if __name__ == '__main__':
  main()
