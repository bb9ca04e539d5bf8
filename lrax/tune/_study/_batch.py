"""What a worker trains at a time: what is left from before, or a new batch.

A batch is asked for as a whole before any of it is trained. So what a killed
worker had not asked for yet can be asked for when it is started again, from what
was known then.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from lrax.tune import _objective
from lrax.tune._study import _ledger

OnTrial = Callable[[_objective.Trial], None]


def next_batch(
    ledger: _ledger.Ledger, worker: str, most: int, size: int
) -> list[_ledger.Entry]:
  """Trials of a worker that have their points; none if there is nothing to do.

  Args:
    ledger: of the study.
    worker: who asks.
    most: how many trials the study shall have.
    size: how many a new batch has.
  """
  entries = ledger.entries()[:most]
  batches = [e.batch for e in entries if e.worker == worker and e.batch]
  last, planned = max(batches, default=(-1, 0))
  left = [e for e in entries if e.worker == worker and not e.finished]
  numbers = [entry.number for entry in left]
  if left:
    missing = planned - sum(index == last for index, _ in batches)
  else:
    missing = planned = min(size, most - len(entries))
    last += 1
  for entry in left:
    if entry.point is None:
      ledger.propose(entry.number)
  for _ in range(missing):
    number = ledger.begin(worker, (last, planned), most)
    if number is None:  # other workers began the last ones
      break
    ledger.propose(number)
    numbers.append(number)
  return [entry for entry in ledger.entries() if entry.number in numbers]


def train(
    ledger: _ledger.Ledger, worker: str, objective: _objective.Objective,
    entries: Sequence[_ledger.Entry], on_trial: OnTrial | None,
) -> None:
  """Trains a batch, and writes each trial down as its last seed ends.

  Args:
    ledger: of the study.
    worker: whose they are.
    objective: what to train.
    entries: the trials; equal points are trained once.
    on_trial: called with each run as it ends, after it was written down.
  """
  seeds = objective.seeds
  numbers: dict[Any, list[int]] = {}
  points: dict[Any, _objective.Point] = {}
  for entry in entries:
    if entry.runs:  # trained, but the worker was killed before it said so
      ledger.finish(entry.number, entry.runs)
      continue
    assert entry.point is not None
    key = tuple(entry.point.values())
    points[key] = entry.point
    numbers.setdefault(key, []).append(entry.number)
  ended: dict[Any, dict[int, _objective.Trial]] = {key: {} for key in points}

  def tell(trial: _objective.Trial) -> None:
    key = tuple(trial.point.values())
    if trial.seed in ended[key]:
      return
    ended[key][trial.seed] = trial
    if len(ended[key]) == len(seeds):
      ledger.check(worker)
      for number in numbers[key]:
        ledger.finish(number, [ended[key][seed] for seed in seeds])

  def hear(trial: _objective.Trial) -> None:
    tell(trial)
    if on_trial is not None:
      on_trial(trial)

  ledger.check(worker)
  for trials in objective.run(list(points.values()), hear):
    for trial in trials:  # those of other processes too
      tell(trial)
