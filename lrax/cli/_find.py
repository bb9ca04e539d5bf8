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

_COLUMNS = ('learning rate', 'validation loss', 'spread', 'diverged')


def find(
    task: _options.Task,
    optimizer: _options.Optimizer = 'adamw',
    schedule: _options.Schedule = 'cosine',
    steps: _options.Steps = None,
    seeds: Annotated[int, typer.Option(help='Seeds to judge each rate over.')] = 3,
    budget: Annotated[
        int | None, typer.Option(help='At most so many updates in all.')
    ] = None,
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
    if isinstance(event.result, tune.RangeTest):
      report.keep(range_test=event.result.to_dict())
    elif isinstance(event.result, tune.Trial):
      report.add(event.result)
    report.move(event.stage, event.done, event.planned, report.best())

  with report.running(task):
    loaded = tasks.load(task)
    with report.progress():
      found = tune.find(
          loaded, optimizer, steps=steps, seeds=seeds, schedule=schedule,
          budget=budget, on_progress=tell,
      )
      report.save(found, found.to_dict(), lambda: found.plot()[0])
    title = f'{found.task}, {found.optimizer}'
    report.close(title, _COLUMNS, _rows(found), found.verdict)
    if math.isnan(found.learning_rate):
      raise SystemExit(1)


def _rows(found: tune.Found) -> Iterator[tuple[list[str], bool]]:
  for row in found.rows:
    cells = [
        f'{row.learning_rate:.3g}',
        '-' if row.diverged else f'{row.validation_loss:.4g}',
        '-' if row.diverged else f'{row.spread:.2g}',
        f'{row.diverged} of {len(row.trials)}' if row.diverged else '',
    ]
    yield cells, row.learning_rate == found.learning_rate
