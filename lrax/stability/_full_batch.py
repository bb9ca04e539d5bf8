"""Training on all the data in each step."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lrax import tasks
from lrax.stability import _rows


def batches(owner: str, task: tasks.Task) -> list[tuple[Any, int]]:
  """All the data as batches, and their lengths."""
  if isinstance(task.train, tasks.Arrays):
    found = [task.train.data]
  else:
    found = list(task.train.once())
  if not found:
    raise ValueError(
        f'{owner}: `train` of {task.name} must have a batch, got none;'
        ' `batches` of a Stream must make a new iterator each time.'
    )
  return [(jax.tree.map(jnp.asarray, b), _rows.rows(b)) for b in found]


class Run:
  """Training on all the data at once, some updates in one program."""

  def __init__(self, task: tasks.Task, tx: Any, every: int, batches: Any, key: Any):
    self.tx = optax.with_extra_args_support(tx)
    self.batches = [batch for batch, _ in batches]
    sizes = [size for _, size in batches]
    weights = [size / sum(sizes) for size in sizes]

    def whole(params, state, batches, key):
      total = 0.0
      for weight, batch in zip(weights, batches):
        loss, state = task.training_loss(params, state, batch, key)
        total += weight * loss
      return total, state

    def update(_, carry, batches, key):
      params, state, opt_state = carry
      gradient = jax.value_and_grad(whole, has_aux=True)
      (_, state), grads = gradient(params, state, batches, key)
      updates, opt_state = self.tx.update(grads, opt_state, params)
      return optax.apply_updates(params, updates), state, opt_state

    @jax.jit
    def chunk(params, state, opt_state, batches, key):
      step = functools.partial(update, batches=batches, key=key)
      params, state, opt_state = jax.lax.fori_loop(
          0, every, step, (params, state, opt_state)
      )
      loss, _ = whole(params, state, batches, key)
      return params, state, opt_state, loss

    self.loss = lambda *at: whole(*at)[0]
    self.chunk = lambda *at: chunk(*at, self.batches, key)
