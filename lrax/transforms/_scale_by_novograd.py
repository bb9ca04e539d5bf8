"""NovoGrad's direction: a momentum of gradients of norm 1, array by array."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


@scheduled('b1', 'b2', 'eps', 'eps_root', 'weight_decay')
def scale_by_novograd(
    b1: Numeric = 0.95,
    b2: Numeric = 0.98,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    weight_decay: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    averaging: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Sums gradients, each divided by the average norm of its array.

  Formula:
    nu = b2 * nu + (1 - b2) * ||g|| ** 2, and ||g|| ** 2 as long as nu is 0
    mu = b1 * mu + g / (sqrt(nu + eps_root) + eps) + weight_decay * parameter
    update = mu

    with one nu for each array; with `averaging`, what is added to mu is multiplied
    by 1 - b1. Each number may be a schedule: see `ScheduledState`.

  Args:
    b1: share of mu that is kept, in [0, 1).
    b2: share of the average of squared norms that is kept, in [0, 1).
    eps: added to the root, >= 0.
    eps_root: added under the root, >= 0.
    weight_decay: the decay that goes into mu, >= 0.
    mu_dtype: dtype of mu; None for the parameter's.
    averaging: whether mu is an average, and not 1 / (1 - b1) times one.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByNovogradState`:
    count int32 (), mu in the parameters' shapes, nu one float32 or wider () for
    each array. Updates keep their dtype; where the divisor is 0 nothing is added.
    A NaN in a gradient does not count in its norm.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or `update` is not given `params`.

  Source:
    Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive
    Moments", 2019, algorithm 1, whose nu starts at the first norm; here at the
    first that is not 0. `averaging` is an option of NVIDIA's code. Optax has
    other defaults, 0.9 and 0.25.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_novograd(eps=0.0)
    >>> g = jnp.array([3.0, -4.0])
    >>> updates, _ = tx.update(g, tx.init(g), g)
    >>> [round(float(u), 5) for u in updates]
    [0.6, -0.8]
  """
  owner = 'scale_by_novograd'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  eps_root = _checks.non_negative(owner, 'eps_root', eps_root)
  weight_decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  mu_dtype = _checks.dtype(owner, 'mu_dtype', mu_dtype)
  averaging = _checks.flag(owner, 'averaging', averaging)

  def init(params):
    return optax.ScaleByNovogradState(
        count=jnp.zeros((), jnp.int32),
        mu=_leafwise.zeros(params, mu_dtype),
        nu=jax.tree.map(_zero, params),
    )

  def update(updates, state, params=None, **extra_args):
    del extra_args
    if params is None:
      raise ValueError(
          f'{owner}: `params` must be given to update, got None; the weights decay'
          ' with them: call tx.update(grads, state, params).'
      )
    count: Any = optax.safe_increment(state.count)

    def leaf(g, mu, nu, param):
      wide = _leafwise.wide_dtype(g)
      gradient = g.astype(wide)
      new = _leafwise.square(gradient)
      new = jnp.sum(jnp.where(jnp.isnan(new), 0, new))
      square = jnp.where(nu == 0, new, b2 * nu + (1 - b2) * new)
      added = _leafwise.safe_divide(gradient, jnp.sqrt(square + eps_root) + eps)
      added += weight_decay * jnp.asarray(param, wide)
      moment = b1 * mu.astype(wide) + (1 - b1 if averaging else 1) * added
      return moment.astype(g.dtype), moment.astype(mu.dtype), square.astype(nu.dtype)

    steps, mu, nu = _leafwise.leafwise(
        leaf, 3, updates, state.mu, state.nu, params
    )
    return steps, optax.ScaleByNovogradState(count, mu, nu)

  return optax.GradientTransformationExtraArgs(init, update)


def _zero(x: Any) -> jax.Array:
  return jnp.zeros((), _leafwise.real_dtype(_leafwise.wide_dtype(x)))
