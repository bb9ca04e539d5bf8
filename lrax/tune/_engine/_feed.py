"""Batches of one seed from the host, stacked for the compiled program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from lrax import tasks

_BYTES = 64 * 2**20  # of stacked batches


class Feed:
  """A stream's batches for one seed, read once and in order."""

  def __init__(self, stream: tasks.Stream, seed: int, steps: int):
    """Reads the first batch, whose size says how many go into a stack.

    Args:
      stream: where they come from.
      seed: what it is asked for.
      steps: of the longest run.
    """
    self._stream = stream.forever(seed)
    self._first = [next(self._stream)]
    leaves = jax.tree.leaves(self._first)
    size = max(1, sum(np.asarray(x).nbytes for x in leaves))
    self._length = int(np.clip(_BYTES // size, 1, steps))

  def stacks(self, start: int, until: int) -> Iterator[tuple[Any, int, int]]:
    """Batches of the steps from `start` to `until`: (stack, first step, end).

    All stacks have one length; what fills up the last one is used by no step.
    """
    while start < until:
      count = min(self._length, until - start)
      batches, self._first = self._first, []
      batches += [next(self._stream) for _ in range(count - len(batches))]
      batches += [batches[-1]] * (self._length - count)
      yield jax.tree.map(lambda *x: np.stack(x), *batches), start, start + count
      start += count
