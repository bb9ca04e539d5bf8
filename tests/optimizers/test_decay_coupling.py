"""What scales weight decay: the rate, the schedule only, or nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

PEAK = 0.05
RATE = lrax.linear(PEAK, 0.0, steps=40)
STEPS = 30
START = np.array([1.0, -2.0, 0.5])
GRADIENTS = np.random.default_rng(0).normal(size=(STEPS, 3))

# Both sides evaluate the same formula in float64; 30 steps gather about 1e-14.
FLOAT64 = {'rtol': 1e-12, 'atol': 1e-14}


def formula(coupling, nesterov, rates, decays, b1=0.9, b2=0.999, eps=1e-8):
  """The parameters after each step, by the paper's algorithm 2 and its variants."""
  x, m, v = START, np.zeros(3), np.zeros(3)
  for t, (g, rate, decay) in enumerate(zip(GRADIENTS, rates, decays), 1):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    hat = m / (1 - b1**t)
    if nesterov:
      hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
    adam = hat / (np.sqrt(v / (1 - b2**t)) + eps)
    scale = {'rate': rate, 'schedule': rate / PEAK, 'none': 1.0}[coupling]
    x = x - rate * adam - scale * decay * x
    yield x


def run(tx):
  """The parameters after each step in float64, in one compiled program."""

  def step(carry, g):
    x, state = carry
    updates, state = tx.update(g, state, x)
    x = optax.apply_updates(x, updates)
    return (x, state), x

  x = jnp.asarray(START)
  return jax.jit(lambda g: jax.lax.scan(step, (x, tx.init(x)), g)[1])(GRADIENTS)


def coupled(coupling, rate=RATE, peak=PEAK, make=lrax.adamw, **arguments):
  if coupling == 'schedule':
    arguments['reference_rate'] = peak
  return make(rate, decay_coupling=coupling, **arguments)


COUPLINGS = ['rate', 'schedule', 'none']
every_coupling = pytest.mark.parametrize('coupling', COUPLINGS)


@every_coupling
@pytest.mark.parametrize('make', [lrax.adamw, lrax.nadamw])
def test_equals_the_formula(make, coupling):
  """Under a decay that is a number for one, a schedule for the other."""
  moving = lrax.linear(0.2, 0.1, steps=20)
  decay = 0.1 if make is lrax.nadamw else moving
  with jax.enable_x64(True):
    steps = np.arange(STEPS)
    rates = np.asarray(RATE(steps))
    decays = np.full(STEPS, 0.1) if decay == 0.1 else np.asarray(moving(steps))
    expected = list(formula(coupling, make is lrax.nadamw, rates, decays))
    x = run(coupled(coupling, make=make, weight_decay=decay))
    np.testing.assert_allclose(x, expected, **FLOAT64)


def test_schedule_is_the_lambda_of_the_paper():
  """Which is `weight_decay` times the peak where the rate scales it all."""
  with jax.enable_x64(True):
    paper = run(coupled('schedule', weight_decay=0.1))
    whole = run(coupled('rate', weight_decay=0.1 / PEAK))
    np.testing.assert_allclose(paper, whole, **FLOAT64)


def move(tx, state, x=4.0):
  """What a gradient of 0 moves x by, where Adam adds nothing, and the state."""
  x = jnp.asarray(x)
  updates, state = tx.update(jnp.zeros_like(x), state, x)
  return updates.tolist(), state


@pytest.mark.parametrize(
    'coupling, moves',
    [
        # The rate times 1/4 of 4: 1/2, overridden by 1/4, scaled to 1/8.
        ('rate', [-0.5, -0.25, -0.125]),
        # The same over a reference of 1/2.
        ('schedule', [-1.0, -0.5, -0.25]),
        ('none', [-1.0, -1.0, -1.0]),
    ],
)
@pytest.mark.parametrize('rate', [0.5, lrax.constant(0.5), lambda step: 0.5])
def test_the_rate_that_is_applied_scales_the_decay(rate, coupling, moves):
  reference = 0.5 if callable(rate) else None
  tx = coupled(coupling, rate, reference, weight_decay=0.25)
  first, state = move(tx, tx.init(jnp.ones(())))
  second, state = move(tx, lrax.set_learning_rate(state, 0.25))
  state = lrax.scale_learning_rate(lrax.follow_schedule(state), 0.25)
  third, state = move(tx, state)
  assert [first, second, third] == moves
  assert float(lrax.get_learning_rate(state)) == 0.125


@every_coupling
def test_at_a_rate_of_0_weights_decay_with_none_only(coupling):
  tx = coupled(coupling, lrax.linear(0.0, 1.0, steps=4), 1.0, weight_decay=0.25)
  moved, _ = move(tx, tx.init(jnp.ones(())))
  assert moved == (-1.0 if coupling == 'none' else 0.0)


def test_the_reference_of_a_constant_rate_may_be_another():
  tx = lrax.adamw(0.5, weight_decay=0.25, decay_coupling='schedule', reference_rate=2.0)
  assert move(tx, tx.init(jnp.ones(())))[0] == -0.25


def test_the_state_is_the_same_for_every_coupling():
  """A checkpoint of one is one of the others, and its rate comes last."""
  mask = lambda params: {name: name == 'w' for name in params}
  params = {'w': jnp.ones(2), 'b': jnp.ones(2)}
  states = []
  for coupling in COUPLINGS:
    tx = coupled(coupling, weight_decay=0.25, mask=mask)
    states.append(jax.eval_shape(tx.init, params))
    _, after = jax.eval_shape(tx.update, params, states[-1], params)
    states.append(after)
  assert all(state == states[0] for state in states)
  assert isinstance(states[0][-1], lrax.LearningRateState)


@every_coupling
@pytest.mark.parametrize(
    'mask', [{'w': True, 'b': False}, lambda params: {'w': True, 'b': False}]
)
def test_mask_says_where_to_decay(mask, coupling):
  tx = coupled(coupling, 0.5, None, weight_decay=0.25, mask=mask)
  params = {'w': jnp.full(2, 4.0), 'b': jnp.full(2, 4.0)}
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(zeros, tx.init(params), params)
  assert updates['w'].tolist() == [-0.5 if coupling == 'rate' else -1.0] * 2
  assert updates['b'].tolist() == [0.0, 0.0]


@every_coupling
@pytest.mark.parametrize('decay', [0.01, lrax.constant(0.01)])
def test_bfloat16_parameters_are_computed_in_float32(decay, coupling):
  """The sum is that of float32, rounded to bfloat16."""
  rng = np.random.default_rng(0)
  x, g = (jnp.asarray(rng.normal(size=500), jnp.bfloat16) for _ in range(2))
  # At b1 = b2 = 0 and eps = 0 the direction is the sign of g, whatever the dtype.
  tx = coupled(coupling, 0.05, None, b1=0.0, b2=0.0, eps=0.0, weight_decay=decay)
  updates, _ = tx.update(g, tx.init(x), x)
  assert updates.dtype == jnp.bfloat16
  sign, wide = jnp.sign(g).astype(jnp.float32), x.astype(jnp.float32)
  rate, decay = np.float32(0.05), np.float32(0.01)
  if coupling == 'rate':
    direction = (sign + decay * wide).astype(jnp.bfloat16)
    expected = (-rate * direction.astype(jnp.float32)).astype(jnp.bfloat16)
  else:
    expected = (-rate * sign - decay * wide).astype(jnp.bfloat16)
    narrow = (-rate * sign).astype(jnp.bfloat16) - (decay * wide).astype(jnp.bfloat16)
    # What this test is there to tell apart.
    assert (narrow != expected).any()
  np.testing.assert_array_equal(updates, expected)


def test_one_program_for_all_rates_and_references():
  """Traced, and under vmap; a rate of 0 that is its own reference is no NaN."""
  traces = []

  @jax.jit
  @jax.vmap
  def moves(rate, decay):
    traces.append(None)
    tx = lrax.adamw(rate, weight_decay=decay, decay_coupling='schedule')
    return tx.update(jnp.zeros(()), tx.init(jnp.zeros(())), jnp.asarray(4.0))[0]

  rates, decays = jnp.array([0.0, 0.1, 0.5]), jnp.array([0.25, 0.25, 0.125])
  assert moves(rates, decays).tolist() == [0.0, -1.0, -0.5]
  assert moves(rates + 1.0, decays).tolist() == [-1.0, -1.0, -0.5]
  assert len(traces) == 1


def test_groups_and_accumulation():
  """Each group is coupled its own way, and decays once in two gradients."""
  inner = optax.partition(
      {
          'a': lrax.adamw(0.5, weight_decay=0.25, decay_coupling='none'),
          'b': lrax.adamw(0.25, weight_decay=0.25),
      },
      {'x': 'a', 'y': 'b'},
  )
  tx = optax.MultiSteps(inner, 2)
  params = {'x': jnp.asarray(4.0), 'y': jnp.asarray(4.0)}
  zeros, state = jax.tree.map(jnp.zeros_like, params), tx.init(params)
  update = jax.jit(tx.update)
  moved = []
  for _ in range(2):
    updates, state = update(zeros, state, params)
    moved.append(jax.tree.map(float, updates))
  assert moved == [{'x': 0.0, 'y': 0.0}, {'x': -1.0, 'y': -0.25}]
  assert lrax.get_learning_rate(state) == {'a': 0.5, 'b': 0.25}


def test_a_closed_loop_decay_gets_the_signals_of_the_update():
  @lrax.control.closed_loop(lambda: (0.0, ()))
  def follows_the_loss(memory, step, signals):
    del step
    return signals.require('value', 'follows_the_loss') * signals.params, memory

  tx = coupled('none', weight_decay=follows_the_loss())
  x = jnp.asarray(2.0)
  updates, state = tx.update(jnp.zeros(()), tx.init(x), x, value=jnp.asarray(0.25))
  # A decay of 1/4 * 2, times 2.
  assert float(updates) == -1.0
  assert float(lrax.metrics(state)['weight_decay']) == 0.5


@every_coupling
def test_parameters_are_needed(coupling):
  tx = coupled(coupling)
  with pytest.raises(ValueError, match='adamw: `params` must be given'):
    tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


@pytest.mark.parametrize('make', [lrax.adamw, lrax.nadamw])
@pytest.mark.parametrize(
    'rate, arguments, error, match',
    [
        (0.1, {'decay_coupling': 'rates'}, ValueError, "`decay_coupling` .* 'none'"),
        (0.1, {'decay_coupling': None}, TypeError, '`decay_coupling` must be one of'),
        (RATE, {'decay_coupling': 'schedule'}, ValueError,
         '`reference_rate` must be given .* peak'),
        (0.0, {'decay_coupling': 'schedule'}, ValueError,
         '`reference_rate` must be a finite number > 0'),
        (RATE, {'decay_coupling': 'schedule', 'reference_rate': 0.0}, ValueError,
         '`reference_rate` must be a finite number > 0'),
        (RATE, {'decay_coupling': 'schedule', 'reference_rate': RATE}, TypeError,
         '`reference_rate` must be a finite number > 0'),
        (0.1, {'reference_rate': 0.1}, ValueError, '`reference_rate` must be None'),
        (0.1, {'decay_coupling': 'none', 'reference_rate': 0.1}, ValueError,
         '`reference_rate` must be None'),
    ],
)  # fmt: skip
def test_refuses(make, rate, arguments, error, match):
  with pytest.raises(error, match=f'{make.__name__}: {match}'):
    make(rate, **arguments)
