"""The curvature that a method sees: divided as it divides, and with its decay."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from lrax.stability import _lanczos
from lrax.stability import _product
from lrax.stability import _recognise
from lrax.stability import _task_product


def sharpness(
    product: _product.Product,
    method: _recognise.Method,
    opt_state: Any,
    params: chex.ArrayTree,
    key: chex.PRNGKey,
    steps: int,
    rtol: float,
) -> tuple[jax.Array, jax.Array, _lanczos.Eigenvalues]:
  """The largest eigenvalue that counts for a method, its bound, and how it was found.

  The matrix is R (H + L) R + (1 + momentum) / gain * W, with R ** 2 what the method
  multiplies a gradient by, L the decay in the gradient and W the decoupled one. It
  has the eigenvalues of P^-1 H, P = R ** -2, where nothing decays. A rate r is at
  its limit where r * gain * eigenvalue = 2 * (1 + momentum): then the flip of the
  sign at each step is a solution, for any symmetric H and diagonal R, L and W.
  """
  share = (1 + method.momentum) / method.gain
  root = jax.tree.map(jnp.sqrt, method.inverse(opt_state))
  decay = jax.tree.map(lambda w: share * w, method.decay)
  parts = product, root, method.l2, decay
  if isinstance(product, _task_product.StreamedProduct):
    # Not traced: a pass over the batches at every product.
    seen, jit = (lambda vector: _seen(*parts, vector)), False
  else:
    seen, jit = Partial(_seen, *parts), True
  steps = min(steps, sum(jnp.size(x) for x in jax.tree.leaves(params)))
  found = _lanczos.lanczos(
      seen, params, key, steps=steps, which='largest', rtol=rtol, jit=jit
  )
  return found.values[0], found.error_bounds[0], found


def _seen(product, root, l2, decay, vector):
  inside = jax.tree.map(lambda r, x: r * x, root, vector)
  curved = product(inside)
  return jax.tree.map(
      lambda r, h, c, i, w, x: r * (h + c * i) + w * x,
      root, curved, l2, inside, decay, vector,
  )
