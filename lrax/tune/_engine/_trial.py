"""One trial as JAX sees it: what it is, where it stands, and its updates.

What differs from trial to trial is an argument of the program: the rate of each
step, the seed, and any number that the optimizer takes. So one compilation serves
them all.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import functools
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
from lrax.tune import _curves

# rate, numbers by name -> an optax.GradientTransformation
Optimizer = Callable[..., Any]


class Trials(NamedTuple):
  """What differs from trial to trial; the first axis counts them."""

  rates: np.ndarray  # (trials, steps): of each update; a run ends at its first NaN
  seeds: np.ndarray  # int, (trials,): for parameters, batches and dropout
  numbers: Mapping[str, np.ndarray] = {}  # of the optimizer, (trials,) each

  def take(self, places: Any, steps: int) -> Trials:
    """Some of them, of `steps` rates; where a place is -1, one that ends at once."""
    places = np.asarray(places)
    rates = np.full((len(places), steps), np.nan)
    rates[:, : self.rates.shape[1]] = self.rates[places]
    rates[places < 0] = np.nan
    numbers = {k: np.asarray(v)[places] for k, v in self.numbers.items()}
    return Trials(rates, np.asarray(self.seeds)[places], numbers)


class Runs(NamedTuple):
  """What became of the trials, in their order."""

  losses: np.ndarray  # (trials, steps): before each update; NaN past the end
  steps_done: np.ndarray  # int, (trials,): updates
  diverged: np.ndarray  # bool, (trials,)
  validation_loss: np.ndarray  # (trials,): NaN where it diverged or was not judged

  @classmethod
  def none(cls, count: int, steps: int) -> Runs:
    """Of no update, to be filled in."""
    return cls(
        np.full((count, steps), np.nan), np.zeros(count, int),
        np.zeros(count, bool), np.full(count, np.nan),
    )


class Row(NamedTuple):
  """One of `Trials`, on a device."""

  rates: jax.Array  # (steps,)
  seed: jax.Array  # int32, ()
  numbers: Mapping[str, jax.Array]  # () each


class Carry(NamedTuple):
  """A run between two updates."""

  params: Any
  state: Any  # what is not trained
  opt_state: Any
  position: Any  # where the run is in its data
  key: chex.PRNGKey
  step: jax.Array  # int32, (): updates done
  losses: jax.Array  # (steps,): NaN from `step` on
  watch: _curves.Watch


def on_device(trials: Trials) -> Row:
  """The rows as JAX arrays, the first axis still counting them."""
  floating = jnp.result_type(float)
  return Row(
      np.asarray(trials.rates, floating),  # type: ignore[arg-type]
      np.asarray(trials.seeds, np.int32),  # type: ignore[arg-type]
      {k: np.asarray(v, floating) for k, v in trials.numbers.items()},  # type: ignore
  )


class Program:
  """The traced functions of one trial of a task under an optimizer."""

  def __init__(self, task: tasks.Task, optimizer: Optimizer):
    self.task, self.optimizer = task, optimizer
    self.streams = isinstance(task.train, tasks.Stream)
    self.streams_validation = isinstance(task.validation, tasks.Stream)

  def begin(self, row: Row) -> Carry:
    """Before the first update."""
    init, draw, key = jax.random.split(jax.random.key(row.seed), 3)
    params, state = self.task.start(init)
    tx = self.optimizer(row.rates[0], **row.numbers)
    if not all(callable(getattr(tx, name, None)) for name in ('init', 'update')):
      raise _checks.refuse(
          self.task.name, 'optimizer', 'a function that makes an optimizer',
          f'one that returns {type(tx).__name__}', 'for example lrax.adamw', TypeError,
      )
    train = self.task.train
    position = () if isinstance(train, tasks.Stream) else train.start(draw)
    carry = Carry(
        params, state, tx.init(params), position, key, jnp.zeros((), jnp.int32),
        jnp.full(row.rates.shape, jnp.nan, row.rates.dtype),
        _curves.watch_from(row.rates.dtype),
    )
    # Strong types from the start, so that a loop can carry it.
    return jax.tree.map(_strong, carry)

  def ended(self, carry: Carry, row: Row) -> jax.Array:
    """Whether the run is over: all its updates done, or seen to diverge."""
    steps = len(row.rates)
    rate = row.rates[jnp.minimum(carry.step, steps - 1)]
    return (carry.step >= steps) | jnp.isnan(rate) | carry.watch.diverged

  def advance(
      self, carry: Carry, row: Row, until: Any, data: Any, batches: Any, first: Any
  ) -> Carry:
    """Updates up to the step `until`, or to the end of the run.

    Args:
      carry: the run.
      row: the trial.
      until: int32, (), the step to stop before.
      data: of `task.train`, if it is in memory.
      batches: stacked, from the host if the task streams.
      first: int32, (), the step of the first of `batches`.
    """

    def goes_on(carry: Carry) -> jax.Array:
      return (carry.step < until) & ~self.ended(carry, row)

    def update(carry: Carry) -> Carry:
      batch = jax.tree.map(lambda x: x[carry.step - first], batches)
      return self.step(carry, row, data, batch)

    return jax.lax.while_loop(goes_on, update, carry)

  def step(self, carry: Carry, row: Row, data: Any, batch: Any) -> Carry:
    """One update; `batch` is used where the task streams."""
    position = carry.position
    if not isinstance(self.task.train, tasks.Stream):
      batch, position = self.task.train.next(data, position)
    key = jax.random.fold_in(carry.key, carry.step)
    loss_and_grad = jax.value_and_grad(self.task.training_loss, has_aux=True)
    (loss, state), grad = loss_and_grad(carry.params, carry.state, batch, key)
    rate = row.rates[carry.step]
    tx = optax.with_extra_args_support(self.optimizer(rate, **row.numbers))
    value = lambda params: self.task.training_loss(params, carry.state, batch, key)[0]
    updates, opt_state = tx.update(
        grad, _injected(carry.opt_state, rate), carry.params, value=loss, grad=grad,
        value_fn=value,
    )
    params = optax.apply_updates(carry.params, updates)
    losses = carry.losses.at[carry.step].set(loss.astype(carry.losses.dtype))
    new = Carry(
        params, state, opt_state, position, carry.key, carry.step + 1, losses,
        _curves.watch(carry.watch, losses, carry.step),
    )
    if jax.tree.structure(new.state) != jax.tree.structure(carry.state):
      raise ValueError(
          f'{self.task.name}: `loss`: the state that it returns must keep the form'
          f' that init made, got {jax.tree.structure(new.state)} for'
          f' {jax.tree.structure(carry.state)}; return the same tree.'
      )
    return jax.tree.map(_as_before, carry, new)

  def evaluate(self, carry: Carry, batch: Any) -> jax.Array:
    """The loss on one validation batch."""
    params = lrax_state.eval_params(carry.opt_state, carry.params)
    return self.task.validation_loss(params, carry.state, batch)

  def validate(self, carry: Carry, data: Any) -> jax.Array:
    """The mean over one pass of a validation source that is in memory."""
    source = self.task.validation
    loss = functools.partial(self.evaluate, carry)
    if isinstance(source, tasks.Drawn):
      keys = jax.vmap(jax.random.key)(jnp.arange(source.batches))
      return jnp.mean(jax.lax.map(lambda key: loss(source.draw(key)), keys))
    assert isinstance(source, tasks.Arrays) and source.batch_size is not None
    size = source.batch_size
    full, rest = divmod(source.examples, size)
    if (full, rest) == (1, 0):
      return loss(data)
    head = lambda x: x[: full * size].reshape(full, size, *x.shape[1:])
    total = jnp.sum(jax.lax.map(loss, jax.tree.map(head, data))) * size
    if rest:
      total += loss(jax.tree.map(lambda x: x[full * size :], data)) * rest
    return total / source.examples


def _injected(opt_state: Any, rate: jax.Array) -> Any:
  """The state, with the rate where `optax.inject_hyperparams` keeps it.

  Its update takes what the state says and not what it was made with.
  """
  is_one = lambda node: 'learning_rate' in getattr(node, 'hyperparams', ())

  def follow(node: Any) -> Any:
    if not is_one(node):
      return node
    old = node.hyperparams['learning_rate']
    new = jnp.asarray(rate, jnp.result_type(old))
    return node._replace(hyperparams={**node.hyperparams, 'learning_rate': new})

  return jax.tree.map(follow, opt_state, is_leaf=is_one)


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
