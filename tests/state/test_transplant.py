"""What is carried from one optimizer's state to another's, and what is said."""

from __future__ import annotations

import math

import equinox as eqx
from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

PARAMS = {'w': jnp.zeros((2, 3)), 'b': jnp.zeros(3)}
B1, B2 = 0.75, 0.875  # exact in float32
RATES = [1.0, 0.875, 0.75, 0.625]  # of the line below, exact in float32


def falling(init=1.0):
  return lrax.linear(init, 0.0, steps=8)


def gradient(step):
  """A gradient for each step, not the same for any two elements."""
  keys = jax.random.split(jax.random.key(step), 2)
  return {
      'w': jax.random.normal(keys[0], (2, 3)),
      'b': jax.random.normal(keys[1], (3,)),
  }


def trained(tx, steps=3, params=PARAMS):
  state = tx.init(params)
  for step in range(steps):
    _, state = tx.update(gradient(step), state, params)
  return state


def moments(steps):
  """Adam's averages of the gradients so far, in float64."""
  mu, nu = {'w': 0.0, 'b': 0.0}, {'w': 0.0, 'b': 0.0}
  for step in range(steps):
    for name, g in gradient(step).items():
      g = np.asarray(g, np.float64)
      mu[name] = B1 * mu[name] + (1 - B1) * g
      nu[name] = B2 * nu[name] + (1 - B2) * g * g
  return mu, nu


def names(texts):
  """The names of the fields that the texts of a Transplant begin with."""
  return sorted(text.split(' (')[0].rsplit('.', 1)[-1] for text in texts)


def assert_equal(actual, expected):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
    np.testing.assert_array_equal(x, y)


def assert_kept(moved, new):
  """The state has the structure, shapes and dtypes of the new optimizer's."""
  assert jax.tree.structure(moved) == jax.tree.structure(new)
  for x, y in zip(jax.tree.leaves(moved), jax.tree.leaves(new)):
    assert (jnp.shape(x), jnp.result_type(x)) == (jnp.shape(y), jnp.result_type(y))


# Between optimizers


def test_adam_to_amsgrad_carries_the_moments_and_starts_the_maximum():
  old = trained(lrax.adam(falling(), b1=B1, b2=B2))
  tx = lrax.amsgrad(falling(), b1=B1, b2=B2, eps=0.0, bias_correction_mu=True)
  moved = lrax.transplant(old, tx.init(PARAMS))
  assert_kept(moved.state, tx.init(PARAMS))
  assert names(moved.carried) == [
      'count', 'learning_rate', 'mu', 'nu', 'override', 'scale', 'step'
  ]
  assert names(moved.fresh) == ['nu_max']
  assert moved.dropped == ()
  assert_equal(moved.state[0].mu, old[0].mu)
  assert_equal(moved.state[0].nu, old[0].nu)
  assert int(moved.state[0].count) == 3
  # The next update is AMSGrad's from the moments of four gradients: nu_max is
  # nu, since it starts from 0; and the fourth rate of the line.
  updates, state = tx.update(gradient(3), moved.state, PARAMS)
  mu, nu = moments(4)
  for name in PARAMS:
    direction = mu[name] / (1 - B1**4) / np.sqrt(nu[name])
    # Some ten roundings of float32; up to four terms of mu may cancel.
    np.testing.assert_allclose(
        updates[name], -RATES[3] * direction, rtol=1e-5, atol=1e-6
    )


def test_adam_at_a_constant_to_adamw_along_a_cosine():
  """The cosine starts where the clock is; Adam goes on as if it had not changed."""
  old = trained(lrax.adam(0.5, b1=B1, b2=B2, eps=0.0))
  cosine = lrax.cosine_annealing(1.0, steps=10)
  tx = lrax.adamw(cosine, b1=B1, b2=B2, eps=0.0, weight_decay=0.25)
  params = jax.tree.map(jnp.ones_like, PARAMS)
  moved = lrax.transplant(old, tx.init(params))
  assert moved.fresh == ()
  assert moved.dropped == ()
  assert_equal(lrax.get_learning_rate(moved.state), jnp.float32(0.5))
  updates, state = tx.update(gradient(3), moved.state, params)
  mu, nu = moments(4)
  rate = 0.5 * (1 + math.cos(math.pi * 3 / 10))
  for name in PARAMS:
    direction = mu[name] / (1 - B1**4) / np.sqrt(nu[name] / (1 - B2**4))
    expected = -rate * (direction + 0.25)
    # Some ten roundings of float32; terms cancel.
    np.testing.assert_allclose(updates[name], expected, rtol=1e-5, atol=1e-6)
  # One rounding in the rate, two in the cosine.
  np.testing.assert_allclose(lrax.get_learning_rate(state), rate, rtol=3e-7)


def test_optax_adam_with_a_schedule_to_lrax_adam():
  line = optax.linear_schedule(1.0, 0.0, 8)
  old = trained(optax.adam(line, b1=B1, b2=B2))
  tx = lrax.adam(falling(), b1=B1, b2=B2)
  moved = lrax.transplant(old, tx.init(PARAMS))
  assert int(moved.state[-1].step) == 3
  assert int(moved.state[0].count) == 3
  assert_equal(moved.state[0].mu, old[0].mu)
  assert names(moved.fresh) == ['learning_rate', 'override', 'scale']
  assert moved.dropped == ()
  _, state = tx.update(gradient(3), moved.state, PARAMS)
  assert float(lrax.get_learning_rate(state)) == RATES[3]


def test_optax_adam_at_a_constant_starts_the_new_schedule():
  old = trained(optax.adam(0.5, b1=B1, b2=B2))
  tx = lrax.adam(falling(), b1=B1, b2=B2)
  moved = lrax.transplant(old, tx.init(PARAMS))
  assert names(moved.fresh) == ['learning_rate', 'override', 'scale', 'step']
  assert int(moved.state[0].count) == 3
  _, state = tx.update(gradient(3), moved.state, PARAMS)
  assert float(lrax.get_learning_rate(state)) == RATES[0]


def test_lrax_adam_to_optax_adam_with_a_schedule():
  """The way back: the clock becomes the count of the schedule."""
  old = trained(lrax.adam(falling()))
  new = optax.adam(optax.linear_schedule(1.0, 0.0, 8)).init(PARAMS)
  moved = lrax.transplant(old, new)
  assert moved.fresh == ()
  assert int(moved.state[-1].count) == 3
  assert names(moved.dropped) == ['learning_rate', 'override', 'scale']


def test_an_injected_optax_schedule_to_lrax_adam():
  """The schedule's count under `inject_hyperparams` is the clock too."""
  line = optax.linear_schedule(1.0, 0.0, 8)
  inject = optax.inject_hyperparams(optax.adam)
  old = trained(inject(learning_rate=line, b1=B1, b2=B2))
  moved = lrax.transplant(old, lrax.adam(falling()).init(PARAMS))
  assert int(moved.state[0].count) == 3
  assert int(moved.state[-1].step) == 3


@pytest.mark.parametrize('factory', [optax.adam, lrax.adam])
def test_an_injected_lrax_schedule_to_lrax_adam(factory):
  """The state of the learning rate goes over, and no other hyperparameter's."""
  old_tx = optax.inject_hyperparams(factory)(
      learning_rate=falling(), b1=lrax.linear(0.5, 0.25, steps=8), b2=B2
  )
  old = lrax.set_learning_rate(trained(old_tx), 0.125)
  old = lrax.scale_learning_rate(lrax.restart_schedule(old, 1), 0.5)
  tx = lrax.adam(falling())
  moved = lrax.transplant(old, tx.init(PARAMS))
  node = moved.state[-1]
  assert float(node.learning_rate) == RATES[2]
  assert (int(node.step), float(node.scale), float(node.override)) == (1, 0.5, 0.125)
  assert int(moved.state[0].count) == 3


def test_the_settings_of_the_new_optimizer_stay():
  """Numbers under `inject_hyperparams` are settings, not knowledge."""
  inject = optax.inject_hyperparams(lrax.adam)
  old = trained(inject(learning_rate=0.5, b1=0.5))
  moved = lrax.transplant(old, inject(learning_rate=0.25, b1=0.75).init(PARAMS))
  assert float(moved.state.hyperparams['learning_rate']) == 0.25
  assert float(moved.state.hyperparams['b1']) == 0.75
  assert int(moved.state.count) == 3


def test_an_override_and_a_scale_go_along():
  old = trained(lrax.adam(falling()))
  old = lrax.scale_learning_rate(lrax.set_learning_rate(old, 0.125), 0.5)
  tx = lrax.adamw(0.75)
  moved = lrax.transplant(old, tx.init(PARAMS)).state
  _, state = tx.update(gradient(3), moved, PARAMS)
  assert float(lrax.get_learning_rate(state)) == 0.125
  _, state = tx.update(gradient(4), lrax.follow_schedule(state), PARAMS)
  assert float(lrax.get_learning_rate(state)) == 0.375


# Through nests


def test_into_a_deeper_nest():
  old = trained(lrax.adam(falling()))
  tx = optax.apply_if_finite(
      optax.MultiSteps(optax.chain(optax.clip(1.0), lrax.adam(falling())), 2), 3
  )
  moved = lrax.transplant(old, tx.init(PARAMS))
  inner = moved.state.inner_state.inner_opt_state[1]
  assert_equal(inner[0], old[0])
  assert int(inner[-1].step) == 3
  assert {'mini_step', 'acc_grads', 'notfinite_count'} <= set(names(moved.fresh))
  assert moved.dropped == ()


def test_out_of_a_deeper_nest():
  tx = optax.MultiSteps(lrax.adam(falling()), 1)
  old = trained(tx)
  moved = lrax.transplant(old, lrax.adam(falling()).init(PARAMS))
  assert_equal(moved.state[0], old.inner_opt_state[0])
  assert int(moved.state[-1].step) == 3
  assert moved.fresh == ()
  assert names(moved.dropped) == ['acc_grads', 'gradient_step', 'mini_step']


def two_groups(labels, rates=(1.0, 0.5)):
  transforms = {
      label: lrax.adam(falling(rate), b1=B1, b2=B2)
      for label, rate in zip(labels, rates)
  }
  return optax.partition(transforms, {'w': labels[0], 'b': labels[1]})


def test_a_partition_to_itself_carries_each_group_to_its_own():
  old = trained(two_groups(('body', 'head')))
  old = lrax.restart_schedule(old, 1, 'head')
  tx = two_groups(('body', 'head'), (0.5, 1.0))
  moved = lrax.transplant(old, tx.init(PARAMS))
  assert (moved.fresh, moved.dropped) == ((), ())
  _, state = tx.update(gradient(3), moved.state, PARAMS)
  rates = lrax.get_learning_rate(state)
  assert {g: float(r) for g, r in rates.items()} == {
      'body': 0.5 * RATES[3],
      'head': RATES[1],
  }


def test_a_partition_with_its_labels_in_another_order():
  old = trained(two_groups(('a', 'z')))  # `w` is 'a' and `b` is 'z'
  old = lrax.restart_schedule(old, 1, 'z')
  new = optax.partition(
      {'z': lrax.adam(falling()), 'a': lrax.adam(falling())},
      {'w': 'a', 'b': 'z'},
  ).init(PARAMS)
  moved = lrax.transplant(old, new).state
  assert int(moved.inner_states['a'].inner_state[-1].step) == 3
  assert int(moved.inner_states['z'].inner_state[-1].step) == 1


def test_a_partition_relabelled_carries_the_label_that_stayed():
  old = trained(two_groups(('body', 'head')))
  new = two_groups(('body', 'top')).init(PARAMS)
  moved = lrax.transplant(old, new)
  body = moved.state.inner_states['body'].inner_state
  top = moved.state.inner_states['top'].inner_state
  assert int(body[-1].step) == 3
  assert_equal(body[0], old.inner_states['body'].inner_state[0])
  assert_equal(top, new.inner_states['top'].inner_state)
  assert len(moved.carried) == len(moved.fresh) == len(moved.dropped) == 7
  assert all("'body'" in text for text in moved.carried)
  assert all("'top'" in text for text in moved.fresh)
  assert all("'head'" in text for text in moved.dropped)


def test_groups_that_exchange_their_parameters_do_not_exchange_moments():
  """The trees differ, so moments start anew; what has no tree is carried."""
  old = trained(two_groups(('body', 'head')))
  transforms = {label: lrax.adam(falling()) for label in ('body', 'head')}
  new = optax.partition(transforms, {'w': 'head', 'b': 'body'}).init(PARAMS)
  moved = lrax.transplant(old, new)
  body = moved.state.inner_states['body'].inner_state
  assert_equal(body[0].mu, new.inner_states['body'].inner_state[0].mu)
  fresh = [text for text in moved.fresh if "'body'" in text]
  assert {'mu', 'nu'} <= set(names(fresh))
  assert all('its tree differs' in text for text in fresh if '.mu' in text)
  assert int(body[-1].step) == 3


def test_a_dict_of_states_keeps_each_to_its_own_name():
  """Not the first that looks alike: the generator's moments are its own."""
  old = {
      'discriminator': trained(lrax.adam(0.5), 1),
      'generator': trained(lrax.adam(0.25), 3),
  }
  new = {'generator': lrax.adam(0.125).init(PARAMS)}
  moved = lrax.transplant(old, new)
  assert_equal(moved.state['generator'][0], old['generator'][0])
  assert int(moved.state['generator'][-1].step) == 3
  assert len(moved.dropped) == 7
  assert all("'discriminator'" in text for text in moved.dropped)


def test_a_second_network_added_to_a_dict_of_states_starts_anew():
  old = {'generator': trained(lrax.adam(0.25), 3)}
  fresh = lrax.adam(0.125).init(PARAMS)
  moved = lrax.transplant(old, {'discriminator': fresh, 'generator': fresh})
  assert_equal(moved.state['generator'], old['generator'])
  assert_equal(moved.state['discriminator'], fresh)


def test_moments_wrapped_by_nnx():
  class Model(nnx.Module):

    def __init__(self):
      self.w = nnx.Param(jnp.zeros((2, 3)))
      self.b = nnx.Param(jnp.zeros(3))

  def optimizer(tx):
    return nnx.Optimizer(Model(), tx, wrt=nnx.Param)

  old, model = optimizer(lrax.adam(falling())), Model()
  structure = jax.tree.structure(nnx.state(model, nnx.Param))
  for step in range(3):  # the leaves are in the order of their names
    leaves = jax.tree.leaves(gradient(step))
    old.update(model, jax.tree.unflatten(structure, leaves))
  for state, new in (
      (old, optimizer(lrax.amsgrad(falling()))),
      (old.opt_state, optimizer(lrax.amsgrad(falling())).opt_state),
  ):
    moved = lrax.transplant(state, new)
    assert names(moved.fresh) == ['nu_max']
    assert jax.tree.structure(moved.state) == jax.tree.structure(new)
    reached = getattr(moved.state, 'opt_state', moved.state)
    reference = trained(lrax.adam(falling()))
    assert int(jax.tree.leaves(reached[0].count)[0]) == 3
    for x, y in zip(
        jax.tree.leaves(reached[0].mu), jax.tree.leaves(reference[0].mu)
    ):
      np.testing.assert_array_equal(x, y)


def test_a_count_wrapped_by_nnx_stays_with_its_moments():
  """Another shape: neither the moments nor their count are carried."""

  class Model(nnx.Module):

    def __init__(self, size):
      self.w = nnx.Param(jnp.zeros(size))

  def optimizer(size):
    return nnx.Optimizer(Model(size), lrax.adam(falling()), wrt=nnx.Param)

  old, model = optimizer(2), Model(2)
  old.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
  moved = lrax.transplant(old.opt_state, optimizer(3).opt_state).state
  assert int(jax.tree.leaves(moved[0].count)[0]) == 0
  assert int(jax.tree.leaves(moved[-1].step)[0]) == 1


def test_a_module_with_callables_in_it():
  """A training in one Equinox module: what is no array stays the new one's."""

  class Training(eqx.Module):
    model: eqx.nn.Linear
    activation: object
    opt_state: tuple

  model = eqx.nn.Linear(2, 3, key=jax.random.key(0))
  params = eqx.filter(model, eqx.is_array)
  tx = lrax.adam(falling())
  _, state = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
  old = Training(model, jax.nn.relu, state)
  new = Training(model, jax.nn.gelu, tx.init(params))
  moved = lrax.transplant(old, new).state
  assert_equal(moved.opt_state, state)
  assert moved.activation is jax.nn.gelu


# What a field is


def test_the_count_of_a_schedule_is_no_count_of_moments():
  """Optax's `count` appears in both; each goes to its own."""
  line = optax.linear_schedule(1.0, 0.0, 8)
  tx = optax.adam(line)
  old = trained(tx)
  old = (old[0], old[1]._replace(count=jnp.asarray(5, jnp.int32)))
  moved = lrax.transplant(old, lrax.amsgrad(falling()).init(PARAMS)).state
  assert (int(moved[0].count), int(moved[-1].step)) == (3, 5)


def test_momentum_and_adam_share_nothing_but_the_rate():
  old = trained(lrax.sgd(falling(), momentum=0.9))
  moved = lrax.transplant(old, lrax.adam(falling()).init(PARAMS))
  assert names(moved.carried) == ['learning_rate', 'override', 'scale', 'step']
  assert names(moved.fresh) == ['count', 'mu', 'nu']
  assert names(moved.dropped) == ['trace']


def test_averages_without_a_count_are_not_corrected_as_if_new():
  """Optax's RMSProp keeps an average of squares and no count; Adam needs both.

  Adam divides its averages by 1 - b2 ** t to correct their start at 0. A long
  average under a count that starts anew would be taken for 1 / (1 - b2) times
  what it is, and updates would be too small for as long as b2 remembers.
  """
  ones = jax.tree.map(jnp.ones_like, PARAMS)
  rms = lrax.with_learning_rate(optax.scale_by_rms(0.99, eps=0.0), 0.5)
  state = jax.lax.fori_loop(
      0, 500, lambda _, state: rms.update(ones, state, PARAMS)[1], rms.init(PARAMS)
  )
  tx = lrax.adam(0.5, b2=0.99, eps=0.0)
  moved = lrax.transplant(state, tx.init(PARAMS)).state
  updates, _ = tx.update(ones, moved, PARAMS)
  # On gradients of ones the direction is 1: 0.99 ** 500 is 7e-3, and half of
  # that is what the root of the average lacks to 1.
  for update in jax.tree.leaves(updates):
    np.testing.assert_allclose(update, -0.5, rtol=1e-2)


def test_closed_loop_memory_is_carried():
  def start():
    return 1.0, jnp.zeros(())

  @lrax.control.closed_loop(start)
  def last(memory, step, signals):
    del step
    told = ~jnp.isnan(signals.reported)
    memory = jnp.where(told, signals.reported, memory)
    return 1.0 + memory, memory

  tx = lrax.adam(last())
  _, old = tx.update(PARAMS, lrax.report(tx.init(PARAMS), 0.5), PARAMS)
  old = lrax.report(old, 0.25)  # waits for the next update
  moved = lrax.transplant(old, lrax.amsgrad(last()).init(PARAMS)).state
  assert float(moved[-1].memory.kept) == 0.5
  assert float(moved[-1].memory.reported) == 0.25


# Dtypes and shapes


def cast(dtype):
  return jax.tree.map(lambda x: x.astype(dtype), PARAMS)


def test_float32_to_bfloat16():
  old = trained(lrax.adam(falling()))
  new = lrax.adam(falling()).init(cast(jnp.bfloat16))
  moved = lrax.transplant(old, new).state
  assert_kept(moved, new)
  for name in PARAMS:
    assert moved[0].mu[name].dtype == jnp.bfloat16
    expected = np.asarray(old[0].mu[name]).astype(jnp.bfloat16)
    np.testing.assert_array_equal(moved[0].mu[name], expected)
    np.testing.assert_array_equal(moved[0].nu[name], old[0].nu[name])


def test_float32_to_float64(x64):
  params = cast(jnp.float32)
  old = lrax.adam(falling()).init(params)
  gradients = jax.tree.map(lambda x: x + jnp.float32(0.1), params)
  _, old = lrax.adam(falling()).update(gradients, old, params)
  new = lrax.adam(falling()).init(cast(jnp.float64))
  moved = lrax.transplant(old, new).state
  assert_kept(moved, new)
  for name in PARAMS:
    assert moved[0].nu[name].dtype == jnp.float64
    np.testing.assert_array_equal(moved[0].nu[name], old[0].nu[name])


def test_shapes_that_differ_are_fresh_and_dropped():
  """Their count too: Adam corrects averages by it for their start at 0."""
  old = trained(lrax.adam(falling()))
  wider = {'w': jnp.zeros((2, 4)), 'b': jnp.zeros(3)}
  new = lrax.adam(falling()).init(wider)
  moved = lrax.transplant(old, new)
  assert {'mu', 'nu'} <= set(names(moved.fresh))
  assert {'mu', 'nu'} <= set(names(moved.dropped))
  assert all('its tree differs' in text for text in moved.fresh if '.count' not in text)
  assert_equal(moved.state[0], new[0])
  assert int(moved.state[-1].step) == 3


def test_another_parameter_is_another_tree():
  old = trained(lrax.adam(falling()))
  new = lrax.adam(falling()).init({**PARAMS, 'scale': jnp.ones(())})
  moved = lrax.transplant(old, new)
  assert {'mu', 'nu'} <= set(names(moved.fresh))
  assert_equal(moved.state[0].nu, new[0].nu)


def test_a_single_array_of_parameters():
  tx = lrax.adam(falling())
  params = jnp.zeros(3)
  _, old = tx.update(jnp.ones(3), tx.init(params), params)
  new = lrax.amsgrad(falling()).init(params)
  moved = lrax.transplant(old, new)
  assert names(moved.fresh) == ['nu_max']
  np.testing.assert_array_equal(moved.state[0].mu, old[0].mu)


# Nothing in common, purity, and jit


def test_nothing_in_common_is_refused():
  old = trained(lrax.adam(0.1))
  with pytest.raises(ValueError, match='transplant: `new_state` must share'):
    lrax.transplant(old, optax.sgd(0.1).init(PARAMS))
  with pytest.raises(ValueError, match='transplant: `new_state` must share'):
    lrax.transplant((), lrax.sgd(0.1).init(PARAMS))


def test_neither_state_is_changed():
  old, new = trained(lrax.adam(0.5)), lrax.adam(0.25).init(PARAMS)
  copies = jax.tree.map(np.array, (old, new))
  lrax.transplant(old, new)
  assert_equal((old, new), copies)


def test_every_field_is_named_once():
  """Carried and fresh are the new state's fields; the dropped are the old's."""
  old = trained(two_groups(('body', 'head')))
  new = lrax.amsgrad(0.5).init(PARAMS)
  new = {'model': two_groups(('body', 'top')).init(PARAMS), 'critic': new}
  moved = lrax.transplant(old, new)
  said = [*moved.carried, *moved.fresh]
  # 7 fields for each Adam, 8 for AMSGrad.
  assert len(said) == len(set(text.split(':')[0] for text in said)) == 7 + 7 + 8
  assert len(moved.carried) + len(moved.dropped) == 14


def test_inside_jit_the_state_is_the_same():
  old = trained(lrax.adam(falling()))
  new = lrax.amsgrad(falling(0.5)).init(PARAMS)
  jitted = jax.jit(lambda old, new: lrax.transplant(old, new).state)
  assert_equal(jitted(old, new), lrax.transplant(old, new).state)


def test_inside_jit_with_the_init_of_the_new_optimizer():
  tx = lrax.adamw(falling(0.5), b1=B1, b2=B2)
  old = trained(lrax.adam(falling(), b1=B1, b2=B2))

  @jax.jit
  def go_on(old, params):
    state = lrax.transplant(old, tx.init(params)).state
    _, state = tx.update(gradient(3), state, params)
    return state

  state = go_on(old, PARAMS)
  assert float(lrax.get_learning_rate(state)) == 0.5 * RATES[3]
  # Four gradients' average, in float32; terms of either sign.
  mu, _ = moments(4)
  for name in PARAMS:
    np.testing.assert_allclose(state[0].mu[name], mu[name], rtol=1e-5, atol=1e-6)


def _narrow(mu_dtype=None, nu_dtype=None):
  return lrax.adam(0.1, B1, B2, mu_dtype=mu_dtype, nu_dtype=nu_dtype)


@pytest.mark.parametrize('before, after', [
    ((None, None), ('block8', 'block8')),
    ((None, None), (None, 'block8')),
    (('block8', 'block8'), (None, None)),
    (('block8', None), ('block8', 'block8')),
])
def test_moments_in_another_format_leave_their_count_behind(before, after):
  """With a count of 3 and moments of 0 the first steps would be three times as long."""
  params = {'w': jnp.ones((64, 128))}
  old, new = _narrow(*before), _narrow(*after)
  state = old.init(params)
  for _ in range(3):
    _, state = old.update(params, state, params)
  moved = lrax.transplant(state, new.init(params))
  start = new.init(params)[0]
  assert_equal(moved.state[0], start)
  assert moved.state[1].step == 3  # the policy's clock is its own


def test_moments_in_the_same_narrow_format_go_along():
  params = {'w': jnp.ones((64, 128))}
  tx = _narrow('block8', jnp.bfloat16)
  state = tx.init(params)
  for _ in range(3):
    _, state = tx.update(params, state, params)
  moved = lrax.transplant(state, tx.init(params))
  assert_equal(moved.state, state)
  assert not moved.fresh and not moved.dropped
