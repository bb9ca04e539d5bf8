"""muP: its tables, and that updates keep their size from width to width."""

import numpy as np
import pytest

from lrax.scale import mup

BASE, WIDE, RATE = 128, 1024, 1e-3
OPTIMIZERS = ('adam', 'sgd')
INPUTS, SLOPE = np.random.default_rng(0).normal(size=(2, 4, 16))
# The gradient with respect to the output, which is then the same for all widths.
SLOPE = SLOPE[:, :3]


def start(seed, width, table):
  """A network of two hidden layers; the output weights start as the rule says."""
  rng = np.random.default_rng(seed)
  normal = lambda n, m: rng.normal(size=(n, m)) / np.sqrt(n)
  return {
      'input': normal(16, width),
      'bias': np.zeros(width),
      'hidden': normal(width, width),
      'output': normal(width, 3) * (width / BASE) ** (0.5 if table == 8 else -0.5),
      'output_bias': np.zeros(3),
  }


def forward(params, multiplier):
  """What the layers give: both hidden ones after tanh, and the output."""
  first = np.tanh(INPUTS @ params['input'] + params['bias'])
  second = np.tanh(first @ params['hidden'])
  return first, second, multiplier * second @ params['output'] + params['output_bias']


def backward(params, multiplier):
  """The gradient of the sum of SLOPE times the output."""
  first, second, _ = forward(params, multiplier)
  at_second = multiplier * SLOPE @ params['output'].T * (1 - second**2)
  at_first = at_second @ params['hidden'].T * (1 - first**2)
  return {
      'input': INPUTS.T @ at_first,
      'bias': at_first.sum(0),
      'hidden': first.T @ at_second,
      'output': multiplier * second.T @ SLOPE,
      'output_bias': SLOPE.sum(0),
  }


def first_update(optimizer, width, table, seeds=8):
  """How far the first update moves each layer, for some seeds.

  By layer, what its own weights' update adds to what it gives, and last how far
  all updates together move the output. Adam's first update is the sign.
  """
  multiplier = BASE / width if table == 8 else 1.0
  factors = mup(width, BASE, optimizer, output_multiplier=table == 8).value
  moved = []
  for seed in range(seeds):
    params = start(seed, width, table)
    updates = {
        name: -RATE * factors[name] * (np.sign(g) if optimizer == 'adam' else g)
        for name, g in backward(params, multiplier).items()
    }
    first, second, output = forward(params, multiplier)
    after = {name: params[name] + updates[name] for name in params}
    moved.append({
        'input': INPUTS @ updates['input'],
        'bias': updates['bias'],
        'hidden': first @ updates['hidden'],
        'output': multiplier * second @ updates['output'],
        'output_bias': updates['output_bias'],
        'network': forward(after, multiplier)[2] - output,
    })
  return {name: np.stack([m[name] for m in moved]) for name in moved[0]}


def test_the_gradient_is_one():
  params = start(0, BASE, 8)
  gradient = backward(params, 0.5)
  loss = lambda params: np.sum(SLOPE * forward(params, 0.5)[2])
  for name, g in gradient.items():
    step = 1e-6 * np.random.default_rng(1).normal(size=g.shape)
    up, down = ({**params, name: params[name] + s} for s in (step, -step))
    # Central differences: roundings of 1e-16 over steps of 1e-6.
    expected = (loss(up) - loss(down)) / 2
    np.testing.assert_allclose(np.sum(g * step), expected, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_the_first_update_is_as_large_in_a_wide_network(optimizer):
  size = lambda width: {
      name: float(np.sqrt(np.mean(x**2)))
      for name, x in first_update(optimizer, width, 3).items()
  }
  narrow, wide = size(BASE), size(WIDE)
  for name, value in narrow.items():
    # A mean over 128 random units wavers by about a tenth; over eight seeds and
    # four inputs by less. A wrong factor would be off by 8.
    assert wide[name] == pytest.approx(value, rel=0.15), name


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_both_tables_train_the_same_network(optimizer):
  """A multiplier of 1 / k is what smaller weights and rates are without it."""
  plain, multiplied = (first_update(optimizer, WIDE, table, 1) for table in (3, 8))
  for name, x in plain.items():
    # float64 sums of 1,024 terms; 'network' is a difference of numbers that are
    # about a thousand times as large.
    np.testing.assert_allclose(
        multiplied[name], x, rtol=1e-9, atol=1e-12 * np.abs(x).max(), err_msg=name
    )


TABLES = {
    # input, bias, hidden, output, output_bias, of k = 4
    ('adam', False): (1.0, 1.0, 0.25, 0.25, 1.0),
    ('adam', True): (1.0, 1.0, 0.25, 1.0, 1.0),
    ('sgd', False): (4.0, 4.0, 1.0, 0.25, 1.0),
    ('sgd', True): (4.0, 4.0, 1.0, 4.0, 1.0),
}


@pytest.mark.parametrize('optimizer, multiplier', TABLES)
def test_the_factors_are_the_papers(optimizer, multiplier):
  rule = mup(1024, 256, optimizer, multiplier)
  names = ('input', 'bias', 'hidden', 'output', 'output_bias')
  assert tuple(rule.value[name] for name in names) == TABLES[optimizer, multiplier]
  assert rule.source.endswith('table 8' if multiplier else 'table 3')


@pytest.mark.parametrize('optimizer, multiplier', TABLES)
def test_the_base_width_changes_nothing(optimizer, multiplier):
  assert set(mup(96, 96, optimizer, multiplier).value.values()) == {1.0}


@pytest.mark.parametrize('optimizer, multiplier', TABLES)
def test_two_changes_are_one(optimizer, multiplier):
  rule = lambda width, base: mup(width, base, optimizer, multiplier).value
  once, half, rest = rule(768, 128), rule(256, 128), rule(768, 256)
  for name, factor in once.items():
    assert half[name] * rest[name] == pytest.approx(factor, rel=1e-15)


def test_the_reason_says_how_to_start_the_output():
  assert 'start at 0 or 0.5 times' in str(mup(1024, 256))
  assert 'has no multiplier' in str(mup(1024, 256))
  multiplied = str(mup(1024, 256, output_multiplier=True))
  assert 'start at 0 or 2 times' in multiplied
  assert 'is multiplied by 0.25' in multiplied


@pytest.mark.parametrize(
    'arguments, error, says',
    [
        ((0, 256), ValueError, '`width`'),
        ((256, 0.5), ValueError, '`base_width`'),
        (('256', 256), TypeError, '`width`'),
        ((256, 256, 'adma'), ValueError, "did you mean 'adam'"),
        ((256, 256, 'adam', 1), TypeError, '`output_multiplier`'),
    ],
)
def test_refuses(arguments, error, says):
  with pytest.raises(error) as caught:
    mup(*arguments)
  assert str(caught.value).startswith('mup: `')
  assert says in str(caught.value)
