"""Rates that differ from layer to layer, and the table of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.groups import describe
from lrax.groups import discriminative
from lrax.groups import frozen
from lrax.groups import layerwise_decay
from lrax.groups import param_groups
from lrax.groups import unfrozen_at


def network(blocks=11):
  """More than ten blocks, so that the order of names is not that of numbers."""
  block = lambda: {'w': jnp.ones((2, 2)), 'bias': jnp.ones(2)}
  return {
      'embed': {'w': jnp.ones(3)},
      'blocks': [block() for _ in range(blocks)],
      'norm': jnp.ones(2),
      'head': {'w': jnp.ones(2)},
  }


LAYERS = ['embed', r'blocks/(\d+)', 'norm|head']


def test_the_rate_falls_by_the_same_share_a_layer():
  tx = layerwise_decay(0.5, LAYERS, lrax.sgd(1.0))
  params = network()
  state = tx.init(params)
  updates, state = jax.jit(tx.update)(params, state, params)
  depth = 12  # embed is 0, blocks 1 to 11, the rest 12
  expected = {f'blocks/{i}': 0.5 ** (depth - 1 - i) for i in range(11)}
  expected |= {'embed': 0.5**depth, 'norm|head': 1.0}
  found = lrax.get_learning_rate(state)
  assert {k: float(v) for k, v in found.items()} == expected
  assert float(updates['embed']['w'][0]) == -(0.5**12)
  assert float(updates['norm'][0]) == float(updates['head']['w'][0]) == -1.0
  for i, block in enumerate(updates['blocks']):
    assert float(block['w'][0, 0]) == float(block['bias'][0]) == -(0.5 ** (11 - i))


def test_layers_equal_separate_optimizers():
  params = {'a': jnp.array([1.0, -2.0]), 'b': jnp.array([0.5]), 'c': jnp.array([3.0])}
  line = lrax.linear(0.5, 0.0, steps=8)
  tx = layerwise_decay(0.7, ['a', 'b', 'c'], lrax.adamw(line))
  separate = optax.partition(
      {k: lrax.adamw(line * 0.7 ** (2 - i)) for i, k in enumerate('abc')},
      {k: k for k in 'abc'},
  )
  states = tx.init(params), separate.init(params)
  for step in range(5):
    grads = jax.tree.map(lambda p, s=step: p * (1 + s), params)
    ours, one = tx.update(grads, states[0], params)
    theirs, two = separate.update(grads, states[1], params)
    states = one, two
    for name in params:
      # the same product in another order: two roundings of 6e-8
      np.testing.assert_allclose(ours[name], theirs[name], rtol=3e-7)


def test_a_number_within_a_name_and_gaps():
  params = {
      'encoder': {'layer_2': jnp.ones(1), 'layer_10': jnp.ones(1)}, 'head': jnp.ones(1)
  }
  layers = [r'encoder/layer_(\d+)', 'head']
  state = layerwise_decay(0.5, layers, lrax.sgd(1.0)).init(params)
  assert {k: float(v) for k, v in lrax.get_learning_rate(state).items()} == {
      'encoder/layer_2': 0.25, 'encoder/layer_10': 0.5, 'head': 1.0
  }


def test_one_string_is_all_the_layers():
  params = [jnp.ones(1), jnp.ones(1), jnp.ones(1)]
  state = layerwise_decay(0.5, r'(\d+)', lrax.sgd(1.0)).init(params)
  assert {k: float(v) for k, v in lrax.get_learning_rate(state).items()} == {
      '0': 0.25, '1': 0.5, '2': 1.0
  }


def test_discriminative_rates_are_evenly_spread_by_ratio():
  params = {k: jnp.ones(1) for k in 'abcde'}
  tx = discriminative(1 / 16, 1.0, list('abcde'), lrax.sgd(0.5))
  rates = lrax.get_learning_rate(tx.init(params))
  assert [float(rates[k]) for k in 'abcde'] == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2]
  rising = discriminative(1.0, 0.25, list('abc'), lrax.sgd(0.5))
  rates = lrax.get_learning_rate(rising.init({k: params[k] for k in 'abc'}))
  assert [float(rates[k]) for k in 'abc'] == [0.5, 0.25, 0.125]
  alone = discriminative(0.25, 2.0, 'a', lrax.sgd(0.5)).init({'a': params['a']})
  assert float(lrax.get_learning_rate(alone)) == 1.0


def test_an_empty_tree():
  tx = layerwise_decay(0.5, LAYERS, lrax.adamw(0.1))
  assert tx.update({}, tx.init({}), {})[0] == {}


@pytest.mark.parametrize(
    'call, error, message',
    [
        (lambda: layerwise_decay(0.0, LAYERS, lrax.sgd(1.0)), ValueError,
         'layerwise_decay: `decay` must be a finite number > 0'),
        (lambda: layerwise_decay(0.5, [], lrax.sgd(1.0)), TypeError,
         'layerwise_decay: `layers` must be a pattern or a list'),
        (lambda: layerwise_decay(0.5, [r'(a)/(\d)'], lrax.sgd(1.0)), ValueError,
         r'`layers\[0\]` must be a pattern with at most one capturing group'),
        (lambda: layerwise_decay(0.5, ['a', r'(\w+).*'], lrax.sgd(1.0)).init(
            {'a': 1.0, 'b': 1.0}), ValueError,
         "`layers` must capture whole numbers, got 'b' from 'b'"),
        (lambda: layerwise_decay(0.5, [r'blocks/(\d+)'], lrax.sgd(1.0)).init(
            network()), ValueError,
         "`layers` must have a pattern for every parameter, got none for 'embed/w'"),
        (lambda: layerwise_decay(0.5, [*LAYERS, 'tail'], lrax.sgd(1.0)).init(
            network()), ValueError, "got 'tail', which matches none"),
        (lambda: layerwise_decay(
            0.5, [r'b/(\d+)/w', r'b/(\d+)/v'], lrax.sgd(1.0)
        ).init({'b': [{'w': 1.0, 'v': 1.0}]}), ValueError,
         r"`layers` must give each layer another name, got \['b/0', 'b/0'\]"),
        (lambda: discriminative(0.0, 1.0, LAYERS, lrax.sgd(1.0)), ValueError,
         'discriminative: `first_factor` must be a finite number > 0'),
        (lambda: discriminative(1.0, -1.0, LAYERS, lrax.sgd(1.0)), ValueError,
         'discriminative: `last_factor` must be a finite number > 0'),
        (lambda: describe({}, lrax.sgd(1.0)), TypeError,
         'describe: `groups` must be what a function of lrax.groups returned'),
    ],
)
def test_bad_calls(call, error, message):
  with pytest.raises(error, match=message):
    call()


def test_the_table(capsys):
  params = {
      'embed': jnp.ones(2), 'body': [jnp.ones((2, 3)), jnp.ones(())], 'head': 1.0
  }
  rules = [
      ('embed', frozen),
      ('body/0', unfrozen_at(5, 0.5)),
      ('body', lrax.linear(0.25, 0.0, steps=8)),
      ('.*', 0.1),
  ]
  tx = param_groups(rules, lrax.adamw(0.5))
  describe(params, tx)
  expected = """\
path    shape   group   factor                        rate
body/0  (2, 3)  body/0  unfrozen_at(5, 0.5)           0
body/1  ()      body    linear(0.25, end_value=0.0, steps=8)    0.25
embed   (2,)    embed   frozen                        0
head    ()      .*      0.1                           0.05
"""
  printed = capsys.readouterr().out
  rows = lambda text: [line.split('  ') for line in text.splitlines()]
  strip = lambda rows: [[c.strip() for c in row if c.strip()] for row in rows]
  assert strip(rows(printed)) == strip(rows(expected))
  describe(jax.eval_shape(lambda: params | {'head': jnp.float32(1)}), tx)
  assert capsys.readouterr().out == printed
