"""D-Adaptation of AdaGrad."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.control import _along
from lrax.optimizers import _estimated
from lrax.optimizers._dadapt_adamw import limited
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


class DadaptAdagradState(NamedTuple):
  """State of `dadapt_adagrad`; grad_sum and spent are in units of estim_lr0."""

  estimate: jax.Array  # rate dtype, (): d, which acts at the next update
  spent: jax.Array  # rate dtype, (): sum of rate ** 2 * |g| ** 2 / scale
  sum_of_squares: chex.ArrayTree  # of |g|, as grad_sum, real
  grad_sum: chex.ArrayTree  # s, parameters' shapes, float32 or wider
  start: chex.ArrayTree  # the parameters at the start

  places_parameters = True  # an update goes to a place, whatever came before


@scheduled('momentum', 'eps', 'growth_rate')
def dadapt_adagrad(
    learning_rate: Any = 1.0,
    momentum: Numeric = 0.0,
    eps: Numeric = 1e-6,
    estim_lr0: Numeric = 1e-6,
    initial_accumulator_value: Numeric = 1e-6,
    *,
    growth_rate: Numeric | None = None,
) -> optax.GradientTransformationExtraArgs:
  """AdaGrad by D-Adaptation: the rate grows to the largest distance of a parameter.

  For convex problems with rare features; elsewhere its authors advise
  `lrax.dadapt_adamw` or `lrax.dadapt_sgd`, whose estimates grow faster.

  `learning_rate` multiplies the estimate d: leave it at 1, or give a schedule
  that is at most 1. `lrax.get_learning_rate` shows the product.

  Formula:
    rate = learning_rate * d
    v = v + g ** 2, scale = sqrt(v) + eps
    s = s + rate * g
    spent = spent + rate ** 2 * sum(g ** 2 / scale)
    d = max(d, min((sum(s ** 2 / scale) - spent) / sum(abs(s)), d * growth_rate))
    x = momentum * x + (1 - momentum) * (x0 - s / scale)

    with the rate of the old d; v starts at `initial_accumulator_value`, and sums
    run over all parameters of the group. momentum, eps and growth_rate may be
    schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the estimate: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    momentum: share of x that is kept, in [0, 1).
    eps: added to the root, >= 0.
    estim_lr0: d at first, > 0; too small rather than too large.
    initial_accumulator_value: v at first, >= 0.
    growth_rate: by how much d may grow in an update, >= 1; None for no limit.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state is a
    `lrax.optimizers.DadaptAdagradState` and ends with a `lrax.LearningRateState`,
    whose rate is the product; an override replaces the product. Updates keep their
    dtype. `update` needs `params`. A rate of 0 or zero gradients at first leave d
    where it is. A NaN in a gradient is one in every later update.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Defazio and Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", 2023,
    its AdaGrad; in all details as the authors' `DAdaptAdaGrad`, of which eps, the
    momentum and the growth limit are. Optax has none.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(2.0)}
    >>> tx = lrax.dadapt_adagrad(
    ...     eps=0.0, estim_lr0=0.25, initial_accumulator_value=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.25, 0.25)
  """
  owner = 'dadapt_adagrad'
  momentum = _checks.decay(owner, 'momentum', momentum)
  eps = _checks.non_negative(owner, 'eps', eps)
  first = _checks.positive(owner, 'estim_lr0', estim_lr0)
  initial = _checks.non_negative(
      owner, 'initial_accumulator_value', initial_accumulator_value
  )
  growth = _checks.optional(_checks.at_least_one)(owner, 'growth_rate', growth_rate)
  scalar, times = _estimated.scalar, _estimated.times

  def init(params):
    return DadaptAdagradState(
        estimate=scalar(first),
        spent=scalar(0.0),
        sum_of_squares=_leafwise.wide_zeros(params, initial),
        grad_sum=_leafwise.wide_zeros(params, real=False),
        start=_estimated.start_of(params),
    )

  def update(grads, state, params, multiply):
    d, d0 = state.estimate, scalar(first)
    # Of d0 as the unit: the squares of 1e-6 times a gradient may be no numbers.
    unit = d * multiply(d) / d0
    squares = jax.tree.map(
        lambda v, g: v + _leafwise.square(g), state.sum_of_squares, grads
    )
    grad_sum = jax.tree.map(lambda s, g: s + times(unit, g), state.grad_sum, grads)

    def scaled(x, v):
      return _leafwise.safe_divide(x, jnp.sqrt(v) + jnp.asarray(eps, v.dtype))

    def weighed(tree):
      return _along.inner(tree, jax.tree.map(scaled, tree, squares))

    spent = state.spent + unit**2 * weighed(grads)
    found = d0 * _leafwise.safe_divide(
        weighed(grad_sum) - spent, _estimated.sum_of_sizes(grad_sum)
    )

    def step(s, v, x0, x):
      moved = jnp.asarray(x0, s.dtype) - jnp.asarray(x, s.dtype)
      return times(1 - momentum, moved - times(d0, scaled(s, v)))

    steps = jax.tree.map(step, grad_sum, squares, state.start, params)
    state = DadaptAdagradState(
        scalar(limited(d, found, growth)), scalar(spent), squares, grad_sum,
        state.start,
    )
    return steps, state, d

  method = _estimated.Method(init, update, first)
  return _estimated.optimizer(owner, method, as_schedule(learning_rate, owner))
