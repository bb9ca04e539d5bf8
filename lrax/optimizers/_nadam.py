"""Nadam: Adam with Nesterov's momentum."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_adam
from lrax.transforms import scale_by_nadam


def nadam(
    learning_rate: Any,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    nu_dtype: Any = None,
    momentum_decay: Numeric | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Nadam: Adam that looks one step ahead.

  Formula:
    mu_hat = b1 * mu / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1 ** t)
    parameter -= learning_rate * mu_hat / (sqrt(nu_hat + eps_root) + eps)

    with mu, nu and nu_hat as in `lrax.adam`. Each number may be a schedule: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    eps_root: added under that root, >= 0.
    mu_dtype: dtype of the average of gradients; None for the parameter's; 'block8'
      for 8 bits a number, see `lrax.transforms.Block8`.
    nu_dtype: how the average of squares is kept: None for float32 or wider; 'block8';
      or bfloat16, rounded up or down by chance, without which it would not decay.
    momentum_decay: None for a constant momentum; a number >= 0 for one that
      grows from b1 / 2 to b1 as b1 * (1 - 0.96 ** (t * momentum_decay) / 2).

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Dozat, "Incorporating Nesterov Momentum into Adam", 2016, algorithm 2. With
    None the same as Optax; with 4e-3 the same as PyTorch's `NAdam`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.nadam(0.5, b1=0.0, eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -0.5
  """
  scale = direction(
      b1, b2, eps, eps_root, mu_dtype, nu_dtype, momentum_decay
  )
  return optax.chain(scale, as_schedule(learning_rate, 'nadam'))


def direction(
    b1: Any, b2: Any, eps: Any, eps_root: Any, mu_dtype: Any, nu_dtype: Any,
    momentum_decay: Any,
) -> optax.GradientTransformationExtraArgs:
  """Nadam's direction, under a constant momentum or one that grows."""
  moments = (b1, b2, eps, eps_root, mu_dtype)
  if momentum_decay is None:
    return scale_by_adam(*moments, nu_dtype=nu_dtype, nesterov=True)
  return scale_by_nadam(*moments, nu_dtype=nu_dtype, momentum_decay=momentum_decay)
