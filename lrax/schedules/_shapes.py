"""The shapes in which a rate goes from one level to another."""

from __future__ import annotations

import math
from typing import Any

from lrax import _checks
from lrax.schedules import _progress
from lrax.schedules import _wide

# By the shape: what a cooldown leaves of the way at the share `done`.
COOLDOWNS = ('linear', 'cosine', 'sqrt', 'square', 'power', 'exponential')
# And what a warmup has covered of it.
WARMUPS = (
    'linear', 'cosine', 'sqrt', 'square', 'power', 'exponential', 'log', 'constant'
)
# What `shape_parameter` is where it is None; the other shapes have none.
_COOLDOWN_DEFAULTS = {'power': 2.0, 'exponential': 0.1}
_WARMUP_DEFAULTS = {'power': 2.0, 'exponential': 5.0, 'log': math.e - 1}


def check_parameter(owner: str, *, shape: str, shape_parameter: Any, **_: Any) -> None:
  """Refuses a parameter that the shape has not."""
  if shape_parameter is not None and shape not in _WARMUP_DEFAULTS:
    raise _checks.refuse(
        owner, 'shape_parameter', f'None for the shape {shape!r}', shape_parameter,
        'only ' + ', '.join(repr(s) for s in _WARMUP_DEFAULTS) + ' have one',
    )


def check_cooldown(owner: str, *, shape: str, shape_parameter: Any, **_: Any) -> None:
  """The same, and the parameter of 'exponential' is a share."""
  check_parameter(owner, shape=shape, shape_parameter=shape_parameter)
  known = isinstance(shape_parameter, (int, float))
  if shape == 'exponential' and known and not shape_parameter < 1:
    raise _checks.refuse(
        owner, 'shape_parameter', "in (0, 1) for 'exponential'", shape_parameter,
        'it is the share of the way that a plain exponential would leave',
    )


def cooldown(
    shape: str, parameter: Any, done: Any, left: Any
) -> tuple[Any, Any]:
  """How much of the way is covered, and how much is left, after `done`.

  With q = `done`, the second one is

      linear        1 - q
      cosine        (1 + cos(pi * q)) / 2
      sqrt          1 - sqrt(q)
      square        1 - q ** 2
      power         1 - q ** k           k the parameter, by default 2
      exponential   (r ** q - r) / (1 - r)   r the parameter, by default 0.1

  and the first one is 1 minus that, each with its digits where it is small.
  """
  if parameter is None:
    parameter = _COOLDOWN_DEFAULTS.get(shape)
  if shape == 'linear':
    return done, left
  if shape == 'cosine':
    return _wide.half_cosine(done, left)
  if shape == 'sqrt':
    root = _wide.sqrt(done)
    return root, left / (root + 1.0)
  if shape == 'square':
    return done * done, left * (done + 1.0)
  if shape == 'power':
    return _wide.power(done, parameter), _progress.complement(left, done, parameter)
  if shape == 'exponential':
    r = _wide.exact(parameter)
    # r ** q - r = r * (exp(left * log(1 / r)) - 1), which is 0 at the end.
    speed = _wide.log(1.0 / r)
    fallen = _wide.expm1(done * speed * -1.0) * -1.0
    return fallen / (1.0 - r), _wide.expm1(left * speed) * r / (1.0 - r)
  raise AssertionError(shape)


def warmup(shape: str, parameter: Any, done: Any, left: Any) -> tuple[Any, Any]:
  """How much of the way up is covered, and how much is left, after `done`.

  With p = `done`, the first one is

      linear        p
      cosine        (1 - cos(pi * p)) / 2
      sqrt          1 - sqrt(1 - p)
      square        1 - (1 - p) ** 2
      power         p ** k               k the parameter, by default 2
      exponential   (1 - exp(-k * p)) / (1 - exp(-k))   k the parameter, by default 5
      log           log(1 + k * p) / log(1 + k)     k the parameter, by default e - 1
      constant      0 before the end
  """
  if parameter is None:
    parameter = _WARMUP_DEFAULTS.get(shape)
  if shape in ('sqrt', 'square'):  # a cooldown seen from its end
    covered, rest = cooldown(shape, None, left, done)
    return rest, covered
  if shape in ('linear', 'cosine', 'power'):
    return cooldown(shape, parameter, done, left)
  if shape == 'exponential':
    k = _wide.exact(parameter)
    whole = -1.0 * _wide.expm1(-1.0 * k)
    covered = -1.0 * _wide.expm1(done * k * -1.0)
    rest = _wide.expm1(left * k) * _wide.exp(-1.0 * k)
    return covered / whole, rest / whole
  if shape == 'log':
    k = _wide.exact(parameter)
    risen = _wide.log1p(done * k) / _wide.log1p(k)
    return risen, 1.0 - risen
  if shape == 'constant':
    covered = _wide.where(_wide.high(left) > 0, 0.0, 1.0)
    return covered, 1.0 - covered
  raise AssertionError(shape)
