"""The figure of schedules: what is drawn, how far, and what is refused."""

import warnings

import matplotlib

matplotlib.use('Agg')

import jax.numpy as jnp
from matplotlib import pyplot as plt
import numpy as np
import optax
import pytest

import lrax
from lrax.plot import _length
from lrax.schedules import minimum
from lrax.schedules import parse

WARM = lrax.warm_restarts(0.1, cycle_steps=100).with_warmup(10)
LINE = lrax.linear(1.0, 0.0, steps=50)
LONG = (
    'exponential_decay(0.0003, decay_rate=0.5, decay_steps=30000)'
    ".with_warmup(2000, shape='cosine').cooldown(80000, steps=20000,"
    " shape='exponential', end_value=1e-05, shape_parameter=0.1)"
    '.clip(1e-06, max_value=0.00025).with_noise(3, limit=0.1)'
)


@pytest.fixture(autouse=True)
def closed():
  """Every figure closed before and after; warnings are errors."""
  plt.close('all')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    yield
  plt.close('all')


@lrax.control.closed_loop(lambda init_value: (init_value, ()))
def held(memory, step, signals, init_value):
  return init_value, memory


# What is drawn.


def test_every_step_of_each_schedule_is_drawn():
  axes = lrax.plot.schedule(WARM, LINE)
  assert len(axes.lines) == 2
  for artist, policy in zip(axes.lines, (WARM, LINE)):
    steps = artist.get_xdata()
    np.testing.assert_array_equal(steps, np.arange(steps[-1] + 1))
    np.testing.assert_array_equal(artist.get_ydata(), policy(steps))
  # Four restarts of 100 steps after the warmup of 10, and a twentieth more.
  assert axes.lines[0].get_xdata()[-1] == int(1.05 * 410) + 1


def test_steps_says_how_far():
  axes = lrax.plot.schedule(LINE, steps=7)
  np.testing.assert_array_equal(axes.lines[0].get_xdata(), np.arange(8))
  low, high = axes.get_xlim()
  assert -1 < low < 0 and 7 < high < 8


def test_of_many_steps_the_ends_and_the_changes_are_among_those_drawn():
  policy = lrax.constant(1.0).with_warmup(33).then(LINE, at=123_457).shift(2)
  axes = lrax.plot.schedule(policy, steps=10_000_000)
  steps = axes.lines[0].get_xdata()
  assert len(steps) < 4_100
  assert {0, 10_000_000, 34, 35, 123_458, 123_459, 123_509} <= set(steps)
  assert (np.diff(steps) > 0).all()
  assert np.diff(steps).max() <= 10_000_000 / 3_999 + 1  # evenly spaced otherwise
  np.testing.assert_array_equal(axes.lines[0].get_ydata(), policy(steps))


def test_a_function_of_the_step_is_drawn_too():
  axes = lrax.plot.schedule(optax.linear_schedule(1.0, 0.0, 50), LINE, steps=60)
  theirs, ours = (artist.get_ydata() for artist in axes.lines)
  np.testing.assert_allclose(theirs, ours, atol=1e-7)  # optax rounds in float32


def test_hyperparameters_may_be_arrays():
  policy = lrax.linear(jnp.float32(0.5), 0.0, jnp.int32(40)).every(jnp.int32(2))
  assert _length.changes(policy) == [0, 80]
  (line,) = lrax.plot.schedule(policy).lines
  np.testing.assert_array_equal(line.get_ydata()[[0, 40, 80]], [0.5, 0.25, 0])


@pytest.mark.parametrize(
    'text, changes',
    [
        ('constant(1)', [0]),
        ('linear(1, 0, 50)', [0, 50]),
        ('linear(1, 0, 0)', [0]),
        ('linear(1, 0, 50).with_warmup(10)', [0, 10, 60]),
        ('linear(1, 0, 50).shift(-20)', [0, 30]),
        ('linear(1, 0, 50).stretch(0.5)', [0, 25]),
        ('linear(1, 0, 50).every(4)', [0, 200]),
        ('linear(1, 0, 50).clip(0.5)', [0, 50]),
        ('2 * linear(1, 0, 50) + linear(1, 0, 70)', [0, 50, 70]),
        ('minimum(linear(1, 0, 50), 3.0)', [0, 50]),
        ('linear(1, 0, 50).cooldown(30, 40)', [0, 30, 70]),
        ('linear(1, 0, 50).then(linear(1, 0, 9), at=60)', [0, 50, 60, 69]),
        ('join([linear(1, 0, 50), linear(1, 0, 9)], [30])', [0, 30, 39]),
        ('linear(1, 0, 30).repeat(50, times=2)', [0, 30, 50, 80, 100]),
        ('linear(1, 0, 50).repeat(50)', [0, 50, 100, 150, 200]),
        ('warm_restarts(1, 100)', [0, 100, 200, 300, 400]),
        ('warm_restarts(1, 100, cycles=2)', [0, 100, 200]),
        ('cyclical(0, 1, 10, 30)', [0, 10, 40, 80, 120, 160]),
        ('piecewise_constant([0.1, 0.05, 0.01], [40, 80])', [0, 40, 80]),
        ('flat_cosine(0.1, 100, 70)', [0, 70, 100]),
        ('warmup_stable_decay(0.1, 100, 10, 20)', [0, 10, 80, 100]),
        ('repeated_decay(0.1, [40, 80], 10, 5)', [0, 5, 30, 40, 70, 80]),
        ('infinite(1.0, 0.4, 20, 40, 30, 0.1)', [0, 20, 60, 120]),
        ('infinite(1.0, 0.4, 20, 40, 30, 0.1, 150)', [0, 20, 60, 150, 180]),
        ('inverse_sqrt(0.1, 100)', [0, 100, 400]),
        ('step_decay(1.0, .1, 10)', [0, 10, 20, 30, 40]),
        ('step_decay(1.0, .6, 10)', [0, 10, 20, 30, 40, 50, 60, 70, 80]),
        ('exponential_decay(1.0, .6, 10)', [0, 80]),
        ('exponential_decay(1.0, .6, 10).with_warmup(5)', [0, 5, 85]),
        ('exponential_decay(1.0, .1, 10, staircase=True)', [0, 10, 20, 30, 40]),
        ('exponential_decay(1.0, 1.0, 10)', [0, 10_240]),
    ],
)
def test_the_changes_of_an_expression_are_known(text, changes):
  policy = parse(text)
  assert _length.changes(policy) == changes
  assert _length.length([policy]) == (changes[-1] or 100)


def test_of_very_many_changes_the_last_one_is_kept():
  changes = _length.changes(LINE.repeat(60, times=2_000))
  assert changes[:4] == [0, 50, 60, 110]
  assert len(changes) == 1_000 and changes[-1] == 120_000


def test_what_would_be_longer_than_any_clock_still_has_a_length():
  policy = LINE.repeat(2**31 - 1, times=2**31 - 1).stretch(1e30).every(2**31 - 1)
  assert _length.length([policy]) == 2**31 - 2
  axes = lrax.plot.schedule(policy)
  assert axes.lines[0].get_xdata()[-1] == 2**31 - 1
  for _ in range(5):  # its last change comes 1e190 times as late
    policy = policy.stretch(1e38)
  assert _length.length([policy]) == 2**31 - 2


# What it says.


def test_one_schedule_is_named_by_the_title():
  axes = lrax.plot.schedule(WARM)
  assert axes.get_title() == 'warm_restarts(0.1, cycle_steps=100).with_warmup(10)'
  assert axes.get_legend() is None
  assert (axes.get_xlabel(), axes.get_ylabel()) == ('step', 'learning rate')
  assert lrax.plot.schedule(WARM, labels=['mine']).get_title() == 'mine'


def test_several_are_named_by_a_legend_below_in_the_order_given():
  axes = lrax.plot.schedule(WARM, LINE, parse(LONG), steps=400)
  said = [text.get_text() for text in axes.get_legend().get_texts()]
  assert said[:2] == [repr(WARM), repr(LINE)]
  assert max(map(len, said[2].splitlines())) <= 76
  assert ''.join(said[2].split()) == ''.join(LONG.split())
  figure = axes.figure
  figure.canvas.draw()
  legend = axes.get_legend().get_window_extent()
  label = axes.xaxis.get_label().get_window_extent()
  assert legend.y1 <= label.y0  # on none of the lines, and not on the axis
  assert legend.y0 >= 0 and legend.x1 <= figure.bbox.x1  # and not cut off
  # What the legend takes, the figure has more than that of one schedule.
  height = axes.get_window_extent().height
  one = lrax.plot.schedule(WARM)
  one.figure.canvas.draw()
  assert height > 0.9 * one.get_window_extent().height


def test_short_labels_share_a_row():
  axes = lrax.plot.schedule(WARM, LINE, labels=['a', 'b'])
  axes.figure.canvas.draw()
  first, second = axes.get_legend().get_texts()
  assert (first.get_text(), second.get_text()) == ('a', 'b')
  first, second = first.get_window_extent(), second.get_window_extent()
  assert first.y0 == second.y0 and first.x1 < second.x0


def test_schedules_that_are_the_same_are_both_seen():
  first, second = lrax.plot.schedule(LINE, LINE).lines
  assert first.get_color() != second.get_color()
  assert first.get_linewidth() > second.get_linewidth()


def test_steps_are_written_out_and_whole():
  axes = lrax.plot.schedule(lrax.linear(1.0, 0.0, steps=200_000))
  axes.figure.canvas.draw()
  ticks = [text.get_text() for text in axes.get_xticklabels()]
  assert {'0', '50,000', '200,000'} <= set(ticks)
  axes = lrax.plot.schedule(LINE, steps=1)
  axes.figure.canvas.draw()
  at = {t.get_text(): t.get_position()[0] for t in axes.get_xticklabels()}
  inside = [text for text, x in at.items() if 0 <= x <= 1]
  assert inside == ['0', '1']


def test_rates_are_seen_from_zero_or_on_a_log_axis():
  low, high = lrax.plot.schedule(lrax.constant(0.1)).get_ylim()
  assert low < 0 and 0.1 < high < 0.11
  axes = lrax.plot.schedule(WARM, log=True)
  assert axes.get_yscale() == 'log'
  axes.figure.canvas.draw()
  low, high = axes.get_ylim()
  assert 0 < low < 1e-4 and high > 0.1


def test_a_small_figure_folds_its_title():
  _, grid = plt.subplots(2, 3, figsize=(11, 6), layout='constrained')
  axes = lrax.plot.schedule(parse(LONG), axes=grid[0, 1])
  lines = axes.get_title().splitlines()
  assert ''.join(axes.get_title().split()) == ''.join(LONG.split())
  assert 6 <= len(lines) <= 14
  axes.figure.canvas.draw()
  # The title of one is not over its neighbours.
  assert axes.title.get_window_extent().width < axes.get_tightbbox().width * 1.01
  assert axes.title.get_window_extent().width < 11 / 3 * axes.figure.dpi
  named = lrax.plot.schedule(WARM, labels=['mine\nand yours'], axes=grid[0, 0])
  assert named.get_title() == 'mine\nand yours'


@pytest.mark.parametrize('log', [False, True])
def test_a_rate_that_is_zero_throughout_draws(log):
  axes = lrax.plot.schedule(lrax.constant(0.0), log=log)
  axes.figure.canvas.draw()
  assert np.isfinite(axes.get_ylim()).all()


# What is used, and what is left.


def test_given_axes_are_used_and_no_figure_is_made():
  figure, (left, right) = plt.subplots(1, 2)
  assert lrax.plot.schedule(LINE, axes=left) is left
  assert lrax.plot.schedule(LINE, WARM, axes=right) is right
  assert plt.get_fignums() == [figure.number]
  assert (len(left.lines), len(right.lines)) == (1, 2)


def test_nothing_is_left_of_a_figure_but_the_figure():
  settings = dict(matplotlib.rcParams)
  lrax.plot.schedule(LINE, WARM)
  assert len(plt.get_fignums()) == 1
  assert dict(matplotlib.rcParams) == settings


# What is refused.


@pytest.mark.parametrize(
    'policies, options, error, says',
    [
        ([], {}, ValueError, '`schedules` must be at least one schedule'),
        ([0.1], {}, TypeError, '`schedules` must be schedules, got 0.1; write a n'),
        (['constant(1)'], {}, TypeError, '`schedules` must be schedules'),
        ([LINE, None], {}, TypeError, '`schedules` must be schedules'),
        ([held(0.1)], {}, TypeError, 'must be open loop, got held(0.1)'),
        ([LINE, 2 * held(0.1)], {}, TypeError, 'must be open loop'),
        ([minimum(LINE, held(0.1))], {}, TypeError, 'must be open loop'),
        ([LINE], {'steps': 0}, ValueError, '`steps` must be a whole number >= 1'),
        ([LINE], {'steps': 2**31}, ValueError, '`steps` must be a whole number'),
        ([LINE], {'steps': 1.5}, ValueError, '`steps` must be a whole number'),
        ([LINE], {'labels': []}, ValueError, '`labels` must be 1, one for each'),
        ([LINE], {'labels': ['a', 'b']}, ValueError, "got ['a', 'b']"),
    ],
)
def test_a_bad_call_is_refused_and_leaves_no_figure(policies, options, error, says):
  with pytest.raises(error) as caught:
    lrax.plot.schedule(*policies, **options)
  assert str(caught.value).startswith('plot.schedule: ')
  assert says in str(caught.value)
  assert plt.get_fignums() == []
