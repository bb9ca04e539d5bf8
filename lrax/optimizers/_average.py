"""The momentum of an optimizer that averages its updates."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


@scheduled('momentum')
def average(
    owner: str, momentum: Numeric, accumulator_dtype: Any = None
) -> optax.GradientTransformationExtraArgs:
  """`momentum * average + (1 - momentum) * update` from 0, uncorrected."""
  decay = _checks.decay(owner, 'momentum', momentum)

  def init(params):
    return optax.TraceState(_leafwise.zeros(params, accumulator_dtype))

  def update(updates, state, params=None, **extra_args):
    del params, extra_args

    def leaf(g, trace):
      wide = _leafwise.wide_dtype(g)
      mean = decay * trace.astype(wide) + (1 - decay) * g.astype(wide)
      return mean.astype(g.dtype), mean.astype(trace.dtype)

    steps, trace = _leafwise.leafwise(leaf, 2, updates, state.trace)
    return steps, optax.TraceState(trace)

  return optax.GradientTransformationExtraArgs(init, update)
