"""What every optimizer of lrax.optimizers and transformation of lrax.transforms
must do, whatever its method. Members are found by their return type.
"""

import collections
from collections.abc import Mapping
import functools
import inspect
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import lrax

RATE = 0.1
# For arguments without a default.
SAMPLES = {'learning_rate': RATE, 'transform': optax.identity()}
# For numbers that are off by default.
NUMBERS = {'momentum': 0.9, 'momentum_decay': 4e-3}

# Members that refuse an eps of 0: it is what their first update is made of.
EPS_ABOVE_ZERO = {'adadelta': 1e-6, 'scale_by_adadelta': 1e-6, 'mechanic': 1e-8}

# Members whose first update moves nothing, and what it does.
IDLE_AT_FIRST = {
    'adopt': 'the first gradient is only measured',
    'scale_by_adopt': 'the first gradient is only measured',
    'scale_by_soap': 'the first gradient makes the axes',
    'soap': 'the first gradient makes the axes',
}
# Members without a number, and what they take instead.
NO_NUMBERS = {'grams': 'a transformation'}

# Rates of members whose steps are not of the size of the rate.
OTHER_RATES = {
    'adadelta': 1.0,
    'scale_by_adadelta': 1.0,
    'novograd': RATE / 20,  # a sum of 20 of them
    'scale_by_novograd': RATE / 20,
    'lars': 10.0,  # the trust coefficient is 1e-3
    'scale_by_lars': 100.0,
    'scale_by_param_block_rms': 0.3,  # steps shrink with the parameters
}

# Compiled code contracts a * b + c to one rounding and reorders sums: a few
# float32 roundings of 6e-8 an update, for up to four updates of about 1.
FUSED = {'rtol': 2e-6, 'atol': 2e-7}

# Members whose roundings are so many times those of updates of about 1.
LONG = {
    'came': 10.0,  # updates of RATE / sqrt(1 - b3), 100 times the average step
    'scale_by_came': 100.0,
    'scale_by_muon': 20.0,  # each of five iterations has a slope of up to 3.4
}
# Members with a decay nearer to 1 than 0.999, and what float32 leaves of 1 - decay.
NEAR_1 = {
    'came': 3e-4,  # 0.9999
    'scale_by_came': 3e-4,
}
# Optimizers that have a rate of their own where none is given.
OWN_RATE = {'adafactor': 'None is the relative step'}
# Members that need the parameters for more than a decay of weights.
NEEDS_PARAMS = {
    'adafactor': 'a step is a part of the parameter',
    'scale_by_param_block_rms': 'a step is a part of the parameter',
    'scale_by_trust_ratio': 'a step is a part of the parameter',
}
# Members in which the size of a leaf scales its updates, or rotates them.
WHOLE_LEAF = {
    'adafactor': 'the root mean square of a leaf is clipped',
    'came': 'the root mean square of a leaf is clipped',
    'lamb': 'the norm of an update divides it',
    'lars': 'the norm of a gradient divides it',
    'scale_by_came': 'the root mean square of a leaf is clipped',
    'scale_by_lars': 'the norm of a gradient divides it',
    'scale_by_trust_ratio': 'the norm of an update divides it',
}


def _members():
  found = {}
  for family in (lrax.optimizers, lrax.transforms):
    for name in family.__all__:
      member = getattr(family, name)
      if inspect.isclass(member):
        continue
      result = typing.get_type_hints(member).get('return')
      if inspect.isclass(result) and issubclass(
          result, optax.GradientTransformation
      ):
        found[name] = member
  return found


# They give no direction: their own files have their tests.
NO_METHOD = {
    'clip_by_global_norm', 'master_weights', 'stacked', 'stochastic_rounding'
}
MEMBERS = {k: v for k, v in _members().items() if k not in NO_METHOD}
OPTIMIZERS = [name for name in MEMBERS if name in lrax.optimizers.__all__]

every_member = pytest.mark.parametrize('name', MEMBERS)
every_optimizer = pytest.mark.parametrize('name', OPTIMIZERS)


def _numbers():
  """Each member's arguments that are numbers."""
  pairs = []
  for name, member in MEMBERS.items():
    for argument, parameter in inspect.signature(member).parameters.items():
      known = NUMBERS | {'learning_rate': RATE}
      number = known.get(argument, parameter.default)
      if isinstance(number, float):
        pairs.append((name, argument, number))
  return pairs


every_number = pytest.mark.parametrize(
    'name, argument', [(name, argument) for name, argument, _ in _numbers()]
)

# Members that listen to the loss.
NEEDS_VALUE = {'schedule_free_plus'}


def _told_the_loss(tx):
  """The same where `value` is missing: it is that of a quadratic around 0."""

  def update(updates, state, params=None, **extra_args):
    value = jnp.zeros(())
    for g, x in zip(jax.tree.leaves(updates), jax.tree.leaves(params)):
      wide = jnp.promote_types(jnp.result_type(x), jnp.float32)
      product = jnp.conj(jnp.asarray(g, wide)) * jnp.asarray(x, wide)
      value += jnp.real(jnp.sum(product)) / 2
    extra_args = {'value': jnp.abs(value)} | extra_args
    return tx.update(updates, state, params, **extra_args)

  return optax.GradientTransformationExtraArgs(tx.init, update)


def build(name, **wished):
  """The member with sample arguments, and of those wished the ones it has."""
  parameters = inspect.signature(MEMBERS[name]).parameters
  needed = [k for k, p in parameters.items() if p.default is inspect.Parameter.empty]
  arguments = {k: SAMPLES[k] for k in needed}
  tx = MEMBERS[name](
      **arguments | {k: v for k, v in wished.items() if k in parameters}
  )
  return _told_the_loss(tx) if name in NEEDS_VALUE else tx


def _estimates(name):
  """Whether what a schedule of 1 shows at first is not 1: see _estimated.py."""
  state = build(name, learning_rate=1.0).init(jnp.ones(2))
  return float(lrax.get_learning_rate(state)) != 1


# Those that estimate their rate, which the schedule multiplies, from all of the
# parameters; tests/optimizers/test_estimated.py says the same of them.
ESTIMATING = [name for name in OPTIMIZERS if _estimates(name)]
RATED = [name for name in OPTIMIZERS if name not in ESTIMATING]
every_rate = pytest.mark.parametrize('name', RATED)
# L-DoG has an estimate for each array and shows what multiplies them.
LEARNING_RATE_FREE = [*ESTIMATING, 'ldog']
every_of_its_own = pytest.mark.parametrize(
    'name', [name for name in MEMBERS if name not in LEARNING_RATE_FREE]
)
# Members that keep a point beside the parameters.
KEEPS_A_POINT = {
    'schedule_free', 'schedule_free_sgd', 'schedule_free_adamw', 'cocob',
    *LEARNING_RATE_FREE,
}


def tree(seed, dtype=np.float32, lead=()):
  """Two leaves in a nest, of seeded normal numbers, of shape (2, 3) each."""
  rng = np.random.default_rng(seed)
  draw = lambda: jnp.asarray(rng.normal(size=(*lead, 2, 3)), dtype)
  return {'layers': [{'kernel': draw()}], 'scale': (draw(),)}


def array(seed, lead=()):
  """One leaf of them, where a second one would only take as long to compile."""
  return tree(seed, lead=lead)['scale'][0]


def assert_close(actual, expected, **tolerance):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  check = lambda a, e: np.testing.assert_allclose(a, e, **tolerance)
  jax.tree.map(check, actual, expected)


def rounding(name, rtol=FUSED['rtol'], atol=FUSED['atol']):
  """A tolerance of roundings, for the length of this member's updates."""
  return {'rtol': rtol, 'atol': atol * LONG.get(name, 1.0)}


def dtypes(x):
  return jax.tree.map(lambda leaf: jnp.result_type(leaf), x)


def test_members_are_found():
  """Every public function of the two families is one, and some are known."""
  functions = {
      name
      for family in (lrax.optimizers, lrax.transforms)
      for name in family.__all__
      if not inspect.isclass(getattr(family, name))
  }
  assert functions == set(MEMBERS) | NO_METHOD
  assert {'sgd', 'adamw', 'with_learning_rate', 'scale_by_adam'} <= set(MEMBERS)


# --- jit, vmap, scan


def _eager(tx, params, gradients):
  """The updates of each gradient, without jit, and the last state."""
  state, every = tx.init(params), []
  for g in gradients:
    updates, state = tx.update(g, state, params)
    every.append(updates)
  return every, state


def _row(x, i):
  # Through NumPy, since a slice of an array of JAX is a program of its own.
  return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[i]), x)


def _counting(tx):
  """A jitted update to which the state is donated, and a list: one for each trace."""
  traces = []

  @functools.partial(jax.jit, donate_argnums=(1,))
  def update(gradients, state, params):
    traces.append(None)
    return tx.update(gradients, state, params)

  return update, traces


# Exactly in binary, of a rate of 1/8 - t/64: that of t = 0; an override at t = 1;
# that of t = 2; half of that of t = 3; half of that of t = 0.
CHANGES = (
    (lambda state: state, 0.125),
    (lambda state: lrax.set_learning_rate(state, 0.0625), 0.0625),
    (lrax.follow_schedule, 0.09375),
    (lambda state: lrax.scale_learning_rate(state, 0.5), 0.0390625),
    (lambda state: lrax.restart_schedule(state, at=0), 0.0625),
)


@every_member
def test_jit_equals_eager_and_compiles_once(name):
  """With its state donated, and whatever changes the rate on the way.

  Donated: each array of the first state is one of its own, and none is the
  parameters'.
  """
  changes = CHANGES if name in RATED else [(lambda state: state, None)] * 3
  tx = build(name, learning_rate=lrax.linear(0.125, 0.0, steps=8))
  params, (update, traces) = tree(0), _counting(tx)
  jitted, eager = tx.init(params), tx.init(params)
  for seed, (change, rate) in enumerate(changes, 1):
    updates, jitted = update(tree(seed), change(jitted), params)
    expected, eager = tx.update(tree(seed), change(eager), params)
    assert_close(updates, expected, **rounding(name))
    if rate is not None:
      assert lrax.get_learning_rate(jitted) == lrax.get_learning_rate(eager) == rate
  assert_close(jitted, eager, **FUSED)
  assert_close(params, tree(0), rtol=0)
  assert len(traces) == 1


@every_member
def test_a_scan_and_a_vmap_equal_loops(name):
  tx = build(name)
  params, gradients = array(0, lead=(2,)), array(1, lead=(2, 3))

  @jax.jit
  @jax.vmap
  def run(params, gradients):
    def step(state, g):
      updates, state = tx.update(g, state, params)
      return state, updates

    return jax.lax.scan(step, tx.init(params), gradients)

  states, updates = run(params, gradients)
  for i in range(2):
    own = _row(gradients, i)
    expected, last = _eager(tx, _row(params, i), [_row(own, t) for t in range(3)])
    for t in range(3):
      assert_close(_row(_row(updates, i), t), expected[t], **rounding(name))
    assert_close(_row(states, i), last, **FUSED)


# --- one compiled program


@every_optimizer
def test_one_program_for_many_rates_which_vmap_maps_over(name):
  params, gradients, traces = array(0), array(1, lead=(2,)), []

  def two_updates(rate):
    traces.append(None)
    tx = build(name, learning_rate=rate)

    def step(state, g):
      updates, state = tx.update(g, state, params)
      return state, updates

    state, updates = jax.lax.scan(step, tx.init(params), gradients)
    return updates, lrax.get_learning_rate(state)

  mapped = jax.jit(jax.vmap(two_updates))
  for rates in ([0.0, RATE], [0.01, RATE / 2]):
    together, applied = mapped(jnp.array(rates))
    for i, rate in enumerate(rates):
      tx = build(name, learning_rate=rate)
      expected, last = _eager(tx, params, [_row(gradients, t) for t in range(2)])
      assert name in ESTIMATING or applied[i] == np.float32(rate)
      for t in range(2):
        assert_close(_row(_row(together, i), t), expected[t], **FUSED)
  assert len(traces) == 1


@every_optimizer
def test_the_derivative_by_the_rate_is_minus_the_direction(name):
  """Finite where a gradient is 0, too."""
  params, gradients = tree(0), jax.tree.map(lambda g: g.at[0].set(0), tree(1))

  def updates(rate):
    tx = build(name, learning_rate=rate)
    return tx.update(gradients, tx.init(params), params)[0]

  update, slope = jax.jvp(updates, (0.25,), (1.0,))
  # The update is the rate times something: 4 times that at 1/4.
  expected = jax.tree.map(lambda u: 4 * u, update)
  # One float32 rounding on either side, of 6e-8.
  assert_close(slope, expected, rtol=2e-7)


# --- the learning rate


@every_optimizer
def test_learning_rate_may_be(name):
  """All give, to the bit, what the Python float gives."""
  params, gradients = tree(0), tree(1)
  updates, state = {}, {}
  for kind, rate in {
      'float': RATE,
      'numpy': np.float64(RATE),
      'array': np.array(RATE),
      'jax': jnp.float32(RATE),
      'lrax': lrax.constant(RATE),
      'optax': optax.constant_schedule(RATE),
      'function': lambda step: RATE,
  }.items():
    tx = build(name, learning_rate=rate)
    updates[kind], state[kind] = tx.update(gradients, tx.init(params), params)
    assert_close(updates[kind], updates['float'], rtol=0, err_msg=kind)
    shown = [lrax.get_learning_rate(state[k]) for k in (kind, 'float')]
    assert shown[0] == shown[1], kind
    assert name in ESTIMATING or shown[0] == np.float32(RATE)


@every_rate
@pytest.mark.parametrize(
    'schedule',
    [lrax.linear(0.5, 0.0, steps=4), optax.linear_schedule(0.5, 0.0, 4)],
    ids=['lrax', 'optax'],
)
def test_the_schedule_advances(name, schedule):
  tx = build(name, learning_rate=schedule, weight_decay=0.0)
  params, g = jnp.ones(3), jnp.ones(3)
  state = tx.init(params)
  assert float(lrax.get_learning_rate(state)) == 0.5
  for t, rate in enumerate([0.5, 0.375, 0.25, 0.125, 0.0, 0.0]):
    (policy,) = [
        node
        for node in jax.tree.leaves(
            state, is_leaf=lambda x: isinstance(x, lrax.LearningRateState)
        )
        if isinstance(node, lrax.LearningRateState)
    ]
    assert int(policy.step) == t
    updates, state = tx.update(g, state, params)
    # 1/2 - t/8, exact in binary.
    assert float(lrax.get_learning_rate(state)) == rate
    idle = rate == 0 or (t == 0 and name in IDLE_AT_FIRST)
    assert bool((updates == 0).all()) == idle


@every_rate
def test_the_rate_multiplies_the_whole_update(name):
  """Twice the rate, by any way, is twice the update: it comes last."""
  params = tree(0)
  small, large = build(name, learning_rate=0.125), build(name, learning_rate=0.25)
  override = scaled = plain = small.init(params)
  doubled = large.init(params)
  override = lrax.set_learning_rate(override, 0.25)
  scaled = lrax.scale_learning_rate(scaled, 2.0)
  for seed in (1, 2):
    g = tree(seed)
    expected, plain = small.update(g, plain, params)
    twice = jax.tree.map(lambda u: 2 * u, expected)
    # A factor of 2 rounds nothing; a point that is kept is rounded where it is, of
    # about 2, by 1.2e-7 or twice that.
    exact = {'rtol': 0, 'atol': 1e-6 if name in KEEPS_A_POINT else 0}
    u, doubled = large.update(g, doubled, params)
    assert_close(u, twice, **exact)
    u, override = small.update(g, override, params)
    assert_close(u, twice, **exact)
    u, scaled = small.update(g, scaled, params)
    assert_close(u, twice, **exact)


@every_optimizer
def test_a_rate_of_zero_moves_nothing(name):
  tx = build(name, learning_rate=0.0)
  params = tree(0)
  updates, _ = tx.update(tree(1), tx.init(params), params)
  assert all((u == 0).all() for u in jax.tree.leaves(updates))


@every_optimizer
def test_refuses_what_is_no_rate_or_out_of_range(name):
  for rate, error in (
      (-0.1, ValueError),
      (float('nan'), ValueError),
      (float('inf'), ValueError),
      (None, TypeError),
      ('fast', TypeError),
      (True, TypeError),
      ([0.1], TypeError),
  ):
    if rate is None and name in OWN_RATE:
      build(name, learning_rate=rate)
      continue
    with pytest.raises(error, match=f'{name}: `learning_rate` must be'):
      build(name, learning_rate=rate)


# --- structure and dtypes

DTYPES = ['float32', 'bfloat16', 'float16', 'complex64']


def _layout(x):
  """Structure, shapes, dtypes and weak types."""
  leaf = lambda a: (a.shape, a.dtype, getattr(a, 'weak_type', False))
  return jax.tree.structure(x), [leaf(a) for a in jax.tree.leaves(x)]


def _check_layout(name, dtype):
  """What is kept and returned, and the dtype of the rate that it shows."""
  tx = build(name)
  params = tree(0, dtype)
  state = jax.eval_shape(tx.init, params)
  updates, after = jax.eval_shape(tx.update, params, state, params)
  assert _layout(after) == _layout(state)
  assert _layout(updates) == _layout(params)
  if name in OPTIMIZERS:
    rates = [lrax.get_learning_rate(s).dtype for s in (state, after)]
    assert rates == [jnp.result_type(float)] * 2


@every_member
@pytest.mark.parametrize('dtype', DTYPES)
def test_state_and_updates_keep_their_layout_and_the_rate_is_float32(name, dtype):
  assert jnp.result_type(float) == jnp.float32
  _check_layout(name, dtype)


@every_member
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_the_same_under_x64_and_the_rate_is_float64(name, dtype):
  with jax.enable_x64(True):
    assert jnp.result_type(float) == jnp.float64
    _check_layout(name, dtype)


@every_member
def test_the_state_of_python_scalars_keeps_its_layout(name):
  """One that starts weakly typed would compile twice."""
  tx = build(name)
  params = {'a': 1.0, 'b': 2.0}
  state = tx.init(params)
  _, after = jax.eval_shape(tx.update, params, state, params)
  assert _layout(after) == _layout(state)


def _check_dtypes(name, arguments, params, dtype):
  """Traced hyperparameters change no dtype of the updates and of the state."""

  def one_update(values, params):
    tx = build(name, **values)
    state = tx.init(params)
    updates, after = tx.update(params, state, params)
    return state, updates, after

  values = {argument: jax.ShapeDtypeStruct((), dtype) for argument in arguments}
  state, updates, after = jax.eval_shape(one_update, values, params)
  assert dtypes(updates) == dtypes(params)
  assert dtypes(after) == dtypes(state)


@every_member
def test_traced_numbers_change_no_dtype(name):
  """Float32 hyperparameters leave bfloat16 updates and the state as they are."""
  arguments = [argument for n, argument, _ in _numbers() if n == name]
  _check_dtypes(name, arguments, tree(0, 'bfloat16'), jnp.float32)


@every_number
def test_a_traced_number_changes_no_dtype_under_x64(name, argument):
  """A float64 hyperparameter leaves narrower updates and the state as they are."""
  with jax.enable_x64(True):
    params = {'wide': tree(0, 'float32'), 'narrow': tree(1, 'bfloat16')}
    _check_dtypes(name, [argument], params, jnp.float64)


@every_member
def test_traced_numbers_equal_python_ones(name):
  numbers = {a: number for n, a, number in _numbers() if n == name}
  assert bool(numbers) != (name in NO_NUMBERS), 'say there what it takes instead'
  params, first, second = array(0), array(1), array(2)

  def two_updates(**numbers):
    tx = build(name, **numbers)
    updates, state = tx.update(first, tx.init(params), params)
    moved = optax.apply_updates(params, updates)
    return tx.update(second, state, moved)[0]

  traced = {k: jnp.float32(v) for k, v in numbers.items()}
  expected = two_updates(**numbers)
  # A float32 0.999 is off by 1.3e-8, which is 1.3e-5 of 1 - 0.999 and half of
  # that under the root.
  rtol = NEAR_1.get(name, 3e-5)
  assert_close(
      jax.jit(two_updates)(**traced), expected, rtol=rtol, atol=1e-6
  )


@every_member
def test_bfloat16_updates_are_those_of_float32_rounded(name):
  """The arithmetic is float32's; only what is kept and returned is narrow."""
  tx = build(name)
  params = tree(0, 'bfloat16')
  wide = jax.tree.map(lambda x: x.astype(jnp.float32), params)
  updates, _ = tx.update(params, tx.init(params), params)
  expected, _ = tx.update(wide, tx.init(wide), wide)
  # Each link may round its result to bfloat16, by 2**-9, and there are three at
  # most: a direction, a decay and a rate.
  assert_close(
      jax.tree.map(lambda u: u.astype(jnp.float32), updates), expected,
      rtol=2**-7, atol=0,
  )


@every_member
def test_a_complex_phase_passes_through(name):
  """Turning a complex gradient by an angle turns its update by that angle."""
  tx = build(name)
  g, turn = tree(1, 'complex64'), jnp.complex64(0.6 + 0.8j)
  g = jax.tree.map(lambda x, y: x + 1j * y, g, tree(2, 'complex64'))
  turned = jax.tree.map(lambda x: turn * x, g)
  updates, _ = tx.update(g, tx.init(g), g)
  updates_of_turned, _ = tx.update(turned, tx.init(turned), turned)
  expected = jax.tree.map(lambda u: turn * u, updates)
  # Products of complex numbers: several float32 roundings of 6e-8.
  assert_close(updates_of_turned, expected, **rounding(name))
  # Real numbers, as complex ones, get the update that they get as real ones.
  real = tree(1)
  as_complex = tree(1, 'complex64')
  updates, _ = tx.update(as_complex, tx.init(as_complex), as_complex)
  expected, _ = tx.update(real, tx.init(real), real)
  assert_close(jax.tree.map(jnp.real, updates), expected, **rounding(name))


# --- trees


@every_member
def test_numpy_arrays_and_python_scalars_are_parameters(name):
  tx = build(name)
  plain = {'array': np.array([1.0, -2.0], np.float32), 'scalar': 0.5}
  arrays = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), plain)
  updates, state = tx.update(plain, tx.init(plain), plain)
  expected, same = tx.update(arrays, tx.init(arrays), arrays)
  assert_close(updates, expected, rtol=0)
  assert_close(state, same, rtol=0)
  assert all(isinstance(u, jax.Array) for u in jax.tree.leaves(updates))


class Frozen(Mapping):
  """A mapping that is a pytree of its own, as Flax's FrozenDict is."""

  def __init__(self, **items):
    self._items = items

  def __getitem__(self, key):
    return self._items[key]

  def __iter__(self):
    return iter(self._items)

  def __len__(self):
    return len(self._items)


jax.tree_util.register_pytree_node(
    Frozen,
    lambda frozen: (tuple(frozen.values()), tuple(frozen)),
    lambda keys, values: Frozen(**dict(zip(keys, values))),
)
Pair = collections.namedtuple('Pair', 'left right')


TREES = {
    'dict': lambda a, b: {'outer': {'a': a}, 'b': b},
    'list': lambda a, b: [a, (b,)],
    'frozen': lambda a, b: Frozen(a=a, b=Frozen(c=b)),
    'namedtuple': lambda a, b: Pair(a, {'b': b}),
    'none': lambda a, b: {'a': a, 'none': None, 'b': [None, b]},
    'masked': lambda a, b: {'a': a, 'masked': optax.MaskedNode(), 'b': b},
}


@every_member
def test_any_tree(name):
  """Two leaves get the same updates in every tree, and the tree comes back."""
  tx = build(name)
  a, b = jax.tree.leaves(tree(0))

  def two_updates(params):
    _, state = tx.update(params, tx.init(params), params)
    return tx.update(params, state, params)[0]

  expected = two_updates((a, b))
  for kind, wrap in TREES.items():
    found = two_updates(wrap(a, b))
    assert_close(found, wrap(*expected), rtol=0, err_msg=kind)


@every_member
def test_an_empty_tree(name):
  tx = build(name)
  for empty in ({}, (), [], {'a': {}, 'b': None}):
    state = tx.init(empty)
    updates, after = tx.update(empty, state, empty)
    assert updates == empty
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert dtypes(after) == dtypes(state)


# --- values


@every_member
def test_zero_gradients_and_empty_arrays_spoil_nothing(name):
  """With no eps to divide by and no decay to add, in every dtype."""
  eps = EPS_ABOVE_ZERO.get(name, 0.0)
  tx = build(name, eps=eps, weight_decay=0.0)
  params = {dtype: jnp.ones((2, 3), dtype) for dtype in DTYPES}
  params['empty'] = jnp.ones((0, 4))

  def is_finite(*trees):
    # An override that is not there is a NaN, () in shape.
    arrays = [x for x in jax.tree.leaves(trees) if jnp.ndim(x)]
    return all(np.isfinite(np.asarray(x, np.complex64)).all() for x in arrays)

  def moves_and_rests(update, params, rests):
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = tx.init(params)
    for _ in range(3):
      updates, state = update(zeros, state, params)
      assert all((u == 0).all() for u in jax.tree.leaves(updates))
      assert is_finite(state)
    updates, state = update(params, state, params)
    assert all((u != 0).all() for u in jax.tree.leaves(updates))
    assert is_finite(updates, state)
    for _ in range(rests):
      updates, state = update(zeros, state, params)
    assert is_finite(updates, state)
    return updates

  updates = moves_and_rests(tx.update, params, 2)
  assert updates['empty'].shape == (0, 4)
  # Averages decay at different speeds, some of them to 0. The others have the
  # range of a float32.
  narrow = {dtype: params[dtype] for dtype in ('float32', 'float16')}
  moves_and_rests(jax.jit(tx.update), narrow, 300)


@every_of_its_own
def test_a_gradient_of_nan_shows_in_its_update_and_no_other(name):
  """A failure is data in the result: a later link can see it and act."""
  tx = build(name)
  g = {'a': jnp.array([1.0, jnp.nan, -1.0]), 'b': jnp.array([1.0, 2.0, 3.0])}
  ones = jax.tree.map(jnp.ones_like, g)
  state = tx.init(g)
  if name in IDLE_AT_FIRST:
    _, state = tx.update(ones, state, ones)
  updates, _ = tx.update(g, state, ones)
  expected = [True] * 3 if name in WHOLE_LEAF else [False, True, False]
  assert jnp.isnan(updates['a']).tolist() == expected
  assert not jnp.isnan(updates['b']).any()


@every_member
def test_extra_arguments_are_accepted_and_ignored(name):
  tx = build(name)
  params = tree(0)
  state = tx.init(params)
  plain = tx.update(tree(1), state, params)
  ignored = {'value': jnp.ones(()), 'grad': params, 'unknown': 'x'}
  if name in NEEDS_VALUE:
    del ignored['value']
  extra = tx.update(tree(1), state, params, **ignored)
  assert_close(extra, plain, rtol=0)


@every_member
def test_parameters_are_needed_for_decay_only(name):
  tx = build(name)
  params, g = tree(0), tree(1)
  state = tx.init(params)
  decays = 'weight_decay' in inspect.signature(MEMBERS[name]).parameters
  if decays or name in NEEDS_PARAMS or name in KEEPS_A_POINT:
    with pytest.raises(ValueError, match=f'{name}: .*`params`'):
      tx.update(g, state)
  else:
    assert_close(tx.update(g, state), tx.update(g, state, params), rtol=0)


@every_member
def test_chains_after_clipping(name):
  tx = build(name)
  params, g = tree(0), tree(1)
  norm = np.sqrt(sum(np.sum(np.square(x)) for x in jax.tree.leaves(g)))
  clipped = jax.tree.map(lambda x: x * (0.5 / norm), g)
  assert norm > 0.5
  chained = optax.chain(optax.clip_by_global_norm(0.5), tx)
  updates, _ = chained.update(g, chained.init(params), params)
  expected, _ = tx.update(clipped, tx.init(params), params)
  # The norm is summed in another order: some float32 roundings of 6e-8.
  assert_close(updates, expected, **rounding(name))


@every_member
def test_chains_before_others(name):
  tx = build(name)
  params, g = tree(0), tree(1)
  chained = optax.chain(tx, optax.scale(0.5))
  updates, _ = chained.update(g, chained.init(params), params)
  expected, _ = tx.update(g, tx.init(params), params)
  # A factor of 1/2 rounds nothing.
  assert_close(updates, jax.tree.map(lambda u: u / 2, expected), rtol=0)


def _optimizer(name, rate):
  """The member with a rate: its own, or one put behind it."""
  if name in OPTIMIZERS:
    return build(name, learning_rate=rate)
  return lrax.with_learning_rate(build(name), rate)


@every_of_its_own
def test_a_small_step_lowers_a_quadratic(name):
  curvature = jnp.array([1.0, 10.0, 0.1])
  loss = lambda x: jnp.sum(curvature * x**2) / 2
  tx = _optimizer(name, 1e-3)
  x = jnp.array([1.0, -1.0, 2.0])
  state = tx.init(x)
  for t in range(3):
    before = loss(x)
    updates, state = tx.update(jax.grad(loss)(x), state, x)
    x = optax.apply_updates(x, updates)
    idle = t == 0 and name in IDLE_AT_FIRST
    assert (loss(x) == before) if idle else (loss(x) < before)


@every_of_its_own
def test_converges_at_its_defaults(name):
  curvature = jnp.array([1.0, 3.0, 0.3])
  tx = _optimizer(name, OTHER_RATES.get(name, RATE))

  def step(carry, _):
    x, state = carry
    updates, state = tx.update(curvature * x, state, x)
    return (optax.apply_updates(x, updates), state), None

  x = jnp.array([1.0, -1.0, 1.0])
  (x, _), _ = jax.lax.scan(step, (x, tx.init(x)), length=500)
  # Methods that normalise the gradient take steps of about a rate however near
  # the minimum is, so a rate is how near they come.
  assert jnp.abs(x).max() < RATE


# --- swapping in for Optax

# Members whose counterpart in Optax has another name, or none.
COUNTERPARTS = {
    'came': None,  # Optax has no CAME
    'scale_by_adagrad': 'scale_by_rss',
    'muon': None,  # optax.contrib's has other arguments
    'scale_by_came': None,
    'scale_by_lars': None,  # Optax chains a decay and a trust ratio
    'scale_by_momentum': 'trace',
    'scale_by_muon': None,  # optax.contrib's has other arguments
    'scale_by_nadam': None,  # Optax has no momentum schedule
    'scale_by_soap': None,
    'soap': None,  # Optax has no SOAP
    'with_learning_rate': None,  # a chain
    'cautious': None,
    'grams': None,
    'mars': None,
    'scale_by_mars': None,
    'ldog': None,
    'mechanic': None,  # mechanize takes an optimizer
    'dadapt_adagrad': None,
    'dadapt_sgd': None,
    'schedule_free_plus': None,
    'schedule_free': None,  # takes a direction where Optax takes an optimizer
}
# Arguments of Optax that a member does not take, and why.
NOT_TAKEN = {
    ('scale_by_factored_rms', 'decay_rate_fn'): 'decay_rate may be a schedule',
    ('nadam', 'nesterov'): "it makes it Nadam; Optax's nadam is adam with it bound",
    ('nadamw', 'nesterov'): "it makes it Nadam; Optax's nadamw is adamw with it bound",
    ('adopt', 'clip_value_fn'): "clip_power says which of the paper's functions",
    ('scale_by_adopt', 'clip_value_fn'): (
        "clip_power says which of the paper's functions"
    ),
    ('scale_by_lion', 'mode'): 'the paper has the sign only',
    ('scale_by_lion', 'smooth_beta'): 'the paper has the sign only',
}
# Defaults that are the paper's and not Optax's.
OTHER_DEFAULTS = {
    ('dowg', 'eps'): 'algorithm 1 has none; with one the scale of the loss matters',
    ('scale_by_momentum', 'decay'): 'Optax has no default; 0.9 is the usual one',
    ('amsgrad', 'bias_correction_mu'): 'algorithm 2 corrects nothing',
    ('amsgrad', 'bias_correction_nu'): 'algorithm 2 corrects nothing',
    ('scale_by_amsgrad', 'bias_correction_mu'): 'algorithm 2 corrects nothing',
    ('scale_by_amsgrad', 'bias_correction_nu'): 'algorithm 2 corrects nothing',
    ('adagrad', 'initial_accumulator_value'): 'the sum of squares starts empty',
    ('adagrad', 'eps'): 'a delta outside the root is much smaller than one inside',
    ('scale_by_adagrad', 'initial_accumulator_value'): (
        'the sum of squares starts empty'
    ),
    ('scale_by_adagrad', 'eps'): (
        'a delta outside the root is much smaller than one inside'
    ),
    ('adadelta', 'learning_rate'): 'the paper has no rate, which is 1',
    ('adadelta', 'rho'): "section 4.1's",
    ('scale_by_adadelta', 'rho'): "section 4.1's",
    ('adamax', 'eps'): 'algorithm 2 has none',
    ('scale_by_adamax', 'eps'): 'algorithm 2 has none',
    ('adan', 'eps_root'): 'algorithm 1 has none',
    ('scale_by_ademamix', 'alpha'): "ademamix's own, in Optax too",
    ('novograd', 'b1'): "the paper's",
    ('novograd', 'b2'): "the paper's",
    ('novograd', 'eps'): 'that of scale_by_novograd, in Optax too',
    ('scale_by_novograd', 'b1'): "the paper's",
    ('scale_by_novograd', 'b2'): "the paper's",
    ('scale_by_sm3', 'eps'): 'the paper has none',
    ('radam', 'threshold'): 'algorithm 2 rectifies above 4',
    ('scale_by_radam', 'threshold'): 'algorithm 2 rectifies above 4',
}


def _of_optax(name):
  return getattr(optax if hasattr(optax, name) else optax.contrib, name)


def _signatures(name):
  counterpart = COUNTERPARTS.get(name, name)
  if counterpart is None:
    pytest.skip('Optax has no counterpart')
  theirs = inspect.signature(_of_optax(counterpart)).parameters
  taken = {k: p for k, p in theirs.items() if (name, k) not in NOT_TAKEN}
  return dict(inspect.signature(MEMBERS[name]).parameters), taken


def _positional(parameters):
  return [
      k for k, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD
  ]


@every_member
def test_arguments_are_those_of_optax_in_their_order(name):
  ours, theirs = _signatures(name)
  assert set(theirs) <= set(ours)
  expected = _positional(theirs)
  assert _positional(ours)[: len(expected)] == expected


@every_member
def test_defaults_are_those_of_optax(name):
  """Save those listed, each with its reason, and each really another."""
  ours, theirs = _signatures(name)
  for argument, parameter in theirs.items():
    same = ours[argument].default == parameter.default
    assert same == ((name, argument) not in OTHER_DEFAULTS), argument


def test_the_lists_of_differences_name_what_exists():
  named = [*NOT_TAKEN, *OTHER_DEFAULTS]
  assert {name for name, _ in named} <= set(MEMBERS)
  listed = {*COUNTERPARTS, *OWN_RATE, *LONG, *NEAR_1}
  listed |= {*NEEDS_PARAMS, *KEEPS_A_POINT, *OTHER_RATES, *IDLE_AT_FIRST, *WHOLE_LEAF}
  listed |= NEEDS_VALUE
  assert listed <= set(MEMBERS)
  for name, argument in NOT_TAKEN:
    assert argument in inspect.signature(_of_optax(name)).parameters
    assert argument not in inspect.signature(MEMBERS[name]).parameters
