"""A run of fixed length and its derivatives, carried forwards with it.

Beside every number of the run goes its derivative along each of a few coordinates,
so nothing of the past is kept: memory does not grow with the number of steps. The
time does with the number of coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lrax import tasks
from lrax.tune._engine import _trial

# coordinates (k,) -> the rate of each update (steps,), and numbers by name
Table = Callable[[jax.Array], tuple[jax.Array, Mapping[str, jax.Array]]]

_CHUNK_BYTES = 64 * 2**20  # of stacked batches from a host iterator


class Derivative(NamedTuple):
  """One run to its end, and how it moves with the coordinates."""

  validation_loss: float
  gradient: np.ndarray  # (k,): of the validation loss
  losses: np.ndarray  # (steps,): of training, before each update
  slopes: np.ndarray  # (k, steps): of each of them
  diverged: bool  # whether it was seen to


class Dual(NamedTuple):
  """A run between two updates, and how it moves with the coordinates."""

  carry: _trial.Carry
  tangents: list[jax.Array]  # (k, ...) for each of its `_floats`


class Unrolled:
  """A task's run, compiled once for any coordinates and seeds."""

  def __init__(
      self, task: tasks.Task, optimizer: _trial.Optimizer, steps: int, table: Table
  ):
    self.task, self.steps = task, steps
    self._table = table
    self._program = _Program(task, optimizer)
    arrays = lambda source: jax.tree.map(jnp.asarray, getattr(source, 'data', ()))
    # Arguments of every program, not part of it.
    self._data = (arrays(task.train), arrays(task.validation))
    self._begin = jax.jit(self._trace_begin)
    self._advance = jax.jit(self._trace_advance, donate_argnums=0)
    self._judge = jax.jit(self._trace_judge)

  def run(self, coordinates: Any, seed: int) -> Derivative:
    """Trains from a seed, with the derivatives at `coordinates`, (k,)."""
    where = jnp.asarray(coordinates, jnp.result_type(float)), np.int32(seed)
    dual = self._begin(*where)
    for batches, first, until in self._chunks(seed):
      dual = self._advance(dual, *where, until, self._data[0], batches, first)
    loss, gradient = self._validate(dual)
    carry = dual.carry
    return Derivative(
        loss, gradient, np.asarray(carry.losses, float),
        np.asarray(dual.tangents[0], float), bool(carry.watch.diverged),
    )

  def rounded(self, coordinates: Any) -> list[str]:
    """The dtypes that what is trained is rounded to, and derivatives are not."""
    begin = lambda where: self._program.begin(self._row(where, np.int32(0)))
    carry = jax.eval_shape(begin, jnp.asarray(coordinates, jnp.result_type(float)))
    found = set()
    for leaf in jax.tree.leaves((carry.params, carry.opt_state)):
      count = jnp.issubdtype(leaf.dtype, jnp.integer) and not leaf.ndim
      narrow = jnp.issubdtype(leaf.dtype, jnp.number) and leaf.dtype.itemsize < 4
      whole = jnp.issubdtype(leaf.dtype, jnp.integer) and leaf.ndim
      if not count and (narrow or whole):
        found.add(str(leaf.dtype))
    return sorted(found)

  def _chunks(self, seed: int) -> Iterator[tuple[Any, Any, Any]]:
    """Batches from the host, if any, and the steps that they are for."""
    if not isinstance(self.task.train, tasks.Stream):
      yield None, np.int32(0), np.int32(self.steps)
      return
    stream = self.task.train.forever(seed)
    batch = next(stream)
    size = max(1, sum(np.asarray(x).nbytes for x in jax.tree.leaves(batch)))
    length = int(np.clip(_CHUNK_BYTES // size, 1, self.steps))
    for first in range(0, self.steps, length):
      until = min(first + length, self.steps)
      batches = [batch] if not first else []
      batches += [next(stream) for _ in range(until - first - len(batches))]
      batches += [batches[-1]] * (length - len(batches))  # of one shape
      stacked = jax.tree.map(lambda *x: np.stack(x), *batches)
      yield stacked, np.int32(first), np.int32(until)

  def _validate(self, dual: Dual) -> tuple[float, np.ndarray]:
    """The validation loss and its derivatives."""
    if not isinstance(self.task.validation, tasks.Stream):
      loss, gradient = self._judge(dual, self._data[1])
      return float(loss), np.asarray(gradient, float)
    total, slope, weight = 0.0, 0.0, 0
    for batch in self.task.validation.once():
      loss, gradient = self._judge(dual, batch)
      rows = np.shape(jax.tree.leaves(batch)[0])[:1]
      rows = rows[0] if rows else 1
      total, weight = total + float(loss) * rows, weight + rows
      slope = slope + np.asarray(gradient, float) * rows
    if not weight:
      raise ValueError(
          f'{self.task.name}: `validation` must give at least one batch, got none;'
          ' a rate cannot be judged without.'
      )
    return total / weight, np.asarray(slope / weight)

  # --- the programs

  def _row(self, coordinates: jax.Array, seed: Any) -> _trial.Row:
    rates, numbers = self._table(coordinates)
    return _trial.Row(rates, seed, numbers)

  def _trace_begin(self, coordinates: jax.Array, seed: Any) -> Dual:
    def begin(coordinates: jax.Array) -> Any:
      carry = self._program.begin(self._row(coordinates, seed))
      return _floats(carry), carry

    def along(direction: jax.Array) -> Any:
      return jax.jvp(begin, (coordinates,), (direction,), has_aux=True)

    return _every_direction(along, coordinates)

  def _trace_advance(
      self, dual: Dual, coordinates: jax.Array, seed: Any, until: Any, data: Any,
      batches: Any, first: Any,
  ) -> Dual:
    def advance(coordinates: jax.Array, floats: Any) -> Any:
      row = self._row(coordinates, seed)

      def step(index: Any, carry: _trial.Carry) -> _trial.Carry:
        batch = jax.tree.map(lambda x: x[index - first], batches)
        carry = self._program.step(carry, row, data, batch)
        return carry._replace(watch=jax.lax.stop_gradient(carry.watch))

      carry = _moved(dual.carry, floats)
      carry = jax.lax.fori_loop(first, until, step, carry)
      return _floats(carry), carry

    def along(direction: jax.Array, tangents: Any) -> Any:
      primals = coordinates, _floats(dual.carry)
      return jax.jvp(advance, primals, (direction, tangents), has_aux=True)

    return _every_direction(along, coordinates, dual.tangents)

  def _trace_judge(self, dual: Dual, data: Any) -> tuple[jax.Array, jax.Array]:
    if isinstance(self.task.validation, tasks.Stream):
      judge = self._program.evaluate
    else:
      judge = self._program.validate

    def along(tangents: Any) -> Any:
      floats = _floats(dual.carry)
      judged = lambda floats: judge(_moved(dual.carry, floats), data)
      return jax.jvp(judged, (floats,), (tangents,))

    return jax.vmap(along, out_axes=(None, 0))(dual.tangents)


class _Program(_trial.Program):
  """A trial whose validation has derivatives forwards, whatever its loss is."""

  def evaluate(self, carry: _trial.Carry, batch: Any) -> jax.Array:
    """The loss on one validation batch.

    The derivative forwards is made of the one backwards, of which there is one
    for all coordinates, and which a `jax.custom_vjp` has too.
    """
    plain = super().evaluate

    # All that it reads is an argument: a loop over batches may not close over it.
    def loss(floats: Any, carry: Any, batch: Any) -> jax.Array:
      return plain(_moved(carry, floats), batch)

    def rule(primals: Any, tangents: Any) -> Any:
      value, slopes = jax.value_and_grad(loss)(*primals)
      products = [jnp.sum(x * y).real for x, y in zip(slopes, tangents[0])]
      return value, jnp.asarray(sum(products), value.dtype)

    judged = jax.custom_jvp(loss)
    judged.defjvp(rule)
    return judged(_floats(carry), jax.lax.stop_gradient(carry), batch)


def _every_direction(along: Any, coordinates: jax.Array, *tangents: Any) -> Dual:
  """Derivatives along each coordinate; the run itself is computed once."""
  directions = jnp.eye(len(coordinates), dtype=coordinates.dtype)
  over = jax.vmap(along, out_axes=(None, 0, None))
  _, moved, carry = over(directions, *tangents)
  return Dual(carry, moved)


def _parts(carry: _trial.Carry) -> Any:
  """What may move with the coordinates, the losses in front."""
  return carry.losses, carry.params, carry.state, carry.opt_state


def _is_float(leaf: jax.Array) -> bool:
  return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def _floats(carry: _trial.Carry) -> list[jax.Array]:
  return [leaf for leaf in jax.tree.leaves(_parts(carry)) if _is_float(leaf)]


def _moved(carry: _trial.Carry, floats: list[jax.Array]) -> _trial.Carry:
  """The same run with other numbers."""
  leaves, form = jax.tree.flatten(_parts(carry))
  new = iter(floats)
  leaves = [next(new) if _is_float(leaf) else leaf for leaf in leaves]
  losses, params, state, opt_state = jax.tree.unflatten(form, leaves)
  return carry._replace(
      losses=losses, params=params, state=state, opt_state=opt_state
  )
