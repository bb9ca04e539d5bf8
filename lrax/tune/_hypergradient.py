"""The derivative of the validation loss with respect to the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from lrax import _checks
from lrax import tasks
from lrax.tune import _cautions
from lrax.tune import _coordinates
from lrax.tune import _optimizer
from lrax.tune import _plain
from lrax.tune import _policies
from lrax.tune import _range_test
from lrax.tune import _reliability
from lrax.tune import _unrolled


@dataclasses.dataclass(frozen=True, eq=False)
class Hypergradient:
  """How the validation loss after a run moves with hyperparameters.

  Attributes:
    task: the task's name.
    optimizer: the optimizer, as text.
    schedule: what the rate is the peak of, as text.
    at: the hyperparameters, by name.
    steps: updates of each run.
    seeds: the seeds.
    validation_loss: its mean over the seeds; NaN where one diverged to NaN.
    coordinates: by name, what the derivative is with respect to:
      'log(learning_rate)', but 'log(1 - b2)'.
    gradient: by name, the mean over the seeds, each clipped; NaN where one is.
    spread: by name, their standard deviation; NaN for one seed.
    agreement: by name, the share of the seeds that have the mean's sign.
    by_seed: by name, (seeds,), before clipping.
    clipped: whether any was clipped.
    directions: by name, 1 where raising the hyperparameter itself lowers the
      loss, -1 where lowering it does, and 0 where the derivative does not tell.
    losses: (seeds, steps), the training loss before each update.
    slopes: by name, (seeds, steps), the derivatives of these.
    warnings: each reason to doubt, a `Caution`, the gravest first.
    verdict: all this in plain words.
  """

  task: str
  optimizer: str
  schedule: str
  at: Mapping[str, float]
  steps: int
  seeds: tuple[int, ...]
  validation_loss: float
  coordinates: Mapping[str, str]
  gradient: Mapping[str, float]
  spread: Mapping[str, float]
  agreement: Mapping[str, float]
  by_seed: Mapping[str, np.ndarray]
  clipped: bool
  directions: Mapping[str, int]
  losses: np.ndarray
  slopes: Mapping[str, np.ndarray]
  warnings: tuple[_cautions.Caution, ...]
  verdict: str

  def __str__(self) -> str:
    return self.verdict

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; NaN as None, so that it is valid JSON."""
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    fields['warnings'] = [caution._asdict() for caution in self.warnings]
    return {name: _plain.plain(value) for name, value in fields.items()}


def hypergradient(
    task: tasks.Task,
    at: Mapping[str, float],
    *,
    optimizer: Any = 'adamw',
    schedule: Any = 'cosine',
    steps: int = 200,
    seeds: Sequence[int] | int = 3,
    clip: float | None = 1.0,
    on_seed: Callable[[int, int], None] | None = None,
) -> Hypergradient:
  """Differentiates the validation loss through a whole training run.

  The derivatives are carried forwards with the run, one more of each of its
  numbers for each hyperparameter, so memory does not grow with the steps. A run
  with one hyperparameter takes about one and a half times as long as without.

  The derivative is exact, and yet may mislead. Below the best rate its sign is
  right. Above it training is chaotic, derivatives grow from step to step, and the
  sign is a matter of chance: then seeds disagree, derivatives explode, and
  `warnings` says so. And a run that is shorter than the one you mean tends to
  favour too small a rate.

  Formula:
    gradient = mean over seeds of clipped(d validation_loss / d log(value))
    clipped to +-clip * max(|first loss|, first loss - lowest loss), of training

    For an average's share, b1, b2, b3, beta, decay, momentum or rho, it is
    d validation_loss / d log(1 - value): a factor in 1 / (1 - value), over which
    the average reaches back. That of log(value) is -value / (1 - value) times it.

  Args:
    task: what to train.
    at: hyperparameters by name, at which to differentiate: 'learning_rate', the
      peak of the schedule, and any number that the optimizer, or the function
      `schedule`, takes. Numbers > 0; an average's share is in [0, 1).
    optimizer: a function of the rate that returns an optimizer, such as
      `lrax.adamw`, or a text such as 'sgd(momentum=0.9)'. Where it takes an
      `eps_root` that is 0 and `at` has none, it is given 1e-30, since a root has
      no derivative at 0, where gradients that are always 0 lead. Beside an eps of
      1e-8 no update in float32 changes by that.
    schedule: what the rate is the peak of, over `steps`: 'cosine', 'linear',
      'constant', or a function (rate, steps) -> `lrax.Schedule`.
    steps: updates of each run, a whole number >= 1.
    seeds: the seeds to average over, or how many.
    clip: where to clip a seed's derivative, > 0, in the unit of the formula: no
      loss that falls exponentially moves by more than 0.37. None for nowhere.
    on_seed: called with (seeds done, seeds) after each.

  Returns:
    A `Hypergradient`. A loss or a derivative that is not finite is in it as NaN,
    with a warning that says why.

  Raises:
    TypeError: an argument is of the wrong kind, or the run is no smooth function
      of a hyperparameter, such as a number of steps.
    ValueError: an argument is out of range, `at` has no 'learning_rate', or one
      that nothing takes.

  Source:
    Franceschi et al., "Forward and Reverse Gradient-Based Hyperparameter
    Optimization", 2017, section 3.2. Explosion: Metz et al., "Understanding and
    correcting pathologies in the training of learned optimizers", 2019. Short
    runs: Wu et al., "Understanding Short-Horizon Bias in Stochastic
    Meta-Optimization", 2018.

  Example:
    >>> import lrax
    >>> slope = lrax.tune.hypergradient(
    ...     lrax.tasks.digits(), {'learning_rate': 0.1}, optimizer='sgd', steps=50)
    >>> slope.directions
    {'learning_rate': 1}
    >>> slope.warnings[0].kind
    'short horizon'
  """
  owner = 'hypergradient'
  if not isinstance(task, tasks.Task):
    raise _checks.refuse(
        owner, 'task', 'a lrax.tasks.Task', task,
        'build one, or take lrax.tasks.load("digits")', TypeError,
    )
  steps = int(_checks.positive_steps(owner, 'steps', steps))
  numbers = _range_test.as_seeds(seeds, owner)
  clip = _checks.optional(_checks.positive)(owner, 'clip', clip)
  point = _coordinates.Point(
      at, _optimizer.as_optimizer(optimizer, owner),
      _policies.as_shape(schedule, owner), steps, owner,
  )
  names, where = tuple(point.values), point.where
  unrolled = _unrolled.Unrolled(task, point.optimizer, steps, point.table)
  runs = []
  for seed in numbers:
    runs.append(unrolled.run(where, seed))
    if on_seed is not None:
      on_seed(len(runs), len(numbers))
  mean = _reliability.average(runs, clip)
  warnings = tuple(_cautions.cautions(
      runs, mean, names, numbers, steps, task.steps, unrolled.rounded(where)
  ))
  named = lambda array: dict(zip(names, array))
  result = Hypergradient(
      task=task.name,
      optimizer=_optimizer.name_of(optimizer),
      schedule=_policies.name_of(schedule),
      at=point.values,
      steps=steps,
      seeds=numbers,
      validation_loss=float(np.mean([run.validation_loss for run in runs])),
      coordinates={name: _coordinates.text(name) for name in names},
      gradient=named(mean.gradient.tolist()),
      spread=named(mean.spread.tolist()),
      agreement=named(mean.agreement.tolist()),
      by_seed=named(mean.by_seed),
      clipped=mean.clipped,
      directions=_directions(names, mean, _reliability.trusted(runs)),
      losses=np.stack([run.losses for run in runs]),
      slopes=named(np.stack([run.slopes for run in runs], 1)),
      warnings=warnings,
      verdict='',
  )
  return dataclasses.replace(result, verdict=_verdict(result))


def _directions(
    names: Sequence[str], mean: _reliability.Mean, trusted: bool
) -> dict[str, int]:
  settled = _reliability.settled(mean) & trusted
  sign = np.where(settled, -np.sign(np.nan_to_num(mean.gradient)), 0).astype(int)
  return {n: int(s * _coordinates.way(n)) for n, s in zip(names, sign)}


def _verdict(result: Hypergradient) -> str:
  point = ', '.join(f'{name} {value:.4g}' for name, value in result.at.items())
  said = [
      f'At {point} ({result.schedule}, {result.steps} steps of {result.optimizer} on'
      f' {result.task}) the validation loss is {result.validation_loss:.4g}, mean of'
      f" {len(result.seeds)} seed{'s' * (len(result.seeds) != 1)}."
  ]
  for name, way in result.directions.items():
    if way:
      spread = result.spread[name]
      spread = f' (+-{spread:.2g} between seeds)' if np.isfinite(spread) else ''
      inside = result.coordinates[name][4:-1]
      said.append(
          f"{'Raise' if way > 0 else 'Lower'} {name}: the loss moves by"
          f' {result.gradient[name]:+.2g}{spread} per factor of e in {inside}.'
      )
  if not any(result.directions.values()):
    said.append('The derivatives tell no direction.')
  return ' '.join(said + [caution.text for caution in result.warnings])
