"""SM3 against the paper and pytorch_optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax


def test_follows_the_paper():
  trajectories.assert_follows('sm3', lrax.sm3)


def test_follows_the_paper_without_momentum():
  trajectories.assert_follows('sm3_plain', lambda rate: lrax.sm3(rate, momentum=0.0))


def _run(tx, gradients):
  gradients = [jnp.asarray(g) for g in gradients]
  state, updates = tx.init(gradients[0]), []
  for g in gradients:
    update, state = tx.update(g, state)
    updates.append(update)
  return updates, state


def test_the_covers_of_a_matrix():
  # Squares of 9, 16 / 0, 1: rows 16 and 1, columns 9 and 16. Then the least covers
  # 9, 16 / 1, 1 and squares of 16, 9 / 3, 0: 25, 25 / 4, 1.
  gradients = np.array([[[3.0, 4.0], [0.0, 1.0]], [[4.0, -3.0], [3**0.5, 0.0]]])
  with jax.enable_x64(True):
    (first, second), state = _run(lrax.transforms.scale_by_sm3(b1=0.0), gradients)
  rows, columns = state.covers
  # A root of 3 in float64.
  np.testing.assert_allclose(rows, [25, 4], rtol=1e-15)
  np.testing.assert_allclose(columns, [25, 25], rtol=1e-15)
  assert first.tolist() == [[1.0, 1.0], [0.0, 1.0]]
  np.testing.assert_allclose(
      second, [[4 / 5, -3 / 5], [3**0.5 / 2, 0]], rtol=1e-15
  )


def test_a_cover_is_never_less_than_the_sum_of_squares():
  gradients = np.random.default_rng(0).normal(size=(20, 3, 4, 2)).astype(np.float32)
  _, state = _run(lrax.transforms.scale_by_sm3(), gradients)
  total = (gradients**2).sum(0)
  a, b, c = state.covers
  least = np.minimum(np.minimum(a[:, None, None], b[:, None]), c)
  assert (least >= total * (1 - 1e-6)).all()  # sums of float32 in another order
  assert [cover.shape for cover in state.covers] == [(3,), (4,), (2,)]


@pytest.mark.parametrize('shape', [(), (5,)])
def test_a_vector_or_a_scalar_is_adagrad(shape):
  gradients = np.random.default_rng(0).normal(size=(10, *shape)).astype(np.float32)
  ours, _ = _run(lrax.transforms.scale_by_sm3(b1=0.0), gradients)
  theirs, _ = _run(lrax.transforms.scale_by_adagrad(eps=0.0), gradients)
  np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('b2', [1.0, 0.9])
def test_equals_optax(b2):
  gradients = np.random.default_rng(0).normal(size=(30, 3, 4))
  with jax.enable_x64(True):
    ours, _ = _run(lrax.transforms.scale_by_sm3(b2=b2, eps=1e-8), gradients)
    theirs, _ = _run(optax.scale_by_sm3(b2=b2, eps=1e-8), gradients)
  # The same formula in float64; 30 steps gather about 1e-14.
  np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_an_array_of_no_elements():
  g = jnp.zeros((0, 3))
  (update,), state = _run(lrax.transforms.scale_by_sm3(), [g])
  assert update.shape == (0, 3)
  assert [cover.shape for cover in state.covers] == [(0,), (3,)]


def test_refuses_arguments_out_of_range():
  with pytest.raises(ValueError, match='sm3: `momentum` must be'):
    lrax.sm3(0.1, momentum=1.0)
  with pytest.raises(ValueError, match='scale_by_sm3: `b2` must be'):
    lrax.transforms.scale_by_sm3(b2=1.5)
