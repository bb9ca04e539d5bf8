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
