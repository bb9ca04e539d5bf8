"""What DoG, LDoG and DoWG share: a rate from the distance to the start."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax.optimizers import _estimated
from lrax.optimizers import _weight_decay
from lrax.optimizers._polynomial_average import polynomial_average
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise

_kind = _checks.choice('heuristic', 'distance', 'learning_rate')


class DogState(NamedTuple):
  """State of `dog` and `ldog`, of whose trees each leaf is that of an array."""

  distance: chex.ArrayTree  # float32 or wider, (): largest distance so far
  sum_of_squares: chex.ArrayTree  # as distance: of the gradients so far
  start: chex.ArrayTree  # the parameters at the start


class Beginning(NamedTuple):
  """How the distance starts, and what takes its place until it is above 0."""

  kind: str
  number: Any

  def distance(self, norm: jax.Array) -> Any:
    if self.kind == 'heuristic':
      return self.number * (1 + norm)
    return self.number if self.kind == 'distance' else jnp.zeros_like(norm)

  def estimate(self, distance: jax.Array, total: jax.Array) -> jax.Array:
    found = _leafwise.safe_divide(distance, jnp.sqrt(total))
    if self.kind != 'learning_rate':
      return found
    return jnp.where(distance > 0, found, jnp.asarray(self.number, found.dtype))


def beginning(owner: str, init_step: Any) -> Beginning:
  """The start of `init_step`, checked."""
  if not isinstance(init_step, (tuple, list)) or len(init_step) != 2:
    raise _checks.refuse(
        owner, 'init_step', 'a word and a number', init_step,
        "for example ('heuristic', 1e-6)", TypeError,
    )
  kind = _kind(owner, 'init_step[0]', init_step[0])
  return Beginning(kind, _checks.positive(owner, 'init_step[1]', init_step[1]))


def finish(
    owner: str,
    method: _estimated.Method,
    learning_rate: Any,
    weight_decay: Any,
    mask: Any,
    average_gamma: Any,
) -> optax.GradientTransformationExtraArgs:
  """The optimizer of a method, with a decay in its gradient and an average."""
  policy = as_schedule(learning_rate, owner)
  average = polynomial_average(owner, average_gamma)
  tx = _estimated.optimizer(owner, method, policy, *average)
  if weight_decay is None:
    return tx
  link = _weight_decay.add_decayed_weights(owner, weight_decay, mask)

  def init(params):
    rest: Any = tx.init(params)
    return link.init(params), *rest

  def update(updates: Any, state: Any, params=None, **extra_args):
    rest: Any
    wide = _estimated.wide(updates)
    decayed, first = link.update(wide, state[0], params, **extra_args)
    steps: Any
    steps, rest = tx.update(decayed, state[1:], params, **extra_args)
    return _estimated.as_kept(steps, updates), (first, *rest)

  return optax.GradientTransformationExtraArgs(init, update)


def travelled(start: Any, params: Any) -> Any:
  def minus(x0: Any, x: Any) -> jax.Array:
    wide = _leafwise.wide_dtype(x)
    return jnp.asarray(x, wide) - jnp.asarray(x0, wide)

  return jax.tree.map(minus, start, params)
