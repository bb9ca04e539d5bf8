"""The highest rate at which a method is stable on a quadratic, in closed form."""

from __future__ import annotations

from typing import Any

import jax
from jax.core import Tracer
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric

# What each method multiplies the curvature by, as a function of its momentum; in
# all of them the rate is at its limit where
#   learning_rate * (gain * sharpness + (1 + momentum) * weight_decay)
#     = 2 * (1 + momentum).
GAINS = {
    'gradient descent': lambda b: 1.0 + 0 * b,
    'heavy ball': lambda b: 1.0 + 0 * b,
    'nesterov': lambda b: 1 + 2 * b,
    'averaged momentum': lambda b: 1 - b,
    'averaged nesterov': lambda b: (1 - b) * (1 + 2 * b),
    'rmsprop': lambda b: 1.0 + 0 * b,
    'adam': lambda b: 1 - b,
    'nadam': lambda b: (1 - b) * (1 + 2 * b),
}
WITHOUT_MOMENTUM = ('gradient descent', 'rmsprop')

_method = _checks.choice(*GAINS)


def stability_limit(
    sharpness: Any,
    method: str = 'gradient descent',
    momentum: Numeric = 0.0,
    weight_decay: Numeric = 0.0,
) -> jax.Array:
  """The rate up to which a method converges on a quadratic of this curvature.

  At a lower rate every direction of curvature from 0 to `sharpness` shrinks; at a
  higher one the steepest direction flips its sign at each step and grows. On a loss
  that is no quadratic it is a local truth: above the limit a run leaves the place,
  and often settles where the curvature is smaller ("edge of stability").

  Formula:
    limit = 2 * (1 + momentum) / (gain * sharpness + (1 + momentum) * weight_decay)

    and inf where what it is divided by is not above 0

      'gradient descent'   gain = 1, momentum = 0
      'heavy ball'         gain = 1
      'nesterov'           gain = 1 + 2 * momentum
      'averaged momentum'  gain = 1 - momentum
      'averaged nesterov'  gain = (1 - momentum) * (1 + 2 * momentum)
      'rmsprop', 'adam', 'nadam'
                           as 'gradient descent', 'averaged momentum' and 'averaged
                           nesterov', for the preconditioned sharpness

    On x ** 2 * sharpness / 2 a step of heavy ball, with decoupled decay,
      velocity = momentum * velocity + sharpness * x
      x -= learning_rate * (velocity + weight_decay * x)
    multiplies (x, velocity) by a matrix whose characteristic polynomial is
      z ** 2 - (1 + b - r * (s + w)) * z + b * (1 - r * w)
    with b the momentum, r the rate, s the sharpness and w the decay. Both roots are
    inside the unit circle until one reaches z = -1, where 2 * (1 + b)
    = r * (s + (1 + b) * w). An average takes (1 - b) * s for s, and Nesterov's
    method, which steps along b * velocity + s * x, has
      z ** 2 - (1 + b - r * (1 + b) * s - r * w) * z + b * (1 - r * w) - b * r * s
    at z = -1: 2 * (1 + b) = r * ((1 + 2 * b) * s + (1 + b) * w).

  Args:
    sharpness: the largest eigenvalue of the Hessian, any shape; for Adam and its
      kin, of P^-1 H, with P what the method divides by.
    method: one of the words above.
    momentum: the share of the velocity that is kept, b1 of Adam, in [0, 1); 0 for
      'gradient descent' and 'rmsprop'.
    weight_decay: the coefficient of a decoupled decay, which the rate multiplies,
      >= 0. A decay that is part of the gradient is part of the Hessian instead.

  Returns:
    The limits, in float32 or wider, of the shape of `sharpness`; inf for no limit,
    NaN for NaN.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: `method` is no such word, a number is out of range, or there is a
      momentum in a method without.

  Source:
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
    of these methods at the edge of stability, Cohen et al., "Gradient Descent on
    Neural Networks Typically Occurs at the Edge of Stability", 2021; of Adam, Cohen
    et al., "Adaptive Gradient Methods at the Edge of Stability", 2022, where it is
    38 / sharpness for b1 = 0.9. The weight decay is derived here.

  Example:
    >>> import lrax
    >>> float(lrax.stability.stability_limit(4.0))
    0.5
    >>> round(float(lrax.stability.stability_limit(4.0, 'adam', momentum=0.9)), 4)
    9.5
  """
  owner = 'stability_limit'
  method = _method(owner, 'method', method)
  momentum = _checks.decay(owner, 'momentum', momentum)
  decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  known = not isinstance(momentum, Tracer)
  if method in WITHOUT_MOMENTUM and known and momentum:
    raise _checks.refuse(
        owner, 'momentum', f'0 for {method!r}', momentum,
        "with momentum the method is 'heavy ball' or 'nesterov'",
    )
  kind = jnp.result_type(sharpness)
  if not jnp.issubdtype(kind, jnp.number) or jnp.issubdtype(kind, jnp.complexfloating):
    raise _checks.refuse(
        owner, 'sharpness', 'a real number or an array of them', sharpness,
        'for example the first value that lanczos returns', TypeError,
    )
  sharpness = jnp.asarray(sharpness, jnp.promote_types(kind, _types.rate_dtype()))
  return limit(sharpness, GAINS[method](momentum), momentum, decay)


def limit(sharpness: Any, gain: Any, momentum: Any, decay: Any = 0.0) -> Any:
  """The formula of `stability_limit`."""
  steepness = gain * sharpness + (1 + momentum) * decay
  safe = jnp.where(steepness > 0, steepness, 1)
  found = jnp.where(steepness > 0, 2 * (1 + momentum) / safe, jnp.inf)
  return jnp.where(jnp.isnan(steepness), jnp.nan, found)


def edge(learning_rate: float, gain: float, momentum: float) -> float:
  """The sharpness, decay included, of which `learning_rate` > 0 is the limit."""
  return 2 * (1 + momentum) / (gain * learning_rate)
