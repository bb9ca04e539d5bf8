"""LDoG: DoG for each array by itself."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers import _distance
from lrax.optimizers import _estimated
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


@scheduled('eps', 'weight_decay', 'average_gamma')
def ldog(
    learning_rate: Any = 1.0,
    init_step: tuple[str, Numeric] = ('heuristic', 1e-6),
    eps: Numeric = 1e-8,
    weight_decay: Numeric | None = None,
    mask: Any = None,
    *,
    average_gamma: Numeric | None = 8.0,
) -> optax.GradientTransformationExtraArgs:
  """L-DoG: DoG with an estimate for each array of the parameters.

  Formula:
    x -= learning_rate * distance / sqrt(G + eps) * g

    with distance and G of each array alone, and the average, as in `lrax.dog`.
    eps, weight_decay and average_gamma may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the estimates: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    init_step: how to start, and a number > 0: see `lrax.dog`.
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
    is what multiplies the estimates, of which there are many. Updates keep their
    dtype. `update` needs `params`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Ivgi, Hinder and Carmon, "DoG is SGD's Best Friend", 2023, section 3.3; as the
    authors' package.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'a': jnp.array(4.0), 'b': jnp.array(-0.01)}
    >>> tx = lrax.ldog(init_step=('distance', 0.5), eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['a']), float(updates['b'])
    (-0.5, 0.5)
  """
  owner = 'ldog'
  begin = _distance.beginning(owner, init_step)
  eps = _checks.non_negative(owner, 'eps', eps)

  def init(params):
    norm = lambda x: begin.distance(_norm(jnp.asarray(x, _leafwise.wide_dtype(x))))
    zero = lambda x: jnp.zeros((), _leafwise.real_dtype(_leafwise.wide_dtype(x)))
    return _distance.DogState(
        jax.tree.map(lambda x: jnp.asarray(norm(x), zero(x).dtype), params),
        jax.tree.map(zero, params),
        _estimated.start_of(params),
    )

  def update(grads, state, params, multiply):
    one = _estimated.scalar(1.0)
    rate = multiply(one)

    def leaf(g, distance, total, x0, x):
      kept = distance.dtype
      wide = _leafwise.wide_dtype(x)
      gone = _norm(jnp.asarray(x, wide) - jnp.asarray(x0, wide))
      distance = jnp.maximum(distance, gone.astype(kept))
      total = total + jnp.sum(_leafwise.square(g)).astype(kept)
      estimate = begin.estimate(distance, total + jnp.asarray(eps, kept))
      step = _estimated.times(-rate * estimate, g)
      return step, distance.astype(kept), total.astype(kept)

    steps, distance, total = _leafwise.leafwise(
        leaf, 3, grads, state.distance, state.sum_of_squares, state.start, params
    )
    return steps, _distance.DogState(distance, total, state.start), one

  method = _estimated.Method(init, update, 1.0)
  return _distance.finish(
      owner, method, learning_rate, weight_decay, mask, average_gamma
  )


def _norm(x: jax.Array) -> jax.Array:
  return jnp.sqrt(jnp.sum(_leafwise.square(x)))
