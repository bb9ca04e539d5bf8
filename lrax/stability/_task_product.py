"""The Hessian of a task's training loss, over the batches of a pass."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
import functools
import itertools
from typing import Any
from typing import NamedTuple

import chex
import jax
from jax.core import Tracer
import jax.numpy as jnp
from jax.tree_util import Partial
import numpy as np

from lrax import _checks
from lrax import tasks
from lrax.stability import _flat
from lrax.stability import _product
from lrax.stability import _rows


class StreamedProduct:
  """A product summed on the host over batches that are read anew each time.

  It cannot be traced; `lanczos` and its kin run step by step with it.

  Args:
    task: what is trained.
    params: the parameters.
    state: what is not trained.
    key: for dropout.
    batches: at most so many of a pass; None for all.

  Raises:
    TypeError: from a call under `jax.jit`: batches from the host cannot be traced.
    ValueError: from a call: the pass has no batches.

  Source:
    lrax's own.

  Example:
    >>> import jax
    >>> import lrax
    >>> import numpy as np
    >>> task = lrax.tasks.Task(
    ...     init=lambda key: 0.0, loss=lambda w, x, key: (w * x**2).sum() * w / 2,
    ...     train=lrax.tasks.Stream(lambda seed: [np.ones(2), np.ones(1)]),
    ...     validation=lrax.tasks.Arrays(np.ones(1)), steps=1)
    >>> product = lrax.stability.task_product(task, 0.0)
    >>> type(product).__name__, round(float(product(1.0)), 4)  # (2 * 2 + 1 * 1) / 3
    ('StreamedProduct', 1.6667)
  """

  def __init__(
      self,
      task: tasks.Task,
      params: chex.ArrayTree,
      state: Any,
      key: chex.PRNGKey,
      batches: int | None,
  ):
    self._task = task
    self._at = _flat.widened(params), state, key
    self._batches = batches

  def __call__(self, vector: chex.ArrayTree) -> chex.ArrayTree:
    """The Hessian by the vector, after one pass over the batches."""
    leaves = jax.tree.leaves((self._at, vector))
    if any(isinstance(x, Tracer) for x in leaves):
      raise TypeError(
          f'task_product: the batches of {self._task.name} come from the host and'
          ' cannot be traced; call the product outside of jax.jit, with jit=False'
          ' where an algorithm is given it.'
      )
    params, state, key = self._at
    total, weight = jax.tree.map(jnp.zeros_like, params), 0
    for index, batch in enumerate(_once(self._task, self._batches)):
      rows = _rows.rows(batch)
      place = jax.random.fold_in(key, index)
      total = _added(self._task, params, state, place, vector, batch, rows, total)
      weight += rows
    return jax.tree.map(lambda x: x / weight, total)


def task_product(
    task: tasks.Task,
    params: chex.ArrayTree,
    state: Any = None,
    *,
    key: chex.PRNGKey | None = None,
    batches: int | list[Any] | None = None,
    axis_name: Any = None,
) -> Partial | StreamedProduct:
  """The Hessian of a task's training loss, as a function of a vector.

  The loss is the mean over the batches of one pass, each weighted by the length of
  its first axis, or 1 without any, as `task.train.once()` gives them: the last may
  be smaller. The gradient is differentiated anew for each batch, so that memory does
  not grow with the batches. That is up to 2.7 gradients' arithmetic in a deep network,
  of which 2 are left by `hessian_product` of `task.training_loss`, where one batch is
  all.

  Args:
    task: what is trained. Batches from `Stream` are read anew, on the host, for
      each product: it must give the same ones each time.
    params: where: real floating-point arrays; those narrower than float32 are
      widened.
    state: what is not trained, as `task.start` gives it; needed if the task is
      stateful. It is held, and what the loss makes of it is not used.
    key: for dropout; batch i always gets `jax.random.fold_in(key, i)`. None for
      `jax.random.key(0)`.
    batches: at most so many of a pass, a whole number >= 1; None for all. Or a
      list of batches to take instead of those of `task.train`; they may be traced.
    axis_name: under `jax.shard_map` or `jax.pmap`, the axis over whose devices to
      average, where each gives its own share as `batches`, all shares alike, and
      the loss is the mean over that share.

  Returns:
    `product(v)`, as of `hessian_product`, or a `StreamedProduct` where batches come
    from the host.

  Raises:
    TypeError: `task` is no Task, `batches` of another kind, or a parameter is no
      real floating-point array.
    ValueError: there are no parameters or no batches, `state` is missing, or a
      number is out of range; or, from a product, the loss is a mean over
      `axis_name` itself.

  Source:
    Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994.

  Example:
    >>> import jax
    >>> import lrax
    >>> task = lrax.tasks.tumours()
    >>> params, _ = task.start(jax.random.key(0))
    >>> product = lrax.stability.task_product(task, params)
    >>> round(float(product(params | {'b': 1.0})['b']), 4)  # mean of p * (1 - p)
    0.25
  """
  owner = 'task_product'
  if not isinstance(task, tasks.Task):
    raise _checks.refuse(
        owner, 'task', 'a lrax.tasks.Task', task,
        'build one, or take lrax.tasks.load("digits")', TypeError,
    )
  _flat.space(owner, params)
  if not isinstance(batches, list):
    batches = _checks.optional(_checks.count)(owner, 'batches', batches)
  if task.stateful and state is None:
    raise _checks.refuse(
        owner, 'state', 'given where the task is stateful', None,
        'pass what task.start(key) returns beside the parameters',
    )
  state = () if state is None else state
  key = jax.random.key(0) if key is None else key
  if isinstance(task.train, tasks.Stream) and not isinstance(batches, list):
    if axis_name is not None:
      raise _checks.refuse(
          owner, 'axis_name', 'None where batches come from the host', axis_name,
          'give each device a list of `batches`',
      )
    return StreamedProduct(task, params, state, key, batches)
  product = _OverBatches(task, axis_name)
  return Partial(product, params, state, key, _groups(task, batches))


def _once(task: tasks.Task, batches: int | list[Any] | None) -> Iterator[Any]:
  """The batches, or the first of a pass; refused where there are none."""
  if isinstance(batches, list):
    found: Iterable[Any] = batches
  else:
    found = itertools.islice(task.train.once(), batches)
  empty = True
  for batch in found:
    empty = False
    yield batch
  if empty:
    raise ValueError(
        f'task_product: there must be a batch of {task.name}, got none; `batches`'
        ' of a Stream must make a new iterator each time.'
    )


def _groups(task: tasks.Task, batches: int | list[Any] | None) -> list[tuple[Any, ...]]:
  """(batches, their places, their length) for each shape of batches, stacked."""
  found: dict[Any, list[tuple[int, Any]]] = {}
  for index, batch in enumerate(_once(task, batches)):
    shapes = [(np.shape(x), jnp.result_type(x)) for x in jax.tree.leaves(batch)]
    found.setdefault(str(shapes), []).append((index, batch))
  groups = []
  for members in found.values():
    places, same = zip(*members)
    stacked = jax.tree.map(_stacked, *same)
    groups.append((stacked, jnp.asarray(places), _rows.rows(same[0])))
  return groups


def _stacked(*arrays: Any) -> jax.Array:
  known = all(isinstance(x, np.ndarray) for x in arrays)
  return jnp.asarray(np.stack(arrays)) if known else jnp.stack(arrays)


def _of_batch(task, axis_name, params, state, key, vector, batch):
  """The Hessian of one batch's loss by a vector."""
  loss = lambda params: _product.own_loss(
      'task_product', task.training_loss(params, state, batch, key)[0], axis_name
  )
  vector = jax.tree.map(lambda p, x: jnp.asarray(x, p.dtype), params, vector)
  return jax.jvp(jax.grad(loss), (params,), (vector,))[1]


@functools.partial(jax.jit, static_argnums=0)
def _added(task, params, state, key, vector, batch, rows, total):
  product = _of_batch(task, None, params, state, key, vector, batch)
  return jax.tree.map(lambda total, x: total + rows * x, total, product)


class _OverBatches(NamedTuple):
  """A product over batches; those of one task are equal, and compiled once."""

  task: tasks.Task
  axis_name: Any

  def __call__(self, *arguments: Any) -> chex.ArrayTree:
    return _over_batches(*self, *arguments)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _over_batches(task, axis_name, params, state, key, groups, vector):
  params = _product.own(params, axis_name)
  vector = _product.own(vector, axis_name)
  total, weight = jax.tree.map(jnp.zeros_like, params), 0
  for batches, places, rows in groups:

    def add(total, one, rows=rows):
      batch, place = one
      place = jax.random.fold_in(key, place)
      product = _of_batch(task, axis_name, params, state, place, vector, batch)
      return jax.tree.map(lambda total, x: total + rows * x, total, product), None

    total, _ = jax.lax.scan(add, total, (batches, places))
    weight += rows * len(places)
  return _product.averaged(jax.tree.map(lambda x: x / weight, total), axis_name)
