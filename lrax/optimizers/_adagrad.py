"""AdaGrad."""

from __future__ import annotations

from typing import Any

import optax

from lrax._types import Numeric
from lrax.schedules import as_schedule
from lrax.transforms import scale_by_adagrad


def adagrad(
    learning_rate: Any,
    initial_accumulator_value: Numeric = 0.0,
    eps: Numeric = 1e-10,
    eps_in_sqrt: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """AdaGrad: each parameter's rate falls with the squares of its gradients so far.

  Formula:
    s = s + g ** 2
    parameter -= learning_rate * g / (sqrt(s) + eps)

    eps may be a schedule: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule.
    initial_accumulator_value: what s starts from, >= 0.
    eps: the paper's delta, >= 0.
    eps_in_sqrt: whether eps is added under the root.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011, figure 1.
    The same as PyTorch. Optax's defaults start s at 0.1 and add 1e-7 under the
    root: `adagrad(rate, 0.1, 1e-7, eps_in_sqrt=True)` gives that.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.adagrad(0.5)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w']), 5)
    -0.5
  """
  scale = scale_by_adagrad(initial_accumulator_value, eps, eps_in_sqrt)
  return optax.chain(scale, as_schedule(learning_rate, 'adagrad'))
