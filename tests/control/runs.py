"""Runs of a policy over metrics, each in one compiled loop."""

import jax
import jax.numpy as jnp
import numpy as np

import lrax


def rates(policy, metrics):
  """The rates of updates that are given these metrics as `value=`.

  Metrics of shape (runs, updates) are mapped over, one run each.
  """

  def run(metrics):
    def step(state, metric):
      state = policy.update((), state, value=metric)[1]
      return state, state.learning_rate

    return jax.lax.scan(step, policy.init(), metrics)[1]

  return _run(run, metrics)


def reported_rates(policy, metrics):
  """The rates of the two updates after each of these metrics is reported."""

  def run(metrics):
    def epoch(state, metric):
      state = lrax.report(state, metric)
      _, first = policy.update((), state)
      _, second = policy.update((), first)
      return second, jnp.stack([first.learning_rate, second.learning_rate])

    return jax.lax.scan(epoch, policy.init(), metrics)[1]

  return _run(run, metrics)


def _run(run, metrics):
  metrics = jnp.asarray(metrics, jnp.float32)
  run = run if metrics.ndim == 1 else jax.vmap(run)
  return np.asarray(jax.jit(run)(metrics))
