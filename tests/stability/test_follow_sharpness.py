"""The sharpness over a run: of a bowl, where it is known, and at the edge."""

import functools
import json
import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.stability import follow_sharpness

ROWS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
TARGETS = ROWS @ np.float32([1.0, -2.0, 0.5])
TOP = np.linalg.eigvalsh(np.float64(ROWS).T @ np.float64(ROWS) / 6)[-1]


def table(train):
  """Least squares; as a stateful task, which counts the batches it has seen."""

  def loss(params, state, batch, key):
    del key
    *_, inputs, targets = batch
    return jnp.mean((inputs @ params['w'] - targets) ** 2) / 2, state + 1

  return lrax.tasks.Task(
      init=lambda key: ({'w': jnp.zeros(3)}, jnp.zeros(())), loss=loss, train=train,
      evaluate=lambda params, state, batch: 0.0, stateful=True,
      validation=lrax.tasks.Arrays(ROWS), steps=1, name='table',
  )


ARRAYS = table(lrax.tasks.Arrays((ROWS, TARGETS), batch_size=4))


def test_of_a_bowl_it_is_the_same_everywhere():
  curve = follow_sharpness(ARRAYS, 'sgd', 0.1, 30, every=10)
  assert curve.steps.tolist() == [10, 20, 30]
  np.testing.assert_allclose(curve.sharpness, TOP, rtol=1e-3)  # what Lanczos is asked
  np.testing.assert_allclose(curve.limits, 20, rtol=1e-6)
  np.testing.assert_allclose(curve.ratios, TOP / 20, rtol=1e-3)
  # The run is gradient descent on all six rows, and the state goes with it.
  w = np.zeros(3)
  for _ in range(30):
    w -= 0.1 * np.float64(ROWS).T @ (ROWS @ w - TARGETS) / 6
  np.testing.assert_allclose(curve.params['w'], w, rtol=1e-5)
  np.testing.assert_allclose(
      curve.losses[-1], np.mean((ROWS @ w - TARGETS) ** 2) / 2, rtol=1e-4
  )
  assert curve.state == 30
  assert 'sgd (gradient descent) at a rate of 0.1 on table' in str(curve)
  assert json.loads(json.dumps(curve.to_dict()))['steps'] == [10, 20, 30]


def test_batches_of_the_host_are_all_the_data_too():
  source = lrax.tasks.Stream(
      # A number without rows comes first.
      lambda seed: iter([(1.0, ROWS[:4], TARGETS[:4]), (1.0, ROWS[4:], TARGETS[4:])])
  )
  curves = [
      follow_sharpness(task, 'sgd(momentum=0.5)', 0.1, 10, every=10)
      for task in (ARRAYS, table(source))
  ]
  np.testing.assert_allclose(curves[1].limits, 30, rtol=1e-6)
  # Sums of the same products in another order.
  for name in ('losses', 'sharpness'):
    one, two = (getattr(curve, name) for curve in curves)
    np.testing.assert_allclose(one, two, rtol=1e-3)
  np.testing.assert_allclose(curves[0].params['w'], curves[1].params['w'], rtol=1e-4)


def test_of_adam_it_is_preconditioned_by_the_state_of_the_moment():
  make = functools.partial(lrax.adamw, b1=0.8, eps=0.1, weight_decay=0.5)
  curve = follow_sharpness(ARRAYS, make, 0.01, 20, every=20)
  np.testing.assert_allclose(curve.limits, 2 * 1.8 / 0.2 / 0.01, rtol=1e-6)
  nu = np.float64(curve.opt_state[0].nu['w']) / (1 - 0.999**20)
  divisor = (1 - 0.8**20) * (np.sqrt(nu) + 0.1)
  hessian = np.float64(ROWS).T @ ROWS / 6
  # With the decay in the unit of the curvature: (1 + b1) / (1 - b1) times 0.5.
  top = max(np.linalg.eigvals(hessian / divisor[:, None]).real) + 1.8 / 0.2 * 0.5
  np.testing.assert_allclose(curve.sharpness, top, rtol=1e-3)


def test_a_run_that_diverges_goes_on_as_nan():
  curve = follow_sharpness(ARRAYS, 'sgd', 1e6, 60, every=30)
  assert not np.isfinite(curve.losses[-1])
  assert 'the loss is nan' in str(curve) or 'inf' in str(curve)
  assert curve.to_dict()['losses'][-1] is None
  assert math.isfinite(curve.limits[-1])


@pytest.mark.parametrize(
    'arguments, error, says',
    [
        ({'learning_rate': 0.0}, ValueError, 'a finite number > 0'),
        ({'every': 20, 'steps': 10}, ValueError, 'at most `steps` = 10'),
        ({'optimizer': optax.sgd(0.1)}, TypeError, 'it is made with `learning_rate`'),
        ({'optimizer': lambda r: lrax.sgd(lrax.linear(r / 10, r, 4)), 'steps': 2,
          'every': 2}, ValueError, 'one whose rate is `learning_rate`'),
        ({'optimizer': 'lion'}, ValueError, 'limit is known'),
        ({'task': 3}, TypeError, 'a lrax.tasks.Task'),
    ],
)
def test_refusals(arguments, error, says):
  with pytest.raises(error, match=says):
    follow_sharpness(**{'task': ARRAYS, **arguments})
