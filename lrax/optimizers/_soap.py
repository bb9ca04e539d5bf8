"""SOAP: Adam in the eigenvectors of Shampoo's factors."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_soap
from lrax.transforms._in_full import in_full


def soap(
    learning_rate: Any,
    b1: Numeric = 0.95,
    b2: Numeric = 0.95,
    eps: Numeric = 1e-8,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10_000,
    mu_dtype: Any = None,
    weight_decay: Numeric = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """SOAP: Adam in the axes along which the gradient has varied.

  Formula:
    parameter -= learning_rate * (soap + weight_decay * parameter)

    with soap the direction of `lrax.transforms.scale_by_soap`: 0 in the first
    update, and Adam's for leaves of fewer axes than two. The numbers may be
    schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule. The
      paper's is 3e-3.
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the averages of squares and of the factors that is kept, in [0, 1).
    eps: added to the root of the average square, >= 0.
    precondition_frequency: updates between two changes of the axes, >= 1.
    max_precond_dim: an axis longer than this has no factor, >= 0.
    mu_dtype: dtype of the average of gradients; None for the parameter's.
    weight_decay: the coefficient of the decay, >= 0; the authors' code has 1e-2.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.

  Returns:
    An `optax.GradientTransformationExtraArgs`; its update needs `params`. Its
    state ends with a `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024,
    algorithm 3. The authors' code decays the parameter after the step, which
    differs by learning_rate ** 2 * weight_decay * soap, and not in the first
    update; here the decay is AdamW's. Optax has no SOAP.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array([[3.0, 0.0], [0.0, -2.0]])}
    >>> tx = lrax.soap(0.5)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> updates, state = tx.update(params, state, params)
    >>> [[abs(round(float(x), 4)) for x in row] for row in updates['w']]
    [[0.5, 0.0], [0.0, 0.5]]
  """
  direction = scale_by_soap(
      b1, b2, eps, precondition_frequency, max_precond_dim, mu_dtype
  )
  decay = _weight_decay.add_decayed_weights('soap', weight_decay, mask)
  return in_full(optax.chain(direction, decay, as_schedule(learning_rate, 'soap')))
