"""Each number of the table of rules decides a case."""

import dataclasses
import re

from curves import falling
from curves import noise
from curves import validated
import numpy as np
import pytest

from lrax.diagnose import diagnose
from lrax.diagnose import Thresholds

FIELDS = {field.name: field.default for field in dataclasses.fields(Thresholds)}
STEPS = np.arange(300)
OFF = 1e9  # of a rule that is not asked about


def replaced(values, where, by):
  values = np.array(values)
  values[where] = by
  return values


def overfitted():
  validation = falling(seed=1) + 0.1
  validation[100:] += np.linspace(0, 1, 200)
  return {'loss': falling(end=0.05), 'validation_loss': validated(validation)}


HEALTHY = {'loss': falling()}
JUDGED = HEALTHY | {'validation_loss': validated(falling(seed=1) + 0.1)}
EXPLODED = {'loss': np.minimum(2.3 * 1.3**STEPS, 1e5)}
RISEN = {'loss': replaced(falling(), slice(240, None), np.linspace(0.3, 1.2, 60))}
UNFALLEN = {'loss': 2.3 + noise(300, 0.02)}
NEITHER = UNFALLEN | {'validation_loss': validated(2.3 + noise(300, 0.002, 1))}
PLATEAU = {'loss': falling(time=0.01, end=0.8, size=0.5), 'learning_rate': 0.1}
UNEVEN = {'loss': 2.3 + 1.5 * np.sin(STEPS / 7) + noise(300, 1.5)}
LINE = {'loss': 2.3 - STEPS / 1000 + noise(300, 0.02)}
SLOWLY = LINE | {'validation_loss': validated(2.4 - STEPS / 1000)}
ROUGH = PLATEAU | {
    'validation_loss': validated(falling(time=0.02, end=0.8, size=0.05, seed=1))
}


def watched(noise, loss=None, **columns):
  """The log of a monitor that finds this noise of the rate, as a part of the loss."""
  loss = falling() if loss is None else loss
  # Each measurement is another one, and a thousand updates apart there is no slope.
  norm = np.sqrt(4 * noise * np.median(loss[150:])) * (1 + 0.1 * (-1.0) ** STEPS)
  return {'source': columns | {
      'step': 1000 * STEPS, 'loss': loss, 'monitor_gradient_norm': norm,
      'monitor_update_norm': norm, 'monitor_cosine': np.zeros(len(loss)),
  }}


SPIKES = {
    'loss': falling(time=0.02, size=0.05)
    + 3.0 * (np.random.default_rng(0).random(300) < 0.2)
}
# It was far above its start, and came back to half of it.
BURST = {'loss': falling(time=0.1, start=30, end=1.1) * (STEPS > 9) + 2 * (STEPS < 10)}
ABOVE = {
    'loss': np.minimum(2.0 + STEPS / 60, 4),
    'validation_loss': validated(np.minimum(2.0 + STEPS / 40, 6)),
}

# A log, its other thresholds, and the verdicts with the threshold 1 % below what is
# measured and 1 % above it; a count is that and one more. Where what is measured is
# no sign of its own, the two thresholds are given.
RAISED = {'above_start': OFF, 'risen_sure': OFF, 'far': OFF}
HALVED = falling(time=0.4, end=1.2)
CASES = {
    'broken_rows': ({'loss': replaced(falling(), -1, np.nan)}, {}, 'diverging',
                    'healthy'),
    'times_first': (EXPLODED, RAISED, 'diverging', None),
    'burst': (ABOVE, RAISED, 'diverging', None),
    'jump': ({'loss': [*falling(), 3.0]}, {}, 'diverging', 'unclear'),
    'above_start': (EXPLODED, RAISED | {'times_first': OFF}, 'diverging', None),
    'risen': (RISEN, {}, 'diverging', None),
    'risen_before': (RISEN, {}, 'diverging', None),
    'risen_sure': (RISEN, {}, 'diverging', None),
    'spike': ({'loss': [*falling(), 0.6, 1.2, 2.2]}, {}, 'diverging', None),
    'points': (HEALTHY, {}, 'healthy', 'unclear'),
    'far': (BURST, {}, 'diverging', None),
    'far_end': (BURST, {}, 'diverging', None),
    'validation_swing': (JUDGED, {'flat_swing': OFF}, 'oscillating', 'healthy'),
    'swing_back': (ROUGH, {}, 'plateau', 'healthy'),
    'overfit_at': (overfitted(), {}, None, 'overfitting'),
    'overfit_part': (overfitted(), {}, 'overfitting', None),
    'overfit_rough': (overfitted(), {}, 'overfitting', None, 2, 1e9),
    'overfit_loss': (overfitted(), {}, None, 'overfitting'),
    'regular_swing': ({'loss': 1.2 + 0.8 * (-1.0) ** STEPS + noise(300, 0.1)},
                      {'swing': OFF}, 'oscillating', None),
    'regular': ({'loss': 1.2 + 0.8 * (-1.0) ** STEPS + noise(300, 0.1)},
                {'swing': OFF}, 'oscillating', None),
    'wander': (UNEVEN, {'regular': OFF, 'swing': OFF}, 'oscillating', None),
    'wander_sure': (UNEVEN, {'regular': OFF, 'swing': OFF}, 'oscillating', None),
    'tail': (SPIKES, {'wander': OFF, 'swing': OFF}, 'oscillating', None),
    'slow': (LINE, {}, 'too low', 'healthy'),
    'slow_back': (SLOWLY, {}, 'healthy', 'too low', 0, 0.1),
    'half': (LINE, {}, 'too low', 'healthy'),
    'fall_sure': (UNFALLEN, {'levels_sure': OFF, 'slow': OFF, 'swing': OFF}, None,
                  'too low', 0, 10),
    'levels_sure': (UNFALLEN, {'slow': OFF, 'swing': OFF}, None, 'too low', 0, 10),
    'still': (NEITHER, {'slow': OFF, 'swing': OFF}, None, 'too low', 0,
              0.1),
    'swing': (UNFALLEN, {'slow': OFF, 'half': OFF}, 'oscillating', None),
    'flat_swing': (ROUGH, {}, 'plateau', 'healthy'),
    'flat': (PLATEAU, {}, 'healthy', 'plateau'),
    'flat_noise': (PLATEAU, {}, 'plateau', 'healthy'),
    'noise_swing': (watched(0.2), {}, 'oscillating', 'plateau'),
    'noise_both': (watched(0.2, validation_loss=validated(falling(size=0.05))), {},
                   'oscillating', 'plateau'),
    'noise_floor': (watched(0.2), {}, 'plateau', 'healthy'),
    'noise_low': (watched(0.01, HALVED), {'noise_slow': 0}, 'healthy', 'too low'),
    'over_sure': (watched(0.001, falling(time=0.1, end=1.5, size=0.3)),
                  {'noise_slow': 0}, 'healthy', 'too low', 0, OFF),
    'noise_slow': (watched(0.01, LINE['loss']), {}, None, 'too low'),
    'doubled': ({'loss': replaced(falling(), slice(200, None), 0.9)},
                {'risen': OFF}, None, 'healthy', 1, 10),
    'calm': (HEALTHY, {}, 'unclear', 'healthy', 0.5, 2),
    'rate_end': (PLATEAU | {'learning_rate': np.linspace(0.1, 0.03, 300)}, {},
                 'plateau', 'healthy'),
}


@pytest.mark.parametrize('name', CASES)
def test_a_threshold_decides_a_case(name):
  arrays, others, below, above, *values = CASES[name]
  if not values:
    found = diagnose(**arrays, thresholds=Thresholds(**others))
    value = next(sign.value for sign in found.evidence if sign.sign == name)
    count = isinstance(FIELDS[name], int)
    values = (value, value + 1) if count else (0.99 * abs(value), 1.01 * abs(value))
  verdicts = [
      diagnose(**arrays, thresholds=Thresholds(**(others | {name: value}))).verdict
      for value in values
  ]
  assert verdicts[0] != verdicts[1]
  assert below in (verdicts[0], None) and above in (verdicts[1], None), verdicts


def test_missing_rows_decides_a_case():
  rows = [{'step': i, 'loss': x} for i, x in enumerate(falling())]
  rows += [{'step': 300 + i} for i in range(3)]
  assert diagnose(rows, thresholds=Thresholds(missing_rows=3)).verdict == 'unclear'
  assert diagnose(rows, thresholds=Thresholds(missing_rows=4)).verdict == 'healthy'


def test_there_is_a_case_for_every_threshold():
  assert {*CASES, 'missing_rows'} == set(FIELDS)


def test_the_table_is_of_the_defaults():
  rows = re.findall(r'^    (\w+) +([\d.]+)  \w', Thresholds.__doc__ or '', re.MULTILINE)
  assert {name: type(FIELDS[name])(value) for name, value in rows} == FIELDS
  assert len(rows) == len(FIELDS)


@pytest.mark.parametrize(
    'arguments, error',
    [
        ({'points': 0}, ValueError),
        ({'points': 1.5}, ValueError),
        ({'slow': -1}, ValueError),
        ({'slow': np.nan}, ValueError),
        ({'slow': 'much'}, TypeError),
    ],
)
def test_a_bad_threshold_is_refused(arguments, error):
  with pytest.raises(error, match='Thresholds: `'):
    Thresholds(**arguments)
