"""Every schedule and every combination against the formula of its docstring.

The formulas are written here once more, from the docstrings and the papers, in
NumPy's `longdouble`, 64 bits of fraction on x86. A rate is right if it is the
nearest float32 to that truth: step by step, compiled, with hyperparameters that
are traced, and over the longest runs that a clock can count.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from fractions import Fraction
import inspect
import math
import typing
from typing import Any
from typing import NamedTuple

import jax
from members import Call
import numpy as np
import pytest

import lrax
from lrax import schedules
from lrax.schedules import _algebra

Real = np.longdouble
PI = Real('3.14159265358979323846264338327950288')
LAST = 2**31 - 1
# Fewer bits than this are no truth to measure hundredths of an ulp with.
needs_longdouble = pytest.mark.skipif(
    np.finfo(Real).nmant < 63, reason='longdouble is no wider than float64 here'
)


# --- what the formulas are made of -------------------------------------------


class Share(NamedTuple):
  """How much of a way is left and how much is done: neither is one minus the
  other, so neither loses its digits where it is small."""

  left: Any
  done: Any

  def turned(self) -> Share:
    return Share(self.done, self.left)

  def between(self, first: Any, last: Any) -> Any:
    """From `first`, where all is left, to `last`, where all is done."""
    return Real(first) * self.left + Real(last) * self.done


def share(t: Any, start: int, end: int) -> Share:
  """The share of the steps from `start` to `end`; no steps are done at once."""
  if start == end:
    return Share((t < end).astype(Real), (t >= end).astype(Real))
  t = np.clip(t, start, end)
  length = Real(end - start)
  return Share((end - t).astype(Real) / length, (t - start).astype(Real) / length)


def cosine(s: Share) -> Share:
  """(1 + cos(pi * done)) / 2 = sin(pi / 2 * left) ** 2."""
  return Share(np.sin(PI / 2 * s.left) ** 2, np.sin(PI / 2 * s.done) ** 2)


def raised(s: Share, k: Any) -> Share:
  """left ** k."""
  return Share(s.left ** Real(k), -np.expm1(Real(k) * np.log1p(-s.done)))


def fall(shape: str, k: Any, s: Share) -> Share:
  """The shapes of a cooldown, as the docstrings of `cooldown` and
  `warmup_stable_decay` list them; `left` is fall(q)."""
  match shape:
    case 'linear':
      return s
    case 'cosine':
      return cosine(s)
    case 'sqrt':
      return raised(s.turned(), 0.5).turned()
    case 'square':
      return raised(s.turned(), 2).turned()
    case 'power':
      return raised(s.turned(), 2 if k is None else k).turned()
    case 'exponential':  # (r ** q - r) / (1 - r)
      r = Real(0.1 if k is None else k)
      return Share(
          r * np.expm1(-s.left * np.log(r)) / (1 - r),
          -np.expm1(s.done * np.log(r)) / (1 - r),
      )
  raise ValueError(shape)


def rise(shape: str, k: Any, s: Share) -> Share:
  """The shapes of a warmup; `done` is rise(p)."""
  match shape:
    case 'linear':
      return s
    case 'cosine':
      return cosine(s)
    case 'sqrt':
      return raised(s, 0.5)
    case 'square':
      return raised(s, 2)
    case 'power':
      return raised(s.turned(), 2 if k is None else k).turned()
    case 'exponential':  # (1 - exp(-k * p)) / (1 - exp(-k))
      k = Real(5 if k is None else k)
      done = np.expm1(-k * s.done) / np.expm1(-k)
      left = np.exp(-k) * np.expm1(k * s.left) / -np.expm1(-k)
      return Share(left, done)
    case 'log':  # log(1 + k * p) / log(1 + k)
      k = np.expm1(Real(1)) if k is None else Real(k)
      done = np.log1p(k * s.done) / np.log1p(k)
      return Share(1 - done, done)
    case 'constant':
      return Share(np.ones_like(s.left), np.zeros_like(s.left))
  raise ValueError(shape)


def geometric(first: Any, last: Any, s: Share) -> Any:
  """first * (last / first) ** done."""
  return Real(first) * (Real(last) / Real(first)) ** s.done


def warmup(t: Any, steps: int, first: Any, peak: Any, after: Any) -> Any:
  """A line to `peak` for `steps`, and `after` from then on."""
  return np.where(t < steps, share(t, 0, steps).between(first, peak), after)


def path(t: Any, knots: list[int], values: list[Any], shape: str) -> Any:
  """From value to value, each at its knot, by 'linear' or 'cosine' ways."""
  rate = np.full(t.shape, Real(values[0]))
  for i in range(len(knots) - 1):
    way = fall(shape, None, share(t, knots[i], knots[i + 1]))
    rate = np.where(t >= knots[i], way.between(values[i], values[i + 1]), rate)
  return rate


def stairs(t: Any, steps: int, staircase: bool) -> Any:
  """step / steps, or its floor."""
  return (t // steps).astype(Real) if staircase else t.astype(Real) / Real(steps)


# --- the formulas ------------------------------------------------------------

FORMULAS: dict[str, Callable[..., Any]] = {}


def formula(function: Callable[..., Any]) -> Callable[..., Any]:
  """Files a formula under the name of its schedule."""
  FORMULAS[function.__name__.rstrip('_')] = function
  return function


def truth(call: Any, t: Any) -> Any:
  """The rates of a call at int64 steps >= 0, in longdouble."""
  if not isinstance(call, Call):
    return np.full(t.shape, Real(call))
  bound = inspect.signature(call.constructor).bind(**call.arguments)
  bound.apply_defaults()
  with np.errstate(all='ignore'):
    return FORMULAS[call.constructor.__name__](t, **bound.arguments)


@formula
def constant(t, value):
  return np.full(t.shape, Real(value))


@formula
def from_function(t, function):
  return np.asarray(function(t), Real)


@formula
def piecewise_constant(t, values, boundaries, at_boundary):
  passed = {'new': np.less_equal, 'old': np.less}[at_boundary]
  count = np.sum([passed(boundary, t) for boundary in boundaries], axis=0)
  return np.array(values, Real)[count]


@formula
def piecewise_interpolate(t, values, boundaries, shape):
  return path(t, [0, *boundaries], values, shape)


@formula
def step_decay(t, init_value, decay_rate, decay_steps):
  return Real(init_value) * Real(decay_rate) ** stairs(t, decay_steps, True)


@formula
def multistep_decay(t, init_value, boundaries, decay_rate):
  rate = np.full(t.shape, Real(init_value))
  factors = np.broadcast_to(np.array(decay_rate, Real), len(boundaries))
  for boundary, factor in zip(boundaries, factors):
    rate = np.where(boundary <= t, rate * factor, rate)
  return rate


@formula
def exponential_decay(t, init_value, decay_rate, decay_steps, staircase, end_value):
  rate = Real(init_value) * Real(decay_rate) ** stairs(t, decay_steps, staircase)
  return np.maximum(Real(end_value), rate)


@formula
def natural_exponential_decay(
    t, init_value, decay_rate, decay_steps, staircase, end_value
):
  time = stairs(t, decay_steps, staircase)
  return np.maximum(
      Real(end_value), Real(init_value) * np.exp(-Real(decay_rate) * time)
  )


@formula
def inverse_time_decay(
    t, init_value, decay_rate, decay_steps, staircase, end_value
):
  time = stairs(t, decay_steps, staircase)
  return np.maximum(
      Real(end_value), Real(init_value) / (1 + Real(decay_rate) * time)
  )


@formula
def linear(t, init_value, end_value, steps):
  return share(t, 0, steps).between(init_value, end_value)


@formula
def polynomial_decay(t, init_value, end_value, power, steps):
  return raised(share(t, 0, steps), power).between(init_value, end_value)


@formula
def k_decay(t, init_value, steps, k, shape, power, end_value):
  way = raised(share(t, 0, steps).turned(), k).turned()
  way = cosine(way) if shape == 'cosine' else raised(way, power)
  return way.between(init_value, end_value)


@formula
def cosine_annealing(t, init_value, steps, end_value, exponent):
  way = raised(cosine(share(t, 0, steps)), exponent)
  return way.between(init_value, end_value)


@formula
def half_cosine(t, init_value, steps, end_value):
  s = share(t, 0, steps)
  # 1 - sin(pi / 2 * done) = 2 * sin(pi / 4 * left) ** 2
  way = Share(2 * np.sin(PI / 4 * s.left) ** 2, np.sin(PI / 2 * s.done))
  return way.between(init_value, end_value)


@formula
def flat_cosine(t, init_value, steps, flat_steps, end_value):
  fallen = cosine(share(t, flat_steps, steps)).between(init_value, end_value)
  return np.where(t < flat_steps, Real(init_value), fallen)


@formula
def rex(t, init_value, steps, end_value):
  s = share(t, 0, steps)
  way = Share(2 * s.left / (1 + s.left), s.done / (1 + s.left))
  return way.between(init_value, end_value)


@formula
def tanh_decay(t, init_value, steps, end_value, lower, upper):
  z = share(t, 0, steps).between(lower, upper)
  # (1 - tanh(z)) / 2 = 1 / (1 + exp(2 * z))
  way = Share(1 / (1 + np.exp(2 * z)), 1 / (1 + np.exp(-2 * z)))
  return np.where(t < steps, way.between(init_value, end_value), Real(end_value))


@formula
def warm_restarts(
    t, init_value, cycle_steps, cycle_growth, peak_decay, end_value, cycles
):
  ends, length = [Fraction(0)], Fraction(cycle_steps)
  while ends[-1] <= int(t.max()) + 1:
    ends.append(ends[-1] + length)
    length *= Fraction(cycle_growth)
  ends = [round(end) for end in ends]
  rate = []
  for step in t.ravel().tolist():
    i = bisect.bisect_right(ends, step) - 1
    way = cosine(share(np.array(step), ends[i], ends[i + 1]))
    peak = Real(init_value) * Real(peak_decay) ** i
    over = cycles is not None and i >= cycles
    rate.append(Real(end_value) if over else way.between(peak, end_value))
  return np.array(rate, Real).reshape(t.shape)


@formula
def cyclical(
    t, init_value, peak_value, up_steps, down_steps, mode, decay_rate
):
  down_steps = up_steps if down_steps is None else down_steps
  cycle, local = t // (up_steps + down_steps), t % (up_steps + down_steps)
  end = up_steps + down_steps
  up, down = share(local, 0, up_steps).done, share(local, up_steps, end).left
  height = {
      'triangular': Real(1),
      'triangular2': Real(0.5) ** cycle,
      'exp_range': Real(decay_rate) ** t,
  }[mode]
  tri = np.where(local < up_steps, up, down) * height
  return Share(1 - tri, tri).between(init_value, peak_value)


@formula
def one_cycle(
    t, peak_value, steps, pct_start, div_factor, final_div_factor, shape,
    three_phase, final_relative_to,
):
  start = Real(peak_value) / Real(div_factor)
  from_ = start if final_relative_to == 'start' else Real(peak_value)
  final, up = from_ / Real(final_div_factor), int(pct_start * steps)
  knots, values = [0, up, steps], [start, peak_value, final]
  if three_phase:
    knots, values = [0, up, 2 * up, steps], [start, peak_value, start, final]
  return path(t, knots, values, shape)


@formula
def slanted_triangular(t, peak_value, steps, cut_fraction, ratio):
  cut, low = int(steps * cut_fraction), Real(peak_value) / Real(ratio)
  return path(t, [0, cut, steps], [low, peak_value, low], 'linear')


@formula
def noam(t, model_size, warmup_steps, factor):
  t, w = t.astype(Real) + 1, Real(warmup_steps)
  scale = Real(factor) / np.sqrt(Real(model_size))
  return scale * np.minimum(1 / np.sqrt(t), t / (w * np.sqrt(w)))


@formula
def inverse_sqrt(t, peak_value, warmup_steps, timescale_steps, init_value):
  s = warmup_steps if timescale_steps is None else timescale_steps
  after = np.sqrt(Real(s) / (s + np.maximum(0, t - warmup_steps)).astype(Real))
  return warmup(t, warmup_steps, init_value, peak_value, Real(peak_value) * after)


@formula
def power_decay(
    t, peak_value, warmup_steps, exponent, knee_steps, steps, cooldown_steps,
    end_value,
):
  knee = warmup_steps if knee_steps is None else knee_steps
  later = lambda t: Real(peak_value) * np.minimum(
      1, (np.maximum(t, 1).astype(Real) / Real(knee)) ** -Real(exponent)
  )
  rate = warmup(t, warmup_steps, 0, peak_value, later(t))
  if steps is None:
    return rate
  start = steps - cooldown_steps
  tail = share(t, start, steps).between(later(np.array(start)), end_value)
  return np.where(t < start, rate, tail)


@formula
def warmup_stable_decay(
    t, peak_value, steps, warmup_steps, decay_steps, shape, shape_parameter,
    init_value, end_value,
):
  way = fall(shape, shape_parameter, share(t, steps - decay_steps, steps))
  after = way.between(peak_value, end_value)
  return warmup(t, warmup_steps, init_value, peak_value, after)


@formula
def repeated_decay(
    t, peak_value, boundaries, decay_steps, warmup_steps, shape,
    shape_parameter, peak_decay, end_value,
):
  rate, start = np.full(t.shape, Real(end_value)), 0
  for i, end in enumerate(boundaries):
    way = fall(shape, shape_parameter, share(t, end - decay_steps, end))
    period = way.between(Real(peak_value) * Real(peak_decay) ** i, end_value)
    rate, start = np.where((start <= t) & (t <= end), period, rate), end + 1
  return warmup(t, warmup_steps, 0, peak_value, rate)


@formula
def infinite(
    t, peak_value, constant_value, warmup_steps, cooldown_steps, anneal_steps,
    end_value, anneal_at, shape,
):
  anneal_at = LAST - anneal_steps if anneal_at is None else anneal_at
  cool = share(t, warmup_steps, warmup_steps + cooldown_steps)
  rate = fall(shape, None, cool).between(peak_value, constant_value)
  anneal = share(t, anneal_at, anneal_at + anneal_steps)
  annealed = geometric(constant_value, end_value, anneal)
  rate = np.where(t < anneal_at, rate, annealed)
  return warmup(t, warmup_steps, 0, peak_value, rate)


@formula
def range_ramp(t, init_value, end_value, steps, shape):
  s = share(t, 0, steps)
  if shape == 'linear':
    return s.between(init_value, end_value)
  return geometric(init_value, end_value, s)


@formula
def warmup_constant(t, peak_value, warmup_steps, init_value):
  return warmup(t, warmup_steps, init_value, peak_value, Real(peak_value))


@formula
def warmup_linear(t, peak_value, steps, warmup_steps, init_value, end_value):
  after = share(t, warmup_steps, steps).between(peak_value, end_value)
  return warmup(t, warmup_steps, init_value, peak_value, after)


@formula
def warmup_cosine(t, peak_value, steps, warmup_steps, init_value, end_value):
  after = cosine(share(t, warmup_steps, steps)).between(peak_value, end_value)
  return warmup(t, warmup_steps, init_value, peak_value, after)


@formula
def warmup_polynomial(
    t, peak_value, steps, warmup_steps, init_value, end_value, power
):
  way = raised(share(t, warmup_steps, steps), power)
  after = way.between(peak_value, end_value)
  return warmup(t, warmup_steps, init_value, peak_value, after)


@formula
def warmup_exponential(
    t, peak_value, steps, warmup_steps, end_value, init_value
):
  after = geometric(peak_value, end_value, share(t, warmup_steps, steps))
  return warmup(t, warmup_steps, init_value, peak_value, after)


@formula
def join(t, schedules, boundaries):
  rate = truth(schedules[0], t)
  for part, start in zip(schedules[1:], boundaries):
    rate = np.where(t < start, rate, truth(part, np.maximum(t - start, 0)))
  return rate


@formula
def then(t, schedule, following, at):
  return join(t, [schedule, following], [at])


@formula
def with_warmup(t, schedule, steps, init_value, shape, shape_parameter):
  way = rise(shape, shape_parameter, share(t, 0, steps))
  rising = way.between(init_value, truth(schedule, np.array(0)))
  return np.where(t < steps, rising, truth(schedule, np.maximum(t - steps, 0)))


@formula
def cooldown(t, schedule, at, steps, shape, end_value, shape_parameter):
  way = fall(shape, shape_parameter, share(t, at, at + steps))
  falling = way.between(truth(schedule, np.array(at)), end_value)
  return np.where(t < at, truth(schedule, t), falling)


@formula
def swa_tail(t, schedule, at, swa_value, steps, shape):
  return cooldown(t, schedule, at, steps, shape, swa_value, None)


@formula
def repeat(t, schedule, steps, times):
  over = False if times is None else t // steps >= times
  return truth(schedule, np.where(over, steps, t % steps))


@formula
def shift(t, schedule, steps):
  return truth(schedule, np.maximum(0, t - steps))


@formula
def stretch(t, schedule, factor):
  own = t.astype(Real) / Real(factor)
  before = np.floor(own)
  way = Share(before + 1 - own, own - before)
  before = before.astype(np.int64)
  return way.between(truth(schedule, before), truth(schedule, before + 1))


@formula
def every(t, schedule, steps):
  return truth(schedule, t // steps)


@formula
def clip(t, schedule, min_value, max_value):
  rate = np.maximum(truth(schedule, t), Real(min_value))
  return rate if max_value is None else np.minimum(rate, Real(max_value))


@formula
def product(t, left, right):
  return truth(left, t) * truth(right, t)


@formula
def sum_(t, left, right):
  return truth(left, t) + truth(right, t)


@formula
def minimum(t, left, right):
  return np.minimum(truth(left, t), truth(right, t))


@formula
def maximum(t, left, right):
  return np.maximum(truth(left, t), truth(right, t))


# --- the cases ---------------------------------------------------------------

W, T = 5, 40
FALLS = ('linear', 'cosine', 'sqrt', 'square', 'power', 'exponential')
RISES = (*FALLS, 'log', 'constant')


def _members() -> dict[str, Callable[..., Any]]:
  """Functions that return a schedule, but those that return what they are given."""
  found = {
      name: getattr(family, name)
      for family in (schedules, _algebra)
      for name in family.__all__
  }
  return {
      name: function
      for name, function in found.items()
      if typing.get_type_hints(function).get('return') is lrax.Schedule
      and name not in ('as_schedule', 'parse')
  }


MEMBERS = _members()


def c(name: str, *arguments: Any, **keywords: Any) -> Call:
  """One call of one member."""
  constructor = MEMBERS[name]
  bound = inspect.signature(constructor).bind(*arguments, **keywords)
  return Call(constructor, dict(bound.arguments))


def reciprocal(step: Any) -> Any:
  return 1 / (1 + step)


LINE = c('linear', 0.3, 0.01, T)
COSINE = c('cosine_annealing', 0.2, T - W, 0.02)
STAIRS = c('step_decay', 0.3, 0.7, 7)
KNOTS = [W, 12, 12, T]
RATES = [0.1, 0.3, 0.05, 0.2, 0.0]

# Calls, and the steps at which something begins or ends.
CASES: list[tuple[Call, list[int]]] = [
    (c('constant', 0.3), [T]),
    (c('constant', 0.0), [T]),
    (c('from_function', reciprocal), [T]),
    (c('from_function', LINE.build().value), [T]),
    (c('piecewise_constant', RATES, KNOTS), KNOTS),
    (c('piecewise_constant', RATES, KNOTS, at_boundary='old'), KNOTS),
    (c('piecewise_interpolate', RATES, KNOTS), KNOTS),
    (c('piecewise_interpolate', RATES, KNOTS, shape='cosine'), KNOTS),
    (c('step_decay', 0.3, 0.1, W), [W, T]),
    (c('step_decay', 0.01, 1.7, 7), [7, 14, T]),
    (c('multistep_decay', 0.3, KNOTS), KNOTS),
    (c('multistep_decay', 0.3, KNOTS, decay_rate=[0.3, 1.9, 0.7, 0.0]), KNOTS),
    (c('exponential_decay', 0.3, 0.7, W), [W, T]),
    (c('exponential_decay', 0.3, 0.7, W, True, 0.03), [W, T]),
    (c('natural_exponential_decay', 0.3, 0.17), [W, T]),
    (c('natural_exponential_decay', 0.3, 0.17, W, True, 0.03), [W, T]),
    (c('inverse_time_decay', 0.3, 0.17), [W, T]),
    (c('inverse_time_decay', 0.3, 0.17, W, True, 0.03), [W, T]),
    (LINE, [T]),
    (c('linear', 0.0, 0.3, T), [T]),
    (c('polynomial_decay', 0.3, 0.01, 2.0, T), [T]),
    (c('polynomial_decay', 0.01, 0.3, 0.37, T), [T]),
    (c('k_decay', 0.3, T), [T]),
    (c('k_decay', 0.3, T, 2.5, 'polynomial', 1.7, 0.01), [T]),
    (c('cosine_annealing', 0.3, T), [T]),
    (c('cosine_annealing', 0.3, T, 0.01, exponent=1.7), [T]),
    (c('half_cosine', 0.3, T), [T]),
    (c('half_cosine', 0.01, T, 0.3), [T]),
    (c('flat_cosine', 0.3, T, W), [W, T]),
    (c('flat_cosine', 0.3, T, 28, 0.01), [28, T]),
    (c('rex', 0.3, T), [T]),
    (c('rex', 0.01, T, 0.3), [T]),
    (c('tanh_decay', 0.3, T), [T]),
    (c('tanh_decay', 0.3, T, 0.01, -7.3, 2.5), [T]),
    (c('warm_restarts', 0.3, 10), [10, 20, T]),
    (c('warm_restarts', 0.3, 8, 1.5, 0.7, 0.01), [8, 20, 38, 65]),
    (c('warm_restarts', 0.3, W, 2, 1.3, 0.01, cycles=3), [W, 15, 35]),
    (c('cyclical', 0.01, 0.3, W), [W, 2 * W, T]),
    (c('cyclical', 0.01, 0.3, W, 9, 'triangular2'), [W, 14, 28]),
    (c('cyclical', 0.01, 0.3, W, None, 'exp_range', 0.97), [W, 2 * W, T]),
    (c('one_cycle', 0.3, T), [12, T]),
    (c('one_cycle', 0.3, T, 0.25, 7.0, 30.0, 'linear', True), [10, 20, T]),
    (
        c('one_cycle', 0.3, T, 0.45, 7.0, 30.0, 'linear', final_relative_to='peak'),
        [18, T],
    ),
    (c('one_cycle', 0.3, T, 0.01), [T]),
    (c('slanted_triangular', 0.3, T), [4, T]),
    (c('slanted_triangular', 0.3, T, 0.3, 7.0), [12, T]),
    (c('noam', 512, W), [W, T]),
    (c('noam', 513.7, 7, 1.3), [7, T]),
    (c('inverse_sqrt', 0.3, W), [W, T]),
    (c('inverse_sqrt', 0.3, W, 7, 0.01), [W, 26, T]),
    (c('power_decay', 0.3, W), [W, T]),
    (c('power_decay', 0.3, W, 0.37, 13, T, 9, 0.01), [W, 13, 31, T]),
    (c('warmup_stable_decay', 0.3, T, W, 11), [W, 29, T]),
    (c('warmup_stable_decay', 0.3, T, W, 11, 'cosine', None, 0.02, 0.01), [W, 29, T]),
    (c('warmup_stable_decay', 0.3, T, W, 11, 'sqrt', end_value=0.01), [W, 29, T]),
    (c('warmup_stable_decay', 0.3, T, W, 11, 'power', 3.3), [W, 29, T]),
    (c('warmup_stable_decay', 0.3, T, W, 11, 'exponential'), [W, 29, T]),
    (c('repeated_decay', 0.3, [12, 25, T], 4), [8, 12, 21, 25, 36, T]),
    (c('repeated_decay', 0.3, [12, T], 7, W, 'sqrt', None, 0.7, 0.01), [W, 12, T]),
    (c('infinite', 0.3, 0.1, W, 11, 7, 0.01, T), [W, 16, T, 47]),
    (c('infinite', 0.3, 0.1, W, 11, 7, 0.01, T, 'sqrt'), [W, 16, T, 47]),
    (c('infinite', 0.3, 0.1, W, 11, 7, 0.01), [W, 16, LAST - 7]),
    (c('range_ramp', 1e-5, 10.0, T), [T]),
    (c('range_ramp', 0.0, 1.0, T, 'linear'), [T]),
    (c('warmup_constant', 0.3, W), [W, T]),
    (c('warmup_constant', 0.3, 7, 0.01), [7, T]),
    (c('warmup_linear', 0.3, T, W), [W, T]),
    (c('warmup_linear', 0.3, T, W, 0.02, 0.01), [W, T]),
    (c('warmup_cosine', 0.3, T, W), [W, T]),
    (c('warmup_cosine', 0.3, T, W, 0.02, 0.01), [W, T]),
    (c('warmup_polynomial', 0.3, T, W), [W, T]),
    (c('warmup_polynomial', 0.3, T, W, 0.02, 0.01, 0.7), [W, T]),
    (c('warmup_exponential', 0.3, T, W, 0.01), [W, T]),
    (c('warmup_exponential', 0.3, T, W, 0.01, 0.02), [W, T]),
    (c('swa_tail', LINE, 28, 0.05), [28, 38]),
    (c('swa_tail', COSINE, 12, 0.05, 7, 'linear'), [12, 19]),
    (c('join', [LINE, STAIRS, COSINE], [W, 20]), [W, 20, T]),
    (c('join', [c('rex', 0.3, 7), LINE, COSINE], [12, 12]), [7, 12, T]),
    (c('join', [LINE], []), [T]),
    (c('then', LINE, COSINE, 28), [28, 28 + T - W]),
    (c('then', c('rex', 0.3, 7), STAIRS, 12), [7, 12, T]),
    (c('with_warmup', COSINE, W), [W, T]),
    (c('with_warmup', COSINE, W, 0.01, 'cosine'), [W, T]),
    (c('with_warmup', COSINE, W, 0.01, 'sqrt'), [W, T]),
    (c('with_warmup', COSINE, W, 0.01, 'square'), [W, T]),
    (c('with_warmup', COSINE, W, 0.01, 'power', 0.7), [W, T]),
    (c('with_warmup', COSINE, W, 0.01, 'exponential'), [W, T]),
    (c('with_warmup', COSINE, W, 0.01, 'log', 7.7), [W, T]),
    (c('with_warmup', COSINE, W, 0.01, 'constant'), [W, T]),
    (c('with_warmup', c('with_warmup', LINE, 3), W, 0.01), [W, 8, T + 8]),
    (c('cooldown', LINE, 28, W), [28, 33, T]),
    (c('cooldown', COSINE, 28, W, 'cosine', 0.01), [28, 33, T]),
    (c('cooldown', LINE, 28, 11, 'sqrt', 0.01), [28, 39]),
    (c('cooldown', LINE, 28, 11, 'square', 0.01), [28, 39]),
    (c('cooldown', LINE, 28, 11, 'power', 0.01, 0.7), [28, 39]),
    (c('cooldown', LINE, 28, 11, 'exponential', 0.01), [28, 39]),
    (c('repeat', LINE, 12), [12, 24, T]),
    (c('repeat', COSINE, 12, 3), [12, 24, 36]),
    (c('shift', LINE, W), [W, T, T + W]),
    (c('shift', COSINE, -W), [W, T - 2 * W]),
    (c('stretch', COSINE, 3.0), [3 * W, 3 * (T - W)]),
    (c('stretch', STAIRS, 2.7), [18, 19, 37, 38]),
    (c('stretch', LINE, 0.3), [12, 13]),
    (c('every', LINE, 3), [3, 3 * T]),
    (c('every', COSINE, 4), [4, 4 * (T - W)]),
    (c('clip', LINE, 0.05, 0.2), [T]),
    (c('clip', COSINE, 0.05), [T]),
    (c('product', LINE, COSINE), [T]),
    (c('product', 0.7, c('warm_restarts', 0.3, 8, 2)), [8, 24, T]),
    (c('sum', LINE, COSINE), [T]),
    (c('sum', STAIRS, 0.7), [7, T]),
    (c('minimum', LINE, COSINE), [T]),
    (c('minimum', STAIRS, 0.05), [7, T]),
    (c('maximum', LINE, COSINE), [T]),
    (c('maximum', c('cyclical', 0.01, 0.3, W), 0.1), [W, 2 * W, T]),
]
IDS = [f'{call.constructor.__name__}-{i}' for i, (call, _) in enumerate(CASES)]
EACH = pytest.mark.parametrize('call, edges', CASES, ids=IDS)
# The others are random, or move by `progress`; each has its test below.
OTHERS = {'by_progress', 'with_noise'}


def test_every_member_is_here():
  names = [call.constructor.__name__ for call, _ in CASES]
  assert set(FORMULAS) | OTHERS == set(MEMBERS)
  assert set(names) | OTHERS == set(MEMBERS)
  assert min(names.count(name) for name in names) > 1


def near(edges: list[int]) -> Any:
  """Steps 0 and 1, those around every edge, and ten times the last one; always
  32 of them, so that small programs are shared."""
  steps = [0, 1, *(edge + d for edge in edges for d in (-1, 0, 1)), 10 * edges[-1]]
  return np.resize([min(step, LAST) for step in steps], 32).astype(np.int64)


@EACH
def test_nearest_to_the_formula(call, edges):
  policy, steps = call.build(), near(edges)
  eager = np.asarray(policy(steps))
  np.testing.assert_array_equal(eager, truth(call, steps).astype(np.float32))
  np.testing.assert_array_equal(jax.jit(policy.value)(steps), eager)


# --- phases of no length -----------------------------------------------------

JUMP = c('piecewise_constant', [0.3, 0.01], [T])
RISE = c('linear', 0.0, 0.3, W)

# A call with lengths of 0, and what it is then, said without them.
OF_NO_LENGTH: list[tuple[Call, Any]] = [
    (c('linear', 0.3, 0.01, 0), 0.01),
    (c('polynomial_decay', 0.3, 0.01, 2.3, 0), 0.01),
    (c('k_decay', 0.3, 0, end_value=0.01), 0.01),
    (c('k_decay', 0.3, 0, 1.7, 'polynomial', 2.3), 0.0),
    (c('cosine_annealing', 0.3, 0, 0.01, 1.7), 0.01),
    (c('half_cosine', 0.3, 0, 0.01), 0.01),
    (c('flat_cosine', 0.3, 0, 0, 0.01), 0.01),
    (c('flat_cosine', 0.3, T, 0), c('cosine_annealing', 0.3, T)),
    (c('flat_cosine', 0.3, T, T, 0.01), JUMP),
    (c('rex', 0.3, 0, 0.01), 0.01),
    (c('tanh_decay', 0.3, 0, 0.01), 0.01),
    (c('range_ramp', 1e-5, 10.0, 0), 10.0),
    (c('range_ramp', 0.0, 10.0, 0, 'linear'), 10.0),
    (c('one_cycle', 0.3, 0, 0.3, 8.0, 4.0), 0.3 / 32),
    (c('one_cycle', 0.3, T, 0.0, 8.0, 4.0, 'linear'), c('linear', 0.3, 0.3 / 32, T)),
    (
        c('one_cycle', 0.3, T, 0.0, 8.0, 4.0, 'linear', True),
        c('linear', 0.3 / 8, 0.3 / 32, T),
    ),
    (c('slanted_triangular', 0.3, 0, 0.1, 8.0), 0.3 / 8),
    (c('slanted_triangular', 0.3, T, 0.0, 8.0), c('linear', 0.3, 0.3 / 8, T)),
    (
        c('slanted_triangular', 0.3, T, 1.0, 8.0),
        c('then', c('linear', 0.3 / 8, 0.3, T), 0.3 / 8, T),
    ),
    (c('cyclical', 0.01, 0.3, 0, W), c('repeat', c('linear', 0.3, 0.01, W), W)),
    (c('cyclical', 0.01, 0.3, W, 0), c('repeat', c('linear', 0.01, 0.3, W), W)),
    (c('piecewise_constant', [0.1, 0.2], [0]), 0.2),
    (c('piecewise_interpolate', [0.1, 0.2, 0.3], [0, T]), c('linear', 0.2, 0.3, T)),
    (c('piecewise_interpolate', [0.1, 0.2], [0]), 0.2),
    (c('multistep_decay', 0.5, [0, 0], 0.25), 0.5 / 16),
    (
        c('inverse_sqrt', 0.3, 0, 1),
        c('shift', c('power_decay', 0.3, 0, 0.5, 1), -1),
    ),
    (c('power_decay', 0.3, 0, 0.5, 1, 0, 0, 0.01), 0.01),
    (
        c('power_decay', 0.3, W, 0.5, 13, T, 0, 0.01),
        c('then', c('power_decay', 0.3, W, 0.5, 13), 0.01, T),
    ),
    (c('warmup_stable_decay', 0.3, T, 0, T), c('linear', 0.3, 0.0, T)),
    (c('warmup_stable_decay', 0.3, T, 0, 0, 'cosine', end_value=0.01), JUMP),
    (c('warmup_stable_decay', 0.3, 0, 0, 0, 'sqrt', end_value=0.01), 0.01),
    (
        c('warmup_stable_decay', 0.3, T, W, 0, 'exponential'),
        c('then', c('then', RISE, 0.3, W), 0.0, T),
    ),
    (
        c('repeated_decay', 0.3, [12, T], 0, end_value=0.01),
        c('piecewise_constant', [0.3, 0.01, 0.3, 0.01], [12, 13, T]),
    ),
    (c('repeated_decay', 0.3, [0], 0, end_value=0.01), 0.01),
    (
        c('infinite', 0.3, 0.1, 0, T, 7, 0.01, shape='linear'),
        c('linear', 0.3, 0.1, T),
    ),
    (
        c('infinite', 0.3, 0.1, W, 0, 0, 0.01, T),
        c('then', c('then', RISE, 0.1, W), 0.01, T),
    ),
    (c('warmup_constant', 0.3, 0, 0.1), 0.3),
    (c('warmup_linear', 0.3, T, 0, 0.1), c('linear', 0.3, 0.0, T)),
    (c('warmup_linear', 0.3, W, W, 0.0, 0.01), c('then', RISE, 0.01, W)),
    (c('warmup_cosine', 0.3, T, 0, 0.1), c('cosine_annealing', 0.3, T)),
    (c('warmup_cosine', 0.3, W, W, 0.0, 0.01), c('then', RISE, 0.01, W)),
    (
        c('warmup_polynomial', 0.3, T, 0, 0.1, 0.0, 2.3),
        c('polynomial_decay', 0.3, 0.0, 2.3, T),
    ),
    (c('warmup_polynomial', 0.3, 0, 0, 0.1, 0.01), 0.01),
    (c('warmup_exponential', 0.3, T, 0, 0.01, 0.1), c('range_ramp', 0.3, 0.01, T)),
    (c('warmup_exponential', 0.3, W, W, 0.01), c('then', RISE, 0.01, W)),
    (c('swa_tail', LINE, 28, 0.05, 0), c('then', LINE, 0.05, 28)),
    (c('cooldown', LINE, 28, 0, 'exponential'), c('then', LINE, 0.0, 28)),
    (c('cooldown', LINE, 0, 0, 'sqrt', 0.01), 0.01),
    (c('then', LINE, COSINE, 0), COSINE),
    (c('join', [LINE, STAIRS, COSINE], [0, 0]), COSINE),
    *((c('with_warmup', COSINE, 0, 0.1, shape), COSINE) for shape in RISES),
    (c('shift', LINE, 0), LINE),
]


@pytest.mark.parametrize(
    'call, same', OF_NO_LENGTH, ids=lambda value: getattr(value, 'name', '')
)
def test_phases_of_no_length_vanish(call, same):
  steps = near([W, 12, 28, T])
  expected = truth(same, steps).astype(np.float32)
  np.testing.assert_array_equal(call.build()(steps), expected)


@pytest.mark.parametrize('staircase', [False, True])
@pytest.mark.parametrize(
    'decay',
    [
        lrax.exponential_decay,
        lrax.inverse_time_decay,
        lrax.natural_exponential_decay,
    ],
)
def test_a_traced_period_of_no_length_is_one_step(decay, staircase):
  """It cannot be refused when it is built, and at step 0 it would be 0 / 0."""
  rates = jax.jit(lambda n: decay(0.1, 0.5, n, staircase)(np.array([0, 5])))
  np.testing.assert_array_equal(rates(0), rates(1))
  assert np.isfinite(rates(0)).all() and rates(0)[1] < rates(0)[0] == np.float32(0.1)
  assert np.isfinite(jax.jit(lambda n: decay(0.1, 0.5, n, staircase)(5))(0))


def test_what_is_stretched_to_no_length_is_over_at_step_1():
  line = lrax.linear(0.3, 0.01, 12)

  def rates(factor):
    return line.stretch(factor)(np.array([0, 1, 5, 2**31 - 1]))

  expected = np.float32([0.3, 0.01, 0.01, 0.01])
  np.testing.assert_allclose(jax.jit(rates)(0.0), expected, 2.0**-22)
  assert np.isfinite(jax.jacrev(rates)(0.0)).all()
  for short in (1e-300, 2.0**-40, 2.0**-31):
    np.testing.assert_array_equal(rates(short), expected)


# --- by progress, and at random ----------------------------------------------


def test_by_progress():
  policy: Any = lrax.by_progress(COSINE.build(), total=T)
  progress = [-1.0, 0.0, 0.1, 0.51, 0.7, 0.99, 1.0, 7.0]
  steps = np.array([round(min(max(p, 0.0), 1.0) * T) for p in progress])
  state = policy.init(None)
  np.testing.assert_array_equal(
      [policy(state, progress=p) for p in progress],
      truth(COSINE, steps).astype(np.float32),
  )


def _normal(x: Any) -> Any:
  """The distribution function of the normal one."""
  return np.array([math.erf(v / 2**0.5) / 2 + 0.5 for v in x])


@pytest.mark.parametrize('distribution', ['normal', 'uniform'])
def test_noise_is_of_its_distribution(distribution):
  limit, std, count = 0.6, 0.4, 2**14
  steps = np.arange(count)
  noisy = lrax.constant(0.5).with_noise(3, limit, std, distribution)
  noise = np.asarray(noisy(steps), np.float64) / 0.5 - 1
  # The float32 nearest to 1 +- limit is up to 2**-24 of it away.
  assert np.abs(noise).max() <= limit + 2.0**-23
  x = np.linspace(-limit, limit, 13)
  expected = (x + limit) / (2 * limit)
  if distribution == 'normal':  # what is outside the limit is drawn again
    low, high = _normal([-limit / std, limit / std])
    expected = (_normal(x / std) - low) / (high - low)
  found = np.searchsorted(np.sort(noise), x, 'right') / count
  # The distance of a sample's distribution function is over 1.95 / sqrt(count)
  # once in a thousand samples (Kolmogorov); this one is always the same.
  assert np.abs(found - expected).max() < 1.95 / count**0.5
  # Five standard deviations of the correlation of what is independent.
  for lag in (1, 2, 16):
    assert abs(np.corrcoef(noise[lag:], noise[:-lag])[0, 1]) < 5 / count**0.5


def test_noise_is_a_function_of_the_seed_and_the_step():
  plain, steps = LINE.build(), near([T])
  first = np.asarray(plain.with_noise(3)(steps)) / np.asarray(plain(steps))
  other = np.asarray(lrax.constant(0.3).with_noise(3)(steps)) / np.float32(0.3)
  # Two roundings of a rate and two of a share, 2**-24 each, of up to 1.67.
  np.testing.assert_allclose(first, other, rtol=0, atol=4e-7)
  seeds = [plain.with_noise(seed)(steps[:9]) for seed in range(3)]
  assert len({float(rate) for rates in seeds for rate in rates}) >= 3 * 5


# --- over long runs ----------------------------------------------------------


def _long(n: int) -> list[Call]:
  """Each way that a schedule may go for n steps."""
  tenth, rate = n // 10, c('constant', 0.3)
  return [
      c('linear', 0.3, 0.01, n),
      c('polynomial_decay', 0.3, 0.0, 2.3, n),
      c('k_decay', 0.3, n, 1.5),
      c('k_decay', 0.3, n, 1.5, 'polynomial', 2.3, 0.01),
      c('cosine_annealing', 0.3, n, 0.0, 1.7),
      c('half_cosine', 0.3, n),
      c('flat_cosine', 0.3, n, tenth),
      c('rex', 0.3, n),
      c('tanh_decay', 0.3, n),
      c('exponential_decay', 0.3, 0.01, n),
      c('natural_exponential_decay', 0.3, 7.0, n),
      c('inverse_time_decay', 0.3, 7.0, n),
      c('piecewise_interpolate', [0.3, 0.1, 0.0], [n // 3, n]),
      c('piecewise_interpolate', [0.3, 0.1, 0.0], [n // 3, n], 'cosine'),
      c('warm_restarts', 0.3, n),
      c('cyclical', 0.0, 0.3, n // 3, n // 2),
      c('one_cycle', 0.3, n),
      c('slanted_triangular', 0.3, n),
      c('noam', 512, tenth),
      c('inverse_sqrt', 0.3, tenth),
      c('power_decay', 0.3, tenth, 0.51, None, n, tenth),
      c('infinite', 0.3, 0.1, tenth, n // 3, tenth, 0.01, n - tenth),
      c('range_ramp', 1e-6, 1.0, n),
      c('warmup_exponential', 0.3, n, tenth, 1e-4),
      c('warmup_polynomial', 0.3, n, tenth, 0.0, 0.0, 2.3),
      c('repeated_decay', 0.3, [n // 2, n], tenth),
      *(c('cooldown', rate, tenth, n - tenth, shape) for shape in FALLS[2:]),
      *(c('with_warmup', rate, n, 0.0, shape) for shape in RISES[2:-1]),
      c('stretch', c('cosine_annealing', 0.3, n // 4), 4.0),
      c('every', c('linear', 0.3, 0.0, n // 3), 3),
  ]


LENGTHS = (10**8, LAST)
LONG = list(zip(*(_long(n) for n in LENGTHS)))
LONG_IDS = [f'{one.constructor.__name__}-{i}' for i, (one, _) in enumerate(LONG)]


def along(n: int) -> Any:
  """2,000 consecutive steps of the middle, the first and the last ones, 1,500
  anywhere, and 250 at all scales of the distance from either end."""
  random = np.random.default_rng(0)
  scales = np.exp(random.uniform(0, np.log(n), 250)).astype(np.int64)
  ends = np.arange(10)
  return np.concatenate([
      np.arange(n // 2 + 1, n // 2 + 2001),
      *(ends, n - ends, scales, n - scales, random.integers(0, n, 1500)),
  ]).astype(np.int32)


def _traced(call: Call) -> Callable[..., Any]:
  """Compiles a call with all its numbers traced, for others like it."""

  def rates(floats, lengths, t):
    return call.replace(float, floats).replace(int, lengths).build().value(t)

  jitted = jax.jit(rates)

  def run(call: Call, steps: Any) -> tuple[Any, Call]:
    """The rates, and the call with the float32 that they are of."""
    floats = [np.float32(x) for x in call.numbers(float)]
    lengths = [np.int32(x) for x in call.numbers(int)]
    rounded = call.replace(float, [float(x) for x in floats])
    return np.asarray(jitted(floats, lengths, steps)), rounded

  return run


# Compiled rates are sums of two float32 and have 48 bits, but not below this: the
# second one, 2**-24 of the first, then comes to where XLA flushes to 0.
TINY = np.float32(1e-30)


@needs_longdouble
@pytest.mark.parametrize('calls', LONG, ids=LONG_IDS)
def test_nearest_over_long_runs(calls):
  """Not all are the nearest: of 2**24 truths one is so near to the middle of two
  float32 that 48 bits cannot tell, and of truths that are multiples of a short
  fraction more are. Compiled where it is hardest, over the longest run."""
  for n, call in zip(LENGTHS, calls):
    steps = along(n)
    policy = call.build()
    expected = truth(call, steps.astype(np.int64))
    nearest = expected.astype(np.float32)
    found = [policy(steps)]
    if n == LAST:
      found.append(jax.jit(policy.value)(steps))
    for rates in map(np.asarray, found):
      errors = np.abs(rates.astype(Real) - expected)
      errors /= np.spacing(np.maximum(nearest, TINY))
      assert errors.max() <= 0.51, f'{errors.max()} ulp at {steps[errors.argmax()]}'
      assert np.mean((rates != nearest) & (nearest >= TINY)) <= 1e-3
      middle = np.diff(rates[:2000])
      assert np.all(middle <= 0) or np.all(middle >= 0)


RATE = c('constant', 0.3)
# Arguments that are legal and far from what is usual.
FAR = [
    c('tanh_decay', 0.3, 1000, 0.0, -50.0, 50.0),
    c('k_decay', 0.3, 1000, 0.1),
    c('cooldown', RATE, 0, 1000, 'power', 0.0, 0.01),
    c('cooldown', RATE, 0, 1000, 'exponential', 0.01, 0.999999),
    c('with_warmup', RATE, 1000, 0.0, 'log', 1e-6),
    c('with_warmup', RATE, 1000, 0.0, 'exponential', 1e-6),
    c('cosine_annealing', 0.3, 1000, 0.01, 1e-3),
    c('exponential_decay', 1e-30, 1.15, 1),  # the growth alone is over 3e38
    c('range_ramp', 1e-20, 1e20, 1000),
]


@needs_longdouble
@pytest.mark.parametrize(
    'call', FAR, ids=[f'{call.constructor.__name__}-{i}' for i, call in enumerate(FAR)]
)
def test_nearest_far_out(call):
  steps = np.arange(1001)
  policy, expected = call.build(), truth(call, steps)
  for rates in map(np.asarray, (policy(steps), jax.jit(policy.value)(steps))):
    errors = np.abs(rates.astype(Real) - expected)
    errors /= np.spacing(np.maximum(expected.astype(np.float32), TINY))
    bad = np.flatnonzero(~(errors <= 0.51))
    assert not bad.size, (bad[0], rates[bad[0]], expected[bad[0]])


# --- traced hyperparameters, of those that have no length --------------------


SHORT = {
    call.constructor.__name__: (call, edges)
    for call, edges in CASES[::-1]
    if call.constructor.__name__ not in {one.constructor.__name__ for one, _ in LONG}
}


@pytest.mark.parametrize(
    'call, edges', [(*case,) for case in SHORT.values()], ids=SHORT
)
def test_near_with_traced_hyperparameters(call, edges):
  """Then a formula is float32 all through: about ten roundings of half an ulp, of
  numbers no larger than the largest rate."""
  steps = near(edges)
  rates, rounded = _traced(call)(call, steps)
  expected = truth(rounded, steps).astype(np.float32)
  limit = 8 * 2.0**-23
  np.testing.assert_allclose(rates, expected, limit, limit * expected.max())
