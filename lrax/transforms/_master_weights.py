"""Keeps the digits of the parameters that bfloat16 has no room for."""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax.transforms import _bfloat16
from lrax.transforms import _leafwise
from lrax.transforms._needs_params import needs_params


class MasterWeightsState(NamedTuple):
  """State of `master_weights`; a parameter and its lost bits are a float32."""

  lost: chex.ArrayTree  # int16, shapes of the bfloat16 parameters; () for others


def master_weights() -> optax.GradientTransformationExtraArgs:
  """The last link of a chain: float32 weights behind bfloat16 parameters.

  A step of less than a 512th of a bfloat16 parameter is lost when it is applied,
  every time. This keeps the lower half of the float32 weight, of which the
  parameter is the upper one: 2 bytes a parameter, where a float32 copy takes 4.

  Formula:
    weight = parameter and lost, the two halves of a float32
    weight = weight + update
    parameter = the bfloat16 nearest to weight, lost = the rest of its bits
    update = parameter - parameter before

    Parameters of other dtypes pass. Decay and all else in front of this see the
    parameters. Where they are changed from outside, the lost bits, less than a
    256th, are still added.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `MasterWeightsState`. Updates
    of bfloat16 parameters are float32, in which they are exact:
    `optax.apply_updates` gives bfloat16 parameters again, where Equinox's function of
    that name would make them float32. `optax.apply_if_finite` and
    its kin ask for the gradients' dtype: put them in front of this, as in
    `optax.chain(optax.apply_if_finite(tx, 5), lrax.transforms.master_weights())`.

  Raises:
    ValueError: `update` gets no `params`.
    TypeError: a parameter is float16.

  Source:
    Micikevicius et al., "Mixed Precision Training", 2018, section 3.1; the halves
    as in Zamirai et al., "Revisiting BFloat16 Training", 2021, who keep the
    rounding error in a bfloat16 of its own (Kahan).

  Example:
    >>> import jax.numpy as jnp
    >>> import optax
    >>> import lrax
    >>> x = jnp.ones((), jnp.bfloat16)
    >>> tx = optax.chain(lrax.sgd(2**-10), lrax.transforms.master_weights())
    >>> state = tx.init(x)
    >>> for _ in range(8):
    ...   updates, state = tx.update(jnp.ones_like(x), state, x)
    ...   x = optax.apply_updates(x, updates)
    >>> float(x)  # 1 - 8 / 1024
    0.9921875
  """

  def init(params):
    _bfloat16.refuse_float16('master_weights', params)
    return MasterWeightsState(jax.tree.map(_nothing_lost, params))

  def update(updates, state, params=None, **extra_args):
    del extra_args
    params = needs_params('master_weights', params, 'they are half of the weights')

    def leaf(update, param, lost):
      if not _bfloat16.is_bfloat16(param):
        return update, lost
      param = jnp.asarray(param)
      weight = _bfloat16.join(param, lost) + update.astype(jnp.float32)
      nearest, lost = _bfloat16.split(weight)
      return nearest.astype(jnp.float32) - param.astype(jnp.float32), lost

    updates, lost = _leafwise.leafwise(leaf, 2, updates, params, state.lost)
    return updates, MasterWeightsState(lost)

  return optax.GradientTransformationExtraArgs(init, update)


def _nothing_lost(x):
  return jnp.zeros_like(x, dtype=jnp.int16) if _bfloat16.is_bfloat16(x) else ()
