"""The sum of all entries of many arrays, with few kernels."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from lrax._traced_once import traced_once

# A small array costs the call of a kernel, not its numbers: those of one shape are
# added first, so many at a time, and what was added is summed once. Large ones are
# not: over devices each may be cut its own way.
_SMALL = 2**14
_TOGETHER = 64


def sum_all(
    term: Callable[..., jax.Array], items: Iterable[chex.ArrayTree], dtype: Any
) -> jax.Array:
  """The sum of all entries of `term(item)` of every item.

  Args:
    term: an array of an item, entry by entry: `lambda x: x * x`.
    items: arrays, or tuples of arrays of one shape.
    dtype: the dtype of the sum, where no term is wider.

  Returns:
    A scalar of `dtype`, or wider where a term is; 0 where there are no items.
  """
  together: dict[Any, list[chex.ArrayTree]] = {}
  for item in items:
    arrays = jax.tree.leaves(item)
    kinds = tuple((jnp.shape(x), jnp.result_type(x)) for x in arrays)
    together.setdefault(kinds, []).append(item)

  def part(chunk):
    terms = [term(item) for item in chunk]
    return jnp.sum(sum(terms[1:], terms[0]))

  part = traced_once(part, list(together.values()))
  sums = []
  for same in together.values():
    size = _TOGETHER if jnp.size(jax.tree.leaves(same[0])[0]) <= _SMALL else 1
    sums += [part(same[i : i + size]) for i in range(0, len(same), size)]
  return sum(sums, jnp.zeros((), dtype))
