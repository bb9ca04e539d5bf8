"""CAME's direction: factored squares, trusted as far as they agree."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms import _norms
from lrax.transforms._scale_by_factored_rms import divide_by_root
from lrax.transforms._scheduled import scheduled


class ScaleByCameState(NamedTuple):
  """State of `scale_by_came`; a zero of shape (1,) where a leaf has no such part.

  Means are in float32 or wider, in the leaf's shape without its last axis (rows)
  or without the one before it (columns).
  """

  mu: chex.ArrayTree  # average of clipped steps, parameters' shapes
  rows: chex.ArrayTree  # mean squares of the gradient
  columns: chex.ArrayTree  # mean squares of the gradient
  nu: chex.ArrayTree  # average square of a leaf of fewer axes than two
  residual_rows: chex.ArrayTree  # mean squares of step - mu
  residual_columns: chex.ArrayTree  # mean squares of step - mu


@scheduled('b1', 'b2', 'b3', 'eps', 'residual_eps', 'clipping_threshold')
def scale_by_came(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    b3: Numeric = 0.9999,
    eps: Numeric = 1e-30,
    residual_eps: Numeric = 1e-16,
    clipping_threshold: Numeric = 1.0,
    mu_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """Divides Adafactor's averaged step by how much it has wavered.

  Formula:
    v = factored average of g ** 2 + eps, with decay b2
    u = g / sqrt(v), u = u / max(1, RMS(u) / clipping_threshold)
    mu = b1 * mu + (1 - b1) * u
    s = factored average of (u - mu) ** 2 + residual_eps, with decay b3
    update = mu / sqrt(s)

    A factored average is row * column / mean(row), of the means over the last
    axis and over the one before it. A leaf of fewer axes than two keeps v itself
    and its update is mu. No average is corrected for its start at 0. Each number
    may be a schedule: see `ScheduledState`.

  Args:
    b1: share of the average of steps that is kept, in [0, 1).
    b2: share of the average of squares that is kept, in [0, 1).
    b3: share of the average of squared residuals that is kept, in [0, 1).
    eps: added to the square of the gradient, >= 0.
    residual_eps: added to the square of the residual, >= 0.
    clipping_threshold: bound on RMS(u), > 0.
    mu_dtype: dtype of mu; None for the parameter's.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ScaleByCameState`. Updates
    keep their dtype; where a divisor is 0 they are 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Luo et al., "CAME: Confidence-guided Adaptive Memory Efficient Optimization",
    2023, algorithm 2, and the authors' code, which says what becomes of vectors.
    s starts at 0 and is divided by no 1 - b3 ** t, so that the first updates of a
    matrix are up to 1 / sqrt(1 - b3) = 100 times mu: warm the rate up.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_came(b1=0.5, b2=0.75)
    >>> params = {'bias': jnp.array([2.0, -3.0])}
    >>> updates, _ = tx.update(params, tx.init(params))
    >>> updates['bias'].tolist()
    [0.5, -0.5]
  """
  owner = 'scale_by_came'
  b1 = _checks.decay(owner, 'b1', b1)
  b2 = _checks.decay(owner, 'b2', b2)
  b3 = _checks.decay(owner, 'b3', b3)
  eps = _checks.non_negative(owner, 'eps', eps)
  residual_eps = _checks.non_negative(owner, 'residual_eps', residual_eps)
  threshold = _checks.positive(owner, 'clipping_threshold', clipping_threshold)
  mu_dtype = _checks.dtype(owner, 'mu_dtype', mu_dtype)

  def init(params):
    def leaf(x):
      dtype, shape = _leafwise.real_dtype(_leafwise.wide_dtype(x)), np.shape(x)
      if _is_matrix(x):
        sides = shape[:-1], (*shape[:-2], shape[-1])
        shapes = (*sides, (1,), *sides)
      else:
        shapes = ((1,), (1,), shape, (1,), (1,))
      return tuple(jnp.zeros(s, dtype) for s in shapes)  # each may be donated

    return ScaleByCameState(
        _leafwise.zeros(params, mu_dtype), *_leafwise.leafwise(leaf, 5, params)
    )

  def update(updates, state, params=None, **extra_args):
    del params, extra_args

    def leaf(g, mu, row, column, full, residual_row, residual_column):
      wide = g.astype(_leafwise.wide_dtype(g))
      real = row.dtype
      as_real = lambda number: jnp.asarray(number, real)
      average = lambda decay, old, new: (
          as_real(decay) * old + as_real(1 - decay) * new
      )
      square = _leafwise.square(wide) + as_real(eps)
      is_matrix, axes = _is_matrix(g), (g.ndim - 2, g.ndim - 1)
      if is_matrix:
        row = average(b2, row, jnp.mean(square, axis=-1))
        column = average(b2, column, jnp.mean(square, axis=-2))
        step = divide_by_root(wide, row, column, *axes)
      else:
        full = average(b2, full, square)
        step = _leafwise.safe_divide(wide, jnp.sqrt(full))
      step = _norms.clip_rms(step, as_real(threshold))
      moment = average(b1, mu.astype(wide.dtype), step)
      step = moment if not is_matrix else step
      if is_matrix:
        square = _leafwise.square(step - moment) + as_real(residual_eps)
        residual_row = average(b3, residual_row, jnp.mean(square, axis=-1))
        residual_column = average(b3, residual_column, jnp.mean(square, axis=-2))
        step = divide_by_root(moment, residual_row, residual_column, *axes)
      return (
          step.astype(g.dtype), moment.astype(mu.dtype), row, column, full,
          residual_row, residual_column,
      )

    steps, *kept = _leafwise.leafwise(leaf, 7, updates, *state)
    return steps, ScaleByCameState(*kept)

  return optax.GradientTransformationExtraArgs(init, update)


def _is_matrix(x: Any) -> bool:
  """Whether it has rows and columns to take means of."""
  return np.ndim(x) >= 2 and np.size(x) > 0
