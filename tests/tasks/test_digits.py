"""The digits task: its data, its fixed split, and what its model reaches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import datasets

import lrax


@functools.cache
def task():
  return lrax.tasks.digits()


@functools.cache
def initial(seed):
  return jax.jit(task().init)(jax.random.key(seed))


def as_rows(inputs, labels):
  """Each digit with its label as one hashable row."""
  return [(*map(float, x), int(y)) for x, y in zip(inputs, labels)]


def test_sizes_and_dtypes():
  inputs, labels = task().train.data
  assert inputs.shape == (1437, 64)
  assert labels.shape == (1437,)
  assert inputs.dtype == np.float32
  assert labels.dtype == np.int32
  assert inputs.min() == 0.0
  assert inputs.max() == 1.0
  assert set(labels.tolist()) == set(range(10))
  assert task().train.batch_size == 128
  assert [len(y) for _, y in task().validation.once()] == [360]
  assert (task().steps, task().name) == (300, 'digits')


def test_the_split_is_all_of_the_digits_once():
  """Both parts together are scikit-learn's digits: disjoint and complete."""
  pixels, labels = datasets.load_digits(return_X_y=True)
  train = as_rows(*task().train.data)
  validation = as_rows(*task().validation.data)
  assert sorted(train + validation) == sorted(as_rows(pixels / 16, labels))


def test_no_digit_of_the_training_set_is_validated_on():
  """Scikit-learn's digits hold no two alike, so a shared one would be a leak."""
  shared = set(as_rows(*task().train.data)) & set(as_rows(*task().validation.data))
  assert not shared


def test_the_split_is_fixed():
  """The same in each call, and the one of the permutation that is documented."""
  order = np.random.default_rng(0).permutation(1797)
  labels = datasets.load_digits().target[order]
  for made in (task(), lrax.tasks.digits()):
    np.testing.assert_array_equal(made.train.data[1], labels[:1437])
    np.testing.assert_array_equal(made.validation.data[1], labels[1437:])


def test_each_class_is_in_both_parts_in_its_share():
  train = np.bincount(task().train.data[1], minlength=10) / 1437
  validation = np.bincount(task().validation.data[1], minlength=10) / 360
  # Of 360 drawn at random a tenth is 36 +- 5.7; four of those are 0.063.
  np.testing.assert_allclose(train, 0.1, atol=0.02)  # 0.1 +- 2.5 * 0.008
  np.testing.assert_allclose(validation, 0.1, atol=0.063)


def test_the_model_is_an_mlp_of_64_128_10():
  params = initial(0)
  assert jax.tree.map(jnp.shape, params) == [
      {'w': (64, 128), 'b': (128,)},
      {'w': (128, 10), 'b': (10,)},
  ]
  # He: a variance of 2 / inputs. 8,192 and 1,280 normal numbers tell a standard
  # deviation to 0.8% and 2%; five of those.
  np.testing.assert_allclose(np.std(params[0]['w']), np.sqrt(2 / 64), rtol=0.04)
  np.testing.assert_allclose(np.std(params[1]['w']), np.sqrt(2 / 128), rtol=0.1)
  assert not np.any(params[0]['b']) and not np.any(params[1]['b'])


def test_the_two_losses_are_those_of_a_float64_computation():
  params = initial(0)
  inputs, labels = (leaf[:50] for leaf in task().validation.data)
  (first, second) = jax.tree.map(np.float64, params)
  hidden = np.maximum(inputs.astype(float) @ first['w'] + first['b'], 0)
  logits = hidden @ second['w'] + second['b']
  partition = np.log(np.exp(logits).sum(1))
  entropy = np.mean(partition - logits[np.arange(50), labels])
  penalty = 1e-3 * (np.sum(first['w'] ** 2) + np.sum(second['w'] ** 2))
  batch = (inputs, labels)
  # Matmuls of 64 and 128 terms in float32: some 1e-6.
  np.testing.assert_allclose(task().evaluate(params, batch), entropy, rtol=1e-5)
  np.testing.assert_allclose(
      task().loss(params, batch, None), entropy + penalty, rtol=1e-5
  )


@functools.cache
def trained():
  """300 steps of Adam at 0.01, cosine to 0, compiled: a seed to its parameters."""
  tx = optax.adam(optax.cosine_decay_schedule(0.01, 300))
  loss = task().loss

  def train(params, batches):
    def step(carry, batch):
      params, opt_state = carry
      updates, opt_state = tx.update(jax.grad(loss)(params, batch, None), opt_state)
      return (optax.apply_updates(params, updates), opt_state), None

    return jax.lax.scan(step, (params, tx.init(params)), batches)[0][0]

  run = jax.jit(train)

  def of_seed(seed):
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(1437)[:1408] for _ in range(28)])
    rows = order[: 300 * 128].reshape(300, 128)
    batches = jax.tree.map(lambda leaf: leaf[rows], task().train.data)
    return run(initial(seed), batches)

  return of_seed


def test_reference_result():
  """What this data and this model give, trained by optax alone.

  Measured over twenty seeds: accuracy 0.983 to 0.989, validation loss 0.0824 to
  0.0893.
  """
  params = trained()(0)
  x, y = task().validation.data
  hidden = np.maximum(x @ params[0]['w'] + params[0]['b'], 0)
  right = np.argmax(hidden @ params[1]['w'] + params[1]['b'], 1) == y
  loss = float(task().evaluate(params, (x, y)))
  # The ranges measured, and as much again on either side.
  assert 0.977 <= right.mean() <= 0.995
  assert 0.075 <= loss <= 0.097
