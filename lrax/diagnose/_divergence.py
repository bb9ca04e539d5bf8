"""The rules of divergence, and of logs that cannot be judged."""

from __future__ import annotations

import numpy as np

from lrax.diagnose._case import Case
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._words import many
from lrax.diagnose._words import percent
from lrax.diagnose._words import said

RECOVERED = 'NaN or infinite, and recovered.'
SPARSE = 0.2  # share of rows without a number, from which on NaN means nothing


def broken(found: Case) -> list[Evidence]:
  gap, log, limits = found.gap, found.log, found.limits
  regular = gap.share >= SPARSE and not log.missing.any()
  rows = gap.rows if gap.written and gap.rows > (gap.usual if regular else 0) else 0
  rows = gap.rows if gap.infinite else rows
  if not rows:
    # NaN may stand for nothing measured; no logger writes an infinity for that.
    odd = np.isinf(log.loss) | ~(regular | log.missing | np.isfinite(log.loss))
    count = int(odd.sum())
    text = f'{count} of the losses were {RECOVERED}' if count else (
        'Every loss is finite.'
    )
    return [found.sign('broken_rows', text, 0, limits.broken_rows, False)]
  first = len(log) - gap.rows
  text = f'The loss is NaN or infinite from step {found.at(first):g} on, to the end.'
  there = rows >= limits.broken_rows
  return [found.sign(
      'broken_rows', text, rows, limits.broken_rows, there, found.at(first)
  )]


def broken_validation(found: Case) -> list[Evidence]:
  gap, log = found.validation_gap, found.log
  if gap.share == 1.0 and not gap.infinite:
    return []  # there is none
  sparse = gap.share >= SPARSE and not log.validation_missing.any()
  rows = gap.rows if gap.infinite or (gap.written and not sparse) else 0
  first = found.at(len(log) - max(rows, 1))
  text = f'The validation loss is NaN or infinite from step {first:g} on.'
  if not rows:
    odd = np.isinf(log.validation_loss)
    odd |= ~(sparse | log.validation_missing | np.isfinite(log.validation_loss))
    count = int(odd.sum())
    text = (
        f'{count} of the validation losses were {RECOVERED}' if count
        else 'Every validation loss is finite.'
    )
  limit = found.limits.broken_rows
  return [found.sign('broken_rows', text, rows, limit, rows >= limit, first)]


def jump(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limit = found.loss, found.limits.jump
  text = (
      f'The last loss is {said(loss.curve.value[-1])}, where all before were at most'
      f' {said(loss.most)}.'
  )
  steps = loss.curve.step[-min(3, loss.count) :]
  return [found.sign(
      'jump', text, loss.jump, limit, loss.jump > limit and not found.swings,
      float(steps[0]),
  )]


def above_start(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limit = found.loss, found.limits.above_start
  text = (
      f'It began at {said(loss.curve.first)} and is at {said(loss.curve.end)} in the'
      ' end.'
  )
  seen = found.validation
  well = found.swings or (seen is not None and seen.times_first < 1)
  above = loss.end_over > limit and not well
  return [found.sign('above_start', text, loss.end_over, limit, above)]


def above_first(found: Case) -> list[Evidence]:
  if found.loss is None or found.validation is not None:
    return []
  loss, limit = found.loss, found.limits.times_first
  text = (
      f'The mean of the last quarter is {loss.times_first:.2g} times the first losses.'
  )
  there = loss.times_first > limit
  return [found.sign('times_first', text, loss.times_first, limit, there)]


def validation_above_first(found: Case) -> list[Evidence]:
  if found.validation is None or found.loss is None:
    return []
  seen, limits, most = found.validation, found.limits, found.loss.burst
  text = f'The validation loss ended at {seen.times_first:.2g} times its first,'
  besides = f'and the loss was at {most:.2g} times its own.'
  there = seen.times_first > limits.times_first and not found.swings
  return [
      found.sign('times_first', text, seen.times_first, limits.times_first, there),
      found.sign('burst', besides, most, limits.burst, most > limits.burst),
  ]


def bursts(found: Case) -> list[Evidence]:
  """What came back from far above the start, and is not known to be well."""
  loss, limits, seen = found.loss, found.limits, found.validation
  if loss is None:
    return []
  most, end = (seen.most, seen.times_first) if seen else (loss.burst, loss.times_first)
  text = f'It was at {most:.2g} times its first,'
  after = f'and ended at {end:.2g} times that.'
  return [
      found.sign('far', text, most, limits.far, most > limits.far),
      found.sign('far_end', after, end, limits.far_end, end > limits.far_end),
  ]


def risen(found: Case) -> list[Evidence]:
  if found.loss is None:
    return []
  loss, limits = found.loss, found.limits
  low_step = float(loss.curve.step[loss.curve.low_at])
  text = (
      f'The loss rose from {said(loss.curve.low)} at step {low_step:g} to'
      f' {said(loss.curve.end)} in the end, {percent(loss.rise)} of what it had'
      ' fallen.'
  )
  before = min(loss.rise / max(loss.before, 1e-6), 1e6)
  sure = loss.rise_sure > limits.risen_sure and not (found.waves or found.swings)
  return [
      found.sign(
          'risen', text, loss.rise, limits.risen, loss.rise > limits.risen, low_step
      ),
      found.sign(
          'risen_before',
          f'Before that it rose by {percent(loss.before)} of it at most.', before,
          limits.risen_before, before > limits.risen_before, low_step,
      ),
      found.sign(
          'risen_sure', f'That is {loss.rise_sure:.2g} standard errors.',
          loss.rise_sure, limits.risen_sure, sure, low_step,
      ),
  ]


def breaks_out(found: Case) -> list[Evidence]:
  if found.loss is None or found.loss.count < found.limits.points:
    return []
  loss, limits = found.loss, found.limits
  last = loss.curve.value[-3:]
  text = (
      f'The last losses are {", ".join(map(said, last))}, where the level was'
      f' {said(loss.level)}.'
  )
  high = (last[-1] - loss.curve.low) / max(loss.fall, 1e-300)
  there = loss.spike > limits.spike and last[-1] > last[-2]
  there = there and loss.spike_before > 1 and not found.swings
  first = float(loss.curve.step[-3])
  return [
      found.sign('spike', text, loss.spike, limits.spike, there, first),
      found.sign(
          'risen', f'That is {percent(high)} of what it had fallen.', high,
          limits.risen, high > limits.risen and not found.waves, first,
      ),
  ]


def missing(found: Case) -> list[Evidence]:
  gap, log, limit = found.gap, found.log, found.limits.missing_rows
  if gap.share == 1.0:
    return [found.sign('points', 'There is no loss in it.', 0, limit, True)]
  rows = gap.rows if gap.rows > 2 * gap.usual else 0
  first = found.at(len(log) - max(gap.rows, 1))
  text = (
      f'No loss is written from step {first:g} on, and loggers leave out a loss that is'
      ' NaN: look whether it was.'
  )
  if rows < limit:
    text = 'The loss is written to the end.'
  return [found.sign('missing_rows', text, rows, limit, rows >= limit, first)]


def few(found: Case) -> list[Evidence]:
  count = int(np.isfinite(found.log.loss).sum())
  limit = found.limits.points
  few = count < limit
  text = f'There {many(count)}{", too few to judge by" if few else ""}.'
  return [found.sign('points', text, count, limit, few)]


def constant(found: Case) -> list[Evidence]:
  values = found.log.loss[np.isfinite(found.log.loss)]
  if len(values) == 0 or np.ptp(values) > 0:
    return []
  text = f'The loss is {said(values[0])} in every row: it may not be the loss.'
  return [found.sign('points', text, 1, 1, True)]
