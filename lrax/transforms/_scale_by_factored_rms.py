"""Adafactor's direction: an average square kept as its row and column means."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled

_size = _checks.number(
    'a whole number >= 1', lambda x: x >= 1, 'it is a length of an axis', whole=True
)


@scheduled('decay_rate', 'epsilon')
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: Numeric = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: Numeric = 1e-30,
) -> optax.GradientTransformationExtraArgs:
  """Divides the gradient by the root of an average square of low memory.

  Formula:
    b2 = 1 - t ** -decay_rate
    row = b2 * row + (1 - b2) * mean of (g ** 2 + epsilon) over the columns
    column = b2 * column + (1 - b2) * mean of (g ** 2 + epsilon) over the rows
    v = row * column / mean(row)
    update = g / sqrt(v)

    t counts updates from 1, less step_offset. A leaf that is not factored keeps
    v itself, the average of g ** 2 + epsilon. decay_rate and epsilon may be
    schedules: see `ScheduledState`.

  Args:
    factored: whether to keep means where that saves memory.
    decay_rate: how fast the average lengthens, > 0; its decay is 0 at t = 1.
    step_offset: updates, >= 0, that do not count in t, for a run that goes on
      from another one's count; t is 1 until they are over.
    min_dim_size_to_factor: a leaf is factored over its two longest axes if both
      are at least this long, >= 1; leaves of fewer axes than two never are.
    epsilon: added to the square, >= 0.

  Returns:
    An `optax.GradientTransformationExtraArgs` with an `optax.FactoredState`:
    count int32 (), and in float32 or wider v_row, of the leaf's shape without its
    longest axis, v_col, without the second longest, and v; what a leaf does not
    use is a zero of shape (1,). Updates keep their dtype; where v is 0 they are 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Shazeer and Stern, "Adafactor", 2018, algorithm 4 without its clipping, with
    equation 12 for b2. The paper factors every matrix, as Hugging Face does:
    `min_dim_size_to_factor=1`; 128 and the two longest axes are those of T5 and
    Optax. Optax keeps the means in the gradient's dtype, here they are float32.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_factored_rms(min_dim_size_to_factor=1)
    >>> params = {'w': jnp.full((2, 3), -3.0)}
    >>> state = tx.init(params)
    >>> state.v_row['w'].shape, state.v_col['w'].shape
    ((2,), (3,))
    >>> updates, _ = tx.update(params, state)
    >>> round(float(updates['w'][0, 0]), 5)
    -1.0
  """
  owner = 'scale_by_factored_rms'
  factored = _checks.flag(owner, 'factored', factored)
  power = _checks.positive(owner, 'decay_rate', decay_rate)
  offset = _checks.steps(owner, 'step_offset', step_offset)
  shortest = _size(owner, 'min_dim_size_to_factor', min_dim_size_to_factor)
  eps = _checks.non_negative(owner, 'epsilon', epsilon)

  def axes(x: Any) -> tuple[int, int] | None:
    """The axes that columns and rows run along, or None."""
    shape = np.shape(x)
    if not factored or len(shape) < 2:
      return None
    *_, second, longest = (int(axis) for axis in np.argsort(shape, kind='stable'))
    return (second, longest) if shape[second] >= shortest else None

  def init(params):
    def leaf(x):
      dtype = _leafwise.real_dtype(_leafwise.wide_dtype(x))
      none, chosen = lambda: jnp.zeros((1,), dtype), axes(x)  # each may be donated
      if chosen is None:
        return none(), none(), jnp.zeros(np.shape(x), dtype)
      second, longest = chosen
      mean = lambda axis: jnp.zeros(np.delete(np.shape(x), axis), dtype)
      return mean(longest), mean(second), none()

    rows, columns, full = _leafwise.leafwise(leaf, 3, params)
    return optax.FactoredState(jnp.zeros((), jnp.int32), rows, columns, full)

  def update(updates, state, params=None, **extra_args):
    del params, extra_args
    count: Any = optax.safe_increment(state.count)
    t = jnp.asarray(jnp.maximum(count - offset, 1), _types.rate_dtype())
    new_share = t**-power

    def leaf(g, row, column, full):
      wide = g.astype(_leafwise.wide_dtype(g))
      share = new_share.astype(row.dtype)
      square = _leafwise.square(wide) + jnp.asarray(eps, row.dtype)
      average = lambda old, new: (1 - share) * old + share * new
      chosen = axes(g)
      if chosen is None:
        full = average(full, square)
        step = _leafwise.safe_divide(wide, jnp.sqrt(full))
        return step.astype(g.dtype), row, column, full
      second, longest = chosen
      row = average(row, jnp.mean(square, axis=longest))
      column = average(column, jnp.mean(square, axis=second))
      step = divide_by_root(wide, row, column, second, longest)
      return step.astype(g.dtype), row, column, full

    steps, rows, columns, full = _leafwise.leafwise(
        leaf, 4, updates, state.v_row, state.v_col, state.v
    )
    return steps, optax.FactoredState(count, rows, columns, full)

  return optax.GradientTransformationExtraArgs(init, update)


def divide_by_root(
    x: jax.Array, row: jax.Array, column: jax.Array, second: int, longest: int
) -> jax.Array:
  """`x / sqrt(row * column / mean(row))`, and 0 where a mean is 0.

  `row` is a mean over the axis `longest` and `column` over `second`. The root is
  taken of each factor: their product would underflow.
  """
  row, column = jnp.expand_dims(row, longest), jnp.expand_dims(column, second)
  relative = _leafwise.safe_divide(row, jnp.mean(row, axis=second, keepdims=True))
  step = _leafwise.safe_divide(x, jnp.sqrt(relative))
  return _leafwise.safe_divide(step, jnp.sqrt(column))
