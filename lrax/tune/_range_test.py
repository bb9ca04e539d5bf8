"""The learning-rate range test: one short run over rising rates."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from lrax import _checks
from lrax import tasks
from lrax.tune import _curves
from lrax.tune import _engine
from lrax.tune import _objective
from lrax.tune import _plain

RULES = ('minimum/10', 'steepest', 'valley')


@dataclasses.dataclass(frozen=True, eq=False)
class RangeTest:
  """What a range test saw. Curves end where a run diverged, with NaN after.

  Attributes:
    task: the task's name.
    learning_rates: (steps,), the ramp.
    losses: (seeds, steps), the training loss before each update.
    smoothed: (seeds, steps), the same smoothed without lag.
    mean: (steps,), the seeds' mean of `smoothed`, as far as all of them came.
    spread: (steps,), their standard deviation; 0 for one seed.
    seeds: the seeds.
    rule: the rule of `learning_rate`.
    learning_rate: the suggestion, the geometric mean of the seeds'; NaN where
      no seed's loss fell by more than its noise.
    suggestions: (seeds,), each seed's.
    largest_stable: the largest rate up to which no seed's loss had risen from
      its lowest by more than its noise; NaN where `learning_rate` is.
    diverged_at: (seeds,), the rate at which each run diverged, NaN if none did.
    verdict: the same in plain words.
  """

  task: str
  learning_rates: np.ndarray
  losses: np.ndarray
  smoothed: np.ndarray
  mean: np.ndarray
  spread: np.ndarray
  seeds: tuple[int, ...]
  rule: str
  learning_rate: float
  suggestions: np.ndarray
  largest_stable: float
  diverged_at: np.ndarray
  verdict: str

  def suggest(self, rule: str) -> float:
    """The suggestion of another rule, from the same curves."""
    rule = _checks.choice(*RULES)('suggest', 'rule', rule)
    fell = np.isfinite(self.suggestions)
    return _together(_suggestions(self.learning_rates, self.smoothed[fell], rule))

  def plot(self, ax: Any = None) -> Any:
    """Draws the curves; see `lrax.plot.range_test`. Needs matplotlib."""
    from lrax import plot

    return plot.range_test(self, ax)

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; NaN as None, so that it is valid JSON."""
    return {
        field.name: _plain.plain(getattr(self, field.name))
        for field in dataclasses.fields(self)
    }


def range_test(
    task: tasks.Task,
    optimizer: Any = 'adamw',
    *,
    min_value: float = 1e-7,
    max_value: float = 10.0,
    steps: int = 100,
    seeds: Sequence[int] | int = 2,
    rule: str = 'minimum/10',
    smoothing: float = 0.6,
    on_seed: Callable[[int, int], None] | None = None,
) -> RangeTest:
  """Trains while the rate rises geometrically, and reads off the curve.

  Pure: it trains parameters of its own from each seed; yours are not touched.
  The ramp is one compiled program for any rates and seeds. A run stops where
  it diverges: where its loss is not finite, or its running average has risen
  above the mean of its first ten losses by more than it had gained and by more
  than four times their noise.

  Formula:
    rate_t = min_value * (max_value / min_value) ** (t / (steps - 1))
    'minimum/10': a tenth of the rate where the smoothed loss is lowest
    'steepest': the rate where it falls fastest per factor of the rate
    'valley': a point halfway down the longest fall of the smoothed loss

  Args:
    task: what to train.
    optimizer: a function of the rate that returns an optimizer, such as
      `lrax.adamw`, or a text such as 'sgd(momentum=0.9)'.
    min_value: the first rate, > 0; so small that nothing happens.
    max_value: the last rate, > min_value; so large that training diverges.
    steps: updates of the ramp, a whole number >= 10.
    seeds: the seeds to average over, or how many.
    rule: 'minimum/10', 'steepest' or 'valley'.
    smoothing: share kept by the running average, in [0, 1); it is run forwards
      and backwards, so that it does not lag.
    on_seed: called with (seeds done, seeds) after each.

  Returns:
    A `RangeTest`.

  Raises:
    TypeError: an argument is of the wrong kind, or the task's loss is no
      scalar.
    ValueError: an argument is out of range.

  Source:
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017,
    section 3.3; the rules are those of fastai's `lr_find`, where 'valley'
    takes the longest falling subsequence and a point halfway along it. A
    suggestion is a place to look, not an answer: `lrax.tune.find` verifies it.

  Example:
    >>> import lrax
    >>> test = lrax.tune.range_test(lrax.tasks.digits(), 'adamw', seeds=1)
    >>> 1e-3 < test.learning_rate < 1e-2
    True
  """
  owner = 'range_test'
  min_value = _checks.positive(owner, 'min_value', min_value)
  max_value = _checks.positive(owner, 'max_value', max_value)
  if not min_value < max_value:
    raise _checks.refuse(
        owner, 'max_value', f'above `min_value`, {min_value}', max_value,
        'the rate rises during the test',
    )
  steps = _checks.number(
      'a whole number >= 10', lambda x: x >= 10, 'a curve needs points', whole=True
  )(owner, 'steps', steps)
  rule = _checks.choice(*RULES)(owner, 'rule', rule)
  smoothing = _checks.decay(owner, 'smoothing', smoothing)
  objective = _objective.Objective(
      task, optimizer, 'constant', steps, as_seeds(seeds, owner), owner,
      validates=False,
  )
  return run(
      objective.engine, min_value, max_value, steps, objective.seeds, rule, smoothing,
      on_seed,
  )


def run(
    engine: _engine.Engine,
    min_value: float,
    max_value: float,
    steps: int,
    seeds: tuple[int, ...],
    rule: str = 'minimum/10',
    smoothing: float = 0.6,
    on_seed: Callable[[int, int], None] | None = None,
) -> RangeTest:
  """The range test of an engine, which may be compiled already."""
  ramp = min_value * (max_value / min_value) ** (np.arange(steps) / (steps - 1))
  done = []

  def told(place: int, runs: _engine.Runs) -> None:
    done.append(place)
    if on_seed is not None:
      on_seed(len(done), len(seeds))

  trials = _engine.Trials(np.tile(ramp, (len(seeds), 1)), np.asarray(seeds))
  runs = engine.run(trials, told, validate=False)
  losses = runs.losses[:, :steps]
  smoothed = np.full((len(seeds), steps), np.nan)
  diverged_at = np.full(len(seeds), np.nan)
  for row, end in enumerate(runs.steps_done):
    if runs.diverged[row]:
      end -= 1  # the loss that was seen to diverge
      diverged_at[row] = ramp[end]
      losses[row, end] = np.nan
    smoothed[row, :end] = _curves.smooth(losses[row, :end], smoothing)
  shared = int(np.isfinite(smoothed).all(axis=0).sum())
  mean, spread = np.full(steps, np.nan), np.full(steps, np.nan)
  mean[:shared] = smoothed[:, :shared].mean(axis=0)
  spread[:shared] = smoothed[:, :shared].std(axis=0)
  noises = np.asarray([_noise(curve) for curve in losses])
  fell = [_fell(s, n, smoothing) for s, n in zip(smoothed, noises)]
  suggestions = np.where(fell, _suggestions(ramp, smoothed, rule), np.nan)
  suggestion = _together(suggestions)
  stable = [_last_stable(ramp, s, n) for s, n, f in zip(smoothed, noises, fell) if f]
  largest = float(min(stable)) if np.isfinite(suggestion) else np.nan
  return RangeTest(
      task=engine.task.name,
      learning_rates=ramp,
      losses=losses,
      smoothed=smoothed,
      mean=mean,
      spread=spread,
      seeds=seeds,
      rule=rule,
      learning_rate=suggestion,
      suggestions=suggestions,
      largest_stable=largest,
      diverged_at=diverged_at,
      verdict=_verdict(ramp, mean, rule, suggestion, largest, diverged_at),
  )


def as_seeds(seeds: Any, owner: str) -> tuple[int, ...]:
  """The seeds that `seeds` stands for: a count, or the seeds themselves."""
  if isinstance(seeds, (str, bytes)) or seeds is None:
    raise _checks.refuse(
        owner, 'seeds', 'a count or a list of whole numbers', seeds,
        'for example 3 or [0, 1, 2]', TypeError,
    )
  if not isinstance(seeds, Sequence) and np.ndim(seeds) == 0:
    return tuple(range(int(_checks.count(owner, 'seeds', seeds))))
  values = tuple(int(_checks.seed(owner, 'seeds', s)) for s in seeds)
  if not values or len(set(values)) < len(values):
    raise _checks.refuse(
        owner, 'seeds', 'at least one, each once', list(values), 'leave out doubles'
    )
  return values


def _noise(losses: np.ndarray) -> float:
  """The standard deviation of a batch's loss.

  From the median difference of neighbours, which neither a trend nor the leaps
  of an unstable end reach; 1.4826 makes a median absolute deviation the
  standard deviation of normal noise, and a difference has twice its variance.
  """
  steps = np.diff(losses[np.isfinite(losses)])
  return float(1.4826 * np.median(np.abs(steps)) / np.sqrt(2)) if len(steps) else 0.0


def _fell(curve: np.ndarray, noise: float, keep: float) -> bool:
  """Whether a smoothed loss fell by more than noise alone would have it.

  Smoothing forwards and backwards leaves of noise a standard deviation smaller
  by the root of the kernel's sum of squares, though at the ends, where the
  averages start, about half; the lowest of a hundred points of noise lies within
  four of it below the level.
  """
  curve = curve[np.isfinite(curve)]
  if len(curve) < 3:
    return False
  left = (1 - keep) / (1 + keep) * np.sqrt((1 + keep**2) / (1 - keep**2))
  drop = min(curve[0], curve[:5].mean()) - curve.min()
  return bool(drop > 4 * max(left, 0.5) * noise and drop > 1e-6 * abs(curve[0]))


def _last_stable(ramp: np.ndarray, curve: np.ndarray, noise: float) -> float:
  """The largest rate before the curve left its lowest point by its noise."""
  curve = curve[np.isfinite(curve)]
  if not len(curve):
    return np.nan
  lowest = int(np.argmin(curve))
  within = curve[lowest:] <= curve[lowest] + noise
  last = len(within) if within.all() else int(np.argmin(within))
  return float(ramp[lowest + last - 1])


def _suggestions(ramp: np.ndarray, smoothed: np.ndarray, rule: str) -> np.ndarray:
  return np.asarray([_suggestion(ramp, s[np.isfinite(s)], rule) for s in smoothed])


def _suggestion(ramp: np.ndarray, curve: np.ndarray, rule: str) -> float:
  """One curve's suggestion by one rule."""
  if len(curve) < 3:
    return np.nan
  lowest = int(np.argmin(curve))
  if rule == 'minimum/10':
    return float(ramp[lowest] / 10)
  if rule == 'steepest':
    slopes = np.gradient(curve, np.log(ramp[: len(curve)]))
    return float(ramp[int(np.argmin(slopes[: lowest + 1]))])
  return float(ramp[_valley(curve)])


def _valley(curve: np.ndarray) -> int:
  """A point halfway along the longest falling subsequence of the curve."""
  length = np.ones(len(curve), int)
  before = np.arange(len(curve))
  for i in range(1, len(curve)):
    higher = np.flatnonzero(curve[:i] > curve[i])
    if len(higher):
      best = higher[int(np.argmax(length[higher]))]
      length[i], before[i] = length[best] + 1, best
  chain = [int(np.argmax(length))]
  while before[chain[-1]] != chain[-1]:
    chain.append(int(before[chain[-1]]))
  return chain[len(chain) // 2]


def _together(suggestions: np.ndarray) -> float:
  """The geometric mean of the seeds' suggestions."""
  finite = suggestions[np.isfinite(suggestions)]
  return float(np.exp(np.log(finite).mean())) if len(finite) else np.nan


def _verdict(ramp, mean, rule, suggestion, largest, diverged_at) -> str:
  if not np.isfinite(suggestion):
    if np.isnan(mean[0]) and (diverged_at == ramp[0]).any():
      return (
          'The loss was not finite before any update of some seed: no suggestion.'
          ' Check the loss, the data and the initial parameters.'
      )
    if np.isfinite(diverged_at).all() and diverged_at.max() <= ramp[len(ramp) // 4]:
      return (
          f'Training diverged by {diverged_at.max():.2g}, near the start of the'
          ' ramp: lower min_value.'
      )
    return (
        'The loss never fell by more than its noise: no suggestion. Use a larger'
        ' max_value, more steps or larger batches, or check the loss.'
    )
  said = f'{rule} suggests {suggestion:.2g}; stable up to {largest:.2g}'
  gone = diverged_at[np.isfinite(diverged_at)]
  if len(gone):
    return f'{said}; diverged from {gone.min():.2g}.'
  if np.nanargmin(mean) >= len(ramp) - 2:
    return f'{said}; the loss was still falling at the end: raise max_value.'
  return f'{said}; no run diverged.'
