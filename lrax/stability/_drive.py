"""One algorithm, two ways to run: in a compiled loop, or step by step on the host."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any
from typing import NamedTuple

import jax
from jax.core import Tracer
import jax.numpy as jnp

from lrax import _checks
from lrax.stability import _flat
from lrax.stability import _task_product


class Algorithm(NamedTuple):
  """What an algorithm does with products; pure functions of hashable settings.

  A state has a field `going`, whether it wants another product.
  """

  begin: Callable[..., Any]  # (settings, space, key) -> state
  vector: Callable[..., Any]  # (state,) -> what to multiply, (size,)
  advance: Callable[..., Any]  # (settings, state, product of it) -> state
  finish: Callable[..., Any]  # (settings, space, state) -> result


def drive(
    algorithm: Algorithm,
    settings: Any,
    space: _flat.Space,
    product: Any,
    key: Any,
    jit: bool,
) -> Any:
  """The result of an algorithm; `settings` and `space` are static."""
  if isinstance(product, _task_product.StreamedProduct) or not jit:
    return _on_host(algorithm, settings, space, product, key)
  if isinstance(product, jax.tree_util.Partial):
    return _compiled(algorithm, settings, space, product, key)
  # Not kept beyond this call, nor is what the function holds.
  traced = functools.partial(_traced, algorithm, settings, space, product)
  return jax.jit(traced)(key)


def _traced(algorithm, settings, space, product, key):
  def step(state):
    image = product(space.tree(algorithm.vector(state)))
    return algorithm.advance(settings, state, space.vector(image))

  state = algorithm.begin(settings, space, key)
  state = jax.lax.while_loop(lambda state: state.going, step, state)
  return algorithm.finish(settings, space, state)


_compiled = jax.jit(_traced, static_argnums=(0, 1, 2))


def _on_host(algorithm, settings, space, product, key):
  state = _begin(algorithm, settings, space, key)
  while state.going:
    # A copy, since the state's memory is used again.
    vector = space.tree(jnp.copy(algorithm.vector(state)))
    state = _advance(algorithm, settings, space, state, product(vector))
  return _finish(algorithm, settings, space, state)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _begin(algorithm, settings, space, key):
  return algorithm.begin(settings, space, key)


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=3)
def _advance(algorithm, settings, space, state, image):
  return algorithm.advance(settings, state, space.vector(image))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _finish(algorithm, settings, space, state):
  return algorithm.finish(settings, space, state)


def whole(owner: str, name: str, value: Any) -> int:
  """A whole number >= 1, refused where it is traced."""
  return int(known(owner, name, _checks.count(owner, name, value)))


def known(owner: str, name: str, value: Any) -> Any:
  """The number, refused where it is traced: it decides what is compiled."""
  if isinstance(value, Tracer):
    raise _checks.refuse(
        owner, name, 'a Python number', value, 'it decides what is compiled', TypeError
    )
  return float(value) if isinstance(value, (float, jax.Array)) else value
