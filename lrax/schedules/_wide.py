"""Real numbers wider than the rate's dtype, so that a rate is rounded once.

A float32 has 24 bits, and a formula of ten operations loses a few of them. What
a formula computes with is therefore one of

* plain numbers and NumPy float64 arrays, where the step and all hyperparameters
  are known: nothing is compiled then;
* `Wide`, the sum of two float32 (about 46 bits), where the step is traced;
* plain JAX arrays, where a hyperparameter is traced too, or under x64.

Operators work on all three, and so do the functions of this file. In the first
two cases the rate is the nearest float32, up to a tie in a million; in the third
it is a few roundings off. Below 1e-30 the second part of a wide number is a
denormal, which XLA flushes to 0. (Wide numbers that are differentiated, or that are
reduced, make XLA on CPU compute them again for every use: without end.)

The arithmetic is Dekker's and Knuth's (Dekker, "A floating-point technique for
extending the available precision", 1971), in a form that XLA and LLVM may not
break: they contract a product and a sum into one rounding, so only products
that are exact take part in error terms; and XLA folds (x + c) - c into x for a
constant c, so constants are put behind a barrier.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import contextvars
import math
from typing import Any

import jax
from jax import lax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

from lrax import _types

_precise = contextvars.ContextVar('precise', default=False)


@contextlib.contextmanager
def precision(arguments: Mapping[str, Any]) -> Iterator[None]:
  """While a formula runs: traced numbers are wide if no argument is traced."""
  traced = any(isinstance(x, Tracer) for x in jax.tree.leaves(arguments))
  token = _precise.set(not traced)
  try:
    yield
  finally:
    _precise.reset(token)


class Wide:
  """`hi + lo`, two float32 arrays; `lo` is None where it is known to be 0."""

  __slots__ = ('hi', 'lo')
  hi: Any
  lo: Any
  __array_ufunc__ = None  # NumPy numbers leave the operators to this class

  def __init__(self, hi: jax.Array, lo: jax.Array | None = None):
    self.hi = hi
    self.lo = lo

  @property
  def parts(self) -> _Parts:
    return self.hi, self.lo

  def __add__(self, other: Any) -> Any:
    if isinstance(other, jax.Array):
      return self.rounded() + other
    if _is_number(other) and other == 0:
      return self
    return Wide(*_add(self.parts, _widen(other).parts))

  __radd__ = __add__

  def __neg__(self) -> Wide:
    return Wide(-self.hi, None if self.lo is None else -self.lo)

  def __sub__(self, other: Any) -> Any:
    return self + -other

  def __rsub__(self, other: Any) -> Any:
    return -self + other

  def __mul__(self, other: Any) -> Any:
    if isinstance(other, jax.Array):
      return self.rounded() * other
    if _is_number(other) and _is_power_of_two(other):
      factor = np.float32(other)
      return Wide(self.hi * factor, None if self.lo is None else self.lo * factor)
    if other is self:
      return Wide(*_square(self.parts))
    return Wide(*_multiply(self.parts, _widen(other).parts))

  __rmul__ = __mul__

  def __truediv__(self, other: Any) -> Any:
    if isinstance(other, jax.Array):
      return self.rounded() / other
    return Wide(*_divide(self.parts, _widen(other).parts))

  def __rtruediv__(self, other: Any) -> Any:
    if isinstance(other, jax.Array):
      return other / self.rounded()
    return _widen(other) / self

  def rounded(self) -> jax.Array:
    """The nearest float32."""
    return self.hi if self.lo is None else self.hi + self.lo


# What comes in and what goes out.


def is_known(*values: Any) -> bool:
  """Whether all are numbers or NumPy arrays, so that nothing is traced."""
  return not any(isinstance(v, (Wide, jax.Array)) for v in values)


def namespace(*values: Any) -> Any:
  """`numpy` where all the values are known, else `jax.numpy`."""
  return np if is_known(*values) else jnp


def rounded(value: Any) -> Any:
  """The value as a number or array of one part."""
  return value.rounded() if isinstance(value, Wide) else value


def high(value: Any) -> Any:
  """The value to about the rate's precision, for comparisons and choices."""
  return value.hi if isinstance(value, Wide) else value


def whole(value: Any) -> Any:
  """A whole number."""
  if is_known(value):
    return np.asarray(value, np.float64)
  if not _in_two_parts():
    return jnp.asarray(value, _types.rate_dtype())
  value = jnp.asarray(value, jnp.int32)
  low = value & 0xFFF
  return Wide(*_quick_sum(_floats(value - low), _floats(low)))


def exact(value: Any) -> Any:
  """A hyperparameter, traced or not, as a number that functions here take."""
  whole_number = isinstance(value, jax.Array) and jnp.issubdtype(
      value.dtype, jnp.integer
  )
  return whole(value) if whole_number else value


def ratio(numerator: Any, denominator: Any) -> Any:
  """`numerator / denominator` of whole numbers."""
  if is_known(numerator, denominator) or not _in_two_parts():
    return whole(numerator) / whole(denominator)
  return whole(numerator) * (1 / whole(denominator))


def where(condition: Any, true: Any, false: Any) -> Any:
  """`true` where the condition holds, else `false`."""
  if is_known(condition, true, false):
    return np.where(condition, true, false)
  arrays = isinstance(true, jax.Array) or isinstance(false, jax.Array)
  if arrays or not _in_two_parts():
    return jnp.where(condition, rounded(true), rounded(false))
  true, false = _widen(true), _widen(false)
  hi = jnp.where(condition, true.hi, false.hi)
  if true.lo is None and false.lo is None:
    return Wide(hi)
  zero = np.float32(0)
  low = (zero if x.lo is None else x.lo for x in (true, false))
  return Wide(hi, jnp.where(condition, *low))


def minimum(left: Any, right: Any) -> Any:
  """The smaller one."""
  return where(_less(left, right), left, right)


def maximum(left: Any, right: Any) -> Any:
  """The larger one."""
  return where(_less(left, right), right, left)


def _less(left: Any, right: Any) -> Any:
  if isinstance(left, Wide) or isinstance(right, Wide):
    return rounded(left - right) < 0
  return left < right


def floor(value: Any) -> tuple[Any, Any]:
  """The whole part of a number >= 0, at most the largest step, and the rest."""
  if not isinstance(value, Wide):
    xp = namespace(value)
    down = xp.minimum(xp.floor(value), _types.MAX_STEP)
    kind = np.int64 if xp is np else jnp.int32
    return down.astype(kind), xp.minimum(value - down, 1.0)
  inside = value.hi < 2.0**31
  hi = jnp.where(inside, value.hi, 0)
  coarse = jnp.floor(hi)
  rest = Wide(*_add((hi - coarse, None), (jnp.zeros_like(hi), value.lo)))
  fine = jnp.floor(rest.rounded())
  down = jnp.where(
      inside, coarse.astype(jnp.int32) + fine.astype(jnp.int32), _types.MAX_STEP
  )
  return down, where(inside, rest - Wide(fine), 1.0)


# Functions.


def sqrt(value: Any) -> Any:
  """The root of a number >= 0; its derivative at 0 is 0."""
  is_positive = high(value) > 0
  safe = where(is_positive, value, 1.0)
  if not isinstance(safe, Wide):
    return where(is_positive, namespace(safe).sqrt(safe), 0.0)
  return where(is_positive, Wide(*_sqrt(safe.parts)), 0.0)


def exp(value: Any) -> Any:
  """e to the power of the value."""
  if not isinstance(value, Wide):
    return namespace(value).exp(value)
  return _exp2(value * (1 / _LN2))


def log(value: Any) -> Any:
  """The natural logarithm of a number > 0."""
  if not isinstance(value, Wide):
    return namespace(value).log(value)
  return Wide(*_log2(value.parts)) * _LN2


def log1p(value: Any) -> Any:
  """log(1 + value) for a number > -1, with its digits where it is small."""
  if not isinstance(value, Wide):
    return namespace(value).log1p(value)
  return _log_near_one(value, value + 1.0)


def log_rest(share: Any, rest: Any) -> Any:
  """log(rest) for rest = 1 - share > 0, with its digits at either end.

  Each is given, because either difference would cancel.
  """
  if isinstance(share, Wide):
    return _log_near_one(-share, rest)
  xp, is_near = namespace(share, rest), share < rest
  near = xp.log1p(-xp.where(is_near, share, 0.0))
  return xp.where(is_near, near, xp.log(xp.where(is_near, 1.0, rest)))


def _log_near_one(value: Wide, above: Wide) -> Any:
  """log(above) for above = 1 + value."""
  is_small = jnp.abs(value.hi) < 2**-9
  small = where(is_small, value, 0.0)
  tail = small.hi * _polynomial([-1 / 4, 1 / 5, -1 / 6], small.hi)
  series = small * (_semi_constant(1 / 3, tail) * small - 0.5)
  return where(is_small, small * series + small, log(where(is_small, 1.0, above)))


def expm1(value: Any) -> Any:
  """e to the power of the value, minus 1, with its digits where it is small."""
  if not isinstance(value, Wide):
    return namespace(value).expm1(value)
  power = value * (1 / _LN2)
  is_small = jnp.abs(power.hi) < 0.5
  small = _small_exp2m1(where(is_small, power, 0.0))
  return where(is_small, small, _exp2(power) - 1.0)


def scaled_power(factor: Any, base: Any, exponent: Any) -> Any:
  """`factor * base ** exponent`, where the power alone may overflow."""
  wide = not is_known(exponent) and _in_two_parts()
  if wide and _is_number(factor) and _is_number(base) and factor > 0 < base:
    return _exp2(exact(exponent) * math.log2(base) + math.log2(factor))
  return power(base, exponent) * factor


def power(base: Any, exponent: Any) -> Any:
  """`base ** exponent` for a base >= 0; 1 where the exponent is 0.

  Its derivatives are finite at a base of 0 too.
  """
  if is_known(base, exponent):
    return np.power(np.asarray(base, np.float64), exponent)
  base, exponent = exact(base), exact(exponent)
  if _is_number(exponent) and exponent in (1, 2, 3, 4):
    return _whole_power(base, int(exponent))
  if _is_number(base) and base > 0:
    logarithm = math.log2(base)
    if isinstance(exponent, Wide) or abs(logarithm) < 0.1:
      return _exp2(exponent * logarithm)
    return jnp.power(base, exponent)
  is_positive = high(base) > 0
  safe = where(is_positive, base, 1.0)
  root = _small_fraction(exponent)
  if isinstance(safe, Wide) and root:
    result = _root_power(safe, *root)
  elif isinstance(safe, Wide) and not isinstance(exponent, jax.Array):
    result = _exp2(Wide(*_log2(safe.parts)) * exponent)
  else:
    result = jnp.power(rounded(safe), rounded(exponent))
  return where(is_positive, result, where(high(exponent) == 0, 1.0, 0.0))


def _exp2(value: Any) -> Any:
  if not isinstance(value, Wide):
    return jnp.exp2(value)
  # A float32 underflows below -150, overflows above 128.
  inside = jnp.abs(value.hi) < 152
  result = Wide(*_small_exp2(where(inside, value, 0.0).parts))
  beyond = jnp.where(value.hi > 0, np.float32(np.inf), np.float32(0))
  return where(inside, result, Wide(beyond))


def half_cosine(share: Any, rest: Any) -> tuple[Any, Any]:
  """(1 - cos(pi * share)) / 2, and 1 minus that, each with all its digits.

  Args:
    share: in [0, 1].
    rest: 1 - share; given, because a difference would cancel.
  """
  is_small = high(share) < high(rest)
  near, far = near_cosine(where(is_small, share, rest))
  return where(is_small, near, far), where(is_small, far, near)


def near_cosine(share: Any) -> tuple[Any, Any]:
  """The same for a share that is at most half."""
  if isinstance(share, Wide):
    near = Wide(*_near_cosine(share.parts))
  else:
    near = namespace(share).sin(share * (math.pi / 2)) ** 2
  return near, 1.0 - near


# Pieces.


def _small_fraction(exponent: Any) -> tuple[int, int] | None:
  """A positive exponent as a fraction of two small numbers, if it is one."""
  if not _is_number(exponent) or not 0 < exponent <= 8:
    return None
  for below in (1, 2, 3, 4, 5, 8, 10):
    above = round(exponent * below)
    if above and above / below == exponent:
      return above, below
  return None


def _root_power(base: Wide, above: int, below: int) -> Wide:
  """base ** (above / below), a third of the work of a logarithm and its inverse.

  A guess r of one part at base ** (-1 / below) misses by e = 1 - base * r ** below;
  with above = q * below - m the power is base**q * r**m * (1 - e) ** (-m / below).
  """
  q = -(-above // below)
  m = q * below - above
  if not m:
    return _whole_power(base, q)
  if below == 2:
    root = Wide(*_sqrt(base.parts))
    return root if q == 1 else root * _whole_power(base, q - 1)
  r = Wide(_inverse_root(base.hi, below))
  reached = base * _whole_power(r, below)
  missed = _sum(1 - reached.hi, -_low(reached))
  p = m / below
  grown = missed * (p + np.float32(p * (p + 1) / 2) * missed)
  result = base * _whole_power(r, m)
  if q > 1:
    result = result * _whole_power(base, q - 1)
  # The product is cut, or it is rounded in one use and not in the other.
  return Wide(*_quick_sum(result.hi, _cut(result.hi * grown, -2) + _low(result)))


def _inverse_root(x: jax.Array, n: int) -> jax.Array:
  """x ** (-1 / n) for normal x > 0, to some roundings."""
  # The bits of a float32 are nearly a logarithm, so an n-th of them is a guess,
  # which Newton's steps mend without a division.
  bits = lax.bitcast_convert_type(x, jnp.int32)
  of_one = np.int32(0x3F800000 - 0x58000)  # less the mean of what "nearly" hides
  guess = lax.bitcast_convert_type(of_one - lax.div(bits - of_one, n), jnp.float32)
  for _ in range(3 if n < 8 else 4):
    guess = guess + guess * (1 - x * _whole_power(guess, n)) * np.float32(1 / n)
  return guess


def _whole_power(base: Any, n: int) -> Any:
  """base ** n for n >= 1, by squares."""
  if n == 1:
    return base
  half = _whole_power(base, n // 2)
  return half * half * base if n % 2 else half * half


def _low(value: Wide) -> Any:
  return np.float32(0) if value.lo is None else value.lo


def _is_number(value: Any) -> bool:
  return isinstance(value, (int, float, np.integer, np.floating))


def _is_power_of_two(value: Any) -> bool:
  return value != 0 and abs(math.frexp(value)[0]) == 0.5 and 1e-30 < abs(value) < 1e30


def _in_two_parts() -> bool:
  """Whether traced numbers are `Wide`."""
  return _precise.get() and _types.rate_dtype() == jnp.float32


def _floats(value: jax.Array) -> jax.Array:
  return value.astype(jnp.float32)


def _widen(value: Any) -> Wide:
  """A number, a NumPy array or a Wide as a Wide."""
  if isinstance(value, Wide):
    return value
  exact = np.asarray(value, np.float64)
  hi = exact.astype(np.float32)
  finite = np.isfinite(hi)
  lo = np.where(finite, exact - np.where(finite, hi, 0), 0).astype(np.float32)
  if not lo.any():
    return Wide(lax.optimization_barrier(jnp.asarray(hi)))
  return Wide(*lax.optimization_barrier((jnp.asarray(hi), jnp.asarray(lo))))


def _sum(first: Any, *more: Any) -> Any:
  """The plain sum of those that are not None."""
  for other in more:
    first = first if other is None else first + other
  return first


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
  """a + b rounded, and its error, exactly."""
  total = a + b
  b_part = total - a
  return total, (a - (total - b_part)) + (b - b_part)


def _quick_sum(a: Any, b: Any) -> tuple[Any, Any]:
  """The same where |a| >= |b|, or a is 0 only where b is."""
  total = a + b
  return total, b - (total - a)


def _near_constant(constant: float, small: Wide) -> Wide:
  """constant + small, for a small that is smaller."""
  known = _widen(constant)
  hi, error = _quick_sum(known.hi, small.hi)
  return Wide(*_quick_sum(hi, _sum(error, known.lo, small.lo)))


def _semi_constant(constant: float, small: jax.Array) -> Wide:
  """constant + small, for a small one of one part."""
  known = _widen(constant)
  return Wide(*_quick_sum(known.hi, _sum(small, known.lo)))


def _cut(value: Any, mask: int) -> Any:
  """float32 numbers with bits left out, which no contraction goes through."""
  bits = lax.bitcast_convert_type(value, jnp.int32) & mask
  return lax.bitcast_convert_type(bits, jnp.float32)


def _top(value: Any) -> Any:
  """The upper 12 bits of float32 numbers."""
  return _cut(value, -4096)


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
  """a * b nearly rounded, and the rest; all the products in it are exact."""
  a_top, b_top = _top(a), _top(b)
  a_low, b_low = a - a_top, b - b_top
  if a is b:
    middle, error = 2 * (a_top * a_low), None
  else:
    middle, error = _two_sum(a_top * b_low, a_low * b_top)
  hi, rest = _quick_sum(a_top * b_top, middle)
  return hi, _sum(rest, a_low * b_low, error)


def _polynomial(coefficients: list[float], x: Any) -> Any:
  """In plain float32, lowest power first."""
  total = np.float32(coefficients[-1])
  for c in reversed(coefficients[:-1]):
    total = total * x + np.float32(c)
  return total


def _power_of_two(k: jax.Array) -> jax.Array:
  """2**k for whole k from -126 to 127, exactly."""
  return lax.bitcast_convert_type((k + 127) << 23, jnp.float32)


# The operations on the two parts.

_Parts = tuple[jax.Array, jax.Array | None]


def _add(a: _Parts, b: _Parts) -> _Parts:
  hi, error = _two_sum(a[0], b[0])
  return _quick_sum(hi, _sum(error, a[1], b[1]))


def _multiply(a: _Parts, b: _Parts) -> _Parts:
  hi, lo = _two_product(a[0], b[0])
  for one, other in ((a[0], b[1]), (b[0], a[1])):
    lo = lo if other is None else lo + one * other
  return hi, lo


def _square(a: _Parts) -> _Parts:
  hi, lo = _two_product(a[0], a[0])
  return hi, lo if a[1] is None else lo + 2 * a[0] * a[1]


# XLA on CPU takes a division or a root for expensive: it starts a new kernel there,
# and computes all that leads to it again in each. So they are found by Newton's
# steps from a guess that halves the exponent's bits, or turns their sign.


def _divide(a: _Parts, b: _Parts) -> _Parts:
  inverse = _inverse(b[0])
  quotient = _cut(a[0] * inverse, -2)
  product = Wide(*_multiply((quotient, None), b))
  rest = _sum((a[0] - product.hi) - product.lo, a[1])
  return _quick_sum(quotient, rest * inverse)


def _inverse(x: jax.Array) -> jax.Array:
  """1 / x to within a few roundings, for normal x whose inverse is normal."""
  size = jnp.abs(x)
  bits = lax.bitcast_convert_type(size, jnp.int32)
  guess = lax.bitcast_convert_type(0x7EF311C7 - bits, jnp.float32)
  for _ in range(3):
    guess = guess * (2 - size * guess)
  return jnp.where(x < 0, -guess, guess)


def _sqrt(a: _Parts) -> _Parts:
  bits = lax.bitcast_convert_type(a[0], jnp.int32)
  guess = lax.bitcast_convert_type(0x5F3759DF - (bits >> 1), jnp.float32)
  for _ in range(3):
    guess = guess * (1.5 - 0.5 * a[0] * guess * guess)
  root = _cut(a[0] * guess, -2)
  square = Wide(*_square((root, None)))
  rest = _sum((a[0] - square.hi) - square.lo, a[1])
  return _quick_sum(root, rest * (0.5 * guess))


_LN2 = math.log(2)
# 2**x = 1 + e1 x + e2 x**2 + …
_EXP2 = [_LN2**n / math.factorial(n) for n in range(8)]


def _quarter_exp2m1(a: Wide) -> Wide:
  """2**(a / 4) - 1 for |a| <= 0.5."""
  x = a * 0.25
  cubic = _semi_constant(_EXP2[3], _polynomial(_EXP2[4:], x.hi) * x.hi)
  square = _near_constant(_EXP2[2], x * cubic)
  return x * _near_constant(_EXP2[1], x * square)


def _small_exp2m1(a: Wide) -> Wide:
  """2**a - 1 for |a| <= 0.5."""
  grown = _quarter_exp2m1(a)
  for _ in range(2):
    grown = grown * 2 + grown * grown
  return grown


def _small_exp2(a: _Parts) -> _Parts:
  """2**a for |a| < 152."""
  whole_part = jnp.round(a[0])
  fraction = Wide(*_quick_sum(a[0] - whole_part, _low(Wide(*a))))
  k = whole_part.astype(jnp.int32)
  half = k >> 1
  result = _whole_power(_near_constant(1.0, _quarter_exp2m1(fraction)), 4)
  scale = lambda x: x * _power_of_two(half) * _power_of_two(k - half)
  return scale(result.hi), scale(result.lo)


def _log2(a: _Parts) -> _Parts:
  # a = 2**k * m with m in [sqrt(1/2), sqrt(2)): k + (2 / ln 2) atanh(s).
  bits = lax.bitcast_convert_type(a[0], jnp.int32)
  k = (bits - 0x3F3504F3) >> 23
  scale = _power_of_two(-k)
  m = Wide(a[0] * scale, None if a[1] is None else a[1] * scale)
  one = lax.optimization_barrier(np.float32(1))
  above = Wide(*_quick_sum(m.hi - one, np.float32(0) if m.lo is None else m.lo))
  total, error = _quick_sum(one, m.hi)
  s = above / Wide(total, _sum(error, m.lo))
  square = s * s
  terms = [2 / _LN2 / n for n in range(1, 17, 2)]
  series = _semi_constant(terms[2], _polynomial(terms[3:], square.hi) * square.hi)
  for term in reversed(terms[:2]):
    series = _near_constant(term, square * series)
  fraction = s * series
  total, error = _quick_sum(_floats(k), fraction.hi)
  return total, _sum(error, fraction.lo)


# (1 - cos(pi x)) / 2 = u * (c0 + c1 u + c2 u**2 + …) with u = x**2.
_COSINE = [
    math.pi ** (2 * n) * (-1) ** (n + 1) / (2 * math.factorial(2 * n))
    for n in range(1, 10)
]


def _near_cosine(x: _Parts) -> _Parts:
  u = Wide(*_square(x))
  series = _semi_constant(_COSINE[3], _polynomial(_COSINE[4:], u.hi) * u.hi)
  for term in reversed(_COSINE[:3]):
    series = _near_constant(term, series * u)
  return (series * u).parts
