"""What is read: which update's rate, by which group, and what errors say."""

from __future__ import annotations

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

PARAMS = {'w': jnp.zeros(3), 'b': jnp.zeros(2)}
ONES = {'w': jnp.ones(3), 'b': jnp.ones(2)}

# Every function of the state, called on a state without a learning rate.
FUNCTIONS = {
    'get_learning_rate': lrax.get_learning_rate,
    'metrics': lrax.metrics,
    'set_learning_rate': lambda s, *g: lrax.set_learning_rate(s, 0.1, *g),
    'follow_schedule': lrax.follow_schedule,
    'scale_learning_rate': lambda s, *g: lrax.scale_learning_rate(s, 0.5, *g),
    'restart_schedule': lambda s, *g: lrax.restart_schedule(s, 0, *g),
    'report': lambda s, *g: lrax.report(s, 0.5, *g),
}
functions = pytest.mark.parametrize('function', FUNCTIONS)
with_group = pytest.mark.parametrize(
    'function', [f for f in FUNCTIONS if f not in ('get_learning_rate', 'metrics')]
)


def falling(init=1.0):
  """From `init` to 0 in 4 steps; each rate is exact in float32."""
  return lrax.linear(init, 0.0, steps=4)


def two_groups(first, second, labels=('body', 'head')):
  """A partition that gives `w` to the first label and `b` to the second."""
  transforms = dict(zip(labels, (first, second)))
  return optax.partition(transforms, {'w': labels[0], 'b': labels[1]})


def updated(tx, state, times=1):
  for _ in range(times):
    _, state = tx.update(ONES, state, PARAMS)
  return state


def test_at_init_it_is_the_rate_of_step_0_and_then_of_the_latest_update():
  tx = lrax.sgd(falling())
  state = tx.init(PARAMS)
  assert float(lrax.get_learning_rate(state)) == 1.0
  for expected in (1.0, 0.75, 0.5, 0.25, 0.0, 0.0):
    state = updated(tx, state)
    assert float(lrax.get_learning_rate(state)) == expected


def test_after_warmup_from_zero_the_rate_at_init_is_zero():
  state = lrax.sgd(lrax.constant(1.0).with_warmup(4)).init(PARAMS)
  assert float(lrax.get_learning_rate(state)) == 0.0


def test_a_change_shows_after_the_update_that_applies_it():
  tx = lrax.sgd(falling())
  state = updated(tx, tx.init(PARAMS))
  for change, expected in (
      (lambda s: lrax.set_learning_rate(s, 0.125), 0.125),
      (lambda s: lrax.scale_learning_rate(s, 0.5), 0.375),
      (lambda s: lrax.restart_schedule(s, 3), 0.25),
  ):
    changed = change(state)
    assert float(lrax.get_learning_rate(changed)) == 1.0
    assert float(lrax.get_learning_rate(updated(tx, changed))) == expected


def test_one_rate_is_a_scalar_in_the_dtype_of_rates():
  rate = lrax.get_learning_rate(lrax.adam(0.1).init(PARAMS))
  assert rate.shape == ()
  assert rate.dtype == jnp.float32
  assert rate == np.float32(0.1)


def test_bfloat16_parameters_leave_the_rate_in_float32():
  params = {'w': jnp.zeros(3, jnp.bfloat16)}
  tx = lrax.adam(0.1)
  _, state = tx.update(params, tx.init(params), params)
  rate = lrax.get_learning_rate(state)
  assert rate.dtype == jnp.float32
  assert rate == np.float32(0.1)


def test_float64_rates_under_x64(x64):
  state = lrax.adam(0.1).init({'w': jnp.zeros(3)})
  assert lrax.get_learning_rate(state).dtype == jnp.float64
  assert float(lrax.get_learning_rate(state)) == 0.1


def test_a_bare_state_is_read():
  assert float(lrax.get_learning_rate(falling().init())) == 1.0


@pytest.mark.parametrize('labels', [('body', 'head'), (0, 1), (True, False)])
def test_groups_are_the_labels_themselves(labels):
  tx = two_groups(lrax.sgd(falling()), lrax.sgd(falling(0.5)), labels)
  state = updated(tx, tx.init(PARAMS), 2)
  rates = lrax.get_learning_rate(state)
  assert {g: float(r) for g, r in rates.items()} == {
      labels[0]: 0.75,
      labels[1]: 0.375,
  }
  assert {type(group) for group in rates} == {type(labels[0])}


def test_nested_labels_are_joined():
  inner = optax.partition(
      {'first': lrax.sgd(0.5), 'second': lrax.sgd(0.25)},
      lambda params: {'w': 'first', 'b': 'second'},
  )
  tx = optax.partition({'body': inner, 'frozen': optax.set_to_zero()}, 'body')
  rates = lrax.get_learning_rate(tx.init(PARAMS))
  assert {g: float(r) for g, r in rates.items()} == {
      'body/first': 0.5,
      'body/second': 0.25,
  }


def test_one_trained_group_beside_a_frozen_one_is_one_rate():
  tx = two_groups(lrax.sgd(0.5), optax.set_to_zero())
  assert float(lrax.get_learning_rate(tx.init(PARAMS))) == 0.5


def test_equal_labels_in_two_states_are_told_apart_by_their_keys():
  tx = two_groups(lrax.sgd(0.5), lrax.sgd(0.25))
  states = {'actor': tx.init(PARAMS), 'critic': tx.init(PARAMS)}
  rates = lrax.get_learning_rate(states)
  assert {g: float(r) for g, r in rates.items()} == {
      'actor/body': 0.5,
      'actor/head': 0.25,
      'critic/body': 0.5,
      'critic/head': 0.25,
  }


def test_states_in_a_tuple_are_told_apart_and_can_be_called_by_their_names():
  states = (lrax.sgd(0.5).init(PARAMS), lrax.sgd(0.25).init(PARAMS))
  rates = lrax.get_learning_rate(states)
  assert [float(rate) for rate in rates.values()] == [0.5, 0.25]
  second = list(rates)[1]
  states = lrax.set_learning_rate(states, 0.125, second)
  assert float(states[1][-1].override) == 0.125
  assert math.isnan(states[0][-1].override)


def test_a_list_of_states_from_a_loop_over_groups():
  states = [lrax.sgd(r).init(PARAMS) for r in (0.5, 0.25, 0.125)]
  rates = lrax.get_learning_rate(states)
  assert [float(rate) for rate in rates.values()] == [0.5, 0.25, 0.125]


def test_inside_jit_it_is_the_rate_that_the_step_applied():
  tx = two_groups(lrax.adam(falling()), lrax.sgd(falling(0.5)))

  @jax.jit
  def step(state):
    state = updated(tx, state)
    return state, lrax.get_learning_rate(state), lrax.metrics(state)

  state = tx.init(PARAMS)
  for count, expected in enumerate((1.0, 0.75, 0.5), 1):
    state, rates, metrics = step(state)
    assert {g: float(r) for g, r in rates.items()} == {
        'body': expected,
        'head': expected / 2,
    }
    assert int(metrics['learning_rate_step/body']) == count


def test_a_state_with_leading_axes_gives_them():
  rates = jnp.array([[0.5, 0.25], [0.125, 1.0]])
  init = lambda rate: lrax.adam(rate).init(PARAMS)
  state = jax.vmap(jax.vmap(init))(rates)
  np.testing.assert_array_equal(lrax.get_learning_rate(state), rates)
  assert lrax.metrics(state)['learning_rate_scale'].shape == (2, 2)


def test_a_state_of_numpy_arrays_as_a_checkpoint_gives_it():
  tx = lrax.adam(falling())
  state = jax.tree.map(np.asarray, updated(tx, tx.init(PARAMS), 2))
  assert float(lrax.get_learning_rate(state)) == 0.75
  assert float(lrax.metrics(state)['learning_rate_step']) == 2


# Metrics


def test_metrics_are_flat_scalars_that_a_logger_can_write():
  tx = lrax.sgd(falling())
  state = updated(tx, tx.init(PARAMS), 2)
  state = lrax.scale_learning_rate(state, 0.25)
  metrics = lrax.metrics(state)
  assert all(np.shape(value) == () for value in metrics.values())
  written = json.loads(json.dumps({k: float(v) for k, v in metrics.items()}))
  assert written == {
      'learning_rate': 0.75,
      'learning_rate_step': 2,
      'learning_rate_scale': 0.25,
      'learning_rate_overridden': 0,
  }


def test_metrics_say_that_an_override_is_in_force():
  state = lrax.sgd(falling()).init(PARAMS)
  overridden = lrax.set_learning_rate(state, 0.0)
  assert int(lrax.metrics(overridden)['learning_rate_overridden']) == 1
  followed = lrax.follow_schedule(overridden)
  assert int(lrax.metrics(followed)['learning_rate_overridden']) == 0


@pytest.mark.parametrize('labels', [('body', 'head'), (0, 1)])
def test_metrics_name_the_groups(labels):
  tx = two_groups(lrax.sgd(falling()), lrax.sgd(falling(0.5)), labels)
  state = lrax.restart_schedule(tx.init(PARAMS), 3, labels[1])
  metrics = lrax.metrics(state)
  names = ('', '_step', '_scale', '_overridden')
  assert set(metrics) == {
      f'learning_rate{name}/{label}' for name in names for label in labels
  }
  assert float(metrics[f'learning_rate/{labels[1]}']) == 0.5
  assert int(metrics[f'learning_rate_step/{labels[0]}']) == 0
  assert int(metrics[f'learning_rate_step/{labels[1]}']) == 3


# Errors


@functions
@pytest.mark.parametrize(
    'state, looked_at',
    [
        (optax.adam(0.1).init(PARAMS), 'ScaleByAdamState'),
        (optax.adam(falling()).init(PARAMS), 'ScaleByScheduleState'),
        (optax.set_to_zero().init(PARAMS), 'EmptyState'),
        (PARAMS, 'dict'),
        (None, 'NoneType'),
        ((), 'tuple'),
    ],
    ids=['optax', 'optax with a lrax schedule', 'none', 'parameters', 'None', '()'],
)
def test_no_learning_rate_says_who_asked_and_what_was_looked_at(
    function, state, looked_at
):
  with pytest.raises(ValueError) as error:
    FUNCTIONS[function](state)
  message = str(error.value)
  assert message.startswith(f'{function}: no lrax learning rate was found')
  assert '`state`' in message
  assert looked_at in message
  assert 'lrax.with_learning_rate' in message  # what to do


def test_no_learning_rate_says_why_an_optax_optimizer_has_none():
  state = optax.adam(falling()).init(PARAMS)
  with pytest.raises(ValueError, match='calls a lrax schedule but keeps no state'):
    lrax.get_learning_rate(state)


def test_the_optimizer_for_its_state_is_refused():
  with pytest.raises(ValueError, match='no lrax learning rate was found'):
    lrax.get_learning_rate(lrax.adam(0.1))


@with_group
@pytest.mark.parametrize('group', ['heads', 0, ('body',)])
def test_an_unknown_group_names_the_groups(function, group):
  state = two_groups(lrax.sgd(0.5), lrax.sgd(0.25)).init(PARAMS)
  with pytest.raises(ValueError) as error:
    FUNCTIONS[function](state, group)
  message = str(error.value)
  assert message.startswith(f'{function}: `group` must be one of the groups')
  assert repr(group) in message
  assert "'body', 'head'" in message


@with_group
def test_a_group_asked_of_a_state_without_any_is_refused(function):
  state = lrax.sgd(0.5).init(PARAMS)
  with pytest.raises(ValueError) as error:
    FUNCTIONS[function](state, 'head')
  message = str(error.value)
  assert message.startswith(f'{function}: `group`')
  # There is no group to name; an empty name in quotes helps nobody.
  assert "''" not in message


def test_the_one_group_of_a_partition_has_its_label():
  state = two_groups(lrax.sgd(0.5), optax.set_to_zero()).init(PARAMS)
  changed = lrax.set_learning_rate(state, 0.125, 'body')
  assert float(lrax.metrics(changed)['learning_rate_overridden']) == 1
  with pytest.raises(ValueError, match="'body'"):
    lrax.set_learning_rate(state, 0.125, 'head')
