"""What `find` picks beside the rate, when asked: the warmup and the length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np

from lrax import _checks
from lrax.tune import _find_runs
from lrax.tune import _objective

PICKS = ('warmup', 'steps')

_WARMUPS = (0.05, 0.1, 0.2)  # shares of the run
# Shares of the run, and factors of the rate tried with each: a shorter run wants a
# larger rate, a longer one a smaller.
_LENGTHS = ((0.25, (1, 2)), (0.5, (1, 2)), (2, (0.5, 1)))
MOST = 2  # the largest of these shares


class Picked(NamedTuple):
  """What was picked, and the evidence."""

  row: _objective.Row
  steps: int
  warmup_fraction: float
  rows: tuple[_objective.Row, ...]  # what was tried for it
  said: tuple[str, ...]  # in plain words


def check(picks: Sequence[str], owner: str) -> tuple[str, ...]:
  """The picks, each one of the words and once."""
  if isinstance(picks, str):
    raise _checks.refuse(
        owner, 'pick', 'a list of words', picks, f'for example [{picks!r}]', TypeError
    )
  words = tuple(_checks.choice(*PICKS)(owner, 'pick', word) for word in picks)
  return tuple(word for word in PICKS if word in words)


def pick(
    search: _find_runs.Search, row: _objective.Row, picks: tuple[str, ...]
) -> Picked:
  """Tries warmups and lengths around the row that was found.

  A warmup is taken where its loss is lower by more than a standard error of the
  difference, seed by seed; of lengths the shortest within one of the best.
  """
  tried: list[_objective.Row] = []
  said: list[str] = []
  rate, steps, warmup = row.learning_rate, search.steps, 0.0
  if 'warmup' in picks:
    points = [
        {'learning_rate': factor * rate, 'warmup_fraction': share}
        for share in _WARMUPS
        for factor in (1, 2)
    ]
    rows = search.try_points(points)
    tried += rows
    better = _lowest(rows)
    if better is not None and _gain(row, better) > _error(row, better):
      said.append(
          f'A warmup over {better.point["warmup_fraction"]:.0%} of the run to'
          f' {better.learning_rate:.2g} lowers the loss from'
          f' {row.validation_loss:.4g} to {better.validation_loss:.4g}.'
      )
      row, rate = better, better.learning_rate
      warmup = better.point['warmup_fraction']
    elif rows:
      said.append('No warmup lowers the loss by more than noise.')
  if 'steps' in picks:
    base = {'warmup_fraction': warmup} if warmup else {}
    lengths = [(steps, row)]
    for share, factors in _LENGTHS:
      length = max(1, round(share * search.steps))
      rows = search.try_points([
          {'learning_rate': factor * rate, 'steps': length, **base}
          for factor in factors
      ])
      tried += rows
      if (better := _lowest(rows)) is not None:
        lengths.append((length, better))
    least = min(lengths, key=lambda pair: pair[1].validation_loss)[1]
    fits = [
        pair for pair in lengths if _gain(pair[1], least) <= _error(pair[1], least)
    ]
    if len(lengths) > 1:
      chosen, row = min(fits, key=lambda pair: pair[0])
      compared = ', '.join(
          f'{one.validation_loss:.4g} after {length}' for length, one in sorted(
              lengths, key=lambda pair: pair[0]
          )
      )
      said.append(
          f'{chosen} steps at a peak of {row.learning_rate:.2g} are the fewest'
          f' within noise of the best length: {compared}.'
      )
      steps = chosen
  return Picked(row, steps, warmup, tuple(tried), tuple(said))


def _lowest(rows: Sequence[_objective.Row]) -> _objective.Row | None:
  """The one of the lowest loss, the smaller rate of equals."""
  trained = [row for row in rows if np.isfinite(row.validation_loss)]
  least = lambda row: (row.validation_loss, row.learning_rate)
  return min(trained, key=least) if trained else None


def _gain(row: _objective.Row, other: _objective.Row) -> float:
  """By how much the other's mean loss is lower."""
  return row.validation_loss - other.validation_loss


def _error(row: _objective.Row, other: _objective.Row) -> float:
  """Standard error of that, from the differences of each seed; 0 for one seed."""
  differences = np.asarray([
      a.validation_loss - b.validation_loss for a, b in zip(row.trials, other.trials)
  ])
  if len(differences) < 2:
    return 0.0
  return float(differences.std(ddof=1) / np.sqrt(len(differences)))


def in_words(picked: Picked, found: Any) -> str:
  """What to use, when it is not what was found before."""
  warmup = f', a warmup over the first {picked.warmup_fraction:.0%}'
  return (
      f'Use {picked.row.learning_rate:.2g} with {found.optimizer} for {found.task}'
      f' over {picked.steps} steps{warmup if picked.warmup_fraction else ""}:'
      f' validation loss {picked.row.validation_loss:.4g}.'
  )


def beside(best: Any, other: Any) -> str:
  """How one `Found` compares with another, in plain words."""
  if not np.isfinite(other.learning_rate):
    return f'{other.optimizer} found no rate.'
  first, second = (_chosen(found) for found in (best, other))
  difference, error = _gain(second, first), _error(second, first)
  said = (
      f'{other.optimizer} reaches {other.validation_loss:.4g} at'
      f' {other.learning_rate:.2g}'
      + ('' if other.steps == best.steps else f' after {other.steps} steps')
  )
  if len(best.seeds) < 2:
    return f'{said}; one seed does not tell whether they differ.'
  if difference <= 2 * error:
    return f'{said}: noise (±{2 * error:.2g}) hides which is better.'
  return f'{said}, {difference:.2g} more, beyond noise (±{2 * error:.2g}).'


def _chosen(found: Any) -> _objective.Row:
  """The row that a `Found` recommends."""
  return next(
      row
      for row in (*found.picked, *found.rows)
      if row.validation_loss == found.validation_loss
      and row.learning_rate == found.learning_rate
  )
