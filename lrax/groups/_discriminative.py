"""Rates in geometric progression over ordered groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.groups import _layers


def discriminative(
    first_factor: Numeric,
    last_factor: Numeric,
    layers: str | Sequence[str],
    base: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
  """Spreads rates evenly, by ratio, between the first layers and the last.

  Formula:
    rate[layer] = base_rate * first_factor
        * (last_factor / first_factor) ** (layer / depth)

    with layers counted from 0 to depth; a single layer has last_factor.

  Args:
    first_factor: of the shared rate, for the first layer, > 0.
    last_factor: of the shared rate, for the last layer, > 0.
    layers: patterns of paths in order, or one that numbers them; see
      `layerwise_decay`.
    base: the optimizer, with one learning rate of lrax.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ParamGroupsState`. Updates
    keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: a factor is out of range, or what `layerwise_decay` refuses.

  Source:
    Howard and Ruder, "Universal Language Model Fine-tuning for Text
    Classification", 2018, section 3.2, with two ends in place of a ratio, as
    fastai's `slice(first, last)` of rates.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'a': 1.0, 'b': 1.0, 'c': 1.0}
    >>> layers = ['a', 'b', 'c']
    >>> tx = lrax.groups.discriminative(0.01, 1.0, layers, lrax.sgd(0.5))
    >>> rates = lrax.get_learning_rate(tx.init(params))
    >>> {name: round(float(rate), 6) for name, rate in rates.items()}
    {'a': 0.005, 'b': 0.05, 'c': 0.5}
  """
  owner = 'discriminative'
  first = _checks.positive(owner, 'first_factor', first_factor)
  last = _checks.positive(owner, 'last_factor', last_factor)

  def factor(layer: int, count: int) -> Any:
    if layer == count - 1:
      return last
    if layer == 0:
      return first
    return first * (last / first) ** (layer / (count - 1))

  return _layers.build(owner, layers, base, factor)
