"""`lrax find TASK`: a recommended rate, its evidence, a figure and a JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
import sys
from typing import Annotated
from typing import Any
from typing import NoReturn

import typer

from lrax import tasks
from lrax import tune
from lrax.cli import _output


def find(
    task: Annotated[
        str,
        typer.Argument(
            help='A built-in task such as digits, module:name, or file.py:name.'
        ),
    ],
    optimizer: Annotated[
        str, typer.Option(help='adamw, "sgd(momentum=0.9)", ...')
    ] = 'adamw',
    schedule: Annotated[
        str, typer.Option(help='The rate is the peak of: cosine, linear, constant.')
    ] = 'cosine',
    steps: Annotated[
        int | None, typer.Option(help="Updates of each run; the task's by default.")
    ] = None,
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
  report = _Report(out)
  try:
    report.open()
    loaded = tasks.load(task)
    with report.progress():
      found = tune.find(
          loaded, optimizer, steps=steps, seeds=seeds, schedule=schedule,
          budget=budget, on_progress=report.tell,
      )
      report.save(found)
    report.close(found)
    if math.isnan(found.learning_rate):
      raise SystemExit(1)
  except KeyboardInterrupt:
    report.interrupted()
  except _output.ERRORS as error:
    _output.fail(str(error) or type(error).__name__, error)
  except Exception as error:  # the user's own model, inside a run
    _output.fail(f"'{task}' failed with {type(error).__name__}: {error}", error)


class _Report:
  """What the person sees, and what is kept under --out."""

  def __init__(self, out: Path):
    from rich.console import Console

    self.out = out
    self.console = Console()
    self.range_test: tune.RangeTest | None = None
    self.trials: list[tune.Trial] = []
    self.bar: Any = None
    self.rows: Any = {}

  def open(self) -> None:
    """Makes the folder, and makes sure that it can be written to."""
    _output.open_folder('find', self.out)

  def progress(self) -> Any:
    """The progress bar, as a context."""
    from rich import progress

    self.bar = progress.Progress(
        progress.TextColumn('{task.description:<10}'),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn('{task.fields[best]}'),
        console=self.console,
        transient=True,
    )
    return self.bar

  def tell(self, event: tune.Progress) -> None:
    """Moves the bar and keeps what is finished."""
    if not self.rows:
      # From here on, what an earlier run left is no answer of this one.
      for name in ('find.json', 'find.csv', 'find.png'):
        (self.out / name).unlink(missing_ok=True)
    if event.stage not in self.rows:
      self.rows[event.stage] = self.bar.add_task(event.stage, best='')
    if isinstance(event.result, tune.RangeTest):
      self.range_test = event.result
      self.save_partial()
    elif isinstance(event.result, tune.Trial):
      self.trials.append(event.result)
      self.save_partial()
    self.bar.update(
        self.rows[event.stage],
        completed=event.done,
        total=event.planned,
        best=self.best() if event.stage == 'sweep' else '',
    )

  def best(self) -> str:
    """The lowest validation loss so far."""
    trained = [t for t in self.trials if not t.diverged]
    if not trained:
      return ''
    best = min(trained, key=lambda t: t.validation_loss)
    return f'best {best.validation_loss:.4g} at {best.learning_rate:.2g}'

  def save_partial(self) -> None:
    """find.json as far as it is known: a run that is killed leaves it."""
    trials = [trial.to_dict() for trial in self.trials]
    test = self.range_test.to_dict() if self.range_test else None
    self.write({'complete': False, 'trials': trials, 'range_test': test})

  def write(self, result: dict[str, Any]) -> None:
    """Writes find.json in one move, so that it is never half a file."""
    new = self.out / 'find.json.new'
    new.write_text(json.dumps(result, indent=1, allow_nan=False) + '\n')
    new.replace(self.out / 'find.json')

  def close(self, found: tune.Found) -> None:
    """Prints the table and the verdict."""
    from rich import table
    from rich import text

    grid = table.Table(title=text.Text(f'{found.task}, {found.optimizer}'))
    for column in ('learning rate', 'validation loss', 'spread', 'diverged'):
      grid.add_column(column, justify='right')
    for row in found.rows:
      here = row.learning_rate == found.learning_rate
      grid.add_row(
          f'{row.learning_rate:.3g}',
          '-' if row.diverged else f'{row.validation_loss:.4g}',
          '-' if row.diverged else f'{row.spread:.2g}',
          f'{row.diverged} of {len(row.trials)}' if row.diverged else '',
          style='bold green' if here else None,
      )
    self.console.print(grid)
    self.console.print(found.verdict, highlight=False, markup=False, soft_wrap=True)
    written = f'Wrote find.json, find.csv and find.png to {self.out}'
    self.console.print(written, markup=False, soft_wrap=True)

  def save(self, found: tune.Found) -> None:
    """Writes the three files."""
    self.write({'complete': True, **found.to_dict()})
    lines = [','.join(found.table()[0])]
    lines += [','.join(map(str, row.values())) for row in found.table()]
    (self.out / 'find.csv').write_text('\n'.join(lines) + '\n')
    _output.draw('find', lambda: found.plot()[0], self.out / 'find.png')

  def interrupted(self) -> NoReturn:
    """After Ctrl-C: says what is left, exit code 130."""
    kept = f'; {self.out}/find.json has what there is' if self.range_test else ''
    print(
        f'lrax: stopped; {len(self.trials)} runs were finished{kept}.',
        file=sys.stderr,
    )
    raise SystemExit(130) from None
