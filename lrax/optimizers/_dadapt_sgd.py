"""D-Adaptation of gradient descent."""

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


class DadaptSgdState(NamedTuple):
  """State of `dadapt_sgd`."""

  estimate: jax.Array  # rate dtype, (): d, which acts at the next update
  first_norm: jax.Array  # rate dtype, (): norm of the first gradient; 0: none yet
  numerator: jax.Array  # rate dtype, (): sum of rate * <g, s>
  grad_sum: chex.ArrayTree  # s, parameters' shapes, float32 or wider
  start: chex.ArrayTree  # the parameters at the start

  places_parameters = True  # an update goes to a place, whatever came before


@scheduled('momentum', 'growth_rate')
def dadapt_sgd(
    learning_rate: Any = 1.0,
    momentum: Numeric = 0.0,
    estim_lr0: Numeric = 1e-6,
    *,
    growth_rate: Numeric | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Gradient descent by D-Adaptation: the rate is distance over gradient.

  `learning_rate` multiplies the estimate d / norm(first gradient): leave it at 1,
  or give a schedule that is at most 1. `lrax.get_learning_rate` shows the product.

  Formula:
    rate = learning_rate * d / norm(g_1)
    r = r + rate * <g, s>, s = s + rate * g
    d = max(d, min(2 * r / norm(s), d * growth_rate))
    x = momentum * x + (1 - momentum) * (x0 - s)

    with s of before in r, and the rate of the old d; norms and the inner product
    run over all parameters of the group. g_1 is the first gradient that is not 0.
    momentum and growth_rate may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the estimate: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    momentum: share of x that is kept, in [0, 1).
    estim_lr0: d at first, > 0; too small rather than too large.
    growth_rate: by how much d may grow in an update, >= 1; None for no limit.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state is a
    `lrax.optimizers.DadaptSgdState` and ends with a `lrax.LearningRateState`, whose
    rate is the product, 0 before the first update, which needs a gradient; an
    override replaces the product. Updates keep their dtype. `update` needs
    `params`. A NaN in a gradient is one in every later update.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Defazio and Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", 2023,
    algorithm 4; as the authors' `DAdaptSGD`, which divides by 0 where the first
    gradient is 0. Optax has none.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(2.0)}
    >>> tx = lrax.dadapt_sgd(estim_lr0=0.25)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.25, 0.125)
  """
  owner = 'dadapt_sgd'
  momentum = _checks.decay(owner, 'momentum', momentum)
  first = _checks.positive(owner, 'estim_lr0', estim_lr0)
  growth = _checks.optional(_checks.at_least_one)(owner, 'growth_rate', growth_rate)
  scalar, times = _estimated.scalar, _estimated.times

  def init(params):
    return DadaptSgdState(
        estimate=scalar(first),
        first_norm=scalar(0.0),
        numerator=scalar(0.0),
        grad_sum=_leafwise.wide_zeros(params, real=False),
        start=_estimated.start_of(params),
    )

  def update(grads, state, params, multiply):
    d, norm = state.estimate, state.first_norm
    now = jnp.sqrt(_estimated.sum_of_squares(grads))
    norm = jnp.where(norm == 0, now, norm)
    estimate = _leafwise.safe_divide(d, norm)
    size = estimate * multiply(estimate)
    numerator = state.numerator + size * _along.inner(grads, state.grad_sum)
    grad_sum = jax.tree.map(
        lambda s, g: s + times(size, g), state.grad_sum, grads
    )
    length = jnp.sqrt(_estimated.sum_of_squares(grad_sum))
    found = 2 * _leafwise.safe_divide(numerator, length)

    def step(s, x0, x):
      wide = jnp.asarray(x, s.dtype)
      return times(1 - momentum, jnp.asarray(x0, s.dtype) - wide - s)

    steps = jax.tree.map(step, grad_sum, state.start, params)
    state = DadaptSgdState(
        scalar(limited(d, found, growth)), scalar(norm), scalar(numerator),
        grad_sum, state.start,
    )
    return steps, state, estimate

  method = _estimated.Method(init, update, 0.0)
  return _estimated.optimizer(owner, method, as_schedule(learning_rate, owner))
