"""Adam's direction, plain or with Nesterov's momentum."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._traced_once import traced_once
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms import _moments
from lrax.transforms._bias_correction import bias_correction
from lrax.transforms._bias_correction import gather
from lrax.transforms._scheduled import scheduled


@scheduled('eps', 'eps_root', averages=('b1', 'b2'))
def scale_by_adam(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: Any = None,
    *,
    nu_dtype: Any = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Divides an average of the gradient by the root of one of its square.

  Formula:
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g ** 2
    mu_hat = mu / (1 - b1 ** t), nu_hat = nu / (1 - b2 ** t)
    update = mu_hat / (sqrt(nu_hat + eps_root) + eps)

    with `nesterov`, mu_hat = b1 * mu / (1 - b1 ** (t + 1))
    + (1 - b1) * g / (1 - b1 ** t); t counts updates from 1.

    Each number may be a schedule: see `ScheduledState`. Where b1 moves, b1 ** t is
    the product of its values so far, and b1 ** (t + 1) that times the latest;
    so for b2.

  Args:
    b1: share of the average of gradients that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    eps: added to the root, >= 0.
    eps_root: added under the root, >= 0; above 0 it makes derivatives through
      the update finite where a gradient is 0.
    mu_dtype: dtype of mu; None for the parameter's; 'block8' for 8 bits a number,
      see `Block8`.
    nu_dtype: how nu is kept: None for float32 or wider; 'block8'; or bfloat16,
      rounded up or down by chance, without which it would not decay.
    nesterov: whether to look one step ahead, as Nadam does.

  Returns:
    An `optax.GradientTransformationExtraArgs` with `optax.ScaleByAdamState`:
    count int32 (), mu and nu in the parameters' shapes, nu in float32 or wider.
    Updates keep their dtype and are computed in float32 or wider; a zero
    gradient gives a finite update for every eps.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Kingma and Ba, "Adam", 2015, algorithm 1; Dozat, "Incorporating Nesterov
    Momentum into Adam", 2016, algorithm 2 with a constant momentum. The same
    as Optax and, with eps_root = 0, PyTorch in float32 and float64; for
    bfloat16 parameters both keep nu in bfloat16, where it never decays. Under a
    b1 or b2 that moves, both, and Keras, still divide by 1 - b1 ** t of the
    latest b1, which is not the weight that mu has gathered.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_adam(eps=0.0)
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> round(float(updates['w']), 5)
    -1.0
  """
  b1 = _checks.decay('scale_by_adam', 'b1', b1)
  b2 = _checks.decay('scale_by_adam', 'b2', b2)
  eps = _checks.non_negative('scale_by_adam', 'eps', eps)
  eps_root = _checks.non_negative('scale_by_adam', 'eps_root', eps_root)
  nesterov = _checks.flag('scale_by_adam', 'nesterov', nesterov)
  gradients = _moments.Moment('scale_by_adam', 'mu_dtype', mu_dtype)
  squares = _moments.Moment('scale_by_adam', 'nu_dtype', nu_dtype, squares=True)

  def init(params):
    return optax.ScaleByAdamState(
        count=jnp.zeros((), jnp.int32),
        mu=gradients.zeros(params),
        nu=squares.zeros(params),
    )

  def update(updates, state, params=None, **extra_args):
    del params
    count: Any = optax.safe_increment(state.count)
    weights = extra_args.get('average_weights', {})
    now = bias_correction(b1, count, weights.get('b1'))
    root = bias_correction(b2, count, weights.get('b2'))
    following: Any = optax.safe_increment(count)
    gathered = gather(b1, weights['b1']) if 'b1' in weights else None
    ahead = bias_correction(b1, following, gathered)

    noise = _moments.Noise(count)

    def leaf(g, mu, nu):
      wide = _leafwise.wide_dtype(g)
      real = _leafwise.real_dtype(wide)
      gradient = g.astype(wide)
      moment, mu = gradients.average(mu, b1, gradient, noise)
      square, nu = squares.average(nu, b2, gradient, noise)
      if nesterov:
        hat = b1 * moment / ahead.astype(real)
        hat += (1 - b1) * gradient / now.astype(real)
      else:
        hat = moment / now.astype(real)
      scale = jnp.sqrt(square / root.astype(real) + eps_root) + eps
      step = _leafwise.safe_divide(hat, scale, eps).astype(g.dtype)
      return step, mu, nu

    if not (gradients.by_chance or squares.by_chance):
      leaf = traced_once(leaf, updates)
    steps, mu, nu = _leafwise.leafwise(leaf, 3, updates, state.mu, state.nu)
    return steps, optax.ScaleByAdamState(count, mu, nu)

  return optax.GradientTransformationExtraArgs(init, update)
