import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax
from lrax.control import hypergradient

FORMS = ('additive', 'multiplicative', 'normalized')
every_form = pytest.mark.parametrize('form', FORMS)


def rates(policy, gradients, params=None, **signals):
  """The rates of updates with these directions."""
  gradients = [jnp.asarray(g, jnp.float32) for g in gradients]
  state, found = policy.init(gradients[0]), []
  for gradient in gradients:
    state = policy.update(gradient, state, params, **signals)[1]
    found.append(float(state.learning_rate))
  return found


# --- the papers' formulas ----------------------------------------------------


def by_hand(form, hyper_rate, rate, adam, steps):
  """Baydin's algorithms 4 and 6 and the two other forms, in float64, by NumPy."""
  value_and_grad = jax.jit(jax.value_and_grad(trajectories.loss))
  x = {k: np.asarray(v) for k, v in trajectories.start().items()}
  flat = lambda tree: np.concatenate([np.ravel(tree[k]) for k in ('x', 'w')])
  m = v = 0.0
  last = last_grad = None
  found = []
  for t in range(1, steps + 1):
    grad = flat(value_and_grad(x)[1])
    m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
    step = grad
    if adam:
      step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    if last is not None:
      gain = grad @ last
      if form == 'additive':
        rate = rate + hyper_rate * gain
      elif form == 'multiplicative':
        sizes = np.linalg.norm(grad) * np.linalg.norm(last)
        rate = rate * (1 + hyper_rate * gain / sizes)
      else:
        rate = rate + hyper_rate * gain / (last_grad @ last)
    last, last_grad = step, grad
    moved = flat(x) - rate * step
    x = {'x': moved[:6], 'w': moved[6:].reshape(4, 3)}
    found.append(rate)
  return found, flat(x)


@every_form
@pytest.mark.parametrize('adam', [False, True])
def test_follows_the_algorithm_by_hand(form, adam):
  hyper_rate = {'additive': 1e-4, 'multiplicative': 0.02, 'normalized': 2e-3}[form]
  policy = hypergradient(0.01, hyper_rate, form)
  tx = (lrax.adam if adam else lrax.sgd)(policy)
  with jax.enable_x64(True):
    expect, end = by_hand(form, hyper_rate, 0.01, adam, 40)
    params = trajectories.start()
    state, found = tx.init(params), []

    @jax.jit
    def step(params, state):
      grads = jax.grad(trajectories.loss)(params)
      updates, state = tx.update(grads, state, params, grad=grads)
      return optax.apply_updates(params, updates), state

    for _ in range(40):
      params, state = step(params, state)
      found.append(float(lrax.get_learning_rate(state)))
    assert found[-1] != found[0]
    np.testing.assert_allclose(found, expect, rtol=1e-12)
    np.testing.assert_allclose(trajectories.flat(params), end, rtol=1e-12)


def test_the_three_forms_in_small_numbers():
  gradients = [[3.0, 4.0], [6.0, 8.0], [-3.0, -4.0]]
  # Products 50 and -50; sizes 5, 10, 5.
  assert rates(hypergradient(1.0, 0.125), gradients) == [1, 7.25, 1]
  found = rates(hypergradient(1.0, 0.5, 'multiplicative'), gradients)
  assert found == [1, 1.5, 0.75]
  found = rates(hypergradient(1.0, 0.25, 'normalized'), gradients)
  assert found == [1, 1.5, 1.375]


def test_normalized_does_not_depend_on_the_scale_of_the_loss():
  gradients = np.array([[3.0, 4.0], [2.0, 1.0], [-1.0, 1.0]])
  policy = hypergradient(0.5, 0.25, 'normalized')
  assert rates(policy, gradients) == rates(policy, 1024 * gradients)


def test_the_gradient_is_told_apart_from_the_direction():
  ones, grad = np.ones(2), jnp.array([2.0, 3.0])
  found = rates(hypergradient(0.5, 0.25), [ones, ones], grad=grad)
  assert found == [0.5, 0.5 + 0.25 * 5]


@every_form
def test_finds_a_rate_from_below_and_from_above(form):
  """Of curvature 1 the best is 1; a rate above 2 diverges."""
  hyper_rate = {'additive': 1e-2, 'multiplicative': 0.3, 'normalized': 0.1}[form]

  def run(start):
    tx = lrax.sgd(hypergradient(start, hyper_rate, form, max_value=4.0))

    def step(carry, _):
      w, state = carry
      updates, state = tx.update(w, state, w)
      return (w + updates, state), None

    w = jnp.ones(4)
    (w, state), _ = jax.lax.scan(step, (w, tx.init(w)), length=60)
    return jnp.sum(w**2)

  ends = jax.jit(jax.vmap(run))(jnp.array([0.02, 1.9]))
  # Without it (1 - 0.02) ** 120 = 0.09 of 4, and 0.9 ** 120 of it, are left.
  fixed = [4 * 0.98**120, 4 * 0.9**120]
  assert np.all(ends < np.array(fixed) / 2), (ends, fixed)


# --- faults ------------------------------------------------------------------


@every_form
def test_zero_gradients_leave_the_rate(form):
  zero, some = [0.0, 0.0], [3.0, 4.0]
  policy = hypergradient(0.5, 0.25, form)
  assert rates(policy, [zero, zero, some, zero, some]) == [0.5] * 5


@every_form
@pytest.mark.parametrize('bad', [math.nan, math.inf, 1e30])
def test_what_is_not_finite_leaves_the_rate_and_the_memory(form, bad):
  """1e30 has no square in float32."""
  policy = hypergradient(0.5, 0.25, form)
  some, other = [3.0, 4.0], [1.0, 0.5]
  clean = rates(policy, [some, other])
  found = rates(policy, [some, [bad, 0.0], other])
  assert found == [0.5, 0.5, clean[1]]


def test_never_below_zero_and_it_comes_back():
  policy = hypergradient(0.5, 0.25)
  assert rates(policy, [[4.0], [-4.0], [-4.0]]) == [0.5, 0.0, 4.0]


def test_a_highest_rate():
  policy = hypergradient(0.5, 0.25, max_value=0.25)
  assert rates(policy, [[4.0], [4.0], [-0.125]]) == [0.25, 0.25, 0.125]


def test_half_precision_gradients_are_remembered_in_float32():
  policy = hypergradient(0.5, 2.0**-20)
  updates = jnp.full(2, 300.0, jnp.float16)
  state = policy.init(updates)
  for _ in range(2):
    state = policy.update(updates, state)[1]
  # 180000 would overflow float16.
  assert float(state.learning_rate) == 0.5 + 180000 * 2.0**-20
  assert state.memory.kept.direction.dtype == jnp.float32


# --- company -----------------------------------------------------------------


def test_a_state_without_a_place_for_the_direction_is_refused():
  policy, ones = hypergradient(0.5, 0.25), jnp.ones(2)
  with pytest.raises(ValueError, match='hypergradient: needs the signal `params`'):
    policy.update(ones, policy.init())
  tx = optax.inject_hyperparams(optax.sgd)(policy)
  with pytest.raises(ValueError, match='not in optax.inject_hyperparams'):
    tx.update(ones, tx.init(ones), ones, grad=ones)


def test_multiplies_a_schedule_and_comes_after_a_warmup():
  gradients = [[1.0, 1.0]] * 5
  line = lrax.linear(1.0, 0.0, steps=4)
  policy = (line * hypergradient(1.0, 0.25)).with_warmup(2)
  # After the warmup 1, 3/2, 2 times 1, 3/4, 1/2; nothing is learnt before.
  assert rates(policy, gradients) == [0.0, 0.5, 1.0, 1.125, 1.0]


def test_each_group_remembers_its_own():
  tx = optax.partition(
      {'a': lrax.sgd(hypergradient(0.5, 0.25)), 'b': lrax.sgd(0.5)},
      {'x': 'a', 'y': 'b'},
  )
  grads = {'x': jnp.array([2.0]), 'y': jnp.array([40.0])}
  state = tx.init(grads)
  for _ in range(2):
    state = tx.update(grads, state, grads, grad=grads)[1]
  assert lrax.get_learning_rate(state) == {'a': 1.5, 'b': 0.5}


def test_a_scheduled_number_may_remember_directions():
  tx = lrax.sgd(0.5, momentum=hypergradient(0.5, 0.25, max_value=0.875))
  grads = jnp.array([1.0])
  state = tx.init(grads)
  for _ in range(2):
    state = tx.update(grads, state, grads)[1]
  assert float(lrax.metrics(state)['momentum']) == 0.75


def test_replicas_take_one_rate():
  tx = lrax.sgd(hypergradient(0.5, 0.25))

  def step(scale):
    grads = jax.lax.pmean(scale * jnp.ones(2), 'batch')
    state = tx.init(grads)
    for _ in range(2):
      state = tx.update(grads, state)[1]
    return lrax.get_learning_rate(state)

  found = jax.pmap(step, axis_name='batch')(jnp.arange(8.0))
  np.testing.assert_array_equal(found, np.full(8, 0.5 + 0.25 * 2 * 3.5**2))


def test_bad_arguments_are_refused():
  for name, value in (('init_value', -1.0), ('hyper_rate', -1.0), ('form', 'other'),
                      ('max_value', 0.0)):
    arguments = {'init_value': 0.1, 'hyper_rate': 0.1, name: value}
    with pytest.raises(ValueError, match=f'hypergradient: `{name}` must be'):
      hypergradient(**arguments)
  with pytest.raises(ValueError, match='hypergradient: `hyper_rate` must be below 1'):
    hypergradient(0.1, 1.0, 'multiplicative')
