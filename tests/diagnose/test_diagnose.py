"""Verdicts on runs whose trouble is known, and on what must not be misjudged."""

import io
import json
import time
import warnings

from curves import falling
from curves import noise
from curves import validated
import numpy as np
import pytest

from lrax.diagnose import diagnose

STEPS = np.arange(300)
COSINE = 0.05 * (1 + np.cos(np.pi * STEPS / 300))
HEALTHY = falling()
JUDGED = validated(falling(seed=1, size=0.005) + 0.1)


@pytest.fixture(autouse=True)
def no_warnings():
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    yield


def replaced(values, where, by):
  values = np.array(values)
  values[where] = by
  return values


def followed(tail):
  """A healthy run with these losses at its end."""
  return np.concatenate([HEALTHY, tail])


def late_rise(to, start=240, seed=2):
  rise = np.linspace(0.3, to, 300 - start) + noise(300 - start, 0.02, seed)
  return replaced(HEALTHY, slice(start, None), rise)


def overfitted():
  validation = falling(seed=1) + 0.1
  validation[100:] += np.linspace(0, 1, 200)
  return {'loss': falling(end=0.05), 'validation_loss': validated(validation)}


ALTERNATING = 1.2 + 0.8 * (-1.0) ** STEPS + noise(300, 0.1)
WAVES = falling(end=1.2) + 0.8 * np.sin(STEPS / 3)
KNOWN = {
    'a healthy run': ({'loss': HEALTHY}, 'healthy'),
    'with a validation loss': (
        {'loss': HEALTHY, 'validation_loss': JUDGED}, 'healthy'),
    'with noisy batches': ({'loss': falling(size=0.2, time=0.1)}, 'healthy'),
    'with a cosine': ({'loss': HEALTHY, 'learning_rate': COSINE}, 'healthy'),
    'still falling': ({'loss': 2.3 * (1 + STEPS) ** -0.5 + noise(300, 0.01)},
                      'healthy'),
    'a negative loss': ({'loss': HEALTHY - 100}, 'healthy'),
    'rewards with their sign changed': (
        {'loss': -200 * (1 - np.exp(-STEPS / 20)) + noise(300, 5)}, 'healthy'),
    'warmup': (
        {'loss': 2.3 - 2 / (1 + np.exp((40 - STEPS) / 10)) + noise(300, 0.02),
         'learning_rate': 0.1 * np.minimum(STEPS / 60, 1)}, 'healthy'),
    'NaN from 200 on': ({'loss': replaced(HEALTHY, slice(200, None), np.nan)},
                        'diverging'),
    'NaN in the last row': ({'loss': replaced(HEALTHY, -1, np.nan)}, 'diverging'),
    'NaN from the beginning': ({'loss': np.full(50, np.nan)}, 'diverging'),
    'infinite in the end': ({'loss': followed([3.0, 30.0, np.inf])}, 'diverging'),
    'the last three explode': ({'loss': followed([3.0, 30.0, 3000.0])}, 'diverging'),
    'the last two explode': ({'loss': followed([30.0, 3000.0])}, 'diverging'),
    'the last one explodes': ({'loss': followed([3000.0])}, 'diverging'),
    'the last is above the start': ({'loss': followed([3.0])}, 'diverging'),
    'a short run explodes': (
        {'loss': [2.3, 1.5, 1.0, 0.7, 0.5, 0.4, 0.3, 3.0, 30.0, 3000.0]},
        'diverging'),
    'it explodes to below the start': ({'loss': followed([0.6, 1.2, 2.2])},
                                       'diverging'),
    'it explodes far': ({'loss': followed(10.0 ** np.arange(1, 300, 10))},
                        'diverging'),
    'it explodes from the start': ({'loss': np.minimum(2.3 * 1.3**STEPS, 1e5)},
                                   'diverging'),
    'it rises and stays': (
        {'loss': np.minimum(2.3 * 1.3**STEPS, 20) + 2 * noise(300, 1) ** 2},
        'diverging'),
    'a late rise to half': ({'loss': late_rise(1.2)}, 'diverging'),
    'a late rise to the start': ({'loss': late_rise(2.2)}, 'diverging'),
    'a collapse to the start': (
        {'loss': replaced(HEALTHY, slice(250, None), 2.3 + noise(50, 0.02))},
        'diverging'),
    'swings in turns': ({'loss': ALTERNATING}, 'oscillating'),
    'swings in waves': ({'loss': WAVES}, 'oscillating'),
    'spikes': (
        {'loss': falling(time=0.02, size=0.05) + 6.0 * (STEPS > 60)
         * (np.random.default_rng(0).random(300) < 0.2)}, 'oscillating'),
    'it falls along a line': ({'loss': 2.3 - STEPS / 1000 + noise(300, 0.02)},
                              'too low'),
    'it falls along a line, negative': ({'loss': -STEPS / 10 + noise(300, 0.5)},
                                        'too low'),
    'it does not fall': ({'loss': 2.3 + noise(300, 0.02)}, 'too low'),
    'neither falls': (
        {'loss': 2.3 + noise(300, 0.02),
         'validation_loss': validated(2.3 + noise(300, 0.002, 1))}, 'too low'),
    'a plateau': (
        {'loss': falling(time=0.01, end=0.8, size=0.5), 'learning_rate': 0.1},
        'plateau'),
    'a plateau without a rate': (
        {'loss': falling(time=0.01, end=0.8, size=0.5)}, 'plateau'),
    'the same at the end of a schedule': (
        {'loss': falling(time=0.01, end=0.8, size=0.5), 'learning_rate': COSINE},
        'healthy'),
    'overfitting': (overfitted(), 'overfitting'),
    'overfitting, of epochs': (
        {k: v[::10] for k, v in overfitted().items()}, 'overfitting'),
    'both rise': (
        {'loss': late_rise(2.2), 'validation_loss': validated(late_rise(2.3, seed=3))},
        'diverging'),
    'always zero': ({'loss': np.zeros(50)}, 'unclear'),
    'no rows': ({'loss': []}, 'unclear'),
    'three rows': ({'loss': [3.0, 2.0, 1.0]}, 'unclear'),
    'a small late rise': ({'loss': late_rise(0.6)}, 'unclear'),
    'one bad batch in the end': ({'loss': followed([1.5])}, 'unclear'),
}


@pytest.mark.parametrize('case', KNOWN.values(), ids=KNOWN)
def test_a_verdict(case):
  arrays, verdict = case
  found = diagnose(**arrays)
  assert found.verdict == verdict, str(found)
  assert found.reason and (found.remedy != '') == (
      verdict not in ('healthy', 'unclear')
  )


@pytest.mark.parametrize(
    'name', [name for name, (_, v) in KNOWN.items() if v == 'diverging']
)
def test_a_run_that_diverged_is_never_healthy(name):
  """Scaled, shifted, thinned, with a calm validation loss beside: whatever it is."""
  loss = np.asarray(KNOWN[name][0]['loss'], float)
  calm = np.interp(np.arange(len(loss)), STEPS, 0.4 + 2 * np.exp(-STEPS / 20))
  for other in (loss * 1e-6, loss * 1e6, loss - 50, loss[::-2][::-1]):
    with np.errstate(over='ignore'):
      assert diagnose(loss=other).verdict != 'healthy'
  found = diagnose(loss=loss, validation_loss=validated(calm), learning_rate=0.1)
  assert found.verdict not in ('healthy', 'too low', 'plateau'), str(found)


def test_units_do_not_matter():
  """2**k times a loss rounds nothing, so every sign is the same."""
  for arrays, verdict in KNOWN.values():
    loss = np.asarray(arrays['loss'], float)
    if np.isfinite(loss).all() and len(loss) and loss.max() < 1e50:
      scaled = dict(arrays, loss=loss * 2.0**20)
      if 'validation_loss' in arrays:
        scaled['validation_loss'] = arrays['validation_loss'] * 2.0**20
      assert diagnose(**scaled).verdict == verdict


def test_an_isolated_nan_that_recovered_is_told_and_no_divergence():
  found = diagnose(loss=replaced(HEALTHY, 100, np.nan))
  assert found.verdict == 'healthy'
  assert '1 of the losses were NaN or infinite, and recovered.' in found.reason
  both = diagnose(loss=replaced(HEALTHY, [100, -1], np.nan))
  assert both.verdict == 'diverging'


@pytest.mark.parametrize('apart', [2, 3])
def test_losses_that_are_infinite_again_and_again_are_not_healthy(apart):
  """NaN between numbers may stand for nothing measured; an infinity does not."""
  loss = falling()
  loss[1::apart] = np.inf
  loss[-1] = 0.3
  found = diagnose(loss=loss)
  assert found.verdict == 'unclear'
  assert 'infinite again and again' in found.reason
  assert f'{np.isinf(loss).sum()} of the losses were NaN or infinite' in found.reason
  assert diagnose(loss=np.where(np.isinf(loss), np.nan, loss)).verdict == 'healthy'


def test_a_sign_is_at_steps_of_the_log():
  loss = falling(time=0.3, end=0.8, size=0.2)
  for sign in diagnose(loss=loss, step=np.arange(300)).evidence:
    assert 0 <= sign.steps[0] <= sign.steps[1] <= 299


@pytest.mark.parametrize('bad', [np.inf, -np.inf])
def test_an_infinite_validation_loss_is_not_dropped(bad):
  ended = diagnose(loss=HEALTHY, validation_loss=replaced(JUDGED, 290, bad))
  assert ended.verdict == 'diverging' and 'step 290' not in ended.verdict
  recovered = diagnose(loss=HEALTHY, validation_loss=replaced(JUDGED, 100, bad))
  assert '1 of the validation losses were NaN or infinite' in recovered.reason


def test_a_validation_loss_of_every_row_that_becomes_nan():
  validation = replaced(falling(seed=1), slice(250, None), np.nan)
  assert diagnose(loss=HEALTHY, validation_loss=validation).verdict == 'diverging'


@pytest.mark.parametrize('form', ['csv', 'json'])
def test_empty_cells_to_the_end_are_not_too_low(form):
  """As pandas and JSON write NaN."""
  slow = 2.3 - STEPS / 1000
  if form == 'csv':
    text = 'step,loss\n' + ''.join(
        f'{i},{slow[i] if i < 200 else ""}\n' for i in STEPS
    )
  else:
    text = '\n'.join(
        json.dumps({'step': int(i), 'loss': slow[i] if i < 200 else None})
        for i in STEPS
    )
  found = diagnose(io.StringIO(text))
  assert found.verdict == 'unclear' and 'from step 200 on' in found.reason
  assert found.remedy == '' and found.log.step[-1] == 299


def test_rows_between_without_a_loss_are_no_end():
  rows = []
  for i in STEPS:
    rows.append({'step': int(i), 'loss': HEALTHY[i]})
    if i % 10 == 9:
      rows.append({'step': int(i), 'val_loss': JUDGED[i - 9]})
  assert diagnose(rows).verdict == 'healthy'
  sparse = np.full(300, np.nan)
  sparse[::5] = HEALTHY[::5]
  assert diagnose(loss=sparse).verdict == 'healthy'


def test_a_loss_that_goes_with_the_waves_of_the_rate_is_no_oscillation():
  steps = np.arange(400)
  rate = 0.05 * (1 + np.cos(2 * np.pi * (steps % 100) / 200))
  loss = 0.3 + 2 * np.exp(-steps / 20) + 8 * rate + noise(400, 0.02)
  assert diagnose(loss=loss, learning_rate=rate).verdict == 'healthy'
  assert diagnose(loss=loss).verdict == 'oscillating'


def test_a_million_rows():
  rows = 10**6
  loss, validation = falling(rows), validated(falling(rows, seed=1, size=0.005), 100)
  start = time.process_time()
  found = diagnose(
      loss=loss, validation_loss=validation, learning_rate=0.1, step=np.arange(rows)
  )
  assert found.verdict == 'healthy'
  # 0.5 s on the slowest machine seen.
  assert time.process_time() - start < 2


def test_it_prints_and_goes_to_json():
  found = diagnose(**overfitted())
  text = str(found)
  assert text.startswith('overfitting: ') and found.remedy.splitlines()[0] in text
  plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
  assert plain['verdict'] == 'overfitting'
  assert len(plain['log']['loss']) == 300
  row = next(row for row in found.table() if row['sign'] == 'overfit_part')
  assert set(row) == {'sign', 'text', 'value', 'threshold', 'steps', 'fulfilled'}
  # It rises from step 100 on; the level is a median of three that are 10 apart.
  assert row['fulfilled'] and 90 <= row['steps'][0] <= 110
  assert row['steps'][1] == 290


@pytest.mark.parametrize(
    'arguments, error, says',
    [
        ({}, ValueError, '`loss` must be given'),
        ({'loss': [[1.0]]}, ValueError, '`loss` must be an array of shape'),
        ({'loss': ['a']}, TypeError, '`loss` must be real numbers'),
        ({'loss': [1j]}, TypeError, '`loss` must be real numbers'),
        ({'loss': [1.0], 'step': [1, 2]}, ValueError, '`step` must be of shape'),
        ({'source': 3}, TypeError, '`source` must be a path'),
        ({'source': [3]}, TypeError, '`source` must be a list of dicts'),
        ({'source': {'a': [1.0]}}, ValueError, "the columns are 'a'"),
        ({'source': {'loss': [1.0]}, 'loss': [1.0]}, ValueError, 'None beside'),
        ({'loss': [1.0], 'thresholds': 3}, TypeError, '`thresholds` must be'),
        ({'loss': [1.0], 'optimizer': 3}, TypeError, '`optimizer` must be a text'),
    ],
)
def test_a_bad_call(arguments, error, says):
  with pytest.raises(error, match=says):
    diagnose(**arguments)
