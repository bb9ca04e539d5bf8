"""Rates refined from the gradient norms of a run before."""

from __future__ import annotations

from typing import Any

import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _types
from lrax.stability import _schedule_rates

_WINDOWS = 2**22  # numbers that are sorted together, where traced

POWERS = {'l2': 2, 'l1': 1}
norm_kind = _checks.choice(*POWERS)


def refined_rates(norms: Any, *, smoothing: float = 0.1, norm: str = 'l2') -> Any:
  """The schedule that suits the gradient norms of a run before.

  Where gradients are large the rate should be small; and it should fall towards the
  end, linearly where the norms do not change. Norms that fall quickly at first give
  a warmup, and norms that rise at the end an earlier decay.

  Formula:
    smooth = the median of the norms around each step, over `smoothing` of all steps
    weights = smooth**-2 for 'l2', smooth**-1 for 'l1'
    rates[t] = weights[t] * sum(weights[t + 1:]), divided by the largest

  Before the first step the first norm counts as before it, and after the last one
  the norms are mirrored. All is done in logarithms, so no range of norms is too
  wide. Where the norms are known NumPy does it in float64, else JAX; then `jax.vmap`
  and `jax.grad` go through them, but it takes time in proportion to the steps times
  the width of the median.

  Args:
    norms: the norm of the gradient at each step, (steps,) with 2 steps at least,
      finite and > 0. For SGD the Euclidean norm; for Adam and its kin, whose steps
      are as long in every coordinate, the sum of absolute values.
    smoothing: over what share of the steps the median goes, in [0, 1]; 0 for the
      norms as they are. Noise in the norms is noise in the rates.
    norm: which norm the norms are: 'l2' or 'l1'.

  Returns:
    The rates, (steps,): the largest is 1 and the last 0. All NaN where a traced
    norm is not finite or not > 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or there are fewer than 2 norms.

  Source:
    Defazio et al., "When, Why and How Much? Adaptive Learning Rate Scheduling by
    Refinement", 2023 (arXiv 2310.07831), and their code, from which the padding of
    the median is. They do not divide by the largest inside the algorithm.

  Example:
    >>> import lrax
    >>> lrax.stability.refined_rates([1.0, 1.0, 1.0, 1.0, 1.0], smoothing=0)
    array([1.  , 0.75, 0.5 , 0.25, 0.  ])
    >>> rates = lrax.stability.refined_rates([4.0, 2.0, 1.0, 1.0, 1.0], smoothing=0)
    >>> [round(float(rate), 3) for rate in rates]
    [0.102, 0.375, 1.0, 0.5, 0.0]
  """
  owner = 'refined_rates'
  norms = checked_norms(owner, norms)
  norm = norm_kind(owner, 'norm', norm)
  smoothing = float(_checks.share(owner, 'smoothing', smoothing))
  steps = len(norms)
  half = int(smoothing * steps) // 2
  if isinstance(norms, Tracer):
    return _traced(norms, half, POWERS[norm])
  return _known(norms, half, POWERS[norm])


def checked_norms(owner: str, norms: Any) -> Any:
  """Norms, (steps,), checked where they are known."""
  norms = _schedule_rates.real_array(owner, 'norms', norms)
  if np.ndim(norms) != 1 or np.shape(norms)[0] < 2:
    raise _checks.refuse(
        owner, 'norms', 'an array (steps,) with 2 steps at least',
        f'one of shape {np.shape(norms)}', 'use jax.vmap to map over many runs',
    )
  if not isinstance(norms, Tracer):
    wrong = ~(np.isfinite(norms) & (norms > 0))
    if wrong.any():
      first = int(np.argmax(wrong))
      raise _checks.refuse(
          owner, 'norms', 'finite and > 0', float(norms[first]),
          f'it is the one at step {first}, and {int(wrong.sum())} are so: leave such'
          ' steps out',
      )
  return norms


def _known(norms: Any, half: int, power: int) -> np.ndarray:
  if half:
    from scipy import ndimage

    padded = np.pad(np.pad(norms, (half, 0), 'edge'), (0, half), 'reflect')
    norms = ndimage.median_filter(padded, 2 * half + 1)[half:-half]
  logs = -power * np.log(norms)
  tails = np.logaddexp.accumulate(logs[::-1])[::-1]
  logs = logs[:-1] + tails[1:]
  return np.append(np.exp(logs - logs.max()), 0.0)


def _traced(norms: Any, half: int, power: int) -> jax.Array:
  norms = jnp.asarray(norms, _types.rate_dtype())
  right = jnp.all(jnp.isfinite(norms) & (norms > 0))
  logs = jnp.log(jnp.where(right, norms, 1))
  if half:
    # The median of logarithms is the logarithm of the median: widths are odd.
    padded = jnp.pad(jnp.pad(logs, (half, 0), 'edge'), (0, half), 'reflect')
    width = 2 * half + 1

    def median(start: Any) -> Any:
      return jnp.sort(jax.lax.dynamic_slice_in_dim(padded, start, width))[half]

    logs = jax.lax.map(
        median, jnp.arange(len(norms)), batch_size=max(1, _WINDOWS // width)
    )
  logs = -power * logs
  # Large ones first, so that what is added up is of moderate size.
  logs = logs - jax.lax.stop_gradient(jnp.max(logs))
  tails = jax.lax.cumlogsumexp(logs, reverse=True)
  logs = logs[:-1] + tails[1:]
  rates = jnp.append(jnp.exp(logs - jnp.max(logs)), 0)
  return jnp.where(right, rates, jnp.nan)
