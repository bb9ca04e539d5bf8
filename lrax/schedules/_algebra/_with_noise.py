"""Noise on a rate, without a state."""

from __future__ import annotations

from typing import Any

import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.schedules import _wide
from lrax.schedules._algebra import _parts

_seed = _checks.number(
    'a whole number >= 0 and < 2**32', lambda x: 0 <= x < 2**32,
    'the same seed gives the same noise', whole=True,
)
_limit = _checks.number(
    'a number in [0, 1]', lambda x: 0 <= x <= 1,
    'noise of more than the rate would turn its sign',
)


@_parts.combination(
    _parts.show_method,
    schedule=_parts.part,
    seed=_seed,
    limit=_limit,
    std=_checks.positive,
    distribution=_checks.choice('normal', 'uniform'),
)
def with_noise(
    step: Any,
    schedule: Any,
    seed: int,
    limit: Numeric = 0.67,
    std: Numeric = 1.0,
    distribution: str = 'normal',
):
  """Multiplies a rate by noise around 1: `schedule.with_noise(seed)`.

  Formula:
    rate = schedule(step) * (1 + noise(seed, step))
    noise is normal of deviation `std`, cut off at +-limit; or uniform in
    [-limit, limit]

  Args:
    schedule: the policy.
    seed: a whole number >= 0. The noise of a step is a function of the seed
      and the step alone: no key is kept, and a resumed run sees the same.
    limit: the largest share of the rate, in [0, 1].
    std: deviation of the normal one before it is cut off, a finite number > 0.
    distribution: 'normal' or 'uniform'.

  Returns:
    A `lrax.Schedule`, closed loop where `schedule` is.

  Raises:
    TypeError: `schedule` is no schedule, or a number is no real scalar.
    ValueError: a number is out of range, or `distribution` is unknown.

  Source:
    timm's `Scheduler` with `noise_pct` for `limit` and `noise_std`, whose
    defaults these are; it draws again until the noise is within the limit,
    which is the same distribution.

  Example:
    >>> import lrax
    >>> policy = lrax.constant(1.0).with_noise(seed=0, limit=0.1)
    >>> 0.9 <= float(policy(7)) <= 1.1, bool(policy(7) == policy(7))
    (True, True)
  """
  rate = schedule(step)
  draw = lambda t: _draw(t, seed, limit, std, distribution)
  for _ in range(np.ndim(step)):
    draw = jax.vmap(draw)
  noise = draw(jnp.asarray(step, jnp.int32))
  if _wide.is_known(rate) and not isinstance(noise, Tracer):
    noise = np.asarray(noise, np.float64)
  return rate * (_wide.exact(noise) + 1.0)


def _draw(step: Any, seed: Any, limit: Any, std: Any, distribution: str) -> Any:
  key = jax.random.fold_in(jax.random.key(seed), step)
  # In float32 under x64 too, which would draw other bits.
  share = jax.random.uniform(key, (), jnp.float32).astype(_types.rate_dtype())
  if distribution == 'uniform':
    return limit * (2 * share - 1)
  # The share of the normal distribution that lies within the limit.
  inside = jax.scipy.special.erf(limit / (std * 2**0.5))
  noise = std * 2**0.5 * jax.scipy.special.erfinv(inside * (2 * share - 1))
  return jnp.clip(noise, -limit, limit)
