"""How low does every method come? One table over three real tasks.

The rate of each method is found by `lrax.tune.find` on a seed of its own, within
the same number of full runs for all; the learning-rate-free methods run at 1.
Three fresh seeds then give the validation loss after the last step: mean and
standard deviation. All other arguments are the defaults, but for ARGUMENTS.
Rates fall to 0 along a cosine, but for the methods of CONSTANT.

`*` marks the lowest mean of a task, `~` those within noise of it: the 95 %
interval of a difference of two means (Student's t, both spreads). `?` marks those
that are within it by an unsteady spread, over three times the task's median. That
noise is the seeds'; what another tuning would change is not in it, nor what
another task or length would. A method without a mark lost here, and no more is
said. On digits the loss to validate is not the one to train: the lowest there is
the best fit for new digits, not the fastest way down.

With --states: AdamW with other formats of state and of parameters, at the rate
found for float32.

Run: python tests/benchmarks/convergence.py --out convergence.csv
     python tests/benchmarks/convergence.py --states --out states.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
import csv
import dataclasses
import functools
import inspect
import multiprocessing
import os
from pathlib import Path
import sys
import tempfile
import time
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats

import lrax
from lrax import optimizers
from lrax import tasks
from lrax import transforms
from lrax import tune

TASKS = ('digits', 'packages', 'characters')
TUNING_SEED = 1000
SEEDS = 3  # 0, 1, 2
RATES = 10  # full runs at most to find a rate

# No rate to find: they run at 1, and estimate the rest.
RATE_FREE = (
    'cocob', 'dadapt_adagrad', 'dadapt_adamw', 'dadapt_sgd', 'dog', 'dowg', 'ldog',
    'mechanic', 'prodigy', 'schedule_free_plus',
)
# Meant for a constant rate, by their papers: they average or count by themselves.
CONSTANT = (
    'cocob', 'dog', 'dowg', 'ldog', 'schedule_free_adamw', 'schedule_free_plus',
    'schedule_free_sgd',
)
ARGUMENTS: dict[str, dict[str, Any]] = {
    'mechanic': {'transform': transforms.scale_by_adam()},
    # A side of 8,192, that of packages, is a matrix of 256 MiB to decompose.
    'soap': {'max_precond_dim': 1024},
}
LEFT_OUT = {
    'grams lion': "Lion's direction has no magnitudes to keep: it would be sign SGD",
    'schedule_free': 'a wrapper: it is here as schedule_free_adamw and _sgd',
    'with_learning_rate': 'no method: a rate for any transformation',
}


class Method(NamedTuple):
  """One row: how to build it from a rate, and how to choose that."""

  build: Callable[[Any], optax.GradientTransformationExtraArgs]
  schedule: str = 'cosine'
  rate: float | None = None  # None: it is to be found
  prepare: Callable[[tasks.Task], tasks.Task] = lambda task: task


def methods() -> dict[str, Method]:
  """Every optimizer of lrax that is not left out, and what is made of some."""
  found = {}
  for name in optimizers.__all__:
    function = getattr(optimizers, name)
    if not inspect.isfunction(function) or name in LEFT_OUT:
      continue
    given = ARGUMENTS.get(name, {})
    build = lambda rate, f=function, given=given: f(learning_rate=rate, **given)
    schedule = 'constant' if name in CONSTANT else 'cosine'
    found[name] = Method(build, schedule, 1.0 if name in RATE_FREE else None)
  return dict(sorted((found | _made()).items()))


def _made() -> dict[str, Method]:
  """Rows that are no optimizer by themselves."""

  def wrapped(wrap, direction, decay):
    chain = lambda: optax.chain(wrap(direction()), optax.add_decayed_weights(decay))
    return Method(lambda rate: lrax.with_learning_rate(chain(), rate))

  adam, lion = transforms.scale_by_adam, transforms.scale_by_lion
  return {
      'adafactor, own rate': Method(
          lambda rate: optimizers.adafactor(), 'its own', rate=1.0
      ),
      'cautious adamw': wrapped(transforms.cautious, adam, 1e-4),
      'cautious lion': wrapped(transforms.cautious, lion, 1e-3),
      'grams adamw': wrapped(transforms.grams, adam, 1e-4),
      'sgd, momentum 0.9': Method(lambda rate: optimizers.sgd(rate, momentum=0.9)),
  }


def _bfloat16_parameters(task: tasks.Task) -> tasks.Task:
  """The task with bfloat16 parameters, whose values the float32 model takes."""
  widen = lambda params: optax.tree.cast(params, jnp.float32)
  return dataclasses.replace(
      task,
      init=lambda key: optax.tree.cast(task.init(key), jnp.bfloat16),
      loss=lambda params, batch, key: task.loss(widen(params), batch, key),
      evaluate=lambda params, batch: task.validation_loss(widen(params), (), batch),
  )


def _linked(*links: optax.GradientTransformation) -> Method:
  """AdamW on bfloat16 parameters, and what follows it."""
  build = lambda rate: optax.chain(optimizers.adamw(rate), *links)
  return Method(build, prepare=_bfloat16_parameters)


def _moments(dtype: Any) -> Method:
  return Method(functools.partial(optimizers.adamw, mu_dtype=dtype, nu_dtype=dtype))


# What --states compares, the first being what the others are compared with.
STATES = {
    'float32': Method(optimizers.adamw),
    'moments in bfloat16': _moments(jnp.bfloat16),
    'moments in 8 bits': _moments('block8'),
    'bfloat16 parameters': _linked(),
    ' + master weights': _linked(transforms.master_weights()),
    ' + stochastic rounding': _linked(transforms.stochastic_rounding()),
}
STATE_TASKS = ('digits', 'characters')


@dataclasses.dataclass(frozen=True)
class Cell:
  """What one method reached on one task; a row of the CSV."""

  task: str
  method: str
  steps: int
  seeds: int
  schedule: str = ''
  learning_rate: float = float('nan')
  rates_tried: int = 0  # 0: the rate was given
  at_edge: bool = False  # of the rates tried
  losses: tuple[float, ...] = ()  # one a seed; NaN where it diverged
  training: float = float('nan')  # loss, mean of the last 20 steps of all seeds
  seconds: float = 0.0
  error: str = ''  # why there is no result

  @property
  def key(self) -> tuple[Any, ...]:
    return self.task, self.method, self.steps, self.seeds

  @property
  def mean(self) -> float:
    return float(np.mean(self.losses)) if self.losses else float('nan')

  @property
  def spread(self) -> float:
    few = len(self.losses) < 2
    return float('nan') if few else float(np.std(self.losses, ddof=1))

  def to_row(self) -> dict[str, Any]:
    """Plain text for the CSV, with the mean and the spread for a reader."""
    row = dataclasses.asdict(self)
    row['losses'] = ' '.join(f'{loss:.9g}' for loss in self.losses)
    return row | {'mean': f'{self.mean:.6g}', 'spread': f'{self.spread:.3g}'}

  @classmethod
  def from_row(cls, row: dict[str, str]) -> Cell:
    return cls(
        row['task'], row['method'], int(row['steps']), int(row['seeds']),
        row['schedule'], float(row['learning_rate']), int(row['rates_tried']),
        row['at_edge'] == 'True', tuple(map(float, row['losses'].split())),
        float(row['training']), float(row['seconds']), row['error'],
    )


COLUMNS = [*Cell('', '', 0, 0).to_row()]


@functools.cache
def _task(name: str) -> tasks.Task:
  return tasks.load(name)


def measure(cell: Cell, states: bool = False) -> Cell:
  """Fills a cell in: finds the rate unless it has one, and runs the seeds."""
  start = time.perf_counter()
  method = (STATES if states else methods())[cell.method]
  try:
    filled = _measured(cell, method)
  except Exception as error:  # one method that fails leaves the others
    said = f'{type(error).__name__}: {error}'.splitlines()[0]
    filled = dataclasses.replace(cell, error=said)
  seconds = round(time.perf_counter() - start, 1)
  return dataclasses.replace(filled, schedule=method.schedule, seconds=seconds)


def _measured(cell: Cell, method: Method) -> Cell:
  task = method.prepare(_task(cell.task))
  shape = 'constant' if method.schedule == 'its own' else method.schedule
  rate = cell.learning_rate if method.rate is None else method.rate
  if np.isnan(rate):
    found = tune.find(
        task, method.build, steps=cell.steps, seeds=[TUNING_SEED], schedule=shape,
        budget=int(np.clip(cell.steps, 10, 100)) + RATES * cell.steps,
    )
    cell = dataclasses.replace(
        cell, learning_rate=found.learning_rate, rates_tried=len(found.rows),
        at_edge=found.at_edge,
    )
    rate = found.learning_rate
    if np.isnan(rate):
      return dataclasses.replace(cell, error=found.verdict)
  swept = tune.sweep(
      task, [rate], optimizer=method.build, schedule=shape, steps=cell.steps,
      seeds=cell.seeds,
  )
  losses = tuple(swept.validation_loss[0].tolist())
  last = [run[:done][-20:].mean() for run, done in zip(
      swept.losses[0], swept.steps_done[0]
  )]
  training = float(np.mean(last))
  return dataclasses.replace(
      cell, learning_rate=rate, losses=losses, training=training
  )


class Results:
  """The cells that are known, kept in a CSV as they come."""

  def __init__(self, out: Path | None):
    self.out = out
    self.cells: dict[tuple[Any, ...], Cell] = {}
    if out is not None and out.exists():
      with out.open(newline='') as file:
        for row in csv.DictReader(file):
          cell = Cell.from_row(row)
          self.cells[cell.key] = cell

  def fill(self, wanted: list[Cell], jobs: int, states: bool) -> None:
    """Measures the cells that are not known, or were errors."""
    known = {key for key, cell in self.cells.items() if not cell.error}
    missing = [cell for cell in wanted if cell.key not in known]
    if not missing:
      return
    start = time.perf_counter()
    for done, cell in enumerate(_each(missing, jobs, states), 1):
      self.cells[cell.key] = cell
      self._append(cell)
      spent = time.perf_counter() - start
      left = spent / done * (len(missing) - done) / 60
      print(
          f'[{done}/{len(missing)}] {cell.task}, {cell.method}:'
          f' {cell.error or _loss(cell)} at {cell.learning_rate:.3g},'
          f' {cell.seconds:.0f} s; about {left:.0f} min left',
          file=sys.stderr, flush=True,
      )

  def _append(self, cell: Cell) -> None:
    if self.out is None:
      return
    new = not self.out.exists()
    with self.out.open('a', newline='') as file:
      writer = csv.DictWriter(file, COLUMNS)
      if new:
        writer.writeheader()
      writer.writerow(cell.to_row())


def _each(cells: list[Cell], jobs: int, states: bool) -> Iterator[Cell]:
  """The cells measured, in the order in which they finish."""
  if jobs == 1:
    yield from (measure(cell, states) for cell in cells)
    return
  # A core each: what the processes inherit.
  flags = os.environ.get('XLA_FLAGS', '')
  os.environ['XLA_FLAGS'] = f'{flags} --xla_cpu_multi_thread_eigen=false'.strip()
  spawn = multiprocessing.get_context('spawn')
  with (
      tempfile.TemporaryDirectory() as folder,
      futures.ProcessPoolExecutor(jobs, spawn, _compile_once, (folder,)) as pool,
  ):
    pending = [pool.submit(measure, cell, states) for cell in cells]
    for future in futures.as_completed(pending):
      yield future.result()


def _compile_once(folder: str) -> None:
  """The fresh seeds run the program that `find` has compiled already."""
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)


def _loss(cell: Cell) -> str:
  if cell.error:
    return 'failed'
  if not np.isfinite(cell.mean):
    return 'diverged'
  return f'{cell.mean:.4f}' + (f' ± {cell.spread:.4f}' if cell.seeds > 1 else '')


def noise(one: Cell, other: Cell) -> float:
  """Half the 95 % interval of a difference of two means; NaN for one seed."""
  n = one.seeds
  if n < 2:
    return float('nan')
  error = np.sqrt((one.spread**2 + other.spread**2) / n)
  return float(stats.t.ppf(0.975, 2 * (n - 1)) * error)


def marks(cells: list[Cell]) -> dict[str, str]:
  """For each method of one task: '*' the best, '~' or '?' near it, else ''."""
  trained = [cell for cell in cells if np.isfinite(cell.mean)]
  if not trained:
    return {}
  best = min(trained, key=lambda cell: cell.mean)
  usual = np.median([cell.spread for cell in trained])

  def near(cell: Cell) -> str:
    if not cell.mean - best.mean <= noise(cell, best):
      return ''
    return '?' if cell.spread > 3 * usual else '~'

  return {cell.method: near(cell) for cell in trained} | {best.method: '*'}


def table(cells: list[Cell]) -> str:
  """The methods down, the tasks across."""
  names = list(dict.fromkeys(cell.task for cell in cells))
  columns = {name: [cell for cell in cells if cell.task == name] for name in names}
  marked = {name: marks(column) for name, column in columns.items()}
  rows = list(dict.fromkeys(cell.method for cell in cells))
  at = {(cell.task, cell.method): cell for cell in cells}
  lines = [f'{"method":<20}' + ''.join(f' {name:<29}' for name in names)]
  lines.append(' ' * 20 + f' {"rate":<9} {"loss":<19}' * len(names))
  for row in rows:
    line = f'{row:<20}'
    for name in names:
      cell = at.get((name, row))
      if cell is None:
        line += f' {"":<29}'
        continue
      edge = '!' if cell.at_edge else ''
      own = cell.schedule == 'its own'
      rate = 'own' if own else f'{cell.learning_rate:.3g}{edge}'
      line += f' {rate:<9} {_loss(cell)} {marked[name].get(row, "")}'.ljust(30)
    lines.append(line.rstrip())
  return '\n'.join(lines)


def states_table(cells: list[Cell]) -> str:
  """Each format beside the first, on each task."""
  lines = [
      f'{"task":<11} {"state":<23} {"rate":<9} {"loss":<19} {"difference":>11}'
      f' {"noise":>8}'
  ]
  first = {cell.task: cell for cell in reversed(cells) if cell.method == [*STATES][0]}
  for cell in cells:
    line = f'{cell.task:<11} {cell.method:<23} {cell.learning_rate:<9.3g}'
    line += f' {_loss(cell):<19}'
    beside = first.get(cell.task)
    if beside is not None and beside is not cell:
      gap, limit = cell.mean - beside.mean, noise(cell, beside)
      within = 'within' if abs(gap) <= limit else 'OUTSIDE'
      line += f' {gap:>+11.5f} {limit:>8.5f}  {within} the noise of the seeds'
    lines.append(line.rstrip())
  return '\n'.join(lines)


def _arguments(given: list[str] | None) -> argparse.Namespace:
  said = (__doc__ or '').split('\n\n')[0]
  parser = argparse.ArgumentParser(description=said)
  parser.add_argument('--tasks', nargs='+', help=', '.join(TASKS))
  parser.add_argument('--methods', nargs='+', help='rows of the table; all by default')
  parser.add_argument('--steps', type=int, help="of a run; the task's by default")
  parser.add_argument('--seeds', type=int, default=SEEDS, help='fresh seeds a method')
  parser.add_argument('--jobs', type=int, default=2, help='processes, a core each')
  parser.add_argument('--out', type=Path, help='a CSV: what it has is not run again')
  parser.add_argument('--states', action='store_true', help='formats of state instead')
  chosen = parser.parse_args(given)
  known = [*(STATES if chosen.states else methods())]
  for name in chosen.methods or ():
    if name not in known:
      parser.error(f"no method '{name}'; they are {', '.join(known)}")
  chosen.methods = [n for n in known if n in (chosen.methods or known)]
  chosen.tasks = chosen.tasks or (STATE_TASKS if chosen.states else TASKS)
  return chosen


def main(given: list[str] | None = None) -> None:
  chosen = _arguments(given)
  start = time.perf_counter()
  cells = [
      Cell(task, method, chosen.steps or _task(task).steps, chosen.seeds)
      for task in chosen.tasks
      for method in chosen.methods
  ]
  results = Results(chosen.out)
  if chosen.states:
    reference = [cell for cell in cells if cell.method == [*STATES][0]]
    results.fill(reference, chosen.jobs, True)
    rates = {cell.task: results.cells[cell.key].learning_rate for cell in reference}
    cells = [
        dataclasses.replace(cell, learning_rate=rates.get(cell.task, float('nan')))
        for cell in cells
    ]
  results.fill(cells, chosen.jobs, chosen.states)
  filled = [results.cells[cell.key] for cell in cells]
  if chosen.states:
    print(states_table(filled))
  else:
    print(table(filled))
    print(
        f'validation loss after the last step, mean ± standard deviation of'
        f' {chosen.seeds} seeds; * lowest, ~ within noise of it, ? by its own'
        ' unsteadiness; ! rate at the edge of those tried'
    )
    for name, reason in LEFT_OUT.items():
      print(f'left out: {name}, {reason}')
  failed = [cell for cell in filled if cell.error]
  for cell in failed:
    print(f'{cell.task}, {cell.method}: {cell.error}')
  measured = sum(cell.seconds for cell in filled) / 60
  print(
      f'{(time.perf_counter() - start) / 60:.1f} min;'
      f' {measured:.1f} min of processes in all'
  )
  sys.exit(bool(failed))


if __name__ == '__main__':
  main()
