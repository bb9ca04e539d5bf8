"""The figures: what is drawn, where, and what is left behind."""

import warnings

import matplotlib

matplotlib.use('Agg')

from matplotlib import pyplot as plt
import numpy as np
import pytest

import lrax
from lrax.tune import Found
from lrax.tune import RangeTest
from lrax.tune import Row
from lrax.tune import Trial

NAN = np.nan
RATES = np.geomspace(1e-4, 1.0, 12)
LOSSES = np.array([
    [3.0, 2.9, 3.0, 2.8, 2.5, 2.0, 1.5, 1.1, 1.0, 1.3, 2.5, 900.0],
    [3.1, 3.0, 2.9, 2.9, 2.6, 2.2, 1.6, 1.2, 1.1, 1.5, NAN, NAN],
])


@pytest.fixture(autouse=True)
def closed():
  """Every figure closed before and after; warnings are errors."""
  plt.close('all')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    yield
  plt.close('all')


def ramp(**changes):
  smoothed = np.minimum(LOSSES, 3.1)
  mean, spread = smoothed.mean(0), smoothed.std(0)
  arguments = {
      'task': 'toy', 'learning_rates': RATES, 'losses': LOSSES, 'smoothed': smoothed,
      'mean': mean, 'spread': spread, 'seeds': (0, 1), 'rule': 'minimum/10',
      'learning_rate': 0.03, 'suggestions': np.array([0.03, 0.03]),
      'largest_stable': 0.2, 'diverged_at': np.array([NAN, RATES[10]]),
      'verdict': 'said',
  }
  return RangeTest(**(arguments | changes))


def no_ramp():
  """A range test whose every loss was NaN."""
  empty = np.full((2, 12), NAN)
  return ramp(
      losses=empty, smoothed=empty, mean=empty[0], spread=empty[0],
      learning_rate=NAN, suggestions=np.array([NAN, NAN]), largest_stable=NAN,
      diverged_at=RATES[[0, 0]],
  )


def row(rate, *losses):
  """One rate, and what each seed gave: NaN where it diverged."""
  gone = sum(np.isnan(losses))
  trials = tuple(
      Trial(
          {'learning_rate': rate}, seed, loss,
          'diverged' if np.isnan(loss) else 'finished', np.ones(3),
      )
      for seed, loss in enumerate(losses)
  )
  mean = NAN if gone else float(np.mean(losses))
  return Row({'learning_rate': rate}, mean, 0.1, int(gone), trials)


ROWS = (row(0.03, 0.6, 0.7), row(0.1, 0.4, 0.5), row(0.3, 0.5, 0.5), row(1.0, 0.9, NAN))


def found(**changes):
  arguments = {
      'task': 'toy', 'optimizer': 'adamw', 'schedule': 'cosine',
      'learning_rate': 0.1, 'interval': (0.1, 0.3), 'validation_loss': 0.45,
      'noise': 0.05, 'rows': ROWS, 'range_test': ramp(), 'steps': 60,
      'seeds': (0, 1), 'steps_spent': 600, 'ratio': 2.0, 'at_edge': False,
      'verdict': 'said',
  }
  return Found(**(arguments | changes))


def labels(ax):
  return [text.get_text() for text in ax.get_legend().get_texts()]


def line(ax, label):
  """The one line of this label."""
  (artist,) = [artist for artist in ax.lines if artist.get_label() == label]
  return artist


# The range test.


def test_range_test_draws_each_seed_and_their_mean():
  test = ramp()
  ax = lrax.plot.range_test(test)
  seeds = [artist for artist in ax.lines if artist.get_label().startswith('_')]
  assert len(seeds) == 2
  for artist, losses in zip(seeds, LOSSES):
    np.testing.assert_array_equal(artist.get_xdata(), RATES)
    np.testing.assert_array_equal(artist.get_ydata(), losses)
  mean = line(ax, 'smoothed loss')
  np.testing.assert_array_equal(mean.get_xdata(), RATES)
  np.testing.assert_array_equal(mean.get_ydata(), test.mean)


def test_range_test_draws_the_spread_as_a_band_where_all_seeds_are():
  test = ramp()
  ax = lrax.plot.range_test(test)
  (band,) = ax.collections
  corners = band.get_paths()[0].vertices
  assert corners[:, 0].max() == RATES[9]  # the second seed ends there
  for i in range(10):
    heights = corners[corners[:, 0] == RATES[i], 1]
    np.testing.assert_allclose(
        [heights.min(), heights.max()],
        [test.mean[i] - test.spread[i], test.mean[i] + test.spread[i]],
        rtol=1e-12,
    )


def test_range_test_marks_what_it_suggests():
  ax = lrax.plot.range_test(ramp())
  assert set(line(ax, 'minimum/10: 0.03').get_xdata()) == {0.03}
  assert set(line(ax, 'largest stable: 0.2').get_xdata()) == {0.2}
  assert labels(ax) == ['smoothed loss', 'minimum/10: 0.03', 'largest stable: 0.2']


def test_range_test_says_what_its_axes_are():
  ax = lrax.plot.range_test(ramp())
  assert ax.get_xscale() == 'log'
  assert ax.get_xlabel() == 'learning rate'
  assert ax.get_ylabel() == 'training loss'
  assert ax.get_title() == 'Range test of toy, 2 seeds'
  one = ramp(seeds=(0,), losses=LOSSES[:1])
  assert lrax.plot.range_test(one).get_title() == 'Range test of toy, 1 seed'


def test_a_leap_at_the_end_does_not_flatten_the_rest():
  low, high = lrax.plot.range_test(ramp()).get_ylim()
  assert low < 1.0  # all of the fall is to be seen
  assert 3.1 < high < 6.0  # and it takes up more than half, beside a loss of 900


@pytest.mark.parametrize('shift', [-1000.0, 1000.0])
def test_a_range_test_of_other_losses_is_in_view(shift):
  low, high = lrax.plot.range_test(ramp(losses=LOSSES + shift)).get_ylim()
  assert 1.0 + shift - 1 < low < 1.0 + shift
  assert 3.1 + shift < high < 6.0 + shift


@pytest.mark.parametrize(
    'test',
    [
        ramp(learning_rate=NAN, largest_stable=NAN),
        no_ramp(),
        ramp(losses=np.full((2, 12), 2.3), smoothed=np.full((2, 12), 2.3),
             mean=np.full(12, 2.3), spread=np.zeros(12), learning_rate=NAN,
             largest_stable=NAN),
        ramp(mean=np.full(12, NAN), spread=np.full(12, NAN)),
    ],
    ids=['no suggestion', 'no loss', 'flat', 'no shared part'],
)
def test_a_range_test_that_saw_little_draws(test):
  ax = lrax.plot.range_test(test)
  ax.figure.canvas.draw()
  assert np.isfinite(ax.get_ylim()).all()
  if np.isnan(test.learning_rate):
    assert labels(ax) == ['smoothed loss']


# The sweep.


def test_find_draws_both():
  left, right = lrax.plot.find(found())
  assert left.get_title() == 'Range test of toy, 2 seeds'
  assert right.get_title() == 'adamw, 60 steps, 2 seeds'
  assert left.figure is right.figure


def test_find_draws_each_seed_and_their_mean():
  right = lrax.plot.find(found())[1]
  mean = line(right, 'mean')
  np.testing.assert_array_equal(mean.get_xdata(), [0.03, 0.1, 0.3])
  np.testing.assert_allclose(mean.get_ydata(), [0.65, 0.45, 0.5], rtol=1e-12)
  points = {
      (x, y)
      for artist in right.lines
      if artist.get_label().startswith('_')
      for x, y in zip(artist.get_xdata(), artist.get_ydata())
  }
  assert {
      (0.03, 0.6), (0.03, 0.7), (0.1, 0.4), (0.1, 0.5), (0.3, 0.5)
  } <= points


def test_find_marks_what_diverged_at_the_top():
  right = lrax.plot.find(found())[1]
  crosses = line(right, 'diverged')
  assert list(crosses.get_xdata()) == [1.0]
  assert crosses.get_marker() == 'x'
  right.figure.canvas.draw()
  # In the axes' own height, so that it is at the top whatever the losses are.
  (_, height) = right.transAxes.inverted().transform(
      crosses.get_transform().transform((1.0, crosses.get_ydata()[0]))
  )
  assert 0.9 < height < 1.0


def test_find_marks_what_it_recommends():
  right = lrax.plot.find(found())[1]
  assert set(line(right, 'recommended: 0.1').get_xdata()) == {0.1}
  (span,) = [p for p in right.patches if p.get_label() == 'within noise of the best']
  corners = span.get_path().vertices
  corners = span.get_patch_transform().transform(corners)
  np.testing.assert_allclose(
      [corners[:, 0].min(), corners[:, 0].max()], [0.1, 0.3], rtol=1e-12
  )
  assert labels(right) == [
      'mean', 'diverged', 'within noise of the best', 'recommended: 0.1'
  ]


def test_find_says_what_its_axes_are():
  right = lrax.plot.find(found())[1]
  assert right.get_xscale() == 'log'
  assert right.get_xlabel() == 'peak learning rate (cosine schedule)'
  assert right.get_ylabel() == 'validation loss'
  right = lrax.plot.find(found(schedule='constant'))[1]
  assert right.get_xlabel() == 'learning rate'


@pytest.mark.parametrize(
    'losses, scale',
    [
        ((0.1, 1.0, 0.5), 'log'),
        ((0.9, 1.0, 1.1), 'linear'),
        ((-5.0, 1.0, 9.0), 'linear'),
    ],
)
def test_losses_far_apart_are_on_a_log_axis(losses, scale):
  rows = tuple(row(rate, loss) for rate, loss in zip((0.03, 0.1, 0.3), losses))
  assert lrax.plot.find(found(rows=rows))[1].get_yscale() == scale


def test_all_that_was_tried_is_in_view():
  right = lrax.plot.find(found())[1]
  low, high = right.get_xlim()
  assert low < 0.03 and high > 1.0


@pytest.mark.parametrize(
    'result',
    [
        found(
            rows=(row(0.03, NAN, NAN), row(0.1, NAN, NAN), row(0.3, NAN, 0.5)),
            learning_rate=NAN, interval=(NAN, NAN), validation_loss=NAN, noise=NAN,
            range_test=no_ramp(),
        ),
        found(learning_rate=NAN, interval=(NAN, NAN), rows=ROWS[:3]),
        found(rows=(row(0.1, 0.4),), seeds=(0,), noise=NAN, interval=(0.1, 0.1)),
    ],
    ids=['all diverged', 'no difference', 'one row'],
)
def test_a_search_that_found_little_draws(result, tmp_path):
  axes = lrax.plot.find(result)
  axes[0].figure.savefig(tmp_path / 'find.png')
  assert (tmp_path / 'find.png').read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
  if np.isnan(result.learning_rate):
    assert not any('recommended' in label for label in labels(axes[1]))


# What is used, and what is left.


def test_given_axes_are_used_and_no_figure_is_made():
  figure, axes = plt.subplots(1, 3)
  assert lrax.plot.range_test(ramp(), axes[0]) is axes[0]
  left, right = lrax.plot.find(found(), axes[1:])
  assert (left, right) == (axes[1], axes[2])
  assert plt.get_fignums() == [figure.number]
  assert len(figure.axes) == 3
  assert all(ax.lines for ax in axes)


def test_the_methods_of_results_draw_the_same():
  _, axes = plt.subplots(1, 3)
  assert ramp().plot(axes[0]) is axes[0]
  assert tuple(found().plot(axes[1:])) == (axes[1], axes[2])
  assert labels(axes[0]) == labels(lrax.plot.range_test(ramp()))
  assert labels(axes[2]) == labels(lrax.plot.find(found())[1])


@pytest.mark.parametrize(
    'draw', [lambda: lrax.plot.range_test(ramp()), lambda: lrax.plot.find(found())]
)
def test_nothing_is_left_of_a_figure_but_the_figure(draw):
  settings, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
  draw()
  assert len(plt.get_fignums()) == 1
  assert dict(matplotlib.rcParams) == settings
  assert matplotlib.get_backend() == backend
