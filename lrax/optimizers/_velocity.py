"""The momentum of an optimizer, under its own argument's name."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import scale_by_momentum
from lrax.transforms._scheduled import scheduled


@scheduled('momentum')
def velocity(
    owner: str, momentum: Numeric, nesterov: bool, accumulator_dtype: Any = None
) -> optax.GradientTransformationExtraArgs:
  """`scale_by_momentum`, whose decay the optimizer calls `momentum`."""
  momentum = _checks.decay(owner, 'momentum', momentum)
  return scale_by_momentum(momentum, nesterov, accumulator_dtype)
