"""The step law: its closed form, its exponents, and where it warns."""

import math
import warnings

import pytest

from lrax.scale import step_law


def test_the_closed_form():
  """By logarithms to base 10, at 1e9 parameters and 1e11 tokens."""
  law = step_law(1e9, 1e11).value
  exponent = math.log10(1.79) - 0.713 * 9 + 0.307 * 11
  assert law['learning_rate'] == pytest.approx(10**exponent, rel=1e-12)
  assert law['batch_tokens'] == round(10 ** (math.log10(0.58) + 0.571 * 11))


def test_the_published_fits_agree():
  """The mean of the authors' 1,000 bootstrap fits, from their repository."""
  law = step_law(5e8, 2e10).value
  rate = math.exp(0.58631) * 5e8**-0.712922 * 2e10**0.307491
  batch = math.exp(-0.54354) * 2e10**0.570944
  # The paper rounds: exponents by up to 0.0005, of numbers of e**20 and e**24,
  # and coefficients by 0.005; at most a part in 40 together.
  assert law['learning_rate'] == pytest.approx(rate, rel=0.025)
  assert law['batch_tokens'] == pytest.approx(batch, rel=0.025)


def test_a_larger_model_wants_less_and_more_data_more():
  base = step_law(3e8, 1e10).value
  larger = step_law(6e8, 1.1e10).value
  longer = step_law(3e8, 2e10).value
  assert larger['learning_rate'] < base['learning_rate'] < longer['learning_rate']
  assert longer['batch_tokens'] / base['batch_tokens'] == pytest.approx(
      2**0.571, rel=1e-5  # a whole number of about 3e5
  )


def test_the_batch_does_not_depend_on_the_model():
  assert (
      step_law(3e8, 2e10).value['batch_tokens']
      == step_law(1e9, 2e10).value['batch_tokens']
  )


@pytest.mark.parametrize('parameters, tokens', [(2.15e8, 4e9), (1.07e9, 5.69e10)])
def test_no_warning_for_what_was_fitted(parameters, tokens):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert 'outside' not in str(step_law(parameters, tokens))


@pytest.mark.parametrize(
    'parameters, tokens, says',
    [
        (7e9, 1.4e11, r'7e\+09 parameters'),
        (1e8, 4e9, r'1e\+08 parameters'),
        (1e9, 2e11, r'2e\+11 tokens \(4e\+09 to 1e\+11\)'),
        (2.2e8, 3.9e9, 'tokens'),
        (1e9, 1e10, '10 tokens a parameter'),
    ],
)
def test_it_warns_outside_of_what_was_fitted(parameters, tokens, says):
  with pytest.warns(UserWarning, match=f'step_law: This is outside.*{says}') as seen:
    law = step_law(parameters, tokens)
  assert seen[0].filename == __file__
  assert 'outside of the runs' in law.caveat


@pytest.mark.parametrize(
    'arguments, error',
    [((0, 1e9), ValueError), ((1e9, -1), ValueError), (('1B', 1e9), TypeError)],
)
def test_refuses(arguments, error):
  with pytest.raises(error, match='step_law: `(parameters|tokens)` must be'):
    step_law(*arguments)
