"""The average of the parameters that counts late ones more: what DoG evaluates."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax import _types
from lrax.transforms import _leafwise
from lrax.transforms._needs_params import needs_params


class PolynomialAverageState(NamedTuple):
  """State of a polynomial-decay average; `lrax.eval_params` reads it."""

  count: jax.Array  # int32, (): updates seen
  averaged_params: chex.ArrayTree  # parameters' shapes, float32 or wider


def polynomial_average(
    owner: str, gamma: Any
) -> tuple[optax.GradientTransformationExtraArgs, ...]:
  """A link that averages the parameters after each update; none for None.

  With c = (gamma + 1) / (gamma + t), average = (1 - c) * average + c * x; at t = 1
  it is x. The updates pass through.
  """
  if gamma is None:
    return ()
  gamma = _checks.non_negative(owner, 'average_gamma', gamma)

  def init(params):
    copy = lambda p: jnp.array(p, _leafwise.wide_dtype(p))
    return PolynomialAverageState(
        jnp.zeros((), jnp.int32), jax.tree.map(copy, params)
    )

  def update(updates, state, params=None, **extra_args):
    del extra_args
    params = needs_params(owner, params, 'they are averaged')
    count: Any = optax.safe_increment(state.count)
    clock = jnp.asarray(count, _types.rate_dtype())
    share = (gamma + 1) / (gamma + clock)

    def leaf(step, mean, x):
      moved = jnp.asarray(x + step, jnp.result_type(x)).astype(mean.dtype)
      c = share.astype(_leafwise.real_dtype(mean.dtype))
      return step, (mean + c * (moved - mean)).astype(mean.dtype)

    _, mean = _leafwise.leafwise(leaf, 2, updates, state.averaged_params, params)
    return updates, PolynomialAverageState(count, mean)

  return (optax.GradientTransformationExtraArgs(init, update),)
