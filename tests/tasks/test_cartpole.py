"""The cartpole task against NumPy: its physics, its actor-critic, its learning."""

import functools
import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import training

import lrax
from lrax.tasks import _cartpole

# Of position, speed, angle and angular speed.
SCALE = np.float64(np.float32([2.4, 2.0, math.radians(12), 2.0]))


@functools.cache
def task():
  return lrax.tasks.cartpole()


@functools.cache
def initial(seed=0):
  return jax.jit(task().init)(jax.random.key(seed))


@functools.cache
def compiled():
  """`evaluate`, and `loss` with its gradient, in float64.

  So they come to the same actions as NumPy: where one differs, so does all that
  follows.
  """

  def double(function):
    jitted = jax.jit(function)

    def call(params, batch, *key):
      with jax.enable_x64(True):
        return jitted(*jax.tree.map(np.float64, (params, batch)), *key)

    return call

  return double(task().evaluate), double(jax.value_and_grad(task().loss))


def gymnasium(state, action):
  """One step of Gymnasium 1.0's CartPole-v1: the state after it, and its end."""
  gravity, masscart, masspole, length = 9.8, 1.0, 0.1, 0.5
  total_mass, polemass_length = masspole + masscart, masspole * length
  x, x_dot, theta, theta_dot = state
  force = 10.0 if action == 1 else -10.0
  costheta, sintheta = math.cos(theta), math.sin(theta)
  temp = (force + polemass_length * theta_dot**2 * sintheta) / total_mass
  thetaacc = (gravity * sintheta - costheta * temp) / (
      length * (4.0 / 3.0 - masspole * costheta**2 / total_mass)
  )
  xacc = temp - polemass_length * thetaacc * costheta / total_mass
  state = (
      x + 0.02 * x_dot, x_dot + 0.02 * xacc,
      theta + 0.02 * theta_dot, theta_dot + 0.02 * thetaacc,
  )
  limit = 12 * 2 * math.pi / 360
  ended = state[0] < -2.4 or state[0] > 2.4 or state[2] < -limit or state[2] > limit
  return state, ended


def episode(start, policy, limit=500):
  """States, actions and whether it fell, of an episode of at most `limit` steps."""
  states, actions = [tuple(map(float, start))], []
  for step in range(limit):
    actions.append(int(policy(states[-1], step)))
    state, ended = gymnasium(states[-1], actions[-1])
    states.append(state)
    if ended:
      return np.asarray(states), np.asarray(actions), True
  return np.asarray(states), np.asarray(actions), False


def applied(network, states):
  """What a network of the task says of states, in float64."""
  seen = np.asarray(states) / SCALE
  hidden = np.tanh(seen @ network['hidden']['w'] + network['hidden']['b'])
  return hidden @ network['out']['w'] + network['out']['b']


def played(params, batch):
  """The batch's episodes under a policy, by NumPy."""
  actor = jax.tree.map(np.float64, params['actor'])
  right = lambda row: lambda state, step: (
      applied(actor, state) > np.log(row[step]) - np.log1p(-row[step])
  )
  return [episode(start, right(row), len(row)) for start, row in zip(*batch)]


def short():
  """Episodes that end after 120 steps, for what is compared number by number.

  The pole is unstable: an error grows by a factor of e each 0.25 s, in 120 steps
  by 15,000 and in 500 by 2e17.
  """
  starts, chances = task().validation.data
  return starts, chances[:, :120]


def linear(weights):
  """Parameters whose actor decides by the sign of `weights` @ state."""
  scaled = np.asarray(weights) * SCALE
  hidden, out = np.zeros((4, 64)), np.zeros(64)
  # tanh(x) is x where it is small; 1e4 makes a probability near 0 or 1 of the sum.
  hidden[:, 0], out[0] = 1e-4 * scaled, 1e8
  network = {'hidden': {'w': hidden, 'b': np.zeros(64)}, 'out': {'w': out, 'b': 0.0}}
  return {'actor': network, 'critic': network}


def test_sizes():
  assert (task().steps, task().name, task().stateful) == (300, 'cartpole', False)
  starts, chances = jax.jit(task().train.draw)(jax.random.key(0))
  assert starts.shape == (8, 4) and chances.shape == (8, 500)
  held_starts, held_chances = task().validation.data
  assert held_starts.shape == (64, 4) and held_chances.shape == (64, 500)
  assert len(list(task().validation.once())) == 1
  for start, chance in ((starts, chances), (held_starts, held_chances)):
    assert start.dtype == chance.dtype == np.float32
    # Uniform: 32 numbers within the limits, some near both of them.
    assert np.abs(start).max() <= 0.05
    assert start.min() < -0.035 and start.max() > 0.035
    assert 0 <= chance.min() < 0.01 and 0.99 < chance.max() < 1
  assert sum(leaf.size for leaf in jax.tree.leaves(initial())) == 770


def test_the_same_in_every_call():
  for one, other in zip(task().validation.data, lrax.tasks.cartpole().validation.data):
    np.testing.assert_array_equal(one, other)


def test_one_step_is_that_of_gymnasium():
  """500 states, some far beyond the limits, with either action; in float64."""
  rng = np.random.default_rng(0)
  states = rng.normal(size=(500, 4)) * [2, 2, 0.3, 3]
  actions = rng.integers(0, 2, 500)
  expected = [gymnasium(state, action) for state, action in zip(states, actions)]
  with jax.enable_x64(True):
    moved = _cartpole._moved(jnp.asarray(states), jnp.asarray(actions == 1))
    fallen = _cartpole._fallen(moved)
  # A dozen float64 roundings.
  np.testing.assert_allclose(moved, [state for state, _ in expected], rtol=1e-13)
  np.testing.assert_array_equal(fallen, [ended for _, ended in expected])
  assert 100 < np.sum(fallen) < 400


def test_a_trajectory_is_that_of_gymnasium():
  """In float32, under actions that keep the pole up."""
  control = lambda state, step: state[2] + 0.5 * state[3] + 0.02 * state[1] > 0
  states, actions, fell = episode((0.01, -0.02, 0.03, 0.04), control)
  assert len(actions) == 500 and not fell and 100 < actions.sum() < 400

  def step(state, right):
    moved = _cartpole._moved(state, right)
    return moved, moved

  _, moved = jax.lax.scan(step, jnp.float32(states[0]), jnp.asarray(actions[:40] == 1))
  # Given its actions the pole is unstable: roundings of 3e-8 grow by a factor of e
  # each 0.25 s, to 25 times that in 40 steps; they add up as the root of 40 does.
  np.testing.assert_allclose(moved, states[1:41], atol=1e-5)
  # One step from each state has no time to grow.
  ahead = _cartpole._moved(jnp.float32(states[:-1]), actions == 1)
  np.testing.assert_allclose(ahead, states[1:], rtol=1e-6, atol=1e-6)


def test_an_episode_ends_at_the_limits_and_not_before():
  angle = math.radians(12)
  edge = np.array([
      [2.3999, 0, 0, 0], [2.4001, 0, 0, 0], [-2.3999, 0, 0, 0], [-2.4001, 0, 0, 0],
      [0, 9, angle - 1e-5, 0], [0, 0, angle + 1e-5, 0],
      [0, 0, 1e-5 - angle, 9], [0, 0, -1e-5 - angle, 0],
  ], np.float32)
  np.testing.assert_array_equal(_cartpole._fallen(edge), [0, 1] * 4)


def test_evaluate_is_minus_the_mean_length_of_numpy_s_episodes():
  """Under a network that knows nothing, one that balances, and one that cannot."""
  evaluate, _ = compiled()
  batch = task().validation.data
  rng = np.random.default_rng(0)
  drawn = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape) / 4, initial())
  for params, least, most in (
      (drawn, 9, 100),
      (linear([0, 0.02, 1, 0.5]), 500, 500),
      (linear([9, 0, 0, 0]), 8, 60),
  ):
    lengths = [len(actions) for _, actions, _ in played(params, batch)]
    assert least <= np.mean(lengths) <= most
    # A sum of 32,000 zeros and ones is exact; its mean is rounded to float32.
    np.testing.assert_allclose(
        evaluate(params, batch), -np.mean(lengths) / 500, rtol=1e-7
    )


def test_the_first_policy_is_a_coin():
  """Its mean return is that of random actions, and its critic says about 0."""
  rng = np.random.default_rng(1)
  starts = rng.uniform(-0.05, 0.05, (300, 4))
  coin = lambda state, step: rng.integers(0, 2)
  random = [len(episode(start, coin)[1]) for start in starts]
  evaluate, _ = compiled()
  mean = np.mean([evaluate(initial(i), task().validation.data) for i in range(5)])
  # Lengths have a deviation of 12, and the five networks play 64 episodes nearly
  # alike, so the means of 300 and of 64 differ by 0.7 and 1.5; three of both.
  assert abs(-500 * mean - np.mean(random)) < 5
  assert 20 < np.mean(random) < 25  # the 22 that is known
  chance = jax.nn.sigmoid(_cartpole._applied(initial()['actor'], starts))
  # Logits are 0.01 of a normal number of variance below 1: 0.0025 of a chance.
  assert 0 < np.abs(chance - 0.5).max() < 0.01


def numpy_gradient(params, batch):
  """Of the biases that come last, and the lengths of the episodes.

  The actor's: -sum (A (a - p) + 0.1 dH/dlogit) / (120 n), and the critic's:
  2 mean (value - return), with returns summed term by term, in steps. What the
  critic says is a hundredth of a return.
  """
  actor, critic = (jax.tree.map(np.float64, params[k]) for k in ('actor', 'critic'))
  episodes, policy, errors = played(params, batch), 0.0, []
  for states, actions, fell in episodes:
    count, value = len(actions), 100 * applied(critic, states)
    discount = 0.99 ** np.arange(count + 1)
    beyond = 0 if fell else value[-1]
    returns = np.array([
        discount[: count - t].sum() + discount[count - t] * beyond
        for t in range(count)
    ])
    logit = applied(actor, states[:-1])
    right = 1 / (1 + np.exp(-logit))
    policy -= np.sum((returns - value[:-1]) * (actions - right))
    policy -= 0.1 * np.sum(-logit * right * (1 - right))  # H' = -z p (1 - p)
    errors.extend((value[:-1] - returns) / 100)
  lengths = [len(actions) for _, actions, _ in episodes]
  return policy / (120 * len(episodes)), 2 * np.mean(errors), np.array(lengths)


def test_the_gradient_is_that_of_an_actor_critic():
  """Of episodes that fall, and of some that do not."""
  _, value_and_grad = compiled()
  balancing = linear([0, 0.02, 1, 0.5])
  # Less sure of itself, so that there is a gradient, and a critic that says much.
  balancing['actor']['out']['w'] = balancing['actor']['out']['w'] * 4e-4
  critic = jax.tree.map(lambda leaf: 3 * leaf, initial()['critic'])
  critic['out'] = {'w': 30 * critic['out']['w'], 'b': 0.4}
  lengths = []
  for actor in (initial()['actor'], balancing['actor']):
    params = {'actor': actor, 'critic': critic}
    loss, grad = value_and_grad(params, short(), None)
    policy, error, length = numpy_gradient(params, short())
    lengths.append(length)
    # Sums of up to 7,680 float64 terms of both signs, after steps that magnify
    # what was rounded 15,000 times.
    np.testing.assert_allclose(grad['actor']['out']['b'], policy, rtol=1e-8)
    np.testing.assert_allclose(grad['critic']['out']['b'], error, rtol=1e-8)
    # The number itself is the return, its mean rounded to float32.
    np.testing.assert_allclose(loss, -length.mean() / 120, rtol=1e-7)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grad))
  assert lengths[0].mean() < 30
  assert 10 < np.sum(lengths[1] == 120) < 54


def test_parameters_that_are_nan_are_a_loss_that_is_nan():
  """The trick that gives the loss its gradient must not hide what went wrong."""
  _, value_and_grad = compiled()
  for name in ('actor', 'critic'):
    broken = initial() | {name: jax.tree.map(lambda x: x * jnp.nan, initial()[name])}
    assert np.isnan(value_and_grad(broken, short(), None)[0])


def test_it_learns_to_balance():
  """100 steps of AdamW at 0.01, over ten seeds: drawn -1 to -0.994, greedy -1."""
  run = training.trainer(task(), optax.adamw, 100)
  params, losses = run(0.01, [0, 1])
  starts, chances = task().validation.data
  greedy = starts, np.full_like(chances, 0.5)
  # Eight episodes of a coin are 22 +- 4 steps; measured 22 to 30 with what is learnt
  # in five batches.
  first = losses[:, :5].mean(1)
  assert (first > -0.1).all() and first[0] != first[1]
  for seed in (0, 1):
    one = jax.tree.map(operator.itemgetter(seed), jax.device_get(params))
    for batch in ((starts, chances), greedy):
      assert compiled()[0](one, batch) < -0.97
  np.testing.assert_array_equal(run(0.01, [0, 1])[1], losses)
