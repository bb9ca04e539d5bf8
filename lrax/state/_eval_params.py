"""The parameters to evaluate, where they are not the ones being trained."""

from __future__ import annotations

from typing import Any

import chex
import jax
from jax.core import Tracer
import jax.numpy as jnp
import optax

from lrax.state import _find


def eval_params(state: Any, params: Any) -> Any:
  """Returns the parameters to evaluate, at any depth of nesting.

  Some methods take gradients at one point and are meant to be judged at
  another: schedule-free methods at their average, lookahead at its slow
  parameters. For every other optimizer it returns `params` unchanged, so an
  evaluation loop can always call it.

  Formula:
    schedule-free: x = (y - (1 - b1) * z) / b1, with y the trained parameters
    and b1 and z from the state, or x itself where the state keeps it; averages:
    the average in the state; lookahead: the slow parameters.

  Args:
    state: any optimizer state; see `get_learning_rate`.
    params: the parameters being trained; for `optax.lookahead` its
      `LookaheadParams`.

  Returns:
    The parameters to evaluate, of the structure, shapes and dtypes of `params`,
    or of its slow part for lookahead.

  Raises:
    ValueError: a schedule-free state of Optax with b1 = 0, from which the average
      cannot be computed. Inside `jax.jit`, where b1 has no value, that gives NaN.
      Or an average of another tree than `params`.

  Source:
    Defazio et al., "The Road Less Scheduled", 2024, equation 1, solved for x,
    as `optax.contrib.schedule_free_eval_params` does for an unnested state;
    Zhang et al., "Lookahead Optimizer", 2019.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.ones(())}
    >>> state = lrax.adam(0.1).init(params)
    >>> lrax.eval_params(state, params) is params
    True
  """
  if isinstance(params, optax.LookaheadParams):
    params = params.slow
  is_node = lambda node: _is_schedule_free(node) or _is_average(node)
  for node in filter(is_node, jax.tree.leaves(state, is_leaf=is_node)):
    params = _evaluated(node, params)
  return params


def _is_schedule_free(node: Any) -> bool:
  return {'b1', 'weight_sum', 'z'} <= set(getattr(node, '_fields', ()))


def _is_average(node: Any) -> bool:
  return {'count', 'averaged_params'} <= set(getattr(node, '_fields', ()))


def _evaluated(state: Any, params: Any) -> chex.ArrayTree:
  tree = state.averaged_params if _is_average(state) else state.z
  try:
    jax.tree.structure(tree, is_leaf=_is_leaf).flatten_up_to(params)
  except ValueError as error:
    raise ValueError(
        'eval_params: `params` must have the tree that the state was made for, got'
        f' another one ({error}); where the optimizer was given another tree than the'
        ' parameters, as in lrax.transforms.stacked or optax.flatten, the average'
        ' cannot be put back.'
    ) from error
  if _is_average(state):
    return _kept(state.averaged_params, params)
  x = getattr(state, 'x', ())
  return _kept(x, params) if jax.tree.leaves(x) else _average(state, params)


def _kept(average: Any, params: Any) -> chex.ArrayTree:
  """The average in the dtypes of the parameters, and those that it has not."""

  def take(x: Any, y: Any) -> Any:
    if not jax.tree.leaves(x):
      return y  # masked: these parameters belong to another optimizer
    x = _find.array(x)
    return jax.tree.map(lambda y: x.astype(jnp.result_type(y)), y)

  return jax.tree.map(take, average, params, is_leaf=_is_leaf)


def _is_leaf(x: Any) -> bool:
  """Parameters of another optimizer are masked, and nnx wraps each leaf."""
  return isinstance(x, optax.MaskedNode) or _find.is_wrapped(x)


def _average(state: Any, params: Any) -> chex.ArrayTree:
  b1 = _find.array(state.b1)
  if not isinstance(b1, Tracer) and not b1.all():
    raise ValueError(
        'eval_params: `state` must have b1 > 0, got b1 = 0; without it the'
        ' trained parameters hold nothing of the average.'
    )

  def solve(z: Any, y: Any) -> Any:
    if not jax.tree.leaves(z):
      return y
    z = _find.array(z)
    share = b1.reshape(b1.shape + (1,) * (jnp.ndim(z) - b1.ndim))
    average = lambda y: ((y - (1 - share) * z) / share).astype(jnp.result_type(y))
    return jax.tree.map(average, y)

  return jax.tree.map(solve, state.z, params, is_leaf=_is_leaf)
