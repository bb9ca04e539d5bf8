"""LARS's direction: the gradient at the rate of its own layer."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms import _norms
from lrax.transforms import _scale_by_trust_ratio
from lrax.transforms._needs_params import needs_params
from lrax.transforms._scheduled import scheduled


def scale_by_lars(
    weight_decay: Numeric = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: Numeric = 0.001,
    eps: Numeric = 0.0,
    trust_ratio_mask: Any = True,
) -> optax.GradientTransformationExtraArgs:
  """Scales the gradient of each leaf by the leaf's norm over the gradient's.

  Formula:
    ratio = trust_coefficient * norm(parameter)
      / (norm(g) + weight_decay * norm(parameter) + eps),
      and 1 where the norm of the gradient or of the parameter is 0
    update = ratio * (g + weight_decay * parameter)

    The numbers may be schedules: see `ScheduledState`.

  Args:
    weight_decay: the coefficient beta, >= 0.
    weight_decay_mask: True, False, a tree of bools that is a prefix of the
      parameters, or a function of them that gives one: where to decay.
    trust_coefficient: eta, >= 0: how much of its norm a leaf may move.
    eps: added to the divisor, >= 0.
    trust_ratio_mask: as `weight_decay_mask`: where the ratio scales; elsewhere it
      is 1.

  Returns:
    An `optax.GradientTransformationExtraArgs` without a state; its update needs
    `params`. Updates keep their dtype; those of 0 stay 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    You et al., "Large Batch Training of Convolutional Networks", 2017, equation
    6. Optax divides by norm(g + weight_decay * parameter) instead.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_lars(trust_coefficient=0.5)
    >>> params = {'w': jnp.array([3.0, 4.0])}
    >>> updates, _ = tx.update({'w': jnp.array([0.0, -2.0])}, tx.init(params), params)
    >>> updates['w'].tolist()
    [0.0, -2.5]
  """
  return layerwise(
      'scale_by_lars', weight_decay, weight_decay_mask, trust_coefficient, eps,
      trust_ratio_mask,
  )


@scheduled('weight_decay', 'trust_coefficient', 'eps')
def layerwise(
    owner: str,
    weight_decay: Any,
    weight_decay_mask: Any,
    trust_coefficient: Any,
    eps: Any,
    trust_ratio_mask: Any,
) -> optax.GradientTransformationExtraArgs:
  """`scale_by_lars` for an owner of its messages."""
  decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  coefficient = _checks.non_negative(owner, 'trust_coefficient', trust_coefficient)
  eps = _checks.non_negative(owner, 'eps', eps)
  decays = _mask(owner, 'weight_decay_mask', weight_decay_mask)
  trusts = _mask(owner, 'trust_ratio_mask', trust_ratio_mask)

  def init(params):
    del params
    return optax.EmptyState()

  def update(updates, state, params=None, **extra_args):
    del extra_args
    params = needs_params(owner, params, 'a step is a part of the parameter')

    def leaf(g, param, decayed, trusted):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      gradient, param = g.astype(wide), jnp.asarray(param, wide)
      beta = jnp.asarray(decay if decayed else 0, real)
      total = gradient + beta * param
      if trusted:
        weight, size = _norms.norm(param), _norms.norm(gradient)
        none = (weight == 0) | (size == 0)
        divisor = size + beta * weight + jnp.asarray(eps, real)
        weight = jnp.asarray(coefficient, real) * weight
        total = _scale_by_trust_ratio.ratio(weight, divisor, none) * total
      return (total.astype(g.dtype),)

    masks = decays(params), trusts(params)
    (steps,) = _leafwise.leafwise(leaf, 1, updates, params, *masks)
    return steps, state

  return optax.GradientTransformationExtraArgs(init, update)


def _mask(owner: str, name: str, mask: Any) -> Any:
  """A function of the parameters that gives a bool for each leaf."""
  is_bool = lambda x: isinstance(x, (bool, np.bool_))
  if not (callable(mask) or all(map(is_bool, jax.tree.leaves(mask)))):
    raise _checks.refuse(
        owner, name, 'a bool, a tree of bools, or a function of the parameters',
        mask, 'True where it acts', TypeError,
    )

  def bools(params):
    prefix = mask(params) if callable(mask) else mask
    return jax.tree.map(
        lambda on, below: jax.tree.map(lambda _: bool(on), below), prefix, params
    )

  return bools
