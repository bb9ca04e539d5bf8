"""What one update says: norms, its angle with the one before, and its rates."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lrax.diagnose import _norms
from lrax.diagnose import _quantiles
from lrax.diagnose import _sample
from lrax.diagnose import _take
from lrax.state import _monitor_state


def measure(
    plan: _sample.Plan,
    gradients: _sample.Entries,
    updates: _sample.Entries,
    params: _sample.Entries | None,
    update: jax.Array,
    before: jax.Array,
    follows: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """The measurement of all, and those of the groups.

  Args:
    plan: of the tree.
    gradients: by path; leaves may be missing.
    updates: by path; leaves may be missing.
    params: by path, before the update; None where none were given.
    update: the sample of the update.
    before: the sample of an earlier update.
    follows: bool, (): whether that was the update just before.
  """
  kinds = [gradients, updates]
  if params is not None:
    kinds.append({path: x for path, x in params.items() if path in updates})
  gradient = _take.take(plan, gradients)
  if before.shape != update.shape:
    before = jnp.zeros_like(update)

  # 1. Norms, (kinds, groups and the rest).
  names = [*plan.names, _sample.REST]
  groups = [_members(plan, kind, name) for kind in kinds for name in names]
  like = jnp.abs(gradient) + jnp.abs(update)
  norms = _norms.norms(groups, like).reshape(len(kinds), len(names))
  norms = jnp.concatenate([norms, _norms.joined(norms)[:, None]], 1)
  if params is None:
    norms = jnp.concatenate([norms, jnp.full_like(norms[:1], jnp.nan)])

  # 2. Cosines and rates, of the groups that are looked at and of all.
  rates, weights = _rates(update, gradient)
  share = plan.shares.astype(rates.dtype)
  root = np.sqrt(share)
  quantiles = lambda *x: _quantiles.quantiles(*x, _monitor_state.QUANTILES)
  of_all = jnp.append(
      _cosine(before * root, update * root), quantiles(rates, weights * share)
  )
  of_groups = {}
  if plan.counts:
    rows = plan.rows(jnp.stack([before, update, rates, weights]))
    cosines = jax.vmap(_cosine)(rows[0], rows[1])
    found = jax.vmap(quantiles)(jnp.real(rows[2]), jnp.real(rows[3]))
    table = jnp.concatenate([cosines[:, None], found], 1)
    of_groups = dict(zip(plan.counts, table))
  none = jnp.full_like(of_all, jnp.nan)

  def row(at, looked_at):
    cosine = jnp.where(follows, looked_at[:1], jnp.nan)
    return jnp.concatenate([norms[:, at], cosine, looked_at[1:]])

  measured = {n: row(at, of_groups.get(n, none)) for at, n in enumerate(plan.names)}
  return row(-1, of_all), measured


def _members(plan: _sample.Plan, kind: _sample.Entries, name: str) -> list[jax.Array]:
  found = [x for path, x in kind.items() if plan.members.get(path, '') == name]
  return [x for x in found if x.size]


def _cosine(a: jax.Array, b: jax.Array) -> jax.Array:
  """Of the angle between two vectors; NaN where one is zero, or not finite."""
  largest = lambda x: jnp.max(jnp.abs(x), initial=0)
  scaled = lambda x: x / jnp.where(largest(x) > 0, largest(x), 1)
  a, b = scaled(a), scaled(b)
  inner = jnp.real(jnp.vdot(a, b))
  norms = jnp.linalg.norm(a) * jnp.linalg.norm(b)
  return jnp.where(norms > 0, jnp.clip(inner / norms, -1, 1), jnp.nan)


def _rates(update: jax.Array, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  """|update| / |gradient| of each entry, and 1 where that says something, else 0."""
  step, slope = jnp.abs(update), jnp.abs(gradient)
  rate = step / jnp.where(slope > 0, slope, 1)
  told = (slope > 0) & jnp.isfinite(slope) & jnp.isfinite(step)
  return rate, told.astype(rate.dtype)
