"""The table of the best points of a search or a study."""

from __future__ import annotations

from collections.abc import Iterator

from lrax import tune

_MOST = 12  # rows that a screen shows; the CSV has them all


def title(found: tune.Searched) -> str:
  """What the table is of."""
  count, most = len(found.rows), _MOST
  shown = f': the best {most} of {count} points' if count > most else ''
  optimizer = '' if 'optimizer' in found.space else f', {found.optimizer}'
  return f'{found.task}{optimizer}{shown}'


def columns(found: tune.Searched) -> list[str]:
  """The names of the columns."""
  return [*found.space, 'validation loss', 'spread', '']


def rows(found: tune.Searched) -> Iterator[tuple[list[str], bool]]:
  """The best points, whole runs first; and which is the best of all."""
  several = len(found.seeds) > 1
  for row in sorted(found.rows, key=_rank)[:_MOST]:
    values = [row.point[name] for name in found.space]
    spread = '-' if row.diverged else f'{row.spread:.2g}'
    yield [
        *(f'{v:.3g}' if isinstance(v, float) else str(v) for v in values),
        '-' if row.diverged else f'{row.validation_loss:.4g}',
        spread if several else '',
        _note(row),
    ], row.point == found.best


def _rank(row: tune.Row) -> tuple[bool, bool, float]:
  stopped = any(trial.status == 'stopped early' for trial in row.trials)
  return row.diverged > 0, stopped, 0.0 if row.diverged else row.validation_loss


def _note(row: tune.Row) -> str:
  if row.diverged:
    return f'{row.diverged} of {len(row.trials)} diverged'
  steps = [len(t.losses) for t in row.trials if t.status == 'stopped early']
  return f'stopped early, at step {max(steps)}' if steps else ''
