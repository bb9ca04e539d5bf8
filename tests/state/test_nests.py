"""Every state function on every nest, by what the next update does.

Every gradient is ones and every parameter starts at zero, so each method's
direction is one (or is computed below in Python) and an update moves a parameter
by minus its rate. Rates are straight lines of powers of two, which float32 holds
exactly, so what is expected is plain Python arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Hashable
import functools
from typing import Any
from typing import NamedTuple

import equinox as eqx
from flax import nnx
from flax.training import train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

SHAPES = {'a': (8,), 'b': (2, 2), 'c': ()}  # 'a' divides over 8 devices
LEAVES = tuple(SHAPES)
# Parameters stay below 2, where float32 is spaced 1.2e-7: a difference of two of
# them is off by half of that each. The method's direction is within a few
# roundings of one, 1e-7 each. Rates that a test could confuse differ by 3e-2.
TOLERANCE = dict(rtol=2e-6, atol=3e-7)


class Line(NamedTuple):
  """A rate falling from `init` to 0 at `steps`; a constant where steps is None."""

  init: float
  steps: int | None = None

  def at(self, step: int) -> float:
    if self.steps is None:
      return self.init
    return self.init * max(self.steps - step, 0) / self.steps


BODY, HEAD, TAIL = Line(0.5, 8), Line(0.25, 16), Line(0.125, 4)
FIXED = Line(0.125)


def start_told(init_value):
  return init_value, jnp.asarray(init_value, jnp.result_type(float))


@lrax.control.closed_loop(start_told)
def told(memory, step, signals, init_value):
  """`init_value` until a metric is reported, then the metric."""
  del step, init_value
  memory = jnp.where(jnp.isnan(signals.reported), memory, signals.reported)
  return memory, memory


def open_loop(line: Line) -> lrax.Schedule:
  return lrax.linear(line.init, 0.0, steps=line.steps)


def closed_loop(line: Line) -> lrax.Schedule:
  return open_loop(line) * told(1.0)


POLICIES = {'open': open_loop, 'closed': closed_loop}


# How a training holds its optimizer state. A carrier makes a training, steps it,
# and gives the part that the state functions are handed.


def gradients(params: Any) -> Any:
  return jax.tree.map(jnp.ones_like, params)


def zeros() -> dict[str, jax.Array]:
  return {name: jnp.zeros(shape) for name, shape in SHAPES.items()}


class Plain:
  """Parameters and an optimizer state, side by side."""

  jit = staticmethod(jax.jit)

  def start(self, tx):
    params = zeros()
    return params, tx.init(params)

  def step(self, tx, training):
    params, state = training
    updates, state = tx.update(gradients(params), state, params)
    return optax.apply_updates(params, updates), state

  def compiled(self, step):
    return jax.jit(step)

  def params(self, training):
    return training[0]

  def state(self, training):
    return training[1]

  def put(self, training, state):
    return training[0], state


class Dict(Plain):
  """Two networks with an optimizer each, whose states are in one dict."""

  def start(self, tx):
    params = zeros()
    return params, {k: t.init(self._part(k, params)) for k, t in tx.items()}

  def _part(self, name, params):
    mine = ('a',) if name == 'generator' else ('b', 'c')
    return {k: params[k] for k in mine}

  def step(self, tx, training):
    params, states = training
    moved, after = {}, {}
    for name, transform in tx.items():
      mine = self._part(name, params)
      updates, after[name] = transform.update(
          gradients(mine), states[name], mine
      )
      moved |= optax.apply_updates(mine, updates)
    return moved, after


class LinenTrainState(Plain):
  """Flax's TrainState, handed over whole."""

  def start(self, tx):
    return train_state.TrainState.create(apply_fn=None, params=zeros(), tx=tx)

  def step(self, tx, training):
    return training.apply_gradients(grads=gradients(training.params))

  def params(self, training):
    return training.params

  def state(self, training):
    return training

  def put(self, training, state):
    return state


class LinenOptState(LinenTrainState):
  """The `opt_state` of Flax's TrainState."""

  def state(self, training):
    return training.opt_state

  def put(self, training, state):
    return training.replace(opt_state=state)


class NnxModel(nnx.Module):

  def __init__(self):
    for name, value in zeros().items():
      setattr(self, name, nnx.Param(value))


class NnxOptimizer(Plain):
  """Flax's nnx.Optimizer, handed over whole."""

  def start(self, tx):
    model = NnxModel()
    return model, nnx.Optimizer(model, tx, wrt=nnx.Param)

  def step(self, tx, training):
    model, optimizer = training
    optimizer.update(model, gradients(nnx.state(model, nnx.Param)))

  def compiled(self, step):
    # The step changes its objects in place; a test's training stays as it is.
    run = nnx.jit(lambda model, optimizer: step((model, optimizer)))

    def compiled(training):
      training = nnx.clone(training)
      run(*training)
      return training

    return compiled

  def params(self, training):
    return {name: getattr(training[0], name)[...] for name in LEAVES}

  def state(self, training):
    return training[1]

  def put(self, training, state):
    return training[0], state


class NnxOptState(NnxOptimizer):
  """The `opt_state` of an nnx.Optimizer."""

  def state(self, training):
    return training[1].opt_state

  def put(self, training, state):
    optimizer = nnx.clone(training[1])
    optimizer.opt_state = nnx.data(state)
    return training[0], optimizer


class EquinoxModel(eqx.Module):
  weights: dict[str, jax.Array]
  activation: Callable[[Any], Any]  # a leaf that is no array


class EquinoxTraining(eqx.Module):
  model: EquinoxModel
  opt_state: Any


class Equinox(Plain):
  """An Equinox module that holds the model, its callables and the state."""

  jit = staticmethod(eqx.filter_jit)

  def start(self, tx):
    model = EquinoxModel(zeros(), jax.nn.relu)
    return EquinoxTraining(model, tx.init(eqx.filter(model, eqx.is_array)))

  def step(self, tx, training):
    params = eqx.filter(training.model, eqx.is_array)
    updates, state = tx.update(gradients(params), training.opt_state, params)
    return EquinoxTraining(eqx.apply_updates(training.model, updates), state)

  def compiled(self, step):
    return eqx.filter_jit(step)

  def params(self, training):
    return training.model.weights

  def state(self, training):
    return training

  def put(self, training, state):
    return state


# The nests.


def leaf_names(params: Any) -> Any:
  """A tree like `params` with each leaf's name, for labels."""
  name = lambda path, _: next(
      key.key for key in reversed(path) if getattr(key, 'key', None) in LEAVES
  )
  return jax.tree_util.tree_map_with_path(name, params)


def labels(groups: dict[str, Hashable]) -> Callable[[Any], Any]:
  return lambda params: jax.tree.map(groups.get, leaf_names(params))


def adam(policy: Any, **kwargs: Any) -> Any:
  """Adam whose direction on gradients of ones is exactly one."""
  return lrax.adam(policy, **{'b1': 0.5, 'b2': 0.5, **kwargs})


def optax_adam(policy: Any, **kwargs: Any) -> Any:
  inject = optax.inject_hyperparams(optax.adam)
  return inject(learning_rate=policy, **{'b1': 0.5, 'b2': 0.5, **kwargs})


def lrax_adam(policy: Any, **kwargs: Any) -> Any:
  inject = optax.inject_hyperparams(lrax.adam)
  return inject(learning_rate=policy, **{'b1': 0.5, 'b2': 0.5, **kwargs})


def deep_chain(make):
  inner = optax.chain(optax.identity(), optax.chain(adam(make(BODY))))
  return optax.chain(optax.clip(10.0), optax.chain(optax.chain(inner)))


def partition(body, head):
  """A partition of the first leaf from the two others."""

  def build(make):
    groups = {'a': body, 'b': head, 'c': head}
    transforms = {body: adam(make(BODY)), head: lrax.sgd(make(HEAD))}
    return optax.partition(transforms, labels(groups))

  return build


def nested_partition(make):
  inner = optax.partition(
      {'first': lrax.sgd(make(BODY)), 'second': adam(make(TAIL))},
      labels({'a': 'first', 'b': 'second'}),
  )
  return optax.partition(
      {'trunk': inner, 'head': lrax.sgd(make(HEAD))},
      labels({'a': 'trunk', 'b': 'trunk', 'c': 'head'}),
  )


def frozen(make):
  return optax.partition(
      {'trained': adam(make(BODY)), 'frozen': optax.set_to_zero()},
      labels({'a': 'trained', 'b': 'frozen', 'c': 'trained'}),
  )


def masked(make):
  inside = {'a': True, 'b': False, 'c': True}
  outside = {name: not inside[name] for name in inside}
  return optax.chain(
      optax.masked(adam(make(BODY)), inside),
      optax.masked(optax.set_to_zero(), outside),
  )


def wrapped(make):
  """Most wrappers at once."""
  split = optax.partition(
      {'body': optax_adam(make(BODY)), 'head': lrax_adam(make(HEAD))},
      labels({'a': 'body', 'b': 'head', 'c': 'head'}),
  )
  chain = optax.named_chain(('clip', optax.clip(10.0)), ('split', split))
  return optax.apply_if_finite(optax.MultiSteps(chain, 2), 3)


def one(make):
  return optax.chain(optax.clip(10.0), adam(make(BODY)))


def b1_direction(update: int) -> float:
  """Adam's direction on ones where b1 falls from 0.5 to 0.25 in 8 updates."""
  mu = 0.0
  for t in range(update + 1):
    b1 = 0.5 - 0.25 * t / 8
    mu = b1 * mu + (1 - b1)
  return mu / (1 - b1 ** (update + 1))


class Nest(NamedTuple):
  """One row: how to build it, and which line each leaf of a group follows."""

  build: Callable[[Callable[[Line], lrax.Schedule]], Any]
  groups: dict[Hashable, tuple[Line, tuple[str, ...]]]
  carrier: Plain = Plain()
  calls: int = 1  # calls of `update` for one update of the parameters
  direction: Callable[[int], float] = lambda update: 1.0

  @property
  def hears(self) -> bool:
    """Whether a closed-loop policy fits in: the rate is no plain number."""
    return all(line.steps is not None for line, _ in self.groups.values())


ALL = {None: (BODY, LEAVES)}
TWO = lambda body, head: {body: (BODY, ('a',)), head: (HEAD, ('b', 'c'))}

NESTS = {
    'bare': Nest(lambda make: make(BODY), ALL),
    'sgd': Nest(lambda make: lrax.sgd(make(BODY), momentum=0.0), ALL),
    'chain': Nest(one, ALL),
    'deep chain': Nest(deep_chain, ALL),
    'with_learning_rate': Nest(
        lambda make: lrax.with_learning_rate(
            optax.scale_by_sign(), make(BODY)
        ),
        ALL,
    ),
    'named_chain': Nest(
        lambda make: optax.named_chain(
            ('clip', optax.clip(10.0)), ('adam', adam(make(BODY)))
        ),
        ALL,
    ),
    'partition': Nest(partition('body', 'head'), TWO('body', 'head')),
    'partition by integers': Nest(partition(0, 1), TWO(0, 1)),
    'nested partition': Nest(
        nested_partition,
        {
            'trunk/first': (BODY, ('a',)),
            'trunk/second': (TAIL, ('b',)),
            'head': (HEAD, ('c',)),
        },
    ),
    'frozen group': Nest(frozen, {None: (BODY, ('a', 'c'))}),
    'masked': Nest(masked, {None: (BODY, ('a', 'c'))}),
    'MultiSteps': Nest(
        lambda make: optax.MultiSteps(adam(make(BODY)), 2), ALL, calls=2
    ),
    'apply_if_finite': Nest(
        lambda make: optax.apply_if_finite(adam(make(BODY)), 3), ALL
    ),
    'inject optax.adam, schedule': Nest(
        lambda make: optax_adam(make(BODY)), ALL
    ),
    'inject lrax.adam, constant': Nest(
        lambda make: lrax_adam(FIXED.init), {None: (FIXED, LEAVES)}
    ),
    'inject lrax.adam, schedule': Nest(
        lambda make: lrax_adam(make(BODY)), ALL
    ),
    'inject optax.adam, b1 too': Nest(
        lambda make: optax_adam(make(BODY), b1=lrax.linear(0.5, 0.25, 8)),
        ALL,
        direction=b1_direction,
    ),
    'inject lrax.adam, b1 too': Nest(
        lambda make: lrax_adam(make(BODY), b1=lrax.linear(0.5, 0.25, 8)),
        ALL,
        direction=b1_direction,
    ),
    'wrapped': Nest(wrapped, TWO('body', 'head'), calls=2),
    'TrainState': Nest(one, ALL, LinenTrainState()),
    'TrainState of a partition': Nest(
        partition('body', 'head'), TWO('body', 'head'), LinenTrainState()
    ),
    'TrainState.opt_state': Nest(one, ALL, LinenOptState()),
    'nnx.Optimizer': Nest(one, ALL, NnxOptimizer()),
    'nnx.Optimizer of a partition': Nest(
        partition('body', 'head'), TWO('body', 'head'), NnxOptimizer()
    ),
    'nnx.Optimizer.opt_state': Nest(one, ALL, NnxOptState()),
    'nnx.Optimizer.opt_state, injected': Nest(
        lambda make: lrax_adam(make(BODY)), ALL, NnxOptState()
    ),
    'dict of two': Nest(
        lambda make: {
            'generator': adam(make(BODY)),
            'discriminator': adam(make(HEAD)),
        },
        TWO('generator', 'discriminator'),
        Dict(),
    ),
    'Equinox module': Nest(one, ALL, Equinox()),
}

nests = pytest.mark.parametrize('name', NESTS)
# One of each kind, of those whose trainings are trees of arrays throughout; each
# compiles a program of its own. 'wrapped' has most wrappers in it.
arrays = pytest.mark.parametrize(
    'name',
    ['bare', 'nested partition', 'frozen group',
     'MultiSteps', 'inject lrax.adam, constant', 'wrapped',
     'TrainState of a partition', 'dict of two'],
)
several_devices = pytest.mark.parametrize(
    'name', ['chain', 'partition', 'TrainState']
)


class Run:
  """A nest with its compiled step, and how often that was traced."""

  def __init__(self, name: str, kind: str):
    self.nest = NESTS[name]
    self.carrier = self.nest.carrier
    self.tx = self.nest.build(POLICIES[kind])
    self.traces = 0
    self.step = self.carrier.compiled(self.traced_step)
    self.after = [self.carrier.start(self.tx)]

  def traced_step(self, training):
    self.traces += 1
    for _ in range(self.nest.calls):
      result = self.carrier.step(self.tx, training)
      training = training if result is None else result
    return None if result is None else training

  def trained(self, updates: int = 2) -> Any:
    """The training after so many updates."""
    while len(self.after) <= updates:
      self.after.append(self.step(self.after[-1]))
    return self.after[updates]

  def rates(self, clock: int) -> dict[Hashable, float]:
    """What each group's line gives at a step of its clock."""
    return {g: line.at(clock) for g, (line, _) in self.nest.groups.items()}

  def check_step(self, training, rates, update):
    """One more update, the given one from 0, moves each group by its rate."""
    after = self.step(training)
    before, moved = self.carrier.params(training), self.carrier.params(after)
    leaves = set(LEAVES)
    for group, rate in rates.items():
      for leaf in self.nest.groups[group][1]:
        leaves.remove(leaf)
        expected = np.full(SHAPES[leaf], rate * self.nest.direction(update))
        actual = np.asarray(before[leaf]) - np.asarray(moved[leaf])
        np.testing.assert_allclose(
            actual, expected, **TOLERANCE, err_msg=f'{group}: {leaf}'
        )
    for leaf in leaves:  # in no group: it never moves
      np.testing.assert_array_equal(moved[leaf], np.zeros(SHAPES[leaf]))
    check_rates(self.carrier.state(after), rates)
    return after

  def targets(self) -> list[tuple[Hashable | None, set[Hashable]]]:
    """Every `group` argument, and the groups that it means."""
    every = set(self.nest.groups)
    if every == {None}:
      return [(None, every)]
    return [(None, every), *((group, {group}) for group in every)]


@functools.cache
def run(name: str, kind: str = 'open') -> Run:
  return Run(name, kind)


def check_rates(state, rates):
  """What `get_learning_rate` gives is the rates, by group where several."""
  found = lrax.get_learning_rate(state)
  found = {None: found} if set(rates) == {None} else found
  assert set(found) == set(rates)
  for group, rate in rates.items():
    assert found[group].dtype == jnp.float32
    assert found[group].shape == ()
    # One rounding of float32, where the rate is a product of two.
    np.testing.assert_allclose(found[group], rate, rtol=1e-7)


def describe(tree):
  """Structure, shapes and dtypes; callables, as Equinox has, by identity."""
  leaves, structure = jax.tree.flatten(tree)
  kinds = [
      (jnp.shape(x), jnp.asarray(x).dtype, getattr(x, 'weak_type', True))
      if eqx.is_array_like(x)
      else x
      for x in leaves
  ]
  return structure, kinds


def changed(before, after) -> list[str]:
  """The last named key of each leaf that is another number now."""
  assert describe(before) == describe(after)
  old, _ = jax.tree_util.tree_flatten_with_path(before)
  new = jax.tree.leaves(after)
  result = []
  for (path, x), y in zip(old, new):
    if eqx.is_array_like(x) and not np.array_equal(x, y, equal_nan=True):
      names = [k.name for k in path if isinstance(k, jax.tree_util.GetAttrKey)]
      result.append([n for n in names if n != 'value'][-1])
  return result


def assert_same(actual, expected):
  """Two trees are the same numbers, NaN and all."""
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
    if eqx.is_array_like(x):
      np.testing.assert_array_equal(x, y)
    else:
      assert x is y


def change(run, training, fields, function, *arguments):
  """Applies a state function; checks that it is pure, compiles and keeps kinds."""
  state = run.carrier.state(training)
  before = jax.tree.map(lambda x: x, state)
  call = lambda state: function(state, *arguments)
  result = call(state)
  assert_same(state, before)
  assert changed(state, result) == fields
  if arguments[-1] == list(run.nest.groups)[-1]:  # one program a test is enough
    assert_same(run.carrier.jit(call)(state), result)
  return run.carrier.put(training, result)


@nests
def test_step_is_traced_once(name):
  """The state out of an update has the kind of the state into it."""
  nest = run(name)
  nest.trained(3)
  assert nest.traces == 1


@nests
def test_get_learning_rate(name):
  """It is the rate that the latest update applied; at first that of step 0."""
  nest = run(name)
  check_rates(nest.carrier.state(nest.trained(0)), nest.rates(0))
  for update in range(3):
    nest.check_step(nest.trained(update), nest.rates(update), update)
  state = nest.carrier.state(nest.trained(2))
  jitted = nest.carrier.jit(lrax.get_learning_rate)(state)
  assert_same(jitted, lrax.get_learning_rate(state))
  assert nest.traces == 1


@nests
def test_set_learning_rate(name):
  """The next updates apply the value, of the group or of all."""
  nest = run(name)
  training = nest.trained(2)
  for group, meant in nest.targets():
    fields = ['override'] * len(meant)
    after = change(nest, training, fields, lrax.set_learning_rate, 0.75, group)
    # What is read is still what the latest update applied.
    check_rates(nest.carrier.state(after), nest.rates(1))
    for update in (2, 3):
      rates = nest.rates(update) | dict.fromkeys(meant, 0.75)
      after = nest.check_step(after, rates, update)
  assert nest.traces == 1


@nests
def test_follow_schedule(name):
  """The policy decides again, at the step that its clock counted to meanwhile."""
  nest = run(name)
  overridden = nest.carrier.put(
      nest.trained(2),
      lrax.set_learning_rate(nest.carrier.state(nest.trained(2)), 0.75),
  )
  overridden = nest.step(overridden)
  for group, meant in nest.targets():
    fields = ['override'] * len(meant)
    after = change(nest, overridden, fields, lrax.follow_schedule, group)
    for update in (3, 4):
      rates = dict.fromkeys(nest.nest.groups, 0.75)
      rates |= {g: r for g, r in nest.rates(update).items() if g in meant}
      after = nest.check_step(after, rates, update)
  assert nest.traces == 1


@nests
def test_scale_learning_rate(name):
  """The factor multiplies what the policy gives from then on."""
  nest = run(name)
  training = nest.trained(2)
  for group, meant in nest.targets():
    fields = ['scale'] * len(meant)
    after = change(nest, training, fields, lrax.scale_learning_rate, 0.5, group)
    rates = nest.rates(2) | {g: 0.5 * nest.rates(2)[g] for g in meant}
    after = nest.check_step(after, rates, 2)
    # A second factor multiplies the first.
    state = lrax.scale_learning_rate(nest.carrier.state(after), 0.25, group)
    rates = nest.rates(3) | {g: 0.125 * nest.rates(3)[g] for g in meant}
    nest.check_step(nest.carrier.put(after, state), rates, 3)
  assert nest.traces == 1


@nests
def test_restart_schedule(name):
  """The clock moves; moments, Adam's count and the other groups do not."""
  nest, at = run(name), 5
  training = nest.trained(2)
  for group, meant in nest.targets():
    fields = ['step'] * len(meant)
    after = change(nest, training, fields, lrax.restart_schedule, at, group)
    for update in (2, 3):
      rates = nest.rates(update)
      rates |= {g: nest.rates(at + update - 2)[g] for g in meant}
      after = nest.check_step(after, rates, update)
  assert nest.traces == 1


@nests
def test_report(name):
  """A metric reaches the closed-loop policies of the group, once."""
  nest = run(name, 'closed')
  training = nest.trained(2)
  if not nest.nest.hears:
    with pytest.raises(ValueError, match='closed-loop'):
      lrax.report(nest.carrier.state(training), 0.25)
    return
  for group, meant in nest.targets():
    fields = ['reported'] * len(meant)
    after = change(nest, training, fields, lrax.report, 0.25, group)
    check_rates(nest.carrier.state(after), nest.rates(1))
    for update in (2, 3):
      rates = nest.rates(update)
      rates |= {g: 0.25 * rates[g] for g in meant}
      after = nest.check_step(after, rates, update)
  assert nest.traces == 1


@nests
def test_metrics(name):
  """Flat, scalar, named by group, and as the state is after the update."""
  nest = run(name)
  for group, meant in nest.targets():
    state = nest.carrier.state(nest.trained(2))
    state = lrax.set_learning_rate(state, 0.75, group)
    state = lrax.scale_learning_rate(state, 0.5, group)
    found = lrax.metrics(state)
    expected = {}
    for label, rate in nest.rates(1).items():
      suffix = '' if label is None else f'/{label}'
      expected |= {
          f'learning_rate{suffix}': rate,
          f'learning_rate_step{suffix}': 2,
          f'learning_rate_scale{suffix}': 0.5 if label in meant else 1.0,
          f'learning_rate_overridden{suffix}': 1 if label in meant else 0,
      }
    assert {k: float(v) for k, v in found.items()} == expected
    assert all(v.shape == () for v in found.values())
    assert_same(nest.carrier.jit(lrax.metrics)(state), found)
    # After the update that applies it, the rate is the override.
    after = nest.step(nest.carrier.put(nest.trained(2), state))
    after = lrax.metrics(nest.carrier.state(after))
    for label, rate in nest.rates(2).items():
      suffix = '' if label is None else f'/{label}'
      rate = 0.75 if label in meant else rate
      assert float(after[f'learning_rate{suffix}']) == rate
      assert int(after[f'learning_rate_step{suffix}']) == 3


@nests
def test_transplant(name):
  """A new training goes on where the old one was: clock, scale and moments."""
  nest = run(name)
  old = lrax.scale_learning_rate(nest.carrier.state(nest.trained(2)), 0.5)
  fresh = nest.carrier.start(nest.tx)
  new = nest.carrier.state(fresh)
  moved = lrax.transplant(old, new)
  assert moved.fresh == ()
  assert moved.dropped == ()
  assert jax.tree.structure(moved.state) == jax.tree.structure(new)
  jitted = nest.carrier.jit(lambda old, new: lrax.transplant(old, new).state)
  assert_same(jitted(old, new), moved.state)
  rates = {group: 0.5 * rate for group, rate in nest.rates(2).items()}
  after = nest.carrier.put(nest.trained(2), moved.state)
  nest.check_step(after, rates, 2)


@nests
def test_eval_params(name):
  """None of these trains at one point to be judged at another."""
  nest = run(name)
  training = nest.trained(2)
  params, state = nest.carrier.params(training), nest.carrier.state(training)
  assert lrax.eval_params(state, params) is params
  assert_same(nest.carrier.jit(lrax.eval_params)(state, params), params)


# Under the transformations of JAX.


def check_moves(run, before, after, rates, update):
  """Each group moved by its rates, an array each, and these are read."""
  found = lrax.get_learning_rate(run.carrier.state(after))
  found = {None: found} if set(rates) == {None} else found
  assert set(found) == set(rates) == set(run.nest.groups)
  before, after = run.carrier.params(before), run.carrier.params(after)
  for group, rate in rates.items():
    rate = np.asarray(rate)
    # Two roundings: of the product with the metric, and with the scale.
    np.testing.assert_allclose(found[group], rate, rtol=2e-7)
    for leaf in run.nest.groups[group][1]:
      ones = np.ones(SHAPES[leaf])
      expected = np.multiply.outer(rate, ones) * run.nest.direction(update)
      actual = np.asarray(before[leaf]) - np.asarray(after[leaf])
      np.testing.assert_allclose(
          actual, expected, **TOLERANCE, err_msg=f'{group}: {leaf}'
      )


@arrays
def test_vmap(name):
  """A state with a leading axis is read and changed element by element."""
  nest = Run(name, 'closed')
  start = jax.vmap(lambda _: nest.carrier.start(nest.tx))
  step = jax.jit(jax.vmap(nest.traced_step))
  lines = {g: line for g, (line, _) in nest.nest.groups.items()}
  state_of, put = nest.carrier.state, nest.carrier.put

  def update(training, index, rates):
    after = step(training)
    check_moves(nest, training, after, rates, index)
    return after

  at = lambda *clocks: {
      g: np.array([line.at(c) for c in clocks]) for g, line in lines.items()
  }
  training = update(start(jnp.arange(2)), 0, at(0, 0))
  value = jnp.array([0.75, 0.375])
  training = put(training, lrax.set_learning_rate(state_of(training), value))
  training = update(training, 1, dict.fromkeys(lines, np.asarray(value)))
  training = put(training, lrax.set_learning_rate(state_of(training), 0.25))
  training = update(training, 2, dict.fromkeys(lines, np.array([0.25] * 2)))
  training = put(training, lrax.follow_schedule(state_of(training)))
  training = update(training, 3, at(3, 3))
  clock = jnp.array([0, 2])
  training = put(training, lrax.restart_schedule(state_of(training), clock))
  training = update(training, 4, at(0, 2))
  factor = jnp.array([1.0, 0.5])
  training = put(training, lrax.scale_learning_rate(state_of(training), factor))
  scaled = lambda *clocks: {g: r * factor for g, r in at(*clocks).items()}
  training = update(training, 5, scaled(1, 3))
  if nest.nest.hears:
    metric = jnp.array([0.25, 0.5])
    training = put(training, lrax.report(state_of(training), metric))
    heard = {g: r * metric for g, r in scaled(2, 4).items()}
    training = update(training, 6, heard)
  assert all(x.shape == (2,) for x in lrax.metrics(state_of(training)).values())
  assert nest.traces == 1


@arrays
def test_changes_inside_vmap(name):
  """Inside `vmap` a state has no leading axis and takes scalars, traced."""
  nest = run(name)
  stack = lambda x: jnp.stack([jnp.asarray(x)] * 2)
  training = jax.tree.map(stack, nest.trained(2))

  def halve_and_set(training, value):
    state = lrax.scale_learning_rate(nest.carrier.state(training), 0.5)
    return nest.carrier.put(training, lrax.set_learning_rate(state, value))

  values = jnp.array([0.75, 0.375])
  together = jax.vmap(halve_and_set)(training, values)
  apart = [halve_and_set(nest.trained(2), value) for value in values]
  assert_same(together, jax.tree.map(lambda *x: jnp.stack(x), *apart))


@arrays
def test_scan(name):
  """A whole run in one `lax.scan`, the rate changed within it."""
  nest = Run(name, 'closed')
  start = jax.tree.map(jnp.asarray, nest.carrier.start(nest.tx))
  factors, metrics = [1.0, 0.5, 0.5, 1.0], [1.0, 1.0, 0.5, 0.25]

  def body(training, change):
    state = lrax.scale_learning_rate(nest.carrier.state(training), change[0])
    if nest.nest.hears:
      state = lrax.report(state, change[1])
    training = nest.traced_step(nest.carrier.put(training, state))
    rates = lrax.get_learning_rate(nest.carrier.state(training))
    return training, (training, rates)

  changes = jnp.array(list(zip(factors, metrics)))
  _, (trainings, rates) = jax.jit(lambda t: jax.lax.scan(body, t, changes))(start)
  at = lambda index: jax.tree.map(lambda x: x[index], trainings)
  before, scale = start, 1.0
  for step in range(4):
    scale *= factors[step]
    metric = metrics[step] if nest.nest.hears else 1.0
    expected = {g: r * scale * metric for g, r in nest.rates(step).items()}
    check_moves(nest, before, at(step), expected, step)
    read = {None: rates} if set(expected) == {None} else rates
    for group, rate in expected.items():
      # Two roundings: of the product with the metric, and with the scale.
      np.testing.assert_allclose(read[group][step], rate, rtol=2e-7)
    before = at(step)


@several_devices
def test_pmap(name):
  """On replicated states, read and changed outside and inside the step."""
  devices = jax.local_device_count()
  nest = Run(name, 'open')
  groups = nest.nest.groups

  def step(training, value):
    # Override inside where there is a value; NaN follows the policy.
    state = nest.carrier.state(training)
    inside = lrax.set_learning_rate(state, value)
    state = jax.tree.map(lambda x, y: jnp.where(value > 0, x, y), inside, state)
    training = nest.traced_step(nest.carrier.put(training, state))
    return training, lrax.get_learning_rate(nest.carrier.state(training))

  pmapped = jax.pmap(step, axis_name='devices')
  nothing, values = np.zeros(devices), (1 + np.arange(devices)) / 16
  everywhere = lambda rates: {
      g: np.full(devices, rate) for g, rate in rates.items()
  }

  def update(training, index, rates, value=nothing):
    after, rate = pmapped(training, value)
    check_moves(nest, training, after, rates, index)
    for group, found in (rate if len(rates) > 1 else {None: rate}).items():
      np.testing.assert_allclose(found, rates[group], rtol=1e-7)  # one rounding
    return after

  replicate = lambda x: jnp.stack([jnp.asarray(x)] * devices)
  training = jax.tree.map(replicate, nest.carrier.start(nest.tx))
  training = update(training, 0, everywhere(nest.rates(0)))
  training = update(training, 1, everywhere(nest.rates(1)))
  traces = nest.traces
  for group, meant in nest.targets():
    state = lrax.set_learning_rate(nest.carrier.state(training), 0.75, group)
    rates = nest.rates(2) | dict.fromkeys(meant, 0.75)
    after = update(nest.carrier.put(training, state), 2, everywhere(rates))
    state = lrax.follow_schedule(nest.carrier.state(after))
    state = lrax.restart_schedule(state, 0)
    after = nest.carrier.put(after, state)
    after = update(after, 3, everywhere(nest.rates(0)))
    # Set inside the step, the value differs from device to device.
    update(after, 4, dict.fromkeys(groups, values), values)
  assert nest.traces == traces


@pytest.fixture
def compilations():
  """A list that grows by one for each program that XLA compiles."""
  events = []

  def listen(event, duration, **kwargs):
    del duration, kwargs
    if event == '/jax/core/compile/backend_compile_duration':
      events.append(event)

  jax.monitoring.register_event_duration_secs_listener(listen)
  yield events
  jax.monitoring.unregister_event_duration_listener(listen)


def place_on_mesh(tree):
  """The first axis of an array over the devices where it divides."""
  mesh = jax.sharding.Mesh(jax.devices(), ('devices',))

  def place(x):
    x = jnp.asarray(x)
    divides = x.ndim > 0 and x.shape[0] % jax.device_count() == 0
    spec = jax.sharding.PartitionSpec(*['devices'] * divides)
    return jax.device_put(x, jax.sharding.NamedSharding(mesh, spec))

  return jax.tree.map(place, tree)


def place_on_device(tree):
  return jax.device_put(tree, jax.devices()[-1])


# A change after two updates, and the rate of the next one by a group's line.
CHANGES = {
    'set_learning_rate': (
        lambda state: lrax.set_learning_rate(state, 0.75),
        lambda line: 0.75,
    ),
    'follow_schedule': (lrax.follow_schedule, lambda line: line.at(2)),
    'scale_learning_rate': (
        lambda state: lrax.scale_learning_rate(state, 0.5),
        lambda line: 0.5 * line.at(2),
    ),
    'restart_schedule': (lrax.restart_schedule, lambda line: line.at(0)),
    'report': (
        lambda state: lrax.report(state, 0.5),
        lambda line: 0.5 * line.at(2),
    ),
}


@functools.cache
def placed_run(name, place):
  nest = Run(name, 'closed')
  nest.after = [place(nest.after[0])]
  nest.trained(3)
  return nest


@several_devices
@pytest.mark.parametrize('change', CHANGES)
@pytest.mark.parametrize('place', [place_on_mesh, place_on_device])
def test_placed_states_do_not_recompile(name, change, place, compilations):
  """A change keeps each array where it is, so the compiled step still fits."""
  nest = placed_run(name, place)
  function, rate = CHANGES[change]
  training = nest.trained(2)
  state = nest.carrier.state(training)
  result = jax.block_until_ready(function(state))
  rates = {g: rate(line) for g, (line, _) in nest.nest.groups.items()}
  traces = nest.traces
  compilations.clear()
  jax.block_until_ready(nest.step(nest.carrier.put(training, result)))
  assert (nest.traces, len(compilations)) == (traces, 0)
  nest.check_step(nest.carrier.put(training, result), rates, 2)
  for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(result)):
    assert new.sharding.is_equivalent_to(old.sharding, old.ndim)


def test_compilations_are_counted(compilations):
  """The count that the test above relies on does grow."""
  jax.jit(lambda x: x + 1)(jnp.ones(3))
  assert compilations


def test_apply_if_finite_skips_the_clock_with_the_update():
  """A step that is skipped changes neither the parameters nor the rate."""
  tx = optax.apply_if_finite(lrax.sgd(open_loop(BODY)), 3)
  params = {'w': jnp.zeros(2)}
  state = lrax.set_learning_rate(tx.init(params), 0.75)
  bad = {'w': jnp.array([1.0, jnp.nan])}
  updates, skipped = tx.update(bad, state, params)
  np.testing.assert_array_equal(updates['w'], 0)
  assert float(lrax.get_learning_rate(skipped)) == BODY.at(0)
  assert int(lrax.metrics(skipped)['learning_rate_step']) == 0
  # The override is still there for the next update.
  updates, after = tx.update({'w': jnp.ones(2)}, skipped, params)
  np.testing.assert_array_equal(updates['w'], -0.75)
  assert float(lrax.get_learning_rate(after)) == 0.75


def test_multi_steps_counts_updates_and_not_calls():
  """Between two updates nothing moves; a change waits for the update."""
  tx = optax.MultiSteps(lrax.sgd(open_loop(BODY)), 2)
  params = {'w': jnp.zeros(2)}
  ones = {'w': jnp.ones(2)}
  updates, state = tx.update(ones, tx.init(params), params)
  np.testing.assert_array_equal(updates['w'], 0)
  state = lrax.set_learning_rate(state, 0.75)
  assert float(lrax.get_learning_rate(state)) == BODY.at(0)
  updates, state = tx.update(ones, state, params)
  np.testing.assert_array_equal(updates['w'], -0.75)
  assert float(lrax.get_learning_rate(state)) == 0.75
  assert int(lrax.metrics(state)['learning_rate_step']) == 1


def test_a_report_between_two_updates_of_multi_steps_is_heard():
  """Reported in the middle of an accumulation, it is used at the update."""
  tx = optax.MultiSteps(lrax.sgd(closed_loop(BODY)), 2)
  params = {'w': jnp.zeros(2)}
  ones = {'w': jnp.ones(2)}
  _, state = tx.update(ones, tx.init(params), params)
  updates, state = tx.update(ones, lrax.report(state, 0.25), params)
  np.testing.assert_array_equal(updates['w'], -0.25 * BODY.at(0))


@pytest.mark.parametrize('factory', [optax.adam, lrax.adam])
@pytest.mark.parametrize('change', [c for c in CHANGES if c != 'report'])
def test_changes_leave_other_scheduled_hyperparameters_alone(factory, change):
  """Under `inject_hyperparams` a schedule of b1 is no learning rate."""
  tx = optax.inject_hyperparams(factory)(
      learning_rate=open_loop(BODY), b1=lrax.linear(0.5, 0.25, 8), b2=0.5
  )
  params = {'w': jnp.zeros(2)}
  update = jax.jit(lambda state: tx.update({'w': jnp.ones(2)}, state, params)[1])
  state = CHANGES[change][0](update(tx.init(params)))
  for step in (1, 2):
    state = update(state)
    # 0.5 - 0.25 * step / 8 is exact in float32.
    assert float(state.hyperparams['b1']) == 0.5 - 0.25 * step / 8


def test_a_hyperparameter_changed_the_way_of_optax_is_read():
  """`state.hyperparams['learning_rate'] = ...` works under lrax.adam too."""
  tx = lrax_adam(0.125)
  params = {'w': jnp.zeros(2)}
  update = jax.jit(lambda state: tx.update({'w': jnp.ones(2)}, state, params))
  _, state = update(tx.init(params))
  state.hyperparams['learning_rate'] = jnp.asarray(0.375)
  updates, state = update(state)
  np.testing.assert_allclose(updates['w'], -0.375, **TOLERANCE)
  assert float(lrax.get_learning_rate(state)) == 0.375


def test_a_dict_of_a_partition_and_a_plain_state_names_every_group():
  """Each group has a name to call it by, and changes under it alone."""
  params = zeros()
  split = partition('body', 'head')(open_loop)
  state = {'model': split.init(params), 'critic': lrax.sgd(0.75).init(params)}
  groups = lrax.get_learning_rate(state)
  assert sorted(float(rate) for rate in groups.values()) == [0.25, 0.5, 0.75]
  assert '' not in groups
  assert not any(name.endswith('/') for name in lrax.metrics(state))
  for group in groups:
    changed_state = lrax.set_learning_rate(state, 0.125, group)
    assert changed(state, changed_state) == ['override']
