"""What `guard` keeps, and how it counts."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _types
from lrax.control import _guard_window


class GuardState(NamedTuple):
  """What `guard` keeps: the inner state, what is usual, and its counts.

  Counts are of updates, from the start of the run. A bad one is either not finite
  or an outlier, never both.
  """

  inner_state: Any  # the state of the transformation that is guarded
  window: _guard_window.Window  # recent losses and gradient norms, accepted ones
  steps: jax.Array  # int32, (): updates seen
  skipped: jax.Array  # int32, (): updates not applied, returns to a snapshot too
  non_finite: jax.Array  # int32, (): loss, gradient, update or result not finite
  outliers: jax.Array  # int32, (): loss or gradient norm far above the usual
  consecutive: jax.Array  # int32, (): bad ones since the latest good one
  back_offs: jax.Array  # int32, (): times the rate was backed off
  roll_backs: jax.Array  # int32, (): times it went back to the snapshot
  scale: jax.Array  # rate dtype, (): times the rate, at the next update
  recovery: jax.Array  # int32, (): good updates until `scale` is 1 again
  snapshot: chex.ArrayTree  # a Snapshot where the mode is 'roll_back', else ()


class Verdict(NamedTuple):
  """What is thought of one update; each is bool, () but one."""

  good: jax.Array
  bad: jax.Array  # neither good nor bad on the way back to a snapshot
  finite: jax.Array
  outlier: jax.Array  # bad, for being far above the usual
  too_many: jax.Array  # bad ones on end, as many as patience has
  consecutive: jax.Array  # int32, (): bad ones on end


def start(inner_state: Any, window: int, snapshot: chex.ArrayTree) -> GuardState:
  """The state before the first update."""
  # Each in memory of its own, so that the state may be donated.
  zero = lambda: jnp.zeros((), jnp.int32)
  return GuardState(
      inner_state=inner_state,
      window=_guard_window.empty(window),
      steps=zero(),
      skipped=zero(),
      non_finite=zero(),
      outliers=zero(),
      consecutive=zero(),
      back_offs=zero(),
      roll_backs=zero(),
      scale=jnp.ones((), _types.rate_dtype()),
      recovery=zero(),
      snapshot=snapshot,
  )


def judge(
    state: GuardState, finite: Any, unusual: Any, away: Any, patience: Any
) -> Verdict:
  """The verdict on an update; `away` are those on the way back to a snapshot."""
  good = finite & ~unusual & ~away
  bad = ~good & ~away
  longer: Any = optax.safe_increment(state.consecutive)
  consecutive = jnp.where(bad, longer, jnp.where(good, 0, state.consecutive))
  too_many = bad & (consecutive >= patience)
  return Verdict(good, bad, finite, finite & unusual & bad, too_many, consecutive)


def count(
    state: GuardState, verdict: Verdict, backs_off: Any, rolls_back: Any
) -> GuardState:
  """The state with this update counted."""

  def add(counter: jax.Array, one: Any) -> jax.Array:
    return jnp.where(one, optax.safe_increment(counter), counter)

  return state._replace(
      steps=add(state.steps, True),
      skipped=add(state.skipped, ~verdict.good),
      non_finite=add(state.non_finite, verdict.bad & ~verdict.finite),
      outliers=add(state.outliers, verdict.outlier),
      consecutive=jnp.where(rolls_back, 0, verdict.consecutive),
      back_offs=add(state.back_offs, backs_off),
      roll_backs=add(state.roll_backs, rolls_back),
  )
