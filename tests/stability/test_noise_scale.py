"""The noise scale of a task: prescribed means and covariances, and every source."""

import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
  batches, size, repeats, norm = 16, 8, 1500, 0.4
  found = []
  for _ in range(repeats):
    noise = rng.normal(size=(batches, SIZE)) / np.sqrt(SIZE * size)
    found.append(
        _noise_estimate.estimate(reduced(noise + norm / np.sqrt(SIZE)), size, math.inf)
    )
  norms, traces = (np.asarray([x[i] for x in found]) for i in (0, 1))
  # Four standard errors of the mean of 1,500.
  for values, want in ((norms, norm**2), (traces, 1.0)):
    assert abs(values.mean() - want) < 4 * values.std() / np.sqrt(repeats)
  ratios = norms / traces
  errors = [x.standard_error / x.noise_scale**2 for x in found if x.noise_scale < 1e9]
  # The jackknife's error is right on average to some percent, and on the safe side.
  assert 0.95 < np.sqrt(np.mean(np.square(errors))) / ratios.std() < 1.2
  right = np.mean([x.interval[0] < 1 / norm**2 < x.interval[1] for x in found])
  # 95%, of which 1,500 tell 0.6%; wider where noise is strong.
  assert 0.93 < right < 0.99


@pytest.mark.parametrize('population', [math.inf, 4 * 8, 100])
def test_the_error_is_that_of_leaving_batches_out(population):
  size = 4
  gradients = np.random.default_rng(1).normal(size=(8, SIZE)) + 0.7
  whole = _noise_estimate.estimate(reduced(gradients), size, population)
  parts = [
      _noise_estimate.estimate(
          reduced(np.delete(gradients, i, 0)), size, population
      )
      for i in range(8)
  ]
  part = lambda field: np.asarray([getattr(x, field) for x in parts])
  ratio = whole.squared_norm / whole.trace
  known = math.sqrt(1 - 8 * size / population)
  moved = known * (part('squared_norm') - part('squared_norm').mean())
  moved = (moved - ratio * (part('trace') - part('trace').mean())) / whole.trace
  error = math.sqrt(7 / 8 * (moved**2).sum())
  # Sums of a few numbers in float64.
  assert whole.standard_error == pytest.approx(error / ratio**2, rel=1e-10)
  # Student's t with 7 degrees of freedom from a table; the series is right to 1e-3.
  ends = [1 / end for end in whole.interval]
  assert ends[0] + ends[1] == pytest.approx(2 * ratio, rel=1e-10)
  assert ends[0] - ends[1] == pytest.approx(2 * 2.3646 * error, rel=1e-3)


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
  again = np.concatenate([data, data[::-1], data])
  for train in (
      stream(again, 8),
      lrax.tasks.Stream(lambda seed: itertools.cycle(np.split(data, 8))),
  ):
    found = noise_scale(linear(train), PARAMS, batches=20)
    assert (found.batches, found.repeated, found.examples) == (8, 12, 64)
    assert found.interval == pytest.approx(once.interval, rel=1e-6)
    assert '12 batches repeated' in str(found)
  with pytest.raises(ValueError, match='63 with examples of those before'):
    noise_scale(linear(lrax.tasks.Drawn(lambda key: data[:8])), PARAMS)
  with pytest.raises(ValueError, match='3 of 16 examples'):
    noise_scale(linear(lrax.tasks.Arrays(data[:63])), PARAMS, batch_size=16)


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
