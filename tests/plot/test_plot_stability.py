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
