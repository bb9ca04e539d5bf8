"""Rules for another batch size: closed forms, identities, what they refuse."""

import math
from typing import Any

import numpy as np
import pytest

import lrax
from lrax.scale import linear_rule
from lrax.scale import noise_scale_rule
from lrax.scale import square_root_rule


def close(actual, expected):
  """Equal to the roundings of a few products and roots in float64."""
  np.testing.assert_allclose(actual, expected, rtol=1e-13)


# The linear rule.


def test_the_linear_rule_gives_the_papers_figures():
  """0.1 at 256 is 3.2 at 8,192, after five epochs of ImageNet."""
  rule = linear_rule(0.1, 256, 8192, 1_281_167)
  assert rule.value == {
      'init_value': 0.1, 'peak_value': pytest.approx(3.2), 'warmup_steps': 5 * 156
  }
  assert '32 times' in rule.reason and '780 updates' in rule.reason
  policy = lrax.warmup_constant(**rule.value)
  # float32 rates.
  np.testing.assert_allclose(policy(np.asarray([0, 780])), [0.1, 3.2], rtol=1e-6)


@pytest.mark.parametrize('new', [64, 128])
def test_no_warmup_where_the_batch_does_not_grow(new):
  rule = linear_rule(0.1, 128, new, 1000)
  assert rule.value['warmup_steps'] == 0
  assert rule.value['init_value'] == rule.value['peak_value'] == 0.1 * new / 128
  assert 'without a warmup' in rule.reason


# The square-root rule.


def test_the_square_root_rule_gives_figures_worked_out_elsewhere():
  """A recipe from batches of 448 to 3,200 that cites the paper's author."""
  rule = square_root_rule(1e-4, 448, 3200, b1=0.9, b2=0.96, eps=1e-8)
  assert rule.value == {
      'learning_rate': pytest.approx(0.00026726124, rel=1e-7),
      'b1': pytest.approx(0.28571429, rel=1e-7),
      'b2': pytest.approx(0.71428571, rel=1e-7),
      'eps': pytest.approx(3.7416574e-9, rel=1e-7),
  }


def test_memories_span_as_many_examples_as_before():
  """An average over 1 / (1 - b) batches; its examples are what the rule keeps."""
  value = square_root_rule(1e-3, 64, 320, b1=0.9, b2=0.99).value
  close(320 / (1 - value['b1']), 64 / (1 - 0.9))
  close(320 / (1 - value['b2']), 64 / (1 - 0.99))


def test_no_momentum_stays_none():
  assert square_root_rule(1e-3, 64, 640, b1=0.0).value['b1'] == 0.0


def test_the_arguments_are_those_of_adam():
  tx = lrax.adam(**square_root_rule(1e-3, 64, 256).value)
  state = tx.init({'w': np.ones(2, np.float32)})
  assert float(lrax.get_learning_rate(state)) == np.float32(2e-3)


@pytest.mark.parametrize('new', [2560, 10_000])
def test_a_batch_that_leaves_no_memory_is_refused(new):
  # 0.75 and its complement are exact, so that 4 times the batch is the limit.
  with pytest.raises(ValueError) as caught:
    square_root_rule(1e-3, 640, new, b1=0.75, b2=0.999)
  says = 'square_root_rule: `new_batch_size` must be below batch_size / (1 - b1) = 2560'
  assert str(caught.value).startswith(says)
  assert square_root_rule(1e-3, 640, 2559, b1=0.75).value['b1'] > 0


def test_the_second_memory_is_guarded_too():
  with pytest.raises(ValueError, match=r'batch_size / \(1 - b2\)'):
    square_root_rule(1e-3, 64, 6400, b1=0.0, b2=0.99)


# The noise scale.


def test_the_noise_scale_rule_is_the_papers_at_its_own_scale():
  """At the noise scale the rate is half of the largest."""
  rule = noise_scale_rule(0.27, 10**9, 96, noise_scale=96)
  # A batch of 1e9 is within 1e-7 of one without end.
  assert rule.value == pytest.approx(0.27 / 2, rel=1e-6)
  # Footnote 20 of the paper: 0.27 * B / (96 + B) for digits from SVHN.
  for batch in (8, 64, 512):
    value = noise_scale_rule(0.27 * 32 / (96 + 32), 32, batch, 96).value
    close(value, 0.27 * batch / (96 + batch))


def test_far_below_the_noise_scale_it_is_the_other_rules():
  # 1 + scale / B is scale / B to a part in 1e9.
  linear = noise_scale_rule(0.1, 32, 256, 1e12)
  assert linear.value == pytest.approx(0.8, rel=1e-8)
  root = noise_scale_rule(0.1, 32, 256, 1e12, exponent=0.5)
  assert root.value == pytest.approx(0.1 * math.sqrt(8), rel=1e-8)


def test_it_grows_with_the_batch_and_stays_below_its_limit():
  rates = [noise_scale_rule(0.1, 100, b, 1000).value for b in (1, 10, 100, 1000, 10**8)]
  assert all(a < b for a, b in zip(rates, rates[1:]))
  assert rates[2] == 0.1
  assert rates[-1] < 0.1 * 11
  assert rates[-1] == pytest.approx(0.1 * 11, rel=1e-4)  # 1000 / 1e8 below it
  assert 'more than 1.1' in noise_scale_rule(0.1, 100, 10, 1000).reason


# All of them.


RULES: Any = {
    'linear': lambda rate, old, new: linear_rule(rate, old, new, 10**6).value,
    'square root': lambda rate, old, new: square_root_rule(rate, old, new).value,
    'noise': lambda rate, old, new: noise_scale_rule(rate, old, new, 500).value,
    'noise, Adam': lambda r, old, new: noise_scale_rule(r, old, new, 500, 0.7).value,
}


def rate_of(value: Any) -> float:
  if isinstance(value, dict):
    return value['learning_rate' if 'learning_rate' in value else 'peak_value']
  return value


@pytest.mark.parametrize('rule', RULES)
def test_the_same_batch_changes_nothing(rule):
  value = RULES[rule](0.03, 96, 96)
  assert rate_of(value) == 0.03
  if rule == 'square root':
    assert (value['b1'], value['b2'], value['eps']) == (0.9, 0.999, 1e-8)


@pytest.mark.parametrize('rule', RULES)
def test_two_changes_are_one(rule):
  once = rate_of(RULES[rule](0.03, 96, 288))
  twice = rate_of(RULES[rule](rate_of(RULES[rule](0.03, 96, 192)), 192, 288))
  close(once, twice)
  back = rate_of(RULES[rule](once, 288, 96))
  close(back, 0.03)


def test_two_changes_of_all_of_adams_arguments_are_one():
  once = square_root_rule(1e-3, 32, 256).value
  half = square_root_rule(1e-3, 32, 64).value
  rest = {name: half[name] for name in ('b1', 'b2', 'eps')}
  twice = square_root_rule(half['learning_rate'], 64, 256, **rest).value
  for name, value in once.items():
    close(twice[name], value)


@pytest.mark.parametrize('rule', RULES)
def test_a_larger_batch_has_a_larger_rate(rule):
  rates = [rate_of(RULES[rule](0.03, 96, new)) for new in (24, 48, 96, 192, 384)]
  assert all(a < b for a, b in zip(rates, rates[1:]))


@pytest.mark.parametrize(
    'rule, arguments, error, says',
    [
        (linear_rule, (0.0, 8, 16, 100), ValueError, '`learning_rate`'),
        (linear_rule, (0.1, 0, 16, 100), ValueError, '`batch_size`'),
        (linear_rule, (0.1, 8, 1.5, 100), ValueError, '`new_batch_size`'),
        (linear_rule, (0.1, 8, 16, 15), ValueError, 'at most `examples` = 15'),
        (linear_rule, ('0.1', 8, 16, 100), TypeError, '`learning_rate`'),
        (square_root_rule, (-1, 8, 16), ValueError, '`learning_rate`'),
        (square_root_rule, (0.1, 8, 16, 1.0), ValueError, '`b1`'),
        (square_root_rule, (0.1, 8, 16, 0.9, 0.0), ValueError, '`b2`'),
        (square_root_rule, (0.1, 8, 16, 0.9, 0.999, -1), ValueError, '`eps`'),
        (noise_scale_rule, (0.1, 8, 16, 0), ValueError, '`noise_scale`'),
        (noise_scale_rule, (0.1, 8, 16, 9, 0.4), ValueError, '`exponent`'),
        (noise_scale_rule, (0.1, 8, 16, 9, 1.1), ValueError, '`exponent`'),
        (noise_scale_rule, (0.1, 8, None, 9), TypeError, '`new_batch_size`'),
    ],
)
def test_refuses(rule, arguments, error, says):
  with pytest.raises(error) as caught:
    rule(*arguments)
  assert says in str(caught.value)


def test_a_rule_prints_its_reason_and_that_it_is_contested():
  for rule in (
      linear_rule(0.1, 8, 16, 100),
      square_root_rule(0.1, 8, 16),
      noise_scale_rule(0.1, 8, 16, 9),
  ):
    assert str(rule) == f'{rule.reason} {rule.caveat}'
    assert 'Contested' in rule.caveat
    assert 'arXiv' in rule.source
