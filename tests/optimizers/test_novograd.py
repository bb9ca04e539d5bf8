"""NovoGrad against the paper and NVIDIA's code, as timm has it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trajectories

import lrax


def test_follows_the_paper():
  build = lambda rate: lrax.novograd(rate, weight_decay=0.01)
  trajectories.assert_follows('novograd', build)


def test_follows_nvidia_with_averaging():
  build = lambda rate: lrax.novograd(rate, averaging=True)
  trajectories.assert_follows('novograd_averaged', build)


def _run(tx, gradients):
  gradients = [jax.tree.map(jnp.asarray, g) for g in gradients]
  state, updates = tx.init(gradients[0]), []
  for g in gradients:
    update, state = tx.update(g, state, g)
    updates.append(update)
  return updates, state


def test_the_norm_is_of_each_array_and_starts_at_the_first():
  g = {'a': np.float32([3.0, -4.0]), 'b': np.float32([[6.0], [8.0]])}
  (update,), state = _run(lrax.transforms.scale_by_novograd(eps=0.0), [g])
  assert jax.tree.map(float, state.nu) == {'a': 25.0, 'b': 100.0}
  # One float32 division.
  np.testing.assert_allclose(update['a'], [0.6, -0.8], rtol=2e-7)
  np.testing.assert_allclose(update['b'], [[0.6], [0.8]], rtol=2e-7)


def test_a_sum_and_not_an_average():
  # Norms of 2 throughout: 1, then 1/2 + 1, then 3/4 + 1.
  updates, _ = _run(lrax.transforms.scale_by_novograd(b1=0.5, eps=0.0), [2.0] * 3)
  assert [float(u) for u in updates] == [1.0, 1.5, 1.75]


def test_gradients_of_zero_at_first_do_not_start_the_norm():
  """From 0 it would be a fiftieth of the square: a step seven times too long."""
  updates, state = _run(lrax.transforms.scale_by_novograd(eps=0.0), [0.0, 0.0, -2.0])
  assert [float(u) for u in updates] == [0.0, 0.0, -1.0]
  assert float(state.nu) == 4.0


def test_the_decay_goes_into_the_momentum():
  # x = 2: the first update is 1 + 1/2 * 2, the second half of it more.
  tx = lrax.novograd(0.25, b1=0.5, eps=0.0, weight_decay=0.5)
  updates, _ = _run(tx, [2.0, 2.0])
  assert [float(u) for u in updates] == [-0.5, -0.75]


def test_a_nan_stays_where_it_is():
  g = np.float32([np.nan, 3.0, -4.0])
  (update,), state = _run(lrax.transforms.scale_by_novograd(eps=0.0), [g])
  assert jnp.isnan(update).tolist() == [True, False, False]
  assert float(state.nu) == 25.0


def test_the_norm_of_bfloat16_gradients_is_float32():
  g = jnp.ones(1000, jnp.bfloat16)
  (update,), state = _run(lrax.transforms.scale_by_novograd(), [g])
  assert update.dtype == jnp.bfloat16
  # bfloat16 would stop counting ones at 256.
  assert float(state.nu) == 1000.0


@pytest.mark.parametrize(
    'name, value', [('b1', 1.0), ('b2', 1.0), ('weight_decay', -1.0)]
)
def test_refuses_arguments_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'scale_by_novograd: `{name}` must be'):
    lrax.novograd(0.1, **{name: value})
