"""The digits by convolutions: the layers, dropout, and what the model reaches."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import training

import lrax


@functools.cache
def task():
  return lrax.tasks.digits_cnn()


@functools.cache
def initial(seed=0):
  return jax.jit(task().init)(jax.random.key(seed))


@functools.cache
def losses():
  """The training loss with its gradient, and the other, for 20 images."""
  return jax.jit(jax.value_and_grad(task().loss)), jax.jit(task().evaluate)


def images(count):
  return tuple(leaf[:count] for leaf in task().validation.data)


def test_the_data_and_the_split_are_those_of_digits():
  digits = lrax.tasks.digits()
  for part in ('train', 'validation'):
    ours, theirs = getattr(task(), part), getattr(digits, part)
    assert ours.batch_size == theirs.batch_size
    for one, other in zip(ours.data, theirs.data):
      np.testing.assert_array_equal(one, other)
  assert (task().steps, task().name) == (300, 'digits_cnn')


def test_the_parameters():
  assert jax.tree.map(jnp.shape, initial()) == {
      'conv_1': {'w': (9, 8), 'b': (8,)},
      'conv_2': {'w': (72, 16), 'b': (16,)},
      'dense': {'w': (256, 10), 'b': (10,)},
  }
  assert sum(leaf.size for leaf in jax.tree.leaves(initial())) == 3_818
  for name, variance in (('conv_1', 2 / 9), ('conv_2', 2 / 72), ('dense', 1 / 256)):
    drawn = np.stack([initial(seed)[name]['w'] for seed in range(20)])
    # 1,440 normal numbers tell a deviation to 1.9%, more of them better; four times.
    np.testing.assert_allclose(drawn.std(), np.sqrt(variance), rtol=0.075)
    assert not np.any(initial()[name]['b'])


def features(params, inputs):
  """The 256 of each image in float64, window by window."""

  def convolved(layer, x):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = np.zeros((*x.shape[:3], len(layer['b'])))
    for i in range(x.shape[1]):
      for j in range(x.shape[2]):
        window = padded[:, i : i + 3, j : j + 3].reshape(len(x), -1)
        out[:, i, j] = window @ layer['w'] + layer['b']
    return np.where(out > 0, out, 0.01 * out)

  x = convolved(params['conv_1'], inputs.astype(float).reshape(-1, 8, 8, 1))
  x = np.max([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], 0)
  return convolved(params['conv_2'], x).reshape(len(x), -1)


def entropy(dense, features, labels):
  logits = features @ dense['w'] + dense['b']
  right = logits[np.arange(len(labels)), labels]
  return np.mean(np.log(np.exp(logits).sum(1)) - right)


def test_the_two_losses_are_those_of_a_float64_computation():
  params = jax.tree.map(np.float64, initial())
  for layer in params.values():
    layer['b'] = np.random.default_rng(0).normal(size=layer['b'].shape)
  inputs, labels = images(20)
  seen = features(params, inputs)
  loss, evaluate = losses()
  single = jax.tree.map(np.float32, params)
  # Sums of at most 256 float32 terms, three one after another.
  np.testing.assert_allclose(
      evaluate(single, (inputs, labels)),
      entropy(params['dense'], seen, labels), rtol=1e-5,
  )
  # Half the features, doubled; which of them is all that the key decides.
  key = jax.random.key(3)
  kept = np.asarray(jax.random.bernoulli(key, 0.5, seen.shape))
  np.testing.assert_allclose(
      loss(single, (inputs, labels), key)[0],
      entropy(params['dense'], np.where(kept, 2 * seen, 0), labels), rtol=1e-5,
  )


def test_the_key_decides_what_is_dropped_and_nothing_else():
  loss, _ = losses()
  with_key = lambda seed: loss(initial(), images(20), jax.random.key(seed))[0]
  assert with_key(0) == with_key(0) != with_key(1)


def test_it_starts_near_a_guess():
  """Logits of variance v = |features|^2 / 256 give log 10 + 9/10 of v / 2."""
  # Each image with each label, so that chance in the logits cancels.
  inputs = np.repeat(images(2)[0], 10, 0)
  labels = np.tile(np.arange(10, dtype=np.int32), 2)
  mean = np.mean([losses()[1](initial(i), (inputs, labels)) for i in range(20)])
  seen = [features(jax.tree.map(np.float64, initial(i)), inputs) for i in range(20)]
  variance = np.mean([(x**2).sum(1).mean() / 256 for x in seen])
  # Ten logits of one draw differ by 0.1 in this from seed to seed, so the mean of 20
  # by 0.023; two of those. A matrix of twice the variance would miss by 0.17.
  np.testing.assert_allclose(mean, np.log(10) + 0.9 * variance / 2, atol=0.05)


def test_gradients_are_finite_and_none_is_0():
  _, grad = losses()[0](initial(), images(20), jax.random.key(0))
  for leaf in jax.tree.leaves(grad):
    assert np.isfinite(leaf).all()
    assert (np.abs(leaf).sum(0) > 0).all()  # no channel is idle


def test_reference_result():
  """100 steps of AdamW at 0.02: measured 0.062 to 0.148 over ten seeds."""
  run = training.trainer(task(), optax.adamw, 100)
  params, curves = run(0.02, [0, 1])
  for seed in (0, 1):
    one = jax.tree.map(operator.itemgetter(seed), jax.device_get(params))
    reached = losses()[1](one, task().validation.data)
    # The range measured, and half and all of it on either side.
    assert 0.02 < reached < 0.24
  assert curves[0, 0] != curves[1, 0]
  np.testing.assert_array_equal(run(0.02, [0, 1])[1], curves)
