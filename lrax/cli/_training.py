"""A task's own training, some updates at a time, to look at it in between."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import tasks


class Training:
  """One run of a task, with the batches and the keys of its own.

  Attributes:
    task: what is trained.
    params: the parameters by now.
    state: what is not trained.
    opt_state: the optimizer's state.
    steps: updates made.
    loss: that of the latest batch, before its update; NaN before any.
  """

  def __init__(self, task: tasks.Task, optimizer: Any, key: chex.PRNGKey, seed: int):
    """Starts it.

    Args:
      task: what to train.
      optimizer: the transformation.
      key: for the parameters, the batches and dropout.
      seed: for the batches of a `Stream`.
    """
    self.task = task
    self._tx = optax.with_extra_args_support(optimizer)
    begin, draw, self._key = jax.random.split(key, 3)
    self.params, self.state = task.start(begin)
    self.params = jax.tree.map(jnp.asarray, self.params)
    self.opt_state = jax.jit(self._tx.init)(self.params)
    self.steps, self.loss = 0, float('nan')
    source = task.train
    self._from_host = isinstance(source, tasks.Stream)
    if isinstance(source, tasks.Stream):
      self._position: Any = source.forever(seed)
    else:
      self._position = jax.jit(source.start)(draw)
      self._data = jax.tree.map(jnp.asarray, source.data)
    self._update = jax.jit(self._updated)
    self._updates = jax.jit(self._updated_often)

  def go_on(self, updates: int) -> None:
    """Makes so many updates more."""
    at = self.params, self.state, self.opt_state
    loss = jnp.asarray(self.loss)
    if self._from_host:
      for _ in range(updates):
        batch = next(self._position)
        key = jax.random.fold_in(self._key, self.steps)
        *at, loss = self._update(*at, batch, key)
        self.steps += 1
    else:
      *at, self._position, loss = self._updates(
          *at, self._position, self._data, self._key, self.steps, updates
      )
      self.steps += updates
    self.params, self.state, self.opt_state = at
    self.loss = float(loss)

  def _updated(self, params, state, opt_state, batch, key):
    gradient = jax.value_and_grad(self.task.training_loss, has_aux=True)
    (loss, state), grads = gradient(params, state, batch, key)
    updates, opt_state = self._tx.update(
        grads, opt_state, params, value=loss, grad=grads
    )
    return optax.apply_updates(params, updates), state, opt_state, loss

  def _updated_often(
      self, params, state, opt_state, position, data, key, done, updates
  ):
    source = self.task.train
    assert not isinstance(source, tasks.Stream)

    def one(i, carry):
      params, state, opt_state, position, _ = carry
      batch, position = source.next(data, position)
      params, state, opt_state, loss = self._updated(
          params, state, opt_state, batch, jax.random.fold_in(key, done + i)
      )
      return params, state, opt_state, position, loss.astype(jnp.float32)

    start = params, state, opt_state, position, jnp.float32('nan')
    return jax.lax.fori_loop(0, updates, one, start)
