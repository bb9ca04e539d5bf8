"""Evaluations: the metric that a policy hears, and when it is a better one."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric

count = _checks.number(
    'a whole number >= 0 and < 2**31',
    lambda x: 0 <= x < 2**31,
    'count evaluations',
    whole=True,
)
factor = _checks.number(
    'a number in (0, 1)', lambda x: 0 < x < 1, 'each cut multiplies by it'
)
growth = _checks.number(
    'a finite number >= 1', lambda x: x >= 1, 'each raise multiplies by it'
)
min_scale = _checks.number(
    'a number in [0, 1]',
    lambda x: 0 <= x <= 1,
    'it bounds a factor that starts at 1',
)
max_scale = _checks.number(
    'a finite number >= 1',
    lambda x: x >= 1,
    'it bounds a factor that starts at 1',
)
mode = _checks.choice('min', 'max')
signal = _checks.choice('value', 'report')


def hear(
    owner: str, signals: _types.Signals, mode: str, signal: str
) -> tuple[Any, jax.Array]:
  """Returns whether this update brings an evaluation, and its cost.

  The cost is the metric, negated for a mode of 'max', so that less is better
  either way; it is infinite where the metric is not finite.
  """
  heard: Any = True
  if signal == 'report':
    assert signals.reported is not None  # the decorator gives it
    metric = signals.reported
    heard = ~jnp.isnan(metric)
  else:
    metric = _given(owner, signals)
  cost = metric if mode == 'min' else -metric
  return heard, jnp.where(jnp.isfinite(metric), cost, jnp.inf)


def _given(owner: str, signals: _types.Signals) -> jax.Array:
  """The keyword argument `value` of this update."""
  try:
    value = signals.require('value', owner)
  except ValueError as error:
    other = " Or pass signal='report' and hand it a metric with lrax.report."
    raise type(error)(f'{error}{other}') from None
  dtype = jnp.result_type(value)
  if jnp.ndim(value) or jnp.issubdtype(dtype, jnp.complexfloating):
    raise _checks.refuse(
        owner, 'value', 'a real scalar',
        f'{dtype} of shape {jnp.shape(value)}', 'reduce it, as with jnp.mean',
        TypeError,
    )
  return jnp.asarray(value, _types.rate_dtype())


def better(cost: Any, best: Any, rtol: Numeric, atol: Numeric) -> Any:
  """Whether the cost is below the best one by more than the tolerance.

  The tolerance is a share of the size of the best cost, whatever its sign. Any
  finite cost is better than an infinite one.
  """
  known = jnp.isfinite(best)
  size = jnp.where(known, jnp.abs(best), 0)
  return cost < jnp.where(known, best - (rtol * size + atol), best)


def hold(heard: Any, new: chex.ArrayTree, old: chex.ArrayTree) -> Any:
  """The new memory where there was an evaluation, else the old one."""
  choose = lambda n, o: jnp.where(heard, n, o).astype(o.dtype)
  return jax.tree.map(choose, new, old)


def infinite() -> jax.Array:
  """The best cost before any evaluation."""
  return jnp.full((), jnp.inf, _types.rate_dtype())


def one() -> jax.Array:
  """The factor before any evaluation."""
  return jnp.ones((), _types.rate_dtype())


def zero() -> jax.Array:
  """A count before any evaluation."""
  return jnp.zeros((), jnp.int32)
