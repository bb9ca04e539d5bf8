"""What speaks against a derivative through training, in words."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lrax.tune import _reliability
from lrax.tune import _unrolled

_LEVEL = 10  # losses that tell where a curve begins and ends


class Caution(NamedTuple):
  """One reason to doubt a derivative through training.

  The kinds:

    'loss not finite'        a loss was infinite or NaN
    'derivative not finite'  a derivative was, where every loss was finite
    'diverged'               the training loss rose above its start, beyond noise
    'explodes'               on the way a training loss moved, per factor of e, by
                             more than its scale: training is chaotic there
    'no fall'                the training loss did not fall
    'clipped'                a seed's derivative was cut
    'sign open'              seeds disagree on a sign, or are within their noise
    'one seed'               the noise is not known
    'rounded'                the optimizer rounds what it keeps
    'short horizon'          the run is shorter than the task's

  Attributes:
    kind: one of these.
    text: the same in a sentence.
  """

  kind: str
  text: str

  def __str__(self) -> str:
    return self.text


def of_training(
    runs: Sequence[_unrolled.Derivative], names: Sequence[str], seeds: Sequence[int]
) -> Iterator[Caution]:
  """What was wrong on the way, the gravest first."""
  yield from _not_finite(runs, seeds)
  sound = [(run, seed) for run, seed in zip(runs, seeds) if _reliability.finite(run)]
  gone = [seed for run, seed in sound if run.diverged]
  if gone:
    yield Caution('diverged', (
        f'The training loss rose above its start with {_of(gone, seeds)}: lower'
        ' the rate.'
    ))
  worst = max(runs, key=_reliability.explosion)
  by = _reliability.explosion(worst)
  if by > 1:
    slopes = np.nan_to_num(np.abs(worst.slopes), posinf=0.0)
    which, step = divmod(int(np.argmax(slopes)), slopes.shape[1])
    yield Caution('explodes', (
        f'Derivatives explode: at step {step} a factor of e in {names[which]} moves'
        f' the training loss by {by:.2g} times its scale. Above the best rate their'
        ' sign is a matter of chance: lower the rate.'
    ))
  flat = [seed for run, seed in sound if not _fell(run)]
  if flat:
    yield Caution('no fall', (
        f'The training loss did not fall with {_of(flat, seeds)}: the rate is far'
        ' too high or far too low.'
    ))


def cautions(
    runs: Sequence[_unrolled.Derivative],
    mean: _reliability.Mean,
    names: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    task_steps: int,
    rounded: Sequence[str],
) -> Iterator[Caution]:
  """Every reason to doubt, the gravest first."""
  yield from of_training(runs, names, seeds)
  if mean.clipped:
    yield Caution('clipped', 'A derivative was clipped: its size says nothing.')
  if len(runs) == 1:
    yield Caution('one seed', 'With one seed the noise is not known: pass more.')
  known = np.isfinite(mean.gradient)
  unsure = [n for n, k, s in zip(names, known, _reliability.settled(mean)) if k > s]
  if unsure:
    yield Caution('sign open', (
        f"The sign is open for {', '.join(unsure)}: the seeds disagree, or their mean"
        ' is within twice its standard error.'
    ))
  if rounded:
    yield Caution('rounded', (
        f"The optimizer or the parameters are kept in {', '.join(rounded)}:"
        ' derivatives do not see the rounding.'
    ))
  if steps < task_steps:
    yield Caution('short horizon', (
        f"These are {steps} of the task's {task_steps} steps: short runs tend to"
        ' favour rates that are too small for the whole.'
    ))


def _not_finite(
    runs: Sequence[_unrolled.Derivative], seeds: Sequence[int]
) -> Iterator[Caution]:
  lost = [seed for run, seed in zip(runs, seeds) if not _reliability.finite(run)]
  if lost:
    first = min(_first(run.losses) for run in runs)
    where = f'from step {first} on' if first < len(runs[0].losses) else 'to validate'
    yield Caution('loss not finite', (
        f'The loss was not finite {where} with {_of(lost, seeds)}: lower the rate,'
        ' or check the loss.'
    ))
  bad = [
      run for run in runs
      if _reliability.finite(run)
      and not (np.isfinite(run.gradient).all() and np.isfinite(run.slopes).all())
  ]
  if not bad:
    return
  first = min(_first(run.slopes) for run in bad)
  where = f'from step {first} on' if first < len(bad[0].losses) else 'at the end'
  if any(_reliability.explosion(run) > 1 for run in bad):
    cause = 'it grew until it overflowed'
  else:
    cause = (
        'some operation has none, such as the root of an average that is 0 or the'
        ' norm of zeros. Adam and its kin need eps_root > 0, Adagrad an'
        ' initial_accumulator_value > 0, for example 1e-30; else look for one in the'
        ' optimizer and in the loss'
    )
  yield Caution('derivative not finite', (
      f'Every loss is finite, but the derivative is not {where}: {cause}.'
  ))


def _first(values: np.ndarray) -> int:
  """The first step at which they are not finite; their number if there is none."""
  good = np.isfinite(values.reshape(-1, values.shape[-1])).all(0)
  return values.shape[-1] if good.all() else int(np.argmin(good))


def _fell(run: _unrolled.Derivative) -> bool:
  level = min(_LEVEL, len(run.losses) // 2)
  return level == 0 or run.losses[-level:].mean() < run.losses[:level].mean()


def _of(some: Sequence[int], seeds: Sequence[int]) -> str:
  """Which seeds it was."""
  if len(some) == len(seeds):
    return 'every seed' if len(seeds) > 1 else f'seed {some[0]}'
  return f"seed{'s' * (len(some) > 1)} {', '.join(map(str, some))}"
