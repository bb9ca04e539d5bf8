"""The problem and the reference runs of tests/reference/adaptive.json."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrax

REFERENCE = json.loads((Path(__file__).parent / 'reference/adaptive.json').read_text())
PROBLEM = REFERENCE['problem']


def loss(params: dict[str, jax.Array]) -> jax.Array:
  """The loss that all runs minimise; parameters x (6,) and w (4, 3)."""
  constant = lambda name: jnp.asarray(PROBLEM[name])
  gap = params['x'] - constant('optimum')
  square = jnp.sum(gap**2)
  residual = constant('mixing') @ params['w'] - constant('target')
  bowl = jnp.sum(constant('curvature') * gap**2) / 2 + square**2 / 4
  return bowl + (1 + PROBLEM['coupling'] * square) * jnp.sum(residual**2) / 2


def start() -> dict[str, jax.Array]:
  """The parameters from which all runs begin."""
  return {
      'x': jnp.asarray(PROBLEM['start_x']), 'w': jnp.asarray(PROBLEM['start_w'])
  }


def flat(params: dict[str, jax.Array]) -> np.ndarray:
  """x, then w row by row, as the file has them."""
  return np.concatenate([np.ravel(params['x']), np.ravel(params['w'])])


def assert_follows(
    name: str,
    build: Callable[..., optax.GradientTransformation],
    looser: float = 10.0,
    evaluate: Callable[..., Any] | None = None,
) -> None:
  """Asserts that an optimizer, in float64, goes where the reference run `name` goes.

  Args:
    name: the run.
    build: makes the optimizer; takes the rate (a Schedule) where the run has one.
    looser: how many times the run's own spread, that of a start moved by a few
      ulp, is allowed, beyond 1e-12 of roundings.
    evaluate: `(state, params) -> params` whose result is compared with the run's
      averages instead, as `lrax.eval_params`.
  """
  run = REFERENCE['runs'][name]
  key = lambda kind: kind if evaluate is None else f'{kind}_eval'
  with jax.enable_x64(True):
    kinds = [('constant', REFERENCE['steps'], 'spread')]
    if 'changing' in run:
      kinds.append(('changing', REFERENCE['changed'], 'changing_spread'))
    for kind, steps, spread in kinds:
      expected = run[key(kind)]
      found = _walk(run, build, steps[: len(expected)], kind == 'changing', evaluate)
      # A run by hand has no spread.
      spreads = run.get(spread, [0.0] * len(expected))
      for step, ours, theirs, moved in zip(steps, found, expected, spreads):
        tolerance = 1e-12 + looser * moved
        np.testing.assert_allclose(
            ours, theirs, rtol=tolerance, atol=tolerance, err_msg=f'{name} at {step}'
        )


def _walk(run, build, steps, changing, evaluate):
  if run['rate_argument'] is None:
    tx = build()
  else:
    first, *second = run['rates']
    rates = [first, second[0]] if changing else [first, first]
    tx = build(lrax.piecewise_constant(rates, [REFERENCE['change']]))
  tx = optax.with_extra_args_support(tx)

  @jax.jit
  def step(params, state):
    value, grads = jax.value_and_grad(loss)(params)
    updates, state = tx.update(grads, state, params, value=value, grad=grads)
    return optax.apply_updates(params, updates), state

  params = start()
  state = tx.init(params)
  found = []
  for done in range(1, steps[-1] + 1):
    params, state = step(params, state)
    if done in steps:
      found.append(flat(params if evaluate is None else evaluate(state, params)))
  return found
