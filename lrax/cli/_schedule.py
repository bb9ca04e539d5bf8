"""`lrax schedule EXPR`: the rates of schedules as a table and a figure."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from lrax import schedules
from lrax._policy import Schedule
from lrax._types import MAX_STEP
from lrax.cli import _output
from lrax.plot import _length

# Lines of schedule.csv; of a longer schedule it holds evenly spaced steps.
_MOST_LINES = 1_000_000
# Steps among which the highest and the lowest rate are looked for.
_MOST_SEARCHED = 100_000
# Changes that the table shows.
_MOST_CHANGES = 12


def schedule(
    expressions: Annotated[
        list[str],
        typer.Argument(
            metavar='EXPR...',
            help='For example "cosine_annealing(0.1, 1000).with_warmup(50)".',
        ),
    ],
    steps: Annotated[
        int | None,
        typer.Option(help='The last step; by default that of the longest schedule.'),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option(
            '--csv',
            help='Write schedule.csv too: a line a step, of more than a million'
            ' steps evenly spaced ones.',
        ),
    ] = False,
    log: Annotated[bool, typer.Option('--log', help='Draw on a log axis.')] = False,
    out: Annotated[
        Path, typer.Option(help='The folder for schedule.png and schedule.csv.')
    ] = Path('lrax-out'),
) -> None:
  """Prints the key rates of each schedule EXPR and draws them over each other.

  An expression is written as in Python, with the names of lrax.schedules: calls,
  methods such as with_warmup, * and +. It is read, not run. Ends with 0; 2 for a
  bad expression.
  """
  from lrax import plot

  try:
    parsed = [schedules.parse(text) for text in expressions]
    make = lambda: plot.schedule(*parsed, steps=steps, labels=expressions, log=log)
    _output.open_folder('schedule', out)
    _output.draw('schedule', make, out / 'schedule.png')
    last = _length.length(parsed) if steps is None else steps
    if as_csv:
      _write(expressions, parsed, last, out / 'schedule.csv')
  except _output.ERRORS as error:
    _output.fail(str(error) or type(error).__name__, error)
  _print(expressions, parsed, last)
  written = 'schedule.png and schedule.csv' if as_csv else 'schedule.png'
  print(f'Wrote {written} to {out}')


def _write(texts: list[str], parsed: list[Schedule], last: int, path: Path) -> None:
  """schedule.csv: the step, and the rate of each expression, with all its digits."""
  steps = _length.steps_to_show(parsed, last, _MOST_LINES)
  columns = [steps, *(np.asarray(one(steps)) for one in parsed)]
  with path.open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['step', *texts])
    writer.writerows(zip(*columns))


def _print(texts: list[str], parsed: list[Schedule], last: int) -> None:
  """A table for each expression."""
  from rich import console
  from rich import table

  screen = console.Console()
  for name, one in zip(texts, parsed):
    screen.print(name, markup=False, highlight=False, soft_wrap=True)
    grid = table.Table()
    grid.add_column('step', justify='right')
    grid.add_column('learning rate', justify='right')
    grid.add_column('')
    steps, notes = zip(*sorted(_key_steps(one, last).items()))
    for step, rate, note in zip(steps, np.asarray(one(np.asarray(steps))), notes):
      grid.add_row(f'{step:,}', f'{rate:.6g}', ', '.join(note))
    screen.print(grid)


def _key_steps(one: Schedule, last: int) -> dict[int, list[str]]:
  """The steps worth a line, and what each of them is."""
  searched = _length.steps_to_show([one], last, _MOST_SEARCHED)
  rates = np.asarray(one(searched))
  notes: dict[int, list[str]] = {0: ['first update'], 1: []}
  for change in [c for c in _length.changes(one) if 0 < c < last][:_MOST_CHANGES]:
    notes.setdefault(change - 1, [])
    notes.setdefault(change, []).append('change')
  for share in (1, 2, 3):
    notes.setdefault(last * share // 4, []).append(f'{share}/4')
  for step in (last - 1, last, last + 1):
    notes.setdefault(step, [])
  notes[last].append('end')
  notes.setdefault(int(searched[rates.argmax()]), []).append('highest')
  notes.setdefault(int(searched[rates.argmin()]), []).append('lowest')
  return {s: note for s, note in notes.items() if 0 <= s <= MAX_STEP}
