"""`lrax sweep TASK`: the validation loss at every rate of a list."""

from __future__ import annotations

from collections.abc import Iterator
import math
from pathlib import Path
from typing import Annotated
from typing import Any

import numpy as np
import typer

from lrax import tasks
from lrax import tune
from lrax.cli import _options
from lrax.cli import _report
from lrax.cli import _space
from lrax.tune import _verdict

_COLUMNS = ('learning rate', 'validation loss', 'spread', '')


def sweep(
    task: _options.Task,
    rates: Annotated[
        str,
        typer.Option(help='low:high:count, evenly spaced on a log scale; or 0.01,0.1.'),
    ] = '1e-5:1:16',
    optimizer: _options.Optimizer = 'adamw',
    schedule: _options.Schedule = 'cosine',
    steps: _options.Steps = None,
    seeds: Annotated[int, typer.Option(help='Seeds of each rate.')] = 1,
    engine: Annotated[
        str, typer.Option(help='map: a run a core; vmap: side by side; auto.')
    ] = 'auto',
    halve_at: Annotated[
        str,
        typer.Option(
            help='Shares of a run after which the worse half stops: 0.25,0.5.'
        ),
    ] = '',
    out: Annotated[
        Path, typer.Option(help='The folder for sweep.json, sweep.csv and sweep.png.')
    ] = Path('lrax-out'),
    resume: Annotated[
        bool, typer.Option('--resume', help="Go on from --out's sweep.json, if any.")
    ] = False,
) -> None:
  """Trains TASK at every rate: the losses, the curves, and which rate is best.

  Ends with 0; 1 where no rate trained; 2 for a bad call or task; 130 after
  Ctrl-C, with what was finished in --out.
  """
  report = _report.Report('sweep', out)
  with report.running(task):
    at = sorted(_space.rates('sweep', rates))
    shares = _space.shares('sweep', halve_at)
    loaded = tasks.load(task)
    known = report.settings(
        resume, '--halve-at' if shares else None, task=task, optimizer=optimizer,
        schedule=schedule, steps=loaded.steps if steps is None else steps, seeds=seeds,
        rates=at, halve_at=shares,
    )
    with report.progress():
      swept = tune.sweep(
          loaded, at, optimizer=optimizer, schedule=schedule, steps=steps,
          seeds=seeds, engine=engine, halve_at=shares, known=known,
          on_trial=report.tell(len(at) * seeds),
      )
      report.save(swept, _plain(swept, report.trials), lambda: swept.plot()[0])
    title = f'{swept.task}, {swept.optimizer}'
    report.close(title, _COLUMNS, _rows(swept), _in_words(swept))
    if math.isnan(swept.best):
      raise SystemExit(1)


def _plain(swept: tune.Sweep, trials: list[tune.Trial]) -> dict[str, Any]:
  """The sweep as plain values, its runs as trials."""
  rates, judged = swept.learning_rates.tolist(), []
  for trial in trials:
    place = rates.index(trial.learning_rate), swept.seeds.index(trial.seed)
    # How it ended is known in full only when the other rates are.
    judged.append(trial._replace(status=str(swept.status[place])).to_dict())
  runs = ('losses', 'steps_done', 'status', 'validation_loss')
  rest = {name: v for name, v in swept.to_dict().items() if name not in runs}
  return rest | {'trials': judged}


def _rows(swept: tune.Sweep) -> Iterator[tuple[list[str], bool]]:
  for row in swept.table():
    gone, stopped = row['diverged'], row['stopped_early']
    note = f'{gone} of {len(swept.seeds)} diverged' if gone else ''
    cells = [
        f'{row["learning_rate"]:.3g}',
        '-' if gone else f'{row["validation_loss"]:.4g}',
        '' if len(swept.seeds) == 1 else '-' if gone else f'{row["spread"]:.2g}',
        note or ('stopped early' if stopped else ''),
    ]
    yield cells, row['learning_rate'] == swept.best


def _in_words(swept: tune.Sweep) -> str:
  """The verdict."""
  rates, seeds = swept.learning_rates, len(swept.seeds)
  count = f'{len(rates)} rate{"s" * (len(rates) > 1)}'
  if math.isnan(swept.best):
    return (
        f'None of {count} trained {swept.task} with {swept.optimizer} to the end: take'
        ' lower rates, or check the loss and the data.'
    )
  constant = swept.schedule == 'constant'
  peak = '' if constant else f' as the peak of the {swept.schedule} schedule'
  steps = swept.losses.shape[-1]
  best = int(np.flatnonzero(rates == swept.best)[0])
  said = [
      f'{swept.best:.3g} is the best of {count} for {swept.task} with'
      f' {swept.optimizer}{peak} over {steps} step{"s" * (steps > 1)}: validation loss'
      f' {swept.mean[best]:.4g}, mean of {seeds} seed{"s" * (seeds > 1)}.'
  ]
  whole = (swept.status == 'finished').all(1)
  order = [i for i in np.argsort(swept.mean, kind='stable') if whole[i]]
  noise = _verdict.noise(swept.validation_loss[order[: max(2, -(-len(order) // 2))]])
  if seeds == 1:
    said.append('With one seed the noise is not known: pass more seeds to see it.')
  elif np.isfinite(noise):
    near = rates[whole & (swept.mean <= swept.mean[best] + 2 * noise)]
    said.append(
        f'No other rate is within noise (±{2 * noise:.2g}).' if len(near) == 1 else
        f'{len(near)} rates from {near[0]:.2g} to {near[-1]:.2g} are within noise'
        f' (±{2 * noise:.2g}) of the best.'
    )
  if (gone := (swept.status == 'diverged').any(1)).any():
    said.append(f'Training diverged from {rates[gone][0]:.2g} on.')
  if best in (0, len(rates) - 1) and len(rates) > 1:
    said.append('The best lies on the edge of the rates: look further there.')
  return ' '.join(said)
