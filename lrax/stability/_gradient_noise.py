"""The gradient's noise from two batch sizes, while training runs."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _types
from lrax._sum_all import sum_all
from lrax.stability import _flat

_batch = _checks.number('a finite number > 0', lambda x: x > 0, 'count examples')


class SquaredNorms(NamedTuple):
  """What the noise is estimated from: two squared norms of gradients."""

  small: Any  # (): the mean of the squared norms of the small batches' gradients
  big: Any  # (): the squared norm of their mean, the big batch's gradient


class GradientNoise(NamedTuple):
  """Unbiased estimates from one step; each alone is noisy and may be negative."""

  squared_norm: Any  # of the whole gradient
  trace: Any  # of the covariance of one example's gradient


class NoiseState(NamedTuple):
  """Running averages of the estimates; from it, the noise scale."""

  squared_norm: jax.Array  # rate dtype, (): average, still to divide by `weight`
  trace: jax.Array  # rate dtype, (): the same
  weight: jax.Array  # rate dtype, (): the same average of ones
  left_out: jax.Array  # int32, (): steps whose norms were not finite

  @property
  def noise_scale(self) -> jax.Array:
    """Examples, the ratio of the averages.

    Infinite where the whole gradient cannot be told from the noise, and NaN where
    the noise cannot be told either, or before any step.
    """
    told = self.squared_norm > 0
    ratio = self.trace / jnp.where(told, self.squared_norm, 1)
    ratio = jnp.where(told, ratio, jnp.inf)
    known = (self.trace > 0) | ((self.trace == 0) & told)
    return jnp.where(known & (self.weight > 0), ratio, jnp.nan)


def squared_norms(gradients: chex.ArrayTree, axis_name: Any = None) -> SquaredNorms:
  """The squared norms of small batches' gradients, and of their mean.

  Args:
    gradients: a pytree of the gradients of batches of one size. With an `axis_name`
      each device's own; without, stacked along the first axis of every leaf, as of
      the micro-batches of an accumulated gradient, 2 at least.
    axis_name: the axis of `jax.pmap` or `jax.shard_map` over whose devices to
      average; more than one, as a tuple.

  Returns:
    A `SquaredNorms` of scalars, float32 or wider, the same on every device. Nothing
    is scaled: a norm above 1e19 is infinite in float32.

  Raises:
    TypeError: a leaf is no array of floating-point numbers.
    ValueError: there are no leaves, or the first axes differ or are below 2.

  Source:
    McCandlish et al., "An Empirical Model of Large-Batch Training", 2018 (arXiv
    1812.06162), appendix A.1.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> two = {'w': jnp.asarray([[3.0, 0.0], [1.0, 2.0]])}  # the mean is [2, 1]
    >>> small, big = lrax.stability.squared_norms(two)
    >>> float(small), float(big)
    (7.0, 5.0)
  """
  owner = 'squared_norms'
  leaves = jax.tree.leaves(gradients)
  if not leaves:
    raise _checks.refuse(
        owner, 'gradients', 'a pytree of arrays', gradients, 'it has no leaves'
    )
  for leaf in leaves:
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
      raise _checks.refuse(
          owner, 'gradients', 'floating-point arrays', f'{jnp.result_type(leaf)}',
          'take them with respect to floating-point parameters', TypeError,
      )
  wide = jax.tree.leaves(_flat.widened(leaves))
  if axis_name is not None:
    own = _square(wide)
    mean = jax.lax.pmean(wide, axis_name)
    return SquaredNorms(jax.lax.pmean(own, axis_name), _square(mean))
  counts = {np.shape(x)[:1] for x in wide}
  if len(counts) > 1 or () in counts or min(counts)[0] < 2:
    raise _checks.refuse(
        owner, 'gradients', 'stacked along one first axis of 2 or more',
        f'leaves of shapes {sorted({np.shape(x) for x in wide})}',
        'or name the axis of the devices with `axis_name`',
    )
  (count,) = counts.pop()
  return SquaredNorms(_square(wide) / count, _square([x.mean(0) for x in wide]))


def _square(leaves: list[jax.Array]) -> jax.Array:
  return sum_all(lambda x: x * x, leaves, jnp.float32)


def gradient_noise(
    small: Any, big: Any, small_batch: Any, big_batch: Any
) -> GradientNoise:
  """Unbiased estimates of the gradient and its noise from two batch sizes.

  Formula:
    squared_norm = (big_batch * big - small_batch * small) / (big_batch - small_batch)
    trace = (small - big) / (1 / small_batch - 1 / big_batch)

  The noise scale is `trace / squared_norm`; but average each over many steps first,
  as `update_noise` does: the mean of the ratios is not the ratio of the means.

  Args:
    small: the mean squared norm of gradients of batches of `small_batch`, >= 0; of
      any shape.
    big: that of gradients of batches of `big_batch`, >= 0.
    small_batch: examples in a small batch, > 0.
    big_batch: examples in a big one, more than `small_batch`. Examples are drawn
      independently: for a big batch that is a good part of all data see
      `noise_scale`.

  Returns:
    A `GradientNoise`.

  Raises:
    TypeError: a batch size is no number.
    ValueError: a batch size is out of range.

  Source:
    McCandlish et al., "An Empirical Model of Large-Batch Training", 2018 (arXiv
    1812.06162), appendix A.1.

  Example:
    >>> import lrax
    >>> noise = lrax.stability.gradient_noise(
    ...     small=9.0, big=2.0, small_batch=1, big_batch=8)
    >>> noise.squared_norm, noise.trace
    (1.0, 8.0)
  """
  owner = 'gradient_noise'
  small_batch = _batch(owner, 'small_batch', small_batch)
  big_batch = _batch(owner, 'big_batch', big_batch)
  known = not any(isinstance(x, Tracer) for x in (small_batch, big_batch))
  if known and not small_batch < big_batch:
    raise _checks.refuse(
        owner, 'big_batch', f'more than `small_batch` = {small_batch}', big_batch,
        'two sizes tell the noise, one does not',
    )
  # Differences of the squares first: they are what is small.
  ratio = big_batch / (big_batch - small_batch)
  noise = (small - big) * ratio  # the trace over small_batch
  return GradientNoise(big - noise * (small_batch / big_batch), noise * small_batch)


def noise_state() -> NoiseState:
  """The averages before any step.

  Args:
    None.

  Returns:
    A `NoiseState`, whose noise scale is NaN.

  Raises:
    Nothing.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> lrax.stability.noise_state().noise_scale
    Array(nan, dtype=float32)
  """
  zero = jnp.zeros((), _types.rate_dtype())
  return NoiseState(zero, zero, zero, jnp.zeros((), jnp.int32))


def update_noise(
    state: NoiseState,
    small: Any,
    big: Any,
    small_batch: Any,
    big_batch: Any,
    decay: Any = 0.99,
) -> NoiseState:
  """The averages after one more step, of gradients at two batch sizes.

  Formula:
    average = decay * average + (1 - decay) * estimate, for each of the estimates
    weight = decay * weight + (1 - decay)
    noise_scale = trace / squared_norm, which needs no division by the weight

  Args:
    state: from `noise_state`, or this function.
    small: the mean squared norm of gradients of small batches, a scalar; see
      `squared_norms`.
    big: that of the big batch's gradient, a scalar.
    small_batch: examples in a small batch: of one device, or one micro-batch.
    big_batch: examples in a big one: of all.
    decay: the share of the averages that is kept, in [0, 1).

  Returns:
    A `NoiseState`. A step with a norm that is not finite is left out and counted.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    McCandlish et al., "An Empirical Model of Large-Batch Training", 2018 (arXiv
    1812.06162), appendix A.1.

  Example:
    >>> import lrax
    >>> state = lrax.stability.noise_state()
    >>> for small in (8.0, 10.0):
    ...   state = lrax.stability.update_noise(state, small, 2.0, 1, 8, decay=0.5)
    >>> round(float(state.noise_scale), 4)
    8.8
  """
  decay = _checks.decay('update_noise', 'decay', decay)
  dtype = _types.rate_dtype()
  small, big = jnp.asarray(small, dtype), jnp.asarray(big, dtype)
  found = gradient_noise(small, big, small_batch, big_batch)
  good = jnp.isfinite(found.squared_norm) & jnp.isfinite(found.trace)

  def average(kept: Any, new: Any) -> Any:
    new = jnp.where(good, new, 0)
    return jnp.where(good, decay * kept + (1 - decay) * new, kept).astype(dtype)

  return NoiseState(
      squared_norm=average(state.squared_norm, found.squared_norm),
      trace=average(state.trace, found.trace),
      weight=average(state.weight, 1.0),
      left_out=state.left_out + jnp.where(good, 0, 1),
  )
