"""RMSProp's direction: the gradient over the root of an average square."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _bias_correction
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


class ScaleByRmsState(NamedTuple):
  """State of `scale_by_rms`."""

  count: jax.Array  # int32, (): updates seen
  mu: Any  # average gradient, as nu; None if not centred
  nu: chex.ArrayTree  # average square, parameters' shapes, float32 or wider


@scheduled('eps', averages=('decay',))
def scale_by_rms(
    decay: Numeric = 0.9,
    eps: Numeric = 1e-8,
    initial_scale: Numeric = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
    centered: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Divides the gradient by the root of an average of its square.

  Formula:
    nu = decay * nu + (1 - decay) * g ** 2
    update = g / sqrt(nu + eps), or g / (sqrt(nu) + eps) without `eps_in_sqrt`

    with `centered`, mu = decay * mu + (1 - decay) * g, and max(0, nu - mu ** 2)
    takes the place of nu; with `bias_correction`, mu and nu are divided by
    1 - decay ** t first.

    decay and eps may be schedules: see `ScheduledState`. Where decay moves,
    decay ** t is the product of its values so far.

  Args:
    decay: share of the averages that is kept, in [0, 1).
    eps: keeps the divisor above 0, >= 0.
    initial_scale: what nu starts from, >= 0.
    eps_in_sqrt: whether eps is added under the root.
    bias_correction: whether to correct the averages for their start at 0.
    centered: whether to divide by the standard deviation instead.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScaleByRmsState`. Updates
    keep their dtype; where the divisor is 0 the update is 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012; centred:
    Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
    equations 38 to 41. The same as Optax's `scale_by_rms` and `scale_by_stddev`
    and, with `eps_in_sqrt=False`, as PyTorch; neither of them keeps the
    variance from falling below 0 by rounding, which gives NaN for a constant
    gradient and a small eps.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_rms(decay=0.75, eps=0.0)
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> float(updates['w'])
    -2.0
  """
  owner = 'scale_by_rms'
  decay = _checks.decay(owner, 'decay', decay)
  eps = _checks.non_negative(owner, 'eps', eps)
  start = _checks.non_negative(owner, 'initial_scale', initial_scale)
  eps_in_sqrt = _checks.flag(owner, 'eps_in_sqrt', eps_in_sqrt)
  centered = _checks.flag(owner, 'centered', centered)
  correct = _checks.flag(owner, 'bias_correction', bias_correction)

  def init(params):
    return ScaleByRmsState(
        count=jnp.zeros((), jnp.int32),
        mu=_leafwise.wide_zeros(params, real=False) if centered else None,
        nu=_leafwise.wide_zeros(params, start),
    )

  def update(updates, state, params=None, **extra_args):
    del params
    count: Any = optax.safe_increment(state.count)
    weight = jnp.ones(())
    if correct:
      weights = extra_args.get('average_weights', {})
      weight = _bias_correction.bias_correction(decay, count, weights.get('decay'))

    def leaf(g, nu, *mean):
      wide = g.astype(_leafwise.wide_dtype(g))
      kept, share = nu.dtype, weight.astype(nu.dtype)
      nu = decay * nu + (1 - decay) * _leafwise.square(wide).astype(nu.dtype)
      variance = nu / share
      if mean:
        moment = decay * mean[0].astype(wide.dtype) + (1 - decay) * wide
        variance -= _leafwise.square(moment / share)
        variance = jnp.maximum(variance, 0)
        mean = (moment.astype(mean[0].dtype),)
      root = jnp.sqrt(variance + eps) if eps_in_sqrt else jnp.sqrt(variance) + eps
      step = _leafwise.safe_divide(wide, root).astype(g.dtype)
      return step, nu.astype(kept), *mean

    if centered:
      steps, nu, mu = _leafwise.leafwise(leaf, 3, updates, state.nu, state.mu)
    else:
      steps, nu = _leafwise.leafwise(leaf, 2, updates, state.nu)
      mu = None
    return steps, ScaleByRmsState(count, mu, nu)

  return optax.GradientTransformationExtraArgs(init, update)
