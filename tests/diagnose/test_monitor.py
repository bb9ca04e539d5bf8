"""What `monitor` measures, against NumPy, and that it changes no update."""

from __future__ import annotations

import functools
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.diagnose import monitor

PARAMS = {
    'body': {
        'kernel': jnp.linspace(-1.0, 2.0, 12).reshape(3, 4),
        'scale': jnp.array(0.5, jnp.float32),
    },
    'head': jnp.linspace(0.25, 1.0, 5),
}


def gradients(step):
  """Gradients that differ from step to step, none of them zero."""
  wave = lambda x: jnp.cos(jnp.arange(x.size) * 1.7 + step).reshape(x.shape) + 0.1
  return jax.tree.map(wave, PARAMS)


# Of one leaf and so without groups: half the time to compile.
SMALL = {'w': PARAMS['head']}


def small(step):
  return {'w': gradients(step)['head']}


def flat(tree):
  leaves = [np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(tree)]
  return np.concatenate([*leaves, np.zeros(0)])


def expected(gradient, update, before, params):
  """The definitions, in float64."""
  g, u, b, p = map(flat, (gradient, update, before, params))
  norm = np.linalg.norm
  rates = np.quantile(
      np.abs(u) / np.abs(g), [0.05, 0.25, 0.5, 0.75, 0.95], method='inverted_cdf'
  )
  names = [f'rate_{q}' for q in ('05', '25', '50', '75', '95')]
  return dict(zip(names, rates)) | {
      'gradient_norm': norm(g),
      'update_norm': norm(u),
      'parameter_norm': norm(p),
      'update_ratio': norm(u) / norm(p),
      'cosine': g.size and (u @ b) / (norm(u) * norm(b)),
  }


def measured(state, group=''):
  """A monitor's scalars of one group by name."""
  suffix = f'/{group}' if group else ''
  names = expected(*[{'x': jnp.ones(1)}] * 4)
  found = lrax.metrics(state)
  return {name: float(found[f'monitor_{name}{suffix}']) for name in names}


@functools.cache
def stepping(tx):
  return jax.jit(lambda g, s, p, v: tx.update(g, s, p, value=v))


def run(tx, steps, params=PARAMS, losses=None, given=gradients):
  """Jitted updates; the states after each, the updates, the parameters before."""
  step = stepping(tx)
  known = step._cache_size()
  state, states, updates, seen = tx.init(params), [], [], []
  for at in range(steps):
    seen.append(params)
    loss = jnp.float32(1.0 if losses is None else losses[at])
    update, state = step(given(at), state, params, loss)
    params = optax.apply_updates(params, update)
    states.append(state)
    updates.append(update)
  assert step._cache_size() <= known + 1
  return states, updates, seen


def final(tx, given, params):
  """The last updates and the state after some, all of them in one program."""

  @jax.jit
  def play(given, params):
    def body(state, gradient):
      updates, state = tx.update(gradient, state, params)
      return state, updates

    state, updates = jax.lax.scan(body, tx.init(params), given)
    return jax.tree.map(lambda x: x[-1], updates), state

  return play(jax.tree.map(lambda *x: jnp.stack(x), *given), params)


# Sums of 17 squares and quotients: a few roundings of float32, 6e-8 each.
CLOSE = dict(rel=2e-6)


@pytest.fixture(scope='module')
def watched():
  return run(monitor(lrax.adamw(0.01), every=4), 9)


@pytest.mark.parametrize('group', ['', 'body', 'head'])
@pytest.mark.parametrize('at', [2, 4, 8])
def test_it_measures_what_its_formulas_say(watched, at, group):
  states, updates, seen = watched
  part = lambda tree: tree[group] if group else tree
  index = at - 1
  want = expected(
      part(gradients(index)), part(updates[index]), part(updates[index - 1]),
      part(seen[index]),
  )
  assert measured(states[index], group) == pytest.approx(want, **CLOSE)
  assert int(lrax.metrics(states[index])['monitor_step']) == at


def test_between_measurements_the_latest_stays(watched):
  states, *_ = watched
  steps = [int(lrax.metrics(s)['monitor_step']) for s in states]
  assert steps == [1, 2, 2, 4, 4, 4, 4, 8, 8]
  assert [int(lrax.metrics(s)['monitor_updates']) for s in states] == [*range(1, 10)]
  assert measured(states[6]) == measured(states[3]) != measured(states[7])


def test_the_first_update_has_no_cosine_and_all_the_rest(watched):
  first = measured(watched[0][0])
  assert math.isnan(first.pop('cosine'))
  assert all(map(math.isfinite, first.values()))


INNERS = {
    'chain': lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(0.01)),
    'polyak': lambda: lrax.sgd(lrax.control.polyak()),
    'schedule-free': lambda: lrax.schedule_free_adamw(0.01),
}


@pytest.mark.parametrize('name', INNERS)
def test_updates_are_those_of_the_inner_one(name):
  play = lambda tx: run(tx, 4, SMALL, given=small)
  _, want, _ = play(optax.with_extra_args_support(INNERS[name]()))
  states, found, seen = play(monitor(INNERS[name](), every=3))
  # Two programs, and XLA contracts products and sums as it likes: 1e-6 is a few
  # roundings of float32. Eager ones, below, have the same bits.
  assert flat(found) == pytest.approx(flat(want), rel=1e-6)
  last = expected(small(2), found[2], found[1], seen[2])
  assert measured(states[2]) == pytest.approx(last, **CLOSE)


def test_eager_updates_measure_too_and_are_the_same_bits():
  inner = optax.adamw(0.01)
  params = {'w': jnp.linspace(-1.0, 2.0, 6)}
  tx = monitor(inner)
  wanted, _ = inner.update(params, inner.init(params), params)
  updates, state = tx.update(params, tx.init(params), params)
  assert flat(updates).tolist() == flat(wanted).tolist()
  want = expected(params, updates, updates, params) | {'cosine': math.nan}
  assert measured(state) == pytest.approx(want, nan_ok=True, **CLOSE)


# --- groups --------------------------------------------------------------------


@pytest.mark.parametrize(
    'groups, params, names',
    [
        (None, PARAMS, ['body', 'head']),
        (None, {'params': PARAMS}, ['params/body', 'params/head']),
        (None, [jnp.ones(1), jnp.ones(2)], ['0', '1']),
        (None, {'a': jnp.ones(3)}, []),
        (None, jnp.ones(3), []),
        ([], PARAMS, []),
        (['head', '.*/kernel'], PARAMS, ['.*/kernel', 'head']),
        ({'scales': '.*/scale', 'rest': '.*'}, PARAMS, ['rest', 'scales']),
    ],
)
def test_groups_are_by_key_or_by_pattern(groups, params, names):
  state = monitor(optax.sgd(1.0), groups).init(params)
  assert sorted(state.groups) == names


def test_leaves_of_no_group_count_over_all():
  tx = monitor(optax.sgd(1.0), ['head'])
  _, state = final(tx, [PARAMS], PARAMS)
  size = np.linalg.norm(flat(PARAMS))
  assert measured(state)['gradient_norm'] == pytest.approx(size, **CLOSE)
  head = np.linalg.norm(flat(PARAMS['head']))
  assert measured(state, 'head')['gradient_norm'] == pytest.approx(head, **CLOSE)


# --- the sample ------------------------------------------------------------------


def test_a_sample_is_right_within_its_standard_error():
  # Two groups of 40,000 and 10,000 entries with rates and cosines of their own.
  random = np.random.default_rng(1)
  sizes = {'a': (200, 200), 'b': (10000,)}
  draw = lambda n: random.normal(size=sizes[n]).astype(np.float32)
  first = {'a': draw('a'), 'b': 3 * draw('b')}
  noise = {'a': draw('a'), 'b': 3 * draw('b')}
  second = jax.tree.map(lambda x, y: 0.6 * x + 0.8 * y, first, noise)
  rates = optax.piecewise_constant_schedule(1.0, {1: 0.5})
  tx = monitor(optax.sgd(rates), samples=4096)
  updates, state = final(tx, [first, second], first)
  assert state.sample.shape == (4096,)
  for group in ('', 'a', 'b'):
    trees = second, updates, first, first
    want = expected(*(tree[group] if group else tree for tree in trees))
    found = measured(state, group)
    entries = 2048 if group else 4096 / 2.5  # those of 'a' count four times as much
    error = (1 - 0.6**2) / math.sqrt(entries)
    # The update is minus the gradient, so cosines are the gradients': 0.6.
    assert abs(found['cosine'] + want['cosine']) < 4 * error
    assert found['cosine'] != pytest.approx(-want['cosine'], abs=1e-7)
    assert found['gradient_norm'] == pytest.approx(want['gradient_norm'], rel=1e-5)


def test_quantiles_over_all_weigh_the_entries_of_a_sample():
  # 90% of the entries have a rate of 1, and half of the sample.
  gradient = {'a': jnp.ones(9000), 'b': jnp.ones(1000)}
  labels = {'a': 'a', 'b': 'b'}
  inner = optax.partition({'a': optax.sgd(1.0), 'b': optax.sgd(2.0)}, labels)
  tx = monitor(inner, samples=200)
  _, state = final(tx, [gradient], gradient)
  found = measured(state)
  assert [found[f'rate_{q}'] for q in ('05', '50', '75', '95')] == [1, 1, 1, 2]


def test_all_entries_are_exact():
  tx = monitor(lrax.sgd(0.5), samples=None)
  assert tx.init({'w': jnp.ones((300, 400))}).sample.shape == (120000,)


# --- numbers that are hard -------------------------------------------------------


EVERY_UPDATE = monitor(lrax.sgd(0.1), every=1)


@pytest.mark.parametrize('size', [1e-25, 1e25])
def test_norms_neither_underflow_nor_overflow(size):
  given = lambda step: jax.tree.map(lambda x: x * size, gradients(step))
  states, *_ = run(EVERY_UPDATE, 2, given=given)
  want = expected(gradients(1), gradients(1), gradients(0), PARAMS)
  found = measured(states[1])
  for name, rate in (('gradient_norm', 1), ('update_norm', 0.1)):
    assert found[name] / size == pytest.approx(rate * want[name], **CLOSE)
  assert found['cosine'] == pytest.approx(want['cosine'], **CLOSE)
  assert found['rate_50'] == pytest.approx(0.1, **CLOSE)


@pytest.fixture(scope='module')
def outside_the_sample():
  """One update of 70,000 entries, of which 64 are looked at."""
  tx = monitor(optax.sgd(1e-3), samples=64)
  return jax.jit(lambda w: tx.update(w, tx.init(w), w)[1])


@pytest.mark.parametrize('size', [1.0, 3e19, 3e38, 1e-9, 1e-12, 1e-30, math.inf])
def test_norms_are_exact_whatever_the_sample_saw(outside_the_sample, size):
  found = measured(outside_the_sample(jnp.zeros(70000).at[11].set(size)))
  assert math.isnan(found['rate_50'])  # the sample has zeros only
  # Two roundings of float32.
  assert found['gradient_norm'] == pytest.approx(size, rel=2e-7)
  assert found['update_norm'] == pytest.approx(1e-3 * size, rel=2e-7)
  if size < math.inf:
    assert found['update_ratio'] == pytest.approx(1e-3, rel=4e-7)


def test_a_norm_too_large_for_its_dtype_is_the_largest_number(outside_the_sample):
  found = measured(outside_the_sample(jnp.full(70000, 3e38)))
  assert found['gradient_norm'] == float(jnp.finfo(jnp.float32).max)


@pytest.mark.parametrize('bad', [jnp.nan, jnp.inf])
def test_what_is_not_finite_shows_once(bad):
  given = lambda at: jax.tree.map(lambda x: x * (bad if at == 1 else 1), gradients(at))
  losses = [2.0, float(bad), 4.0, 3.0]
  states, *_ = run(EVERY_UPDATE, 4, losses=losses, given=given)
  shown = measured(states[1])
  assert not math.isfinite(shown['gradient_norm'])
  assert not math.isfinite(shown['update_norm'])
  assert math.isnan(shown['cosine'])
  # The parameters are not finite any more; what does not depend on them is.
  found = measured(states[3])
  want = np.linalg.norm(flat(gradients(3)))
  assert found['gradient_norm'] == pytest.approx(want, **CLOSE)
  assert found['rate_50'] == pytest.approx(0.1, **CLOSE)
  assert math.isfinite(found['cosine'])
  loss = lrax.metrics(states[3])
  assert float(loss['monitor_loss_mean']) == pytest.approx(3.0)
  assert float(lrax.metrics(states[1])['monitor_loss']) != 2.0


def test_zeros_are_defined():
  zeros = lambda tree: jax.tree.map(lambda x: 0 * x, tree)
  none = lambda at: zeros(gradients(at))
  states, *_ = run(EVERY_UPDATE, 2, zeros(PARAMS), given=none)
  found = measured(states[1])
  for name in ('gradient_norm', 'update_norm', 'parameter_norm'):
    assert found.pop(name) == 0
  assert all(map(math.isnan, found.values()))


def test_bfloat16_is_summed_in_float32():
  # In bfloat16 a sum of ones stops at 256.
  params = {'w': jnp.ones(4096, jnp.bfloat16)}
  tx = monitor(lrax.sgd(0.5))
  update, state = final(tx, [params], params)
  assert update['w'].dtype == jnp.bfloat16
  assert measured(state)['gradient_norm'] == 64.0


def test_float64(x64):
  narrow = jnp.array([1e-30], jnp.float32)  # its square is 0 in float32
  params = {'w': jnp.array([3e200, 4e200]), 'v': jnp.array([1e-200]), 'u': narrow}
  tx = monitor(lrax.sgd(0.5), every=1)
  states, *_ = run(tx, 1, params, given=lambda _: params)
  # 1e-15 is a few roundings of float64.
  assert measured(states[0])['gradient_norm'] == pytest.approx(5e200, rel=1e-15)
  assert measured(states[0], 'v')['parameter_norm'] == pytest.approx(1e-200, rel=1e-15)
  # That 1e-30 in float32 is off by half a unit in the last place, 6e-8.
  assert measured(states[0], 'u')['parameter_norm'] == pytest.approx(1e-30, rel=1e-7)


def test_complex_numbers():
  params = {'w': jnp.array([3 + 4j, 0.0]), 'v': jnp.array([12.0])}
  tx = monitor(optax.sgd(0.5))
  turned = {'w': 1j * params['w'], 'v': 0 * params['v']}
  _, state = final(tx, [params, turned], params)
  found = measured(state)
  assert found['gradient_norm'] == pytest.approx(5.0)
  # A quarter turn is a right angle.
  assert found['cosine'] == pytest.approx(0.0, abs=1e-7)


# --- trees -----------------------------------------------------------------------


def test_an_empty_tree():
  tx = monitor(lrax.adamw(0.1), every=2)
  states, *_ = run(tx, 3, {}, given=lambda _: {})
  found = measured(states[1])
  assert found.pop('gradient_norm') == found.pop('update_norm') == 0


def test_an_array_without_entries():
  params = {'w': jnp.ones((0, 3)), 'v': jnp.ones(2)}
  _, state = final(monitor(lrax.sgd(1.0)), [params], params)
  assert measured(state)['gradient_norm'] == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize('nothing', [None, optax.MaskedNode()])
@pytest.mark.parametrize('with_params', [True, False])
def test_gradients_that_are_not_there(nothing, with_params):
  gradient = {'body': {'kernel': PARAMS['body']['kernel'], 'scale': nothing}}
  gradient['head'] = nothing
  params = PARAMS if nothing is None else gradient
  tx = monitor(optax.scale(-0.5), every=1)
  state = tx.init(params)
  _, state = jax.jit(tx.update)(gradient, state, params if with_params else None)
  kernel = np.linalg.norm(flat(PARAMS['body']['kernel']))
  for group in ('', 'body'):
    if f'monitor_cosine/{group}' in lrax.metrics(state) or not group:
      found = measured(state, group)
      assert found['gradient_norm'] == pytest.approx(kernel, **CLOSE)
      assert found['update_norm'] == pytest.approx(kernel / 2, **CLOSE)
      if with_params:
        assert found['update_ratio'] == pytest.approx(0.5, **CLOSE)
        assert found['rate_05'] == found['rate_95'] == 0.5
      else:
        assert math.isnan(found['update_ratio'])


def test_whole_numbers_are_passed_over():
  params = {'w': jnp.ones(3), 'count': jnp.arange(3)}
  tx = monitor(optax.identity())
  updates, state = final(tx, [params], params)
  assert updates['count'].tolist() == [0, 1, 2]
  assert measured(state)['gradient_norm'] == pytest.approx(math.sqrt(3))


# --- under transformations -------------------------------------------------------


def test_vmap_is_a_loop():
  tx = monitor(lrax.sgd(0.1), every=2)
  params, given = {'w': jnp.arange(1.0, 7).reshape(2, 3)}, jnp.arange(2.0, 8)

  def play(params, given):
    update = lambda state, g: (tx.update(g, state, params)[1], None)
    pair = jax.tree.map(lambda *x: jnp.stack(x), params, {'w': given})
    return jax.lax.scan(update, tx.init(params), pair)[0]

  given = given.reshape(2, 3)
  found = jax.jit(jax.vmap(play))(params, given)
  alone = jax.jit(play)
  for at in range(2):
    want = alone({'w': params['w'][at]}, given[at])
    mine = jax.tree.map(lambda x, at=at: x[at], found)
    assert measured(mine) == pytest.approx(measured(want), **CLOSE)


def test_scan_stacks_metrics_for_history():
  tx = monitor(lrax.sgd(0.1), every=2)

  def body(carry, at):
    params, state = carry
    updates, state = tx.update(gradients(at), state, params, value=10.0 - at)
    return (optax.apply_updates(params, updates), state), lrax.metrics(state)

  _, rows = jax.lax.scan(body, (PARAMS, tx.init(PARAMS)), jnp.arange(4.0))
  found = lrax.diagnose.history(rows)
  assert found.step.tolist() == [1, 2, 3, 4]
  assert found.loss.tolist() == [10, 9, 8, 7]
  assert found.values['monitor_step'].tolist() == [1, 2, 2, 4]
  assert found.groups == ('body', 'head')


@pytest.fixture(scope='module')
def on_one_device():
  params = {'w': jnp.arange(1.0, 65).reshape(16, 4), 'b': jnp.ones(8)}
  tx = monitor(lrax.sgd(0.1), every=2, samples=24)
  return tx, params, final(tx, [params, params], params)[1]


def mesh(kind='Auto'):
  return jax.make_mesh((8,), ('x',), (getattr(jax.sharding.AxisType, kind),))


@pytest.mark.parametrize('kind', ['Auto', 'Explicit'])
def test_sharded_arrays(on_one_device, kind):
  tx, params, want = on_one_device
  split = jax.NamedSharding(mesh(kind), jax.P('x'))
  placed = jax.device_put(params, split)
  _, state = final(tx, [placed, placed], placed)
  assert measured(state, 'w') == pytest.approx(measured(want, 'w'), **CLOSE)


def test_shard_map_of_averaged_gradients(on_one_device):
  tx, params, want = on_one_device

  def replica(shares, state):
    mean = jax.tree.map(lambda x: jax.lax.pmean(x[0], 'x'), shares)
    update = lambda state, _: (tx.update(mean, state, params)[1], None)
    return jax.lax.scan(update, state, length=2)[0]

  shares = jax.tree.map(lambda x: jnp.stack([x * i / 3.5 for i in range(8)]), params)
  state = jax.jit(jax.shard_map(
      replica, mesh=mesh(),
      in_specs=(jax.P('x'), jax.P()), out_specs=jax.P(),
  ))(shares, tx.init(params))
  assert measured(state, 'w') == pytest.approx(measured(want, 'w'), **CLOSE)


@pytest.mark.parametrize('outside', [True, False])
def test_accumulated_gradients(outside):
  if outside:
    steps = optax.MultiSteps(monitor(lrax.sgd(0.5), every=2), 3)
    tx = optax.GradientTransformationExtraArgs(steps.init, steps.update)
  else:
    tx = monitor(optax.MultiSteps(lrax.sgd(0.5), 3), every=2)
  states, updates, seen = run(tx, 6, SMALL, given=small)
  assert [int(lrax.metrics(s)['monitor_updates']) for s in states] == [0, 0, 1, 1, 1, 2]
  mean = jax.tree.map(lambda *x: sum(x) / 3, *map(small, (3, 4, 5)))
  want = expected(mean if outside else small(5), updates[5], updates[2], seen[5])
  found = measured(states[5])
  if not outside:
    # The update just before the one that moves parameters is one of zeros.
    assert found['cosine'] == pytest.approx(want['cosine'], **CLOSE)
  assert found == pytest.approx(want, **CLOSE)


# --- what it keeps -----------------------------------------------------------------


def test_its_state_is_stable_and_pickles(watched):
  states, *_ = watched
  kinds = lambda s: jax.tree.map(lambda x: (x.shape, x.dtype), s)
  fresh = monitor(lrax.adamw(0.01), every=4).init(PARAMS)
  assert kinds(fresh) == kinds(states[0]) == kinds(states[-1])
  again = pickle.loads(pickle.dumps(states[-1]))
  assert measured(again) == measured(states[-1])


def test_the_inner_one_is_traced_once():
  calls = []

  def update(updates, state, params=None, **_):
    calls.append(1)
    return jax.tree.map(lambda x: -x, updates), state

  tx = monitor(optax.GradientTransformationExtraArgs(lambda p: (), update))
  jax.eval_shape(lambda s: tx.update(SMALL, s), tx.init(SMALL))
  assert len(calls) == 1


def test_arguments_are_passed_on_and_a_loss_must_be_a_scalar():
  heard = {}

  def update(updates, state, params=None, **extra_args):
    heard.update(extra_args)
    return updates, state

  inner = optax.GradientTransformationExtraArgs(lambda p: (), update)
  tx = monitor(inner)
  traced = lambda **given: jax.eval_shape(
      lambda s: tx.update(SMALL, s, **given), tx.init(SMALL)
  )
  traced(value=1.0, metric=2.0)
  assert heard == {'value': 1.0, 'metric': 2.0}
  with pytest.raises(TypeError, match='monitor: `value` must be a real scalar'):
    traced(value=jnp.ones(2))


@pytest.mark.parametrize(
    'arguments, error, says',
    [
        (dict(inner=3), TypeError, '`inner` must be an optax'),
        (dict(every=0), ValueError, '`every` must be a whole number >= 1'),
        (dict(samples=0), ValueError, '`samples` must be a whole number >= 1'),
        (dict(decay=1.0), ValueError, '`decay` must be a number in'),
        (dict(groups='head'), TypeError, '`groups` must be a list of patterns'),
        (dict(groups=['(']), ValueError, 'must be a regular expression'),
        (dict(groups={'': 'a'}), TypeError, 'named by strings that are not empty'),
    ],
)
def test_bad_arguments_are_refused(arguments, error, says):
  with pytest.raises(error, match=says):
    monitor(**{'inner': optax.sgd(1.0)} | arguments)


def test_a_pattern_that_takes_nothing_is_refused():
  tx = monitor(optax.sgd(1.0), ['head', 'tail'])
  with pytest.raises(ValueError, match="got 'tail', which takes none"):
    tx.init(PARAMS)
