"""`@schedule`: what the decorator makes of a formula."""

import inspect
import pickle
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax import _checks

CALLS = []


@lrax.schedule
def recorded(step, init_value, decay_steps, shape=1.0, bend=False, end_value=None):
  """Writes down what the formula was given."""
  given = (init_value, decay_steps, shape, bend, end_value)
  CALLS.append((step, given))
  return init_value + 0.0 * step


def _ordered(owner, *, low_value, high_value):
  if isinstance(high_value, jax.core.Tracer):
    return  # a traced value has no value yet
  if low_value > high_value:
    raise ValueError(f'{owner}: `low_value` must be at most `high_value`.')


@lrax.schedule(high_value=_checks.positive, together=_ordered)
def between(step, low_value, high_value):
  return jnp.where(step % 2 == 0, low_value, high_value)


# --- the constructor ---------------------------------------------------------


def test_the_constructor_is_the_formula_without_its_step():
  signature = inspect.signature(recorded)
  assert list(signature.parameters) == [
      'init_value', 'decay_steps', 'shape', 'bend', 'end_value'
  ]
  assert signature.parameters['shape'].default == 1.0
  assert signature.return_annotation is lrax.Schedule
  assert recorded.__name__ == 'recorded' and recorded.__module__ == __name__
  assert recorded.__doc__ == 'Writes down what the formula was given.'


def test_the_annotations_of_every_constructor_resolve():
  """Tools that read types call this; a name that nothing defines breaks them."""
  for constructor in (lrax.constant, lrax.cyclical, lrax.join, between):
    assert typing.get_type_hints(constructor)['return'] is lrax.Schedule


@pytest.mark.parametrize(
    'hint', ['NameOfNothing', 'typing.NameOfNothing', 'a word or two', '"text" | 1']
)
def test_an_annotation_that_is_no_type_stays_as_it_is(hint):
  def formula(step, init_value):
    return init_value + 0.0 * step

  formula.__annotations__['init_value'] = hint
  constructor = lrax.schedule(formula)
  assert constructor.__annotations__['init_value'] == hint
  assert constructor(0.5)(0) == 0.5


def test_arguments_by_position_and_by_name_are_the_same():
  by_name = recorded(decay_steps=10, init_value=0.5, shape=1.0)
  assert recorded(0.5, 10) == by_name
  assert by_name.constructor is recorded
  assert by_name.arguments == {
      'init_value': 0.5,
      'decay_steps': 10,
      'shape': 1.0,
      'bend': False,
      'end_value': None,
  }


def test_a_schedule_of_ones_own_pickles_and_comes_back_from_a_dict():
  policy = between(0.25, 0.5)
  assert pickle.loads(pickle.dumps(policy)) == policy
  config = policy.with_warmup(3).to_dict()
  again = lrax.Schedule.from_dict(config, {'between': between})
  assert again == policy.with_warmup(3)
  with pytest.raises(ValueError, match='must be the name of a schedule'):
    lrax.Schedule.from_dict(config)


def test_parentheses_are_optional():
  assert lrax.schedule()(lambda step, value: value)(0.5)(0) == 0.5


# --- what the formula is given -----------------------------------------------


def test_the_formula_gets_steps_of_at_least_0_and_numbers_as_they_were():
  CALLS.clear()
  recorded(0.1, 10, bend=True)(np.array([[-5, 7]]))
  (step, given), = CALLS
  assert step.dtype == jnp.int32 and step.tolist() == [[0, 7]]
  # Python numbers stay as they are: 0.1 in double precision.
  assert given == (0.1, 10, 1.0, True, None)
  assert list(map(type, given[:2])) == [float, int]


def test_the_formula_gets_arrays_in_the_dtype_of_the_rate():
  for dtype in (jnp.bfloat16, jnp.float16, jnp.float32):
    CALLS.clear()
    rate = recorded(jnp.asarray(0.5, dtype), jnp.int8(10), jnp.asarray(2, dtype))(3)
    (_, (init_value, decay_steps, shape, _, _)), = CALLS
    assert init_value.dtype == shape.dtype == rate.dtype == jnp.float32
    assert decay_steps.dtype == jnp.int8


def test_the_formula_gets_float64_under_x64(x64):
  CALLS.clear()
  recorded(jnp.float32(0.5), 10)(3)
  assert CALLS[0][1][0].dtype == jnp.float64


# --- checks ------------------------------------------------------------------


@pytest.mark.parametrize(
    'arguments, error',
    [
        (dict(init_value=-0.5), ValueError),  # a rate
        (dict(init_value=True), TypeError),
        (dict(decay_steps=-1), ValueError),  # a length
        (dict(decay_steps=2.5), ValueError),
        (dict(shape=float('inf')), ValueError),  # a finite number
        (dict(bend=1), TypeError),  # a flag
        (dict(end_value=-0.5), ValueError),  # a rate that may be None
    ],
)
def test_arguments_are_checked_by_their_names(arguments, error):
  good = dict(init_value=0.5, decay_steps=10)
  assert recorded(**good, shape=-2.0, end_value=0.5).arguments['shape'] == -2.0
  with pytest.raises(error, match=f'^recorded: `{next(iter(arguments))}` must be'):
    recorded(**good | arguments)


def test_a_check_of_ones_own_replaces_the_one_by_name():
  assert between(0.0, 0.5)(1) == 0.5
  with pytest.raises(ValueError, match='^between: `high_value` must be .* > 0'):
    between(0.0, 0.0)


def test_a_check_of_arguments_together():
  with pytest.raises(ValueError, match='`low_value` must be at most'):
    between(0.5, 0.25)


def test_traced_values_pass_and_their_kinds_do_not():
  assert jax.jit(lambda x: between(0.0, x)(1))(-0.5) == -0.5
  with pytest.raises(TypeError, match='`high_value` must be a scalar'):
    jax.jit(lambda x: between(0.0, x)(1))(jnp.ones(3))


# --- steps -------------------------------------------------------------------


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.uint32, np.uint64])
def test_steps_may_be_unsigned(dtype):
  policy = lrax.linear(1.0, 0.0, steps=4)
  np.testing.assert_array_equal(policy(np.array([0, 1, 4], dtype)), [1, 0.75, 0])
  assert policy(dtype(1)) == 0.75
  assert policy(jnp.array(1, jnp.uint8)) == 0.75


def test_an_unsigned_step_past_the_clock_is_not_a_negative_one():
  """Either refused or the last step; not wrapped around to the rate of step 0."""
  policy = lrax.linear(1.0, 0.0, steps=4)
  try:
    rate = policy(jnp.array(2**31 + 5, jnp.uint32))
  except ValueError:
    return
  assert rate == 0.0


def test_a_step_past_the_clock_is_refused_or_the_last_under_x64(x64):
  policy = lrax.linear(1.0, 0.0, steps=4)
  try:
    rate = policy(jnp.array(2**31 + 5, jnp.int64))
  except ValueError:
    return
  assert rate == 0.0


def test_a_step_is_a_whole_number():
  policy = lrax.linear(1.0, 0.0, steps=4)
  assert policy(2.0) == policy(np.int8(2)) == policy(jnp.int32(2)) == 0.5
  for step in (0.5, float('nan'), True, None, 'one', np.ones(2), jnp.ones(())):
    with pytest.raises(TypeError, match='^linear: `step` must be a whole number'):
      policy(step)
  with pytest.raises(ValueError, match='`step` must be at most 2'):
    policy(2**31)


# --- mapped schedules --------------------------------------------------------


def test_a_mapped_schedule_is_a_value_too():
  """`jax.vmap` over a constructor gives one schedule with a number for each."""
  one = jax.vmap(lrax.constant)(jnp.array([0.25, 0.5]))
  two = jax.vmap(lrax.constant)(jnp.array([0.25, 0.5]))
  assert one == two and hash(one) == hash(two)
  assert one != jax.vmap(lrax.constant)(jnp.array([0.25, 0.75]))
  np.testing.assert_array_equal(jax.vmap(lambda p: p(3))(one), [0.25, 0.5])


def test_to_dict_of_a_mapped_schedule_says_what_is_wrong():
  mapped = jax.vmap(lrax.constant)(jnp.array([0.25, 0.5]))
  with pytest.raises(ValueError, match='^constant: `value` must be'):
    mapped.to_dict()


# --- the class ---------------------------------------------------------------


def test_jit_of_the_schedule_itself_fails_as_documented():
  policy = lrax.constant(0.5)
  with pytest.raises(TypeError, match='weak reference'):
    jax.jit(policy)(3)
  assert jax.jit(policy.value)(3) == 0.5


def test_a_dict_written_by_hand():
  config = {
      'schedule': 'with_warmup',
      'arguments': {
          'schedule': {
              'schedule': 'cosine_annealing',
              'arguments': {'init_value': 0.1, 'steps': 100},
          },
          'steps': 10,
      },
  }
  policy = lrax.cosine_annealing(0.1, steps=100).with_warmup(10)
  assert lrax.Schedule.from_dict(config) == policy


def test_equal_numbers_of_different_kinds_are_equal():
  assert lrax.constant(1) == lrax.constant(1.0) == lrax.constant(jnp.float32(1))
  assert hash(lrax.constant(1)) == hash(lrax.constant(jnp.float32(1)))
