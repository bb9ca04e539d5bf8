"""What the rows of a search say: the best rate, the noise, and in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np

from lrax.tune import _find_runs
from lrax.tune import _objective


class Choice(NamedTuple):
  """What the rows recommend; NaN where they recommend nothing."""

  learning_rate: float
  validation_loss: float
  interval: tuple[float, float]
  noise: float
  ratio: float  # to the farther neighbour that was tried
  at_edge: bool


_NOTHING = Choice(np.nan, np.nan, (np.nan, np.nan), np.nan, np.nan, False)


def choose(search: _find_runs.Search, suggestion: float) -> Choice:
  """Picks from the rows; `suggestion` is the range test's, NaN if it had none."""
  best = search.best()
  if best is None:
    return _NOTHING
  rows = search.sorted_rows()
  noise = _noise(search, best)
  if not np.isfinite(suggestion) and _hidden(rows, noise):
    return _NOTHING  # neither the range test nor the sweep saw the rate matter
  index = sorted(search.rows).index(best)
  slack = float(np.nan_to_num(noise))
  half = rows[index].learning_rate / 2 * (1 - 1e-9)
  pick = _reach(rows, index, -1, slack, half)
  low = _reach(rows, index, -1, 2 * slack)
  high = _reach(rows, index, +1, 2 * slack)
  rate = rows[pick].learning_rate
  beside = [rows[i].learning_rate for i in (pick - 1, pick + 1) if 0 <= i < len(rows)]
  return Choice(
      learning_rate=rate,
      validation_loss=rows[pick].validation_loss,
      interval=(rows[low].learning_rate, rows[high].learning_rate),
      noise=noise,
      ratio=max(max(r / rate, rate / r) for r in beside),
      at_edge=index in (0, len(rows) - 1),
  )


def _reach(
    rows: Sequence[_objective.Row], start: int, way: int, slack: float,
    least: float = 0.0,
) -> int:
  """How far rows on one side of `start` stay within `slack` of its loss."""
  limit, index = rows[start].validation_loss + slack, start
  while (
      0 <= index + way < len(rows)
      and rows[index + way].validation_loss <= limit
      and rows[index + way].learning_rate >= least
  ):
    index += way
  return index


def _hidden(rows: Sequence[_objective.Row], noise: float) -> bool:
  """Whether all rates that trained are within noise of each other."""
  finite = [r.validation_loss for r in rows if np.isfinite(r.validation_loss)]
  return max(finite) - min(finite) <= 2 * np.nan_to_num(noise)


def _noise(search: _find_runs.Search, best: int) -> float:
  """Standard error of the difference of two rates' mean losses, near the best.

  The losses are rates x seeds. What is left after taking off each rate's and
  each seed's mean is what differs when a rate is compared with another on the
  same seeds; its variance, twice, over the seeds, is that of a difference.
  """
  table = np.empty((0, 0))
  # Noise grows with the rate, so from as near as there are rates enough.
  for places in (2, 4):
    table = np.asarray([
        [trial.validation_loss for trial in row.trials]
        for place, row in search.rows.items()
        if abs(place - best) <= places and np.isfinite(row.validation_loss)
    ])
    if len(table) >= 3:
      break
  return noise(table)


def noise(table: np.ndarray) -> float:
  """Standard error of the difference of two rows' means; NaN where unknown.

  Args:
    table: (points, seeds), validation losses.
  """
  if table.ndim < 2 or min(table.shape) < 2:
    return np.nan
  points, seeds = table.shape
  rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
  variance = (rest**2).sum() / ((points - 1) * (seeds - 1))
  return float(np.sqrt(2 * variance / seeds))


def _many(count: int, noun: str) -> str:
  return f'{count} {noun}{"s" * (count != 1)}'


def in_words(found: Any, out_of_budget: bool) -> str:
  """The verdict of a `Found`."""
  rows, seeds = found.rows, len(found.seeds)
  if not np.isfinite(found.learning_rate):
    tried = f'from {rows[0].learning_rate:.2g} to {rows[-1].learning_rate:.2g}'
    if any(np.isfinite(row.validation_loss) for row in rows):
      return (
          f'No rate {tried} made a difference to {found.task} with'
          f' {found.optimizer} that noise does not hide. Check the loss and its'
          ' gradient, or train for more steps.'
      )
    trials = [trial for row in rows for trial in row.trials]
    whole = [t for t in trials if len(t.losses) == found.steps]
    if len(whole) == len(trials) and all(np.isfinite(t.losses).all() for t in whole):
      return (
          f'{found.task} trained at every rate {tried}, but the validation loss was'
          ' never finite: check `evaluate` and the validation data.'
      )
    return (
        f'No rate {tried} trained {found.task} with {found.optimizer}: every run'
        ' diverged. Check the loss and the data.'
    )
  said = [
      f'Use {found.learning_rate:.2g} with {found.optimizer} for {found.task}'
      + (
          ', at a constant rate,'
          if found.schedule == 'constant'
          else f' as the peak of the {found.schedule} schedule'
      )
      + f" over {_many(found.steps, 'step')}: validation loss"
      f" {found.validation_loss:.4g},"
      f' mean of {_many(seeds, "seed")}.'
  ]
  low, high = found.interval
  if np.isnan(found.noise):
    said.append('With one seed the noise is not known: pass more seeds to see it.')
  elif low < high:
    said.append(
        f'Rates from {low:.2g} to {high:.2g} are within noise'
        f' (±{2 * found.noise:.2g}) of the best.'
    )
  else:
    said.append(f'No other rate tried is within noise (±{2 * found.noise:.2g}).')
  if _hidden(rows, found.noise):
    said.append('Noise hides any difference between the rates: the choice is open.')
  gone = [row.learning_rate for row in rows if row.diverged]
  if gone:
    said.append(f'Training diverged from {min(gone):.2g} on.')
  if found.at_edge:
    said.append('The best lies on the edge of what was tried: look further there.')
  if out_of_budget:
    said.append(
        'The budget ended the search: neighbours are a factor of'
        f' {found.ratio:.2g} apart.'
    )
  return ' '.join(said)


def in_short(point: Any) -> str:
  """A point as a person would write it: learning_rate=0.01, b2=0.95."""
  show = lambda value: f'{value:.3g}' if isinstance(value, float) else str(value)
  return ', '.join(f'{name}={show(value)}' for name, value in point.items())


def of_search(searched: Any) -> str:
  """The verdict of a `Searched`."""
  tried = _many(len(searched.rows), 'point')
  method = f' with {searched.optimizer}'
  if 'optimizer' in searched.space:
    method = ''  # it is in the points
  if searched.best is None:
    return (
        f'None of {tried} trained {searched.task}{method}: every one diverged. Lower'
        ' the rates, or check the loss and the data.'
    )
  said = [
      f'{in_short(searched.best)} is the best of {tried} for {searched.task}{method}'
      f' under the {searched.schedule} schedule over'
      f" {_many(searched.steps, 'step')}: validation loss"
      f' {searched.validation_loss:.4g}, mean of {_many(len(searched.seeds), "seed")}.'
  ]
  if len(searched.history) > 1:
    changes = len(searched.history) - 1
    said.append(f'It changed its hyperparameters {_many(changes, "time")} on the way.')
  losses = [row.validation_loss for row in searched.rows]
  if np.isnan(searched.noise):
    said.append('The noise is not known: pass more seeds to see it.')
  else:
    limit = searched.validation_loss + 2 * searched.noise
    near = sum(loss <= limit for loss in losses) - 1
    others = f'{near} of the others {"is" if near == 1 else "are"}' if near else (
        'No other point is'
    )
    said.append(f'{others} within noise (±{2 * searched.noise:.2g}) of it.')
  if gone := sum(row.diverged > 0 for row in searched.rows):
    said.append(f'{_many(gone, "point")} diverged.')
  for name, (low, high) in searched.widened.items():
    said.append(f'The range of {name} was widened to {low:.2g} to {high:.2g}.')
  if searched.edges:
    said.append(
        f'The best lies on the edge of {" and ".join(searched.edges)}: look further'
        ' there.'
    )
  return ' '.join(said)
