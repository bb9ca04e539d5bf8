"""Prodigy: Adam that estimates its rate from how far it has come."""

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
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise
from lrax.transforms._bias_correction import bias_correction as _weight
from lrax.transforms._scheduled import scheduled


class ProdigyState(NamedTuple):
  """State of `prodigy`; mu, nu and the sums are those of estim_lr0 = 1."""

  count: jax.Array  # int32, (): updates seen
  estimate: jax.Array  # rate dtype, (): d, which acts at the next update
  largest: jax.Array  # rate dtype, (): the largest d that was found
  numerator: jax.Array  # rate dtype, (): average of <g, x0 - x>
  mu: chex.ArrayTree  # average of d * g, parameters' shapes, float32 or wider
  nu: chex.ArrayTree  # average of |d * g| ** 2, as mu, real
  grad_sum: chex.ArrayTree  # average of gradients that the estimate uses, as mu
  start: chex.ArrayTree  # the parameters at the start


@scheduled('eps', 'estim_lr_coef', 'weight_decay', 'growth_rate')
def prodigy(
    learning_rate: Any = 1.0,
    betas: tuple[Numeric, Numeric] = (0.9, 0.999),
    beta3: Numeric | None = None,
    eps: Numeric = 1e-8,
    estim_lr0: Numeric = 1e-6,
    estim_lr_coef: Numeric = 1.0,
    weight_decay: Numeric = 0.0,
    safeguard_warmup: bool = False,
    *,
    growth_rate: Numeric | None = None,
    bias_correction: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Prodigy: AdamW whose rate grows to what the distance travelled asks for.

  `learning_rate` multiplies the estimate d: leave it at 1, or give a schedule
  that is at most 1. `lrax.get_learning_rate` shows the product.

  Formula:
    rate = learning_rate * d
    r = beta3 * r + learning_rate * d ** 2 * <g, x0 - x>
    s = beta3 * s + learning_rate * d ** 2 * g
    mu = b1 * mu + (1 - b1) * d * g
    nu = b2 * nu + (1 - b2) * (d * g) ** 2
    d = max(d, min(estim_lr_coef * r / sum(abs(s)), d * growth_rate))
    x -= rate * (mu / (sqrt(nu) + d * eps) + weight_decay * x)

    with the rate of the old d; sums and the inner product run over all parameters
    of the group. With `bias_correction`, the step and the weight of r and s are
    multiplied by sqrt(1 - b2 ** t) / (1 - b1 ** t); the decay too. eps,
    estim_lr_coef, weight_decay and growth_rate may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the estimate: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    betas: b1 and b2, the shares of the averages that are kept, in [0, 1).
    beta3: that of r and s, in [0, 1); None for sqrt(b2).
    eps: added to the root, times d, >= 0.
    estim_lr0: d at first, > 0; too small rather than too large.
    estim_lr_coef: multiplies what is found, > 0.
    weight_decay: coefficient of the decoupled decay, >= 0.
    safeguard_warmup: whether s leaves out the learning rate, which makes the
      estimate smaller while a warm-up lasts.
    growth_rate: by how much d may grow in an update, >= 1; None for no limit.
      Until d has left `estim_lr0` there is none.
    bias_correction: whether the averages are corrected for their start at 0.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state is a
    `lrax.optimizers.ProdigyState` and ends with a `lrax.LearningRateState`, whose
    rate is the product; an override replaces the product. Updates keep their
    dtype. `update` needs `params`. A rate of 0 or zero gradients at first leave d
    where it is. A NaN in a gradient is one in every update: put it in
    `optax.apply_if_finite`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Mishchenko and Defazio, "Prodigy", 2023, algorithm 4. As in the authors' package,
    and in Optax, eps is scaled by the new d, in the paper by the old one; growth
    limit, safeguard and correction are the package's. Where the rate is 0 the
    package leaves its averages as they are; its slice_p, which estimates from
    every p-th number, is not here. Optax has neither limit nor
    option of the correction, and gives NaN where the first rate or the first
    gradient is 0.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(1.0)}
    >>> tx = lrax.prodigy(estim_lr0=0.25, betas=(0.0, 0.0), eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.25, 0.25)
  """
  owner = 'prodigy'
  b1, b2 = pair(owner, betas)
  if beta3 is not None:
    beta3 = _checks.decay(owner, 'beta3', beta3)
  eps = _checks.non_negative(owner, 'eps', eps)
  first = _checks.positive(owner, 'estim_lr0', estim_lr0)
  coefficient = _checks.positive(owner, 'estim_lr_coef', estim_lr_coef)
  decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  safeguard = _checks.flag(owner, 'safeguard_warmup', safeguard_warmup)
  growth = _checks.optional(_checks.at_least_one)(owner, 'growth_rate', growth_rate)
  correct = _checks.flag(owner, 'bias_correction', bias_correction)

  def init(params):
    zeros = lambda: _leafwise.wide_zeros(params, real=False)
    return ProdigyState(
        count=jnp.zeros((), jnp.int32),
        estimate=_estimated.scalar(first),
        largest=_estimated.scalar(first),
        numerator=_estimated.scalar(0.0),
        mu=zeros(),
        nu=_leafwise.wide_zeros(params),
        grad_sum=zeros(),
        start=_estimated.start_of(params),
    )

  def update(grads, state, params, multiply):
    scalar, times = _estimated.scalar, _estimated.times
    count: Any = optax.safe_increment(state.count)
    d, d0 = state.estimate, scalar(first)
    kept = jnp.sqrt(scalar(b2)) if beta3 is None else scalar(beta3)
    size = d * multiply(d)
    if correct:
      size = size * jnp.sqrt(_weight(b2, count)) / _weight(b1, count)
    # Of d0 as the unit: the squares of 1e-6 times a gradient may be no numbers.
    unit = d / d0
    travelled = jax.tree.map(
        lambda x0, x: _wide(x0) - _wide(x), state.start, params
    )
    numerator = kept * state.numerator + unit * size * _along.inner(
        grads, travelled
    )
    weight = unit * (d if safeguard else size)
    grad_sum = jax.tree.map(
        lambda s, g: times(kept, s) + times(weight, g), state.grad_sum, grads
    )
    mu = jax.tree.map(
        lambda m, g: times(b1, m) + times((1 - b1) * unit, g), state.mu, grads
    )
    nu = jax.tree.map(
        lambda v, g: times(b2, v) + (times(1 - b2, _leafwise.square(times(unit, g)))),
        state.nu, grads,
    )
    found = coefficient * _leafwise.safe_divide(
        numerator, _estimated.sum_of_sizes(grad_sum)
    )
    largest = jnp.maximum(state.largest, found)
    new = largest
    if growth is not None:
      limit = jnp.where(d == d0, largest, d * growth)
      new = jnp.minimum(largest, limit)

    def step(m, v, x):
      divisor = jnp.sqrt(v) + (new / d0 * eps).astype(v.dtype)
      return times(-size, _leafwise.safe_divide(m, divisor) + times(decay, _wide(x)))

    steps = jax.tree.map(step, mu, nu, params)
    state = ProdigyState(
        count, scalar(new), scalar(largest), scalar(numerator), mu, nu,
        grad_sum, state.start,
    )
    return steps, state, d

  method = _estimated.Method(init, update, first)
  return _estimated.optimizer(owner, method, as_schedule(learning_rate, owner))


def pair(owner: str, betas: Any) -> tuple[Any, Any]:
  """The two shares of `betas`, checked."""
  if not isinstance(betas, (tuple, list)) or len(betas) != 2:
    raise _checks.refuse(
        owner, 'betas', 'two numbers in [0, 1)', betas, 'for example (0.9, 0.999)',
        TypeError,
    )
  b1, b2 = (_checks.decay(owner, f'betas[{i}]', b) for i, b in enumerate(betas))
  return b1, b2


def _wide(x: Any) -> jax.Array:
  return jnp.asarray(x, _leafwise.wide_dtype(x))
