"""A signal in the state that training should stop."""

from __future__ import annotations

import functools
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.control import _closed_loop
from lrax.control import _evaluation


class EarlyStopMemory(NamedTuple):
  """What `early_stop` remembers."""

  best: jax.Array  # rate dtype, (): the best cost, inf before any
  bad: jax.Array  # int32, (): evaluations in a row without improvement
  stop: jax.Array  # bool, (): whether they ever reached the patience


def _start(**_) -> tuple[Any, EarlyStopMemory]:
  memory = EarlyStopMemory(
      _evaluation.infinite(), _evaluation.zero(), jnp.zeros((), bool)
  )
  return _evaluation.one(), memory


@_closed_loop.closed_loop(
    _start,
    patience=_evaluation.count,
    rtol=_checks.non_negative,
    atol=_checks.non_negative,
    mode=_evaluation.mode,
    signal=_evaluation.signal,
)
def early_stop(
    memory: EarlyStopMemory,
    step: jax.Array,
    signals: _types.Signals,
    patience: Numeric = 10,
    rtol: Numeric = 0.0,
    atol: Numeric = 0.0,
    mode: str = 'min',
    signal: str = 'value',
):
  """A factor of 1 that remembers when a metric has long stopped to improve.

  Multiply a schedule by it, `schedule * lrax.control.early_stop()`, and ask
  `lrax.control.should_stop(opt_state)`. The rate stays as it is: to stop is for
  the loop that trains.

  Formula:
    for 'min', an evaluation is an improvement where
      metric < best - (rtol * |best| + atol)
    for 'max', where
      metric > best + (rtol * |best| + atol)
    bad = 0 after an improvement, else bad + 1
    stop from the evaluation on at which bad reaches patience
    rate = 1

  Args:
    patience: evaluations in a row without improvement that bring the stop, a
      whole number >= 0; 0 is as 1. With `signal='value'` every update is one.
    rtol: the least improvement as a share of the best's size, a finite number
      >= 0.
    atol: the least improvement in the metric's unit, a finite number >= 0.
    mode: 'min' for a loss, 'max' for an accuracy.
    signal: 'value' hears `update(..., value=loss)`, at every update; 'report'
      hears `lrax.report(state, metric)`, at the update after it, and ignores
      `value`. A report that is not finite is a failed evaluation.

  Returns:
    A closed-loop `lrax.Schedule` whose rate is 1.

  Raises:
    TypeError: an argument is no real scalar or no string.
    ValueError: an argument is out of range; or, from `update`, `value` is
      missing.

  Source:
    Goodfellow, Bengio and Courville, "Deep Learning", 2016, algorithm 7.1, as
    Keras' and Flax's `EarlyStopping`. A metric that is not finite never becomes
    the best and is no improvement.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.adam(1e-3 * lrax.control.early_stop(patience=2))
    >>> params, stops = {'w': jnp.ones(())}, []
    >>> state = tx.init(params)
    >>> for loss in (1.0, 1.0, 1.5, 0.5):
    ...   _, state = tx.update(params, state, params, value=loss)
    ...   stops.append(bool(lrax.control.should_stop(state)))
    >>> stops
    [False, False, True, True]
  """
  del step
  heard, cost = _evaluation.hear('early_stop', signals, mode, signal)
  improved = _evaluation.better(cost, memory.best, rtol, atol)
  bad = jnp.where(improved, 0, memory.bad + 1)
  new = EarlyStopMemory(
      best=jnp.where(improved, cost, memory.best),
      bad=bad,
      stop=memory.stop | (bad >= jnp.maximum(patience, 1)),
  )
  return _evaluation.one(), _evaluation.hold(heard, new, memory)


def should_stop(state: Any) -> jax.Array:
  """Returns whether an `early_stop` in the state has run out of patience.

  Args:
    state: any optimizer state, or a pytree that holds one, at any depth of
      nesting: see `lrax.get_learning_rate`. Works inside `jax.jit`, so that
      `jax.lax.while_loop` can stop by it.

  Returns:
    A bool array of shape (): True from the update on that heard the evaluation
    too many, and for ever after; of several `early_stop`, whether any says so.
    A state with leading axes (`vmap`, `pmap`) gives them.

  Raises:
    ValueError: there is no `early_stop` in `state`.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> state = lrax.sgd(0.1 * lrax.control.early_stop()).init({})
    >>> bool(lrax.control.should_stop(state))
    False
  """
  is_memory = lambda node: isinstance(node, EarlyStopMemory)
  nodes = jax.tree.leaves(state, is_leaf=is_memory)
  # The array inside: an nnx optimizer wraps it in a Variable.
  stops = [jax.tree.leaves(node.stop)[0] for node in nodes if is_memory(node)]
  if not stops:
    raise ValueError(
        'should_stop: `state` must hold an early_stop policy, got one without;'
        ' multiply the learning rate by lrax.control.early_stop().'
    )
  return functools.reduce(jnp.logical_or, stops)
