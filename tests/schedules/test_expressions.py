"""Random expressions of the algebra, made of random schedules.

Whatever is combined with whatever, up to three deep: compiled code gives what
eager code gives, which is the formula's; the expression survives `repr`, a dict
and a pickle; rates are within bounds that follow from the parts, and they and
their gradients are finite.
"""

from __future__ import annotations

import inspect
import pickle
from typing import Any

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
from members import Call
import numpy as np
from test_formulas import FALLS
from test_formulas import MEMBERS
from test_formulas import OTHERS
from test_formulas import RISES
from test_formulas import TINY
from test_formulas import truth

import lrax
from lrax.schedules import _algebra
from lrax.schedules import parse

STEPS = np.arange(96)
RATES = st.floats(1e-3, 1.0)
FALLING = st.one_of(st.just(0.0), RATES)
PHASE = st.integers(1, 9)  # three of them fit into a length
MAYBE = st.integers(0, 9)

# What an argument may be: by the name of the member and its own, or by its own.
ARGUMENTS = {
    'infinite.end_value': RATES,
    'range_ramp.init_value': RATES,
    'range_ramp.end_value': RATES,
    'warmup_exponential.end_value': RATES,
    'k_decay.shape': st.sampled_from(['cosine', 'polynomial']),
    'infinite.shape': st.sampled_from(['cosine', 'linear', 'sqrt']),
    'range_ramp.shape': st.sampled_from(['exponential', 'linear']),
    'one_cycle.shape': st.sampled_from(['cosine', 'linear']),
    'piecewise_interpolate.shape': st.sampled_from(['linear', 'cosine']),
    'with_warmup.shape': st.sampled_from(RISES),
    'with_warmup.steps': MAYBE,
    'cooldown.steps': MAYBE,
    'swa_tail.steps': MAYBE,
    'every.steps': PHASE,
    'repeat.steps': st.integers(1, 40),
    'shift.steps': st.integers(-9, 9),
    'stretch.factor': st.floats(0.5, 3.0),
    'repeated_decay.boundaries': st.just([20, 31, 60]),
    'join.boundaries': st.lists(st.integers(0, 60), min_size=2, max_size=2).map(
        sorted
    ),
    'init_value': FALLING,
    'end_value': FALLING,
    'min_value': st.floats(0.0, 0.1),
    'max_value': st.one_of(st.none(), st.floats(0.1, 1.0)),
    'value': RATES,
    'peak_value': RATES,
    'constant_value': RATES,
    'swa_value': FALLING,
    'values': st.lists(FALLING, min_size=4, max_size=4),
    'boundaries': st.lists(st.integers(0, 60), min_size=3, max_size=3).map(sorted),
    'steps': st.integers(27, 60),
    'warmup_steps': PHASE,
    'flat_steps': MAYBE,
    'cooldown_steps': MAYBE,
    'anneal_steps': MAYBE,
    'decay_steps': PHASE,
    'cycle_steps': PHASE,
    'up_steps': PHASE,
    'down_steps': st.one_of(st.none(), MAYBE),
    'timescale_steps': st.one_of(st.none(), PHASE),
    'knee_steps': st.one_of(st.none(), PHASE),
    'at': st.integers(0, 60),
    'anneal_at': st.one_of(st.none(), st.integers(18, 60)),
    'decay_rate': st.floats(0.1, 1.0),
    'peak_decay': st.floats(0.1, 1.0),
    'cycle_growth': st.integers(1, 3),
    'cycles': st.one_of(st.none(), st.integers(1, 4)),
    'times': st.one_of(st.none(), st.integers(1, 4)),
    'k': st.floats(0.3, 3.0),
    'power': st.floats(0.3, 3.0),
    'exponent': st.floats(0.3, 3.0),
    'shape_parameter': st.none(),
    'pct_start': st.floats(0.0, 0.5),
    'cut_fraction': st.floats(0.0, 1.0),
    'div_factor': st.floats(1.0, 30.0),
    'final_div_factor': st.floats(1.0, 1e4),
    'ratio': st.floats(1.0, 32.0),
    'lower': st.floats(-7.0, -1.0),
    'upper': st.floats(1.0, 4.0),
    'model_size': st.floats(1.0, 1024.0),
    'factor': st.floats(0.0, 1.0),
    'shape': st.sampled_from(FALLS),
    'mode': st.sampled_from(['triangular', 'triangular2', 'exp_range']),
    'at_boundary': st.sampled_from(['new', 'old']),
    'final_relative_to': st.sampled_from(['start', 'peak']),
    'staircase': st.booleans(),
    'three_phase': st.booleans(),
    'seed': st.integers(0, 99),
    'limit': st.floats(0.0, 1.0),
    'std': st.floats(0.1, 2.0),
    'distribution': st.sampled_from(['normal', 'uniform']),
}
# A closed loop has no rate at a step, and a function no dict.
COMBINATIONS = sorted({*_algebra.__all__, 'swa_tail'} - {'by_progress'})
LEAVES = sorted(set(MEMBERS) - {*COMBINATIONS, 'by_progress', 'from_function'})


@st.composite
def calls(draw: Any, depth: int) -> Call:
  """A call of a random member; where it combines, of random parts."""
  names = LEAVES if depth == 0 else COMBINATIONS
  name = draw(st.sampled_from(names))
  part = st.integers(0, depth - 1).flatmap(calls) if depth else st.nothing()
  parts = {
      'schedule': part,
      'following': part,
      'left': part,
      'right': st.one_of(part, RATES) if name in ('product', 'sum') else part,
      'schedules': st.lists(part, min_size=3, max_size=3),
  }
  arguments = {}
  for argument in inspect.signature(MEMBERS[name]).parameters:
    rule = ARGUMENTS.get(f'{name}.{argument}')
    if rule is None:
      rule = parts[argument] if argument in parts else ARGUMENTS[argument]
    arguments[argument] = draw(rule)
  return Call(MEMBERS[name], arguments)


def bound(call: Any) -> float:
  """No rate of the call is above this; no factor in these calls is above 1."""
  if not isinstance(call, Call):
    return call
  name, arguments = call.constructor.__name__, call.arguments
  if name == 'noam':
    width = arguments['model_size'] * arguments['warmup_steps']
    return arguments['factor'] * width**-0.5
  if name in ('product', 'sum', 'minimum'):
    left, right = bound(arguments['left']), bound(arguments['right'])
    return {'product': left * right, 'sum': left + right}.get(name, min(left, right))
  if name == 'clip' and arguments['max_value'] is not None:
    return arguments['max_value']
  if name == 'with_noise':
    return bound(arguments['schedule']) * (1 + arguments['limit'])
  rates = []
  for argument, value in arguments.items():
    if argument.endswith(('value', 'values')) or isinstance(value, (Call, list)):
      values = value if isinstance(value, list) else [value]
      rates += [bound(v) for v in values if isinstance(v, (float, Call))]
  return max(rates)


def names_of(call: Any) -> set[str]:
  """The members that an expression is made of."""
  if isinstance(call, list):
    return set().union(*map(names_of, call))
  if not isinstance(call, Call):
    return set()
  return {call.constructor.__name__} | names_of(list(call.arguments.values()))


def same(rates: Any, expected: Any, ulp: float) -> None:
  """Within so many float32 ulp; below TINY compiled rates have fewer digits."""
  expected = np.asarray(expected)
  spacing = np.spacing(np.maximum(expected.astype(np.float32), TINY))
  errors = np.abs(np.asarray(rates).astype(expected.dtype) - expected)
  assert np.all(errors <= ulp * spacing), (rates, expected)


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(call=st.integers(1, 3).flatmap(calls))
def test_any_expression(call):
  policy, noisy = call.build(), 'with_noise' in names_of(call)

  # It is a value.
  assert parse(repr(policy)) == policy
  assert lrax.Schedule.from_dict(policy.to_dict()) == policy
  assert pickle.loads(pickle.dumps(policy)) == policy

  # It is its formula, compiled or not.
  eager = np.asarray(policy(STEPS))
  compiled = jax.jit(policy.value)(STEPS)
  if noisy:
    # Noise is a float32 of up to 1, computed in another order there: two ulp of 1.
    np.testing.assert_allclose(compiled, eager, rtol=0, atol=2.0**-22 * bound(call))
  else:
    same(compiled, eager, ulp=0)
    # float64 may round a number that is nearly between two float32 the other way.
    same(eager, truth(call, STEPS), ulp=0.5 + 1e-6)

  # It is within bounds, but for the rounding of the bound.
  assert eager.min() >= 0
  assert eager.max() <= np.nextafter(np.float32(bound(call)), np.float32(np.inf))

  # Its hyperparameters can be traced, all of them, and have gradients.
  floats = [np.float32(x) for x in call.numbers(float)]

  @jax.jit
  def total(floats):
    rates = call.replace(float, floats).build().value(STEPS)
    return jnp.sum(rates), rates

  gradients, rates = jax.jit(jax.grad(total, has_aux=True))(floats)
  assert all(np.isfinite(g) for g in gradients), gradients
  if noisy:
    assert np.all(np.isfinite(rates)) and np.min(rates) >= 0
  else:
    rounded = call.replace(float, [float(x) for x in floats])
    # Then it is float32 all through: some thirty roundings of half an ulp, of
    # numbers no larger than the bound.
    limit = 16 * 2.0**-23
    expected = truth(rounded, STEPS).astype(np.float32)
    np.testing.assert_allclose(rates, expected, limit, limit * bound(call))


def test_every_member_is_drawn_from():
  assert {*LEAVES, *COMBINATIONS} == set(MEMBERS) - {'by_progress', 'from_function'}
  assert OTHERS - {'by_progress'} <= set(COMBINATIONS)
