"""The tumours task: its table, its split, its convex loss, and what it reaches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import datasets
from sklearn import linear_model
import training

import lrax


@functools.cache
def task():
  return lrax.tasks.tumours()


@functools.cache
def table():
  return datasets.load_breast_cancer(return_X_y=True)


@functools.cache
def compiled():
  """The training loss with its gradient, and the other."""
  return jax.jit(jax.value_and_grad(task().loss)), jax.jit(task().evaluate)


@functools.cache
def solved():
  """The best weights by scikit-learn: mean loss + 1e-3 |w|^2, in float64."""
  inputs, labels = task().train.data
  # Its C weighs the sum of losses against half the squares.
  model = linear_model.LogisticRegression(
      C=1 / (2e-3 * len(labels)), tol=1e-10, max_iter=10_000
  ).fit(inputs.astype(float), labels)
  return {'w': model.coef_[0], 'b': model.intercept_[0]}


def test_sizes_and_dtypes():
  inputs, labels = task().train.data
  assert inputs.shape == (455, 30)
  assert inputs.dtype == np.float32 and labels.dtype == np.int32
  assert task().train.batch_size == 32
  assert [len(y) for _, y in task().validation.once()] == [114]
  assert (task().steps, task().name) == (300, 'tumours')


def test_the_two_parts_are_the_table_once_in_the_documented_order():
  """Scaled back they are scikit-learn's rows: complete, and none in both."""
  measures, labels = table()
  order = np.random.default_rng(0).permutation(569)
  kept = measures[order[:455]]
  parts = task().train.data, task().validation.data
  inputs = np.concatenate([part[0] for part in parts]) * kept.std(0) + kept.mean(0)
  # float32 of numbers of a few deviations, in units of the deviation.
  np.testing.assert_allclose(inputs / kept.std(0), measures[order] / kept.std(0),
                             atol=1e-5)
  np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), labels[order])
  train, validation = (set(map(bytes, part[0])) for part in parts)
  assert len(train) == 455 and len(validation) == 114 and not train & validation


def test_only_the_training_part_tells_the_scale():
  inputs, _ = task().train.data
  # Means of 455 float32 numbers of about 1.
  np.testing.assert_allclose(inputs.mean(0, dtype=float), 0, atol=1e-6)
  np.testing.assert_allclose(inputs.std(0, dtype=float), 1, rtol=1e-5)
  held_out = task().validation.data[0]
  assert (np.abs(held_out.mean(0)) > 1e-3).all()  # 0 +- 0.1 for 114 others


def test_the_same_in_every_call():
  again = lrax.tasks.tumours()
  for part in ('train', 'validation'):
    for one, other in zip(getattr(again, part).data, getattr(task(), part).data):
      np.testing.assert_array_equal(one, other)


def test_it_starts_from_a_guess():
  params = task().init(jax.random.key(0))
  assert jax.tree.map(jnp.shape, params) == {'w': (30,), 'b': ()}
  loss, evaluate = compiled()
  (trained, _), validated = (
      loss(params, task().train.data, None),
      evaluate(params, task().validation.data),
  )
  np.testing.assert_allclose([trained, validated], np.log(2), rtol=1e-6)  # float32


def test_the_two_losses_are_those_of_a_float64_computation():
  rng = np.random.default_rng(0)
  w, b = rng.normal(size=30), 0.3
  params = {'w': np.float32(w), 'b': np.float32(b)}
  losses = []
  for inputs, labels in (task().train.data, task().validation.data):
    benign = 1 / (1 + np.exp(-(inputs.astype(float) @ w + b)))
    losses.append(-np.mean(np.log(np.where(labels == 1, benign, 1 - benign))))
  loss, evaluate = compiled()
  trained, _ = loss(params, task().train.data, None)
  # Sums of 30 and some hundred float32 terms.
  np.testing.assert_allclose(trained, losses[0] + 1e-3 * np.sum(w**2), rtol=1e-5)
  np.testing.assert_allclose(
      evaluate(params, task().validation.data), losses[1], rtol=1e-5
  )


def test_scikit_learn_s_optimum_is_that_of_the_loss():
  loss, evaluate = compiled()
  params = jax.tree.map(np.float32, solved())
  _, at_it = loss(params, task().train.data, None)
  _, at_0 = loss(task().init(None), task().train.data, None)
  # 0 but for float32: 1e-7 of the terms, which are about 1.
  assert max(np.abs(leaf).max() for leaf in at_it.values()) < 1e-5
  assert max(np.abs(leaf).max() for leaf in at_0.values()) > 0.1
  # What the docstring says is there.
  assert abs(evaluate(params, task().validation.data) - 0.0968) < 1e-4


def test_reference_result():
  """AdamW at 0.2: measured 0.0979 to 0.1003 over ten seeds."""
  run = training.trainer(task(), optax.adamw, 300)
  params, losses = run(0.2, [0, 1])
  # All start from a guess; then batches differ.
  np.testing.assert_allclose(losses[:, 0], np.log(2), rtol=1e-6)
  assert losses[0, 1] != losses[1, 1]
  loss, evaluate = compiled()
  whole = task().train.data
  least, _ = loss(jax.tree.map(np.float32, solved()), whole, None)
  for seed in (0, 1):
    one = {name: np.asarray(leaf)[seed] for name, leaf in params.items()}
    # The range measured, and as much again on either side.
    assert 0.0955 < evaluate(one, task().validation.data) < 0.1027
    # Convex: no lower than the optimum; measured 0.0002 to 0.0004 above it.
    assert least < loss(one, whole, None)[0] < least + 0.001
  again, _ = run(0.2, [0, 1])
  np.testing.assert_array_equal(again['w'], params['w'])
