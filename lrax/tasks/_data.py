"""Where batches come from: arrays in memory, a function, or a host iterator."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import itertools
from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from lrax import _checks


def _is_numeric(leaf: Any) -> bool:
  dtype = getattr(leaf, 'dtype', None) or np.asarray(leaf).dtype
  return jnp.issubdtype(dtype, np.number) or dtype == np.bool_ or (
      jnp.issubdtype(dtype, jax.dtypes.extended)
  )


class Position(NamedTuple):
  """Where a run is in arrays that it goes through again and again."""

  key: chex.PRNGKey  # for the orders still to come
  order: jax.Array  # int32, (examples,): this epoch's order
  offset: jax.Array  # int32, (): examples of this epoch already used


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
  """Examples in memory, drawn in a new random order each epoch.

  Batches are drawn inside the compiled program. What does not fill a batch at
  the end of an epoch is left out of that epoch.

  Args:
    data: a pytree of arrays whose first axis counts the examples.
    batch_size: examples in a batch; None for all of them.

  Raises:
    TypeError: `data` has no arrays, or `batch_size` is no whole number.
    ValueError: the first axes differ, or a batch is larger than the data.

  Source:
    lrax's own.

  Example:
    >>> import jax
    >>> import lrax
    >>> import numpy as np
    >>> source = lrax.tasks.Arrays({'x': np.arange(6.0)}, batch_size=2)
    >>> batch, _ = source.next(source.data, source.start(jax.random.key(0)))
    >>> batch['x'].shape
    (2,)
  """

  data: Any
  batch_size: int | None = None

  def __post_init__(self):
    leaves = jax.tree.leaves(self.data)
    sizes = {np.shape(leaf)[:1] for leaf in leaves}
    if not all(_is_numeric(leaf) for leaf in leaves):
      raise _checks.refuse(
          'Arrays', 'data', 'a pytree of arrays of numbers',
          sorted({str(np.asarray(leaf).dtype) for leaf in leaves}),
          'encode text as integers', TypeError,
      )
    if not sizes or () in sizes:
      raise _checks.refuse(
          'Arrays', 'data', 'a pytree of arrays with a first axis of examples',
          self.data, 'for example (inputs, labels)', TypeError,
      )
    if len(sizes) > 1 or sizes == {(0,)}:
      raise _checks.refuse(
          'Arrays', 'data', 'of one length above 0 in the first axis',
          sorted(size[0] for size in sizes), 'one row for each example',
      )
    ((examples,),) = sizes
    size = examples if self.batch_size is None else self.batch_size
    size = _checks.positive_steps('Arrays', 'batch_size', size)
    if size > examples:
      raise _checks.refuse(
          'Arrays', 'batch_size', f'at most the {examples} examples', size,
          'pass None for all of them',
      )
    object.__setattr__(self, 'data', jax.tree.map(np.asarray, self.data))
    object.__setattr__(self, 'batch_size', size)

  @property
  def examples(self) -> int:
    """How many examples there are."""
    return len(jax.tree.leaves(self.data)[0])

  def start(self, key: chex.PRNGKey) -> Position:
    """The position before the first batch; compiled with the run."""
    key, shuffle = jax.random.split(key)
    order = jax.random.permutation(shuffle, self.examples).astype(jnp.int32)
    return Position(key, order, jnp.zeros((), jnp.int32))

  def next(self, data: Any, position: Position) -> tuple[Any, Position]:
    """The next batch of `data` (this source's, as an argument) and position."""
    size = self.batch_size
    assert size is not None
    over = position.offset + size > self.examples
    position = jax.lax.cond(over, lambda p: self.start(p.key), lambda p: p, position)
    rows = jax.lax.dynamic_slice_in_dim(position.order, position.offset, size)
    batch = jax.tree.map(lambda x: jnp.asarray(x)[rows], data)
    return batch, position._replace(offset=position.offset + size)

  def once(self) -> Iterator[Any]:
    """All the examples once, in order, in batches; the last may be smaller."""
    size = self.batch_size
    assert size is not None
    for start in range(0, self.examples, size):
      yield jax.tree.map(lambda x: x[start : start + size], self.data)  # noqa: B023


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
  """Batches made by a pure function of a key: synthetic data, or rollouts.

  Args:
    draw: takes a key, returns a batch; compiled with the run.
    batches: how many batches one pass over it takes, where it is used to
      validate.

  Raises:
    TypeError: `draw` is not callable.
    ValueError: `batches` is not a whole number of at least 1.

  Source:
    lrax's own.

  Example:
    >>> import jax
    >>> import lrax
    >>> source = lrax.tasks.Drawn(lambda key: jax.random.normal(key, (4,)))
    >>> batch, _ = source.next(source.data, source.start(jax.random.key(0)))
    >>> batch.shape
    (4,)
  """

  draw: Callable[[chex.PRNGKey], Any]
  batches: int = 1

  def __post_init__(self):
    if not callable(self.draw):
      raise _checks.refuse(
          'Drawn', 'draw', 'a function of a key', self.draw,
          'it returns a batch', TypeError,
      )
    _checks.positive_steps('Drawn', 'batches', self.batches)

  @property
  def data(self) -> Any:
    """Nothing: the batches are made as they are needed."""
    return ()

  def start(self, key: chex.PRNGKey) -> chex.PRNGKey:
    """The key before the first batch."""
    return key

  def next(self, data: Any, position: Any) -> tuple[Any, Any]:
    """The next batch, and the key after it."""
    del data
    position, key = jax.random.split(position)
    return self.draw(key), position

  def once(self) -> Iterator[Any]:
    """The same `batches` batches every time."""
    draw = jax.jit(self.draw)
    for index in range(self.batches):
      yield draw(jax.random.key(index))


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
  """Batches from a Python iterator on the host, for data larger than memory.

  Args:
    batches: takes a seed, an int, and returns an iterable of batches, pytrees
      of arrays. When it runs out it is called again for another pass. Every
      batch that is trained on has the same shapes.
    limit: at most so many batches a pass; None for all. Needed to validate on
      an iterator that never ends.

  Raises:
    TypeError: `batches` is not callable.
    ValueError: `limit` is not a whole number of at least 1; while training, an
      iterator without batches, or batches whose shapes differ.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> import numpy as np
    >>> def batches(seed):
    ...   rng = np.random.default_rng(seed)
    ...   while True:
    ...     yield rng.normal(size=(4,))
    >>> [batch.shape for batch in lrax.tasks.Stream(batches, limit=2).once()]
    [(4,), (4,)]
  """

  batches: Callable[[int], Iterable[Any]]
  limit: int | None = None

  def __post_init__(self):
    if not callable(self.batches):
      raise _checks.refuse(
          'Stream', 'batches', 'a function of a seed', self.batches,
          'it returns an iterable of batches', TypeError,
      )
    _checks.optional(_checks.positive_steps)('Stream', 'limit', self.limit)

  def once(self, seed: int = 0) -> Iterator[Any]:
    """One pass."""
    batches = self.batches(seed)
    if not isinstance(batches, Iterable):
      raise _checks.refuse(
          'Stream', 'batches', 'a function that returns an iterable',
          f'one that returns {batches!r}', 'write it as a generator', TypeError,
      )
    yield from itertools.islice(batches, self.limit)

  def forever(self, seed: int) -> Iterator[Any]:
    """Pass after pass, batches of one shape."""
    first = None
    while True:
      empty = True
      for batch in self.once(seed):
        empty = False
        shapes = jax.tree.map(lambda x: (np.shape(x), jnp.result_type(x)), batch)
        first = first or shapes
        if shapes != first:
          raise _checks.refuse(
              'Stream', 'batches', f'of one shape and dtype, {first}', shapes,
              'leave out a last batch that is smaller',
          )
        yield batch
      if empty:
        advice = f'batches({seed}) ended at once'
        if first is not None:
          advice += ' when called again: it must make a new iterator each time'
        raise _checks.refuse(
            'Stream', 'batches', 'an iterable of at least one batch', 'none', advice
        )


Source = Arrays | Drawn | Stream
