"""The bound on the last iterate that convex optimization gives for a schedule."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _types
from lrax.stability import _schedule_rates

_PAGE = 64  # stopping times that a compiled program looks at together


class LastIterateBound(NamedTuple):
  """The bound for a schedule, and the factor of the schedule that makes it least.

  Every field is a scalar, or (stops,) where `stops` were given.
  """

  distance_term: Any  # loss: what the start's distance adds, for the rates as given
  noise_term: Any  # loss: what the gradients add, for the rates as given
  bound: Any  # loss: their sum
  best_factor: Any  # what to multiply the schedule by
  best_learning_rate: Any  # the largest rate up to the stop, after that
  best_bound: Any  # loss: the bound after that

  def at_factor(self, factor: Any) -> Any:
    """The bound where the schedule is multiplied by `factor`, > 0."""
    return self.distance_term / factor + self.noise_term * factor


def last_iterate_bound(
    schedule: Any,
    steps: int | None = None,
    *,
    distance: Any = 1.0,
    gradient_norm: Any = 1.0,
    stops: Any = None,
) -> LastIterateBound:
  """Bounds how far the loss can be from the least one, from the rates alone.

  For a convex loss, and gradients that are right on average, the mean loss at the
  last iterate is within the bound of the least loss. It needs no training and,
  oddly enough, ranks schedules as large models do.

  Formula:
    with rates[0], …, rates[steps - 1] and after[k] = sum of rates[k + 1:],
    distance_term = distance**2 / (2 * sum(rates))
    noise_term = (rates[-1] * gradient_norm[-1]**2
                  + sum over k < steps - 1 of
                    rates[k]**2 * gradient_norm[k]**2 / after[k]) / 2
    bound = distance_term + noise_term
    best_factor = sqrt(distance_term / noise_term)
    best_bound = 2 * sqrt(distance_term * noise_term)

  The iterate is the one whose gradient the last rate is for, so it has seen
  `steps - 1` updates. A step whose rate is 0 moves nothing and is left out; so
  after zeros at the end the bound is that of the last rate above 0. A last rate
  just above 0 is different: it makes the bound large.

  It takes time in proportion to the steps. Where all is known it is computed with
  NumPy in float64, else with JAX; then `jax.vmap`, `jax.grad` and `jax.jit` go
  through rates, `distance` and `gradient_norm`.

  Args:
    schedule: an open-loop `lrax.Schedule`, any function of the step, or an array of
      rates, (steps,), finite and >= 0, one of them above 0. Only its form matters
      to the best bound.
    steps: how many rates, a whole number >= 1; None for all those of an array.
    distance: between the start and the minimiser, in the norm of the parameters,
      > 0.
    gradient_norm: what bounds the root mean square of the gradient's norm, >= 0: a
      number, or (steps,), one for each step.
    stops: whole numbers from 1 to `steps`: the bounds after so many rates; None for
      after all of them. Each costs as much as the whole.

  Returns:
    A `LastIterateBound`. With traced values that are no rates or norms it is NaN,
    and infinite where no rate is above 0.

  Raises:
    TypeError: `schedule` is closed loop or no schedule, or an argument is of the
      wrong kind.
    ValueError: an argument is out of range or of another length, or no rate, or no
      gradient's norm where there is a rate, is above 0.

  Source:
    Schaipp et al., "The Surprising Agreement Between Convex Optimization Theory and
    Learning-Rate Scheduling for Large Model Training", 2025 (arXiv 2501.18965),
    theorem 1, after Defazio et al., 2023 (arXiv 2310.07831). Theirs is

      distance**2 / (2 * sum(rates)) + sum(rates**2 * gradient_norm**2)
      / (2 * sum(rates)) + sum over k < steps - 1 of rates[k] / after[k]
      * sum(rates[k:]**2 * gradient_norm[k:]**2) / sum(rates[k:]) / 2

    which summation by parts turns into the formula above. They assume every rate
    above 0; leaving out the others is lrax's own.

  Example:
    >>> import lrax
    >>> linear = lrax.linear(1.0, 0.0, steps=100)
    >>> constant = lrax.constant(1.0)
    >>> bounds = [lrax.stability.last_iterate_bound(s, 100).best_bound
    ...           for s in (linear, constant)]
    >>> [round(float(b), 3) for b in bounds]
    [0.204, 0.249]
  """
  owner = 'last_iterate_bound'
  rates = _schedule_rates.rates_of(owner, schedule, steps)
  distance = _checks.positive(owner, 'distance', distance)
  norms = _schedule_rates.gradient_norms(owner, gradient_norm, rates)
  if stops is not None:
    stops = _stops(owner, stops, len(rates))
  if not any(isinstance(x, Tracer) for x in (rates, distance, norms, stops)):
    return _known_bound(rates, distance, norms, stops)
  dtype = _types.rate_dtype()
  rates, distance, norms = (jnp.asarray(x, dtype) for x in (rates, distance, norms))

  def up_to(stop: Any) -> LastIterateBound:
    kept = jnp.arange(len(rates)) < stop
    return _traced_bound(jnp.where(kept, rates, 0), distance, norms)

  if stops is None:
    return _traced_bound(rates, distance, norms)
  return jax.lax.map(up_to, stops, batch_size=_PAGE)


def _known_bound(rates: Any, distance: Any, norms: Any, stops: Any) -> LastIterateBound:
  """With NumPy; the steps without a rate are left out before anything else."""
  used = np.flatnonzero(rates)
  norms = np.broadcast_to(norms, rates.shape)[used]
  counts: Any = np.searchsorted(used, len(rates) if stops is None else stops)
  rates = rates[used]
  rate, norm = rates.max(), norms.max()
  rates, norms = rates / rate, norms / norm
  squares = (rates * norms) ** 2
  noise = np.zeros(np.shape(counts))
  for place in np.ndindex(noise.shape):
    last = counts[place] - 1
    if last >= 0:
      after = np.cumsum(rates[last:0:-1])[::-1]
      noise[place] = (
          np.sum(squares[:last] / after) + squares[last] / rates[last]
      ) / 2
  up_to = lambda x: np.concatenate([[0.0], x])[counts]
  total, peak = up_to(np.cumsum(rates)), up_to(np.maximum.accumulate(rates))
  with np.errstate(all='ignore'):
    bound = _of(total, noise, peak, distance, rate, norm, np)
  return LastIterateBound(*(np.asarray(x, np.float64)[()] for x in bound))


def _traced_bound(rates: Any, distance: Any, norms: Any) -> LastIterateBound:
  """With JAX; what is no rate, norm or distance gives NaN."""
  used = rates != 0  # NaN is used
  rates = jnp.where(rates < 0, jnp.nan, rates)
  norms = jnp.where(used, jnp.where(norms < 0, jnp.nan, norms), 0)
  distance = jnp.where(distance < 0, jnp.nan, distance)
  rate, norm = _scale(rates), _scale(norms)
  rates, norms = rates / rate, norms / norm
  sums = jnp.cumsum(rates[::-1])[::-1]
  after = jnp.append(sums[1:], 0)
  # Where nothing comes after, the rate itself stands for it: see the formula.
  after = jnp.where(after == 0, rates, after)
  after = jnp.where(after == 0, 1, after)
  noise = jnp.sum(rates * norms**2 * (rates / after)) / 2
  return _of(sums[0], noise, jnp.max(rates), distance, rate, norm, jnp)


def _of(
    total: Any, noise: Any, peak: Any, distance: Any, rate: Any, norm: Any, xp: Any
) -> LastIterateBound:
  """The bound from sums of rates and norms in units of `rate` and `norm`."""
  # Nothing is learned without a rate; and without noise no factor is too large.
  still, quiet = total == 0, noise == 0
  spread = 1 / (2 * xp.where(still, 1, total))
  root, noise_root = xp.sqrt(spread), xp.sqrt(xp.where(quiet, 1, noise))
  distance_term = xp.where(still, xp.inf, distance * (distance / rate) * spread)
  noise_term = norm * (norm * rate) * noise
  factor = xp.where(still | quiet, xp.inf, distance / norm * (root / noise_root))
  best = xp.where(quiet, 0, 2 * distance * norm * (root * noise_root))
  return LastIterateBound(
      distance_term=distance_term,
      noise_term=noise_term,
      bound=distance_term + noise_term,
      best_factor=factor / rate,
      best_learning_rate=xp.where(still, xp.nan, factor * peak),
      best_bound=xp.where(still, xp.inf, best),
  )


def _scale(x: Any) -> Any:
  """The largest, as a constant; 1 where all are 0."""
  largest = jax.lax.stop_gradient(jnp.max(x))
  return jnp.where(largest == 0, 1, largest)


def _stops(owner: str, stops: Any, steps: int) -> Any:
  if isinstance(stops, Tracer):
    return stops
  found = np.asarray(stops)
  whole = found.ndim == 1 and (not found.size or found.dtype.kind in 'iu')
  if not whole or (found.size and not 1 <= found.min() <= found.max() <= steps):
    raise _checks.refuse(
        owner, 'stops', f'whole numbers from 1 to `steps` = {steps}', stops,
        'each counts rates',
    )
  return found.astype(np.int32)
