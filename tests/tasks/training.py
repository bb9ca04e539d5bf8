"""A plain loop of Optax over a task, which the tests of tasks train with."""

import functools

import jax
import jax.numpy as jnp
import optax


@functools.cache
def trainer(task, optimizer, steps):
  """Compiled: (peak rate, seeds) to (parameters, losses), one of each a seed.

  The rate is a cosine to 0. The seeds are trained together, by `vmap`.
  """

  def train(rate, seed):
    tx = optimizer(optax.cosine_decay_schedule(rate, steps))
    first, data, key = jax.random.split(jax.random.key(seed), 3)
    params = task.init(first)

    def step(carry, key):
      params, state, position = carry
      batch, position = task.train.next(task.train.data, position)
      loss, grad = jax.value_and_grad(task.loss)(params, batch, key)
      updates, state = tx.update(grad, state, params)
      return (optax.apply_updates(params, updates), state, position), loss

    carry = params, tx.init(params), task.train.start(data)
    carry, losses = jax.lax.scan(step, carry, jax.random.split(key, steps))
    return carry[0], losses

  together = jax.jit(jax.vmap(train, (None, 0)))
  return lambda rate, seeds: together(jnp.asarray(rate), jnp.asarray(seeds))
