"""Takes the entries of a tree that its plan has chosen."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrax.diagnose import _sample


def take(planned: _sample.Plan, leaves: _sample.Entries) -> jax.Array:
  """The chosen entries, group by group; zeros where there is no such leaf."""
  found = []
  for part in planned.chosen.values():
    small = [pair for pair in part if _sample.is_small(planned.shapes[pair[0]])]
    if len(small) > 1 and small[0][1] is not None:
      found.append(_taken_together(planned, leaves, small))
      part = part[len(small) :]
    found += [_taken(planned, leaves, path, index) for path, index in part]
  return jnp.concatenate([*found, jnp.zeros((0,), planned.dtype)])


def _taken_together(
    planned: _sample.Plan, leaves: _sample.Entries, part: list[tuple[_sample.Path, Any]]
) -> jax.Array:
  """Entries of small leaves, copied together: that spares a kernel for each."""
  whole, chosen, start = [], [], 0
  for path, index in part:
    shape = planned.shapes[path]
    whole.append(_taken(planned, leaves, path, None))
    chosen.append(start + np.ravel_multi_index(tuple(index.T), shape))
    start += whole[-1].size
  return jnp.concatenate(whole)[np.concatenate(chosen).astype(np.int32)]


def _taken(
    planned: _sample.Plan, leaves: _sample.Entries, path: _sample.Path, index: Any
) -> jax.Array:
  shape = planned.shapes[path]
  x = leaves.get(path)
  if x is None or jnp.shape(x) != shape:
    size = np.prod(shape, dtype=np.int64) if index is None else len(index)
    return jnp.zeros((int(size),), planned.dtype)
  replicated = _replicated(x)
  if index is None:
    x = x if replicated is None else jax.sharding.reshard(x, replicated)
    return x.ravel().astype(planned.dtype)
  # By an index a dimension: that needs no reshaping of an array over devices.
  if replicated is not None:
    at = x.at[tuple(index.T)]
    picked = at.get(mode='promise_in_bounds', out_sharding=replicated)
    return picked.astype(planned.dtype)
  every = tuple(range(x.ndim))
  numbers = jax.lax.GatherDimensionNumbers(
      offset_dims=(), collapsed_slice_dims=every, start_index_map=every
  )
  picked = jax.lax.gather(  # a tenth of the time to trace that indexing takes
      x, index, numbers, slice_sizes=(1,) * x.ndim,
      mode=jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS,
  )
  return picked.astype(planned.dtype)


def _replicated(x: jax.Array) -> Any:
  """The sharding to ask for where the axes of the array's mesh are explicit."""
  sharding = jax.typeof(x).sharding
  if not sharding.mesh.explicit_axes:
    return None
  return jax.NamedSharding(sharding.mesh, jax.P())
