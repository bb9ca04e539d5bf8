"""Products of the Hessian and of the Gauss-Newton matrix with a vector."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from lrax import _checks
from lrax.stability import _flat

Product = Callable[[chex.ArrayTree], chex.ArrayTree]


def hessian_product(
    loss: Callable[..., Any],
    params: chex.ArrayTree,
    *args: Any,
    axis_name: Any = None,
) -> Partial:
  """The Hessian of a loss as a function of a vector, without the matrix.

  The gradient is linearised once, so a product costs about two gradients and not
  the three of differentiating anew, and keeps what a gradient keeps: the
  activations of the batch.

  The result is a pytree: it passes through `jax.jit` as an argument, and one of new
  parameters does not recompile what it is given to, as long as `loss` is the same
  function.

  Formula:
    product(v) = d/de gradient(params + e * v) at e = 0

  Args:
    loss: `loss(params, *args)` is a real scalar, twice differentiable.
    params: where: a pytree of real floating-point arrays. Those narrower than
      float32 are widened first: the curvature of rounded numbers is noise.
    *args: pytrees of arrays, such as a batch and a key. What is no array belongs
      into `loss`, by `functools.partial`.
    axis_name: under `jax.shard_map` or `jax.pmap`, the axis over whose devices the
      Hessian is averaged, where each has its own share of the data and `loss` is
      the mean over that share. None in `jax.shard_map` for a loss that takes the
      mean over devices itself; under `jax.pmap` or with `check_vma=False` name the
      axis even so, since JAX differentiates such a mean as a sum there.

  Returns:
    `product(v)`, a `jax.tree_util.Partial`: from a pytree like `params`, of any
    floating-point dtypes, to H v in float32 or the wider dtype of `params`.

  Raises:
    TypeError: `loss` is not callable, is no real scalar, or a parameter is no real
      floating-point array.
    ValueError: there are no parameters; `loss` is a mean over `axis_name` itself
      where JAX knows that; or, from a product, a vector of another structure.

  Source:
    Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> loss = lambda params, scale: scale * params['w'] ** 3
    >>> product = lrax.stability.hessian_product(loss, {'w': jnp.array(2.0)}, 0.5)
    >>> float(product({'w': jnp.array(1.0)})['w'])  # 0.5 * 6 * 2
    6.0
  """
  _callable('hessian_product', 'loss', loss)
  _flat.space('hessian_product', params)
  return Partial(_apply, _hessian(loss, axis_name, params, args), _zeros(params))


def gauss_newton_product(
    predict: Callable[..., Any],
    loss: Callable[..., Any],
    params: chex.ArrayTree,
    *args: Any,
    axis_name: Any = None,
) -> Partial:
  """The Gauss-Newton matrix of a loss as a function of a vector.

  It is the Hessian without the curvature of the model: that of the loss of the
  model's linearisation, never negative where the loss is convex in the outputs.
  For a squared error or a cross-entropy of logits it is the Fisher information.

  Formula:
    product(v) = J^T H J v
    J = d outputs / d params, H = d2 loss / d outputs2

  Args:
    predict: `predict(params, *args)` is the outputs, any pytree of arrays.
    loss: `loss(outputs, *args)` is a real scalar.
    params: as of `hessian_product`.
    *args: as of `hessian_product`; both functions get all of them.
    axis_name: as of `hessian_product`.

  Returns:
    `product(v)`, as of `hessian_product`.

  Raises:
    TypeError: as of `hessian_product`.
    ValueError: as of `hessian_product`.

  Source:
    Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient
    Descent", 2002.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> product = lrax.stability.gauss_newton_product(
    ...     lambda w, x: w**2 * x, lambda outputs, x: outputs**2 / 2,
    ...     jnp.array(3.0), 2.0)
    >>> float(product(jnp.array(1.0)))  # (2 * 3 * 2) ** 2
    144.0
  """
  owner = 'gauss_newton_product'
  _callable(owner, 'predict', predict)
  _callable(owner, 'loss', loss)
  _flat.space(owner, params)
  linear = _gauss_newton(predict, loss, axis_name, params, args)
  return Partial(_apply, linear, _zeros(params))


def as_product(owner: str, product: Any) -> None:
  """Refuses what is no function of a vector."""
  if not callable(product):
    raise _checks.refuse(
        owner, 'product', 'a function of a vector', product,
        'such as that of lrax.stability.hessian_product', TypeError,
    )


def _callable(owner: str, name: str, value: Any) -> None:
  if not callable(value):
    raise _checks.refuse(
        owner, name, 'a function', value, 'see the docstring', TypeError
    )


@jax.jit
def _apply(linear, zeros, vector):
  alike = lambda z, x: _varied(jnp.asarray(x, z.dtype), _varying(z))
  return linear(jax.tree.map(alike, zeros, vector))


@jax.jit
def _zeros(params):
  """A scalar of each parameter's wide dtype, over the same devices."""
  zero = lambda x: _varied(jnp.zeros((), _flat.wide_dtype(x)), _varying(x))
  return jax.tree.map(zero, params)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _hessian(loss, axis_name, params, args):
  local = lambda params: own_loss('hessian_product', loss(params, *args), axis_name)
  gradient = jax.grad(local)
  return _linearised(gradient, axis_name, params)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _gauss_newton(predict, loss, axis_name, params, args):
  # The gradient of this, as a function of `moved`, is J^T (dloss at moved outputs):
  # linear in what moves the outputs, where J^T is held.
  outputs, forwards = jax.linearize(
      lambda params: predict(params, *args), own(params, axis_name)
  )
  backwards = jax.linear_transpose(forwards, own(params, axis_name))
  gradient = jax.grad(lambda outputs: own_loss(
      'gauss_newton_product', loss(outputs, *args), axis_name
  ))
  curve = jax.linearize(gradient, outputs)[1]
  chained = lambda vector: averaged(
      backwards(curve(forwards(own(vector, axis_name))))[0], axis_name
  )
  return jax.linearize(chained, _flat.widened(params))[1]


def _linearised(gradient, axis_name, params):
  mean = lambda params: averaged(gradient(own(params, axis_name)), axis_name)
  return jax.linearize(mean, _flat.widened(params))[1]


def own(params: chex.ArrayTree, axis_name: Any) -> chex.ArrayTree:
  """The parameters as this device's own, so that its gradient stays its own."""
  own = lambda x: _varied(x, _tracked(axis_name))
  return jax.tree.map(own, _flat.widened(params))


def own_loss(owner: str, loss: Any, axis_name: Any) -> Any:
  """The loss, refused where it is the same on all devices already."""
  if _tracked(axis_name) - _varying(jnp.asarray(loss)):
    raise _checks.refuse(
        owner, 'loss', "the mean over one device's share where `axis_name` is given",
        f'one that is the same over {axis_name!r}',
        'leave out its own mean over devices, or `axis_name`',
    )
  return loss


def _tracked(axis_name: Any) -> frozenset[Any]:
  """The axes over which JAX knows whether a value differs; not all ways to map do."""
  if axis_name is None:
    return frozenset()
  return _varying(jax.lax.axis_index(axis_name))


def _varying(x: Any) -> frozenset[Any]:
  return jax.typeof(x).manual_axis_type.varying


def _varied(x: jax.Array, axes: frozenset[Any]) -> jax.Array:
  """`x` as an array that may differ along these axes, for JAX's bookkeeping."""
  missing = tuple(axes - _varying(x))
  return jax.lax.pcast(x, missing, to='varying') if missing else x


def averaged(tree: chex.ArrayTree, axis_name: Any) -> chex.ArrayTree:
  """The mean over the devices of an axis; None for none."""
  return tree if axis_name is None else jax.lax.pmean(tree, axis_name)
