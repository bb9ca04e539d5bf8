"""The figure of a sweep: the losses over the rates, and the curves."""

import warnings

import matplotlib

matplotlib.use('Agg')

from matplotlib import colors
from matplotlib import pyplot as plt
import numpy as np
import pytest

import lrax
from lrax.tune import Sweep

NAN = np.nan
STEPS = 40
RATES = np.array([1e-3, 1e-2, 0.1, 1.0])
FINAL = np.array([[0.9, 1.0], [0.4, 0.6], [0.2, 0.3], [0.7, NAN]])


@pytest.fixture(autouse=True)
def closed():
  """Every figure closed before and after; warnings are errors."""
  plt.close('all')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    yield
  plt.close('all')


def swept(final=FINAL, rates=RATES, done=None, **changes):
  """A sweep whose curves fall from 2 to the final loss; diverged where it is NaN."""
  final = np.asarray(final, float)
  status = np.where(np.isnan(final), 'diverged', 'finished').astype(object)
  done = np.where(np.isnan(final), 10, STEPS) if done is None else np.asarray(done)
  losses = np.linspace(2.0, np.nan_to_num(final, nan=90.0), STEPS, axis=-1)
  losses[np.arange(STEPS) >= done[..., None]] = NAN
  arguments = {
      'task': 'toy', 'optimizer': 'adamw', 'schedule': 'cosine',
      'learning_rates': np.asarray(rates), 'seeds': tuple(range(final.shape[1])),
      'losses': losses, 'steps_done': done, 'status': status, 'validation_loss': final,
  }
  return Sweep(**(arguments | changes))


def halved():
  """One rate stopped early, of three, with one seed."""
  final = [[0.9], [0.2], [0.4]]
  status = np.array([['stopped early'], ['finished'], ['finished']], object)
  return swept(
      final, RATES[:3], done=[[10], [STEPS], [STEPS]], status=status,
      validation_loss=np.asarray(final),
  )


def labels(ax):
  return [text.get_text() for text in ax.get_legend().get_texts()]


def line(ax, label):
  """The one line of this label."""
  (artist,) = [artist for artist in ax.lines if artist.get_label() == label]
  return artist


def points(ax):
  """All points of lines without a label."""
  return {
      (x, y)
      for artist in ax.lines
      if artist.get_label().startswith('_')
      for x, y in zip(artist.get_xdata(), artist.get_ydata())
  }


# The losses over the rates.


def test_it_draws_each_seed_and_their_mean():
  left, _ = lrax.plot.sweep(swept())
  mean = line(left, 'mean')
  np.testing.assert_array_equal(mean.get_xdata(), RATES)
  np.testing.assert_allclose(mean.get_ydata(), [0.95, 0.5, 0.25, NAN], rtol=1e-12)
  assert {(1e-3, 0.9), (1e-3, 1.0), (1e-2, 0.4), (0.1, 0.3)} <= points(left)
  assert (1.0, 0.7) not in points(left)  # the other seed of this rate diverged


def test_the_band_is_one_deviation_of_the_seeds():
  left, _ = lrax.plot.sweep(swept())
  (band,) = left.collections
  corners = np.concatenate([path.vertices for path in band.get_paths()])
  for rate, (one, other) in zip(RATES[:3], FINAL[:3]):
    heights = corners[corners[:, 0] == rate, 1]
    mean, deviation = (one + other) / 2, abs(one - other) / np.sqrt(2)
    np.testing.assert_allclose(
        [heights.min(), heights.max()], [mean - deviation, mean + deviation], rtol=1e-12
    )
  assert corners[:, 0].max() == 0.1  # none where a seed diverged


def test_one_seed_has_no_band():
  left, _ = lrax.plot.sweep(swept(FINAL[:3, :1], RATES[:3]))
  assert not left.collections
  assert labels(left) == ['validation loss', 'best: 0.1']


def test_on_a_log_axis_the_band_does_not_reach_zero():
  final = [[1.0, 1.1], [0.01, 0.2]]  # a mean of 0.1 and a deviation of 0.13
  left, _ = lrax.plot.sweep(swept(final, RATES[:2]))
  assert left.get_yscale() == 'log'
  corners = left.collections[0].get_paths()[0].vertices
  assert corners[:, 1].min() == 0.01  # its lowest seed


def test_what_diverged_is_at_the_top_whatever_the_losses_are():
  left, _ = lrax.plot.sweep(swept())
  crosses = line(left, 'diverged')
  assert (list(crosses.get_xdata()), crosses.get_marker()) == ([1.0], 'x')
  left.figure.canvas.draw()
  place = crosses.get_transform().transform((1.0, crosses.get_ydata()[0]))
  assert 0.9 < left.transAxes.inverted().transform(place)[1] < 1.0
  # Everything else is below it.
  high = max(y for _, y in points(left))
  assert left.transAxes.inverted().transform(
      left.transData.transform((1.0, high))
  )[1] < 0.93


def test_what_was_stopped_early_is_hollow_and_not_joined():
  left, _ = lrax.plot.sweep(halved())
  stopped = line(left, 'stopped early')
  assert list(stopped.get_xdata()) == [1e-3]
  assert list(stopped.get_ydata()) == [0.9]
  assert stopped.get_markerfacecolor() == 'white'
  np.testing.assert_array_equal(
      line(left, 'validation loss').get_ydata(), [NAN, 0.2, 0.4]
  )


def test_it_marks_the_best():
  left, _ = lrax.plot.sweep(swept())
  assert set(line(left, 'best: 0.1').get_xdata()) == {0.1}
  assert labels(left) == ['±1 deviation', 'mean', 'diverged', 'best: 0.1']


def test_it_says_what_its_axes_are():
  left, right = lrax.plot.sweep(swept())
  assert left.get_xscale() == 'log'
  assert left.get_xlabel() == 'peak learning rate (cosine schedule)'
  assert left.get_ylabel() == 'validation loss'
  assert left.get_title() == 'adamw, 40 steps, 2 seeds'
  assert right.get_xlabel() == 'step'
  assert right.get_ylabel() == 'training loss, smoothed'
  assert right.get_title() == 'Training of toy'
  left, _ = lrax.plot.sweep(swept(schedule='constant'))
  assert left.get_xlabel() == 'learning rate'
  low, high = left.get_xlim()
  assert low < 1e-3 and high > 1.0


@pytest.mark.parametrize(
    'final, scale, shown',
    [
        ([[0.1], [1.0], [0.5]], 'log', '0.1'),
        ([[0.9], [1.0], [1.1]], 'linear', '1.0'),
        ([[-5.0], [1.0], [9.0]], 'linear', '0'),
    ],
)
def test_losses_far_apart_are_on_a_log_axis(final, scale, shown):
  left, _ = lrax.plot.sweep(swept(final, RATES[:3]))
  assert left.get_yscale() == scale
  left.figure.canvas.draw()
  ticks = [text.get_text() for text in left.get_yticklabels()]
  assert any(tick.startswith(shown) for tick in ticks)
  assert not any('times' in tick or '^' in tick for tick in ticks)


# The curves.


def curves(ax):
  """The lines of the rates, without the marks of their ends."""
  return [artist for artist in ax.lines if len(artist.get_xdata()) == STEPS]


def test_a_curve_is_the_mean_over_the_seeds_and_ends_with_the_first():
  _, right = lrax.plot.sweep(swept())
  drawn = curves(right)
  assert len(drawn) == 4
  # 40 steps are too few to be smoothed, so that these are means as they are.
  expected = swept().losses.mean(1)
  for artist, curve in zip(drawn[:3], expected[:3]):
    np.testing.assert_allclose(artist.get_ydata(), curve, rtol=1e-12)
  shown = drawn[3].get_ydata()
  assert np.isfinite(shown[:10]).all() and np.isnan(shown[10:]).all()


def test_long_curves_are_smoothed():
  noise = 0.3 * (-1.0) ** np.arange(2000)
  losses = np.linspace(2.0, 1.0, 2000)
  sweep = swept(
      [[1.0]], RATES[:1], losses=(losses + noise)[None, None],
      steps_done=np.array([[2000]]),
  )
  _, right = lrax.plot.sweep(sweep)
  (artist,) = [a for a in right.lines if len(a.get_xdata()) == 2000]
  # An average over some forty steps leaves a fortieth of what alternates.
  np.testing.assert_allclose(
      artist.get_ydata()[200:-200], losses[200:-200], atol=0.3 / 40 + 0.02
  )


def test_the_best_curve_is_thick_and_colours_rise_with_the_rate():
  _, right = lrax.plot.sweep(swept())
  widths = [artist.get_linewidth() for artist in curves(right)]
  assert widths.index(max(widths)) == 2
  assert sorted(widths)[-2] < max(widths)
  # Viridis grows lighter, also for someone who sees no hues.
  light = [
      float(np.dot(colors.to_rgb(a.get_color()), [0.299, 0.587, 0.114]))
      for a in curves(right)
  ]
  assert light == sorted(light)
  assert light[-1] < 0.8  # and is still to be seen on white


def test_the_bar_says_which_colour_is_which_rate():
  left, _ = lrax.plot.sweep(swept())
  (bar,) = [ax for ax in left.figure.axes if ax.get_ylabel() == 'learning rate']
  assert bar.get_yscale() == 'log'
  np.testing.assert_allclose(bar.get_ylim(), (1e-3, 1.0), rtol=1e-12)
  plt.close('all')
  left, right = lrax.plot.sweep(swept([[0.4]], [0.01]))
  assert left.figure.axes == [left, right]  # one rate needs no bar


def test_the_ends_of_runs_that_did_not_finish_are_marked():
  _, right = lrax.plot.sweep(swept())
  (cross,) = [a for a in right.lines if a.get_marker() == 'x']
  assert list(cross.get_xdata()) == [9]  # the last of ten losses
  _, right = lrax.plot.sweep(halved())
  (circle,) = [a for a in right.lines if a.get_marker() == 'o']
  assert list(circle.get_xdata()) == [9]
  assert circle.get_markerfacecolor() == 'white'


def test_a_loss_that_leapt_does_not_flatten_the_rest():
  losses = swept().losses.copy()
  losses[3, :, 1:] = 1e6
  _, right = lrax.plot.sweep(swept(losses=losses))
  low, high = right.get_ylim()
  assert 2.0 < high < 10.0
  assert low < 0.25


# What is used, and what is left.


@pytest.mark.parametrize(
    'result',
    [
        swept(np.full((4, 2), NAN)),
        swept(np.full((4, 2), NAN), done=np.ones((4, 2), int)),
        swept(losses=np.full((4, 2, STEPS), NAN)),
        swept([[0.4]], [0.01]),
        swept([[0.5], [0.5]], RATES[:2]),
        swept([[0.0], [0.0]], RATES[:2]),
        swept([[-1e30], [1e30]], RATES[:2]),
        swept([[1e-30], [1e30]], RATES[:2]),
    ],
    ids=[
        'all diverged', 'at once', 'no loss', 'one rate', 'equal', 'zero', 'huge',
        'wide',
    ],
)
def test_a_sweep_that_found_little_draws(result, tmp_path):
  left, right = lrax.plot.sweep(result)
  left.figure.savefig(tmp_path / 'sweep.png')
  assert (tmp_path / 'sweep.png').read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
  assert np.isfinite([left.get_ylim(), right.get_ylim()]).all()
  if np.isnan(result.best):
    assert labels(left) == ['diverged']


def test_given_axes_are_used_and_no_figure_is_made():
  figure, axes = plt.subplots(1, 3)
  left, right = lrax.plot.sweep(swept(), axes[1:])
  assert (left, right) == (axes[1], axes[2])
  assert plt.get_fignums() == [figure.number]
  assert not axes[0].lines


def test_the_method_of_the_result_draws_the_same():
  _, axes = plt.subplots(1, 2)
  assert tuple(swept().plot(axes)) == tuple(axes)
  assert labels(axes[0]) == labels(lrax.plot.sweep(swept())[0])


def test_nothing_is_left_of_a_figure_but_the_figure():
  settings, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
  lrax.plot.sweep(swept())
  assert len(plt.get_fignums()) == 1
  assert dict(matplotlib.rcParams) == settings
  assert matplotlib.get_backend() == backend
