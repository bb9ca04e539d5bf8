"""What is measured in a log: differences and shares, whatever the loss's unit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lrax.diagnose import _curve
from lrax.diagnose import _decay
from lrax.diagnose import _log

_TINY = 1e-300


class Gap(NamedTuple):
  """The rows at the end of a log in which a column stops."""

  rows: int  # since the last finite number
  usual: int  # the longest such gap before it
  written: bool  # whether one of them was written, as NaN or infinite
  infinite: bool  # whether one of them is infinite
  share: float  # of the rows before that have no finite number


class Training(NamedTuple):
  """What the training losses say; lengths in parts of the run's way."""

  count: int
  fall: float  # of the smoothed curve, from the start to the lowest
  surely: float  # that over the standard error of the two levels
  time: float  # of the exponential that fits best
  sure: float  # its fall over its standard error
  swing: float  # standard deviation in the second half, over the fall
  wander: float  # of means of its eighths beyond what noise gives, over the level
  wander_sure: float  # of those means, over what noise gives
  follows: float  # correlation of a loss with the one before, in the second half
  rise: float  # end less lowest, over the fall
  rise_sure: float  # that over its standard error
  before: float  # the largest rise before the lowest, over the fall
  end_over: float  # end less start, over the fall or the noise, the larger
  times_first: float  # mean of the last quarter over the first losses; NaN where a
  # loss is negative
  burst: float  # the largest mean of a fortieth over the first losses; likewise
  lucky: float  # those first losses over the very first; likewise
  tail: float  # mean of the second half over its median; likewise
  jump: float  # last losses over all before, in their spread
  most: float  # the largest loss but for the last three
  level: float  # the median of the second half, but for the last three
  spike: float  # the last loss over the level of the second half, in its spread
  spike_before: float  # the same of the loss before it
  curve: _curve.Curve


class Rate(NamedTuple):
  """What the rate does."""

  peak: float  # NaN where none was logged
  last: float  # the last one over the peak
  way: np.ndarray  # (rows,): the sum of rates so far, from 0 to 1; or of rows


def gap(values: np.ndarray, missing: np.ndarray) -> Gap:
  """Where a column stops, and how regularly it was written before."""
  finite = np.isfinite(values)
  rows = np.flatnonzero(finite)
  if not len(rows):
    written, infinite = bool((~missing).any()), bool(np.isinf(values).any())
    return Gap(len(values), 0, written, infinite, 1.0)
  last = int(rows[-1])
  usual = int(np.diff(rows).max(initial=1)) - 1
  usual = max(usual, int(rows[0]))
  share = 1 - len(rows) / (last + 1)
  tail = slice(last + 1, None)
  written, infinite = (~missing[tail]).any(), np.isinf(values[tail]).any()
  return Gap(len(values) - 1 - last, usual, bool(written), bool(infinite), share)


def rate(log: _log.Log) -> Rate:
  """The way of a run: how much of the rate was spent up to each row."""
  rates = log.learning_rate
  known = np.isfinite(rates)
  rows = np.linspace(0, 1, max(len(log), 2))[: len(log)]
  if not known.any() or rates[known].max() <= 0:
    return Rate(np.nan, np.nan, rows)
  spent = np.interp(np.arange(len(log)), np.flatnonzero(known), rates[known])
  peak = float(rates[known].max())
  total = np.cumsum(spent / peak)
  if total[-1] > total[0]:
    rows = (total - total[0]) / (total[-1] - total[0])
  return Rate(peak, float(rates[known][-1] / peak), rows)


def training(log: _log.Log, way: np.ndarray) -> Training | None:
  """The signs of the training loss; None for fewer than four losses."""
  finite = np.isfinite(log.loss)
  count = int(finite.sum())
  if count < 4:
    return None
  curve = _curve.curve(log.step[finite], log.loss[finite])
  value, half = curve.value, curve.value[count // 2 :]
  fall = max(curve.fall, _TINY)
  wide = max(3, count // 20)
  error = 1.2533 * curve.noise  # of a median of n points it is this / sqrt(n)
  at = way[finite]
  at = (at - at[0]) / max(at[-1] - at[0], _TINY)
  smooth = np.interp(np.arange(count), curve.at, curve.smooth)
  fit = _decay.decay(at, value, smooth)
  rise = curve.end - curve.low
  low = int(np.searchsorted(curve.at, curve.low_at))
  before = curve.smooth[: low + 1]
  before = float((before - np.minimum.accumulate(before)).max())
  spread = max(fit.fall, fall * 0.1, _TINY)
  wander, wander_sure = _wander(half)
  first = _first(value)
  width = max(1, count // 40)
  sums = np.concatenate([[0.0], np.cumsum(value)])
  means = (sums[width:] - sums[:-width]) / width
  return Training(
      count=count,
      fall=curve.fall,
      surely=over(fall, error * np.sqrt(1 / wide + 1 / max(3, count // 10))),
      time=fit.time,
      sure=fit.sure,
      swing=float(half.std()) / spread,
      wander=over(wander, float(half.mean()) if value.min() >= 0 else spread),
      wander_sure=wander_sure,
      follows=_follows(half),
      rise=rise / fall,
      rise_sure=over(rise, error * np.sqrt(2 / wide)),
      before=before / fall,
      end_over=over(curve.end - curve.first, max(curve.fall, 3 * _quiet(value))),
      times_first=over(float(value[-max(3, count // 4) :].mean()), first),
      burst=over(float(means.max()), first),
      lucky=over(first, float(value[0])),
      tail=over(float(half.mean()), float(np.median(half)) + 0 * first),
      jump=_jump(value),
      most=float(value[: max(1, count - 3)].max()),
      level=float(np.median(value[count // 2 : max(count - 3, count // 2 + 1)])),
      spike=_spike(value, -1),
      spike_before=_spike(value, -2),
      curve=curve,
  )


def _wander(half: np.ndarray) -> tuple[float, float]:
  """How far the level moves about a line, beyond what noise gives its means."""
  if len(half) < 6:
    return 0.0, 0.0
  pieces = np.array_split(half, max(3, min(8, len(half) // 3)))
  means = np.array([piece.mean() for piece in pieces])
  left = _curve.about_line(means)
  moved = float(np.sqrt((left**2).sum() / max(len(means) - 2, 1)))
  within = float(np.sqrt(np.mean([piece.var() for piece in pieces])))
  noise = within / np.sqrt(max(len(pieces[0]) - 1, 1))
  # A level that only rises, or only falls, does not go up and down.
  moves = np.diff(means)
  back = float(np.abs(moves).sum() - abs(moves.sum())) / len(moves)
  return min(back, float(np.sqrt(max(moved**2 - noise**2, 0.0)))), over(moved, noise)


def _follows(half: np.ndarray) -> float:
  """The correlation of neighbours about a line: near 1 for slow swings, -1 for fast.
  """
  if len(half) < 6 or np.ptp(half) == 0:
    return 0.0
  left = _curve.about_line(half)
  square = float(left @ left)
  return float(left[1:] @ left[:-1]) / square if square > 0 else 0.0


def _quiet(value: np.ndarray) -> float:
  """The noise of a point where the curve is the least noisy of its halves."""
  half = len(value) // 2
  return min(_curve.deviation(value[:half]), _curve.deviation(value[half:]))


def _first(value: np.ndarray) -> float:
  """The first losses, by which all others are measured; NaN for negative ones.

  One batch is no level, and a run that breaks out has no second: the median of the
  first three counts, as long as it is within four times the first.
  """
  if value.min() < 0 or value[0] == 0:
    return np.nan
  few = float(np.median(value[: max(3, len(value) // 100)]))
  return max(float(value[0]), min(few, 4 * float(value[0])))


def _jump(value: np.ndarray) -> float:
  """How far the last losses are above all before, in the spread of those.

  What is judged must not enter what it is judged by: up to three of the last
  losses, in turn, are left out of the rest.
  """
  found = -np.inf
  for tail in (1, 2, 3):
    rest, last = value[:-tail], value[-tail:]
    if len(rest) < 4:
      break
    most = float(rest.max())
    middle = float(np.median(rest[len(rest) // 2 :]))
    far = np.quantile(np.abs(rest[len(rest) // 2 :] - middle), 0.98)
    above = float(last[-1] - max(most, rest[0]))
    found = max(found, over(above, max(float(far), 0.02 * (most - middle))))
  return found


def _spike(value: np.ndarray, which: int) -> float:
  """How far a last loss is above the level of the second half, in its spread."""
  rest = value[len(value) // 2 : -3]
  if len(rest) < 4:
    return 0.0
  middle = float(np.median(rest))
  far = float(np.quantile(np.abs(rest - middle), 0.98))
  return over(float(value[which]) - middle, max(far, 0.02 * float(np.ptp(value[:-3]))))


def over(value: float, error: float) -> float:
  """A quotient that is large, and not infinite, where nothing is below."""
  return float(value / max(error, 1e-6 * abs(value), _TINY))
