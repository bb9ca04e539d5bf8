"""The noise of the rate, by what a monitor measures, against what it costs really.

Quadratics with noise in the gradient, by heavy-ball gradient descent in NumPy: there
the loss above its lowest is known, as a mean over many steps and in closed form.
"""

from curves import falling
from curves import noise
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrax
from lrax import diagnose
from lrax.diagnose import _rate_noise

LOWEST = 1.0


def descend(rate, momentum=0.0, curvature=(0.5, 1.0, 2.0), noise=1.0, steps=20_000):
  """The log of a run, with what it costs: the mean loss above the lowest."""
  curvature = np.repeat(curvature, 20)
  draw = np.random.default_rng(0)
  at, velocity = np.zeros(len(curvature)), np.zeros(len(curvature))
  rows, before = [], velocity
  for _ in range(steps):
    loss = LOWEST + 0.5 * curvature @ at**2
    gradient = curvature * at + noise * draw.normal(size=len(at))
    velocity = momentum * velocity - rate * gradient
    at = at + velocity
    norms = np.linalg.norm(velocity), np.linalg.norm(before)
    cosine = velocity @ before / (norms[0] * norms[1]) if norms[1] else np.nan
    rows.append((loss, np.linalg.norm(gradient), norms[0], cosine))
    before = velocity
  columns = np.array(rows).T
  names = 'loss', 'monitor_gradient_norm', 'monitor_update_norm', 'monitor_cosine'
  return dict(zip(names, columns)), columns[0, steps // 2 :].mean() - LOWEST


def part(log):
  found = diagnose.diagnose(diagnose.history(log))
  return _rate_noise.rate_noise(found.log).part


@pytest.mark.parametrize('momentum', [0.0, 0.5, 0.9])
def test_it_is_what_the_noise_costs(momentum):
  """Of first order in the rate, for momentum too."""
  log, cost = descend(0.02 * (1 - momentum), momentum)
  closed = 0.02 * 60 / 4  # rate tr(S) / 4
  np.testing.assert_allclose(cost, closed, rtol=0.05)
  np.testing.assert_allclose(part(log) * np.median(log['loss']), closed, rtol=0.05)


def test_it_is_exact_without_momentum_at_a_rate_near_the_limit():
  # The loss is rate / (4 - 2 rate curvature) tr(S) above the lowest, and |gradient|^2
  # is larger than tr(S) by as much.
  log, cost = descend(0.8, curvature=(2.0,))
  np.testing.assert_allclose(cost, 0.8 * 20 / (4 - 2 * 0.8 * 2), rtol=0.05)
  np.testing.assert_allclose(part(log) * np.median(log['loss']), cost, rtol=0.05)


def test_it_is_an_upper_bound_where_rates_differ():
  # Each direction costs what its own rate does; the norms multiply to more than that.
  rates = np.geomspace(0.002, 0.1, 60)
  log, cost = descend(rates)
  closed = rates / (4 - 2 * rates * np.repeat([0.5, 1.0, 2.0], 20))
  np.testing.assert_allclose(cost, closed.sum(), rtol=0.02)
  assert cost < part(log) * np.median(log['loss']) < 2 * cost


@pytest.mark.parametrize('directions', [(2.0,) * 10, (1.0,)])
def test_noise_in_few_directions_swings(directions):
  """By sqrt(2 / n) of itself for n of them, as a sum of n squares does."""
  log, _ = descend(0.1, curvature=directions)
  found = _rate_noise.rate_noise(diagnose.diagnose(diagnose.history(log)).log)
  count = 20 * len(directions)
  np.testing.assert_allclose(found.swing / found.part, np.sqrt(2 / count), rtol=0.1)


def test_it_does_not_depend_on_the_unit_of_the_loss_or_of_the_parameters():
  log, _ = descend(0.05, 0.5, steps=400)
  scaled = {  # a loss of 2^10 times it, of parameters of 2^-3 times theirs
      'loss': 2**10 * log['loss'],
      'monitor_gradient_norm': 2**13 * log['monitor_gradient_norm'],
      'monitor_update_norm': 2**-3 * log['monitor_update_norm'],
      'monitor_cosine': log['monitor_cosine'],
  }
  assert part(scaled) == part(log) > 0


@pytest.mark.parametrize('rate', [1e-4, 1e-3, 0.1])
def test_a_fall_without_noise_is_none(rate):
  """Of w^2 with all rows: all that the updates do is the fall."""
  at = (1 - 2 * rate) ** np.arange(600)
  log = {
      'loss': at**2 + 1e-3, 'monitor_gradient_norm': 2 * at,
      'monitor_update_norm': 2 * rate * at, 'monitor_cosine': np.ones(600),
  }
  assert 0 <= part(log) < 1e-3


def test_a_measurement_counts_once_however_often_it_is_repeated():
  log, _ = descend(0.05, steps=400)
  held = {name: np.repeat(x[::20], 20) for name, x in log.items()}
  held['loss'] = log['loss']
  once = dict(log)
  for name in held:
    if name != 'loss':
      once[name] = np.full(400, np.nan)
      once[name][::20] = log[name][::20]
  assert part(held) == part(once) > 0


@pytest.mark.parametrize(
    'changed',
    [
        {'monitor_cosine': np.full(400, np.nan)},
        {'monitor_gradient_norm': np.full(400, np.inf)},
        {'monitor_update_norm': np.where(np.arange(400) < 396, np.nan, 1.0)},
        {'loss': np.full(400, np.nan)},
        {'loss': np.linspace(1, -1, 400)},
        {'loss': np.zeros(400)},
    ],
    ids=['no cosine', 'infinite', 'four rows', 'no loss', 'negative', 'zero'],
)
def test_it_is_unknown(changed):
  log, _ = descend(0.05, steps=400)
  assert np.isnan(part(log | changed))


@pytest.mark.parametrize(
    'rate, verdict', [(1e-5, 'too low'), (0.01, 'healthy'), (0.08, 'plateau'),
                      (0.6, 'oscillating')],
)
def test_a_monitor_tells_the_height_of_a_rate(rate, verdict):
  """Of one problem at four rates, by nothing but the losses and `monitor`."""
  steps, noise = 400, 1.2
  tx = diagnose.monitor(lrax.sgd(rate), groups=[], every=5)
  target = jnp.full(8, 0.7)
  params = jnp.zeros(8)

  def step(carry, key):
    params, state = carry
    mean = lambda p: 1 + 0.5 * jnp.sum((p - target) ** 2)
    loss, gradient = jax.value_and_grad(mean)(params)
    gradient += noise * jax.random.normal(key, gradient.shape)
    updates, state = tx.update(gradient, state, params, value=loss)
    return (params + updates, state), lrax.metrics(state) | {'loss': loss}

  keys = jax.random.split(jax.random.key(0), steps)
  run = jax.jit(lambda carry: jax.lax.scan(step, carry, keys))
  _, log = run((params, tx.init(params)))
  found = diagnose.diagnose(diagnose.history(log))
  assert found.verdict == verdict, str(found)
  # The same of a file's columns, and of rows.
  columns = {name: np.asarray(x) for name, x in log.items()}
  assert diagnose.diagnose(columns).verdict == verdict
  rows = [{name: float(x[i]) for name, x in columns.items()} for i in range(steps)]
  assert diagnose.diagnose(rows).verdict == verdict


def measured(loss, part_of_it):
  """The log of these losses, of a monitor that finds this noise at their end."""
  loss = np.asarray(loss)
  norm = np.sqrt(4 * part_of_it * np.median(loss[len(loss) // 2 :]))
  norm = norm * (1 + 0.02 * (-1.0) ** np.arange(len(loss)))
  return {
      'step': 1000 * np.arange(len(loss)), 'loss': loss, 'monitor_gradient_norm': norm,
      'monitor_update_norm': norm, 'monitor_cosine': np.zeros(len(loss)),
  }


def verdict(log):
  return diagnose.diagnose(diagnose.history(log)).verdict


def test_noise_is_no_plateau_once_the_rate_has_fallen():
  log = measured(falling(), 0.2)
  cosine = 0.05 * (1 + np.cos(np.pi * np.arange(300) / 300))
  assert verdict(log | {'learning_rate': np.full(300, 0.1)}) == 'plateau'
  assert verdict(log | {'learning_rate': cosine}) == 'healthy'


def test_a_burst_is_no_plateau_but_a_divergence_where_the_rate_makes_noise():
  # It rose to six times its first, by and by, and has come back to less.
  loss = np.interp(np.arange(300), [0, 10, 60, 299], [1.0, 6.0, 0.9, 0.8])
  assert verdict(measured(loss, 0.2)) == 'diverging'
  assert verdict(measured(loss, 0.05)) == 'unclear'  # and healthy in no case


def test_a_monitor_stands_for_a_fall_that_noise_hides():
  loss = np.concatenate([[1.0], 0.8 + noise(299, 0.3)])
  loss = np.maximum(loss, 0.1)
  loss[-1] = 0.8
  assert verdict(measured(loss, 0.03)) == 'healthy'
  # But not for a last loss above the first.
  assert verdict(measured(np.append(loss, 1.1), 0.03)) != 'healthy'


def test_the_log_carries_what_a_monitor_measured(tmp_path):
  log, _ = descend(0.05, steps=50)
  named = {f'train/{name}': x for name, x in log.items()}
  named |= {f'train/{name}/head': 2 * x for name, x in log.items()}
  path = tmp_path / 'log.csv'
  rows = zip(*named.values())
  path.write_text('\n'.join([','.join(named), *(','.join(map(repr, map(float, row)))
                                                for row in rows)]))
  read = diagnose.read_log(path)
  for name in ('gradient_norm', 'update_norm', 'cosine'):
    np.testing.assert_array_equal(getattr(read, name), log[f'monitor_{name}'])
  without = diagnose.diagnose(loss=log['loss']).log
  assert np.isnan(without.cosine).all() and without.cosine.shape == (50,)


def test_the_columns_of_one_group_or_of_another_run_are_not_taken():
  from lrax.diagnose import _columns

  names = [
      'a - loss', 'a - monitor_cosine', 'long - monitor_cosine', 'monitor_cosine/0',
      'monitor_cosine/[0]', 'monitor_cosine/head', 'monitor_gradient_norm/head',
  ]
  assert _columns.watched(names, 'a - loss') == {'cosine': 'a - monitor_cosine'}
  assert _columns.watched(names[2:], 'long - loss') == {
      'cosine': 'long - monitor_cosine'
  }
  assert _columns.watched(names[3:], 'loss') == {}


def test_columns_of_a_monitor_may_be_named():
  log, _ = descend(0.05, steps=100)
  renamed = {name.replace('monitor_', 'm '): x for name, x in log.items()}
  columns = {n: f'm {n}' for n in ('gradient_norm', 'update_norm', 'cosine')}
  found = diagnose.diagnose(renamed | {'step': np.arange(100)}, columns=columns)
  np.testing.assert_array_equal(found.log.cosine, log['monitor_cosine'])
  assert np.isfinite(_rate_noise.rate_noise(found.log).part)
