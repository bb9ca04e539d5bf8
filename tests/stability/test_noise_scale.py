"""The noise scale of a task: prescribed means and covariances, and every source."""

import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import lrax
from lrax.stability import _noise_estimate
from lrax.stability import noise_scale

SIZE = 12


def linear(train, *, scale=1.0, **options):
  """A task whose gradient is the mean of a batch's rows, times `scale`."""
  return lrax.tasks.Task(
      init=lambda key: jnp.zeros(SIZE),
      loss=lambda w, batch, key: scale * jnp.mean(batch @ w),
      train=train,
      validation=lrax.tasks.Arrays(np.zeros((1, SIZE))),
      steps=1,
      **options,
  )


PARAMS = jnp.zeros(SIZE)


def rows(count, norm=1.0, seed=0):
  """Rows of mean `norm` along (1, …, 1) and covariances that add up to about 1."""
  deviations = np.random.default_rng(seed).normal(size=(count, SIZE))
  return ((deviations + norm) / np.sqrt(SIZE)).astype(np.float32)


def reduced(gradients):
  """Gradients (batches, size) as what the estimate is made from."""
  mean = gradients.mean(0)
  less = gradients - mean
  return _noise_estimate.Deviations(mean @ mean, less @ mean, (less**2).sum(1))


def test_the_estimate_is_unbiased_and_its_error_right():
  rng = np.random.default_rng(0)
  batches, size, repeats, norm = 16, 8, 500, 0.4
  found = []
  for _ in range(repeats):
    noise = rng.normal(size=(batches, SIZE)) / np.sqrt(SIZE * size)
    found.append(
        _noise_estimate.estimate(reduced(noise + norm / np.sqrt(SIZE)), size, math.inf)
    )
  norms, traces = (np.asarray([x[i] for x in found]) for i in (0, 1))
  # Four standard errors of the mean.
  for values, want in ((norms, norm**2), (traces, 1.0)):
    assert abs(values.mean() - want) < 4 * values.std() / np.sqrt(repeats)
  ratios = norms / traces
  errors = [x.standard_error / x.noise_scale**2 for x in found if x.noise_scale < 1e9]
  # On the safe side, since the directions are estimated with care.
  assert 0.95 < np.sqrt(np.mean(np.square(errors))) / ratios.std() < 1.4
  right = np.mean([x.interval[0] < 1 / norm**2 < x.interval[1] for x in found])
  # 95%, of which 500 tell 1%.
  assert 0.92 < right < 0.995


@pytest.mark.parametrize('signal', [0.5, 4.0])
def test_the_interval_holds_where_the_gradient_has_one_direction(signal):
  rng = np.random.default_rng(2)
  batches, repeats = 32, 400
  noise = rng.normal(size=(repeats, batches, 1)) + math.sqrt(signal / batches)
  found = [_noise_estimate.estimate(reduced(x), 1, math.inf) for x in noise]
  ends = np.asarray([x.interval for x in found])
  right = (ends[:, 0] < batches / signal) & (batches / signal < ends[:, 1])
  # 95%, of which 400 tell 1.1%; what is linear in the mean is right 80 times of 100.
  assert right.mean() > 0.92
  # And where there is no gradient, it says so: a finite end 2.5 times of 100.
  if signal < 1:
    assert np.isfinite(ends[:, 1]).mean() < 0.15
  assert np.isfinite(ends[:, 0]).all()


def test_of_one_direction_the_interval_is_that_of_students_t():
  # Of even spacing, so that no tail is taken to be heavy.
  gradients = np.linspace(-0.5, 1.5, 16)[:, None]
  found = _noise_estimate.estimate(reduced(gradients), 1, math.inf)
  statistic = gradients.mean() / gradients.std(ddof=1) * 4
  for end, often in zip(found.interval, (0.025, 0.975)):
    noncentral = stats.nct(15, math.sqrt(16 / end))
    below = noncentral.cdf(statistic) - noncentral.cdf(-statistic)
    # The accuracy of scipy's sums, before 1.15 some 1e-5.
    assert below == pytest.approx(often, abs=1e-4)


def test_of_a_whole_pass_only_the_trace_is_uncertain():
  gradients = np.linspace(-0.5, 1.5, 16)[:, None]
  found = _noise_estimate.estimate(reduced(gradients), 2, 32)
  freedom = found.noise_scale * stats.chi2(15).ppf([0.025, 0.975])[::-1] ** -1
  # The ends that take a mean for known to 1e-6, in relative variance: 1e-3.
  assert found.interval == pytest.approx(15 * freedom, rel=2e-3)


def test_a_whole_pass_of_arrays_is_exact_but_for_the_trace():
  data = rows(320, 0.5)
  exact = np.asarray(data, np.float64)
  mean = exact.mean(0)
  trace = ((exact - mean) ** 2).sum() / 319
  task = linear(lrax.tasks.Arrays(data, batch_size=16))
  found = [noise_scale(task, PARAMS, seed=seed) for seed in range(8)]
  for one in found:
    assert (one.batches, one.batch_size, one.examples) == (20, 16, 320)
    # All is seen: no noise is left in the mean, up to float32's.
    assert one.squared_norm == pytest.approx(mean @ mean, rel=1e-5)
    # And yet the trace is an estimate, and so is the noise scale.
    assert one.standard_error > 0.02 * one.noise_scale
  traces = np.asarray([one.trace for one in found])
  assert abs(traces.mean() - trace) < 4 * traces.std() / np.sqrt(8)
  part = noise_scale(task, PARAMS, batches=10)
  deviations = part.trace / (10 * 16)  # of the mean of all batches
  seen = np.random.default_rng(0).permutation(320)[:160]
  square = np.sum(exact[seen].mean(0) ** 2)
  # Half of the examples are seen, so half of the noise is left; float32.
  assert part.squared_norm == pytest.approx(square - deviations / 2, rel=1e-5)


def stream(data, size, **options):
  return lrax.tasks.Stream(
      lambda seed: [data[i : i + size] for i in range(0, len(data), size)], **options
  )


def test_every_source_gives_the_same_where_batches_are():
  data = rows(100)
  # The last, of 4, is left out, but counts as examples.
  whole = noise_scale(linear(stream(data, 8)), PARAMS)
  gradients = data[:96].astype(np.float64).reshape(12, 8, SIZE).mean(1)
  want = _noise_estimate.estimate(reduced(gradients), 8, 100)
  got = _noise_estimate.Estimate(*(getattr(whole, name) for name in want._fields))
  np.testing.assert_allclose(np.hstack(got), np.hstack(want), rtol=1e-5)  # float32
  assert (whole.batches, whole.examples, whole.repeated) == (12, 100, 0)
  # Larger batches are cut.
  cut = noise_scale(linear(stream(data, 24)), PARAMS, batch_size=8)
  assert cut.squared_norm == pytest.approx(whole.squared_norm, rel=1e-5)
  # A pass that is cut short is not all: by its limit, or by `batches`.
  for short in (
      noise_scale(linear(stream(data, 8, limit=6)), PARAMS),
      noise_scale(linear(stream(data, 8)), PARAMS, batches=6),
  ):
    assert (short.batches, short.examples) == (6, math.inf)
  told = noise_scale(linear(stream(data, 8)), PARAMS, batches=6, examples=100)
  more = short.trace / 100
  assert told.squared_norm == pytest.approx(short.squared_norm + more, rel=1e-5)
  drawn = linear(lrax.tasks.Drawn(lambda key: 1 + jax.random.normal(key, (8, SIZE))))
  found = noise_scale(drawn, PARAMS)
  # Means of 1 and variances of 1: a noise scale of 1.
  assert found.interval[0] < 1 < found.interval[1] < 1.3
  assert (found.batches, found.examples) == (64, math.inf)
  assert noise_scale(drawn, PARAMS, seed=1).noise_scale != found.noise_scale


def test_batches_that_repeat_are_no_evidence():
  data = rows(64)
  once = noise_scale(linear(stream(data, 8)), PARAMS)
  # The same pass again and again, the second time in another order.
  again = np.split(data, 8)
  for train in (
      lrax.tasks.Stream(lambda seed: again + again[::-1] + again),
      lrax.tasks.Stream(lambda seed: itertools.cycle(np.split(data, 8))),
  ):
    found = noise_scale(linear(train), PARAMS, batches=20)
    assert (found.batches, found.repeated, found.examples) == (8, 12, 64)
    assert found.interval == pytest.approx(once.interval, rel=1e-6)
    assert '12 batches repeated' in str(found)
  with pytest.raises(ValueError, match='1 of 8 examples and 19 that repeat'):
    noise_scale(
        linear(lrax.tasks.Stream(lambda seed: itertools.repeat(data[:8]))), PARAMS,
        batches=20,
    )
  for size in (None, 2):
    with pytest.raises(ValueError, match='drawn by the key'):
      noise_scale(
          linear(lrax.tasks.Drawn(lambda key: data[:8])), PARAMS, batches=4,
          batch_size=size,
      )
  with pytest.raises(ValueError, match='3 of 16 examples'):
    noise_scale(linear(lrax.tasks.Arrays(data[:63])), PARAMS, batch_size=16)


def square_task(train):
  """A gradient of -2 * (row - w) for each example, of one number."""
  return lrax.tasks.Task(
      init=lambda key: jnp.zeros(1),
      loss=lambda w, batch, key: jnp.mean((batch - w) ** 2),
      train=train, validation=lrax.tasks.Arrays(np.zeros((1, 1))), steps=1,
  )


def test_draws_that_are_equal_by_chance_are_kept():
  draw = lambda key: jax.random.bernoulli(key, 0.1, (4, 1)).astype(jnp.float32)
  found = noise_scale(
      square_task(lrax.tasks.Drawn(draw)), jnp.asarray([-0.5]), batches=200
  )
  assert (found.batches, found.repeated) == (200, 0)
  # (2 * 0.6)**2, and 4 * 0.1 * 0.9: of 200 batches, some 3% and 10%.
  assert found.squared_norm == pytest.approx(1.44, rel=0.1)
  assert found.trace == pytest.approx(0.36, rel=0.3)


def test_equal_rows_of_a_stream_are_kept():
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 2, size=(640, 1)).astype(np.float32)
  twice = np.repeat(rng.normal(size=(320, 1)), 2, 0).astype(np.float32)
  for data in (coarse, rng.permutation(twice)):
    found = noise_scale(square_task(stream(data, 10)), jnp.asarray([-0.5]))
    assert (found.batches, found.examples, found.repeated) == (64, 640, 0)
    # All is seen, so that the mean is exact, in float32.
    want = np.square(2 * (data.astype(np.float64).mean() + 0.5))
    assert found.squared_norm == pytest.approx(want, rel=1e-5)
  pool = rng.normal(size=(100, 1)).astype(np.float32)

  def with_repeats(seed):
    while True:
      yield pool[rng.integers(0, 100, 10)]

  found = noise_scale(square_task(lrax.tasks.Stream(with_repeats)), jnp.asarray([-0.5]))
  assert (found.batches, found.examples, found.repeated) == (64, math.inf, 0)


def test_an_endless_stream_without_a_whole_batch_ends():
  train = lrax.tasks.Stream(lambda seed: itertools.repeat(np.zeros((2, SIZE))))
  with pytest.raises(ValueError, match='0 of 3 examples'):
    noise_scale(linear(train), PARAMS, batch_size=3)


def test_state_and_dropout_keys_reach_the_loss():
  data = rows(64)

  def loss(w, state, batch, key):
    noise = jax.random.normal(key, (SIZE,))
    return jnp.mean(batch @ w) + state['by'] * noise @ w, {'by': jnp.nan}

  task = lrax.tasks.Task(
      init=lambda key: (PARAMS, {'by': 0.0}), loss=loss,
      evaluate=lambda w, state, batch: 0.0 * w[0], stateful=True,
      train=lrax.tasks.Arrays(data, 4), validation=lrax.tasks.Arrays(data), steps=1,
  )
  without = noise_scale(task, PARAMS, {'by': 0.0})
  plain = noise_scale(linear(lrax.tasks.Arrays(data, 4)), PARAMS)
  assert without.noise_scale == pytest.approx(plain.noise_scale, rel=1e-6)
  noisy = noise_scale(task, PARAMS, {'by': 1.0})
  # Dropout adds a variance of 1 to each of the entries of 16 batches of 4.
  assert noisy.trace == pytest.approx(without.trace + 4 * SIZE, rel=0.5)
  with pytest.raises(ValueError, match='state'):
    noise_scale(task, PARAMS)


@pytest.mark.parametrize('scale', [1e-30, 1e25])
def test_no_gradient_is_too_small_or_large(scale):
  train = lrax.tasks.Arrays(rows(64), 4)
  found = noise_scale(linear(train, scale=scale), PARAMS)
  plain = noise_scale(linear(train), PARAMS)
  assert found.noise_scale == pytest.approx(plain.noise_scale, rel=1e-5)
  assert found.trace == pytest.approx(plain.trace * scale**2, rel=1e-5)


@pytest.mark.parametrize('scale', [1e-25, 1e25])
def test_a_first_gradient_of_0_does_not_set_the_unit(scale):
  data = np.concatenate([np.zeros((4, SIZE), np.float32), rows(60)])
  found = noise_scale(linear(stream(data, 4), scale=scale), PARAMS)
  plain = noise_scale(linear(stream(data, 4)), PARAMS)
  assert plain.told
  assert found.noise_scale == pytest.approx(plain.noise_scale, rel=1e-5)  # float32


def test_what_cannot_be_told_is_said():
  data = rows(64)
  centred = data - data.mean(0)
  lost = noise_scale(linear(stream(centred, 4, limit=8)), PARAMS)
  assert not lost.told and lost.interval[1] == math.inf
  assert 'cannot tell' in str(lost)
  at_all = noise_scale(linear(stream(np.r_[centred, -centred[:4]], 4)), PARAMS)
  assert at_all.noise_scale > 1000 or at_all.noise_scale == math.inf

  same = noise_scale(linear(lrax.tasks.Arrays(data, 4), scale=0.0), PARAMS)
  assert math.isnan(same.noise_scale) and 'all gradients are 0' in str(same)
  broken = noise_scale(linear(lrax.tasks.Arrays(data, 4), scale=math.nan), PARAMS)
  assert math.isnan(broken.noise_scale) and 'not finite' in str(broken)
  blind = lrax.tasks.Task(
      init=lambda key: PARAMS, loss=lambda w, batch, key: jnp.sum(w),
      train=lrax.tasks.Arrays(data, 4), validation=lrax.tasks.Arrays(data), steps=1,
  )
  silent = noise_scale(blind, PARAMS)
  assert silent.noise_scale == 0 and 'does not look' in str(silent)
  for one in (lost, same, broken, silent):
    assert not one.told
    json.dumps(one.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    'options, error',
    [
        ({'batches': 3}, ValueError),
        ({'batch_size': 0}, ValueError),
        ({'batch_size': 33}, ValueError),
        ({'examples': 64}, ValueError),
        ({'seed': -1}, ValueError),
        ({'params': {}}, ValueError),
        ({'params': jnp.zeros(SIZE, jnp.int32)}, TypeError),
        ({'task': None}, TypeError),
    ],
)
def test_bad_calls_are_refused(options, error):
  task = linear(lrax.tasks.Arrays(rows(64), 4))
  with pytest.raises(error):
    noise_scale(**{'task': task, 'params': PARAMS} | options)


def test_batches_without_examples_are_refused():
  odd = linear(lrax.tasks.Stream(lambda seed: [np.float32(1.0)] * 9))
  with pytest.raises(ValueError, match='first axis'):
    noise_scale(odd, PARAMS)
  few = linear(stream(rows(64), 8))
  with pytest.raises(ValueError, match='0 of 9 examples'):
    noise_scale(few, PARAMS, batch_size=9)
  with pytest.raises(ValueError, match='at least the 64'):
    noise_scale(few, PARAMS, examples=63)


def test_a_real_task_is_within_its_interval():
  task = lrax.tasks.tumours()
  params, _ = task.start(jax.random.key(0))
  inputs, labels = (np.asarray(x, np.float64) for x in task.train.data)
  # Logistic regression at 0: each example's gradient is (1/2 - label) * (input, 1).
  each = (0.5 - labels)[:, None] * np.column_stack([inputs, np.ones(len(labels))])
  mean = each.mean(0)
  exact = ((each - mean) ** 2).sum() / (len(each) - 1) / (mean @ mean)
  found = noise_scale(task, params, batch_size=14)
  assert found.batches == 32 and found.told
  assert found.interval[0] < exact < found.interval[1] < 2 * exact


def test_narrow_parameters_are_measured_in_float32():
  data = rows(64)
  wide = noise_scale(linear(lrax.tasks.Arrays(data, 4)), PARAMS)
  task = linear(lrax.tasks.Arrays(data.astype(jnp.bfloat16), 4))
  narrow = noise_scale(task, PARAMS.astype(jnp.bfloat16))
  # bfloat16 has 8 bits: 0.4% of each gradient, less of the sums.
  assert narrow.noise_scale == pytest.approx(wide.noise_scale, rel=0.02)
