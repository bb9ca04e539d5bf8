"""LAMB: Adam with a rate for each layer, for large batches."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_adam
from lrax.transforms import scale_by_trust_ratio
from lrax.transforms._in_full import in_full


def lamb(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-6,
    eps_root: Numeric = 0.0,
    weight_decay: Numeric = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """LAMB: AdamW's direction, as long as the weights of each layer.

  Formula:
    r = adam + weight_decay * parameter
    ratio = norm(parameter) / norm(r), and 1 where either is 0
    parameter -= learning_rate * ratio * r

    with adam the direction of `lrax.adam`. Each number may be a schedule: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    eps_root: added under that root, >= 0.
    weight_decay: the coefficient lambda, >= 0.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.

  Returns:
    An `optax.GradientTransformationExtraArgs`; its update needs `params`. Its
    state ends with a `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76
    minutes", 2020, algorithm 2, with phi the identity. The same as Optax; timm
    clips the gradient by its global norm first by default, which here is
    `optax.clip_by_global_norm` in front, and leaves the ratio out of leaves that
    do not decay.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array([3.0, -4.0])}
    >>> tx = lrax.lamb(0.5, eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> [round(float(u), 4) for u in updates['w']]
    [-1.7678, 1.7678]
  """
  direction = scale_by_adam(b1, b2, eps, eps_root)
  decay = _weight_decay.add_decayed_weights('lamb', weight_decay, mask)
  policy = as_schedule(learning_rate, 'lamb')
  return in_full(optax.chain(direction, decay, scale_by_trust_ratio(), policy))
