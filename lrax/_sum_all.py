"""The sum of all entries of many arrays, with few kernels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

# A small array costs the call of a kernel, not its numbers: those of one shape are
# added first, so many at a time, and what was added is summed once.
_SMALL = 2**14
_TOGETHER = 64


def sum_all(arrays: Iterable[jax.Array], dtype: Any) -> jax.Array:
  """A scalar of `dtype`, or wider where an array is; 0 where there are none."""
  sums = []
  together: dict[Any, list[jax.Array]] = {}
  for x in arrays:
    if x.size > _SMALL:
      sums.append(jnp.sum(x))
    else:
      together.setdefault((x.shape, x.dtype), []).append(x)
  for same in together.values():
    for first in range(0, len(same), _TOGETHER):
      chunk = same[first : first + _TOGETHER]
      sums.append(jnp.sum(sum(chunk[1:], chunk[0])))
  return sum(sums, jnp.zeros((), dtype))
