"""Is `diagnose` right about runs whose trouble is known?

`diagnosis_runs` trains runs with rates too high, too low and right, with plateaus
and with overfitting, and labels each by controls; its docstring says how. Rules may be
set on the runs of `diagnosis_problems` and `diagnosis_made`. Here `diagnose` reads the
logs of those of `diagnosis_held_out`. A verdict 'unclear' counts as wrong.

Limits: 90 % right overall, 80 % of each label, and never 'healthy' for a run that
blew up, also where its label was left open.

Run: python tests/benchmarks/diagnosis.py
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
import sys
import time

import diagnosis_runs

OVERALL, EACH, FEWEST = 0.90, 0.80, 20
VERDICTS = (*diagnosis_runs.LABELS, 'unclear')


def verdict(run: diagnosis_runs.Run) -> str:
  """What `diagnose` says about a log."""
  from lrax import diagnose

  columns = {'step': run.step, 'loss': run.loss}
  if run.validation_loss is not None:
    columns['validation_loss'] = run.validation_loss
  if run.learning_rate is not None:
    columns['learning_rate'] = run.learning_rate
  if run.watched is not None:
    for name, measured in zip(diagnosis_runs.WATCHED, run.watched.T):
      columns[f'monitor_{name}'] = measured
  return diagnose.diagnose(diagnose.history(columns)).verdict


def table(verdicts: list[tuple[str, str]]) -> str:
  """The confusion table of (label, verdict) pairs."""
  count = Counter(verdicts)
  lines = [f'{"label":<14}' + ''.join(f'{v:>13}' for v in VERDICTS) + f'{"right":>8}']
  for label in diagnosis_runs.LABELS:
    row = [count[label, v] for v in VERDICTS]
    right = count[label, label] / max(1, sum(row))
    cells = ''.join(f'{n or "-":>13}' for n in row)
    lines.append(f'{label:<14}{cells}{right:>8.0%}')
  return '\n'.join(lines)


def misses(verdicts: list[tuple[str, str]]) -> list[str]:
  """Which limits are missed."""
  found = []
  right = sum(label == v for label, v in verdicts) / len(verdicts)
  if right < OVERALL:
    found.append(f'{right:.1%} right overall, below {OVERALL:.0%}')
  for label in diagnosis_runs.LABELS:
    of_label = [v for name, v in verdicts if name == label]
    share = of_label.count(label) / max(1, len(of_label))
    if share < EACH:
      found.append(f'{share:.1%} of {label} right, below {EACH:.0%}')
    if len(of_label) < FEWEST:
      found.append(f'only {len(of_label)} runs of {label}')
  return found


def main() -> None:
  parser = argparse.ArgumentParser(description='Is diagnose right?')
  parser.add_argument(
      '--development', action='store_true',
      help='score the runs that the rules may be set on',
  )
  parser.add_argument(
      '--cache', type=Path, help='an .npz that keeps the runs; read where it exists'
  )
  parser.add_argument('--wrong', action='store_true', help='list the wrong verdicts')
  parser.add_argument('--train-only', action='store_true', help='do not diagnose')
  arguments = parser.parse_args()
  start = time.perf_counter()
  if arguments.cache is not None and arguments.cache.exists():
    runs, left_open = diagnosis_runs.load(arguments.cache)
  else:
    runs, left_open = (
        diagnosis_runs.development_runs()
        if arguments.development
        else diagnosis_runs.held_out_runs()
    )
    if arguments.cache is not None:
      diagnosis_runs.save(arguments.cache, runs, left_open)
  labelled = [run for run in runs if run.label]
  print(
      f'{len(labelled)} labelled runs of {len({r.problem for r in runs})} problems in'
      f' {time.perf_counter() - start:.0f} s; {left_open} left open'
  )
  if arguments.train_only:
    print(dict(Counter(run.label for run in runs)))
    return
  verdicts = [(run.label, verdict(run)) for run in labelled]
  print(table(verdicts))
  right = sum(label == v for label, v in verdicts)
  print(f'right: {right} of {len(verdicts)}, {right / len(verdicts):.1%}')
  blown = [run for run in runs if run.blew_up]
  praised = [run for run in blown if verdict(run) == 'healthy']
  print(f'healthy for a run that blew up: {len(praised)} of {len(blown)}')
  if arguments.wrong:
    for run, (label, said) in zip(labelled, verdicts):
      if label != said:
        print(
            f'  {label} called {said}: {run.problem}, {run.way}, rate {run.rate:.2g},'
            f' seed {run.seed}, {len(run.step)} rows'
        )
  missed = misses(verdicts)
  if praised:
    missed.append(f'{len(praised)} runs that blew up called healthy')
  for miss in missed:
    print('MISSED:', miss)
  sys.exit(int(bool(missed)))


if __name__ == '__main__':
  main()
