"""Muon against its author, PyTorch and the singular value decomposition."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax

MATRIX_ONLY = {'w': True, 'x': False}


def test_follows_torch():
  build = lambda rate: lrax.muon(
      rate, weight_decay=0.1, weight_decay_mask=MATRIX_ONLY, layout='out_in'
  )
  trajectories.assert_follows('muon', build)


def test_follows_torch_with_the_size_of_adam():
  build = lambda rate: lrax.muon(rate, nesterov=False, shape_scaling='match_rms')
  trajectories.assert_follows('muon_match_rms', build)


POLAR_EXPRESS = [
    (8.237312490495555, -23.157747414558198, 16.680568411445915),
    (4.082441999064835, -2.893047735332586, 0.5252849256975648),
    (3.9263479922546582, -2.8547468034765298, 0.5318022422894988),
    (3.2982187133085143, -2.424541981026706, 0.48632008358844075),
    (2.2970369434552573, -1.63662558125903, 0.4002628455953627),
]


@pytest.mark.parametrize(
    'run, arguments',
    [
        ('muon_polar_express', {'ns_coeffs': POLAR_EXPRESS, 'layout': 'out_in'}),
        (
            'muon_adjusted',
            {'beta': 0.9, 'weight_decay': 0.1, 'shape_scaling': 'match_rms'},
        ),
    ],
)
def test_follows_the_reference_with_adam_at_a_rate_of_its_own(run, arguments):
  build = lambda rate: lrax.muon(
      rate, **arguments, others=lrax.adam(rate, b2=0.95, eps=1e-10)
  )
  trajectories.assert_follows(run, build)


@pytest.mark.parametrize('shape', [(4, 3), (3, 4), (2, 5, 3), (2, 3, 5)])
@pytest.mark.parametrize('dtype', ['float64', 'complex128'])
def test_the_polar_factor(shape, dtype):
  """Twenty steps of a polynomial that converges to 1 give U V' itself."""
  rng = np.random.default_rng(0)
  g = rng.normal(size=shape) + (1j * rng.normal(size=shape) if 'c' in dtype else 0)
  u, _, vh = np.linalg.svd(g, full_matrices=False)
  tx = lrax.transforms.scale_by_muon(
      (15 / 8, -10 / 8, 3 / 8), 20, shape_scaling='none', matrices=lambda tree: True
  )
  with jax.enable_x64(True):
    updates, _ = tx.update(jnp.asarray(g), tx.init(jnp.asarray(g)))
  # Quadratic convergence to roundings of float64.
  np.testing.assert_allclose(updates, u @ vh, atol=1e-13)


@pytest.mark.parametrize(
    'shape, layout, factor',
    [((2, 8), 'in_out', 2.0), ((8, 2), 'in_out', 1.0), ((8, 2), 'out_in', 2.0)],
)
def test_the_factor_of_a_shape(shape, layout, factor):
  g = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
  direction = lambda **a: lrax.transforms.scale_by_muon(layout=layout, **a)
  tx, plain = direction(), direction(shape_scaling='none')
  rms = direction(shape_scaling='match_rms')
  found, bare, matched = (t.update(g, t.init(g))[0] for t in (tx, plain, rms))
  np.testing.assert_allclose(found, factor * bare, rtol=1e-6)
  np.testing.assert_allclose(matched, 0.2 * 8**0.5 * bare, rtol=1e-6)


PARAMS = {
    'embed': {'embedding': jnp.ones((5, 3))},
    'layer': {'kernel': jnp.ones((3, 4)), 'bias': jnp.ones(4)},
    'conv': jnp.ones((3, 3, 2, 4)),
}


def _groups(state):
  """For each leaf, whether it is one of the matrices."""
  is_masked = lambda x: isinstance(x, optax.MaskedNode)
  trace = state[0].inner_states['muon'].inner_state.trace
  return jax.tree.map(lambda x: not is_masked(x), trace, is_leaf=is_masked)


def test_which_leaves_are_matrices():
  nothing = {'embed': {'embedding': False}, 'conv': False}
  expected = nothing | {'layer': {'kernel': True, 'bias': False}}
  assert _groups(lrax.muon(0.1).init(PARAMS)) == expected
  stacks = lambda tree: jax.tree.map(lambda x: np.ndim(x) > 2, tree)
  assert _groups(lrax.muon(0.1, matrices=stacks).init(PARAMS)) == stacks(PARAMS)
  tree = expected | {'conv': True}
  assert _groups(lrax.muon(0.1, matrices=tree).init(PARAMS)) == tree


def test_others_are_adamw_at_the_same_rate():
  tx, adamw = (
      lrax.muon(0.1, weight_decay=0.2), lrax.adamw(0.1, b2=0.95, weight_decay=0.2)
  )
  state, adam_state = tx.init(PARAMS), adamw.init(PARAMS)
  assert float(lrax.get_learning_rate(state)) == np.float32(0.1)
  for _ in range(2):
    updates, state = tx.update(PARAMS, state, PARAMS)
    expected, adam_state = adamw.update(PARAMS, adam_state, PARAMS)
  bias = lambda tree: (tree['layer']['bias'], tree['embed'], tree['conv'])
  # The same operations on the same numbers.
  jax.tree.map(np.testing.assert_array_equal, bias(updates), bias(expected))


def test_two_rates_are_read_and_set_by_group():
  tx = lrax.muon(lrax.linear(0.5, 0.0, 4), others=lrax.adamw(0.25))
  state = tx.init(PARAMS)
  for _ in range(2):
    _, state = tx.update(PARAMS, state, PARAMS)
  assert lrax.get_learning_rate(state) == {'muon': 0.375, 'others': 0.25}
  state = lrax.set_learning_rate(state, 0.0, group='muon')
  updates, _ = tx.update(PARAMS, state, PARAMS)
  assert not updates['layer']['kernel'].any()
  assert updates['layer']['bias'].all()


def test_in_a_chain_and_a_partition():
  inner = optax.chain(optax.clip_by_global_norm(1.0), lrax.muon(0.5))
  labels = {'embed': 'table', 'layer': 'body', 'conv': 'body'}
  tx = optax.partition({'body': inner, 'table': lrax.sgd(0.25)}, labels)
  state = tx.init(PARAMS)
  updates, state = jax.jit(tx.update)(PARAMS, state, PARAMS)
  assert lrax.get_learning_rate(state) == {'body': 0.5, 'table': 0.25}
  np.testing.assert_array_equal(updates['embed']['embedding'], -0.25)
  assert all(jnp.isfinite(u).all() for u in jax.tree.leaves(updates))


@pytest.mark.parametrize('eps', [0.0, 1e-7])
def test_zeros_are_never_nan(eps):
  zeros = {'w': jnp.zeros((4, 3)), 'none': jnp.zeros((0, 3))}
  tx = lrax.muon(0.1, eps=eps)
  updates, state = tx.update(zeros, tx.init(zeros), zeros)
  assert not updates['w'].any() and not jnp.isnan(updates['w']).any()
  row = {'w': zeros['w'].at[0].set(1.0), 'none': zeros['none']}
  updates, _ = tx.update(row, state, zeros)
  assert jnp.isfinite(updates['w']).all() and not updates['w'][1:].any()


def test_the_iteration_in_bfloat16():
  g = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)
  narrow = lrax.transforms.scale_by_muon(ns_dtype=jnp.bfloat16)
  wide = lrax.transforms.scale_by_muon()
  updates, state = narrow.update(g, narrow.init(g))
  expected, _ = wide.update(g, wide.init(g))
  assert updates.dtype == jnp.float32
  # Five steps of products rounded by 2**-9, which a factor of 3.4 a step carries on.
  np.testing.assert_allclose(updates, expected, atol=0.1)
  assert (updates != expected).any()
  assert (updates == updates.astype(jnp.bfloat16)).all()


@pytest.mark.parametrize(
    'arguments, error',
    [
        ({'ns_coeffs': (1.0, 2.0)}, ValueError),
        ({'ns_coeffs': 'quintic'}, ValueError),
        ({'ns_steps': -1}, ValueError),
        ({'beta': 1.0}, ValueError),
        ({'eps': -1.0}, ValueError),
        ({'shape_scaling': 'rms'}, ValueError),
        ({'layout': 'torch'}, ValueError),
        ({'matrices': 3}, TypeError),
        ({'others': 0.1}, TypeError),
    ],
)
def test_refuses_bad_arguments(arguments, error):
  (name,) = arguments
  with pytest.raises(error, match=f'muon: `{name}` must be'):
    lrax.muon(0.1, **arguments)


def test_refuses_a_vector_as_a_matrix():
  with pytest.raises(ValueError, match='muon: `matrices` must be False for leaves'):
    lrax.muon(0.1, matrices=lambda tree: True).init(jnp.ones(3))
