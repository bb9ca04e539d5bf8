"""Groups share one run of the base, and each has its rate."""

from __future__ import annotations

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import lrax
from lrax.groups import frozen
from lrax.groups import param_groups
from lrax.groups import unfrozen_at

LINE = functools.partial(lrax.linear, 0.5, 0.0, steps=8)  # 1/2, 7/16, ...: exact


def tree(seed, dtype='float32'):
  keys = jax.random.split(jax.random.key(seed), 3)
  make = lambda key, shape: jax.random.normal(key, shape).astype(dtype)
  return {
      'body': {'w': make(keys[0], (4, 3)), 'bias': make(keys[1], (3,))},
      'head': {'w': make(keys[2], (3, 2))},
  }


def run(tx, steps=6, dtype='float32', jit=True, start=None, **extra):
  """Parameters and updates of every step, and the last state."""
  params = tree(0, dtype)
  state = tx.init(params) if start is None else start
  update = jax.jit(tx.update) if jit else tx.update
  trail = []
  for step in range(steps):
    updates, state = update(tree(step + 1, dtype), state, params, **extra)
    params = optax.apply_updates(params, updates)
    trail.append((updates, params))
  return trail, state


def same(a, b):
  """Bit for bit, structure and dtypes too."""
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(x, y)


def close(a, b, **tolerance):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
    np.testing.assert_allclose(x, y, **tolerance)


# A product in another order is off by a rounding of 6e-8, and parameters of 1 add
# six such updates; two float32 values that should agree are within this.
ROUNDED = dict(rtol=1e-6, atol=1e-6)

BASES = {
    'sgd': lambda rate: lrax.sgd(rate, momentum=0.9),
    'adamw': lambda rate: lrax.adamw(rate, weight_decay=0.1),
    'adamw none': lambda rate: lrax.adamw(
        rate, weight_decay=0.01, decay_coupling='none'
    ),
    'adamw schedule': lambda rate: lrax.adamw(
        rate, weight_decay=0.01, decay_coupling='schedule', reference_rate=0.5
    ),
    'masked': lambda rate: lrax.adamw(
        rate, weight_decay=0.1, mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p)
    ),
    'clipped': lambda rate: optax.chain(optax.clip_by_global_norm(1.0), lrax.sgd(rate)),
    'scheduled': lambda rate: lrax.adamw(
        rate, b1=lrax.linear(0.5, 0.9, steps=4), weight_decay=0.1
    ),
    'optax': lambda rate: lrax.with_learning_rate(optax.scale_by_lion(), rate),
    'guard': lambda rate: lrax.guard(lrax.adamw(rate), 'skip'),
}


@pytest.mark.parametrize(
    'base, dtype, jit',
    [
        *((base, 'float32', True) for base in BASES),
        ('sgd', 'float32', False),
        ('adamw', 'float32', False),
        ('adamw', 'bfloat16', False),
        ('adamw', 'bfloat16', True),
        ('adamw none', 'bfloat16', True),
        ('adamw', 'complex64', True),
    ],
)
def test_factors_of_one_are_the_base_bit_for_bit(base, dtype, jit):
  # It goes through zero and stays there: no quotient, no other decay.
  rise = functools.partial(lrax.linear, 0.0, 0.5, steps=2)
  make = lambda: BASES[base](rise().then(lrax.constant(0.0), at=4))
  tx = param_groups([('head', 1.0), ('.*/bias', 1), ('.*', 1.0)], make())
  ours, state = run(tx, dtype=dtype, jit=jit)
  theirs, base_state = run(make(), dtype=dtype, jit=jit)
  same(ours, theirs)
  rates = lrax.get_learning_rate(state)
  assert set(rates) == {'head', '.*/bias', '.*'}
  for rate in rates.values():
    assert rate == lrax.get_learning_rate(base_state)


def label(params):
  return {'body': {'w': 'body', 'bias': 'bias'}, 'head': {'w': 'head'}}


@pytest.mark.parametrize('base', ['sgd', 'adamw', 'masked', 'scheduled', 'optax'])
def test_factors_equal_separate_optimizers(base):
  make = BASES[base]
  factors = {'body': 0.3, 'bias': 1.5, 'head': 1.0}
  rules = [('head', 1.0), ('.*/bias', 1.5), ('body', 0.3)]
  ours, state = run(param_groups(rules, make(LINE())))
  theirs, separate = run(
      optax.partition({k: make(LINE() * f) for k, f in factors.items()}, label)
  )
  close(ours, theirs, **ROUNDED)
  rates, expected = lrax.get_learning_rate(state), lrax.get_learning_rate(separate)
  for name, mine in (('head', 'head'), ('.*/bias', 'bias'), ('body', 'body')):
    np.testing.assert_allclose(rates[name], expected[mine], rtol=1e-6)


@pytest.mark.parametrize('base', ['sgd', 'adamw', 'masked', 'optax'])
def test_own_schedules_equal_separate_optimizers(base):
  """Where the shared rate is 0, at the first step, too."""
  make = BASES[base]
  shared = functools.partial(lrax.linear, 0.0, 0.5, steps=4)
  own = functools.partial(lrax.linear, 0.25, 0.0, steps=8)
  plain = lambda step: 0.5 / (step + 1)
  rules = [('head', own()), ('.*/bias', plain), ('.*', 0.5)]
  ours, state = run(param_groups(rules, make(shared())))
  theirs, separate = run(
      optax.partition(
          {'head': make(own()), 'bias': make(plain), 'body': make(shared() * 0.5)},
          label,
      )
  )
  assert (ours[0][0]['body']['w'] == 0).all()
  assert (ours[0][0]['head']['w'] != 0).all()
  close(ours, theirs, **ROUNDED)
  rates, expected = lrax.get_learning_rate(state), lrax.get_learning_rate(separate)
  np.testing.assert_allclose(rates['head'], expected['head'], rtol=1e-6)
  np.testing.assert_allclose(rates['.*'], expected['body'], rtol=1e-6)


def test_only_own_schedules():
  rules = [('head', lrax.constant(0.25)), ('.*', LINE())]
  ours, _ = run(param_groups(rules, lrax.adamw(0.0)))
  theirs, _ = run(
      optax.partition(
          {'head': lrax.adamw(0.25), 'rest': lrax.adamw(LINE())},
          {'body': {'w': 'rest', 'bias': 'rest'}, 'head': {'w': 'head'}},
      )
  )
  close(ours, theirs, **ROUNDED)


def start_shrinking(init_value):
  return init_value, jnp.asarray(init_value, jnp.result_type(float))


@lrax.control.closed_loop(start_shrinking)
def norm_driven(memory, step, signals, init_value):
  """`init_value` over 1 + the largest entries that the policy sees."""
  del step
  largest = lambda tree: jnp.stack([jnp.abs(x).max() for x in jax.tree.leaves(tree)])
  seen = largest(signals.updates).max() + largest(signals.params).sum()
  rate = init_value / (1 + seen + memory)
  return rate, memory + 0.125


def test_an_own_closed_loop_sees_the_updates_of_its_group():
  """As at the end of the group's own chain, though the base's rate is 0 at first."""
  make = lambda rate: lrax.sgd(rate, momentum=0.9)
  shared = functools.partial(lrax.linear, 0.0, 0.5, steps=4)
  rules = [('head', norm_driven(0.5)), ('.*', 1.0)]
  ours, state = run(param_groups(rules, make(shared())))
  theirs, separate = run(
      optax.partition(
          {'head': make(norm_driven(0.5)), 'rest': make(shared())},
          {'body': {'w': 'rest', 'bias': 'rest'}, 'head': {'w': 'head'}},
      )
  )
  close(ours, theirs, **ROUNDED)
  np.testing.assert_allclose(
      lrax.get_learning_rate(state)['head'],
      lrax.get_learning_rate(separate)['head'],
      rtol=1e-6,
  )


@pytest.mark.parametrize('jit', [True, False], ids=['jit', 'eager'])
def test_a_shared_closed_loop_sees_all_that_is_trained(jit):
  base = lambda: lrax.sgd(norm_driven(0.5))
  ours, _ = run(param_groups([('head', 1.0), ('.*', 1.0)], base()), jit=jit)
  theirs, _ = run(base(), jit=jit)
  same(ours, theirs)


@pytest.mark.parametrize('jit', [True, False], ids=['jit', 'eager'])
def test_so_it_does_for_a_group_that_was_moved_alone(jit):
  """With its clock apart, it gets the same rate, which no clock decides."""
  tx = param_groups([('head', 1.0), ('.*', 1.0)], lrax.sgd(norm_driven(0.5)))
  apart = lrax.restart_schedule(tx.init(tree(0)), 5, group='.*')
  apart = lrax.set_learning_rate(apart, 0.0, group='head')
  _, state = run(tx, steps=1, start=apart, jit=jit)
  _, expected = run(lrax.sgd(norm_driven(0.5)), steps=1, jit=jit)
  found = lrax.get_learning_rate(state)
  assert found['head'] == 0
  # two programs of the same sums: a rounding each
  np.testing.assert_allclose(
      found['.*'], lrax.get_learning_rate(expected), rtol=3e-7
  )
  assert int(state.inner_states['.*'].step) == 6


# --- frozen


def test_frozen_leaves_get_zeros_whatever_comes():
  rules = [('body', frozen), ('head', 1.0)]
  make = functools.partial(lrax.adamw, 0.1, weight_decay=0.5)
  params, grads = tree(0, 'bfloat16'), tree(1, 'bfloat16')
  grads['body'] = jax.tree.map(lambda g: jnp.full_like(g, jnp.nan), grads['body'])
  tx = param_groups(rules, optax.chain(optax.clip_by_global_norm(1.0), make()))
  alone = optax.chain(optax.clip_by_global_norm(1.0), make())
  state, alone_state = tx.init(params), alone.init({'head': params['head']})
  for _ in range(3):
    updates, state = jax.jit(tx.update)(grads, state, params)
    expected, alone_state = jax.jit(alone.update)(
        {'head': grads['head']}, alone_state, {'head': params['head']}
    )
    zeros = jax.tree.map(jnp.zeros_like, params['body'])
    same(updates, {'body': zeros, 'head': expected['head']})


def test_frozen_leaves_keep_no_bytes():
  params = tree(0)
  count = lambda tx: sum(
      x.nbytes for x in jax.tree.leaves(tx.init(params)) if x.ndim
  )
  tx = param_groups([('body', frozen), ('head', 1.0)], lrax.adamw(0.1))
  assert count(tx) == 2 * params['head']['w'].nbytes
  assert count(lrax.adamw(0.1)) == 2 * sum(x.nbytes for x in jax.tree.leaves(params))


def test_frozen_groups_have_no_rate():
  tx = param_groups([('body', frozen), ('.*', 0.5)], lrax.sgd(0.5))
  state = tx.init(tree(0))
  assert float(lrax.get_learning_rate(state)) == 0.25  # one group, so a number
  with pytest.raises(ValueError, match="got 'body'; they are '.\\*'"):
    lrax.set_learning_rate(state, 0.1, group='body')


def test_all_may_be_frozen():
  tx = param_groups([('.*', frozen)], lrax.adamw(0.5))
  params = tree(0)
  updates, _ = tx.update(tree(1), tx.init(params), params)
  same(updates, jax.tree.map(jnp.zeros_like, params))


def test_a_factor_of_zero_keeps_moments_and_a_nan():
  params = tree(0)
  tx = param_groups([('body', 0.0), ('.*', 1.0)], lrax.adam(0.5))
  state = tx.init(params)
  updates, _ = tx.update(tree(1), state, params)
  assert all((u == 0).all() for u in jax.tree.leaves(updates['body']))
  grads = tree(1)
  grads['body']['w'] = grads['body']['w'].at[0, 0].set(jnp.nan)
  updates, _ = tx.update(grads, state, params)
  assert int(jnp.isnan(updates['body']['w']).sum()) == 1


# --- the functions of lrax.state

RULES = [('head', 1.0), ('.*/bias', LINE()), ('body', 0.5)]


def rates_after(change, steps=2):
  """The rates of the update after a change, and the sgd updates of it."""
  tx = param_groups(RULES, lrax.sgd(LINE()))
  params = tree(0)
  grads = jax.tree.map(jnp.ones_like, params)
  update = jax.jit(tx.update)
  state = tx.init(params)
  for _ in range(steps):
    _, state = update(grads, state, params)
  changed = change(state)
  assert jax.tree.structure(changed) == jax.tree.structure(state)
  updates, state = update(grads, changed, params)
  assert update._cache_size() == 1
  shown = lrax.get_learning_rate(state)
  applied = {
      'head': -updates['head']['w'][0, 0],
      '.*/bias': -updates['body']['bias'][0],
      'body': -updates['body']['w'][0, 0],
  }
  # A quotient of two rates times one of them: two roundings of 6e-8.
  for name, rate in shown.items():
    np.testing.assert_allclose(applied[name], rate, rtol=3e-7)
  return {name: float(rate) for name, rate in shown.items()}


def rates(head, bias, body):
  return {'head': head, '.*/bias': bias, 'body': body}


@pytest.mark.parametrize(
    'change, expected',
    [
        (lambda s: s, rates(0.375, 0.375, 0.1875)),
        (lambda s: lrax.set_learning_rate(s, 0.75), rates(0.75, 0.75, 0.75)),
        (lambda s: lrax.set_learning_rate(s, 0.75, 'head'), rates(0.75, 0.375, 0.1875)),
        (lambda s: lrax.set_learning_rate(s, 0.75, 'body'), rates(0.375, 0.375, 0.75)),
        (
            lambda s: lrax.set_learning_rate(s, 0.75, '.*/bias'),
            rates(0.375, 0.75, 0.1875),
        ),
        (
            lambda s: lrax.follow_schedule(lrax.set_learning_rate(s, 1.0), 'head'),
            rates(0.375, 1.0, 1.0),
        ),
        (lambda s: lrax.scale_learning_rate(s, 0.5), rates(0.1875, 0.1875, 0.09375)),
        (
            lambda s: lrax.scale_learning_rate(s, 0.5, 'body'),
            rates(0.375, 0.375, 0.09375),
        ),
        (lambda s: lrax.restart_schedule(s), rates(0.5, 0.5, 0.25)),
        (lambda s: lrax.restart_schedule(s, 4), rates(0.25, 0.25, 0.125)),
        (lambda s: lrax.restart_schedule(s, 0, 'head'), rates(0.5, 0.375, 0.1875)),
        (lambda s: lrax.restart_schedule(s, 0, 'body'), rates(0.375, 0.375, 0.25)),
        (lambda s: lrax.restart_schedule(s, 0, '.*/bias'), rates(0.375, 0.5, 0.1875)),
        # the shared rate is 0 at step 8, and others are not
        (lambda s: lrax.restart_schedule(s, 8), rates(0.0, 0.0, 0.0)),
        (lambda s: lrax.restart_schedule(s, 8, 'head'), rates(0.0, 0.375, 0.1875)),
        (
            lambda s: lrax.set_learning_rate(
                lrax.restart_schedule(s, 8), 0.25, 'body'
            ),
            rates(0.0, 0.0, 0.25),
        ),
        (
            lambda s: lrax.restart_schedule(lrax.restart_schedule(s, 8), 2, 'body'),
            rates(0.0, 0.0, 0.1875),
        ),
    ],
)
def test_changes_by_hand_reach_their_group(change, expected):
  assert rates_after(change) == expected


def test_a_group_goes_on_from_where_it_was_moved_to():
  tx = param_groups(RULES, lrax.sgd(LINE()))
  state = lrax.restart_schedule(tx.init(tree(0)), 4, 'body')
  _, state = run(tx, steps=3, start=state)
  steps = {k: int(v.step) for k, v in state.inner_states.items()}
  assert steps == {'head': 3, '.*/bias': 3, 'body': 7}
  assert lrax.metrics(state)['learning_rate_step/body'] == 7


def start_told(init_value):
  return init_value, jnp.asarray(init_value, jnp.result_type(float))


@lrax.control.closed_loop(start_told)
def told(memory, step, signals, init_value):
  """`init_value` until a metric is reported, then the metric."""
  del step, init_value
  memory = jnp.where(jnp.isnan(signals.reported), memory, signals.reported)
  return memory, memory


@pytest.mark.parametrize(
    'group, expected',
    [
        (None, (0.125, 0.0625, 0.125)),
        ('head', (0.125, 0.25, 0.75)),
        ('body', (0.5, 0.0625, 0.75)),
        ('.*/bias', (0.5, 0.25, 0.125)),
    ],
)
def test_a_report_is_heard_by_its_group(group, expected):
  rules = [('head', 1.0), ('body/w', 0.5), ('body', told(0.75))]
  names = {'head': 'head', 'body': 'body/w', '.*/bias': 'body', None: None}
  tx = param_groups(rules, lrax.adamw(told(0.5)))
  _, state = run(tx, steps=2)
  state = lrax.report(state, 0.125, group=names[group])
  for _ in range(2):  # it is remembered, each group's by itself
    _, state = run(tx, steps=1, start=state)
    found = lrax.get_learning_rate(state)
    assert tuple(map(float, (found['head'], found['body/w'], found['body']))) == (
        expected
    )


def test_plateau_groups_equal_separate_optimizers():
  cut = functools.partial(lrax.control.reduce_on_plateau, factor=0.5, patience=0)
  plateau = lambda: lrax.constant(0.5) * cut(signal='report')
  tx = param_groups([('head', 1.0), ('.*', 0.5)], lrax.sgd(plateau()))
  params = tree(0)
  state = tx.init(params)
  for metric in (1.0, 2.0, 3.0):
    state = lrax.report(state, metric, group='head')
    _, state = tx.update(tree(1), state, params)
  alone = lrax.sgd(plateau())
  expected = alone.init(params)
  for metric in (1.0, 2.0, 3.0):
    _, expected = alone.update(tree(1), lrax.report(expected, metric), params)
  found = lrax.get_learning_rate(state)
  assert found['head'] == lrax.get_learning_rate(expected) < 0.5
  assert found['.*'] == 0.25


def test_the_policy_gets_the_keywords_of_the_update():
  tx = param_groups([('head', 1.0), ('.*', 0.5)], lrax.sgd(lrax.control.greedy(0.5)))
  params = tree(0)
  with pytest.raises(ValueError, match='greedy: needs the signal `value`'):
    tx.update(tree(1), tx.init(params), params)
  tx.update(tree(1), tx.init(params), params, value=jnp.ones(()))


# --- wrappers and carriers


def test_under_accumulation_groups_move_with_the_base():
  params = tree(0)
  rules = [('head', 1.0), ('.*/bias', LINE()), ('.*', 0.5)]
  tx = optax.MultiSteps(param_groups(rules, lrax.adamw(LINE())), 2)
  state = tx.init(params)
  update = jax.jit(tx.update)
  for step in range(4):
    updates, state = update(tree(step), state, params)
    zero = all((u == 0).all() for u in jax.tree.leaves(updates))
    assert zero == (step % 2 == 0)
  found = lrax.get_learning_rate(state)
  assert {k: float(v) for k, v in found.items()} == {
      'head': 0.4375, '.*/bias': 0.4375, '.*': 0.21875
  }


def test_accumulation_inside_keeps_the_clocks():
  """The clock of a group moves when the base makes an update."""
  params = tree(0)
  base = optax.MultiSteps(lrax.sgd(LINE()), 2).gradient_transformation()
  tx = param_groups([('head', 1.0), ('.*/bias', LINE()), ('.*', 0.5)], base)
  state = tx.init(params)
  for step in range(4):
    _, state = tx.update(tree(step), state, params)
    expected = (step + 1) // 2
    assert [int(s.step) for s in state.inner_states.values()] == [expected] * 3


def test_under_vmap():
  tx = param_groups([('head', 1.0), ('.*/bias', LINE()), ('.*', 0.5)], lrax.adamw(0.5))
  stack = lambda *trees: jax.tree.map(lambda *x: jnp.stack(x), *trees)
  params, grads = stack(tree(0), tree(1)), stack(tree(2), tree(3))
  state = jax.jit(jax.vmap(tx.init))(params)
  state = lrax.set_learning_rate(state, jnp.array([0.5, 0.25]), group='.*')
  updates, state = jax.jit(jax.vmap(tx.update))(grads, state, params)
  assert lrax.get_learning_rate(state)['.*'].tolist() == [0.5, 0.25]
  for i, (p, g) in enumerate([(tree(0), tree(2)), (tree(1), tree(3))]):
    alone = lrax.set_learning_rate(tx.init(p), 0.5 / (i + 1), group='.*')
    expected, _ = tx.update(g, alone, p)
    # vmap may fuse differently: one rounding
    close(jax.tree.map(lambda x, i=i: x[i], updates), expected, **ROUNDED)


def test_factors_may_be_traced():
  params = tree(0)

  @jax.jit
  @jax.vmap
  def updates_of(factor):
    tx = param_groups([('head', factor), ('.*', 1.0)], lrax.sgd(0.5))
    return tx.update(tree(1), tx.init(params), params)[0]

  found = updates_of(jnp.array([0.5, 2.0]))
  for i, factor in enumerate((0.5, 2.0)):
    expected = -0.5 * factor * tree(1)['head']['w']
    np.testing.assert_array_equal(found['head']['w'][i], expected)


@pytest.mark.parametrize('empty', [{}, (), [], {'a': {}, 'b': None}])
def test_an_empty_tree(empty):
  tx = param_groups([('head', 1.0), ('embed', frozen), ('.*', LINE())], lrax.adamw(0.1))
  state = tx.init(empty)
  updates, after = tx.update(empty, state, empty)
  assert updates == empty
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert set(lrax.get_learning_rate(after)) == {'head', '.*'}


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16', 'complex64'])
def test_layout_is_kept(dtype):
  rules = [('head', unfrozen_at(3, 0.5)), ('.*/bias', told(0.5)), ('.*', 0.3)]
  tx = param_groups(rules, lrax.adamw(told(0.5)))
  params = tree(0, dtype)
  layout = lambda x: jax.tree.map(lambda a: (a.shape, a.dtype, a.weak_type), x)
  state = jax.eval_shape(tx.init, params)
  updates, after = jax.eval_shape(tx.update, params, state, params)
  assert layout(after) == layout(state)
  assert layout(updates) == layout(jax.eval_shape(lambda: params))
  assert layout(tx.init(params)) == layout(state)


def test_layout_is_kept_under_x64():
  with jax.enable_x64(True):
    test_layout_is_kept('float64')
    test_layout_is_kept('float32')
    tx = param_groups(RULES, lrax.sgd(LINE()))
    assert lrax.get_learning_rate(tx.init(tree(0)))['head'].dtype == jnp.float64


def test_the_state_can_be_donated():
  """No two leaves are in one buffer."""
  tx = param_groups(RULES, lrax.adamw(told(0.5)))
  params = tree(0)
  state = tx.init(params)
  step = jax.jit(lambda g, s, p: tx.update(g, s, p)[1], donate_argnums=1)
  for _ in range(2):
    state = step(tree(1), state, params)
  assert int(state.step) == 2


def test_params_are_needed_only_by_a_base_that_needs_them():
  params = tree(0)
  tx = param_groups(RULES, lrax.adam(0.1))
  same(
      tx.update(tree(1), tx.init(params))[0],
      tx.update(tree(1), tx.init(params), params)[0],
  )
  tx = param_groups(RULES, lrax.adamw(0.1))
  with pytest.raises(ValueError, match='adamw: `params` must be given'):
    tx.update(tree(1), tx.init(params))


def test_a_guard_backs_all_groups_off():
  tx = lrax.guard(param_groups(RULES, lrax.sgd(0.5)), 'back_off', recovery_steps=10)
  params = tree(0)
  bad = jax.tree.map(lambda g: jnp.full_like(g, jnp.nan), tree(1))
  update = jax.jit(tx.update)
  _, state = update(bad, tx.init(params), params)
  _, state = update(tree(1), state, params)
  found = lrax.get_learning_rate(state)
  # one bad update halves the rates: its update was skipped and clocks went on
  assert float(found['head']) == 0.25
  assert float(found['body']) == 0.125
  assert float(found['.*/bias']) == 0.5 * 0.4375


def test_inside_a_partition_groups_carry_both_names():
  inner = param_groups([('body/w', 0.5), ('.*', 1.0)], lrax.sgd(0.5))
  tx = optax.partition(
      {'a': inner, 'b': lrax.sgd(0.25)},
      {'body': {'w': 'a', 'bias': 'a'}, 'head': {'w': 'b'}},
  )
  params = tree(0)
  updates, state = tx.update(tree(1), tx.init(params), params)
  found = lrax.get_learning_rate(state)
  assert {k: float(v) for k, v in found.items()} == {
      'a/.*': 0.5, 'a/body/w': 0.25, 'b': 0.25
  }
  np.testing.assert_array_equal(updates['body']['w'], -0.25 * tree(1)['body']['w'])


def test_a_checkpoint_goes_on_where_it_was(tmp_path):
  rules = [('head/.*', 1.0), ('.*/bias', LINE()), ('body', unfrozen_at(2, 0.5))]
  tx = param_groups(rules, lrax.adamw(LINE()))
  _, state = run(tx, steps=3)
  state = lrax.scale_learning_rate(state, 0.5, group='head/.*')
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(tmp_path / 'state', state)
    checkpointer.wait_until_finished()
    restored = checkpointer.restore(tmp_path / 'state', tx.init(tree(0)))
  same(restored, state)
  same(run(tx, steps=2, start=restored)[0], run(tx, steps=2, start=state)[0])


def test_transplant_carries_moments_and_groups():
  rules = [('head', 1.0), ('.*', 0.5)]
  plain = lrax.adamw(LINE())
  _, old = run(plain, steps=3)
  tx = param_groups(rules, lrax.adamw(LINE()))
  moved = lrax.transplant(old, tx.init(tree(0)))
  adam = next(
      s
      for s in jax.tree.leaves(moved.state, is_leaf=lambda x: hasattr(x, 'mu'))
      if hasattr(s, 'mu')
  )
  same(adam, old[0])
  # a rate has no group in a state without groups, and says so
  assert any('learning_rate' in text for text in moved.dropped)
  _, trained = run(tx, steps=3)
  again = lrax.transplant(trained, tx.init(tree(0)))
  assert again.fresh == again.dropped == ()
  same(again.state, trained)


def test_a_failure_shows_in_its_update_and_no_other():
  rules = [('head', 1.0), ('.*', 0.5)]
  tx = param_groups(rules, lrax.adam(0.5))
  grads = tree(1)
  grads['head']['w'] = grads['head']['w'].at[0, 0].set(jnp.nan)
  updates, _ = tx.update(grads, tx.init(tree(0)), tree(0))
  bad = [int(jnp.isnan(u).sum()) for u in jax.tree.leaves(updates)]
  assert bad == [0, 0, 1]


PLACING = {
    'schedule_free_sgd': lambda: lrax.schedule_free_sgd(0.1),
    'schedule_free_plus': lambda: lrax.schedule_free_plus(1.0),
    'mechanic': lambda: lrax.mechanic(lrax.transforms.scale_by_adam()),
    'dadapt_sgd': lrax.dadapt_sgd,
    'dadapt_adagrad': lrax.dadapt_adagrad,
    'cocob': lrax.cocob,
    "Optax's schedule_free": lambda: optax.contrib.schedule_free(lrax.sgd(0.1), 0.1),
}


@pytest.mark.parametrize('name', PLACING)
@pytest.mark.parametrize(
    'rate', [0.5, lrax.constant(0.1), unfrozen_at(2)], ids=['factor', 'own', 'later']
)
def test_what_places_parameters_takes_no_rates_of_its_own(name, rate):
  """A tenth of its update would be a tenth of what it corrects, too."""
  params = {'a': jnp.ones(2), 'b': jnp.ones(2)}
  with pytest.raises(ValueError, match='`base` must take steps .* use optax.partition'):
    param_groups([('a', rate), ('b', 1.0)], PLACING[name]()).init(params)
  tx = param_groups([('a', frozen), ('b', 1.0)], PLACING[name]())
  told = {'value': jnp.ones(())}
  updates, _ = tx.update(params, tx.init(params), params, **told)
  assert updates['a'].tolist() == [0, 0]


def test_what_moves_by_places_is_found_by_how_it_moves():
  """A tenth of the rate moves a tenth as far, for all methods that are let in.

  Those that are refused come to 0.16 and more. A method whose steps grow with the
  parameters, or with how far all have come, is off by 3 %. L-DoG is left out: each
  array's rate grows with how far it has come itself.
  """
  params = {'a': jnp.ones(4), 'b': jnp.ones(4)}
  grads, refused = params, set()
  for name in lrax.optimizers.__all__:
    tx = None if name == 'ldog' else _built(name)
    if tx is None:
      continue
    try:
      tx = param_groups([('a', 0.1), ('b', 1.0)], tx)
      state = tx.init(params)
    except ValueError:
      refused.add(name)
      continue
    x = params
    for _ in range(6):
      updates, state = tx.update(grads, state, x, value=jnp.ones(()))
      x = optax.apply_updates(x, updates)
    ratio = (x['a'] - 1) / (x['b'] - 1)
    np.testing.assert_allclose(ratio, 0.1, rtol=0.05, err_msg=name)
  assert refused == {
      'cocob', 'dadapt_adagrad', 'dadapt_sgd', 'schedule_free_adamw',
      'schedule_free_plus', 'schedule_free_sgd',
  }


def _built(name):
  """A member at its defaults; None for what is no optimizer by itself."""
  member = getattr(lrax.optimizers, name)
  parameters = inspect.signature(member).parameters
  if inspect.isclass(member) or 'transform' in parameters:
    return None
  required = [n for n, p in parameters.items() if p.default is p.empty]
  if required not in ([], ['learning_rate']):
    return None
  return member(**{n: 1e-3 for n in required})
