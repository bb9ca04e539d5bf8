"""Progress through a phase, from integers: differences first, division last.

A float32 holds whole numbers up to 2**24 only, so `step / steps` followed by
`1 - progress` loses the last digits of a long run. Here the steps done and the
steps left are whole numbers, and each share is divided once.
"""

from __future__ import annotations

from typing import Any

from lrax.schedules import _wide


def remaining(step: Any, steps: Any) -> Any:
  """The share of `steps` still to come: 1 at step 0, 0 from `steps` on.

  A phase of zero length is over from its start: 0.
  """
  larger = _wide.namespace(step, steps).maximum
  return _wide.ratio(larger(steps - step, 0), larger(steps, 1))


def elapsed(step: Any, steps: Any) -> Any:
  """The share of `steps` done: 0 at step 0, 1 from `steps` on.

  A phase of zero length is over from its start: 1.
  """
  xp = _wide.namespace(step, steps)
  length = xp.maximum(steps, 1)
  return _wide.ratio(xp.where(step >= steps, length, step), length)


def since(step: Any, start: Any) -> Any:
  """Steps since `start`; 0 before it."""
  return _wide.namespace(step, start).maximum(step - start, 0)


def phase(step: Any, start: Any, steps: Any) -> tuple[Any, Any]:
  """The shares done and left of the phase of `steps` that begins at `start`."""
  local = since(step, start)
  return elapsed(local, steps), remaining(local, steps)


def cosine_phase(step: Any, start: Any, steps: Any) -> tuple[Any, Any]:
  """`_wide.half_cosine` of the shares done and left of a phase.

  Only the smaller one is divided: whole numbers are cheaper to compare.
  """
  if isinstance(steps, int) and steps == 0:
    return 1.0, 0.0  # of constants only, XLA simplifies a power in a circle
  xp = _wide.namespace(step, start, steps)
  length = xp.maximum(steps, 1)
  done = xp.where(step - start >= steps, length, since(step, start))
  is_small = done < length - done
  share = _wide.ratio(xp.where(is_small, done, length - done), length)
  near, far = _wide.near_cosine(share)
  return _wide.where(is_small, near, far), _wide.where(is_small, far, near)


def periods(step: Any, length: Any, staircase: bool) -> Any:
  """How many periods of `length` steps are over; whole ones with `staircase`.

  A period of zero length, which only a traced one can have, counts as one step.
  """
  length = _wide.namespace(length).maximum(length, 1)
  return _wide.whole(step // length) if staircase else _wide.ratio(step, length)


def part_of(steps: Any, share: Any) -> Any:
  """floor(steps * share), whole, for a share in [0, 1].

  0.29 of 100 is 29, though the nearest float to 0.29 is below it.
  """
  product = _wide.whole(steps) * _wide.exact(share)
  known = _wide.is_known(steps, share)
  down, _ = _wide.floor(product + (1e-6 if known else product * 2**-22))
  return down


def between(init_value: Any, end_value: Any, done: Any, left: Any) -> Any:
  """`init_value * left + end_value * done`, the shares adding up to 1.

  Where both rates are known, only the share of the larger one is computed.
  """
  if not (_is_number(init_value) and _is_number(end_value)):
    return left * init_value + done * end_value
  if init_value > end_value:
    return left * (init_value - end_value) + end_value
  return done * (end_value - init_value) + init_value


def warming(step: Any, steps: Any, init_value: Any, peak_value: Any) -> Any:
  """A line from one rate to the other in `steps`, and the other from then on."""
  if _is_number(init_value) and _is_number(peak_value):  # `between` uses one share
    if init_value > peak_value:
      return between(init_value, peak_value, None, remaining(step, steps))
    return between(init_value, peak_value, elapsed(step, steps), None)
  return between(init_value, peak_value, elapsed(step, steps), remaining(step, steps))


def geometric(init_value: Any, end_value: Any, done: Any, left: Any) -> Any:
  """`init_value ** left * end_value ** done`: equal steps in the logarithm."""
  known = _is_number(init_value) and _is_number(end_value)
  if known and init_value > 0 and end_value > 0:
    return _wide.scaled_power(init_value, end_value / init_value, done)
  return _wide.power(init_value, left) * _wide.power(end_value, done)


def complement(done: Any, left: Any, power: Any) -> Any:
  """`1 - left ** power` for `done = 1 - left`, with its digits at either end."""
  if isinstance(power, (int, float)) and power * 2 in range(1, 9):
    # 1 - r**n = (1 - r) * (1 + r + … + r**(n - 1)); halves by r = sqrt(left).
    n, root = int(power), left
    if power % 1:
      n, root = int(power * 2), _wide.sqrt(left)
      done = done / (root + 1.0)
    series: Any = 1.0
    for _ in range(n - 1):
      series = root * series + 1.0
    return done * series
  is_over = _wide.high(left) <= 0
  rest, share = _wide.where(is_over, 0.0, done), _wide.where(is_over, 1.0, left)
  result = -_wide.expm1(_wide.log_rest(rest, share) * _wide.exact(power))
  return _wide.where(is_over, 1.0, result)


def _is_number(value: Any) -> bool:
  return isinstance(value, (int, float))
