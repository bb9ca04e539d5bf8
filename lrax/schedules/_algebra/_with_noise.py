"""Noise on a rate, without a state."""

from __future__ import annotations

import functools
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
  noise = _noise(
      jnp.asarray(step, jnp.int32), jnp.asarray(seed, jnp.uint32), limit, std,
      distribution,
  )
  if _wide.is_known(rate) and not isinstance(noise, Tracer):
    noise = np.asarray(noise, np.float64)
  return rate * (_wide.exact(noise) + 1.0)


@functools.partial(jax.jit, static_argnames='distribution')
def _noise(step: Any, seed: Any, limit: Any, std: Any, distribution: str) -> Any:
  bits = _threefry(seed, step.astype(jnp.uint32))
  # An odd number of 2**-24ths within (-1, 1), which is never an end.
  share = (2 * (bits >> 8).astype(jnp.int32) + 1 - 2**24).astype(jnp.float32)
  share = share.astype(_types.rate_dtype()) * 2.0**-24
  if distribution == 'uniform':
    return limit * share
  # Cut off at a millionth of its deviation the distribution is uniform to all
  # digits, and a larger deviation overflows.
  std = jnp.minimum(std, 1e6)
  # The share of the normal distribution that lies within the limit. Where that is
  # 12 deviations away, it is all and its slope 0; no rate shows less than 1e-12.
  scale = 2**0.5 * jnp.maximum(jnp.maximum(std, limit / 12), 1e-12)
  inside = jax.scipy.special.erf(limit / scale)
  noise = std * 2**0.5 * jax.scipy.special.erfinv(inside * share)
  return jnp.clip(noise, -limit, limit)


def _threefry(seed: Any, step: Any) -> Any:
  """The first word of Threefry-2x32 with the key (0, seed) at the block (0, step).

  Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011. JAX has it
  too, but as a loop over whole arrays on CPU, ten times as slow for many steps;
  and a key for each step takes another block.
  """
  keys = (jnp.zeros_like(seed), seed, seed ^ np.uint32(0x1BD11BDA))
  x, y = jnp.zeros_like(step), step + keys[1]
  for block in range(5):
    for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[block % 2]:
      x = x + y
      y = ((y << turn) | (y >> (32 - turn))) ^ x
    x = x + keys[(block + 1) % 3]
    y = y + keys[(block + 2) % 3] + np.uint32(block + 1)
  return x
