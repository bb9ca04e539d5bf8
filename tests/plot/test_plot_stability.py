"""The figures of stability and diagnosis: what is drawn, and what is marked."""

import warnings

import matplotlib

matplotlib.use('Agg')

from matplotlib import pyplot as plt
import numpy as np
import pytest

import lrax
from lrax import stability

NAN, INF = np.nan, np.inf


@pytest.fixture(autouse=True)
def closed():
  """Every figure closed before and after; warnings are errors."""
  plt.close('all')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    yield
  plt.close('all')


def labels(ax):
  return [text.get_text() for text in ax.get_legend().get_texts()]


def line(ax, label):
  """The one line of this label."""
  (artist,) = [artist for artist in ax.lines if artist.get_label() == label]
  return artist


def draw(ax):
  """Lays the figure out, where warnings would come."""
  ax.figure.canvas.draw()


# Bounds.

COMPARED = stability.compare_schedules(
    {
        'constant': lrax.constant(1.0),
        'linear': lrax.linear(1.0, 0.0, steps=100),
        'cosine': lrax.cosine_annealing(1.0, steps=100),
    },
    steps=100, distance=2.0,
)


def test_bounds_draws_each_schedule_at_its_best_factor():
  left, right = lrax.plot.bounds(COMPARED)
  draw(right)
  for row in COMPARED.rows:
    rates = line(left, row.name)
    np.testing.assert_array_equal(rates.get_xdata(), COMPARED.stops)
    np.testing.assert_array_equal(rates.get_ydata(), row.rates)
    curve = line(right, f'{row.name}: {row.bound:.3g}')
    np.testing.assert_array_equal(curve.get_ydata(), row.curve)
    low, high = right.get_ylim()
    assert low < row.bound < high
    # Where it starts, the bound is that of no training.
    assert row.curve[0] > 2 * high
  assert labels(left) == [row.name for row in COMPARED.rows]
  assert right.get_yscale() == 'log'
  assert right.get_title() == 'distance 2, gradient norm 1'


def test_bounds_that_are_not_finite_are_left_out():
  late = np.concatenate([np.zeros(40), np.ones(60)])
  compared = stability.compare_schedules({'late': late}, steps=100)
  assert not np.isfinite(compared.rows[0].curve[0])  # no rate yet
  _, right = lrax.plot.bounds(compared)
  draw(right)
  curve = right.lines[0].get_ydata()
  assert np.isnan(curve[0]) and np.isfinite(curve[-1])
  assert np.isfinite(right.get_ylim()).all()


def test_bounds_goes_on_axes_that_are_given():
  _, axes = plt.subplots(1, 2)
  assert lrax.plot.bounds(COMPARED, axes) is axes
  assert len(plt.get_fignums()) == 1
  with pytest.raises(TypeError, match='`comparison` must be a BoundComparison'):
    lrax.plot.bounds('linear')


# Sharpness.


def followed(sharpness, losses=None, method='gradient descent', **changes):
  count = len(sharpness)
  arguments = {
      'steps': 10 * np.arange(1, count + 1),
      'losses': np.linspace(2, 0.1, count) if losses is None else losses,
      'sharpness': np.asarray(sharpness, float),
      'errors': np.zeros(count),
      'limits': np.full(count, 20.0),
      'learning_rate': 0.1, 'method': method, 'optimizer': 'sgd', 'task': 'toy',
      'params': None, 'state': None, 'opt_state': None,
  }
  return stability.SharpnessCurve(**(arguments | changes))


def test_sharpness_is_drawn_against_the_limit_of_the_rate():
  rising = np.linspace(5, 21, 12)
  loss, sharpness = lrax.plot.sharpness(followed(rising))
  draw(loss)
  np.testing.assert_array_equal(loss.lines[0].get_xdata(), 10 * np.arange(1, 13))
  np.testing.assert_array_equal(loss.lines[0].get_ydata(), np.linspace(2, 0.1, 12))
  np.testing.assert_array_equal(line(sharpness, 'sharpness').get_ydata(), rising)
  edge = line(sharpness, 'limit of the rate: 20').get_ydata()
  np.testing.assert_array_equal(edge, np.full(12, 20.0))
  assert loss.get_title() == 'toy, sgd at a rate of 0.1'
  # Far from the limit on a log axis, near it on one from 0.
  assert loss.get_yscale() == sharpness.get_yscale() == 'log'
  near = lrax.plot.sharpness(followed(np.linspace(15, 21, 12)))[1]
  assert near.get_yscale() == 'linear' and near.get_ylim()[0] == 0


def test_sharpness_shows_errors_that_can_be_seen_and_what_adam_sees():
  curve = followed([10.0, 15.0], method='Adam-like with b1 0.9', errors=[2.0, 0.0])
  _, lower = lrax.plot.sharpness(curve)
  draw(lower)
  assert lower.get_ylabel() == 'preconditioned sharpness'
  heights = lower.collections[0].get_paths()[0].vertices[:, 1]
  assert (heights.min(), heights.max()) == (8.0, 15.0)
  assert not lrax.plot.sharpness(followed([10.0, 15.0]))[1].collections


def test_sharpness_of_a_run_that_diverged():
  curve = followed([5.0, NAN, NAN], losses=np.array([2.0, 1e30, INF]))
  loss, sharpness = lrax.plot.sharpness(curve)
  draw(loss)
  assert np.isfinite(loss.get_ylim()).all()
  draw(lrax.plot.sharpness(followed([NAN, NAN]))[0])
  with pytest.raises(TypeError, match='`curve` must be a SharpnessCurve'):
    lrax.plot.sharpness([1.0])


# The spectrum.

CURVATURES = np.asarray([-0.5, *np.linspace(0, 0.1, 17), 2.0, 8.0])


@pytest.fixture
def spectral():
  """The density of a known spectrum, each eigenvalue a Gaussian; and its ends."""
  grid, width = np.linspace(-1, 9, 501), 0.08
  far = (grid[:, None] - CURVATURES) / width
  density = np.exp(-far * far / 2).mean(1) / (width * np.sqrt(2 * np.pi))
  nodes, weights = CURVATURES[None], np.full((1, 20), 1 / 20)
  return (
      stability.Density(grid, density, 0 * grid, width, nodes, weights),
      stability.Eigenvalues(
          np.array([8.0, 2.0, -0.5]), np.full(3, 1e-3), True, 10, None
      ),
  )


def test_spectrum_draws_the_density_its_ends_and_the_edge(spectral):
  density, ends = spectral
  axes = lrax.plot.spectrum(density, ends, edge=20.0)
  draw(axes)
  assert axes.get_yscale() == 'log'
  curve = axes.lines[0]
  np.testing.assert_array_equal(curve.get_xdata(), density.grid)
  low, high = axes.get_ylim()
  shown = density.density > low
  assert 20 < shown.sum() < len(shown)
  np.testing.assert_array_equal(curve.get_ydata()[shown], density.density[shown])
  assert (curve.get_ydata()[~shown] < low).all() and density.density.max() < high
  assert labels(axes) == ['edge of stability: 20', 'extreme eigenvalues, largest 8']
  (marks,) = axes.containers
  np.testing.assert_array_equal(marks.lines[0].get_xdata(), ends.values)
  low, high = axes.get_xlim()
  assert low < -0.5 and high > 20  # the edge is in view


def test_spectrum_alone_and_of_what_is_not_finite(spectral):
  density, _ = spectral
  axes = lrax.plot.spectrum(density)
  draw(axes)
  assert axes.get_legend() is None and axes.get_xlim()[1] < 9.5
  broken = density._replace(density=density.density * NAN, grid=density.grid * NAN)
  axes = lrax.plot.spectrum(broken)
  draw(axes)
  assert not axes.axison
  assert axes.texts[0].get_text() == 'the curvature is not finite'


def test_spectrum_refuses_other_things(spectral):
  density, ends = spectral
  with pytest.raises(TypeError, match='`density` must be a Density'):
    lrax.plot.spectrum(ends)
  with pytest.raises(TypeError, match='`eigenvalues` must be Eigenvalues or None'):
    lrax.plot.spectrum(density, density)
  with pytest.raises(ValueError, match='`edge` must be'):
    lrax.plot.spectrum(density, edge=-1.0)


# The monitor's panel.

STEPS = 40


def recorded(**changes):
  """A history with a monitor that measures every other update, and a group."""
  at = np.arange(STEPS)
  rows = {
      'step': at + 1,
      'loss': np.exp(-at / 10.0),
      'validation_loss': np.where(at % 10 == 0, np.exp(-at / 12.0), NAN),
      'learning_rate': np.full(STEPS, 0.1),
      'monitor_step': at // 2 * 2 + 1.0,
      'monitor_gradient_norm': np.exp(-(at // 2) / 3.0),
      'monitor_gradient_norm/head': np.exp(-(at // 2) / 4.0),
      'monitor_update_ratio': np.full(STEPS, 1e-3),
      'monitor_cosine': np.linspace(-1, 1, STEPS),
  }
  for i, share in enumerate(('05', '25', '50', '75', '95')):
    rows[f'monitor_rate_{share}'] = np.full(STEPS, 0.01 * 4.0**i)
  rows |= changes
  return lrax.diagnose.history({k: v for k, v in rows.items() if v is not None})


def diagnosed(*evidence, verdict='plateau', **changes):
  log = lrax.diagnose.Log(
      *(changes.get(name, np.full(STEPS, NAN)) for name in (
          'step', 'loss', 'validation_loss', 'learning_rate'
      )),
      missing=np.zeros(STEPS, bool),
  )
  return lrax.diagnose.Diagnosis(verdict, '', evidence, '', '', log)


def sign(name, first, last, fulfilled=True):
  return lrax.diagnose.Evidence(name, '', 1.0, 0.5, (first, last), fulfilled)


def test_monitor_has_a_panel_for_each_thing_that_was_measured():
  axes = lrax.plot.monitor(recorded())
  draw(axes[0])
  assert [ax.get_ylabel() for ax in axes] == [
      'loss', 'learning rate', 'gradient norm', 'update / parameters',
      'cosine of successive updates', 'rate of a parameter',
  ]
  history = recorded()
  loss = line(axes[0], 'training loss')
  np.testing.assert_array_equal(loss.get_xdata(), history.step)
  np.testing.assert_array_equal(loss.get_ydata(), history.loss)
  checked = line(axes[0], 'validation loss')
  np.testing.assert_array_equal(checked.get_xdata(), [1, 11, 21, 31])
  assert axes[0].get_yscale() == axes[2].get_yscale() == 'log'
  assert axes[4].get_ylim() == (-1.05, 1.05)
  assert labels(axes[5]) == ['5% to 95%', '25% to 75%', 'median']
  band = axes[5].collections[0].get_paths()[0].vertices[:, 1]
  np.testing.assert_allclose([band.min(), band.max()], [0.01, 0.01 * 4.0**4])


def test_monitor_of_a_diagnosis_shows_what_a_monitor_put_into_its_log():
  history = recorded()
  found = lrax.diagnose.diagnose(history)
  axes = lrax.plot.monitor(found)
  assert [ax.get_ylabel() for ax in axes] == [
      'loss', 'learning rate', 'gradient norm', 'cosine of successive updates',
  ]
  drawn = axes[3].get_lines()[0].get_ydata()
  np.testing.assert_array_equal(drawn, found.log.cosine[np.isfinite(found.log.cosine)])


def test_monitor_draws_a_measurement_once_and_the_groups_beside_the_whole():
  norms = lrax.plot.monitor(recorded())[2]
  assert labels(norms) == ['head', 'over all']
  whole = line(norms, 'over all')
  # Each is repeated by the row after it, which measured nothing.
  np.testing.assert_array_equal(whole.get_xdata(), np.arange(1, STEPS, 2))
  np.testing.assert_array_equal(whole.get_ydata(), np.exp(-np.arange(20) / 3.0))


def test_monitor_leaves_out_what_was_not_measured():
  axes = lrax.plot.monitor(
      recorded(learning_rate=None, monitor_cosine=np.full(STEPS, NAN))
  )
  assert [ax.get_ylabel() for ax in axes] == [
      'loss', 'gradient norm', 'update / parameters', 'rate of a parameter'
  ]
  (only,) = lrax.plot.monitor(lrax.diagnose.history([]))
  draw(only)
  assert only.get_ylabel() == 'loss'


def test_monitor_marks_the_signs_that_were_found_over_their_steps():
  found = diagnosed(
      sign('flat', 10, 30), sign('flat_rise', 10, 30), sign('slow', 0, 39, False),
      sign('jump', 39, 39),
      step=np.arange(40.0), loss=np.linspace(2, 1, 40), learning_rate=np.full(40, 0.1),
  )
  loss, rate = lrax.plot.monitor(found)
  draw(loss)
  assert loss.get_title() == 'plateau'
  assert labels(loss) == ['training loss', 'flat and 1 more', 'jump']
  assert list(line(loss, 'flat and 1 more').get_xdata()) == [10, 30]
  assert list(line(loss, 'jump').get_xdata()) == [39, 39]
  # They are above every loss.
  low, high = loss.get_ylim()
  bars = [np.unique(line(loss, name).get_ydata()) for name in labels(loss)[1:]]
  heights = low + (high - low) * np.concatenate(bars)
  assert len(set(heights)) == 2 and min(heights) > 2
  assert rate.get_ylabel() == 'learning rate'
  # The same signs on the panels of a history.
  assert labels(lrax.plot.monitor(recorded(), found)[0])[2:] == labels(loss)[1:]


def test_monitor_marks_losses_that_are_not_finite_and_none_that_are_missing():
  loss = np.linspace(2, 1, STEPS)
  loss[30:] = NAN
  loss[5] = INF
  found = diagnosed(step=np.arange(40.0), loss=loss, verdict='diverging')
  axes = lrax.plot.monitor(found)[0]
  draw(axes)
  gone = line(axes, 'not finite').get_xdata()
  np.testing.assert_array_equal(gone, [5, *range(30, 40)])
  seldom = np.where(np.arange(STEPS) % 3 == 0, 1.0, NAN)
  axes = lrax.plot.monitor(recorded(loss=seldom))[0]
  assert 'not finite' not in labels(axes)
  assert len(line(axes, 'training loss').get_xdata()) == 14  # joined, not dots
  ended = np.where(np.arange(STEPS) < 35, seldom, NAN)
  axes = lrax.plot.monitor(recorded(loss=ended, validation_loss=None))[0]
  assert line(axes, 'not finite').get_xdata()[-1] == STEPS


def test_monitor_of_many_rows_shows_where_they_go_and_their_extremes():
  count = 100_000
  loss = 1 + 0.1 * np.random.default_rng(0).normal(size=count)
  loss[70_007] = 50.0  # one spike
  history = lrax.diagnose.history({'step': np.arange(count), 'loss': loss})
  (axes,) = lrax.plot.monitor(history)
  faint, medians = axes.lines
  assert faint.get_ydata().max() == 50 and len(faint.get_xdata()) < 5_000
  assert 70_007 in faint.get_xdata()
  # The median of a thousand has a standard error of 0.1 * 1.25 / sqrt(1000) = 0.004.
  np.testing.assert_allclose(medians.get_ydata(), 1, atol=5 * 0.004)
  assert medians.get_label() == 'training loss' and len(medians.get_xdata()) == 100


def test_monitor_goes_on_axes_that_are_given_and_hides_the_rest():
  _, axes = plt.subplots(2, 4)
  drawn = lrax.plot.monitor(recorded(), axes=axes)
  assert drawn == list(axes.flat[:6])
  assert not axes.flat[6].axison and axes.flat[5].axison
  with pytest.raises(ValueError, match='`axes` must be at least 6'):
    lrax.plot.monitor(recorded(), axes=axes[0])


def test_monitor_refuses_what_is_no_history():
  with pytest.raises(TypeError, match='`result` must be a History or a Diagnosis'):
    lrax.plot.monitor([{'loss': 1.0}])
  with pytest.raises(TypeError, match='`diagnosis` must be a Diagnosis or None'):
    lrax.plot.monitor(recorded(), 'plateau')


def test_monitor_does_not_magnify_rounding():
  rates = np.float32(0.3) * (1 + 1e-7 * np.arange(STEPS))
  rate = lrax.plot.monitor(recorded(learning_rate=rates))[1]
  low, high = rate.get_ylim()
  assert 0.25 < low < 0.29 and 0.31 < high < 0.35
