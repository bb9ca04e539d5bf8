"""Batches to measure the gradient's noise on: of one size, and of one pass."""

from __future__ import annotations

import hashlib
import math
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import tasks
from lrax.stability import _rows

FEWEST = 4  # batches; of fewer not even the error can be told
_ENOUGH = 16  # batches that are made of arrays, if need be smaller ones

_OWNER = 'noise_scale'


class Batches(NamedTuple):
  """Batches on the host, and what they are of."""

  batches: list[Any]
  rows: int  # examples in each
  population: float  # examples that there are; infinite for a distribution
  repeated: int  # batches left out, of a pass that came again
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
      left_out = f' and {found.repeated} that repeat them'
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
  key = jax.random.key(seed)
  batches, told = [], set()
  for i in range(count):
    batch = draw(jax.random.fold_in(key, i))
    told.add(_digest(batch))
    batches += _cut(batch, rows)
    # Two draws tell whether they are drawn at all.
    if len(batches) >= count and i > 0:
      break
  # Those of few and coarse examples are alike by chance, and count as often as drawn.
  if len(told) == 1:
    raise _checks.refuse(
        _OWNER, 'task', 'of batches that are drawn by the key', 'the same each time',
        'use the key; pass arrays as Arrays; if they are alike by chance, draw'
        ' larger ones',
    )
  said = 'Batches are drawn anew each time: they are taken to be independent.'
  batches = batches[:count]
  return Batches(batches, _length(batches), math.inf, 0, said)


def _of_stream(
    source: tasks.Stream, count: int, rows: int | None, seed: int, examples: int | None
) -> Batches:
  cuts: list[list[Any]] = []  # of each batch, the parts that are used
  lengths, told, shape = [], [], None
  passing = source.once(seed)
  for batch in passing:
    pieces = list(_cut(batch, rows))
    shape = shape or (_shapes(pieces[0]) if pieces else None)
    cuts.append([piece for piece in pieces if _shapes(piece) == shape])
    lengths.append(_length([batch]))
    told.append(_digest(batch))
    if sum(max(len(pieces), 1) for pieces in cuts) >= count:
      break
  # A pass that was cut short is no pass; one that repeats has shown all it has.
  ended = len(told) != source.limit and next(passing, None) is None
  once = _until_repeated(told)
  if examples is not None:
    said = f'The gradient is that of all {examples:,} examples; the stream is shuffled.'
  elif ended or once < len(told):
    examples = sum(lengths[:once])
    said = f'A pass has {examples:,} examples; the gradient is that of all of them.'
  else:
    said = 'The stream is taken to be shuffled, and far longer than what was read.'
  batches = [piece for pieces in cuts[:once] for piece in pieces][:count]
  repeated = sum(map(len, cuts[once:]))
  size = _length(batches)
  population = math.inf if examples is None else examples
  if population < size * len(batches):
    raise _checks.refuse(
        _OWNER, 'examples', f'at least the {size * len(batches)} that were read',
        examples, 'leave it out if it is not known, or read fewer `batches`',
    )
  return Batches(batches, size, population, repeated, said)


def _until_repeated(told: list[bytes]) -> int:
  """How many batches there are before all of them come again, in any order.

  Batches of few and coarse examples are alike by chance, but not first all different
  and then all the same as one before; a single one at the end may be.
  """
  once = len(set(told))
  different = len(set(told[:once])) == once
  return once if different and len(told) - once > 1 else len(told)


def _cut(batch: Any, rows: int | None) -> list[Any]:
  """The batch, or its parts of so many rows."""
  length = _length([batch])
  if rows is None:
    return [batch]
  parts = [slice(end - rows, end) for end in range(rows, length + 1, rows)]
  return [jax.tree.map(lambda x: x[part], batch) for part in parts]  # noqa: B023


def _length(batches: list[Any]) -> int:
  if not batches:
    return 0
  shapes = [np.shape(x) for x in jax.tree.leaves(batches[0])]
  length = _rows.rows(batches[0])
  if not length or any(shape[:1] != (length,) for shape in shapes):
    raise _checks.refuse(
        _OWNER, 'task', 'of batches whose arrays have one first axis, of examples',
        f'leaves of shapes {shapes}', 'the noise scale counts examples',
    )
  return length


def _shapes(batch: Any) -> list[Any]:
  return [(np.shape(x), str(jnp.result_type(x))) for x in jax.tree.leaves(batch)]


def _digest(batch: Any) -> bytes:
  told = hashlib.blake2b(digest_size=16)
  for leaf in jax.tree.leaves(batch):
    if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.extended):
      leaf = jax.random.key_data(leaf)  # a key as its numbers
    told.update(np.ascontiguousarray(leaf).tobytes())
  return told.digest()
