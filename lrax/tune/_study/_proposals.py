"""What a study tries next: a function of the trial's number and what is known.

Every trial has its own seed, so that a worker that is started again proposes
what it would have proposed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
import warnings

import numpy as np

from lrax import _checks
from lrax.tune import _dimension
from lrax.tune import _objective
from lrax.tune import _space
from lrax.tune._methods import _sobol

SAMPLERS = ('tpe', 'random', 'qmc')


def distributions(space: _space.Space) -> dict[str, Any]:
  """The dimensions as Optuna's."""
  from optuna import distributions as optunas

  def of(dimension: _dimension.Dimension) -> Any:
    if isinstance(dimension, _dimension.Choice):
      return optunas.CategoricalDistribution(dimension.options)
    low, high = dimension.low, dimension.high
    if isinstance(dimension, _dimension.Integer):
      return optunas.IntDistribution(low, high, log=dimension.log)
    log = isinstance(dimension, _dimension.LogUniform)
    return optunas.FloatDistribution(low, high, log=log)

  return {name: of(dimension) for name, dimension in space.items()}


class Proposals:
  """The points of a space that a sampler proposes."""

  def __init__(self, space: _space.Space, sampler: Any, seed: int, owner: str):
    """Takes the sampler's name, the sampler, or a function of a seed that makes it.

    Raises:
      TypeError: it is none of them.
      ValueError: there is no sampler of that name.
    """
    from optuna import samplers

    self.space, self._seed, self._owner = space, seed, owner
    self.distributions = distributions(space)
    self._make: Callable[[int], Any] | None = None
    if isinstance(sampler, samplers.BaseSampler):
      self.name, self._make = type(sampler).__name__, lambda seed: sampler
    elif callable(sampler):
      self.name, self._make = getattr(sampler, '__name__', 'sampler'), sampler
    else:
      self.name = _checks.choice(*SAMPLERS)(owner, 'sampler', sampler)
      if sampler == 'tpe':
        self._make = _tpe

  def point(self, study: Any, trial: Any) -> _objective.Point:
    """What to try in a trial that has begun.

    Nothing of the trial itself counts but its number.
    """
    if self._make is None:
      found = self._by_number(trial.number)
    else:
      study.sampler = self._make(self._seed_of(trial.number))
      found = self._sampled(study, trial)
    return {n: d.check(self._owner, n, found[n]) for n, d in self.space.items()}

  def _by_number(self, number: int) -> _objective.Point:
    """By chance, or a place of a sequence: whatever the other trials are."""
    if self.name == 'qmc':
      places = _sobol.places(number + 1, len(self.space), self._seed)[number]
    else:
      places = np.random.default_rng([self._seed, number]).uniform(size=len(self.space))
    return {
        name: self.space[name].from_unit(float(place))
        for name, place in zip(sorted(self.space), places)
    }

  def _sampled(self, study: Any, trial: Any) -> dict[str, Any]:
    """As `optuna.trial.Trial` does, but all before anything is written down."""
    sampler = study.sampler
    sampler.before_trial(study, trial)
    together = sampler.infer_relative_search_space(study, trial)
    found = dict(sampler.sample_relative(study, trial, together))
    for name in sorted(self.space):
      if self.space[name].count == 1:
        found[name] = self.space[name].low
      elif name not in found:
        found[name] = sampler.sample_independent(
            study, trial, name, self.distributions[name]
        )
    return found

  def _seed_of(self, number: int) -> int:
    return int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])


def _tpe(seed: int) -> Any:
  """Names together, and running trials taken for bad ones."""
  import optuna

  with warnings.catch_warnings():
    warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
