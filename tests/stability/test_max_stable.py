"""The highest stable rate, against iteration matrices written out by hand."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrax
from lrax.stability import max_stable_learning_rate

SIZE = 5


def _matrix():
  """Of curvatures 0.3 to 9, in no axis' direction."""
  draw = np.random.default_rng(0)
  basis = np.linalg.qr(draw.normal(size=(SIZE, SIZE)))[0]
  return basis @ np.diag([0.3, 1.0, 2.0, 4.0, 9.0]) @ basis.T


HESSIAN = _matrix()
PARAMS = {'b': jnp.ones(2), 'w': jnp.arange(1.0, 4.0)}
MASK = {'b': False, 'w': True}
DECAYED = np.array([0, 0, 1, 1, 1])  # 'b' comes first


def _flat(tree):
  return np.concatenate([np.ravel(np.float64(x)) for x in jax.tree.leaves(tree)])


def _loss(params, scale, batch, key):
  """Half of scale * x^T H x; the scale is a state, so that one program serves all."""
  del key
  x = jnp.concatenate([params['b'], params['w']])
  curved = x @ jnp.asarray(HESSIAN, x.dtype) @ x
  return scale * curved / 2 * jnp.mean(batch), scale


DATA = lrax.tasks.Arrays(np.ones(4, np.float32))
TASK = lrax.tasks.Task(
    init=lambda key: (PARAMS, jnp.ones(())), loss=_loss, train=DATA, validation=DATA,
    evaluate=lambda params, scale, batch: _loss(params, scale, batch, None)[0],
    steps=1, name='bowl', stateful=True,
)


def limit_of(optimizer='sgd', scale=1.0, params=PARAMS, **options):
  return max_stable_learning_rate(
      TASK, params, optimizer, jnp.float32(scale), **options
  )


def radius(rate, share, momentum, ahead, inverse, l2, decay, shrink):
  """Of one step of the method as its paper writes it, on all states at once."""
  x, v = np.split(np.eye(2 * SIZE), 2)
  gradient = HESSIAN @ x + l2[:, None] * x
  v = momentum * v + share * gradient
  along = momentum * v + share * gradient if ahead else v
  step = rate * (inverse[:, None] * along + decay[:, None] * x) + shrink[:, None] * x
  return max(abs(np.linalg.eigvals(np.concatenate([x - step, v]))))


def trained(make, steps=4):
  """The state of an optimizer after some steps on the bowl."""
  tx, params = make(0.05), PARAMS
  state = tx.init(params)

  @jax.jit
  def step(params, state):
    grads = jax.grad(lambda p: _loss(p, 1.0, jnp.ones(4), None)[0])(params)
    updates, state = tx.update(grads, state, params)
    return optax.apply_updates(params, updates), state

  for _ in range(steps):
    params, state = step(params, state)
  return state


def adams(b1, b2, eps, state, t=4):
  """What Adam multiplies a gradient by after t updates, its own start undone."""
  return 1 / ((1 - b1**t) * (np.sqrt(_flat(state.nu) / (1 - b2**t)) + eps))


# A function of the rate; then share, momentum, whether it looks ahead, what it
# multiplies by as a function of the state, and the coefficients of the decays:
# in the gradient, decoupled, and without the rate.
ONES = lambda state: np.ones(SIZE)
CASES = {
    'gradient descent': (lrax.sgd, (1, 0, False, ONES, 0, 0, 0)),
    'heavy ball, decay in the gradient': (
        lambda rate: optax.chain(
            optax.add_decayed_weights(3.0, MASK), optax.sgd(rate, momentum=0.8)
        ),
        (1, 0.8, False, ONES, 3.0, 0, 0),
    ),
    'nesterov, decoupled decay': (
        lambda rate: optax.chain(
            optax.trace(0.8, nesterov=True), optax.add_decayed_weights(3.0, MASK),
            lrax.constant(rate),
        ),
        (1, 0.8, True, ONES, 0, 3.0, 0),
    ),
    'an average': (
        lambda rate: optax.chain(
            optax.clip_by_global_norm(1.0), optax.ema(0.8), optax.scale(-2 * rate)
        ),
        (0.2, 0.8, False, lambda state: np.full(SIZE, 2.0), 0, 0, 0),
    ),
    'adamw': (
        functools.partial(lrax.adamw, b1=0.8, eps=0.1, weight_decay=7.0, mask=MASK),
        (0.2, 0.8, False, lambda s: adams(0.8, 0.999, 0.1, s[0]), 0, 7.0, 0),
    ),
    'adamw, decay without the rate': (
        functools.partial(
            lrax.adamw, weight_decay=0.5, mask=MASK, decay_coupling='none'
        ),
        (0.1, 0.9, False, lambda s: adams(0.9, 0.999, 1e-8, s[0]), 0, 0, 0.5),
    ),
    'adamax, which divides by what is no square': (
        functools.partial(optax.adamaxw, b1=0.8, weight_decay=7.0, mask=MASK),
        (0.2, 0.8, False, lambda s: 1 / ((1 - 0.8**4) * _flat(s[0].nu)), 0, 7.0, 0),
    ),
    'rmsprop with momentum': (
        functools.partial(
            lrax.rmsprop, decay=0.7, eps=0.2, momentum=0.6, nesterov=True
        ),
        (1, 0.6, True, lambda s: 1 / np.sqrt(_flat(s[0].nu) + 0.2), 0, 0, 0),
    ),
    "optax's rmsprop, decay in the gradient": (
        lambda rate: optax.chain(
            optax.add_decayed_weights(3.0, MASK), optax.rmsprop(rate, eps_in_sqrt=False)
        ),
        (1, 0, False, lambda s: 1 / (np.sqrt(_flat(s[1][0].nu)) + 1e-8), 3.0, 0, 0),
    ),
}


@pytest.mark.parametrize('make, theirs', CASES.values(), ids=list(CASES))
def test_the_limit_is_where_the_spectral_radius_is_one(make, theirs):
  share, momentum, ahead, inverse, *decays = theirs
  state = trained(make)
  limit = limit_of(make, opt_state=state, rtol=1e-5)
  assert limit.converged and limit.error < 2e-5 * limit.sharpness
  decays = [np.float64(d * DECAYED) for d in decays]
  at = lambda rate: radius(rate, share, momentum, ahead, inverse(state), *decays)
  # Probes of float32: b is off by 1e-7 at most, divisors by less than 1e-5, and the
  # sharpness by 1e-5.
  assert at(limit.learning_rate * (1 - 2e-4)) < 1 - 1e-7
  assert at(limit.learning_rate * (1 + 2e-4)) > 1 + 1e-7
  assert limit.weight_decay == pytest.approx(max(decays[0].max(), decays[1].max()))


@pytest.mark.parametrize('t', [2, 5, 40])
def test_nadam_has_two_corrections_of_its_start(t):
  """Of the momentum, by b1 ** (t + 1), and of the gradient, by b1 ** t (Dozat)."""
  b = 0.9
  state = trained(optax.nadam, t)
  limit = limit_of(optax.nadam, opt_state=state, rtol=1e-5)
  inverse = 1 / (np.sqrt(_flat(state[0].nu) / (1 - 0.999**t)) + 1e-8)

  def at(rate):
    x, v = np.split(np.eye(2 * SIZE), 2)
    gradient = HESSIAN @ x
    v = b * v + (1 - b) * gradient
    along = b * v / (1 - b ** (t + 1)) + (1 - b) * gradient / (1 - b**t)
    return max(abs(np.linalg.eigvals(
        np.concatenate([x - rate * inverse[:, None] * along, v])
    )))

  # As in the test above.
  assert at(limit.learning_rate * (1 - 2e-4)) < 1 < at(limit.learning_rate * 1.0002)
  assert 'bias corrections are held' in str(limit)


@pytest.mark.parametrize(
    'optimizer, momentum, gain',
    [
        ('sgd(momentum=0.9, nesterov=True)', 0.9, 2.8),
        (lrax.sgd(lrax.linear(0.0, 1.0, 10), momentum=0.9), 0.9, 1.0),
        (optax.sgd(0.3, momentum=0.5, nesterov=True), 0.5, 2.0),
    ],
)
def test_a_text_and_a_made_one(optimizer, momentum, gain):
  limit = limit_of(optimizer)
  assert (limit.momentum, limit.gain) == (momentum, pytest.approx(gain))
  want = 2 * (1 + momentum) / (gain * 9)
  np.testing.assert_allclose(limit.learning_rate, want, rtol=1e-3)  # Lanczos' rtol


def test_a_made_adamw_shows_its_rate_and_its_decay():
  """Optax's holds the rate 0.01; a decay of 1,000 is nearly all of the limit."""
  for tx in (
      optax.adamw(0.01, weight_decay=1e3), lrax.adamw(0.01, weight_decay=1e3)
  ):
    state = trained(lambda rate, tx=tx: tx, 3)
    limit = limit_of(tx, opt_state=state)
    assert limit.weight_decay == pytest.approx(1e3, rel=1e-4)
    scaled = np.diag(adams(0.9, 0.999, 1e-8, state[0], 3)) @ HESSIAN
    top = max(np.linalg.eigvals(scaled))
    # All weights decay alike, so the formula for one direction is that of all.
    want = lrax.stability.stability_limit(top.real, 'adam', 0.9, 1e3)
    np.testing.assert_allclose(limit.learning_rate, want, rtol=2e-3)


@pytest.mark.parametrize('make', [optax.adamw, optax.adamaxw, optax.amsgrad])
def test_made_or_as_a_function_of_the_rate_it_is_the_same(make):
  if make is not optax.amsgrad:
    make = functools.partial(make, weight_decay=0.5)
  made = make(0.01)
  state = trained(lambda rate: made)
  one, two = (limit_of(x, opt_state=state) for x in (make, made))
  # Roundings of float32 in the probes.
  assert two.learning_rate == pytest.approx(one.learning_rate, rel=1e-5)
  assert two.weight_decay == pytest.approx(one.weight_decay, rel=1e-4)


def test_of_a_made_one_of_optax_all_that_multiplies_its_updates_is_the_rate():
  for tx in (optax.sgd(0.1), optax.chain(optax.scale(10.0), optax.sgd(0.1))):
    assert limit_of(tx).learning_rate == pytest.approx(2 / 9, rel=1e-3)  # rtol
  shown = optax.chain(optax.scale(10.0), lrax.sgd(0.1))
  assert limit_of(shown).learning_rate == pytest.approx(0.2 / 9, rel=1e-3)


def test_the_result_prints_and_goes_to_json():
  limit = limit_of()
  assert limit.interval[0] <= 2 / 9 <= limit.interval[1] * (1 + 1e-6)
  assert 'sgd (gradient descent) on bowl: stable up to a rate of 0.222' in str(limit)
  assert json.loads(json.dumps(limit.to_dict()))['learning_rate'] == limit.learning_rate


def test_nothing_curves_upwards_or_not_finite():
  flat = limit_of(scale=-1.0)
  assert flat.learning_rate == math.inf and flat.sharpness < 0
  assert 'no limit: nothing curves upwards' in str(flat)
  assert flat.to_dict()['learning_rate'] is None
  nan = limit_of(scale=math.nan)
  assert math.isnan(nan.learning_rate) and not nan.converged
  assert 'not finite' in str(nan)


@pytest.mark.parametrize('scale', [1e-25, 1e25])
def test_curvatures_far_from_one(scale):
  limit = limit_of(scale=scale)
  np.testing.assert_allclose(limit.learning_rate * scale, 2 / 9, rtol=1e-3)


def test_bfloat16_parameters_are_widened():
  narrow = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
  found = limit_of(params=narrow)
  np.testing.assert_allclose(found.learning_rate, 2 / 9, rtol=1e-4)  # not bfloat16's


@pytest.mark.parametrize('streamed', [False, True])
def test_batches_dropout_and_a_state_that_is_not_trained(streamed):
  rows = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
  halves = rows[:4], rows[4:]
  source = lrax.tasks.Arrays(rows, batch_size=4)
  if streamed:
    source = lrax.tasks.Stream(lambda seed: iter(halves))

  def loss(params, state, batch, key):
    kept = jax.random.bernoulli(key, 0.5, batch.shape)
    outputs = state['scale'] * (kept * batch) @ params
    return jnp.mean(outputs**2) / 2, {'scale': 0 * state['scale']}

  task = lrax.tasks.Task(
      init=lambda key: (jnp.ones(2), {'scale': 3.0}), loss=loss, stateful=True,
      evaluate=lambda params, state, batch: 0.0, train=source,
      validation=lrax.tasks.Arrays(rows), steps=1,
  )
  limit = max_stable_learning_rate(
      task, jnp.ones(2), 'sgd', {'scale': jnp.float32(3.0)}
  )
  key, kept = jax.random.key(0), []
  for index, batch in enumerate(halves):
    mask = jax.random.bernoulli(jax.random.fold_in(key, index), 0.5, batch.shape)
    kept.append(3 * mask * batch)
  kept = np.concatenate(kept).astype(np.float64)
  want = 2 / np.linalg.eigvalsh(kept.T @ kept / 6)[-1]
  np.testing.assert_allclose(limit.learning_rate, want, rtol=1e-3)
  assert ('batches read' in str(limit)) == streamed


def scaled_by(tx):
  return lambda rate: optax.chain(tx, optax.scale_by_learning_rate(rate))


BAD = {
    'no moments': ({'optimizer': 'adamw'}, ValueError, 'opt_state` must be given for'),
    'no update yet': (
        {'optimizer': 'adam', 'opt_state': lrax.adam(1.0).init(PARAMS)}, ValueError,
        'of at least one update',
    ),
    "another's moments": (
        {'optimizer': 'adam', 'opt_state': lrax.sgd(1.0).init(PARAMS)}, ValueError,
        'a state of adam.*, with a ScaleByAdamState',
    ),
    'a sign': ({'optimizer': 'lion'}, ValueError, 'limit is known: gradient descent'),
    'a norm': ({'optimizer': 'lamb'}, ValueError, 'not in proportion to small grad'),
    'noise': (
        {'optimizer': lambda r: optax.chain(optax.sign_sgd(r))}, ValueError,
        'not in proportion',
    ),
    'a moving momentum': (
        {'optimizer': lambda r: lrax.sgd(r, momentum=lrax.linear(0.5, 0.9, 9))},
        ValueError, 'with the states ScheduledState',
    ),
    'a trust ratio': (
        {'optimizer': lambda r: optax.lars(r, trust_coefficient=1.0, momentum=0.0)},
        ValueError, 'scale with the size of the parameters',
    ),
    'the norm of each block': (
        {'optimizer': scaled_by(optax.scale_by_param_block_norm())},
        ValueError, 'scale with the size of the parameters',
    ),
    'the size of each block': (
        {'optimizer': scaled_by(optax.scale_by_param_block_rms())},
        ValueError, 'scale with the size of the parameters',
    ),
    'a schedule of the rate': (
        {'optimizer': lambda r: optax.sgd(optax.linear_schedule(r / 10, r, 100))},
        ValueError, 'the state ScaleByScheduleState of a schedule.; give the rate it',
    ),
    'a rate of the loss': (
        {'optimizer': optax.polyak_sgd}, ValueError,
        'polyak_sgd, whose update needs more than gradients and parameters',
    ),
    'no optimizer': ({'optimizer': 3.0}, TypeError, 'a function of the rate'),
    'no such name': ({'optimizer': 'sdg'}, ValueError, "did you mean 'sgd'"),
    'no rtol': ({'rtol': 0.0}, ValueError, '> 0'),
}


@pytest.mark.parametrize('arguments, error, says', BAD.values(), ids=list(BAD))
def test_refusals(arguments, error, says):
  with pytest.raises(error, match=says):
    limit_of(**arguments)
