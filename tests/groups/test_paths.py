"""Paths of every kind of tree, and which pattern takes them."""

from __future__ import annotations

import collections
import pickle
import re

import equinox as eqx
from flax import nnx
import flax.core
import haiku as hk
import jax
import jax.numpy as jnp
import optax
import pytest

import lrax
from lrax.groups import frozen
from lrax.groups import param_groups

Pair = collections.namedtuple('Pair', 'left right')


class CallableModule(eqx.Module):
  """A module that can be called, with a leaf that is no array in it."""

  inner: eqx.nn.Linear
  blocks: list[jax.Array]

  def __call__(self, x):
    return self.inner(x)


def moved(tree, updates):
  """The paths of the leaves that got an update, as an independent walk names them."""
  del tree
  return {
      jax.tree_util.keystr(path, simple=True, separator='/')
      for path, leaf in jax.tree_util.tree_leaves_with_path(updates)
      if jnp.any(leaf != 0)
  }


def trees():
  one = jnp.ones(2)
  linear = hk.transform(lambda x: hk.nets.MLP([2, 2])(x))
  return {
      'dict': ({'a': {'w': one}, 'b': one}, 'a/w'),
      'list': ({'a': [one, {'w': one}]}, 'a/1/w'),
      'tuple': ((one, (one, one)), '1/0'),
      'namedtuple': (Pair(one, {'w': one}), 'right/w'),
      'frozendict': (flax.core.freeze({'a': {'w': one}, 'b': one}), 'a/w'),
      'haiku': (linear.init(jax.random.key(0), jnp.ones((1, 2))), 'mlp/~/linear_1/w'),
      'none': ({'a': None, 'b': [None, one], 'c': one}, 'b/1'),
      'masked': ({'a': optax.MaskedNode(), 'b': [one], 'c': one}, 'b/0'),
      'equinox': (
          CallableModule(eqx.nn.Linear(2, 2, key=jax.random.key(0)), [one, one]),
          'inner/weight',
      ),
      'integer keys': ({0: one, 1: {2: one}}, '1/2'),
  }


@pytest.mark.parametrize('kind', trees())
def test_one_leaf_is_trained_alone(kind):
  tree, path = trees()[kind]
  tx = param_groups([(re.escape(path), 1.0), ('.*', frozen)], lrax.adamw(0.5))
  grads = jax.tree.map(jnp.ones_like, tree)
  state = tx.init(tree)
  updates, after = jax.jit(tx.update)(grads, state, tree)
  assert jax.tree.structure(updates) == jax.tree.structure(tree)
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert moved(tree, updates) == {path}


def test_a_bare_array_has_the_empty_path():
  tx = param_groups([('', 0.5)], lrax.sgd(1.0))
  one = jnp.ones(2)
  assert tx.update(one, tx.init(one))[0].tolist() == [-0.5, -0.5]


class Network(nnx.Module):

  def __init__(self, rngs):
    self.first = nnx.Linear(2, 3, rngs=rngs)
    self.layers = nnx.List([nnx.Linear(3, 3, rngs=rngs)])

  def __call__(self, x):
    return self.layers[0](self.first(x))


def test_an_nnx_optimizer_by_the_attributes_of_the_model():
  model = Network(nnx.Rngs(0))
  rules = [('layers/0/bias', 1.0), ('layers', 0.5), ('first', frozen)]
  optimizer = nnx.Optimizer(model, param_groups(rules, lrax.adamw(0.5)), wrt=nnx.Param)
  before = nnx.clone(model)

  @nnx.jit
  def step(model, optimizer):
    loss = lambda model: jnp.sum(model(jnp.ones((1, 2))) ** 2)
    optimizer.update(model, nnx.grad(loss)(model))

  step(model, optimizer)
  step(model, optimizer)
  assert (model.first.kernel[...] == before.first.kernel[...]).all()
  assert (model.first.bias[...] == before.first.bias[...]).all()
  assert (model.layers[0].kernel[...] != before.layers[0].kernel[...]).all()
  assert (model.layers[0].bias[...] != before.layers[0].bias[...]).all()
  rates = lrax.get_learning_rate(optimizer)
  assert {k: float(v) for k, v in rates.items()} == {
      'layers': 0.25, 'layers/0/bias': 0.5
  }
  arrays = jax.tree.leaves(nnx.as_pure(optimizer.opt_state))
  assert sum(x.size for x in arrays if x.ndim) == 2 * (3 * 3 + 3)


# --- patterns

LEAVES = {
    'embed': {'kernel': 1.0},
    'head': {'bias': 1.0, 'kernel': 1.0},
    'heads': {'kernel': 1.0},
}


def factors(rules):
  """What each leaf's gradient of one is multiplied by."""
  tx = param_groups(rules, lrax.sgd(1.0))
  grads = jax.tree.map(jnp.float32, LEAVES)
  updates = tx.update(grads, tx.init(LEAVES))[0]
  found = jax.tree_util.tree_leaves_with_path(updates)
  return [-float(leaf) for _, leaf in found]  # embed, head/bias, head/kernel, heads


@pytest.mark.parametrize(
    'rules, expected',
    [
        # the whole path, a subtree, and no part of a name
        ([('head', 0.5), ('.*', 0.25)], [0.25, 0.5, 0.5, 0.25]),
        ([('head/.*', 0.5), ('.*', 0.25)], [0.25, 0.5, 0.5, 0.25]),
        ([('head/bias', 0.5), ('.*', 0.25)], [0.25, 0.5, 0.25, 0.25]),
        ([('.*/kernel', 0.5), ('.*', 0.25)], [0.5, 0.25, 0.5, 0.5]),
        ([('head.*', 0.5), ('.*', 0.25)], [0.25, 0.5, 0.5, 0.5]),
        ([('embed|head/bias', 0.5), ('.*', 0.25)], [0.5, 0.5, 0.25, 0.25]),
        # the first one wins
        ([('.*/bias', 0.5), ('head', 0.125), ('.*', 0.25)], [0.25, 0.5, 0.125, 0.25]),
        ([('head/kernel', 0.5), ('head', 0.125), ('.*', 1)], [1, 0.125, 0.5, 1]),
    ],
)
def test_which_pattern_takes_a_leaf(rules, expected):
  assert factors(rules) == expected


@pytest.mark.parametrize(
    'rules, message',
    [
        ([('.*', 1.0), ('haed', 0.5)], "got 'haed', which matches none"),
        ([('haed', 0.5), ('.*', 1.0)], "`rules` must match a parameter each,"
         " got 'haed', which matches none; the paths are 'embed/kernel', 'head/bias'"),
        ([('head', 0.5)], "`rules` must have a pattern for every parameter,"
         r" got none for 'embed/kernel'; the patterns are \['head'\]"),
        ([('head', 0.5), ('.*', 0.1), ('head/bias', 1.0)],
         "got 'head/bias', whose parameters are all taken by 'head' before it"),
        ([('head', 0.5), ('.*', 0.1), ('head', 1.0)],
         "got 'head', whose parameters are all taken by 'head' before it"),
    ],
)
def test_bad_patterns_are_named(rules, message):
  with pytest.raises(ValueError, match=f'^param_groups: .*{message}'):
    param_groups(rules, lrax.sgd(1.0)).init(LEAVES)


@pytest.mark.parametrize(
    'rules, error, message',
    [
        ('head', TypeError, '`rules` must be a list of pairs'),
        ([], TypeError, '`rules` must be a list of pairs'),
        ([('head', 1.0, 2.0)], TypeError, '`rules` must be a list of pairs'),
        ({'head': 1.0}, TypeError, '`rules` must be a list of pairs'),
        ([(3, 1.0)], TypeError, r'`rules\[0\]\[0\]` must be a regular expression, got'),
        ([('(', 1.0)], ValueError, r'`rules\[0\]\[0\]` must be a regular expr.* \('),
        ([('a', 1.0), ('b', -1.0)], ValueError, r'`rules\[1\]\[1\]` must be a factor'),
        ([('a', float('nan'))], ValueError, r'`rules\[0\]\[1\]` must be a factor'),
        ([('a', 'frozen')], TypeError, r'`rules\[0\]\[1\]` must be a factor'),
        ([('a', True)], TypeError, r'`rules\[0\]\[1\]` must be a factor'),
        ([('a', None)], TypeError, r'`rules\[0\]\[1\]` must be a factor'),
    ],
)
def test_bad_rules_are_refused_when_built(rules, error, message):
  with pytest.raises(error, match=f'^param_groups: {message}'):
    param_groups(rules, lrax.sgd(1.0))


def test_a_bad_base_is_refused():
  rules = [('.*', 1.0)]
  with pytest.raises(TypeError, match='`base` must be an optax.Gradient'):
    param_groups(rules, lrax.sgd)
  with pytest.raises(TypeError, match='`base` must be .*accumulate gradients outside'):
    param_groups(rules, optax.MultiSteps(lrax.sgd(0.1), 2))
  with pytest.raises(ValueError, match='param_groups: no lrax learning rate'):
    param_groups(rules, optax.adam(0.1)).init(LEAVES)
  two = optax.chain(lrax.sgd(0.1), lrax.constant(0.1))
  with pytest.raises(ValueError, match='`base` must have one learning rate, got sev'):
    param_groups(rules, two).init(LEAVES)


def test_frozen_prints_and_pickles_as_itself():
  assert repr(frozen) == 'frozen'
  assert pickle.loads(pickle.dumps(frozen)) is frozen
