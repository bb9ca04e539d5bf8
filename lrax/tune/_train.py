"""Trains a task under any rates with one compiled program.

The rate of every step is an argument, never closed over, so a range test, a
sweep and a schedule run the same program: it is traced once. A run goes in
chunks of steps; a rate of NaN pads the last one, and steps after a loss that
is not finite are skipped, both without any work.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import _checks
from lrax import state as lrax_state
from lrax import tasks

Optimizer = Callable[[Any], Any]  # a rate -> an optax.GradientTransformation

_CHUNK = 50  # steps a call of the compiled program
_CHUNK_BYTES = 64 * 2**20  # of stacked batches from a host iterator


class Carry(NamedTuple):
  """A run between two chunks."""

  params: Any
  state: Any  # what is not trained
  opt_state: Any
  position: Any  # where the run is in its data
  key: chex.PRNGKey
  step: jax.Array  # int32, (): updates done
  finite: jax.Array  # bool, (): every loss so far was


class Run(NamedTuple):
  """One run: its losses and, if it came that far, its validation loss."""

  losses: np.ndarray  # (steps done,): training loss before each update
  validation_loss: float  # NaN where the run was stopped
  finite: bool  # whether every loss was


class Trainer:
  """Compiles a task with an optimizer once, and trains it under any rates."""

  def __init__(self, task: tasks.Task, optimizer: Optimizer):
    self.task = task
    self.optimizer = optimizer
    self._begin = jax.jit(self._trace_begin)
    self._advance = jax.jit(self._trace_advance, donate_argnums=0)
    self._evaluate = jax.jit(self._trace_evaluate)
    self.updates = 0  # of all runs so far
    self._data = jax.tree.map(jnp.asarray, getattr(task.train, 'data', ()))

  def run(
      self,
      learning_rates: np.ndarray,
      seed: int,
      stop: Callable[[np.ndarray], bool] = lambda losses: False,
      validate: bool = True,
  ) -> Run:
    """Trains with one rate a step, from a seed.

    Args:
      learning_rates: (steps,), the rate of each update.
      seed: for the initial parameters, the batches and dropout: runs of one
        seed differ in their rates alone.
      stop: called with the losses so far after each chunk; true ends the run.
      validate: whether to compute the validation loss in the end.
    """
    carry = self._begin(jax.random.key(seed))
    losses = np.zeros(0)
    finite = True
    for rates, batches in self._chunks(np.asarray(learning_rates), seed):
      carry, chunk = self._advance(carry, rates, self._data, batches)
      chunk = np.asarray(chunk, np.float64)[: len(learning_rates) - len(losses)]
      finite = bool(np.isfinite(chunk).all())
      if not finite:
        chunk = chunk[: int(np.argmin(np.isfinite(chunk))) + 1]
      losses = np.concatenate([losses, chunk])
      self.updates += len(chunk)
      if not finite or stop(losses):
        return Run(losses, np.nan, finite)
    if not validate:
      return Run(losses, np.nan, finite)
    loss = self._validation_loss(carry)
    return Run(losses, loss, finite and bool(np.isfinite(loss)))

  def _chunks(self, rates: np.ndarray, seed: int) -> Iterator[tuple[Any, Any]]:
    """The rates in chunks of one length, with batches from the host if any."""
    train = self.task.train
    if not isinstance(train, tasks.Stream):
      for start in range(0, len(rates), _CHUNK):
        yield _pad(rates[start : start + _CHUNK], _CHUNK), None
      return
    stream = train.forever(seed)
    batch = next(stream)
    size = max(1, sum(np.asarray(x).nbytes for x in jax.tree.leaves(batch)))
    length = int(np.clip(_CHUNK_BYTES // size, 1, min(_CHUNK, len(rates))))
    for start in range(0, len(rates), length):
      chunk = rates[start : start + length]
      batches = [batch] + [next(stream) for _ in chunk[1:]]
      batches += [batches[-1]] * (length - len(chunk))
      yield _pad(chunk, length), jax.tree.map(lambda *x: np.stack(x), *batches)
      if start + length < len(rates):
        batch = next(stream)

  def check_validation(self) -> None:
    """Traces the validation, so that what is wrong with it shows before training."""
    for batch in self.task.validation.once():
      carry = jax.eval_shape(self._trace_begin, jax.random.key(0))
      jax.eval_shape(self._trace_evaluate, carry, batch)
      return

  def _validation_loss(self, carry: Carry) -> float:
    total, weight = 0.0, 0
    for batch in self.task.validation.once():
      leaves = jax.tree.leaves(batch)
      rows = np.shape(leaves[0])[0] if leaves and np.ndim(leaves[0]) else 1
      total += float(self._evaluate(carry, batch)) * rows
      weight += rows
    if not weight:
      raise ValueError(
          f'{self.task.name}: `validation` must give at least one batch, got'
          ' none; a rate cannot be judged without.'
      )
    return total / weight

  def _trace_begin(self, key: chex.PRNGKey) -> Carry:
    init, data, key = jax.random.split(key, 3)
    params, state = self.task.start(init)
    tx = self.optimizer(jnp.zeros(()))
    if not isinstance(tx, optax.GradientTransformation):
      raise _checks.refuse(
          self.task.name, 'optimizer', 'a function that makes an optimizer',
          f'one that returns {type(tx).__name__}', 'for example lrax.adamw', TypeError,
      )
    opt_state = tx.init(params)
    train = self.task.train
    position = () if isinstance(train, tasks.Stream) else train.start(data)
    carry = Carry(
        params, state, opt_state, position, key,
        jnp.zeros((), jnp.int32), jnp.ones((), bool),
    )
    # Strong types from the start, so that the program is traced once.
    return jax.tree.map(_strong, carry)

  def _trace_advance(
      self, carry: Carry, rates: jax.Array, data: Any, batches: Any
  ) -> tuple[Carry, jax.Array]:
    def step(carry: Carry, row: Any) -> tuple[Carry, jax.Array]:
      rate, batch = row
      active = carry.finite & ~jnp.isnan(rate)
      train = lambda carry: self._step(carry, rate, data, batch)
      skip = lambda carry: (carry, jnp.full((), jnp.nan))
      return jax.lax.cond(active, train, skip, carry)

    return jax.lax.scan(step, carry, (rates, batches))

  def _step(
      self, carry: Carry, rate: jax.Array, data: Any, batch: Any
  ) -> tuple[Carry, jax.Array]:
    position = carry.position
    if not isinstance(self.task.train, tasks.Stream):
      batch, position = self.task.train.next(data, position)
    key = jax.random.fold_in(carry.key, carry.step)
    loss_and_grad = jax.value_and_grad(self.task.training_loss, has_aux=True)
    (loss, state), grad = loss_and_grad(carry.params, carry.state, batch, key)
    tx = optax.with_extra_args_support(self.optimizer(rate))
    updates, opt_state = tx.update(
        grad, carry.opt_state, carry.params, value=loss, grad=grad
    )
    params = optax.apply_updates(carry.params, updates)
    loss = jnp.asarray(loss, jnp.result_type(float))
    new = Carry(
        params, state, opt_state, position, carry.key, carry.step + 1,
        jnp.isfinite(loss),
    )
    if jax.tree.structure(new.state) != jax.tree.structure(carry.state):
      raise ValueError(
          f'{self.task.name}: `loss`: the state that it returns must keep the form'
          f' that init made, got {jax.tree.structure(new.state)} for'
          f' {jax.tree.structure(carry.state)}; return the same tree.'
      )
    return jax.tree.map(_as_before, carry, new), loss

  def _trace_evaluate(self, carry: Carry, batch: Any) -> jax.Array:
    params = lrax_state.eval_params(carry.opt_state, carry.params)
    return self.task.validation_loss(params, carry.state, batch)


def _pad(rates: np.ndarray, length: int) -> jax.Array:
  """The rates, followed by NaN up to `length`."""
  filled = np.full(length, np.nan)
  filled[: len(rates)] = rates
  return jnp.asarray(filled, jnp.result_type(float))


def _strong(leaf: Any) -> jax.Array:
  array = jnp.asarray(leaf)
  return jax.lax.convert_element_type(array, array.dtype)


def _as_before(old: jax.Array, new: Any) -> jax.Array:
  """The new leaf in the old one's dtype; a change of shape is an error."""
  if jnp.shape(new) != old.shape:
    raise ValueError(
        'loss: the state that it returns must keep the shapes that init made,'
        f' got {jnp.shape(new)} for {old.shape}; pad or fix the shapes.'
    )
  return jnp.asarray(new, old.dtype)


def as_optimizer(optimizer: Any, owner: str) -> Optimizer:
  """The function rate -> transformation that `optimizer` stands for.

  Raises:
    TypeError: it is no function and no text.
    ValueError: the text names no optimizer of lrax, or its arguments are bad.
  """
  if isinstance(optimizer, str):
    from lrax.tune import _expression

    return _expression.optimizer(optimizer, owner)
  if isinstance(optimizer, optax.GradientTransformation) or not callable(optimizer):
    raise _checks.refuse(
        owner, 'optimizer', 'a function of the rate, or its name', optimizer,
        'for example lrax.adamw or "sgd(momentum=0.9)"', TypeError,
    )
  return optimizer


def trainer(task: Any, optimizer: Any, owner: str) -> Trainer:
  """A trainer, after checking what it is made of."""
  if not isinstance(task, tasks.Task):
    raise _checks.refuse(
        owner, 'task', 'a lrax.tasks.Task', task,
        'build one, or take lrax.tasks.load("digits")', TypeError,
    )
  return Trainer(task, as_optimizer(optimizer, owner))
