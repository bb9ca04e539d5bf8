"""AMSGrad's direction: Adam's, whose divisor never shrinks."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._bias_correction import bias_correction
from lrax.transforms._scheduled import scheduled


@scheduled('eps', 'eps_root', averages=('b1', 'b2'))
def scale_by_amsgrad(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = False,
    bias_correction_nu: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Adam's direction over the root of the largest average square so far.

  Formula:
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g ** 2
    nu_max = max(nu_max, nu)
    update = mu / (sqrt(nu_max + eps_root) + eps)

    with `bias_correction_mu`, mu / (1 - b1 ** t) is used, and with
    `bias_correction_nu`, nu / (1 - b2 ** t) enters the maximum.

    Each number may be a schedule: see `ScheduledState`. Where b1 moves, b1 ** t is
    the product of its values so far; so for b2.

  Args:
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root, >= 0.
    eps_root: added under the root, >= 0.
    mu_dtype: dtype of mu; None for the parameter's.
    bias_correction_mu: whether to correct mu for its start at 0.
    bias_correction_nu: whether to correct nu before the maximum.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByAmsgradState`.
    Updates keep their dtype; where the divisor is 0 the update is 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", 2018,
    algorithm 2, which corrects neither; eps is not in the paper. Optax corrects
    both by default: pass True twice. PyTorch's `Adam(amsgrad=True)` takes the
    maximum first and corrects it afterwards, which is neither.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_amsgrad(b1=0.0, b2=0.75, eps=0.0)
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> float(updates['w'])
    -2.0
  """
  owner = 'scale_by_amsgrad'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  eps = _checks.non_negative(owner, 'eps', eps)
  eps_root = _checks.non_negative(owner, 'eps_root', eps_root)
  correct_mu = _checks.flag(owner, 'bias_correction_mu', bias_correction_mu)
  correct_nu = _checks.flag(owner, 'bias_correction_nu', bias_correction_nu)
  mu_dtype = _checks.dtype('scale_by_amsgrad', 'mu_dtype', mu_dtype)

  def init(params):
    return optax.ScaleByAmsgradState(
        count=jnp.zeros((), jnp.int32),
        mu=_leafwise.zeros(params, mu_dtype),
        nu=_leafwise.wide_zeros(params),
        nu_max=_leafwise.wide_zeros(params),
    )

  def update(updates, state, params=None, **extra_args):
    del params
    count: Any = optax.safe_increment(state.count)
    weights = extra_args.get('average_weights', {})
    one = jnp.ones(())
    mu_weight = one
    if correct_mu:
      mu_weight = bias_correction(b1, count, weights.get('b1'))
    nu_weight = one
    if correct_nu:
      nu_weight = bias_correction(b2, count, weights.get('b2'))

    def leaf(g, mu, nu, nu_max):
      wide = _leafwise.wide_dtype(g)
      gradient, moment = g.astype(wide), mu.astype(wide)
      moment = b1 * moment + (1 - b1) * gradient
      square = _leafwise.square(gradient).astype(nu.dtype)
      nu = (b2 * nu + (1 - b2) * square).astype(nu.dtype)
      largest = jnp.maximum(nu_max, nu / nu_weight.astype(nu.dtype))
      root = jnp.sqrt(largest + eps_root) + eps
      hat = moment / mu_weight.astype(nu.dtype)
      step = _leafwise.safe_divide(hat, root).astype(g.dtype)
      return step, moment.astype(mu.dtype), nu, largest

    steps, mu, nu, nu_max = _leafwise.leafwise(
        leaf, 4, updates, state.mu, state.nu, state.nu_max
    )
    return steps, optax.ScaleByAmsgradState(count, mu, nu, nu_max)

  return optax.GradientTransformationExtraArgs(init, update)
