"""LARS against its paper, timm and Optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


@pytest.mark.parametrize(
    'run, arguments',
    [
        ('lars', {'weight_decay': 0.05, 'trust_coefficient': 0.02, 'eps': 1e-8}),
        ('lars_nesterov', {'trust_coefficient': 0.0005, 'nesterov': True}),
    ],
)
def test_follows_the_reference(run, arguments):
  trajectories.assert_follows(run, lambda rate: lrax.lars(rate, **arguments))


PARAMS = {'w': jnp.array([3.0, 4.0]), 'b': jnp.array([12.0, -5.0])}
GRADS = {'w': jnp.array([0.0, 0.5]), 'b': jnp.array([0.25, 0.0])}


def test_the_ratio_of_the_paper_by_hand():
  """norm(g) and the decay's norm are added: not the norm of their sum."""
  tx = lrax.lars(1.0, weight_decay=0.5, trust_coefficient=0.6, momentum=0.0)
  updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
  # 0.6 * 5 / (0.5 + 0.5 * 5) = 1, and then g + 0.5 w.
  np.testing.assert_allclose(updates['w'], [-1.5, -2.5], rtol=1e-6)
  theirs = optax.lars(1.0, 0.5, trust_coefficient=0.6, momentum=0.0)
  other, _ = theirs.update(GRADS, theirs.init(PARAMS), PARAMS)
  assert jnp.abs(other['w'] - updates['w']).max() > 0.02


def test_equals_optax_without_decay():
  with jax.enable_x64(True):
    params, grads = jax.tree.map(lambda x: x.astype(jnp.float64), (PARAMS, GRADS))
    ours, theirs = lrax.lars(0.5, nesterov=True), optax.lars(0.5, nesterov=True)
    state, their_state = ours.init(params), theirs.init(params)
    for _ in range(3):
      updates, state = ours.update(grads, state, params)
      expected, their_state = theirs.update(grads, their_state, params)
      # The rate is inside Optax's velocity: products in another order.
      jax.tree.map(
          lambda u, e: np.testing.assert_allclose(u, e, rtol=1e-14),
          updates, expected,
      )


@pytest.mark.parametrize(
    'mask', [{'w': True, 'b': False}, lambda p: {'w': True, 'b': False}]
)
def test_what_is_masked_is_plain_momentum(mask):
  tx = lrax.lars(
      0.5, weight_decay=0.25, weight_decay_mask=mask, trust_ratio_mask=mask
  )
  updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
  assert updates['b'].tolist() == [-0.125, 0.0]
  whole = lrax.lars(0.5, weight_decay=0.25)
  expected, _ = whole.update(GRADS, whole.init(PARAMS), PARAMS)
  assert updates['w'].tolist() == expected['w'].tolist()


def test_the_two_masks_are_two():
  tx = lrax.lars(
      1.0, weight_decay=0.5, weight_decay_mask=False, trust_coefficient=0.5,
      trust_ratio_mask=True, momentum=0.0,
  )
  updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
  np.testing.assert_allclose(updates['w'], [0.0, -2.5], rtol=1e-6)
  tx = lrax.lars(1.0, weight_decay=0.5, trust_ratio_mask=False, momentum=0.0)
  updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
  np.testing.assert_allclose(updates['w'], [-1.5, -2.5], rtol=1e-6)


def test_masks_work_in_a_partition():
  labels = {'w': 'lars', 'b': 'sgd'}
  tx = optax.partition(
      {'lars': lrax.lars(0.5, trust_ratio_mask=True), 'sgd': lrax.sgd(0.25)}, labels
  )
  state = tx.init(PARAMS)
  updates, state = tx.update(GRADS, state, PARAMS)
  assert updates['b'].tolist() == [-0.0625, 0.0]
  rates = {k: float(v) for k, v in lrax.get_learning_rate(state).items()}
  assert rates == {'lars': 0.5, 'sgd': 0.25}


def test_a_weight_of_zero_moves_at_the_plain_rate():
  tx = lrax.lars(0.5)
  updates, _ = tx.update(jnp.ones(2), tx.init(jnp.zeros(2)), jnp.zeros(2))
  assert updates.tolist() == [-0.5, -0.5]


@pytest.mark.parametrize('argument', ['weight_decay_mask', 'trust_ratio_mask'])
def test_refuses_a_mask_that_is_none(argument):
  with pytest.raises(TypeError, match=f'lars: `{argument}` must be a bool, a tree'):
    lrax.lars(0.1, **{argument: 3})


@pytest.mark.parametrize(
    'argument, value',
    [('weight_decay', -1.0), ('trust_coefficient', -1.0), ('momentum', 1.0)],
)
def test_refuses_arguments_out_of_range(argument, value):
  with pytest.raises(ValueError, match=f'lars: `{argument}` must be'):
    lrax.lars(0.1, **{argument: value})
