"""An optimizer that estimates its rate, up to a multiplier: the schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple
from typing import Protocol

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _policy
from lrax import _types
from lrax._sum_all import sum_all
from lrax.control import _along
from lrax.transforms import _leafwise
from lrax.transforms._needs_params import needs_params


class _Update(Protocol):
  """One update of a method.

  `multiply(estimate)` is what the schedule gives, or what makes the estimate the
  rate that `lrax.set_learning_rate` wants; `multiply.rate(estimate)` is the rate.
  Returns the steps to add to the parameters, in float32 or wider, the state, and
  the estimate that acted.
  """

  def __call__(
      self,
      grads: Any,
      state: Any,
      params: Any,
      multiply: Multiplier,
  ) -> tuple[Any, Any, jax.Array]:
    ...


class Multiplier(NamedTuple):
  """What makes an estimate a rate: what the schedule gives, or an override."""

  given: jax.Array  # rate dtype, (): of the schedule
  override: jax.Array  # rate dtype, (): NaN for none
  signals: dict[str, jax.Array]  # those that the method needs, rate dtype, ()

  def __call__(self, estimate: jax.Array) -> jax.Array:
    free = jnp.isnan(self.override)
    # No NaN is divided, whose derivative would be one wherever it goes.
    wanted = jnp.where(free, 0, self.override)
    part = _leafwise.safe_divide(wanted, estimate.astype(wanted.dtype))
    return jnp.where(free, self.given, part)

  def rate(self, estimate: jax.Array) -> jax.Array:
    """The product, or the override, where the estimate is 0 too."""
    product = self.given * estimate
    return jnp.where(jnp.isnan(self.override), product, self.override)


class Method(NamedTuple):
  """How a method starts and what it does at an update."""

  init: Callable[[Any], Any]  # of the parameters: the state
  update: _Update
  first: Any  # the estimate before any gradient
  signals: tuple[str, ...] = ()  # real scalars that update must be given


def optimizer(
    owner: str,
    method: Method,
    policy: _policy.Schedule,
    *after: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
  """The optimizer whose rate is the policy's times what the method estimates.

  Its state is the method's, those of the transformations that come after the
  update, such as an average, and the policy's, which shows the product. An
  override replaces the product; the estimate goes on, as if the schedule had
  given what the override is of it.
  """

  def init(params):
    rated: Any = policy.init(params)
    shown = rated.learning_rate * jnp.asarray(method.first, rated.learning_rate.dtype)
    return (
        method.init(params),
        *(link.init(params) for link in after),
        rated._replace(learning_rate=shown),
    )

  def update(updates, state: Any, params=None, **extra_args):
    params = needs_params(owner, params, 'the rate is estimated from where they are')
    kept, *links, rated = state
    # A policy gives its value with its state; the updates it scales are dropped.
    after_rated: Any = policy.update(updates, rated, params, **extra_args)[1]
    given = after_rated.learning_rate
    told = _types.Signals(updates, params, None, extra_args)
    signals = {
        name: _along.scalar(owner, name, told.require(name, owner))
        for name in method.signals
    }
    multiply = Multiplier(given, rated.override, signals)
    grads = jax.tree.map(lambda g: jnp.asarray(g, _leafwise.wide_dtype(g)), updates)
    steps, kept, estimate = method.update(grads, kept, params, multiply)
    shown = multiply.rate(estimate).astype(given.dtype)
    steps = jax.tree.map(lambda s, g: s.astype(jnp.result_type(g)), steps, updates)
    new = []
    for link, was in zip(after, links):
      steps, now = link.update(steps, was, params, **extra_args)
      new.append(now)
    return steps, (kept, *new, after_rated._replace(learning_rate=shown))

  return optax.GradientTransformationExtraArgs(init, update)


def scalar(value: Any) -> jax.Array:
  """In the rate's dtype, in which estimates are kept."""
  return jnp.asarray(value, _types.rate_dtype())


def sum_of_squares(tree: chex.ArrayTree) -> jax.Array:
  return _total(_leafwise.square, tree)


def sum_of_sizes(tree: chex.ArrayTree) -> jax.Array:
  return _total(jnp.abs, tree)


def _total(
    term: Callable[[jax.Array], jax.Array], tree: chex.ArrayTree
) -> jax.Array:
  return scalar(sum_all(term, jax.tree.leaves(tree), _types.rate_dtype()))


def wide(tree: chex.ArrayTree) -> Any:
  """The tree in float32 or wider."""
  return jax.tree.map(lambda x: jnp.asarray(x, _leafwise.wide_dtype(x)), tree)


def as_kept(tree: chex.ArrayTree, like: chex.ArrayTree) -> Any:
  """The tree in the dtypes of another: those in which a state is kept."""
  return jax.tree.map(lambda x, y: jnp.asarray(x, jnp.result_type(y)), tree, like)


def start_of(params: chex.ArrayTree) -> Any:
  """A copy of the parameters, in their own dtypes: donated ones may go."""
  return jax.tree.map(lambda p: jnp.array(p, jnp.result_type(p)), params)


def times(factor: Any, x: jax.Array) -> jax.Array:
  """`factor * x` in the dtype of `x`."""
  return x * jnp.asarray(factor, _leafwise.real_dtype(x.dtype))
