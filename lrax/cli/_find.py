"""`lrax find TASK`: a recommended rate, its evidence, a figure and a JSON."""

from __future__ import annotations

from collections.abc import Iterator
import math
from pathlib import Path
from typing import Annotated

import typer

from lrax import tasks
from lrax import tune
from lrax.cli import _options
from lrax.cli import _report

_COLUMNS = ('optimizer', 'learning rate', 'validation loss', 'spread', 'diverged')


def find(
    task: _options.Task,
    optimizer: Annotated[
        list[str],
        typer.Option(
            help='adamw, "sgd(momentum=0.9)", ...; several are compared side by side.'
        ),
    ] = ['adamw'],  # noqa: B006  typer copies it
    schedule: _options.Schedule = 'cosine',
    steps: _options.Steps = None,
    seeds: Annotated[int, typer.Option(help='Seeds to judge each rate over.')] = 3,
    budget: Annotated[
        int | None, typer.Option(help='At most so many updates in all.')
    ] = None,
    pick: Annotated[
        list[str],
        typer.Option(help='What to pick beside the rate: warmup, steps.'),
    ] = [],  # noqa: B006
    out: Annotated[
        Path, typer.Option(help='The folder for find.json, find.csv and find.png.')
    ] = Path('lrax-out'),
) -> None:
  """Recommends a learning rate for TASK: which, how sure, and what was tried.

  Ends with 0; 1 where no rate can be recommended; 2 for a bad call or task; 130
  after Ctrl-C, with what was finished in --out.
  """
  report = _report.Report('find', out)
  report.kept['range_test'] = None

  def tell(event: tune.Progress) -> None:
    trial, stage = event.result, event.stage
    if event.optimizer:
      stage = f'{event.optimizer}: {stage}'
    if isinstance(trial, tune.RangeTest):
      report.keep(range_test=trial.to_dict())
    elif isinstance(trial, tune.Trial):
      named = {'optimizer': event.optimizer} if event.optimizer else {}
      report.add(trial._replace(point=named | dict(trial.point)))
    report.move(stage, event.done, event.planned, report.best())

  with report.running(task):
    loaded = tasks.load(task)
    with report.progress():
      found = tune.find(
          loaded, optimizer if len(optimizer) > 1 else optimizer[0], steps=steps,
          seeds=seeds, schedule=schedule, budget=budget, pick=pick, on_progress=tell,
      )
      report.save(found, found.to_dict(), lambda: found.plot()[0])
    compared = ', '.join(optimizer)
    report.close(f'{found.task}, {compared}', _COLUMNS, _rows(found), found.verdict)
    if math.isnan(found.learning_rate):
      raise SystemExit(1)


def _rows(found: tune.Found) -> Iterator[tuple[list[str], bool]]:
  for one in (found, *found.others):
    for row in one.rows:
      cells = [
          one.optimizer if found.others else '',
          f'{row.learning_rate:.3g}',
          '-' if row.diverged else f'{row.validation_loss:.4g}',
          '-' if row.diverged else f'{row.spread:.2g}',
          f'{row.diverged} of {len(row.trials)}' if row.diverged else '',
      ]
      yield cells, one is found and row.learning_rate == found.learning_rate
