"""What the learning rate is: for people and for loggers."""

from __future__ import annotations

from collections.abc import Hashable
import itertools
from typing import Any

import jax
from jax import tree_util
import jax.numpy as jnp

from lrax import _types
from lrax.control import GuardState
from lrax.state import _find
from lrax.state import _monitor_state


def get_learning_rate(state: Any) -> Any:
  """Returns the rate that the latest update applied, at any depth of nesting.

  Before the first update it is the rate of step 0. A change by
  `set_learning_rate` and its kin shows after the next update, which applies it.

  Args:
    state: any optimizer state: of a chain, `optax.partition`, `masked`,
      `MultiSteps`, `apply_if_finite`, `inject_hyperparams`, a Flax `TrainState`
      or nnx `Optimizer`, or any pytree that holds one. Works inside `jax.jit`.

  Returns:
    The rate, an array of shape () in float32, or float64 under x64; or a dict
    of rates by group where there are several. Groups are the labels of
    `optax.partition` and the patterns of `lrax.groups`. A state with leading axes
    (`vmap`, `pmap`) gives them.

  Raises:
    ValueError: no lrax learning rate is in `state`; it says what was looked at.

  Source:
    lrax's own; Optax keeps no rate under a schedule (optax issue 206).

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.adam(lrax.linear(1.0, 0.0, steps=4))
    >>> state = tx.init({'w': jnp.ones(3)})
    >>> float(lrax.get_learning_rate(state))
    1.0
  """
  found = _find.find(state, 'get_learning_rate')
  rates = {g: _find.array(f.state.learning_rate) for g, f in found.items()}
  return rates if len(rates) > 1 else next(iter(rates.values()))


def metrics(state: Any) -> dict[str, jax.Array]:
  """Returns a flat dict of scalars about the learning rate, for any logger.

  Args:
    state: any optimizer state; see `get_learning_rate`.

  Returns:
    `learning_rate`, as applied by the latest update; `learning_rate_step`, the
    policy's clock; `learning_rate_scale`, what `scale_learning_rate` made it;
    `learning_rate_overridden`, 1 where `set_learning_rate` is in force, else 0.
    Where there are several groups each name ends with `/group`. Other numbers that
    are schedules come by their argument, as `b1`, with the values of the latest
    update; those of one name in one group have their place in the state instead.
    Of a `lrax.guard`, the outermost one, what it has counted: `guard_skipped`,
    `guard_non_finite`, `guard_outliers`, `guard_back_offs`, `guard_roll_backs`, and
    `guard_scale`, by which it has the rate multiplied. Of a `lrax.diagnose.monitor`
    everything in its docstring, as `monitor_gradient_norm`; where there are several
    under labels of `optax.partition` or elsewhere, the label is put before the
    group: `monitor_gradient_norm/label/group`. `monitor_updates/label` is there for
    each label and for nothing else.

  Raises:
    ValueError: neither a lrax learning rate nor a monitor is in `state`; it says
      what was looked at.

  Source:
    lrax's own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> state = lrax.sgd(0.5).init({'w': jnp.ones(3)})
    >>> {name: float(value) for name, value in lrax.metrics(state).items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'learning_rate': 0.5, 'learning_rate_step': 0.0,
     'learning_rate_scale': 1.0, 'learning_rate_overridden': 0.0}
  """
  monitored = _monitored(state)
  try:
    found = _find.find(state, 'metrics')
  except ValueError:
    if not monitored:
      raise
    found = {}
  result = {}
  for group, (_, node) in found.items():
    suffix = f'/{group}' if len(found) > 1 else ''
    override = _find.array(node.override)
    result |= {
        f'learning_rate{suffix}': _find.array(node.learning_rate),
        f'learning_rate_step{suffix}': _find.array(node.step),
        f'learning_rate_scale{suffix}': _find.array(node.scale),
        f'learning_rate_overridden{suffix}': jnp.where(
            jnp.isnan(override), 0, 1
        ),
    }
  return result | _scheduled(state, found) | _guard(state) | monitored


def _monitored(state: Any) -> dict[str, Any]:
  """What every outermost `MonitorState` has measured."""
  is_monitor = lambda node: isinstance(node, _monitor_state.MonitorState)
  nodes, _ = tree_util.tree_flatten_with_path(state, is_leaf=is_monitor)
  found = [(path, node) for path, node in nodes if is_monitor(node)]
  labels = [str(_find.partition_label(path)) for path, _ in found]
  if len(set(labels)) < len(labels):
    labels = [tree_util.keystr(path) for path, _ in found]
  result = {}
  for (_, node), label in zip(found, labels):
    result |= _monitor_state.metrics(node, label if len(found) > 1 else '')
  return result


def _guard(state: Any) -> dict[str, Any]:
  """The counts of the outermost `GuardState`, if there is one."""
  is_guard = lambda node: isinstance(node, GuardState)
  nodes = jax.tree.leaves(state, is_leaf=is_guard)
  guard = next((node for node in nodes if is_guard(node)), None)
  if guard is None:
    return {}
  counts = 'skipped', 'non_finite', 'outliers', 'back_offs', 'roll_backs', 'scale'
  return {f'guard_{name}': _find.array(getattr(guard, name)) for name in counts}


def _scheduled(state: Any, rates: dict[Hashable, _find.Found]) -> dict[str, Any]:
  """The values of every `ScheduledState` by name and group."""
  is_scheduled = lambda node: isinstance(node, _types.ScheduledState)
  nodes, _ = tree_util.tree_flatten_with_path(state, is_leaf=is_scheduled)
  found = [
      (path, name, _find.array(value))
      for path, node in nodes
      if is_scheduled(node)
      for name, value in node.values.items()
  ]
  names = [name + _suffix(path, rates) for path, name, _ in found]
  return {
      name if names.count(name) == 1 else name + tree_util.keystr(path): value
      for name, (path, _, value) in zip(names, found)
  }


def _suffix(path: _find.Path, rates: dict[Hashable, _find.Found]) -> str:
  """`/group` of the learning rate that is nearest in the state, if one is."""
  if len(rates) < 2:
    return ''
  shared = {group: _shared(path, rate.path) for group, rate in rates.items()}
  nearest = [g for g, length in shared.items() if length == max(shared.values())]
  return f'/{nearest[0]}' if len(nearest) == 1 else ''


def _shared(a: _find.Path, b: _find.Path) -> int:
  """How many keys two paths have in common at their start."""
  return len(list(itertools.takewhile(lambda keys: keys[0] == keys[1], zip(a, b))))
