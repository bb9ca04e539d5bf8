"""RAdam against the paper, PyTorch and Optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import trajectories

import lrax
from lrax.transforms import _scale_by_radam


def _eps_before_correction(eps, b2):
  """PyTorch's eps, as one that is added after the correction of nu."""
  return lambda step: eps / jnp.sqrt(1 - b2 ** (step + jnp.float64(1)))


def _torch(rate, b2=0.999, eps=1e-8):
  return lrax.radam(rate, b2=b2, eps=_eps_before_correction(eps, b2), threshold=5.0)


def test_follows_torch():
  trajectories.assert_follows('radam', _torch)


def test_follows_torch_with_coupled_decay():
  build = lambda rate: optax.chain(
      optax.add_decayed_weights(0.05), _torch(rate, 0.99, 1e-6)
  )
  trajectories.assert_follows('radam_decay', build)


def test_follows_torch_with_decoupled_decay():
  scale = lambda: lrax.transforms.scale_by_radam(
      eps=_eps_before_correction(1e-8, 0.999), threshold=5.0
  )
  build = lambda rate: optax.chain(scale(), optax.add_decayed_weights(0.05), rate)
  trajectories.assert_follows('radam_decoupled', build)


def _lengths(b2, steps):
  """rho of each step, as the paper derives it, in NumPy's float64.

  Twice the mean age of what the average holds, from 1, less 1: no cancellation.
  """
  age = np.arange(1, steps + 1)
  weight = b2 ** (age - 1.0)
  return 2 * np.cumsum(age * weight) / np.cumsum(weight) - 1


def test_the_mean_age_is_the_formula():
  t = np.arange(1, 30)
  formula = 2 / (1 - 0.5) - 1 - 2 * t * 0.5**t / (1 - 0.5**t)
  # A few float64 roundings of 1e-16, of numbers of 3.
  np.testing.assert_allclose(_lengths(0.5, 29), formula, rtol=1e-14)


def _paper(gradients, b1, b2, threshold=4.0):
  """Algorithm 2 in NumPy's float64: the update before the rate."""
  m, v, longest = 0.0, 0.0, 2 / (1 - b2) - 1
  lengths = _lengths(b2, len(gradients))
  for t, g in enumerate(np.asarray(gradients, float), 1):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    hat = m / (1 - b1**t)
    rho = lengths[t - 1]
    if rho <= threshold:
      yield hat
      continue
    r = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
    yield np.sqrt(r) * hat / np.sqrt(v / (1 - b2**t))


def _updates(tx, gradients):
  state, updates = tx.init(jnp.zeros(())), []
  for g in gradients:
    update, state = tx.update(jnp.asarray(g), state)
    updates.append(update)
  return np.array(updates)


@pytest.mark.parametrize('b2', [0.0, 0.5, 0.61, 0.9, 0.99, 0.999, 0.9999])
def test_equals_algorithm_2(b2):
  gradients = np.random.default_rng(0).normal(size=40)
  with jax.enable_x64(True):
    ours = _updates(lrax.transforms.scale_by_radam(b2=b2, eps=0.0), gradients)
  # 1 - b2**t of the paper keeps 1e-16 / (1 - b2) at t = 1; that is 1e-12 at most.
  np.testing.assert_allclose(ours, list(_paper(gradients, 0.9, b2)), rtol=1e-11)


def test_rectifies_from_step_5_and_packages_from_step_6():
  # rho is 4.99 at t = 5 for b2 = 0.999.
  for threshold, first in ((4.0, 5), (5.0, 6)):
    tx = lrax.transforms.scale_by_radam(b1=0.0, threshold=threshold)
    updates = _updates(tx, [100.0] * 8)
    assert 1 + int(np.argmax(updates < 50)) == first


@pytest.mark.parametrize('b2', [0.5, 0.99, 0.999, 0.99999])
@pytest.mark.parametrize('traced', [False, True], ids=['python', 'traced'])
def test_the_length_keeps_its_digits_in_float32(b2, traced):
  """Its definition is off by a fortieth of 5 in float32 at 0.99999."""
  b2 = jnp.float32(b2) if traced else b2
  t = np.array([1, 2, 5, 6, 30, 200, 3000, 10**6])
  found = _scale_by_radam._length(b2, jnp.asarray(t, jnp.float32))
  truth = _lengths(float(b2), 10**6)[t - 1]
  # A traced logarithm of a number close to 1 keeps 6e-8 / (1 - b2) of itself, and
  # b2 is known no better; what it does to the length is less while that is short.
  short = t * (1 - float(b2)) < 0.1
  tolerance = np.where(short | (not traced), 1e-6, 2e-7 / (1 - float(b2)))
  np.testing.assert_array_less(np.abs(found / truth - 1), tolerance)


@pytest.mark.parametrize('nesterov', [False, True])
def test_equals_optax_at_its_threshold(nesterov):
  build = lambda make: make(0.01, eps=1e-3, threshold=5.0, nesterov=nesterov)
  gradients = np.random.default_rng(1).normal(size=(50, 3))
  with jax.enable_x64(True):
    paths = []
    for make in (lrax.radam, optax.radam):
      tx, path = build(make), []
      state = tx.init(jnp.zeros(3))
      for g in gradients:
        update, state = tx.update(jnp.asarray(g), state)
        path.append(update)
      paths.append(np.array(path))
  # Optax's length is a difference of numbers of 2000, right to 5e-13; beside
  # rho - 4 = 2 and under a root, and with 1 - b2**t of the same kind, 1e-11.
  np.testing.assert_allclose(*paths, rtol=1e-10)


def test_the_derivative_by_b2_is_finite_before_and_after_the_switch():
  def last(b2):
    return _sum(lrax.transforms.scale_by_radam(b2=b2))

  def _sum(tx):
    state, total = tx.init(jnp.zeros(())), 0.0
    for g in (1.0, -2.0, 3.0, 0.5, 0.25, 1.0):
      update, state = tx.update(jnp.asarray(g), state)
      total += update
    return total

  assert jnp.isfinite(jax.grad(last)(0.999))


@pytest.mark.parametrize(
    'name, value', [('threshold', 3.9), ('b1', 1.0), ('b2', 1.0), ('eps', -1.0)]
)
def test_refuses_arguments_out_of_range(name, value):
  with pytest.raises(ValueError, match=f'scale_by_radam: `{name}` must be'):
    lrax.radam(0.1, **{name: value})
