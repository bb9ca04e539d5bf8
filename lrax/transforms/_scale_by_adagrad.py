"""AdaGrad's direction: the gradient over the root of its squares so far."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled


class ScaleByAdagradState(NamedTuple):
  """State of `scale_by_adagrad`."""

  sum_of_squares: chex.ArrayTree  # parameters' shapes, float32 or wider


@scheduled('eps')
def scale_by_adagrad(
    initial_accumulator_value: Numeric = 0.0,
    eps: Numeric = 1e-10,
    eps_in_sqrt: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """Divides the gradient by the root of the sum of its squares so far.

  Formula:
    s = s + g ** 2
    update = g / (sqrt(s) + eps), or g / sqrt(s + eps) with `eps_in_sqrt`

    eps may be a schedule: see `ScheduledState`.

  Args:
    initial_accumulator_value: what s starts from, >= 0.
    eps: the paper's delta, >= 0.
    eps_in_sqrt: whether eps is added under the root.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScaleByAdagradState`.
    Updates keep their dtype; where s is 0 the update is 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011, figure 1,
    diagonal case, H = delta * I + diag(s); PyTorch's defaults. Optax starts s
    at 0.1 with 1e-7 under the root: `(0.1, 1e-7, eps_in_sqrt=True)` gives that.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_adagrad()
    >>> updates, _ = tx.update({'w': jnp.array(-3.0)}, tx.init({'w': jnp.ones(())}))
    >>> float(updates['w'])
    -1.0
  """
  owner = 'scale_by_adagrad'
  start = _checks.non_negative(
      owner, 'initial_accumulator_value', initial_accumulator_value
  )
  eps = _checks.non_negative(owner, 'eps', eps)
  eps_in_sqrt = _checks.flag(owner, 'eps_in_sqrt', eps_in_sqrt)

  def init(params):
    return ScaleByAdagradState(_leafwise.wide_zeros(params, start))

  def update(updates, state, params=None, **extra_args):
    del params, extra_args

    def leaf(g, s):
      wide = g.astype(_leafwise.wide_dtype(g))
      s = s + _leafwise.square(wide).astype(s.dtype)
      root = jnp.sqrt(s + eps) if eps_in_sqrt else jnp.sqrt(s) + eps
      return _leafwise.safe_divide(wide, root).astype(g.dtype), s

    steps, s = _leafwise.leafwise(leaf, 2, updates, state.sum_of_squares)
    return steps, ScaleByAdagradState(s)

  return optax.GradientTransformationExtraArgs(init, update)
