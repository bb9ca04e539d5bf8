"""How good is the rate that `find` recommends? Against a dense sweep.

For each optimizer and schedule, `find` recommends a rate from the seeds 0 to 2.
A dense sweep, rates a factor of 1.3 apart around it, says what the best one
would have been: on the same three seeds, and on three fresh ones that `find`
never saw. Excess is the validation loss of the recommended rate over that of
the dense sweep's best, minus 1.

Run: python tests/benchmarks/recommendation.py
"""

from __future__ import annotations

import sys
import time

import numpy as np

from lrax import tasks
from lrax import tune

OPTIMIZERS = ('sgd(momentum=0.9)', 'adamw')
FACTOR, EACH_SIDE = 1.3, 8  # from an eighth to eight times the recommended rate
LIMIT = 0.05


def dense_sweep(task, optimizer, schedule, center, seeds):
  """(rates, mean validation losses); the recommended rate is in the middle."""
  rates = center * FACTOR ** np.arange(-EACH_SIDE, EACH_SIDE + 1)
  swept = tune.sweep(
      task, rates, optimizer=optimizer, schedule=schedule, seeds=seeds
  )
  return rates, np.nan_to_num(swept.mean, nan=np.inf)


def main() -> None:
  task = tasks.digits()
  print(
      f'{"optimizer":<18} {"schedule":<9} {"recommended":>11} {"seeds":<9}'
      f' {"loss":>7} {"best":>7} {"at":>7} {"excess":>7}'
  )
  worst = 0.0
  for schedule in ('cosine', 'constant'):
    for optimizer in OPTIMIZERS:
      start = time.perf_counter()
      found = tune.find(task, optimizer, schedule=schedule)
      seconds = time.perf_counter() - start
      for name, seeds in (('0, 1, 2', (0, 1, 2)), ('fresh', (3, 4, 5))):
        rates, losses = dense_sweep(
            task, optimizer, schedule, found.learning_rate, seeds
        )
        excess = losses[EACH_SIDE] / losses.min() - 1
        if schedule == 'cosine':
          worst = max(worst, excess)
        print(
            f'{optimizer:<18} {schedule:<9} {found.learning_rate:>11.3g} {name:<9}'
            f' {losses[EACH_SIDE]:>7.4f} {losses.min():>7.4f}'
            f' {rates[losses.argmin()]:>7.3g} {excess:>7.1%}'
        )
      print(
          f'  {len(found.rows)} rates, {found.steps_spent} steps, {seconds:.1f} s;'
          f' noise of a difference of means {found.noise / found.validation_loss:.1%}'
      )
  print(f'worst under the default schedule: {worst:.1%} (limit {LIMIT:.0%})')
  sys.exit(int(worst > LIMIT))


if __name__ == '__main__':
  main()
