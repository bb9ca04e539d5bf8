"""DoWG: DoG with gradients weighted by the distance."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers import _distance
from lrax.optimizers import _estimated
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


class DowgState(NamedTuple):
  """State of `dowg`."""

  square_distance: jax.Array  # rate dtype, (): largest square distance so far
  weighted_squares: jax.Array  # rate dtype, (): sum of it times norm(g) ** 2
  start: chex.ArrayTree  # the parameters at the start


@scheduled('eps', 'weight_decay')
def dowg(
    learning_rate: Any = 1.0,
    init_estim_sq_dist: Numeric | None = None,
    eps: Numeric = 0.0,
    weight_decay: Numeric | None = None,
    mask: Any = None,
    *,
    average_gamma: Numeric | None = None,
) -> optax.GradientTransformationExtraArgs:
  """DoWG: distance over weighted gradients.

  `learning_rate` multiplies the estimate: leave it at 1.
  `lrax.get_learning_rate` shows the product.

  Formula:
    D = max(D, norm(x - x0) ** 2), at first init_estim_sq_dist
    v = v + D * norm(g) ** 2
    rate = learning_rate * D / sqrt(v + eps)
    x -= rate * g

    with norms over all parameters of the group. eps and weight_decay may be
    schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the estimate: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    init_estim_sq_dist: D at first, > 0; None for 1e-4.
    eps: added under the root, >= 0. At 0 a factor of the loss changes nothing.
    weight_decay: coefficient of a decay added to the gradient, >= 0; None for
      none.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.
    average_gamma: keeps an average of the parameters, which `lrax.eval_params`
      gives: see `lrax.dog`. None for none.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state has a
    `lrax.optimizers.DowgState` and ends with a `lrax.LearningRateState`, whose rate
    is the product, 0 before the first update, which needs a gradient; an
    override replaces the product. Updates keep their dtype. `update` needs
    `params`. A NaN in a gradient is one in every update.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Khaled, Mishchenko and Jin, "DoWG Unleashed", 2023, algorithm 1, which has no
    eps. The author's package and Optax add 1e-4 to the root, so that a factor of
    the loss changes the path, and start D at eps.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(4.0)}
    >>> tx = lrax.dowg(init_estim_sq_dist=0.25)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.5, 0.125)
  """
  owner = 'dowg'
  first = 1e-4 if init_estim_sq_dist is None else _checks.positive(
      owner, 'init_estim_sq_dist', init_estim_sq_dist
  )
  eps = _checks.non_negative(owner, 'eps', eps)
  scalar = _estimated.scalar

  def init(params):
    return DowgState(scalar(first), scalar(0.0), _estimated.start_of(params))

  def update(grads, state, params, multiply):
    gone = _estimated.sum_of_squares(_distance.travelled(state.start, params))
    distance = jnp.maximum(state.square_distance, gone)
    total = state.weighted_squares + distance * _estimated.sum_of_squares(grads)
    estimate = _leafwise.safe_divide(distance, jnp.sqrt(total + eps))
    rate = estimate * multiply(estimate)
    steps = jax.tree.map(lambda g: _estimated.times(-rate, g), grads)
    return steps, DowgState(scalar(distance), scalar(total), state.start), estimate

  method = _estimated.Method(init, update, 0.0)
  return _distance.finish(
      owner, method, learning_rate, weight_decay, mask, average_gamma
  )
