"""A table of which parameter gets which rate."""

from __future__ import annotations

from typing import Any

from jax.core import Tracer
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax.groups import _paths
from lrax.groups import _state
from lrax.groups import _transform
from lrax.state import _find


def describe(params: Any, groups: optax.GradientTransformation) -> None:
  """Prints the path, shape, group, factor and first rate of every parameter.

  Args:
    params: the parameters, or their shapes from `jax.eval_shape`.
    groups: what `param_groups` or another function of `lrax.groups` returned.

  Returns:
    None. `factor` is of the shared rate, or the schedule of the group's own;
    `rate` that of step 0, `-` where it is not known yet (inside `jax.jit`).

  Raises:
    TypeError: `groups` is of another kind.
    ValueError: a pattern takes no leaf, or a leaf has no pattern.

  Source:
    lrax's own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'body': {'w': jnp.ones((2, 3))}, 'head': jnp.ones(3)}
    >>> rules = [('head', 1.0), ('.*', lrax.groups.frozen)]
    >>> lrax.groups.describe(params, lrax.groups.param_groups(rules, lrax.sgd(0.5)))
    path    shape   group  factor  rate
    body/w  (2, 3)  .*     frozen  0
    head    (3,)    head   1.0     0.5
  """
  if not isinstance(groups, _transform.GroupedTransformation):
    raise _checks.refuse(
        'describe', 'groups', 'what a function of lrax.groups returned', groups,
        'for example param_groups(...) itself, not a chain around it', TypeError,
    )
  paths, leaves, treedef = _paths.flatten(params)
  names, rates = groups.plan(paths)
  first = _first_rates(groups, paths, leaves, treedef)
  rows = [('path', 'shape', 'group', 'factor', 'rate')]
  for path, leaf, name in zip(paths, leaves, names):
    shape = str(jnp.shape(_find.array(leaf)))
    rows.append((path, shape, name, repr(rates[name]), first.get(name, '0')))
  widths = [max(map(len, column)) for column in zip(*rows)]
  for row in rows:
    cells = (cell.ljust(width) for cell, width in zip(row, widths))
    print('  '.join(cells).rstrip())


def _first_rates(groups: Any, paths: Any, leaves: Any, treedef: Any) -> dict[str, str]:
  """The rates of step 0, as text; a group that is not there is frozen."""
  # The base on no leaves has the rate that it has on all.
  empty = _paths.masked(treedef, leaves, [False] * len(leaves))
  shared, _ = _state.take_rate(groups.owner, groups.base.init(empty))
  states = _transform.start_groups(groups.plan(paths).rates, shared)
  show = lambda rate: '-' if isinstance(rate, Tracer) else f'{float(rate):.6g}'
  return {name: show(state.learning_rate) for name, state in states.items()}
