"""DoG: the distance travelled over the root of the gradients' squares."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers import _distance
from lrax.optimizers import _estimated
from lrax.transforms._scheduled import scheduled


@scheduled('eps', 'weight_decay', 'average_gamma')
def dog(
    learning_rate: Any = 1.0,
    init_step: tuple[str, Numeric] = ('heuristic', 1e-6),
    eps: Numeric = 1e-8,
    weight_decay: Numeric | None = None,
    mask: Any = None,
    *,
    average_gamma: Numeric | None = 8.0,
) -> optax.GradientTransformationExtraArgs:
  """DoG: gradient descent whose rate is distance over gradients.

  `learning_rate` multiplies the estimate: leave it at 1.
  `lrax.get_learning_rate` shows the product. Evaluate
  `lrax.eval_params(state, params)`, an average that DoG needs to be good.

  Formula:
    distance = max(distance, norm(x - x0)), at first init_step
    G = G + norm(g) ** 2
    rate = learning_rate * distance / sqrt(G + eps)
    x -= rate * g
    c = (average_gamma + 1) / (average_gamma + t)
    average = (1 - c) * average + c * x

    with norms over all parameters of the group; t counts updates from 1. With
    'heuristic' distance starts at init_step * (1 + norm(x0)). eps,
    weight_decay and average_gamma may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the estimate: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    init_step: how to start, and a number > 0: 'heuristic', the distance as a
      share of the parameters' norm; 'distance', the distance; 'learning_rate',
      the estimate itself until the parameters have moved.
    eps: added under the root, >= 0.
    weight_decay: coefficient of a decay added to the gradient, >= 0; None for
      none.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.
    average_gamma: how much late parameters count in the average, >= 0, which
      takes one copy of the parameters; None for no average.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state has a
    `lrax.optimizers.DogState` and ends with a `lrax.LearningRateState`, whose rate
    is the product, 0 before the first update, which needs a gradient; an
    override replaces the product. Updates keep their dtype. `update` needs
    `params`. A NaN in a gradient is one in every update.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Ivgi, Hinder and Carmon, "DoG is SGD's Best Friend", 2023, equations 1 and 2,
    section 3.3 for the start, and for the average Shamir and Zhang, 2013, with
    the authors' gamma. As the authors' package, whose `init_eta` leaves the
    parameters where they are for ever after a first gradient of 0. Optax has no
    average.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(4.0)}
    >>> tx = lrax.dog(init_step=('distance', 0.5), eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.5, 0.125)
  """
  owner = 'dog'
  begin = _distance.beginning(owner, init_step)
  eps = _checks.non_negative(owner, 'eps', eps)

  def init(params):
    scalar = _estimated.scalar
    norm = jnp.sqrt(_estimated.sum_of_squares(_estimated.wide(params)))
    distance = begin.distance(norm)
    start = _estimated.start_of(params)
    return _distance.DogState(scalar(distance), scalar(0.0), start)

  def update(grads, state, params, multiply):
    gone = jnp.sqrt(_estimated.sum_of_squares(_distance.travelled(state.start, params)))
    distance = jnp.maximum(state.distance, gone)
    total = state.sum_of_squares + _estimated.sum_of_squares(grads)
    estimate = begin.estimate(distance, total + eps)
    rate = estimate * multiply(estimate)
    steps = jax.tree.map(lambda g: _estimated.times(-rate, g), grads)
    scalar = _estimated.scalar
    state = _distance.DogState(scalar(distance), scalar(total), state.start)
    return steps, state, estimate

  method = _estimated.Method(init, update, 0.0)
  return _distance.finish(
      owner, method, learning_rate, weight_decay, mask, average_gamma
  )
