"""Batches to measure the gradient's noise on: of one size, and no example twice."""

from __future__ import annotations

from collections.abc import Iterator
import hashlib
import itertools
import math
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import tasks

FEWEST = 4  # batches; of fewer not even the error can be told
_ENOUGH = 16  # batches that are made of arrays, if need be smaller ones

_OWNER = 'noise_scale'


class Batches(NamedTuple):
  """Batches on the host, and what they are of."""

  batches: list[Any]
  rows: int  # examples in each
  population: float  # examples that there are; infinite for a distribution
  repeated: int  # batches left out, since their examples had been seen
  source: str  # what is assumed of them, in words


def drawn(
    task: tasks.Task, count: int, rows: int | None, seed: int, examples: int | None
) -> Batches:
  """At most `count` batches of the task's training data."""
  source = task.train
  if examples is not None and not isinstance(source, tasks.Stream):
    raise _checks.refuse(
        _OWNER, 'examples', 'None but for a Stream', examples,
        'Arrays know their own, and Drawn has no end of them',
    )
  if isinstance(source, tasks.Arrays):
    found = _of_arrays(source, count, rows, seed)
  elif isinstance(source, tasks.Drawn):
    found = _of_drawn(source, count, rows, seed)
  else:
    found = _of_stream(source, count, rows, seed, examples)
  if len(found.batches) < FEWEST:
    left_out = ''
    if found.repeated:
      left_out = f' and {found.repeated} with examples of those before'
    raise _checks.refuse(
        _OWNER, 'task', f'of {FEWEST} different batches at least',
        f'{len(found.batches)} of {rows or found.rows} examples{left_out}',
        'pass a smaller `batch_size`, by which larger batches are cut; those that'
        ' repeat tell nothing new',
    )
  return found


def _of_arrays(
    source: tasks.Arrays, count: int, rows: int | None, seed: int
) -> Batches:
  examples = source.examples
  assert source.batch_size is not None
  if rows is None:
    rows = min(source.batch_size, max(1, examples // _ENOUGH))
  order = np.random.default_rng(seed).permutation(examples)
  count = min(count, examples // rows)
  parts = [order[i * rows : (i + 1) * rows] for i in range(count)]
  batches = [jax.tree.map(lambda x: x[part], source.data) for part in parts]  # noqa: B023
  said = f'The gradient is that of all {examples:,} examples, drawn without repeats.'
  return Batches(batches, rows, examples, 0, said)


def _of_drawn(
    source: tasks.Drawn, count: int, rows: int | None, seed: int
) -> Batches:
  draw = jax.jit(source.draw)
  keys = (jax.random.fold_in(jax.random.key(seed), i) for i in itertools.count())
  pieces = (
      piece
      for key in itertools.islice(keys, count)
      for _, piece in _cut(draw(key), rows)
  )
  batches, repeated = [], 0
  seen: set[bytes] = set()
  for piece in itertools.islice(pieces, count):
    told = _digest(jax.tree.leaves(piece))
    repeated += told in seen
    if told not in seen:
      batches.append(piece)
    seen.add(told)
  said = 'Batches are drawn anew each time: they are taken to be independent.'
  return Batches(batches, _rows(batches), math.inf, repeated, said)


def _of_stream(
    source: tasks.Stream, count: int, rows: int | None, seed: int, examples: int | None
) -> Batches:
  batches, repeated, shape = [], 0, None
  seen: set[bytes] = set()
  read, passing = 0, source.once(seed)
  for batch in passing:
    read += 1
    leaves = [np.asarray(_plain(x)) for x in jax.tree.leaves(batch)]
    told = [_digest([x[i] for x in leaves]) for i in range(_rows([batch]))]
    for start, piece in _cut(batch, rows):
      own = told[start : start + _rows([piece])]
      shape = shape or _shapes(piece)
      if 2 * sum(row in seen for row in own) > len(own):
        repeated += 1
      elif _shapes(piece) == shape:
        batches.append(piece)
      seen.update(own)
    seen.update(told)
    if len(batches) + repeated >= count:
      break
  # A pass that was cut short is no pass; one that repeats has shown all it has.
  ended = read != source.limit and next(passing, None) is None
  if examples is not None:
    said = f'The gradient is that of all {examples:,} examples; the stream is shuffled.'
  elif ended or repeated:
    examples = len(seen)
    said = f'A pass has {examples:,} examples; the gradient is that of all of them.'
  else:
    said = 'The stream is taken to be shuffled, and far longer than what was read.'
  batches = batches[:count]
  size = _rows(batches)
  population = math.inf if examples is None else examples
  if population < size * len(batches):
    raise _checks.refuse(
        _OWNER, 'examples', f'at least the {size * len(batches)} that were read',
        examples, 'leave it out if it is not known',
    )
  return Batches(batches, size, population, repeated, said)


def _cut(batch: Any, rows: int | None) -> Iterator[tuple[int, Any]]:
  """The batch, or its parts of so many rows, and where each starts."""
  length = _rows([batch])
  if rows is None:
    yield 0, batch
    return
  for start in range(0, length - rows + 1, rows):
    yield start, jax.tree.map(lambda x: x[start : start + rows], batch)  # noqa: B023


def _rows(batches: list[Any]) -> int:
  if not batches:
    return 0
  lengths = {np.shape(x)[:1] for x in jax.tree.leaves(batches[0])}
  if len(lengths) != 1 or () in lengths or (0,) in lengths:
    raise _checks.refuse(
        _OWNER, 'task', 'of batches whose arrays have one first axis, of examples',
        f'leaves of shapes {[np.shape(x) for x in jax.tree.leaves(batches[0])]}',
        'the noise scale counts examples',
    )
  return lengths.pop()[0]


def _shapes(batch: Any) -> list[Any]:
  return [(np.shape(x), str(jnp.result_type(x))) for x in jax.tree.leaves(batch)]


def _plain(leaf: Any) -> Any:
  """A key as its numbers."""
  if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.extended):
    return jax.random.key_data(leaf)
  return leaf


def _digest(arrays: list[Any]) -> bytes:
  told = hashlib.blake2b(digest_size=16)
  for array in arrays:
    told.update(np.ascontiguousarray(_plain(array)).tobytes())
  return told.digest()
