"""Freezing, for good and until a step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.groups import freeze
from lrax.groups import frozen
from lrax.groups import param_groups
from lrax.groups import unfreeze
from lrax.groups import unfrozen_at

PARAMS = {'body': jnp.array([1.0, -2.0]), 'head': jnp.array([0.5, 4.0])}


def grads(step):
  return {
      'body': jnp.array([1.0, 2.0]) / (step + 1), 'head': jnp.array([3.0, -1.0])
  }


def updates_of(tx, steps, change=lambda step, g: g):
  """The updates of every step, with parameters that stay."""
  state, update, found = tx.init(PARAMS), jax.jit(tx.update), []
  for step in range(steps):
    updates, state = update(change(step, grads(step)), state, PARAMS)
    found.append(updates)
  return found, state


def test_a_group_starts_at_its_step():
  rules = [('head', 0), ('body', 2)]
  tx = unfreeze(rules, lrax.adamw(0.5, weight_decay=0.5))
  found, state = updates_of(tx, 4)
  expected, _ = updates_of(lrax.adamw(0.5, weight_decay=0.5), 4)
  for step in range(4):
    np.testing.assert_array_equal(found[step]['head'], expected[step]['head'])
    # Moments gathered meanwhile: the update is that of a group never frozen.
    wanted = expected[step]['body'] if step >= 2 else jnp.zeros(2)
    np.testing.assert_array_equal(found[step]['body'], wanted)
  assert int(state.step) == 4


def test_the_rate_of_a_waiting_group_is_zero():
  rules = [('head', 1.0), ('body', unfrozen_at(2, 0.5))]
  tx = param_groups(rules, lrax.sgd(0.5))
  state = tx.init(PARAMS)
  shown = [float(lrax.get_learning_rate(state)['body'])]
  for step in range(4):
    _, state = tx.update(grads(step), state, PARAMS)
    shown.append(float(lrax.get_learning_rate(state)['body']))
  assert shown == [0.0, 0.0, 0.0, 0.25, 0.25]


def test_neither_an_override_nor_a_restart_moves_the_step():
  tx = unfreeze([('head', 0), ('body', 2)], lrax.sgd(0.5))
  state = lrax.set_learning_rate(tx.init(PARAMS), 1.0)
  shown = []
  for step in range(4):
    updates, state = tx.update(grads(0), state, PARAMS)
    shown.append(float(-updates['body'][0]))
    if step == 2:
      state = lrax.restart_schedule(state)
  assert shown == [0.0, 0.0, 1.0, 1.0]


def test_gradients_that_are_not_finite_do_no_harm_while_waiting():
  spoil = lambda step, g: (
      g | {'body': jnp.array([jnp.nan, jnp.inf])} if step < 2 else g
  )
  silence = lambda step, g: g | {'body': jnp.zeros(2)} if step < 2 else g
  rules = [('head', 0), ('body', 2)]
  found, _ = updates_of(unfreeze(rules, lrax.adamw(0.5)), 4, spoil)
  expected, _ = updates_of(unfreeze(rules, lrax.adamw(0.5)), 4, silence)
  for ours, theirs in zip(found, expected):
    np.testing.assert_array_equal(ours['body'], theirs['body'])
    np.testing.assert_array_equal(ours['head'], theirs['head'])
  assert (found[0]['body'] == 0).all() and (found[2]['body'] != 0).all()
  # Once it is trained, a failure shows.
  late = lambda step, g: g | {'body': jnp.full(2, jnp.nan)} if step == 3 else g
  found, _ = updates_of(unfreeze(rules, lrax.adamw(0.5)), 4, late)
  assert jnp.isnan(found[3]['body']).all()


def test_the_step_may_be_traced_and_the_rate_a_schedule():
  line = lrax.linear(0.5, 0.0, steps=4)

  @jax.jit
  def third(step):
    rules = [('head', 1.0), ('body', unfrozen_at(step, line))]
    return updates_of(param_groups(rules, lrax.sgd(0.125)), 3)[0][2]['body']

  waiting, started = third(3), third(2)
  assert waiting.tolist() == [0.0, 0.0]
  # its own schedule's step 2, 0.25, by the gradients (1, 2) / 3: one rounding each
  np.testing.assert_allclose(started, [-0.25 / 3, -0.5 / 3], rtol=3e-7)


def test_freezing_is_partition_with_zeros():
  ours, state = updates_of(freeze(['body'], lrax.adamw(0.5)), 3)
  theirs, _ = updates_of(
      optax.partition(
          {'train': lrax.adamw(0.5), 'stop': optax.set_to_zero()},
          {'body': 'stop', 'head': 'train'},
      ),
      3,
  )
  for a, b in zip(ours, theirs):
    for name in PARAMS:
      np.testing.assert_array_equal(a[name], b[name])
  assert float(lrax.get_learning_rate(state)) == 0.5
  assert sum(x.size for x in jax.tree.leaves(state) if x.ndim) == 2 * 2


@pytest.mark.parametrize(
    'call, error, message',
    [
        (lambda: freeze(3, lrax.sgd(0.1)), TypeError, 'freeze: `patterns` must be'),
        (lambda: freeze([3], lrax.sgd(0.1)), TypeError, r'freeze: `patterns\[0\]` mu'),
        (
            lambda: freeze('.*', lrax.sgd(0.1)).init(PARAMS), ValueError,
            "freeze: `patterns` must match a parameter first each, got '.*'",
        ),
        (
            lambda: freeze('hed', lrax.sgd(0.1)).init(PARAMS), ValueError,
            "freeze: .* got 'hed', which matches none",
        ),
        (
            lambda: unfreeze([('head', -1)], lrax.sgd(0.1)), ValueError,
            r'unfreeze: `rules\[0\]\[1\]` must be a whole number >= 0',
        ),
        (
            lambda: unfreeze([('head', 0)], lrax.sgd(0.1)).init(PARAMS), ValueError,
            "`rules` must have a pattern for every parameter, got none for 'body'",
        ),
        (lambda: unfrozen_at(0.5), ValueError, 'unfrozen_at: `step` must be a whole'),
        (lambda: unfrozen_at(1, frozen), TypeError, 'unfrozen_at: `rate` must be a'),
        (lambda: unfrozen_at(1, -1), ValueError, 'unfrozen_at: `rate` must be a'),
    ],
)
def test_bad_calls(call, error, message):
  with pytest.raises(error, match=message):
    call()
