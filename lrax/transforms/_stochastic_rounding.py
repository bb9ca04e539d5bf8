"""Rounds the moved parameters up or down by chance, so that small steps count."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lrax.transforms import _bfloat16
from lrax.transforms import _leafwise
from lrax.transforms import _moments
from lrax.transforms._needs_params import needs_params


class StochasticRoundingState(NamedTuple):
  """State of `stochastic_rounding`."""

  count: jax.Array  # int32 (): updates so far, from which the chance comes


def stochastic_rounding() -> optax.GradientTransformationExtraArgs:
  """The last link of a chain: moves bfloat16 parameters by the update on average.

  A step of less than a 512th of a bfloat16 parameter is lost when it is applied,
  every time. Rounded by chance it arrives with the probability that makes the
  expected parameter right. Nothing is kept for it, but parameters become noisy, by
  up to a 128th of themselves; `master_weights` keeps what is lost instead.

  Formula:
    moved = parameter + update, in float32
    rounded = the bfloat16 above or below moved, with moved as its mean
    update = rounded - parameter

    Parameters of other dtypes pass. The chance is a hash of the count of updates
    and of the place: the same in every run and on every replica.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `StochasticRoundingState`.
    Updates of bfloat16 parameters are float32, in which they are exact:
    `optax.apply_updates` gives bfloat16 parameters again, where Equinox's function of
    that name would make them float32. `optax.apply_if_finite` and
    its kin ask for the gradients' dtype: put them in front of this, as in
    `optax.chain(optax.apply_if_finite(tx, 5), lrax.transforms.stochastic_rounding())`.

  Raises:
    ValueError: `update` gets no `params`.
    TypeError: a parameter is float16.

  Source:
    Gupta et al., "Deep Learning with Limited Numerical Precision", 2015, section
    3; of bfloat16 weights Zamirai et al., "Revisiting BFloat16 Training", 2021.

  Example:
    >>> import jax.numpy as jnp
    >>> import optax
    >>> import lrax
    >>> ones = jnp.ones(1000, jnp.bfloat16)
    >>> def mean_after_a_step(*links):
    ...   tx = optax.chain(lrax.sgd(2**-10), *links)
    ...   updates, _ = tx.update(ones, tx.init(ones), ones)
    ...   return float(jnp.mean(optax.apply_updates(ones, updates), dtype='float32'))
    >>> mean_after_a_step()
    1.0
    >>> 0.998 < mean_after_a_step(lrax.transforms.stochastic_rounding()) < 1
    True
  """

  def init(params):
    _bfloat16.refuse_float16('stochastic_rounding', params)
    return StochasticRoundingState(count=jnp.zeros((), jnp.int32))

  def update(updates, state, params=None, **extra_args):
    del extra_args
    params = needs_params('stochastic_rounding', params, 'they are rounded')
    noise = _moments.Noise(state.count)

    def leaf(update, param):
      if not _bfloat16.is_bfloat16(param):
        return (update,)
      before = jnp.asarray(param).astype(jnp.float32)
      moved = before + update.astype(jnp.float32)
      rounded = _bfloat16.round_by_chance(moved, noise.bits(moved.shape))
      return (rounded.astype(jnp.float32) - before,)

    (updates,) = _leafwise.leafwise(leaf, 1, updates, params)
    count: Any = optax.safe_increment(state.count)
    return updates, StochasticRoundingState(count)

  return optax.GradientTransformationExtraArgs(init, update)
