"""The figure of a search: what was tried, and the best so far."""

import warnings

import matplotlib

matplotlib.use('Agg')

from matplotlib import colors
from matplotlib import pyplot as plt
import numpy as np
import pytest

import lrax
from lrax import tune

NAN = np.nan
RATES = {'learning_rate': tune.log_uniform(1e-4, 1.0)}
SEVERAL = RATES | {
    'b2': tune.uniform(0.5, 1.0),
    'layers': tune.integer(1, 4),
    'kind': tune.choice('a', 'b', None),
}


@pytest.fixture(autouse=True)
def closed():
  """Every figure closed before and after; warnings are errors."""
  plt.close('all')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    yield
  plt.close('all')


def row(point, *losses, status='finished'):
  """A point, and what each seed gave: NaN where it diverged."""
  if not isinstance(point, dict):
    point = {'learning_rate': point}
  gone = int(np.isnan(losses).sum())
  ended = lambda loss: 'diverged' if np.isnan(loss) else status
  trials = tuple(
      tune.Trial(point, seed, loss, ended(loss), np.ones(5))
      for seed, loss in enumerate(losses)
  )
  mean = NAN if gone else float(np.mean(losses))
  return tune.Row(point, mean, 0.1, gone, trials)


def searched(rows, space=RATES, **changes):
  whole = [
      one for one in rows if all(trial.status == 'finished' for trial in one.trials)
  ]
  best = min(whole, key=lambda one: one.validation_loss, default=None)
  arguments = {
      'task': 'toy', 'optimizer': 'adamw', 'schedule': 'cosine', 'method': 'bayesian',
      'space': space, 'best': best and best.point, 'noise': NAN,
      'validation_loss': best.validation_loss if best else NAN, 'rows': tuple(rows),
      'edges': (), 'widened': {}, 'history': (), 'steps': 60,
      'seeds': tuple(range(len(rows[0].trials))) if rows else (0,),
      'steps_spent': 600, 'verdict': 'said',
  }
  return tune.Searched(**(arguments | changes))


ONE = [
    row(0.1, 0.4, 0.5), row(1e-3, 0.9, 0.8), row(1.0, NAN, 0.9), row(0.01, 0.2, 0.3),
    row(0.3, 0.6, 0.7, status='stopped early'), row(0.02, 0.3, 0.3),
]


def point(rate=0.01, b2=0.9, layers=2, kind='a'):
  return {'learning_rate': rate, 'b2': b2, 'layers': layers, 'kind': kind}


MANY = [
    row(point(1e-4, 0.5, 1, 'a'), 1.6), row(point(0.01, 0.75, 4, None), 0.1),
    row(point(1.0, 1.0, 2, 'b'), NAN), row(point(0.1, 0.6, 3, 'a'), 0.4),
    row(point(0.5, 0.9, 3, 'b'), 0.3, status='stopped early'),
]


def labels(ax):
  return [text.get_text() for text in ax.get_legend().get_texts()]


def line(ax, label):
  """The one line of this label."""
  (artist,) = [artist for artist in ax.lines if artist.get_label() == label]
  return artist


def light(colour):
  return float(np.dot(colors.to_rgb(colour), [0.299, 0.587, 0.114]))


# One hyperparameter.


def test_one_hyperparameter_is_drawn_over_its_values():
  left, _ = lrax.plot.search(searched(ONE))
  mean = line(left, 'mean')
  values = [1e-3, 0.01, 0.02, 0.1, 0.3, 1.0]
  np.testing.assert_array_equal(mean.get_xdata(), values)
  np.testing.assert_allclose(
      mean.get_ydata(), [0.85, 0.25, 0.3, 0.45, NAN, NAN], rtol=1e-12
  )
  assert list(line(left, 'diverged').get_xdata()) == [1.0]
  assert list(line(left, 'stopped early').get_xdata()) == [0.3]
  assert set(line(left, 'best: 0.01').get_xdata()) == {0.01}
  assert left.get_xscale() == 'log'
  assert left.get_xlabel() == 'peak learning rate (cosine schedule)'
  assert left.get_title() == 'adamw, 60 steps, 2 seeds'


def test_every_kind_of_hyperparameter_has_its_axis():
  space = {'b2': tune.uniform(0.0, 1.0)}
  left, _ = lrax.plot.search(
      searched([row({'b2': 0.5}, 0.4), row({'b2': 0.9}, 0.5)], space)
  )
  assert (left.get_xscale(), left.get_xlabel()) == ('linear', 'b2')
  space = {'layers': tune.integer(1, 64, log=True)}
  left, _ = lrax.plot.search(
      searched([row({'layers': 2}, 0.4), row({'layers': 50}, 0.5)], space)
  )
  assert left.get_xscale() == 'log'
  assert 'best: 2' in labels(left)


def test_choices_stand_side_by_side():
  space = {'kind': tune.choice('a', None, 'c')}
  rows = [row({'kind': 'c'}, 0.4), row({'kind': None}, 0.2), row({'kind': 'a'}, 0.3)]
  left, _ = lrax.plot.search(searched(rows, space))
  assert [text.get_text() for text in left.get_xticklabels()] == ['a', 'None', 'c']
  shown = line(left, 'validation loss')
  assert list(shown.get_xdata()) == [0, 1, 2]
  assert list(shown.get_ydata()) == [0.3, 0.2, 0.4]
  assert shown.get_linestyle() == 'None'  # there is nothing between them
  assert set(line(left, 'best: None').get_xdata()) == {1}


# Several.


def lines_of_points(ax):
  """The lines that cross all axes."""
  return [artist for artist in ax.lines if len(artist.get_xdata()) == 4]


def test_a_point_crosses_each_axis_at_its_value():
  left, _ = lrax.plot.search(searched(MANY, SEVERAL))
  drawn = {
      tuple(np.round(artist.get_ydata(), 12)) for artist in lines_of_points(left)
  }
  # Rates by their logarithm, the rest evenly; options stand in the middle of thirds.
  third = 1 / 6, 0.5, 5 / 6
  assert drawn == {
      tuple(np.round(places, 12))
      for places in (
          (0.0, 0.0, 0.0, third[0]), (0.5, 0.5, 1.0, third[2]),
          (1.0, 1.0, 1 / 3, third[1]), (0.75, 0.2, 2 / 3, third[0]),
          ((4 + np.log10(0.5)) / 4, 0.8, 2 / 3, third[1]),
      )
  }
  assert [text.get_text() for text in left.get_xticklabels()] == list(SEVERAL)


def test_the_axes_have_values_of_their_own():
  left, _ = lrax.plot.search(searched(MANY, SEVERAL))
  shown = {}
  for text in left.texts:
    x, y = text.xy
    shown.setdefault(x, []).append((text.get_text(), round(y, 6)))
  assert shown[0] == [
      ('0.0001', 0.0), ('0.001', 0.25), ('0.01', 0.5), ('0.1', 0.75), ('1', 1.0)
  ]
  assert [text for text, _ in shown[1]] == ['0.5', '0.6', '0.7', '0.8', '0.9', '1']
  assert [text for text, _ in shown[2]] == ['1', '2', '3', '4']
  assert [text for text, _ in shown[3]] == ['a', 'b', 'None']


def test_an_axis_is_as_long_as_what_was_tried_after_widening():
  rows = [row(point(1e-6), 0.2), row(point(10.0), 0.3)]
  left, _ = lrax.plot.search(searched(rows, SEVERAL))
  assert sorted(a.get_ydata()[0] for a in lines_of_points(left)) == [0.0, 1.0]
  texts = [text.get_text() for text in left.texts if text.xy[0] == 0]
  assert texts[0] == '1e-06'


def test_the_best_is_thick_and_the_rest_by_their_loss():
  left, _ = lrax.plot.search(searched(MANY, SEVERAL))
  best = line(left, 'best')
  np.testing.assert_allclose(best.get_ydata()[:3], [0.5, 0.5, 1.0], rtol=1e-12)
  assert best.get_linewidth() == max(a.get_linewidth() for a in left.lines)
  by_rate = {round(a.get_ydata()[0], 3): a for a in lines_of_points(left)}
  shades = [light(by_rate[place].get_color()) for place in (0.5, 0.75, 0.0)]
  assert shades == sorted(shades)  # losses of 0.1, 0.4 and 1.6
  assert line(left, 'diverged').get_linestyle() == ':'
  np.testing.assert_allclose(line(left, 'diverged').get_ydata()[0], 1.0)
  assert labels(left) == ['diverged', 'stopped early', 'best']


def test_the_bar_says_which_colour_is_which_loss():
  left, right = lrax.plot.search(searched(MANY, SEVERAL))
  (bar,) = [ax for ax in left.figure.axes if ax not in (left, right)]
  assert bar.get_ylabel() == 'validation loss'
  assert bar.get_yscale() == 'log'  # one is sixteen times the other
  np.testing.assert_allclose(bar.get_ylim(), (0.1, 1.6), rtol=1e-12)


def test_where_the_optimizer_is_searched_it_is_not_the_title():
  space = RATES | {'optimizer': tune.choice('adam', 'lion')}
  rows = [row({'learning_rate': 0.1, 'optimizer': 'lion'}, 0.4)]
  left, _ = lrax.plot.search(searched(rows, space))
  assert left.get_title() == '60 steps, 1 seed'


def overlaps(texts):
  """Which texts cover each other."""
  (figure,) = {text.figure for text in texts}
  figure.canvas.draw()
  boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
  return [
      (a, b) for i, (a, one) in enumerate(boxes) for b, other in boxes[:i]
      if one.overlaps(other)
  ]


@pytest.mark.parametrize('count', [2, 4, 6])
def test_names_and_values_do_not_cover_each_other(count):
  names = ['learning_rate', 'weight_decay', 'warmup_fraction', 'b1', 'b2', 'momentum']
  space = {name: tune.log_uniform(1e-5, 1.0) for name in names[:count]}
  rows = [row({name: 0.01 for name in space}, 0.4)]
  left, _ = lrax.plot.search(searched(rows, space))
  ticks = [text for text in left.texts if text.xy[0] in (0, 1)]
  assert not overlaps(ticks)
  if count == 2:  # more of them are turned, so that only their boxes overlap
    assert not overlaps(left.get_xticklabels())
  # All of the figure is in the figure.
  box, figure = left.get_tightbbox(), left.figure.bbox
  assert figure.x0 <= box.x0 and box.x1 <= figure.x1
  assert figure.y0 <= box.y0 and box.y1 <= figure.y1


# The best so far, and what a population went through.


def test_the_best_so_far_only_falls_and_whole_runs_alone_count():
  _, right = lrax.plot.search(searched(ONE))
  best = line(right, 'best so far')
  assert list(best.get_xdata()) == [1, 2, 3, 4, 5, 6]
  np.testing.assert_allclose(
      best.get_ydata(), [0.45, 0.45, 0.45, 0.25, 0.25, 0.25], rtol=1e-12
  )
  assert best.get_drawstyle() == 'steps-post'
  assert list(line(right, 'a point').get_xdata()) == [1, 2, 4, 6]
  assert list(line(right, 'diverged').get_xdata()) == [3]
  assert list(line(right, 'stopped early').get_xdata()) == [5]
  assert right.get_title() == 'Search of toy (bayesian)'
  assert right.get_xlabel() == 'points tried'
  assert right.get_ylabel() == 'validation loss'


def test_a_first_point_that_diverged_has_no_best():
  _, right = lrax.plot.search(searched([row(1.0, NAN), row(0.1, 0.4)]))
  np.testing.assert_array_equal(line(right, 'best so far').get_ydata(), [NAN, 0.4])


def test_a_population_shows_the_rate_over_the_steps():
  history = ((0, {'learning_rate': 0.01}), (20, {'learning_rate': 0.1}))
  left, right = lrax.plot.search(
      searched([row(0.1, 0.4), row(0.2, 0.5)], history=history, method='population')
  )
  path = right.lines[0]
  assert list(path.get_xdata()) == [0, 20, 60]  # as long as the run
  assert list(path.get_ydata()) == [0.01, 0.1, 0.1]
  assert path.get_drawstyle() == 'steps-post'
  assert right.get_yscale() == 'log'
  assert right.get_xlabel() == 'step'
  assert right.get_ylabel() == 'peak learning rate (cosine schedule)'
  assert left.get_xlabel() == 'peak learning rate (cosine schedule) at the end'


# What is used, and what is left.


@pytest.mark.parametrize(
    'result',
    [
        searched([]),
        searched([], SEVERAL),
        searched([row(0.1, NAN), row(0.2, NAN)]),
        searched([row(point(), NAN), row(point(0.1), NAN)], SEVERAL),
        searched([row(0.1, 0.4)]),
        searched([row(point(), 0.4)], SEVERAL),
        searched([row(point(), 0.4), row(point(0.2), 0.4)], SEVERAL),
        searched([row(0.1, 0.4, status='stopped early')]),
        searched([row(point(), 0.4, status='stopped early')], SEVERAL),
        searched([row(point(), -3.0), row(point(0.2), 1e9)], SEVERAL),
    ],
    ids=[
        'nothing', 'nothing of several', 'all diverged', 'all of several diverged',
        'one', 'one of several', 'equal', 'stopped', 'stopped of several', 'negative',
    ],
)
def test_a_search_that_found_little_draws(result, tmp_path):
  left, _ = lrax.plot.search(result)
  left.figure.savefig(tmp_path / 'search.png')
  assert (tmp_path / 'search.png').read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'


def test_a_study_is_drawn_as_a_search(monkeypatch):

  def train(objective, points, on_trial=None):  # in the place of the training
    found = [list(row(dict(point), 0.4).trials) for point in points]
    for (trial,) in found:
      on_trial(trial)
    return found

  monkeypatch.setattr(tune._objective.Objective, 'run', train)
  study = tune.Study(lrax.tasks.digits(), RATES, steps=10, sampler='random')
  left, _ = lrax.plot.search(study)
  assert left.texts[0].get_text() == 'nothing was tried yet'
  study.run(trials=3)
  plt.close('all')
  left, right = lrax.plot.search(study)
  assert sorted(line(left, 'validation loss').get_xdata()) == sorted(
      one.learning_rate for one in study.rows
  )
  assert list(line(right, 'best so far').get_xdata()) == [1, 2, 3]


def test_given_axes_are_used_and_no_figure_is_made():
  figure, axes = plt.subplots(1, 3)
  left, right = lrax.plot.search(searched(ONE), axes[1:])
  assert (left, right) == (axes[1], axes[2])
  assert plt.get_fignums() == [figure.number]
  assert not axes[0].lines


def test_the_method_of_the_result_draws_the_same():
  _, axes = plt.subplots(1, 2)
  assert tuple(searched(ONE).plot(axes)) == tuple(axes)
  assert labels(axes[0]) == labels(lrax.plot.search(searched(ONE))[0])


def test_nothing_is_left_of_a_figure_but_the_figure():
  settings, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
  lrax.plot.search(searched(MANY, SEVERAL))
  assert len(plt.get_fignums()) == 1
  assert dict(matplotlib.rcParams) == settings
  assert matplotlib.get_backend() == backend
