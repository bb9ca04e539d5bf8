"""RMSProp against the paper, Optax and PyTorch."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax

FROZEN = json.loads(
    (Path(__file__).parents[1] / 'reference/torch_trajectories.json').read_text()
)
START = np.array(FROZEN['start'])

# Both sides evaluate the same formula in float64, where 200 steps gather about
# 1e-14 of rounding; another convention shows at 1e-9 or more.
RTOL = 1e-12


def gradient(x):
  """The gradient of the frozen problem, for NumPy and JAX."""
  gap = x - np.array(FROZEN['optimum'])
  return np.array(FROZEN['curvature']) * gap + (gap**2).sum() * gap


def run(make, before, after):
  """Parameters after each of 200 steps in float64, of shape (2, 200, 6).

  First at the constant rate `before`, then with a change to `after` at step 100.
  """

  def optimizer(final):
    return make(lambda step: jnp.where(step < 100, before, final))

  @jax.jit
  def step(x, state, final):
    updates, state = optimizer(final).update(gradient(x), state, x)
    return optax.apply_updates(x, updates), state

  def path(final):
    x = jnp.asarray(START)
    state = optimizer(final).init(x)
    for _ in range(200):
      x, state = step(x, state, final)
      yield x

  with jax.enable_x64(True):
    return np.array([list(path(final)) for final in (before, after)])


VARIANTS = {
    'plain': {},
    'corrected': {'bias_correction': True, 'initial_scale': 1.0, 'decay': 0.99},
    'centered': {'centered': True},
    'centered_corrected': {'centered': True, 'bias_correction': True},
    'centered_eps_outside': {'centered': True, 'eps_in_sqrt': False},
}


@pytest.mark.parametrize('variant', VARIANTS)
def test_equals_optax(variant):
  # The centred variance is a difference that rounding leaves at 1e-15 where it
  # is 0; beside an eps of 1e-2 that is nothing.
  arguments = {'eps': 1e-2} | VARIANTS[variant]
  ours = run(lambda rate: lrax.rmsprop(rate, **arguments), 0.002, 0.0005)
  theirs = run(lambda rate: optax.rmsprop(rate, **arguments), 0.002, 0.0005)
  np.testing.assert_allclose(ours, theirs, rtol=RTOL)


@pytest.mark.parametrize(
    'arguments',
    [{'momentum': 0.5}, {'momentum': 0.5, 'nesterov': True, 'centered': True}],
    ids=['momentum', 'nesterov'],
)
def test_momentum_equals_optax_at_a_constant_rate_only(arguments):
  ours = run(lambda rate: lrax.rmsprop(rate, **arguments), 0.001, 0.0005)
  theirs = run(lambda rate: optax.rmsprop(rate, **arguments), 0.001, 0.0005)
  np.testing.assert_allclose(ours[0], theirs[0], rtol=RTOL)
  np.testing.assert_allclose(ours[1, :100], theirs[1, :100], rtol=RTOL)
  # Right after the change Optax's velocity still holds updates of the old
  # rate: steps of about 5e-4 differ by a good part of themselves.
  assert np.abs(ours[1, 100] - theirs[1, 100]).max() > 1e-4


@pytest.mark.parametrize(
    'name, arguments',
    [
        ('rmsprop', {}),
        ('rmsprop_centered', {'centered': True}),
        ('rmsprop_momentum', {'momentum': 0.5}),
    ],
)
def test_equals_torch(name, arguments):
  frozen = FROZEN['runs'][name]
  make = lambda rate: lrax.rmsprop(rate, eps_in_sqrt=False, **arguments)
  ours = run(make, *frozen['rates'])[:, np.array(FROZEN['steps']) - 1]
  expected = [frozen['constant'], frozen['changing']]
  np.testing.assert_allclose(ours, expected, rtol=RTOL)


@pytest.mark.parametrize('centered', [False, True])
def test_momentum_keeps_the_rate_outside_the_velocity(centered):
  """v = momentum * v + g / sqrt(nu - mu**2 + eps), x -= rate * v."""
  rates, decay, eps, momentum = (0.001, 0.0005), 0.95, 1e-4, 0.5
  paths = []
  for final in (rates[0], rates[1]):
    x, path = START, []
    nu, mu, velocity = np.zeros((3, 6))
    for t in range(200):
      g = gradient(x)
      nu = decay * nu + (1 - decay) * g**2
      mu = decay * mu + (1 - decay) * g
      variance = nu - mu**2 if centered else nu
      velocity = momentum * velocity + g / np.sqrt(variance + eps)
      x = x - (rates[0] if t < 100 else final) * velocity
      path.append(x)
    paths.append(path)
  make = lambda rate: lrax.rmsprop(
      rate, decay, eps, centered=centered, momentum=momentum
  )
  np.testing.assert_allclose(run(make, *rates), paths, rtol=RTOL)


def _updates(tx, gradients):
  """The update of each gradient in float64, from a fresh state."""
  with jax.enable_x64(True):
    state = tx.init(jnp.zeros(()))
    updates = []
    for g in gradients:
      update, state = tx.update(jnp.asarray(g), state)
      updates.append(float(update))
  return np.array(updates)


def test_a_rate_of_zero_stops_the_velocity_at_once():
  policy = lambda step: jnp.where(step < 1, 0.5, 0.0)
  tx = lrax.rmsprop(policy, momentum=0.5)
  updates = _updates(tx, [1.0, 1.0])
  assert updates[0] < 0
  assert updates[1] == 0


def test_a_constant_gradient():
  # nu = (1 - decay**t) * g**2, so the update is -rate / sqrt(1 - decay**t).
  t = np.arange(1, 31)
  updates = _updates(lrax.rmsprop(0.5, 0.75, eps=0.0), [3.0] * 30)
  # A recurrence of a few roundings a step that the decay forgets.
  np.testing.assert_allclose(updates, -0.5 / np.sqrt(1 - 0.75**t), rtol=1e-14)


def test_a_constant_gradient_with_bias_correction():
  # The corrected average square is g**2 at every step.
  tx = lrax.rmsprop(0.5, 0.75, eps=0.0, bias_correction=True)
  # As above: a few roundings of 1.1e-16.
  np.testing.assert_allclose(_updates(tx, [-3.0] * 30), 0.5, rtol=1e-14)


def test_a_constant_gradient_centred():
  # nu - mu**2 = g**2 * decay**t * (1 - decay**t).
  t = np.arange(1, 31)
  tx = lrax.rmsprop(0.5, 0.75, eps=0.0, centered=True)
  expected = -0.5 / np.sqrt(0.75**t * (1 - 0.75**t))
  # At t = 30 the difference is 2e-4 of its terms: 1e-16 becomes 1e-12.
  np.testing.assert_allclose(_updates(tx, [3.0] * 30), expected, rtol=1e-11)


def test_the_first_step_is_exact():
  # decay = 3/4: nu = 9/4, root 3/2, so the update is exactly twice the rate.
  tx = lrax.rmsprop(0.5, decay=0.75, eps=0.0)
  updates, _ = tx.update(jnp.float32(-3.0), tx.init(jnp.zeros(())))
  assert float(updates) == 1.0


@pytest.mark.parametrize(
    'arguments',
    [{'decay': 1.0}, {'eps': -1.0}, {'momentum': 1.0}, {'initial_scale': -1.0}],
)
def test_refuses_arguments_out_of_range(arguments):
  (name,) = arguments
  with pytest.raises(ValueError, match=f'`{name}` must be'):
    lrax.rmsprop(0.1, **arguments)
