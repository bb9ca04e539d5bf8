"""`parse`: what an expression may say, and that nothing else is ever run."""

import os
import re

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import members
import numpy as np
import pytest

import lrax
from lrax.schedules import by_progress
from lrax.schedules import maximum
from lrax.schedules import minimum
from lrax.schedules import parse


def _serializable():
  """A sample of every member that goes to a dict, closed loop too."""
  for sample in members.schedule_samples():
    try:
      policy = sample.build()
      policy.to_dict()
    except ValueError:  # made of a function
      continue
    yield pytest.param(policy, id=sample.id)


SERIALIZABLE = list(_serializable())


def test_most_members_are_serializable():
  """Else the round trips below would show nothing."""
  kinds = {parameter.values[0].constructor for parameter in SERIALIZABLE}
  all_kinds = {*members.SCHEDULES, *members.COMBINATIONS}
  assert {f.__name__ for f in all_kinds - kinds} == {'from_function'}


@pytest.mark.parametrize('policy', SERIALIZABLE)
def test_a_schedule_comes_back_from_what_it_prints_as(policy):
  assert parse(repr(policy)) == policy


# Random expressions. No rate is evaluated: constructors only check and keep.

RATES = st.floats(0, 1e30)
LENGTHS = st.integers(1, 2**31 - 1)
LEAVES = st.one_of(
    st.builds(lrax.constant, RATES),
    st.builds(lrax.linear, RATES, RATES, LENGTHS),
    st.builds(
        lrax.warm_restarts, RATES, LENGTHS, st.integers(1, 5),
        st.floats(1e-3, 2), RATES, st.none() | LENGTHS,
    ),
)


def _larger(parts):
  numbers = st.floats(0, 1e6)
  either = st.tuples(parts, numbers | parts).flatmap(st.permutations)
  return st.one_of(
      either.map(lambda pair: pair[0] * pair[1]),
      either.map(lambda pair: pair[0] + pair[1]),
      either.map(lambda pair: minimum(*pair)),
      either.map(lambda pair: maximum(*pair)),
      st.builds(
          lrax.Schedule.with_warmup, parts, LENGTHS, RATES,
          st.sampled_from(['linear', 'cosine', 'sqrt']),
      ),
      st.builds(lrax.Schedule.cooldown, parts, LENGTHS, LENGTHS),
      st.builds(lrax.Schedule.then, parts, parts, LENGTHS),
      st.builds(lrax.Schedule.repeat, parts, LENGTHS, st.none() | LENGTHS),
      st.builds(lrax.Schedule.shift, parts, st.integers(-(2**31) + 1, 2**31 - 1)),
      st.builds(lrax.Schedule.stretch, parts, st.floats(1e-6, 1e6)),
      st.builds(lrax.Schedule.every, parts, LENGTHS),
      st.builds(lrax.Schedule.clip, parts, st.floats(0, 1), st.floats(1, 2)),
      st.builds(lrax.Schedule.with_noise, parts, st.integers(0, 2**32 - 1)),
      st.builds(by_progress, parts, LENGTHS),
      st.builds(lambda a, b, n: lrax.join([a, b, a], [0, n]), parts, parts, LENGTHS),
  )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.recursive(LEAVES, _larger, max_leaves=8))
def test_a_random_expression_comes_back_from_what_it_prints_as(policy):
  assert parse(repr(policy)) == policy


# What may be written.


@pytest.mark.parametrize(
    'text, policy',
    [
        ('lrax.constant(0.1)', lrax.constant(0.1)),
        ('lrax.schedules.constant(.1)', lrax.constant(0.1)),
        ('lrax.schedules.minimum(constant(1), 0.5)', minimum(lrax.constant(1), 0.5)),
        (' \tlinear( 1,\n  end_value=0,\n steps=4 )\n', lrax.linear(1, 0, 4)),
        ('constant(1) # a peak', lrax.constant(1)),
        ('(constant(1))', lrax.constant(1)),
        ('linear(1, 0, 10 * 1_000)', lrax.linear(1, 0, 10_000)),
        ('linear(1, 0, 2**10)', lrax.linear(1, 0, 1024)),
        ('linear(1, 0, 90 // 7 + 1 - 2)', lrax.linear(1, 0, 11)),
        ('linear(1e-3, 3e-3 / 2, 0x10)', lrax.linear(1e-3, 1.5e-3, 16)),
        ('constant(-(-1))', lrax.constant(1)),
        ('constant(+2**-1)', lrax.constant(0.5)),
        ('constant(0.1).shift(-3)', lrax.constant(0.1).shift(-3)),
        ('constant(1).repeat(2, None)', lrax.constant(1).repeat(2)),
        ('swa_tail(0.1, 100, 0.05)', lrax.schedules.swa_tail(0.1, 100, 0.05)),
        ('step_decay(1.0, .5, 10)', lrax.step_decay(1.0, 0.5, 10)),
        ('2 * 3 * constant(1)', 6 * lrax.constant(1)),
        ('constant(1) * 2 * 3', lrax.constant(1) * 2 * 3),
        ('constant(1) + constant(2) * 3', lrax.constant(1) + lrax.constant(2) * 3),
        ('(constant(1) + 2) * 3', (lrax.constant(1) + 2) * 3),
        ('join((constant(1), constant(2)), [3])',
         lrax.join([lrax.constant(1), lrax.constant(2)], [3])),
        ("constant(1).with_warmup(9, shape='cos' 'ine')",
         lrax.constant(1).with_warmup(9, shape='cosine')),
        ('exponential_decay(0.1, 0.5, 10, staircase=True)',
         lrax.exponential_decay(0.1, 0.5, 10, staircase=True)),
        ('constant(1).then(following=constant(2), at=3)',
         lrax.constant(1).then(lrax.constant(2), 3)),
    ],
)
def test_an_expression_is_what_python_makes_of_it(text, policy):
  assert parse(text) == policy


def test_numbers_keep_their_kind_and_their_digits():
  huge = 2**31 - 1
  policy = parse(f'linear(0.1, 0.30000000000000004, {huge})')
  assert policy.arguments == {
      'init_value': 0.1, 'end_value': 0.30000000000000004, 'steps': huge
  }
  assert type(policy.arguments['steps']) is int


def test_your_own_constructors_are_known_where_you_give_them():
  @lrax.schedule
  def halves(step, init_value):
    return init_value * 0.5**step

  policy = parse('0.5 * halves(2.0).with_warmup(3)', {'halves': halves})
  assert policy == 0.5 * halves(2.0).with_warmup(3)
  with pytest.raises(ValueError, match="got 'halves' at character 7"):
    parse('0.5 * halves(2.0)')


# What is refused, and that it did nothing.

HOSTILE = [
    "__import__('os').system('touch {0}')",
    "constant(__import__('os').system('touch {0}'))",
    "constant(1).then(open('{0}', 'w'), 3)",
    "constant(1).__class__.__init__.__globals__['os'].system('touch {0}')",
    "(lambda: open('{0}', 'w'))()",
    "[open('{0}', 'w') for _ in [1]]",
    "{{open('{0}', 'w')}}",
    "constant(value=open('{0}', 'w'))",
    "constant(*[open('{0}', 'w')])",
    "constant(**open('{0}', 'w'))",
    "f'{{open(\"{0}\", \"w\")}}'",
    "(x := open('{0}', 'w'))",
    "open('{0}', 'w') or constant(1)",
    "constant(1) if open('{0}', 'w') else 1",
    "exec('open(\"{0}\", \"w\")')",
    "eval('open(\"{0}\", \"w\")')",
    "import os; os.system('touch {0}')",
    "constant(1)\nopen('{0}', 'w')",
    "constant(1)) + open('{0}', 'w'",
    "builtins.open('{0}', 'w')",
    "lrax.os.system('touch {0}')",
    "lrax.schedules._parse._expression.ast.sys.exit()",
    "open.__call__('{0}', 'w')",
    "linear.__init__.__globals__",
    "linear.__call__(1, 0, 3)",
    'lrax.schedules.from_function(print)',
    'lrax.tune.find(1)',
    'lrax.state.report(1, 2)',
    'constant(steps_for(1, 10, 1))',
    'lrax.control.should_stop(constant(1))',
    'lrax.Schedule(1, 2, 3)',
    'schedule(constant)',
    "parse('constant(1)')",
    '().__class__',
    "''.join([])",
    '"{{0.__class__}}".format(1)',
    '(1).__add__(2)',
    '[constant(1)][0]',
    '[constant(1)].append(constant(2))',
    'constant(1).init()',
    'constant(1).update(1)',
    'constant(1).value(3)',
    'constant(1).to_dict()',
    "constant(1).from_dict({{'schedule': 'constant'}})",
    'constant(1)(3)',
    'constant(1).arguments',
    'constant',
    'x',
    '0.1',
    "'constant(1)'",
    '[constant(1)]',
    'None',
    '',
    '   ',
    '\n',
    '\0',
    'constant(\ud800)',
    'constant(1',
    'constant(1))',
    'constant(...)',
    'constant(1j)',
    "constant(b'1')",
    'constant(1 < 2)',
    'constant(not 1)',
    'constant(~1)',
    'constant(1 % 2)',
    'constant(1 << 2)',
    'constant(True + 1)',
    "constant('a' * 3)",
    'join([constant(1)] * 3, [1, 2])',
    'constant({{1: 2}})',
    'constant({{1}})',
    'constant((yield))',
    'constant(await x)',
    'True * constant(1)',
    'None + constant(1)',
    '[1] + constant(1)',
    '-constant(1)',
    'constant(1) - constant(2)',
    'constant(1) / 2',
    'constant(1) ** 2',
    'constant(1) @ constant(2)',
    'constant(1) and constant(2)',
    'constant(value=1, value=2)',
    'constant(1 // 0)',
    'constant(0 ** -1)',
    'constant((-8) ** 0.5)',
    # Numbers and texts that are large, or would be.
    'constant(9**9**9)',
    'constant(9**99999999)',
    'constant(2.0**9999)',
    'constant(10**30 * 10**30)',
    'constant((10**38)**(10**38))',
    'constant(1e999)',
    'constant(1e999 - 1e999)',
    'constant(1' + '0' * 39 + ')',
    'constant(1' + '0' * 5000 + ')',
    'constant(0x' + 'f' * 5000 + ')',
    '-' * 9_000 + '1',
    '(' * 5_000,
    '[' * 150 + ']' * 150,
    'constant(1)' + '.clip()' * 1_000,
    'constant(1)' + ' + 1' * 2_000,
    'constant(' + '2**' * 3_000 + '2)',
    'a' + '.a' * 4_000,
    'constant(1) #' + ' ' * 10_000,
]


@pytest.mark.parametrize('text', HOSTILE, ids=lambda text: ascii(text[:40]))
def test_anything_else_is_refused_and_nothing_is_run(text, tmp_path):
  file = tmp_path / 'made'
  # Every text is formatted, so that braces that are meant are written twice.
  with pytest.raises(ValueError, match='^parse: `text` must') as caught:
    parse(text.format(file))
  assert not os.path.exists(file)
  message = str(caught.value)
  assert len(message) < 400 and message.endswith('.') and '\n' not in message


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=30) | st.lists(st.sampled_from([
    'constant', '(', ')', '1', '.1', '0.5', ',', '=', '*', '**', '+', '-', '.', '[',
    ']', 'linear', 'with_warmup', 'value', 'clip', '"', 'lrax', ' ', '\n', 'None',
])).map(''.join))
def test_any_other_text_is_a_schedule_or_an_error_made_for_people(text):
  try:
    assert isinstance(parse(text), lrax.Schedule)
  except (TypeError, ValueError) as error:
    assert re.match(r'\w+(\(.*\))?: ', str(error))


@pytest.mark.parametrize(
    'text, says',
    [
        ('cosine_anealing(0.1, 9)',
         "got 'cosine_anealing' at character 1; did you mean 'cosine_annealing'."),
        ('  2 * lrax.lineer(1, 0, 9)',
         "got 'lrax.lineer' at character 7; did you mean 'lrax.linear'."),
        ('linear(1, 0, 9).with_warmpu(3)',
         "got 'linear(1, 0, 9).with_warmpu' at character 1; did you mean"
         " 'with_warmup'."),
        ('constant(1).value(3)', 'the methods are clip, cooldown, every, repeat, '),
        ('constant(1) * linear', "'linear' at character 15; write its arguments in"),
        ('constant(1).then(x, 3)', "got 'x' at character 18;"),
        ("join(['é', y], [3])", "got 'y' at character 12;"),
        ('constant(\n  1) + (\n    y)', "got 'y' at character 5 of line 3;"),
        ('constant(1', "at character 9; '(' was never closed."),
        ('constant(9**99)', "got '9**99' at character 10; they end at 3.4e38."),
        ('0.1 + 0.2', "must be a schedule, got '0.1 + 0.2' at character 1; for ex"),
        ('0.5.with_warmup(3)', "got '0.5' at character 1; write a number as const"),
        ('join([' + 'constant(1), ' * 20 + 'x])', "got 'x' at character 267;"),
        ('(' * 60 + 'x' * 80 + ')' * 60, "got '" + 'x' * 57 + "...' at character 61;"),
    ],
)
def test_the_error_names_the_piece_and_its_place(text, says):
  with pytest.raises(ValueError) as caught:
    parse(text)
  assert says in str(caught.value)


@pytest.mark.parametrize(
    'text, error, says',
    [
        ('linear(1, 0, steps=-3)', ValueError, 'linear: `steps` must be'),
        ('linear(1, 0, stepz=3)', TypeError, 'linear(init_value, end_value, steps)'),
        ('linear(1)', TypeError, 'missing a required argument'),
        ("constant('high')", TypeError, 'constant: `value` must be'),
        ("constant(1).with_warmup(3, shape='cosin')", ValueError, "mean 'cosine'"),
        ('constant(1) * -1', ValueError, 'product: `right` must be'),
        ('from_function(constant(1))', TypeError, 'from_function: `function` must'),
    ],
)
def test_what_a_constructor_refuses_it_says_itself(text, error, says):
  with pytest.raises(error) as caught:
    parse(text)
  assert says in str(caught.value)


@pytest.mark.parametrize('text', [None, 0.1, b'constant(1)', lrax.constant(0.1)])
def test_what_is_no_text_is_refused(text):
  with pytest.raises(TypeError, match='^parse: `text` must be a string, got'):
    parse(text)


def test_a_config_file_of_another_scale_gives_the_same_rates():
  """From text to numbers: the value is that of the schedule written in Python."""
  policy = parse('warm_restarts(0.1, 100).with_warmup(10)')
  steps = np.arange(300)
  expected = lrax.warm_restarts(0.1, cycle_steps=100).with_warmup(10)(steps)
  np.testing.assert_array_equal(policy(steps), expected)
