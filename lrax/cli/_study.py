"""`lrax study TASK`: a search that is kept, and that many workers may share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from typing import Any

import typer

from lrax import tasks
from lrax import tune
from lrax.cli import _options
from lrax.cli import _output
from lrax.cli import _points
from lrax.cli import _report
from lrax.cli import _space
from lrax.tune import _verdict


def study(
    task: _options.Task,
    space: _options.Space = [_options.RATES],  # noqa: B006  typer copies it
    storage: Annotated[
        str | None,
        typer.Option(
            help='study.db, study.journal, or the URL of a database; study.db in'
            ' --out by default.'
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The study's name; the task's by default.")
    ] = None,
    worker: Annotated[
        str, typer.Option(help='A name of its own for each process of one study.')
    ] = 'worker-0',
    take_over: Annotated[
        list[str],
        typer.Option(help='A worker that will not come back, to finish its trials.'),
    ] = [],  # noqa: B006
    trials: Annotated[
        int, typer.Option(help='How many points the study shall have in all.')
    ] = 64,
    batch: Annotated[
        int | None, typer.Option(help='Points asked for and trained at a time.')
    ] = None,
    sampler: Annotated[
        str, typer.Option(help='Who proposes points: tpe, random or qmc.')
    ] = 'tpe',
    optimizer: _options.Optimizer = 'adamw',
    schedule: _options.Schedule = 'cosine',
    steps: _options.Steps = None,
    seeds: Annotated[int, typer.Option(help='Seeds to judge each point over.')] = 1,
    fixed: _options.Fixed = [],  # noqa: B006
    out: Annotated[
        Path, typer.Option(help='The folder for study.json, study.csv and study.png.')
    ] = Path('lrax-out'),
) -> None:
  """Searches hyperparameters of TASK in a study: it can stop, go on and be shared.

  The same call goes on where it was stopped. On other machines run it with the
  same --storage, each with its own --worker. Ends with 0; 1 where no point trained;
  2 for a bad call or task; 130 after Ctrl-C.
  """
  report = _report.Report('study', out)
  with report.running(task):
    ranges = _space.space('study', space)
    given = _space.fixed('study', fixed)
    loaded = tasks.load(task)
    where = str(out / 'study.db') if storage is None else storage
    try:
      made = tune.Study(
          loaded, ranges, storage=where, name=name, worker=worker, sampler=sampler,
          optimizer=optimizer, schedule=schedule, steps=steps, seeds=seeds, fixed=given,
      )
    except _output.ERRORS:
      raise
    except Exception as error:  # of the database
      raise OSError(
          f"study: cannot open --storage '{where}': {type(error).__name__}: {error}"
      ) from error
    report.describe, report.hint = made.to_dict, 'the same call goes on'
    for other in take_over:
      made.take_over(other)
    with report.progress():
      _train(made, report, trials, batch)
      found = made.result
      complete = len(found.rows) >= trials
      report.save(made, made.to_dict(), lambda: found.plot()[0], complete)
    report.close(
        _points.title(found), _points.columns(found), _points.rows(found), found.verdict
    )
    if complete and found.best is None:
      raise SystemExit(1)


def _train(
    made: tune.Study, report: _report.Report, trials: int, batch: int | None
) -> None:
  """Runs the study; the bar counts the points of all workers."""

  def move() -> None:
    found: Any = made.result
    best = ''
    if found.best is not None:
      best = f'best {found.validation_loss:.4g} at {_verdict.in_short(found.best)}'
    report.move('study', len(found.rows), trials, best)

  def tell(trial: tune.Trial) -> None:
    report.add(trial)
    move()

  move()
  try:
    made.run(trials, batch, tell)
  except RuntimeError as error:
    if str(error).startswith('Study: '):  # another process under the same name
      raise ValueError(str(error)) from error
    raise
