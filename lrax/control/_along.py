"""What a policy measures along the direction of an update.

The updates that reach a policy are the direction: the step goes against it. The
gradient is the keyword argument `grad`, and without one the direction itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax import _types
from lrax._sum_all import sum_all


def loss(owner: str, signals: _types.Signals) -> jax.Array:
  """The keyword argument `value` of this update, a real scalar."""
  return scalar(owner, 'value', signals.require('value', owner))


def scalar(owner: str, name: str, value: Any) -> jax.Array:
  """A real scalar in the rate's dtype, or says that `name` is none."""
  dtype = jnp.result_type(value)
  if jnp.ndim(value) or jnp.issubdtype(dtype, jnp.complexfloating):
    raise _checks.refuse(
        owner, name, 'a real scalar', f'{dtype} of shape {jnp.shape(value)}',
        'reduce it, as with jnp.mean', TypeError,
    )
  return jnp.asarray(value, _types.rate_dtype())


def direction(owner: str, signals: _types.Signals) -> chex.ArrayTree:
  """The updates; as a hyperparameter of Optax, which sees none, the gradient."""
  if signals.updates is None:
    return signals.require('grad', owner)
  return signals.updates


def gradient(owner: str, signals: _types.Signals) -> chex.ArrayTree:
  """The gradient where this update got one, else the direction."""
  given = signals.extra_args.get('grad')
  return direction(owner, signals) if given is None else given


def parameters(owner: str, signals: _types.Signals) -> chex.ArrayTree:
  """The parameters, or says that this update needs them."""
  if signals.params is None:
    raise _types.MissingSignal(
        f'{owner}: needs the signal `params`, which this update did not get;'
        ' call tx.update(grads, state, params).'
    )
  return signals.params


def zeros(params: chex.ArrayTree | None) -> chex.ArrayTree:
  """Zeros of the parameters' shapes, in float32 or their wider dtype."""
  # Given by name, it is a strong type even where the leaf is a Python number.
  return jax.tree.map(
      lambda x: jnp.zeros(jnp.shape(x), _wide(x, jnp.float32).dtype), params
  )


def needs_shapes(owner: str, memory: chex.ArrayTree, updates: chex.ArrayTree) -> None:
  """Refuses a memory of trees that was made without the parameters."""
  if memory is None and updates is not None:
    raise _types.MissingSignal(
        f'{owner}: needs the signal `params` where its state is made, which'
        ' remembers one number for each of theirs; call tx.init(params), and use'
        ' it in a chain, not in optax.inject_hyperparams.'
    )


def on(tree: chex.ArrayTree, like: chex.ArrayTree) -> chex.ArrayTree:
  """The tree without what `optax.masked` has taken out of `like`."""
  keep = lambda a, b: a if _is_masked(a) else b
  return jax.tree.map(keep, like, tree, is_leaf=_is_masked)


def inner(left: chex.ArrayTree, right: chex.ArrayTree) -> jax.Array:
  """The inner product of two trees over the leaves that the first one has.

  In the rate's dtype. Real: of complex leaves it is that of their real and
  imaginary parts. What `optax.masked` has taken out of the first tree may still
  be in the second.
  """
  dtype = _types.rate_dtype()
  leaves, treedef = jax.tree.flatten(left, is_leaf=_is_masked)
  if all(map(_is_masked, leaves)):
    return jnp.zeros((), dtype)
  pairs = zip(leaves, treedef.flatten_up_to(right))

  def product(pair):
    a, b = (_wide(x, dtype) for x in pair)
    return jnp.real(a * jnp.conj(b)) if jnp.iscomplexobj(a) else a * b

  return sum_all(product, [pair for pair in pairs if not _is_masked(pair[0])], dtype)


def _is_masked(x: Any) -> bool:
  return isinstance(x, optax.MaskedNode)


def _wide(x: Any, dtype: Any) -> jax.Array:
  return jnp.asarray(x, jnp.promote_types(jnp.result_type(x), dtype))


def away(
    params: chex.ArrayTree, rate: Any, direction: chex.ArrayTree
) -> chex.ArrayTree:
  """`params - rate * direction`, rounded to the parameters' dtype once."""

  def leaf(x: Any, d: Any) -> jax.Array:
    wide = _wide(x, jnp.float32)
    step = rate * jnp.asarray(d, wide.dtype)
    return (wide - step).astype(jnp.result_type(x))

  return jax.tree.map(leaf, params, direction)


def loss_along(
    owner: str, signals: _types.Signals
) -> tuple[Callable[[Any], jax.Array], chex.ArrayTree]:
  """The function `rate -> loss after a step of it`, and the direction."""
  value_fn = signals.require('value_fn', owner)
  if not callable(value_fn):
    raise _checks.refuse(
        owner, 'value_fn', 'a function of the parameters', value_fn,
        'the loss on the batch of this update', TypeError,
    )
  params, step = parameters(owner, signals), direction(owner, signals)
  if any(map(_is_masked, jax.tree.leaves(params, is_leaf=_is_masked))):
    raise ValueError(
        f'{owner}: `params` must be all that `value_fn` takes, got a tree of which'
        ' optax.masked or optax.partition left a part out; put the policy outside of'
        ' it, or take lrax.groups.param_groups.'
    )
  after = lambda rate: scalar(owner, 'value_fn', value_fn(away(params, rate, step)))
  return after, step
