"""Balance a pole on a cart: an advantage actor-critic, and the physics."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lrax.tasks import _data
from lrax.tasks import _task

_LIMIT = 500  # steps of an episode
_EPISODES = 8  # a batch
_VALIDATED = 64  # episodes
_HIDDEN = 64
_DISCOUNT, _BONUS = 0.99, 0.1

# Gymnasium's cartpole.py: SI units and radians.
_GRAVITY, _CART, _POLE, _HALF_LENGTH = 9.8, 1.0, 0.1, 0.5
_FORCE, _STEP = 10.0, 0.02
_FAR, _TILTED = 2.4, np.deg2rad(12)
_START = 0.05  # each number of a first state is uniform within +- this
# To scale what the networks see: the limits, and what speeds are typical.
_SEEN = np.array([_FAR, 2.0, _TILTED, 2.0], np.float32)


def cartpole() -> _task.Task:
  """Balancing a pole on a cart for 500 steps; an advantage actor-critic.

  The cart and pole are those of Gymnasium's CartPole-v1: the state is position,
  speed, angle and angular speed, each within +-0.05 at first; an action pushes with
  10 N to the left or the right for 0.02 s; an episode ends where the cart is
  farther out than 2.4 m or the pole tilted more than 12 degrees, and after 500
  steps. The return is the number of its steps.

  A batch is 8 episodes: their first states, and the uniform numbers that decide the
  actions. Both losses are minus the mean return over 500, from -0.04 for a policy
  that knows nothing to -1; 64 fixed episodes validate. The gradient of the training
  loss is that of an actor-critic, its number is not: each action's log-probability
  by its advantage, the return discounted by 0.99 less what the critic expected; the
  critic's mean squared error; and a bonus of 0.1 of a step for each nat of entropy.
  Actor and critic have one hidden layer of 64 tanh units each: 770 parameters in
  all. A full run takes 300 steps, of some 3 ms each on one core.

  `lrax find cartpole` printed 0.0023 for AdamW, loss -0.9962 with a spread of 0.0065
  over seeds, rates up to 0.026 within noise of the best, and 0.1 failing in two
  seeds of three; `--optimizer "sgd(momentum=0.9)"` 0.019 and -0.9996.

  Args:
    None.

  Returns:
    A `lrax.tasks.Task`.

  Raises:
    Nothing.

  Source:
    Barto, Sutton and Anderson, "Neuronlike Adaptive Elements That Can Solve
    Difficult Learning Control Problems", 1983, for the task; Gymnasium's
    `cartpole.py` for its equations; Mnih et al., "Asynchronous Methods for Deep
    Reinforcement Learning", 2016, section 4, for the actor-critic.

  Example:
    >>> import lrax
    >>> lrax.tasks.cartpole().steps
    300
  """
  rng = np.random.default_rng(0)
  starts = rng.uniform(-_START, _START, (_VALIDATED, 4)).astype(np.float32)
  chances = rng.random((_VALIDATED, _LIMIT), np.float32)
  return _task.Task(
      init=_init,
      loss=_loss,
      evaluate=_evaluate,
      train=_data.Drawn(_draw),
      validation=_data.Arrays((starts, chances)),
      steps=300,
      name='cartpole',
  )


def _draw(key):
  """The first states of a batch, and one number of [0, 1) for each step."""
  drawn = jax.random.uniform(key, (_EPISODES, 4 + _LIMIT))
  return _START * (2 * drawn[:, :4] - 1), drawn[:, 4:]


def _moved(state, right):
  """(..., 4) one step later, by Euler's method: speeds move with the old ones."""
  x, speed, angle, turning = jnp.moveaxis(state, -1, 0)
  sine, cosine = jnp.sin(angle), jnp.cos(angle)
  mass, lever = _CART + _POLE, _POLE * _HALF_LENGTH
  push = (jnp.where(right, _FORCE, -_FORCE) + lever * turning**2 * sine) / mass
  inertia = _HALF_LENGTH * (4 / 3 - _POLE * cosine**2 / mass)
  twist = (_GRAVITY * sine - cosine * push) / inertia
  pull = push - lever * twist * cosine / mass
  change = jnp.stack([speed, pull, turning, twist], -1)
  return state + _STEP * change


def _fallen(state):
  """Whether an episode ends in this state."""
  return (jnp.abs(state[..., 0]) > _FAR) | (jnp.abs(state[..., 2]) > _TILTED)


def _init(key):
  """Normal numbers of variance 1 / inputs; a hundredth of that deviation to end.

  So the first policy is nearly a coin, and the critic's first word nearly 0.
  """

  def network(drawn):
    return {
        'hidden': {'w': drawn[:4] / 2, 'b': jnp.zeros(_HIDDEN)},
        'out': {'w': drawn[4] * (0.01 / _HIDDEN**0.5), 'b': jnp.zeros(())},
    }

  actor, critic = jax.random.normal(key, (2, 5, _HIDDEN))
  return {'actor': network(actor), 'critic': network(critic)}


def _applied(network, state):
  """One number for each state."""
  hidden = state / _SEEN @ network['hidden']['w'] + network['hidden']['b']
  return jnp.tanh(hidden) @ network['out']['w'] + network['out']['b']


def _played(actor, batch):
  """Episodes under a policy; after its end an episode stands still.

  Returns:
    The states (501, episodes, 4), the actions and which steps were made (500,
    episodes), and after which of them the pole was still up.
  """
  starts, chances = batch

  def step(carry, chance):
    state, up = carry
    right = chance < jax.nn.sigmoid(_applied(actor, state))
    moved = jnp.where(up[:, None], _moved(state, right), state)
    still_up = up & ~_fallen(moved)
    return (moved, still_up), (moved, right, up, still_up)

  first = starts, jnp.ones(len(starts), bool)
  _, (states, rights, made, up) = jax.lax.scan(step, first, chances.T)
  return jnp.concatenate([starts[None], states]), rights, made, up


def _returns(last, made, up):
  """What followed each step, discounted, in units of 1 / (1 - discount) steps.

  Where the pole is up after the last step, the critic's `last` is what would follow.
  """

  def back(later, step):
    made, up = step
    now = jnp.where(made, 1 - _DISCOUNT + _DISCOUNT * jnp.where(up, later, 0), 0)
    return now, now

  return jax.lax.scan(back, last, (made, up), reverse=True)[1]


def _loss(params, batch, key):
  del key  # chance is in the batch
  actor, critic = params['actor'], params['critic']
  states, rights, made, up = _played(jax.lax.stop_gradient(actor), batch)
  values = _applied(critic, states)
  returns = _returns(jax.lax.stop_gradient(values[-1]), made, up)
  errors = jnp.where(made, returns - values[:-1], 0)
  advantages = jax.lax.stop_gradient(errors) / (1 - _DISCOUNT)  # in steps
  logits = _applied(actor, states[:-1])
  likely = jax.nn.log_sigmoid(jnp.where(rights, logits, -logits))
  entropy = jax.nn.softplus(logits) - logits * jax.nn.sigmoid(logits)
  # As in the return, each step counts 1 / 500, and those not made 0.
  policy = jnp.mean(advantages * likely + _BONUS * jnp.where(made, entropy, 0))
  surrogate = jnp.sum(errors**2) / jnp.sum(made) - policy
  # Its gradient, and no more of it; NaN stays.
  return -jnp.mean(made) + surrogate - jax.lax.stop_gradient(surrogate)


def _evaluate(params, batch):
  _, _, made, _ = _played(params['actor'], batch)
  return -jnp.mean(made)
