"""Many small arrays of one shape as one array."""

from __future__ import annotations

import functools
import math
from typing import Any

import chex
import jax
from jax import lax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax.transforms._needs_params import needs_params

# The entries of an array up to which the work on it costs less than the handling.
_SMALL = 2**14
# XLA compiles a kernel for each place in a stack, and takes it again for the same
# place in another one: of all arrays in one stack there would be as many kernels.
_ROWS = 64


def stacked(
    transform: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
  """Runs an element-wise optimizer on stacks of the small arrays of one shape.

  Thousands of small arrays cost JAX and XLA far more than the numbers in them: an
  Adam hands in and out four arrays for each and compiles three kernels for each.
  Here `transform` sees a list of arrays: of those of one shape and dtype that have at
  most 16,384 entries, stacks (n, *shape) of up to 64; each other array as it is. Its
  state has those shapes too.

  Formula:
    stack[row] = g of the array in that row
    update of the array = transform(stack)[row]

  Only for what treats every entry alike, such as Adam, AdamW, Lion, gradient
  descent, and a clip or an estimate over all arrays together. What takes norms or
  means of each array or looks at rows and columns (`lars`, `lamb`, `ldog`,
  `novograd`, `mars`, `cautious`, `adafactor`, `came`, `sm3`, `muon`, `soap`) would
  take a stack for one array. What goes by paths, ranks or masks goes around it, as
  in `lrax.groups.param_groups(..., lrax.transforms.stacked(tx))`.

  Args:
    transform: any transformation or whole optimizer that is element-wise.

  Returns:
    An `optax.GradientTransformationExtraArgs` with the state of `transform`. Updates
    have the shapes and dtypes that `transform` would give them. Of the keywords of
    `update`, `grad` is stacked too; `value_fn` takes the parameters' own tree. Under
    `lrax.eval_params` a method that keeps an average of parameters
    (`schedule_free`, `dog`) has it in stacks: not for those.

  Raises:
    TypeError: `transform` is no transformation.
    ValueError: `update` gets no `params`, whose dtypes say what is stacked.

  Source:
    As `optax.flatten`, which makes one vector of all arrays, large ones too, so that
    XLA compiles a kernel for each: see tests/benchmarks/step_cost.py.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> import optax
    >>> params = {'scale': jnp.ones(3), 'bias': jnp.zeros(3), 'w': jnp.ones((3, 3))}
    >>> tx = lrax.transforms.stacked(lrax.adamw(0.1))
    >>> state = tx.init(params)
    >>> updates, state = tx.update(params, state, params)
    >>> [mu.shape for mu in optax.tree.get(state, 'mu')]
    [(2, 3), (3, 3)]
  """
  if not isinstance(transform, optax.GradientTransformation):
    raise _checks.refuse(
        'stacked', 'transform', 'an optax.GradientTransformation', transform,
        'for example lrax.adamw(1e-3)', TypeError,
    )
  inner = optax.with_extra_args_support(transform)

  def init(params):
    return inner.init(_Stacks(params).stack(params))

  def update(updates, state, params=None, **extra_args):
    params = needs_params('stacked', params, 'their dtypes say what is stacked')
    stacks = _Stacks(params)
    if extra_args.get('grad') is not None:
      extra_args['grad'] = stacks.stack(extra_args['grad'])
    if callable(value_fn := extra_args.get('value_fn')):
      extra_args['value_fn'] = lambda xs, *args, **kwargs: value_fn(
          stacks.unstack(xs, params), *args, **kwargs
      )
    given, own = stacks.stack(updates), stacks.stack(params)
    steps, state = inner.update(given, state, own, **extra_args)
    return stacks.unstack(steps, updates), state

  return optax.GradientTransformationExtraArgs(init, update)


class _Stacks:
  """Which leaves of a tree are one array."""

  def __init__(self, params: chex.ArrayTree):
    leaves, self._treedef = jax.tree.flatten(params)
    alike: dict[Any, list[int]] = {}
    for i, x in enumerate(leaves):
      shape, dtype = jnp.shape(x), jnp.result_type(x)
      alone = math.prod(shape) > _SMALL
      alike.setdefault((shape, dtype, i if alone else None), []).append(i)
    self._places = [
        places[first : first + _ROWS]
        for places in alike.values()
        for first in range(0, len(places), _ROWS)
    ]

  def stack(self, tree: chex.ArrayTree) -> list[jax.Array]:
    """One array for each stack, and the leaves that are alone."""
    leaves = self._treedef.flatten_up_to(tree)
    return [_stack([leaves[i] for i in places]) for places in self._places]

  def unstack(self, arrays: Any, like: chex.ArrayTree) -> chex.ArrayTree:
    """The tree of the leaves, in the dtypes of those of `like` that were stacked."""
    leaves = self._treedef.flatten_up_to(like)
    for places, array in zip(self._places, arrays, strict=True):
      stacked_dtype = _dtype([leaves[i] for i in places])
      for row, i in enumerate(places):
        x = array if len(places) == 1 else lax.index_in_dim(array, row, keepdims=False)
        # What `transform` made wider is left so, as master_weights needs.
        same = array.dtype == stacked_dtype
        leaves[i] = x.astype(jnp.result_type(leaves[i])) if same else x
    return self._treedef.unflatten(leaves)


def _stack(leaves: list[jax.Array]) -> jax.Array:
  if len(leaves) == 1:
    return jnp.asarray(leaves[0])
  dtype = _dtype(leaves)
  return jnp.stack([jnp.asarray(x, dtype) for x in leaves])


def _dtype(leaves: list[jax.Array]) -> Any:
  # Not jnp.stack's choice, which is the narrow one where a wide one is weak.
  return functools.reduce(jnp.promote_types, map(jnp.result_type, leaves))
