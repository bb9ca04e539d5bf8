"""Numbers that are schedules, in every transformation and optimizer."""

import functools
import inspect

import jax
import jax.numpy as jnp
import members
import numpy as np
import optax
import pytest

import lrax
from lrax import transforms
from lrax.transforms import ScheduledState

STEPS = 25
# Each of them still moves at the end; both are decays and positive.
RISING = lrax.linear(0.1, 0.95, steps=40)
FALLING = lrax.linear(0.9, 0.3, steps=40)
SMALL = lrax.linear(1e-2, 1e-3, steps=40)
GRADIENTS = np.random.default_rng(0).normal(size=(STEPS, 3))

# Both sides evaluate the same formula in float64; 25 steps gather about 1e-14.
FLOAT64 = {'rtol': 1e-12, 'atol': 1e-14}
# The same in float32, where the value of a schedule is off by 6e-8 and 1 - 0.999
# by 1.3e-5 for that; half of it under a root.
FLOAT32 = {'rtol': 3e-5, 'atol': 1e-6}


def average(decays, terms):
  """The average from 0 with decays that move, and the weight it has gathered."""
  value, product, path = 0.0, 1.0, []
  for decay, term in zip(decays, terms):
    value = decay * value + (1 - decay) * term
    product *= decay
    path.append((value, 1 - product))
  return zip(*path)


def adam(g, b1, b2, eps):
  mu, mu_weight = average(b1, g)
  nu, nu_weight = average(b2, g**2)
  for m, v, p, q, e in zip(mu, nu, mu_weight, nu_weight, eps):
    yield m / p / (np.sqrt(v / q) + e)


def nesterov(g, b1, b2, eps):
  mu, mu_weight = average(b1, g)
  nu, nu_weight = average(b2, g**2)
  for x, m, v, p, q, b, e in zip(g, mu, nu, mu_weight, nu_weight, b1, eps):
    hat = b * m / (1 - b * (1 - p)) + (1 - b) * x / p
    yield hat / (np.sqrt(v / q) + e)


def amsgrad(g, b1, b2, eps):
  mu, mu_weight = average(b1, g)
  nu, nu_weight = average(b2, g**2)
  largest = 0.0
  for m, v, p, q, e in zip(mu, nu, mu_weight, nu_weight, eps):
    largest = np.maximum(largest, v / q)
    yield m / p / (np.sqrt(largest) + e)


def nadam(g, b1, b2, momentum_decay):
  mu, _ = average(b1, g)
  nu, nu_weight = average(b2, g**2)
  product = 1.0
  rows = zip(g, mu, nu, nu_weight, b1, momentum_decay)
  for t, (x, m, v, q, b, psi) in enumerate(rows):
    now, ahead = (b * (1 - 0.96 ** (n * psi) / 2) for n in (t + 1, t + 2))
    product *= now
    hat = ahead * m / (1 - product * ahead) + (1 - now) * x / (1 - product)
    yield hat / (np.sqrt(v / q) + 1e-8)


def centered_rms(g, decay, eps):
  nu, weight = average(decay, g**2)
  mu, _ = average(decay, g)
  for x, m, v, w, e in zip(g, mu, nu, weight, eps):
    yield x / np.sqrt(np.maximum(v / w - (m / w) ** 2, 0) + e)


def momentum(g, decay):
  velocity = 0.0
  for x, d in zip(g, decay):
    velocity = d * velocity + x
    yield x + d * velocity


def adagrad(g, eps):
  for x, s, e in zip(g, np.cumsum(g**2, axis=0), eps):
    yield x / (np.sqrt(s) + e)


MOMENTS = {'b1': RISING, 'b2': FALLING, 'eps': SMALL}
CASES = {
    'adam': (transforms.scale_by_adam, MOMENTS, adam),
    'nesterov': (
        functools.partial(transforms.scale_by_adam, nesterov=True), MOMENTS, nesterov
    ),
    'amsgrad': (
        functools.partial(
            transforms.scale_by_amsgrad,
            bias_correction_mu=True,
            bias_correction_nu=True,
        ),
        MOMENTS,
        amsgrad,
    ),
    'nadam': (
        transforms.scale_by_nadam,
        {'b1': RISING, 'b2': FALLING, 'momentum_decay': SMALL},
        nadam,
    ),
    'rms': (
        functools.partial(transforms.scale_by_rms, bias_correction=True, centered=True),
        {'decay': FALLING, 'eps': SMALL},
        centered_rms,
    ),
    'momentum': (
        functools.partial(transforms.scale_by_momentum, nesterov=True),
        {'decay': RISING},
        momentum,
    ),
    'adagrad': (transforms.scale_by_adagrad, {'eps': SMALL}, adagrad),
}


def path(tx, gradients, params):
  """Updates of each gradient and the last state, in one compiled program."""

  @jax.jit
  def run(gradients):
    def step(state, g):
      updates, state = tx.update(g, state, params)
      return state, updates

    return jax.lax.scan(step, tx.init(params), gradients)

  state, updates = run(gradients)
  return updates, state


@pytest.mark.parametrize('case', CASES)
def test_equals_the_formula_with_numbers_that_move(case):
  constructor, schedules, formula = CASES[case]
  with jax.enable_x64(True):
    steps = np.arange(STEPS)
    values = {name: np.asarray(s(steps)) for name, s in schedules.items()}
    updates, state = path(constructor(**schedules), GRADIENTS, jnp.zeros(3))
    np.testing.assert_allclose(
        updates, list(formula(GRADIENTS, **values)), **FLOAT64
    )
    assert set(state.values) == set(values)
    for name, value in state.values.items():
      # Compiled code rounds once where eager code rounds twice.
      np.testing.assert_allclose(value, values[name][-1], rtol=1e-15)


# --- every number of every member

NUMBERS = {'momentum': 0.9, 'momentum_decay': 4e-3}
# Of these the value is kept under the name that the transformation has for it.
NAMES = {('sm3', 'momentum'): 'b1'}
# rho of RAdam is the length of an average whose b2 stays.
STAYS = {('radam', 'b2'), ('scale_by_radam', 'b2')}


def _numbers():
  """(member, argument, number) for every number that each update uses."""
  for member in [*members.OPTIMIZERS, *members.TRANSFORMS]:
    for name, parameter in inspect.signature(member).parameters.items():
      number = NUMBERS.get(name, parameter.default)
      # Read once, used to say what z and y are, or annealed by steps of its own:
      # one number for the run.
      once = name.startswith(('initial_', 'estim_lr0', 'init_'))
      once |= member.__name__ == 'cocob' and name == 'eps'
      if member.__name__.startswith('schedule_free'):
        once |= name in ('b1', 'b2', 'share', 'end_share', 'norm_decay')
      once |= name == 'learning_rate' or (member.__name__, name) in STAYS
      if isinstance(number, float) and not once:
        yield pytest.param(member, name, number, id=f'{member.__name__}-{name}')


def _two_updates(member, **arguments):
  tx = members.required(member)
  tx = tx._replace(arguments=tx.arguments | arguments).build()
  params = jnp.array([1.0, -2.0])
  # A method that needs the loss gets one, others pass over it.
  _, state = tx.update(params, tx.init(params), params, value=1.0)
  return tx.update(params - 0.5, state, params, value=0.9)


@pytest.mark.parametrize('member, name, number', list(_numbers()))
def test_every_number_may_be_a_schedule(member, name, number):
  """A schedule that stays gives what the number gives, and is kept by name."""
  expected, plain = _two_updates(member, **{name: number})
  updates, state = _two_updates(member, **{name: optax.constant_schedule(number)})
  np.testing.assert_allclose(updates, expected, **FLOAT32)
  (found,) = scheduled_states(state)
  kept = NAMES.get((member.__name__, name), name)
  assert {k: float(v) for k, v in found.values.items()} == {kept: np.float32(number)}
  assert int(found.step) == 2
  assert not scheduled_states(plain)


def scheduled_states(state):
  leaves = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, ScheduledState))
  return [leaf for leaf in leaves if isinstance(leaf, ScheduledState)]


def test_numbers_are_found():
  found = {p.id for p in _numbers()}
  assert {'sgd-momentum', 'adamw-weight_decay', 'scale_by_adam-b2'} <= found


# --- the weight of averages


def test_a_constant_gradient_has_a_direction_of_1_however_b1_moves():
  """Which is what a correction is for; 1 - b1 ** t gives 30 at the end."""
  b1 = lrax.linear(0.0, 0.999, steps=30)
  tx = transforms.scale_by_adam(b1=b1, b2=lrax.linear(0.0, 0.99, steps=20), eps=0.0)
  updates, state = path(tx, jnp.full((31, 2), -3.0), jnp.zeros(2))
  # A few float32 roundings a step, in the average and its weight alike.
  np.testing.assert_allclose(updates, np.full((31, 2), -1.0), rtol=1e-5)
  by_power = float(state.inner_state.mu[0] / (1 - 0.999**31))
  assert by_power / -3.0 > 30


def test_moments_from_a_run_with_constants_keep_their_weight():
  """Resumed under a schedule: what mu and nu have gathered is not forgotten."""
  plain = lrax.adam(1.0, b2=0.99)
  moving = lrax.adam(1.0, b1=lrax.linear(0.9, 0.5, steps=9), b2=lrax.constant(0.99))
  g, state = jnp.full(2, -3.0), plain.init(jnp.zeros(2))
  for _ in range(20):
    _, state = plain.update(g, state)
  state = lrax.transplant(state, moving.init(jnp.zeros(2))).state
  for _ in range(3):
    updates, state = moving.update(g, state)
    # The average of a constant over its weight is that constant; float32.
    np.testing.assert_allclose(updates, [1.0, 1.0], rtol=1e-5)


def test_derivatives_by_what_makes_a_schedule_are_finite():
  """Also at a decay of 0, under one compilation for all values."""

  def last(end):
    tx = transforms.scale_by_adam(b1=lrax.linear(0.0, end, steps=2))
    _, state = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    return tx.update(jnp.array([2.0, -1.0]), state)[0].sum()

  ends = jnp.array([0.0, 0.5, 0.9])
  values, slopes = jax.jit(jax.vmap(jax.value_and_grad(last)))(ends)
  step = 1e-2
  expected = [(last(e + step) - last(e)) / step for e in ends]
  # A difference quotient errs by the step times half of the second derivative,
  # which is below 4 here.
  np.testing.assert_allclose(slopes, expected, atol=2e-2)
  np.testing.assert_allclose(values, [last(e) for e in ends], rtol=1e-5)


# --- Optax


@pytest.mark.parametrize(
    'name, arguments',
    [
        ('sgd', {'momentum': optax.linear_schedule(0.5, 0.9, 10)}),
        ('adamw', {'weight_decay': optax.cosine_decay_schedule(0.5, 20)}),
        ('adam', {'eps': optax.exponential_decay(1.0, 5, 0.1), 'eps_root': SMALL}),
    ],
)
def test_equals_inject_hyperparams(name, arguments):
  """Where it is right: in float32, with no average corrected by what moves."""
  params = jnp.array([1.0, -1.0, 0.5])
  gradients = jnp.asarray(GRADIENTS, jnp.float32)
  ours, _ = path(getattr(lrax, name)(0.1, **arguments), gradients, params)
  injected = optax.inject_hyperparams(getattr(optax, name))
  theirs, _ = path(injected(0.1, **arguments), gradients, params)
  np.testing.assert_allclose(ours, theirs, **FLOAT32)


# --- dtypes, layout, compilation


def layout(tree):
  leaf = lambda a: (a.shape, a.dtype, getattr(a, 'weak_type', False))
  return jax.tree.structure(tree), [leaf(a) for a in jax.tree.leaves(tree)]


MOVING = {
    'b1': RISING,
    'b2': lrax.constant(0.999),
    'eps': lambda step: 1e-8,
    'weight_decay': lrax.linear(0.5, 0.0, steps=4),
}


@pytest.mark.parametrize('x64', [False, True])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'complex64'])
def test_values_are_as_wide_as_a_rate_and_the_layout_stays(dtype, x64):
  with jax.enable_x64(x64):
    tx, params = lrax.adamw(0.1, **MOVING), {'w': jnp.ones((2, 3), dtype)}
    state = jax.eval_shape(tx.init, params)
    updates, after = jax.eval_shape(tx.update, params, state, params)
    assert layout(after) == layout(state)
    assert layout(updates) == layout(params)
    values = [v for s in scheduled_states(after) for v in s.values.values()]
    assert [v.dtype for v in values] == [jnp.dtype(float if x64 else 'float32')] * 4


def test_bfloat16_parameters_do_not_round_b2_to_1():
  """In bfloat16 0.999 is 1, nu stays at 0 and the update is NaN."""
  assert jnp.bfloat16(0.999) == 1
  params = jnp.ones(2, jnp.bfloat16)
  tx = lrax.adam(0.5, b2=optax.constant_schedule(0.999))
  updates, state = tx.update(params, tx.init(params))
  assert float(lrax.metrics(state)['b2']) == np.float32(0.999)
  # Adam's first update is the rate.
  assert updates.tolist() == [-0.5, -0.5]
  assert updates.dtype == jnp.bfloat16


def test_one_compilation_and_the_rate_stays_its_own():
  """Override, scale and restart act on the rate; the values go on."""
  tx = lrax.adamw(lrax.linear(0.5, 0.0, steps=8), **MOVING)
  params, traces = jnp.ones(3), []

  @jax.jit
  def update(state):
    traces.append(None)
    return tx.update(params, state, params)[1]

  state, rates, decays = tx.init(params), [], []
  for change in (
      lambda state: state,
      lambda state: lrax.set_learning_rate(state, 0.25),
      lrax.follow_schedule,
      lambda state: lrax.scale_learning_rate(state, 0.5),
      lambda state: lrax.restart_schedule(state, at=0),
  ):
    state = update(change(state))
    rates.append(float(lrax.get_learning_rate(state)))
    decays.append(float(lrax.metrics(state)['weight_decay']))
  # 1/2 - t/16, or what was changed; 1/2 - t/8; all exact in binary.
  assert rates == [0.5, 0.25, 0.375, 0.15625, 0.25]
  assert decays == [0.5, 0.375, 0.25, 0.125, 0.0]
  assert len(traces) == 1


# --- closed loop


@lrax.control.closed_loop(lambda: (0.5, jnp.zeros(())))
def halves_when_the_loss_rises(memory, step, signals):
  """Half of the loss of before, plus what it saw, to show that it saw it."""
  loss = signals.require('value', 'halves_when_the_loss_rises')
  seen = 0.0625 * signals.params.sum() + 0.125 * signals.updates.sum()
  return jnp.where(loss > memory, 0.25, 0.5) + 0 * step + seen, loss


def test_a_closed_loop_gets_the_signals_of_the_update():
  tx = lrax.sgd(0.5, momentum=halves_when_the_loss_rises())
  params = jnp.array([1.0, 0.0])
  state = tx.init(params)
  assert float(lrax.metrics(state)['momentum']) == 0.5
  seen = []
  for loss, g in ((-1.0, [0.0, 0.0]), (2.0, [1.0, 0.0]), (1.0, [0.0, 0.0])):
    _, state = tx.update(jnp.array(g), state, params, value=jnp.asarray(loss))
    seen.append(float(lrax.metrics(state)['momentum']))
  # 1/2, or 1/4 where the loss rose, plus 1/16 of params and 1/8 of the gradient.
  assert seen == [0.5625, 0.4375, 0.5625]
  assert float(state[0].memories['momentum'].kept) == 1.0
  with pytest.raises(ValueError, match='halves_when_the_loss_rises: .*`value`'):
    tx.update(params, state, params)


def test_metrics_of_a_closed_loop_are_forgotten_after_one_update():
  tx = lrax.sgd(0.5, momentum=halves_when_the_loss_rises())
  params = jnp.zeros(2)
  state = tx.init(params)
  memory = state[0].memories['momentum']._replace(reported=jnp.ones(()))
  state = (state[0]._replace(memories={'momentum': memory}), *state[1:])
  _, state = tx.update(params, state, params, value=jnp.ones(()))
  assert jnp.isnan(state[0].memories['momentum'].reported)


# --- nests


def test_inside_multi_steps_the_clock_counts_updates():
  tx = optax.MultiSteps(lrax.sgd(0.5, momentum=lrax.linear(0.0, 0.5, steps=2)), 2)
  params = jnp.ones(2)
  state, values = tx.init(params), []
  update = jax.jit(tx.update)
  for _ in range(6):
    _, state = update(params, state, params)
    values.append(float(lrax.metrics(state)['momentum']))
  assert values == [0.0, 0.0, 0.0, 0.25, 0.25, 0.5]


def test_metrics_tell_the_groups_of_a_partition_apart():
  moving = lrax.linear(0.5, 0.25, steps=2)
  tx = optax.partition(
      {
          'a': lrax.sgd(0.5, momentum=moving),
          'b': lrax.rmsprop(0.25, decay=0.5 * moving, momentum=0.5),
          'c': lrax.sgd(0.125, momentum=0.5),
      },
      {'x': 'a', 'y': 'b', 'z': 'c'},
  )
  params = {name: jnp.ones(2) for name in 'xyz'}
  state = tx.init(params)
  for _ in range(2):
    _, state = tx.update(params, state, params)
  told = {k: float(v) for k, v in lrax.metrics(state).items()}
  assert {k: v for k, v in told.items() if not k.startswith('learning_rate')} == {
      'momentum/a': 0.375,
      'decay/b': 0.1875,
  }
  assert lrax.get_learning_rate(state) == {'a': 0.5, 'b': 0.25, 'c': 0.125}


def test_masked_leaves_pass():
  scale = transforms.scale_by_momentum(lrax.constant(0.5))
  tx = optax.masked(scale, {'x': True, 'y': False})
  g = {'x': jnp.ones(()), 'y': jnp.ones(())}
  _, state = tx.update(g, tx.init(g))
  updates, _ = tx.update(g, state)
  assert jax.tree.map(float, updates) == {'x': 1.5, 'y': 1.0}


def test_metrics_tell_links_of_one_name_apart():
  half, quarter = (transforms.scale_by_momentum(lrax.constant(d)) for d in (0.5, 0.25))
  state = optax.chain(half, quarter, lrax.constant(1.0)).init(jnp.ones(2))
  told = {k: float(v) for k, v in lrax.metrics(state).items() if 'decay' in k}
  assert told == {'decay[0]': 0.5, 'decay[1]': 0.25}


def test_a_link_before_a_partition_belongs_to_no_group():
  groups = optax.partition(
      {'a': lrax.sgd(0.5), 'b': lrax.sgd(0.25)}, {'x': 'a', 'y': 'b'}
  )
  tx = optax.chain(transforms.scale_by_adam(b1=lrax.constant(0.5)), groups)
  state = tx.init({'x': jnp.ones(2), 'y': jnp.ones(2)})
  assert float(lrax.metrics(state)['b1']) == 0.5


# --- what is refused

WRONG = lrax.linear(1.5, 0.5, steps=4)


@pytest.mark.parametrize(
    'build, error, match',
    [
        (lambda: lrax.adam(0.1, b1=WRONG), ValueError, '`b1` must be a number in'),
        (lambda: lrax.sgd(0.1, momentum=WRONG), ValueError, 'sgd: `momentum` must be'),
        (lambda: lrax.adam(0.1, b1=RISING, b2=2.0), ValueError, '`b2` must be'),
        (lambda: lrax.adam(0.1, b1='0.9'), TypeError, '`b1` must be'),
        (lambda: lrax.rmsprop(0.1, initial_scale=SMALL), TypeError,
         '`initial_scale` must be'),
        (lambda: lrax.adagrad(0.1, initial_accumulator_value=SMALL), TypeError,
         '`initial_accumulator_value` must be'),
        (lambda: lrax.sgd(0.1, momentum=RISING, nesterov=RISING), TypeError,
         '`nesterov` must be True or False'),
        (lambda: lrax.adam(0.1, b1=RISING, mu_dtype=RISING), TypeError,
         '`mu_dtype` must be'),
        (lambda: lrax.adam(0.1, b1=RISING, b3=0.9), TypeError, 'b3'),
    ],
)  # fmt: skip
def test_refuses(build, error, match):
  with pytest.raises(error, match=match):
    build()


def test_a_value_out_of_range_is_refused_where_it_is_known():
  tx = lrax.sgd(0.1, momentum=lrax.linear(0.5, 1.0, steps=1))
  g = jnp.ones(2)
  _, state = tx.update(g, tx.init(g))
  with pytest.raises(ValueError, match='sgd: `momentum` must be a number in'):
    tx.update(g, state)
  updates, _ = jax.jit(tx.update)(g, state)
  assert updates.tolist() == [np.float32(-0.2)] * 2
