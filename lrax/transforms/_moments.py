"""How an average is kept between updates: as it is, narrow, or in 8 bits."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any
from typing import NamedTuple

import chex
import jax
from jax import lax
import jax.numpy as jnp

from lrax import _checks
from lrax.transforms import _bfloat16
from lrax.transforms import _leafwise
from lrax.transforms._bfloat16 import bits_of
from lrax.transforms._bfloat16 import float32_of

# Smaller arrays stay as they are: eight bits of them save nothing.
_LEAST_SIZE = 4096
# A block is the trailing axes, as few as hold so many numbers.
_LEAST_BLOCK = 64
# On CPU a block is read for its largest number in as many parts at once; of more
# than 15 XLA would make an array first.
_PARTS = 8
_BLOCK8 = 'block8'


class Block8(NamedTuple):
  """An average in 8 bits a number, with one bound for each block of them.

  A number is a small float, of three bits behind the point, times a power of two
  that belongs to the block and is above `bound`. What is not finite makes the block
  NaN. A block is the trailing axes of the array, as few as hold 64 numbers: a row of
  a matrix, all of a vector; an array is cut along its other axes as its parameter is.
  Near 0 numbers are a 2**19th of the unit apart, and squares are at least a 2**32nd
  of it. Rounded up or down by chance, an average is right in its mean, and wanders by
  an eighth of itself or two: the more, the nearer its decay is to 1.
  """

  codes: jax.Array  # uint8, parameter's shape
  bound: jax.Array  # float32, parameter's shape with 1 along a block: see `_unit`

  holds_one_array = True  # a value, no state of its own, to `lrax.transplant`


class Noise:
  """Random bits of one update, from its count: no key is kept.

  Each call of `bits` gives others, so the calls must come in the same order in
  every update.
  """

  def __init__(self, count: jax.Array):
    self._count = count
    self._salts = itertools.count()

  def bits(self, shape: tuple[int, ...]) -> jax.Array:
    """uint32: a hash of the count, of the number of the call and of the row.

    Along a row, the last axis, it goes on in steps of the golden section of 2**32
    (Weyl's sequence): at a place the bits of different updates are independent, and
    in a row they are more even than by chance.
    """
    salt = jnp.uint32(next(self._salts) * 0x85EBCA6B % 2**32)
    x = self._count.astype(jnp.uint32) * jnp.uint32(0x9E3779B9) + salt
    # Of one number a thorough hash, of each row one round more, of a place no more:
    # there it would cost as much as all the rest of a number in 8 bits.
    x = _mixed(_mixed(_mixed(x)))
    if not shape:
      return x
    rows = (*shape[:-1], 1)
    for axis in range(len(shape) - 1):
      odd = jnp.uint32(pow(0x9E3779B1, axis + 1, 2**32))
      x = x + lax.broadcasted_iota(jnp.uint32, rows, axis) * odd
    return _mixed(x) + lax.broadcasted_iota(jnp.uint32, shape, len(shape) - 1) * (
        jnp.uint32(0x9E3779B1)
    )


class Moment:
  """An exponential average of gradients, or of squares, in a kind of storage.

  Every method that keeps averages in less than float32 keeps them by this. What
  an update uses is what is kept, already rounded: XLA on CPU writes each result
  by a kernel of its own, and a kernel that reads the old average while another
  one overwrites it makes XLA copy it first.
  """

  def __init__(self, owner: str, name: str, dtype: Any, squares: bool = False):
    """Checks `dtype`, the argument `name` of `owner`."""
    self._squares = squares
    self._blocks = isinstance(dtype, str) and dtype == _BLOCK8
    self._dtype = None if self._blocks else _checks.dtype(
        owner, name, dtype, "for example jnp.bfloat16; or 'block8' for 8 bits"
    )
    narrow = self._dtype is not None and jnp.dtype(self._dtype).itemsize < 4
    if squares and narrow and jnp.dtype(self._dtype) != jnp.bfloat16:
      raise _checks.refuse(
          owner, name, "None, 'block8', bfloat16, or float32 or wider", dtype,
          'a float16 has no room for squares',
      )

  @property
  def by_chance(self) -> bool:
    """Whether it is rounded by chance, so that each leaf takes noise of its own."""
    return self._blocks or (
        self._squares and self._dtype is not None
        and jnp.dtype(self._dtype) == jnp.bfloat16
    )

  def zeros(self, params: chex.ArrayTree) -> chex.ArrayTree:
    """The average at the start."""
    if self._blocks:
      return jax.tree.map(self._block_zeros, params)
    if not self._squares:
      return _leafwise.zeros(params, self._dtype)
    if self._dtype is None:
      return _leafwise.wide_zeros(params)
    return jax.tree.map(lambda x: jnp.zeros_like(x, dtype=self._dtype), params)

  def _block_zeros(self, x: Any) -> Any:
    if jnp.size(x) < _LEAST_SIZE or jnp.iscomplexobj(x):
      return _leafwise.wide_zeros(x, real=self._squares)
    codes = jnp.zeros_like(x, dtype=jnp.uint8)
    bound = jnp.zeros_like(jnp.max(x, _block_axes(x.shape), keepdims=True), jnp.float32)
    return Block8(codes, bound)

  def read(self, kept: Any) -> jax.Array:
    """The average of the updates before, float32 where it is kept in blocks."""
    if isinstance(kept, Block8):
      decode = _square if self._squares else _number
      return decode(kept.codes) * _unit(kept.bound)
    return kept

  def average(
      self, kept: Any, decay: Any, value: jax.Array, noise: Noise
  ) -> tuple[jax.Array, Any]:
    """`decay * kept + (1 - decay) * value`: as it is used, and as it is kept.

    Of squares the value is what is squared.
    """
    if isinstance(kept, Block8):
      return self._block_average(kept, decay, value, noise)
    if self._squares:
      value = _leafwise.square(value)
    new = decay * kept.astype(value.dtype) + (1 - decay) * value
    if jnp.dtype(kept.dtype).itemsize >= jnp.dtype(new.dtype).itemsize:
      return new, new.astype(kept.dtype)
    if self._squares and kept.dtype == jnp.bfloat16:
      # With a decay of 0.999 nearest bfloat16s would never change.
      new = _bfloat16.round_by_chance(new.astype(jnp.float32), noise.bits(new.shape))
    narrow = new.astype(kept.dtype)
    # Read so that XLA does not use what it was rounded from.
    if narrow.dtype == jnp.bfloat16:
      return _bfloat16.read(narrow).astype(value.dtype), narrow
    return lax.optimization_barrier(narrow).astype(value.dtype), narrow

  def _block_average(
      self, kept: Block8, decay: Any, value: jax.Array, noise: Noise
  ) -> tuple[jax.Array, Block8]:
    encode = _square_code if self._squares else _code
    decay = jnp.asarray(decay, jnp.float32)
    value32 = value.astype(jnp.float32)
    largest = _largest(value32, _block_axes(value.shape))
    if self._squares:
      # After the maximum, which XLA on CPU would have an array of squares made for.
      largest, value32 = largest**2, value32**2
    # A bound of the new average from that of the old one: the largest itself would
    # take the average to be computed twice. The codes are floats, so that a bound
    # too high costs no digits.
    bound = decay * kept.bound + (1 - decay) * largest
    new = decay * self.read(kept) + (1 - decay) * value32
    codes = encode(new * (1 / _unit(bound)), noise.bits(value.shape))
    after = Block8(codes, bound)
    return self.read(after).astype(value.dtype), after


# --- eight bits

# A float32 has its exponent above 23 bits. Shifted down by 20, three of those are
# left: a code is that, less the one of the least number. An exact average is below
# 1/2, that of rounded numbers wanders above it: at the last code it is held.
_SHIFT = 20
_LEAST_SQUARE = 2.0**-32  # to 1/2 are 248 codes, to 1 the other 8
_FROM_0 = 2.0**-16  # added to a size: evenly spaced from 0 up to there, 120 codes
_LARGEST = 1 - 2.0**-4  # what the last code stands for, of both kinds


def _block_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
  """The trailing axes, as few as hold a block."""
  axis = len(shape) - 1
  while axis > 0 and math.prod(shape[axis:]) < _LEAST_BLOCK:
    axis -= 1
  return tuple(range(axis, len(shape)))


def _largest(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
  """The largest size along axes; not finite where one is not."""
  return lax.platform_dependent(
      x,
      cpu=lambda x: _largest_of_parts(x, axes),
      # Parts of an array that is cut over devices would be sent around.
      default=lambda x: jnp.max(jnp.abs(x), axes, keepdims=True),
  )


def _largest_of_parts(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
  """The same for XLA on CPU, which would make an array of x for a reduction to read.

  It does so whatever led to x, but not for a maximum of parts by their bits.
  """
  axis, length = axes[0], x.shape[axes[0]]
  width = -(-length // _PARTS)
  starts = {min(i * width, length - width): None for i in range(_PARTS)}
  sizes = bits_of(jnp.abs(x))
  parts = [lax.slice_in_dim(sizes, i, i + width, axis=axis) for i in starts]
  # A maximum of floats passes over NaN, whose bits are above those of infinity.
  largest = jnp.minimum(functools.reduce(jnp.maximum, parts), 0x7F800000)
  return jnp.max(float32_of(largest), axes, keepdims=True)


def _unit(bound: jax.Array) -> jax.Array:
  """A power of two, 2 to 4 times the bound; NaN where the bound is not finite."""
  # Powers of two, so that a number that stays has the same digits from update to
  # update: other units would round it anew each time, and the errors add up.
  exponent = jnp.clip((bits_of(bound) >> 23) + 2, 33, 253)
  return jnp.where(jnp.isfinite(bound), float32_of(exponent << 23), jnp.nan)


def _square(codes: jax.Array) -> jax.Array:
  """Numbers from codes; never 0, so that nothing is divided by too little."""
  return _above(_LEAST_SQUARE, codes)


def _square_code(x: jax.Array, bits: jax.Array) -> jax.Array:
  """Codes of numbers >= 0, up or down by chance; of the nearest end outside."""
  # Last an operation on two arrays: one on one array, such as a cast, XLA on CPU
  # does again for each use, with all before it.
  return jnp.where(x > _LEAST_SQUARE, _code_above(_LEAST_SQUARE, x, bits), 0)


def _number(codes: jax.Array) -> jax.Array:
  """Numbers from codes: seven bits of size below a sign."""
  size = _above(_FROM_0, codes & 0x7F) - _FROM_0
  return jnp.where(codes > 0x7F, -size, size)


def _code(x: jax.Array, bits: jax.Array) -> jax.Array:
  """Codes of numbers, up or down by chance; of the nearest end outside."""
  size = _code_above(_FROM_0, jnp.abs(x) + _FROM_0, bits)
  return size | jnp.where(x < 0, jnp.uint8(0x80), jnp.uint8(0))


def _above(least: float, codes: jax.Array) -> jax.Array:
  return float32_of((codes.astype(jnp.uint32) + _first(least)) << _SHIFT)


def _code_above(least: float, x: jax.Array, bits: jax.Array) -> jax.Array:
  """The code below x >= least or the one above, by chance with x as the mean."""
  raised = bits_of(jnp.minimum(x, _LARGEST)) + (bits >> (32 - _SHIFT))
  return ((raised >> _SHIFT) - _first(least)).astype(jnp.uint8)


def _first(least: float) -> int:
  """What the code 0 is, of a power of two, in the bits of a float32."""
  return (127 + round(math.log2(least))) << (23 - _SHIFT)


def _mixed(x: jax.Array) -> jax.Array:
  """A round of a hash: high bits go into low ones, those into high ones, and back."""
  x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
  return x ^ (x >> 16)
