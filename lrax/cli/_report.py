"""What a command that trains shows while it does, and keeps under --out."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import csv
import json
import os
from pathlib import Path
import sys
import time
from typing import Any
from typing import NoReturn

import numpy as np

from lrax import tune
from lrax.cli import _output
from lrax.cli import _resume
from lrax.tune import _verdict

# Writing all trials after each one may take so large a part of the time.
_WRITING = 0.05


class Report:
  """The bar, the table, and COMMAND.json, COMMAND.csv and COMMAND.png.

  Attributes:
    trials: those that are finished, each once, the ones of an earlier run too.
    kept: what the JSON says beside the trials while the run goes on.
    describe: gives the trials by now as plain values, for the JSON.
    finished: says how far it came, after Ctrl-C.
    hint: what to do then.
  """

  def __init__(self, command: str, out: Path):
    from rich import console

    self.command, self.out = command, out
    self.console = console.Console()
    self.kept: dict[str, Any] = {}
    self.describe: Callable[[], dict[str, Any]] = lambda: {
        'trials': [trial.to_dict() for trial in self.trials]
    }
    self.finished = lambda: f'{len(self._found)} runs were finished'
    self.hint = ''
    self._found: dict[Any, tune.Trial] = {}
    self._known: set[Any] = set()
    self._bar: Any = None
    self._rows: dict[str, Any] = {}
    self._began = self._saved = self._unsaved = False
    self._next_save = 0.0

  @property
  def trials(self) -> list[tune.Trial]:
    """Those that are finished, each once."""
    return list(self._found.values())

  @contextlib.contextmanager
  def running(self, task: str) -> Iterator[None]:
    """Around all the work: makes the folder, and ends as a program should."""
    try:
      _output.open_folder(self.command, self.out)
      _output.need_figures(self.command, f'{self.command}.png')
      yield
    except KeyboardInterrupt:
      self._interrupted()
    except _output.ERRORS as error:
      with contextlib.suppress(OSError):  # it may be that the disk is full
        self._save_rest()
      _output.fail(str(error) or type(error).__name__, error)
    except Exception as error:  # the user's own model, inside a run
      with contextlib.suppress(OSError):
        self._save_rest()
      _output.fail(f"'{task}' failed with {type(error).__name__}: {error}", error)

  # --- going on from an earlier run

  def settings(
      self, resume: bool, in_step: str | None, **settings: Any
  ) -> list[tune.Trial]:
    """Keeps what the run is made of; the trials of an earlier one of the same.

    Args:
      resume: whether to go on from COMMAND.json, if there is one.
      in_step: the option by which runs are compared while they go on, if any.
      **settings: plain values by name.

    Raises:
      ValueError: COMMAND.json is no result, or one of other settings; or runs are
        compared while they go on.
    """
    self.kept['settings'] = settings
    self.hint = '' if in_step else 'the same call with --resume goes on'
    path = self.out / f'{self.command}.json'
    if not resume:
      return []
    if in_step:
      raise ValueError(
          f'{self.command}: --resume cannot go with {in_step}, which compares runs'
          ' while they go on; leave one out.'
      )
    if not path.exists():
      return []
    trials = _resume.earlier(self.command, path, settings)
    keys = [_key(trial) for trial in trials]
    self._found = dict(zip(keys, trials))
    self._known = set(keys)
    return trials

  # --- while it runs

  def progress(self) -> Any:
    """The progress bar, as a context."""
    from rich import progress

    self._bar = progress.Progress(
        progress.TextColumn('{task.description:<10}'),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn('left'),
        progress.TimeRemainingColumn(),
        progress.TextColumn('{task.fields[best]}', markup=False),
        console=self.console,
        transient=True,
        speed_estimate_period=86_400,  # seconds: a run may take hours
    )
    return self._bar

  def move(self, stage: str, done: int, planned: int | None, best: str = '') -> None:
    """Moves the bar of a stage; None where it is not known how many are to come."""
    if stage not in self._rows:
      self._rows[stage] = self._bar.add_task(
          stage, completed=done, total=planned, best=''
      )
    self._bar.update(self._rows[stage], completed=done, total=planned, best=best)

  def add(self, trial: tune.Trial) -> None:
    """Keeps a trial that is finished."""
    self._found[_key(trial)] = trial
    self.keep()

  def keep(self, **values: Any) -> None:
    """COMMAND.json as far as it is known: a run that is killed leaves it."""
    self._begin()
    self.kept |= values
    self._unsaved = True
    if time.monotonic() >= self._next_save:
      self._save_rest()

  def tell(self, planned: int | None) -> Callable[[tune.Trial], None]:
    """What `on_trial` calls, where the trials are all that there is to do."""
    self.move(self.command, len(self._found), planned)

    def told(trial: tune.Trial) -> None:
      self.add(trial)
      self.move(self.command, len(self._found), planned, self.best())

    return told

  def best(self) -> str:
    """The point of the lowest mean validation loss so far."""
    losses: dict[Any, list[float]] = {}
    for trial in self._found.values():
      here = losses.setdefault(tuple(trial.point.items()), [])
      here.append(np.nan if trial.status != 'finished' else trial.validation_loss)
    seeds = max(map(len, losses.values()), default=0)
    whole = {
        point: float(np.mean(some))
        for point, some in losses.items()
        if len(some) == seeds and np.isfinite(some).all()
    }
    if not whole:
      return ''
    best = min(whole, key=whole.__getitem__)
    return f'best {whole[best]:.4g} at {_verdict.in_short(dict(best))}'

  def _begin(self) -> None:
    """From here on, what an earlier run left is no answer of this one."""
    if not self._began:
      self._began = True
      if not self._known:
        (self.out / f'{self.command}.json').unlink(missing_ok=True)
      for kind in ('csv', 'png'):
        (self.out / f'{self.command}.{kind}').unlink(missing_ok=True)

  # --- what it writes

  def save(
      self, result: Any, plain: Mapping[str, Any], draw: Any, complete: bool = True
  ) -> None:
    """Writes the three files of a result.

    Args:
      result: its `table()` is the CSV.
      plain: it as plain values, for the JSON.
      draw: draws it, and returns axes.
      complete: whether nothing is left to do.
    """
    self._write({'complete': complete, **self.kept, **plain})
    self._unsaved, self._saved = False, True
    table = result.table()
    with (self.out / f'{self.command}.csv').open('w', newline='') as file:
      names = list(table[0]) if table else []
      writer = csv.DictWriter(file, names, lineterminator='\n')
      writer.writeheader()
      writer.writerows(table)
    _output.draw(self.command, draw, self.out / f'{self.command}.png')

  def close(
      self, title: str, columns: Sequence[str],
      rows: Iterable[tuple[Sequence[str], bool]], verdict: str,
  ) -> None:
    """Prints the table and the verdict.

    Args:
      title: above the table.
      columns: their names; one that says nothing in any row is left out.
      rows: the cells of each row, and whether it is the best.
      verdict: below the table.
    """
    from rich import table
    from rich import text

    grid = table.Table(title=text.Text(title))
    shown = list(rows)
    said = [i for i, _ in enumerate(columns) if any(cells[i] for cells, _ in shown)]
    for i in said:
      grid.add_column(text.Text(columns[i]), justify='right')
    for cells, best in shown:
      some = [text.Text(cells[i]) for i in said]
      grid.add_row(*some, style='bold green' if best else None)
    self.console.print(grid)
    self.console.print(verdict, highlight=False, markup=False, soft_wrap=True)
    name = self.command
    written = f'Wrote {name}.json, {name}.csv and {name}.png to {self.out}'
    self.console.print(written, markup=False, soft_wrap=True)

  def _save_rest(self) -> None:
    """Writes what is not written yet."""
    if not self._unsaved:
      return
    began = time.monotonic()
    self._write({'complete': False, **self.kept, **self.describe()})
    self._unsaved, self._saved = False, True
    now = time.monotonic()
    self._next_save = now + (now - began) / _WRITING

  def _write(self, result: dict[str, Any]) -> None:
    """Writes the JSON in one move, so that it is never half a file."""
    path = self.out / f'{self.command}.json'
    new = path.with_suffix(f'.json.{os.getpid()}.new')  # other workers write theirs
    new.write_text(json.dumps(result, indent=1, allow_nan=False) + '\n')
    new.replace(path)

  def _interrupted(self) -> NoReturn:
    """After Ctrl-C: says what is left, exit code 130."""
    self._save_rest()
    path = self.out / f'{self.command}.json'
    kept = f'; {path} has what there is' if self._saved else ''
    hint = f'; {self.hint}' if self.hint and self._found else ''
    print(f'lrax: stopped; {self.finished()}{kept}{hint}.', file=sys.stderr)
    raise SystemExit(130) from None


def _key(trial: tune.Trial) -> Any:
  return tuple(sorted(trial.point.items())), trial.seed
