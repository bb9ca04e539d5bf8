"""More problems that rules of the diagnosis may be set on.

Data that scikit-learn generates, random teachers and series, with more noise in the
labels than a model can learn, and scikit-learn's second photograph.
"""

from __future__ import annotations

from collections.abc import Callable
import functools

import diagnosis_problems as problems
from diagnosis_problems import Problem
import jax
import jax.numpy as jnp
import numpy as np

from lrax import tasks


def generated(name: str, rows: int, **arguments):
  """(inputs, targets) that scikit-learn makes; numbers are standardised."""
  from sklearn import datasets

  make = getattr(datasets, f'make_{name}')
  inputs, targets = make(n_samples=rows, random_state=7, **arguments)
  if targets.dtype.kind == 'f' and len(np.unique(targets)) > 2:
    return inputs, ((targets - targets.mean()) / targets.std()).astype(np.float32)
  return inputs, (targets > 0 if targets.min() < 0 else targets).astype(np.int32)


def _friedman(*hidden: int, rows: int = 12_000) -> tasks.Task:
  """Friedman's first function of five of ten numbers, and noise: a regression."""
  drawn = generated('friedman1', rows, noise=2.0)
  return problems.network(
      'friedman', drawn, (10, *hidden, 1), jnp.tanh, problems.squares
  )


def _sums() -> tasks.Task:
  """A sum of four of twelve numbers, and as much noise: a linear regression."""
  drawn = generated('sparse_uncorrelated', 12_000, n_features=12)
  return problems.network('sums', drawn, (12, 1), jnp.tanh, problems.squares)


def _clusters(*hidden: int, rows: int = 12_000, flipped: float = 0.2) -> tasks.Task:
  """Which of four classes of clusters; some labels are drawn anew."""
  drawn = generated(
      'classification', rows, n_features=20, n_informative=8, n_classes=4,
      flip_y=flipped,
  )
  return problems.network(
      'clusters', drawn, (20, *hidden, 4), jax.nn.relu, problems.classes
  )


def _moons() -> tasks.Task:
  """Which of two half circles that overlap."""
  drawn = generated('moons', 4_000, noise=0.35)
  return problems.network('moons', drawn, (2, 16, 2), jnp.tanh, problems.classes)


def _chi_square(rows: int = 6_000) -> tasks.Task:
  """Whether a sum of ten squares is above its median."""
  drawn = generated('hastie_10_2', rows)
  return problems.network(
      'chi square', drawn, (10, 24, 2), jax.nn.relu, problems.classes
  )


def _shells() -> tasks.Task:
  """In which third by its distance a point of six numbers is; few rows."""
  drawn = generated('gaussian_quantiles', 600, n_features=6, n_classes=3)
  return problems.network('shells', drawn, (6, 32, 3), jax.nn.relu, problems.classes)


def _regression(
    name: str, inputs: int, *hidden: int, noisy: float = 0.0, rows: int = 10_000,
    **arguments,
) -> tasks.Task:
  """A number from those that a generator makes, and noise of `noisy` times it."""
  x, y = generated(name, rows, **arguments)
  y = (y + noisy * np.random.default_rng(8).normal(size=rows)).astype(np.float32)
  y = (y - y.mean()) / y.std()
  return problems.network(
      name, (x, y), (inputs, *hidden, 1), jax.nn.gelu, problems.squares
  )


def _blobs(*hidden: int, rows: int = 10_000, spread: float = 7.0) -> tasks.Task:
  """Which of six clouds, that overlap."""
  blobs = generated('blobs', rows, centers=6, n_features=8, cluster_std=spread)
  return problems.network(
      'blobs', blobs, (8, *hidden, 6), jax.nn.silu, problems.classes
  )


def _circles() -> tasks.Task:
  """Which of two circles, one in the other."""
  circles = generated('circles', 4_000, noise=0.25, factor=0.4)
  return problems.network(
      'circles', circles, (2, 24, 2), jax.nn.silu, problems.classes
  )


def _taught(rows: int, flipped: float, wide: int = 16, labels: int = 8):
  """Inputs, and the labels that a random network gives them; some drawn anew."""
  draw = np.random.default_rng(9)
  x = draw.normal(size=(rows, wide))
  hidden = np.tanh(x @ draw.normal(size=(wide, 24)) / np.sqrt(wide))
  y = (hidden @ draw.normal(size=(24, labels))).argmax(1)
  anew = draw.integers(0, labels, rows)
  return x, np.where(draw.random(rows) < flipped, anew, y).astype(np.int32)


def _teacher(*hidden: int, rows: int = 10_000, flipped: float = 0.25) -> tasks.Task:
  return problems.network(
      'teacher', _taught(rows, flipped), (16, *hidden, 8), jnp.tanh, problems.classes
  )


def _series(*hidden: int) -> tasks.Task:
  """The next of a noisy series, of two lags and a threshold, from the eight before."""
  draw, series = np.random.default_rng(10), [0.0, 0.0]
  for _ in range(10_000):
    turn = 0.9 if series[-1] < 0.5 else -0.6
    series.append(turn * series[-1] - 0.3 * series[-2] + draw.normal())
  windows = np.lib.stride_tricks.sliding_window_view(np.asarray(series), 9)
  targets = (windows[:, 8] / windows[:, 8].std()).astype(np.float32)
  return problems.network(
      'series', (windows[:, :8], targets), (8, *hidden, 1), jnp.tanh, problems.squares
  )


_linear = functools.partial(
    _regression, 'regression', 24, n_features=24, n_informative=16, noise=150.0
)
TASKS: dict[str, Callable[[], tasks.Task]] = {
    'blobs': _blobs,
    'blobs, few': lambda: _blobs(32, rows=500, spread=4.0),
    'blobs, layers': lambda: _blobs(24),
    'chi square': _chi_square,
    'chi square, few': lambda: _chi_square(rows=500),
    'circles': _circles,
    'clusters': _clusters,
    'clusters, few': lambda: _clusters(24, rows=500, flipped=0.05),
    'clusters, layers': lambda: _clusters(24),
    'flower columns': lambda: problems.photograph_columns(1),
    'flower edges': lambda: problems.photograph_edges(1),
    'flower greys': lambda: problems.photograph_greys(1),
    'flower': lambda: problems.photograph(1),
    'friedman': _friedman,
    'friedman, few': lambda: _friedman(24, rows=500),
    'friedman, layers': lambda: _friedman(32),
    'friedman2': lambda: _regression('friedman2', 4, 24, noisy=0.6),
    'friedman3': lambda: _regression('friedman3', 4, 24, noisy=0.5),
    'friedman3, few': lambda: _regression('friedman3', 4, 32, noisy=0.5, rows=500),
    'moons': _moons,
    'regression': _linear,
    'roll': lambda: _regression('swiss_roll', 3, 24, noisy=0.3, noise=0.5),
    'series': _series,
    'series, layers': lambda: _series(24),
    'shells': _shells,
    'sums': _sums,
    'teacher': _teacher,
    'teacher, few': lambda: _teacher(32, rows=600, flipped=0.0),
    'teacher, layers': lambda: _teacher(32),
}

_SEVEN, _MOST = 'sgd(momentum=0.7)', 'sgd(momentum=0.96)'
_QUICK, _SHORT = 'adam(b1=0.5)', 'adamw(b2=0.95)'
_BOTH = 'rmsprop(momentum=0.9)'
_SIX, _THREE = 'sgd(momentum=0.6)', 'sgd(momentum=0.93)'
_AHEAD = 'sgd(momentum=0.85, nesterov=True)'
_STEADY, _MEAN = 'adam(b2=0.98)', 'rmsprop(decay=0.95)'
_FAST = 'adamw(b1=0.8)'
PROBLEMS = (
    Problem('friedman', _SEVEN, 4, 700, 0, (-3.5, -0.5), (3000, 3001, 3002), 0.125),
    Problem('friedman', 'nadam', 4, 700, 0, (-3.25, -0.25), (3003, 3004, 3005)),
    Problem('friedman', _BOTH, 8, 700, 0, (-4.5, -1.25), (3006, 3007)),
    Problem('friedman, layers', _QUICK, 4, 900, 0, (-3.0, -0.5), (3008, 3009), 0.125),
    Problem(
        'friedman, layers', _MOST, 8, 900, 0, (-4.0, -1.0), (3010, 3060, 3061), 0.125
    ),
    Problem('friedman, few', _SHORT, 16, 500, 60, (-4.0, -0.25), (3011, 3012)),
    Problem('friedman, few', _SEVEN, 8, 300, 60, (-3.5, 0.0), (3013, 3014)),
    Problem('sums', _QUICK, 4, 600, 0, (-3.5, -0.25), (3015, 3016, 3017)),
    Problem('sums', _MOST, 8, 600, 0, (-4.5, -1.0), (3018, 3019, 3020)),
    Problem('sums', 'novograd', 4, 600, 0, (-3.5, 0.0), (3021, 3022)),
    Problem(
        'clusters', _SEVEN, 4, 900, 0, (-2.5, 0.5), (3023, 3024, 3062, 3063), 0.125
    ),
    Problem(
        'clusters', 'nadam', 8, 800, 0, (-2.75, 0.0), (3025, 3026, 3064, 3065), 0.125
    ),
    Problem('clusters', _BOTH, 4, 700, 0, (-4.0, -0.75), (3027, 3028)),
    Problem('clusters, layers', _QUICK, 4, 900, 0, (-3.0, -0.5), (3029,), 0.125),
    Problem('clusters, layers', _SEVEN, 4, 900, 0, (-2.5, 0.25), (3030,), 0.125),
    Problem('clusters, few', _SHORT, 32, 400, 80, (-3.5, 0.25), (3031, 3032)),
    Problem('clusters, few', _MOST, 16, 300, 80, (-4.0, 0.0), (3033, 3034)),
    Problem('moons', _SHORT, 4, 700, 0, (-3.0, 0.25), (3035, 3036)),
    Problem('moons', _SEVEN, 2, 700, 0, (-2.5, 0.75), (3037, 3038)),
    Problem('chi square', 'nadam', 8, 800, 0, (-3.5, 0.0), (3039, 3040, 3066), 0.125),
    Problem('chi square', _MOST, 4, 900, 0, (-4.0, -0.5), (3041, 3067), 0.125),
    Problem('chi square, few', _QUICK, 16, 400, 60, (-3.5, 0.0), (3042, 3043)),
    Problem('shells', _BOTH, 16, 400, 60, (-4.5, -0.5), (3044, 3045)),
    Problem('shells', _SEVEN, 8, 500, 60, (-3.0, 0.5), (3046, 3047)),
    Problem('flower', 'nadam', None, 250, 60, (-4.0, 0.0), (3048, 3049)),
    Problem('flower columns', _SEVEN, 2, 900, 0, (-2.5, 0.5), (3050, 3051), 0.125),
    Problem('flower columns', _QUICK, 2, 900, 0, (-3.0, -0.25), (3052,), 0.125),
    Problem('flower edges', _SHORT, 4, 800, 0, (-3.25, -0.25), (3053, 3054)),
    Problem('flower greys', _SEVEN, 4, 900, 0, (-1.25, 0.75), (3055, 3056), 0.125),
    Problem('flower greys', 'nadam', 8, 900, 0, (-2.5, -0.5), (3057, 3058), 0.125),
    Problem('flower greys', _MOST, 16, 900, 0, (-2.75, -0.25), (3059,), 0.125),
    Problem('blobs', _SIX, 4, 800, 0, (-2.5, 0.25), (4000, 4001, 4002), 0.125),
    Problem('blobs', 'radam', 8, 800, 0, (-3.0, -0.25), (4003, 4004, 4005), 0.125),
    Problem('blobs, layers', _AHEAD, 4, 900, 0, (-3.25, -0.25), (4006, 4007), 0.125),
    Problem('blobs, layers', _MEAN, 8, 800, 0, (-3.75, -1.0), (4008, 4009), 0.125),
    Problem('blobs, few', _STEADY, 32, 400, 80, (-3.75, 0.0), (4010, 4011)),
    Problem('blobs, few', _THREE, 16, 300, 80, (-4.0, 0.0), (4012, 4013)),
    Problem('circles', _FAST, 4, 700, 0, (-3.0, 0.0), (4014, 4015)),
    Problem('circles', _SIX, 2, 800, 0, (-2.5, 0.5), (4016, 4017)),
    Problem('friedman2', 'radam', 4, 800, 0, (-3.5, -0.5), (4018, 4019), 0.125),
    Problem('friedman2', _AHEAD, 8, 700, 0, (-4.0, -0.75), (4020, 4021), 0.125),
    Problem('friedman3', _THREE, 4, 900, 0, (-4.5, -1.0), (4022, 4023), 0.125),
    Problem('friedman3', _MEAN, 4, 800, 0, (-4.0, -1.0), (4024, 4025), 0.125),
    Problem('friedman3, few', _FAST, 16, 500, 50, (-4.0, -0.25), (4026, 4027)),
    Problem('regression', _SIX, 4, 700, 0, (-4.0, -1.25), (4028, 4029), 0.125),
    Problem('regression', _STEADY, 8, 700, 0, (-3.5, -0.5), (4030, 4031), 0.125),
    Problem('regression', 'adopt', 4, 700, 0, (-3.5, -0.5), (4032, 4033)),
    Problem('roll', _THREE, 8, 800, 0, (-4.5, -0.75), (4034, 4035)),
    Problem('roll', 'nadamw', 4, 800, 0, (-3.5, -0.5), (4036, 4037)),
    Problem('series', _FAST, 4, 600, 0, (-3.5, -0.25), (4038, 4039, 4040)),
    Problem('series', _AHEAD, 4, 600, 0, (-4.0, -0.75), (4041, 4042), 0.125),
    Problem('series, layers', _SIX, 4, 900, 0, (-3.0, 0.25), (4043, 4044), 0.125),
    Problem('series, layers', _MEAN, 8, 700, 0, (-4.0, -0.75), (4045, 4046)),
    Problem('teacher', _SIX, 4, 900, 0, (-2.0, 0.5), (4047, 4048, 4049), 0.125),
    Problem('teacher', _STEADY, 8, 800, 0, (-2.75, -0.25), (4050, 4051), 0.125),
    Problem('teacher, layers', _THREE, 8, 900, 0, (-3.0, -0.5), (4052, 4053), 0.125),
    Problem('teacher, layers', 'nadamw', 8, 900, 0, (-3.0, -0.75), (4054,), 0.125),
    Problem('teacher, few', _FAST, 16, 500, 100, (-3.5, 0.0), (4055, 4056)),
    Problem('teacher, few', _AHEAD, 16, 400, 100, (-3.0, 0.25), (4057, 4058)),
)
