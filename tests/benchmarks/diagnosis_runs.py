"""Runs with labelled troubles, really trained, and the controls of their labels.

Every problem is trained in one compiled program at 7 to 29 rates a factor of
10^(1/4) or 10^(1/8) apart, from one to seven seeds, each in five ways: at a constant
rate (with a short warmup for odd seeds), the same with the rate decayed to 0 after
the run, with a cosine, with a warmup and a linear decay, and at a constant rate on
few rows. Batches are drawn with replacement. Only the losses of the batches, the
validation loss, the rate and what a monitor measured go into a run's log; what
decides its label is not in there: the loss on the training rows without the noise of
batches ("the loss" below), the loss on test rows, and the other runs of the same
seed. drop is the loss before training less the lowest that any run of the seed ends
at.

  label        how it was made, and what the controls must measure
  diverging    A rate too high: not finite, or the loss stays above twice the first in
               all of the last quarter. Control: a lower rate ends at half the
               drop or better.
  oscillating  A rate too high: finite; in the last three quarters below three times
               the first loss, on average below it; in the second half the loss moves
               by 15 % from one measure (5 steps) to the next, at least four times as
               far up and down as it gets. Control: one lower constant rate is ahead
               from the second sixteenth of the steps to the end, by 10 % of the drop
               in the last quarter.
  too low      At most a tenth of the rate that ends best in the same way, and at
               most half of the drop. Control: the rate sqrt(10) higher ends better
               by 10 % of what is left; the validation loss has not risen by 5 %.
  plateau      A constant rate that got half the drop and has stopped: the loss moves
               by at most 7.5 % between measures, falls from the third to the fourth
               quarter by at most half of the gain, and as little where the rate is
               left as it is after the end; the validation loss of the fourth quarter
               is within 5 % of that of the second and the third. Control: with the
               rate decayed to 0 after the end it falls by 10 % and by 3 % of the
               drop (the gain).
  overfitting  Few rows, many steps: the loss got half of its drop, the validation
               loss was lowest in the first 70 % and ended 15 % above. Control: the
               test loss, which nobody logs, ended 10 % above its value at that step,
               and the loss 20 % below.
  healthy      The loss ended within 5 % of the drop of the best, and within 2 % of it
               or half of the best, never was above 1.2 times the first, moves by at
               most 5 % from one measure to the next, and the validation loss is
               within 5 % of its lowest. Control, for a constant rate: decaying it
               gains at most 5 %, or 1 % of the drop.

What fits none is left open (label ''): neither a sign of a trouble nor of its
absence. Of each problem, label and way at most eight are kept, spread over rates and
seeds. How often and what a run logs is drawn from a seed of its own: the loss of a
batch or the mean since the row before, in 70 % the validation loss (always where it
is overfitted: nothing else shows that), in 70 % the rate, and in 50 % what
`lrax.diagnose.monitor` had measured by then.
"""

from __future__ import annotations

from collections.abc import Iterable
import concurrent.futures
import functools
from pathlib import Path
from typing import Any
from typing import NamedTuple

import diagnosis_held_out as held_out
import diagnosis_made as made
import diagnosis_problems as problems
import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax.diagnose import monitor
from lrax.state import _monitor_state
from lrax.tune import _optimizer

EVERY = 5  # steps between measures; odd, so that a swing of two steps is seen
MEASURED = 200  # rows at most
KEPT = 8  # runs of a problem, a label and a way, at most
LABELS = ('diverging', 'oscillating', 'too low', 'plateau', 'overfitting', 'healthy')
WAYS = ('constant', 'decayed after', 'cosine', 'warmup-linear', 'few rows')
WATCHED = _monitor_state.MEASURED


class Run(NamedTuple):
  """A log, and the truth about it.

  `blew_up` says that the loss was not finite, or above ten times the first and not
  below it in the end, whatever the label. In the log, all arrays are as long as
  `step`; validation_loss is NaN where it was not measured, and, like
  learning_rate and watched, (rows, WATCHED), None where it was not logged at all. A
  loss that is NaN or infinite is one that the run really had.
  """

  label: str
  blew_up: bool
  problem: str
  optimizer: str
  way: str
  rate: float
  seed: int
  step: np.ndarray
  loss: np.ndarray
  validation_loss: np.ndarray | None
  learning_rate: np.ndarray | None
  watched: np.ndarray | None


# --- training -----------------------------------------------------------------


@functools.cache
def _task_of(name: str) -> Any:
  """The task of a name."""
  return (problems.TASKS | made.TASKS | held_out.TASKS)[name]()


class Trained(NamedTuple):
  """(runs, ...): per step `batch`, of each measure the others.

  `loss`, `validation` and `test` are of before its steps, `watched`, (..., 9), what
  a monitor has measured at the last of them.
  """

  batch: np.ndarray
  loss: np.ndarray
  validation: np.ndarray
  test: np.ndarray
  watched: np.ndarray


def train(
    problem: problems.Problem, rates: np.ndarray, seeds: np.ndarray, rows: np.ndarray
) -> Trained:
  """Trains runs with rates of (runs, steps), and this seed and many rows each."""
  task = _task_of(problem.task)
  optimizer = _optimizer.as_optimizer(problem.optimizer, 'diagnosis')
  data, judged = jax.tree.map(jnp.asarray, (task.train.data, task.validation.data))
  examples = len(jax.tree.leaves(data)[0])
  half = min(len(jax.tree.leaves(judged)[0]) // 2, MEASURED)
  validated = jax.tree.map(lambda x: x[:half], judged)
  tested = jax.tree.map(lambda x: x[half : 2 * half], judged)
  measures = rates.shape[1] // EVERY

  def run(rates, seed, rows):
    first, order, noise = jax.random.split(jax.random.key(seed), 3)
    params, state = task.start(first)
    tx = monitor(optimizer(lambda step: rates[step]), groups=[], every=EVERY)

    def step(carry, t):
      params, state, opt_state = carry
      chosen = jnp.arange(examples) % rows
      if problem.batch_size is not None:
        shape = (problem.batch_size,)
        chosen = jax.random.randint(jax.random.fold_in(order, t), shape, 0, rows)
      batch = jax.tree.map(lambda x: x[chosen], data)
      mean = lambda p: task.training_loss(p, state, batch, jax.random.fold_in(noise, t))
      (loss, state), gradient = jax.value_and_grad(mean, has_aux=True)(params)
      updates, opt_state = tx.update(gradient, opt_state, params)
      return (optax.apply_updates(params, updates), state, opt_state), loss

    def measure(carry, t):
      params, state, _ = carry
      chosen = jnp.arange(min(MEASURED, examples)) % rows
      measured = jax.tree.map(lambda x: x[chosen], data)
      truth = task.training_loss(params, state, measured, noise)[0]
      others = [task.validation_loss(params, state, x) for x in (validated, tested)]
      carry, losses = jax.lax.scan(step, carry, t + jnp.arange(EVERY))
      return carry, (losses, truth, *others, carry[-1].overall)

    carry = params, state, tx.init(params)
    _, (losses, *rest) = jax.lax.scan(measure, carry, EVERY * jnp.arange(measures))
    return losses.ravel(), *rest

  # Not vmap, whose products of small matrices take twice as long on a CPU.
  found = jax.jit(lambda each: jax.lax.map(lambda x: run(*x), each))(
      (jnp.asarray(rates, jnp.float32), jnp.asarray(seeds), jnp.asarray(rows))
  )
  return Trained(*(np.asarray(x, np.float64) for x in found))


def rates_of(way: str, rate: float, seed: int, steps: int, after: int) -> np.ndarray:
  """(steps + after,): the rate of every step."""
  step, rest = np.arange(steps), np.ones(after)
  shape, warmup = np.ones(steps), steps // 10
  if way == 'cosine':
    shape, rest = 0.5 * (1 + np.cos(np.pi * step / steps)), 0 * rest
  elif way == 'warmup-linear':
    shape = np.minimum((step + 1) / warmup, (steps - step) / (steps - warmup))
    rest = 0 * rest
  elif seed % 2 and way != 'few rows':
    shape = np.minimum((step + 1) / warmup, 1.0)
  if way == 'decayed after':
    rest = 1 - np.arange(1, after + 1) / after
  return rate * np.concatenate([shape, rest])


def trained(problem: problems.Problem) -> tuple[Trained, int]:
  """All runs of a problem as (ways, rates, seeds, ...), and the steps of a run."""
  after = EVERY * round(0.3 * problem.steps / EVERY)
  ways = WAYS if problem.few else WAYS[:-1]
  examples = len(jax.tree.leaves(_task_of(problem.task).train.data)[0])
  each = [(w, r, s) for w in ways for r in problem.grid for s in problem.seeds]
  found = train(
      problem,
      np.stack([rates_of(w, r, s, problem.steps, after) for w, r, s in each]),
      np.asarray([s for _, _, s in each]),
      np.asarray([problem.few if w == 'few rows' else examples for w, _, _ in each]),
  )
  shape = len(ways), len(problem.grid), len(problem.seeds)
  return Trained(*(x.reshape(*shape, *x.shape[1:]) for x in found)), problem.steps


# --- labels -------------------------------------------------------------------


class Labeller:
  """Labels the runs of a problem and one seed by what the others measured."""

  def __init__(self, problem: problems.Problem, found: Trained, seed: int):
    self.ways = found.loss.shape[0]
    self.grid, self.apart = problem.grid, problem.apart
    self.found = Trained(*(x[:, :, seed] for x in found))  # (ways, rates, ...)
    self.end = problem.steps // EVERY  # measures in a run
    with np.errstate(over='ignore', invalid='ignore'):
      self.loss = np.where(np.isfinite(self.found.loss), self.found.loss, np.inf)
      self.ends = self._tail(self.loss, self.end)
    whole = [i for i in range(min(self.ways, 4)) if i != 1]
    self.first = self.loss[0, 0, 0]
    self.best = self.ends[whole].min()
    self.drop = self.first - self.best

  def _tail(self, curve: np.ndarray, end: int) -> np.ndarray:
    """The mean of the last twentieth of a run's measures before `end`."""
    with np.errstate(over='ignore', invalid='ignore'):
      return curve[..., end - max(1, self.end // 20) : end].mean(-1)

  def label(self, way: int, rate: int) -> str:
    """The one label that fits; '' for none or several."""
    fitting = [
        name
        for name in LABELS
        if getattr(self, '_' + name.replace(' ', '_'))(way, rate)
    ]
    return fitting[0] if len(fitting) == 1 else ''

  def rise(self, way: int, rate: int) -> float:
    """The validation loss in the end over its lowest."""
    validation = self.found.validation[way, rate, : self.end]
    with np.errstate(over='ignore', invalid='ignore'):
      return self._tail(validation, self.end) / _smooth(validation).min()

  def blew_up(self, way: int, rate: int) -> bool:
    loss = self.loss[way, rate, : self.end]
    batch = self.found.batch[way, rate, : self.end * EVERY]
    if not (np.isfinite(loss).all() and np.isfinite(batch).all()):
      return True
    return loss.max() > 10 * loss[0] and self.ends[way, rate] >= loss[0]

  def _diverging(self, way, rate):
    loss = self.loss[way, rate, : self.end]
    stays = loss[-(self.end // 4) :].min() > 2 * loss[0]
    high = stays or not np.isfinite(loss).all()
    lower = self.ends[way, :rate].min(initial=np.inf)
    return high and lower <= loss[0] - 0.5 * (loss[0] - self.ends[way].min())

  def _swing(self, loss):
    """How far the loss moves between measures, and that over how far it gets."""
    later = loss[len(loss) // 2 :]
    moves = np.abs(np.diff(later))
    net = abs(later[-3:].mean() - later[:3].mean())
    return moves.mean() / (later.mean() + 0.02 * self.drop), moves.sum() / (net + 1e-9)

  def _oscillating(self, way, rate):
    loss = self.loss[way, rate, : self.end]
    if way or not np.isfinite(loss).all():
      return False
    later = loss[self.end // 4 :]
    if later.max() > 3 * loss[0] or later.mean() > loss[0]:
      return False
    moves, back_and_forth = self._swing(loss)
    return moves >= 0.15 and back_and_forth >= 4 and self._lower_leads(rate)

  def _lower_leads(self, rate):
    """Whether one lower constant rate was ahead all the time and clearly ends so."""
    parts = lambda x: np.stack([p.mean() for p in np.array_split(x, 16)])
    run = parts(self.loss[0, rate, : self.end])
    for lower in range(rate):
      with np.errstate(over='ignore', invalid='ignore'):
        ahead = run - parts(self.loss[0, lower, : self.end])
      if (ahead[1:] > 0).all() and ahead[-4:].mean() >= 0.1 * self.drop:
        return True
    return False

  def _too_low(self, way, rate):
    higher = rate + round(0.5 / self.apart)
    if way not in (0, 2, 3) or higher >= len(self.grid):
      return False
    loss, ends = self.loss[way, rate, : self.end], self.ends[way]
    best = int(ends.argmin())
    left = ends[rate] - self.best
    return (
        rate <= best - round(1 / self.apart)
        and left >= 0.5 * self.drop
        and ends[higher] <= ends[rate] - 0.1 * left
        and ends[best] <= self.best + 0.1 * self.drop
        and loss.max() <= 1.2 * loss[0]
        and self.rise(way, rate) <= 1.05
    )

  def _gain(self, rate):
    """What decaying gains over going on, which is as good as it is on average."""
    on = self.loss[0, rate, self.end :].mean()
    with np.errstate(over='ignore', invalid='ignore'):
      return on - self._tail(self.loss[1, rate], self.loss.shape[-1])

  def _plateau(self, way, rate):
    loss = self.loss[way, rate, : self.end]
    if way or not np.isfinite(self.loss[:2, rate]).all():
      return False
    third, fourth = (p.mean() for p in np.array_split(loss, 4)[2:])
    validation = self.found.validation[0, rate, : self.end]
    validation = np.stack([p.mean() for p in np.array_split(validation, 4)])
    on = self.loss[0, rate, self.end :].mean()
    decayed = self._tail(self.loss[1, rate], self.loss.shape[-1])
    gain = min(third, fourth, on) - decayed
    return (
        fourth <= self.first - 0.5 * self.drop
        and gain >= max(0.1 * fourth, 0.03 * self.drop)
        and max(third - fourth, fourth - on) <= 0.5 * gain
        and min(third - fourth, fourth - on) >= -0.33 * fourth
        and self._swing(loss)[0] <= 0.075
        and loss[self.end // 4 :].max() <= loss[0]
        and validation[3] <= 1.05 * validation[1:3].min()
    )

  def _overfitting(self, way, rate):
    if WAYS[way] != 'few rows':
      return False
    loss, validation, test = (
        x[way, rate, : self.end]
        for x in (self.found.loss, self.found.validation, self.found.test)
    )
    if not all(np.isfinite(x).all() for x in (loss, validation, test)):
      return False
    at = int(_smooth(validation).argmin())
    last = lambda x: self._tail(x, self.end)
    return (
        at <= 0.7 * self.end
        and last(validation) >= 1.15 * _smooth(validation)[at]
        and last(test) >= 1.1 * _smooth(test)[at]
        and last(loss) <= 0.8 * _smooth(loss)[at]
        and last(loss) <= 0.5 * loss[0]
        and loss.max() <= 1.2 * loss[0]
    )

  def _healthy(self, way, rate):
    if way not in (0, 2, 3):
      return False
    loss = self.loss[way, rate, : self.end]
    if not np.isfinite(loss).all() or loss.max() > 1.2 * loss[0]:
      return False
    excess = self.ends[way, rate] - self.best
    settled = True
    if way == 0:
      gain = self._gain(rate)
      settled = gain <= max(0.05 * self.ends[0, rate], 0.01 * self.drop)
    return (
        settled
        and excess <= 0.05 * self.drop
        and excess <= max(0.5 * self.best, 0.02 * self.drop)
        and self._swing(loss)[0] <= 0.05
        and self.rise(way, rate) <= 1.05
    )


def _smooth(curve: np.ndarray) -> np.ndarray:
  """The mean of five measures around each, of fewer at the ends."""
  padded = np.pad(curve, 2, mode='edge')
  return np.convolve(padded, np.ones(5) / 5, mode='valid')


# --- logs ---------------------------------------------------------------------


def logged(problem: problems.Problem, found: Trained, labeller: Labeller, way: int,
           rate: int, seed: int, label: str) -> Run:
  """What one run logs, how often and how drawn from a seed of its own."""
  which = problem.seeds[seed]
  draw = np.random.default_rng([which, way, rate])
  steps = problem.steps
  every = int(draw.choice([1, 5, 10, 25] if steps >= 400 else [1, 5, 10]))
  apart = int(draw.choice([EVERY, 4 * EVERY, 10 * EVERY]))
  mean, shows_rate, stops, watches = draw.random(4) < (0.5, 0.7, 0.5, 0.5)
  validates = label == 'overfitting' or draw.random() < 0.7
  step = np.arange(0, steps, every)
  batch = found.batch[way, rate, seed, :steps]
  if mean:  # of the steps since the row before
    ends = np.minimum(step + every, steps)
    with np.errstate(over='ignore', invalid='ignore'):
      loss = np.asarray([batch[i:j].mean() for i, j in zip(step, ends)])
  else:
    loss = batch[step]
  validation = np.full(len(step), np.nan)
  measured = step % np.lcm(apart, every) == 0
  validation[measured] = found.validation[way, rate, seed, step[measured] // EVERY]
  rates = rates_of(WAYS[way], problem.grid[rate], which, steps, 0)[step]
  latest = (step + 1) // EVERY - 1  # the latest measurement when a row is written
  watched = found.watched[way, rate, seed, latest]
  watched[latest < 0] = np.nan
  if stops and not np.isfinite(loss).all():  # the run was ended where it broke
    end = int(np.argmin(np.isfinite(loss))) + 1
    step, loss, validation, rates, watched = (
        x[:end] for x in (step, loss, validation, rates, watched)
    )
  return Run(
      label, labeller.blew_up(way, rate), problem.name, problem.optimizer, WAYS[way],
      float(problem.grid[rate]), which, step, loss,
      validation if validates else None, rates if shows_rate else None,
      watched if watches else None,
  )


def runs_of(problem: problems.Problem) -> tuple[list[Run], int]:
  """The labelled runs of a problem, and how many were left open.

  Runs that blew up and are left open are among the runs, with the label ''.
  """
  found, _ = trained(problem)
  by_label: dict[tuple[str, int], list[Run]] = {}
  left_open = 0
  for seed in range(len(problem.seeds)):
    labeller = Labeller(problem, found, seed)
    for way in (0, *range(2, found.loss.shape[0])):
      for rate in range(len(problem.grid)):
        label = labeller.label(way, rate)
        left_open += not label
        if label or labeller.blew_up(way, rate):
          run = logged(problem, found, labeller, way, rate, seed, label)
          by_label.setdefault((label, way), []).append(run)
  kept = []
  for runs in by_label.values():
    runs.sort(key=lambda run: (run.rate, run.seed))
    chosen = np.linspace(0, len(runs) - 1, min(KEPT, len(runs))).round().astype(int)
    kept += [runs[i] for i in chosen]
  return kept, left_open


def all_runs(which: Iterable[problems.Problem]) -> tuple[list[Run], int]:
  """The labelled runs of problems, two trained at a time, and how many were open."""
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    parts = list(pool.map(runs_of, which))
  return [run for runs, _ in parts for run in runs], sum(n for _, n in parts)


development_runs = functools.partial(all_runs, problems.PROBLEMS + made.PROBLEMS)
held_out_runs = functools.partial(all_runs, held_out.PROBLEMS)


# --- kept on disk -------------------------------------------------------------


def save(path: Path, runs: list[Run], left_open: int) -> None:
  """Writes runs to a file of numpy's, without pickles."""
  arrays = {'left_open': np.asarray(left_open)}
  for i, run in enumerate(runs):
    for name, value in run._asdict().items():
      if value is not None:
        arrays[f'{i:05d}/{name}'] = np.asarray(value)
  with path.open('wb') as file:
    np.savez_compressed(file, **arrays)


def load(path: Path) -> tuple[list[Run], int]:
  """What `save` wrote."""
  kept = np.load(path)
  found: dict[str, dict[str, Any]] = {}
  for name in kept.files:
    if name != 'left_open':
      number, field = name.split('/')
      found.setdefault(number, {})[field] = kept[name]
  runs = []
  for run in found.values():
    fields: Any = dict.fromkeys(Run._fields)
    fields |= {k: v.item() if v.ndim == 0 else v for k, v in run.items()}
    runs.append(Run(**fields))
  return runs, int(kept['left_open'])
