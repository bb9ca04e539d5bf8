"""The rate at which a step would start to raise the loss: doubling, then halving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrax import _checks

trials = _checks.number(
    'a whole number >= 1 and < 2**31',
    lambda x: 1 <= x < 2**31,
    'count evaluations of the loss',
    whole=True,
)
# Of the loss's numbers: a mean over a batch has rounded more than once.
_ROUNDINGS = 4


class Probe(NamedTuple):
  """What a search along a line has found."""

  lower: jax.Array  # (), the largest rate of the bracket that is not above; 0: none
  upper: jax.Array  # (), the lowest rate of it that is above; inf: none
  deepest: jax.Array  # (), the largest fall of the loss that was seen; -inf: none
  evaluations: jax.Array  # int32, (): losses that were computed


def rounding(value: jax.Array, kind: Any) -> jax.Array:
  """By how much losses computed in dtype `kind` differ by rounding alone."""
  if not jnp.issubdtype(kind, jnp.floating):
    kind = value.dtype
  return _ROUNDINGS * jnp.finfo(kind).eps * jnp.abs(value)


def probe(
    after: Callable[[jax.Array], jax.Array],
    value: jax.Array,
    tolerance: jax.Array,
    start: jax.Array,
    *,
    rtol: Any,
    most: Any,
    highest: Any = None,
    active: Any = True,
) -> Probe:
  """Brackets the rate at which `after(rate)` passes `value + tolerance`.

  From `start` the rate doubles while the loss is not above, or halves while it is;
  then the bracket is halved until it is narrower than `rtol` of its lower end. A
  loss of NaN or infinity is above.

  Args:
    after: the loss after a step of this rate.
    value: the loss before it.
    tolerance: what it may rise by chance.
    start: the first rate tried, > 0; the smallest normal number at least.
    rtol: the relative width at which to stop, > 0.
    most: the most evaluations.
    highest: no higher rate is tried; None for the largest number.
    active: whether to search at all.
  """
  dtype = start.dtype
  # Half or twice of a number that is subnormal is 0 where those are flushed to 0.
  start = jnp.maximum(start, jnp.finfo(dtype).tiny)
  top = jnp.asarray(jnp.finfo(dtype).max if highest is None else highest, dtype)

  def following(found: Probe) -> jax.Array:
    between = found.lower / 2 + found.upper / 2
    rate = jnp.where(jnp.isinf(found.upper), 2 * found.lower, between)
    rate = jnp.where(found.evaluations == 0, start, rate)
    return jnp.minimum(rate, top).astype(dtype)

  def goes_on(found: Probe) -> jax.Array:
    narrow = found.upper <= found.lower * (1 + rtol)
    over = narrow | (found.lower >= top)
    # Nothing lies between 0 and the smallest number, nor between two neighbours.
    rate = following(found)
    over |= (rate <= found.lower) | (rate >= found.upper)
    return active & (found.evaluations < most) & ~over

  def trial(found: Probe) -> Probe:
    rate = following(found)
    loss = after(rate)
    fits = loss <= value + tolerance
    fall = jnp.where(fits, value - loss, -jnp.inf).astype(found.deepest.dtype)
    return Probe(
        lower=jnp.where(fits, rate, found.lower),
        upper=jnp.where(fits, found.upper, rate),
        deepest=jnp.maximum(found.deepest, fall),
        evaluations=found.evaluations + 1,
    )

  nothing = Probe(
      lower=jnp.zeros((), dtype),
      upper=jnp.full((), jnp.inf, dtype),
      deepest=jnp.full((), -jnp.inf, value.dtype),
      evaluations=jnp.zeros((), jnp.int32),
  )
  return jax.lax.while_loop(goes_on, trial, nothing)
