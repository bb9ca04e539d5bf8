"""`lrax diagnose LOG`: what the rate is doing to a run, from its log."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
import difflib
import json
from pathlib import Path
import re
import shutil
import sys
import tempfile
from typing import Annotated
from typing import Any

import typer

from lrax import diagnose as diagnose_
from lrax.cli import _output
from lrax.cli import _space
from lrax.tune import _optimizer

_STDIN = 'standard input'


def diagnose(
    log: Annotated[
        str,
        typer.Argument(help='A CSV, JSON or JSON-lines log of a run; - for stdin.'),
    ],
    loss: Annotated[
        str | None,
        typer.Option(metavar='COLUMN', help='The column of the training loss.'),
    ] = None,
    validation_loss: Annotated[
        str | None,
        typer.Option(metavar='COLUMN', help='The column of the validation loss.'),
    ] = None,
    learning_rate: Annotated[
        str | None,
        typer.Option(metavar='COLUMN', help='The column of the learning rate.'),
    ] = None,
    step: Annotated[
        str | None, typer.Option(metavar='COLUMN', help='The column of the step.')
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help='What trained it, for the remedy: "sgd(momentum=0.9)".'),
    ] = None,
    threshold: Annotated[
        list[str],
        typer.Option(
            metavar='NAME=VALUE',
            help='A number of the rules, which lrax.diagnose.Thresholds lists. Once'
            ' for each.',
        ),
    ] = [],  # noqa: B006  typer copies it
    out: Annotated[
        Path, typer.Option(help='The folder for diagnose.json and diagnose.png.')
    ] = Path('lrax-out'),
) -> None:
  """Says what is wrong with the run of LOG: a verdict, its evidence, the remedy.

  Columns that are not named are guessed. Ends with 0, whatever the verdict;
  2 for a bad call, or for a file that is no log; 130 after Ctrl-C.
  """
  from lrax import plot

  named = {
      'loss': loss, 'validation_loss': validation_loss,
      'learning_rate': learning_rate, 'step': step,
  }
  columns = {role: column for role, column in named.items() if column is not None}
  try:
    thresholds = _thresholds(threshold)
    if optimizer is not None:
      _optimizer.as_optimizer(optimizer, 'diagnose')
    with _file(log) as path:
      read = diagnose_.read_log(path, columns)
    found = diagnose_.diagnose(read, optimizer=optimizer, thresholds=thresholds)
    _output.open_folder('diagnose', out)
    _output.draw('diagnose', lambda: plot.monitor(found)[0], out / 'diagnose.png')
    plain = {'source': _STDIN if log == '-' else log, **found.to_dict()}
    text = json.dumps(plain, indent=1, allow_nan=False)
    (out / 'diagnose.json').write_text(text + '\n')
  except _output.ERRORS as error:
    message = _as_options(str(error) or type(error).__name__)
    if isinstance(error, OSError) and error.strerror and error.filename:
      message = f"diagnose: cannot read '{error.filename}': {error.strerror}."
    _output.fail(message, error)
  _print(log, found)
  print(f'Wrote diagnose.json and diagnose.png to {out}')


@contextlib.contextmanager
def _file(log: str) -> Iterator[Path]:
  """The file of a log, which may be read more than once; that of '-' is a copy."""
  if log != '-':
    yield Path(log)
    return
  with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, 'stdin')
    with path.open('wb') as copy:
      shutil.copyfileobj(sys.stdin.buffer, copy)
    try:
      yield path
    except ValueError as error:  # nobody knows the copy
      raise ValueError(str(error).replace(str(path), _STDIN)) from error


def _thresholds(texts: Sequence[str]) -> diagnose_.Thresholds:
  """The numbers of the rules, with those of 'name=value' in the place of theirs."""
  known = {f.name: f.default for f in dataclasses.fields(diagnose_.Thresholds)}
  numbers: dict[str, Any] = {}
  for name, text in _space.named('diagnose', '--threshold', texts, 'points=50'):
    if name not in known:
      close = difflib.get_close_matches(name, known, 1)
      hint = f"did you mean '{close[0]}'" if close else 'take one of them'
      raise ValueError(
          f'diagnose: --threshold must name one of {", ".join(known)}, got'
          f" '{name}'; {hint}."
      )
    try:
      numbers[name] = (int if isinstance(known[name], int) else float)(text)
    except ValueError:
      raise ValueError(
          f"diagnose: --threshold must be a name and a number, got '{name}={text}';"
          f' the default is {name}={known[name]}.'
      ) from None
  return diagnose_.Thresholds(**numbers)


def _print(log: str, found: diagnose_.Diagnosis) -> None:
  """The verdict, the evidence as a table, how the log was read, and the remedy."""
  from rich import console
  from rich import table
  from rich import text

  screen = console.Console()
  say = lambda line: screen.print(line, highlight=False, markup=False, soft_wrap=True)
  say(f'{_STDIN if log == "-" else log}: {_range(found.log)}')
  for note in found.log.notes:
    say(f'  {note}')
  grid = table.Table(title=text.Text(f'{found.verdict}: the evidence'))
  for name in ('sign', 'found', 'value', 'threshold', 'steps'):
    numeric = name not in ('sign', 'found')
    grid.add_column(name, justify='right' if numeric else 'left', no_wrap=numeric)
  # What was found first: the rest says what was looked for.
  for one in sorted(found.evidence, key=lambda one: not one.fulfilled):
    first, last = (f'{step:,.6g}' for step in one.steps)
    cells = [
        one.sign, one.text, f'{one.value:.3g}', f'{one.threshold:.3g}',
        first if first == last else f'{first} to {last}',
    ]
    grid.add_row(
        *(text.Text(cell.replace('nan to nan', '-')) for cell in cells),
        style='bold' if one.fulfilled else 'dim',
    )
  screen.print(grid)
  say(f'{found.verdict}: {found.reason}')
  if found.advice:
    say(_as_options(found.advice))
  for line in found.remedy.splitlines():
    say(f'  {line}')


def _as_options(text: str) -> str:
  """What is said of the function's arguments, said of the command's."""
  option = lambda name: f'--{name.replace("_", "-")} COLUMN'
  text = re.sub(r"columns=\{'(\w+)': \.\.\.\}", lambda m: option(m[1]), text)
  return re.sub(r"\boptimizer='(\w+)'", r'--optimizer \1', text)


def _range(log: diagnose_.Log) -> str:
  """How much of a run it is."""
  if not len(log):
    return 'no rows'
  return f'{len(log):,} rows, {log.unit} {log.step[0]:,.6g} to {log.step[-1]:,.6g}'
