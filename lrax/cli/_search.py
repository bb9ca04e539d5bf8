"""`lrax search TASK`: the best hyperparameters by one of several methods."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lrax import tasks
from lrax import tune
from lrax.cli import _options
from lrax.cli import _points
from lrax.cli import _report
from lrax.cli import _space

# Those that compare runs while they go on: how many there are is theirs to say.
_IN_STEP = ('halving', 'population')


def search(
    task: _options.Task,
    space: _options.Space = [_options.RATES],  # noqa: B006  typer copies it
    method: Annotated[
        str,
        typer.Option(
            help='bayesian, zoom, grid, random, sobol, halving or population.'
        ),
    ] = 'bayesian',
    budget: Annotated[
        int, typer.Option(help='How many whole runs it may take, for each seed.')
    ] = 32,
    batch: Annotated[
        int | None, typer.Option(help='Points trained at a time, at most.')
    ] = None,
    optimizer: _options.Optimizer = 'adamw',
    schedule: _options.Schedule = 'cosine',
    steps: _options.Steps = None,
    seeds: Annotated[int, typer.Option(help='Seeds to judge each point over.')] = 1,
    fixed: _options.Fixed = [],  # noqa: B006
    out: Annotated[
        Path,
        typer.Option(help='The folder for search.json, search.csv and search.png.'),
    ] = Path('lrax-out'),
    resume: Annotated[
        bool, typer.Option('--resume', help="Go on from --out's search.json, if any.")
    ] = False,
) -> None:
  """Searches the best hyperparameters of TASK, the learning rate first.

  Ends with 0; 1 where no point trained; 2 for a bad call or task; 130 after
  Ctrl-C, with what was finished in --out.
  """
  report = _report.Report('search', out)
  with report.running(task):
    ranges = _space.space('search', space)
    given = _space.fixed('search', fixed)
    loaded = tasks.load(task)
    in_step = method in _IN_STEP
    known = report.settings(
        resume, f'--method {method}' if in_step else None, task=task,
        space={name: repr(dimension) for name, dimension in ranges.items()},
        fixed=given, method=method, budget=budget, batch=batch, optimizer=optimizer,
        schedule=schedule,
        steps=loaded.steps if steps is None else steps, seeds=seeds,
    )
    with report.progress():
      found = tune.search(
          loaded, ranges, method=method, budget=budget, optimizer=optimizer,
          schedule=schedule, steps=steps, seeds=seeds, fixed=given, batch=batch,
          known=known, on_trial=report.tell(None if in_step else budget * seeds),
      )
      report.save(found, found.to_dict(), lambda: found.plot()[0])
    report.close(
        _points.title(found), _points.columns(found), _points.rows(found), found.verdict
    )
    if found.best is None:
      raise SystemExit(1)
