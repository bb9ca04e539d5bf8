"""Rates that fall from layer to layer towards the input."""

from __future__ import annotations

from collections.abc import Sequence

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.groups import _layers


def layerwise_decay(
    decay: Numeric,
    layers: str | Sequence[str],
    base: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
  """Gives each layer `decay` times the rate of the next one.

  Formula:
    rate[layer] = base_rate * decay ** (depth - layer)

    with layers counted from the input, 0, to the output, depth.

  Layers are found by order, as `['embed', 'encoder', 'head']`, or by a pattern with
  one capturing group around their number, which stands for as many layers in the
  order of the numbers: `['embed', r'blocks/(\\d+)', 'norm|head']`. A gap in the
  numbers is no layer. Groups are called by the pattern, or by the path as far as
  the number, as `blocks/0`.

  Args:
    decay: the share from one layer to the one before it, > 0; usually 0.65 to 0.95.
    layers: patterns of paths from the input to the output, or one that numbers
      them; see `param_groups` for how they match.
    base: the optimizer, with one learning rate of lrax.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ParamGroupsState`. Updates
    keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: `decay` is out of range, or a pattern captures more than one group;
      in `init`, a pattern takes no leaf, a leaf has no pattern, or what is captured
      is no number.

  Source:
    Clark et al., "ELECTRA", 2020, section 3.1 and appendix; Bao et al., "BEiT",
    2022, where the patch embedding is layer 0 and the head the last, with a factor
    of 1. Howard and Ruder, 2018, section 3.2, is decay = 1 / 2.6.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'embed': 1.0, 'blocks': [1.0, 1.0], 'head': 1.0}
    >>> layers = ['embed', r'blocks/(\\d+)', 'head']
    >>> tx = lrax.groups.layerwise_decay(0.5, layers, lrax.sgd(1.0))
    >>> state = tx.init(params)
    >>> {name: float(x) for name, x in lrax.get_learning_rate(state).items()}
    {'blocks/0': 0.25, 'blocks/1': 0.5, 'embed': 0.125, 'head': 1.0}
  """
  decay = _checks.positive('layerwise_decay', 'decay', decay)
  factor = lambda layer, count: decay ** (count - 1 - layer)
  return _layers.build('layerwise_decay', layers, base, factor)
