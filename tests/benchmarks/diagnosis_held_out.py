"""The problems that `diagnose` is judged on: no rule may be set on their runs.

They share no data, no optimizer and no seed with those that rules may be set on: other
generators of scikit-learn, random teachers and series; optimizers with other arguments;
seeds from 4000 on. Whoever sets a rule by a run of these must make new ones, and move
these to `diagnosis_made`.
"""

from __future__ import annotations

from collections.abc import Callable
import functools

import diagnosis_made as made
import diagnosis_problems as problems
from diagnosis_problems import Problem
import jax
import jax.numpy as jnp
import numpy as np

from lrax import tasks


def _regression(
    name: str, inputs: int, *hidden: int, noisy: float = 0.0, rows: int = 10_000,
    **arguments,
) -> tasks.Task:
  """A number from those that a generator makes, and noise of `noisy` times it."""
  x, y = made.made(name, rows, **arguments)
  y = (y + noisy * np.random.default_rng(8).normal(size=rows)).astype(np.float32)
  y = (y - y.mean()) / y.std()
  return problems.network(
      name, (x, y), (inputs, *hidden, 1), jax.nn.gelu, problems.squares
  )


def _blobs(*hidden: int, rows: int = 10_000, spread: float = 7.0) -> tasks.Task:
  """Which of six clouds, that overlap."""
  blobs = made.made('blobs', rows, centers=6, n_features=8, cluster_std=spread)
  return problems.network(
      'blobs', blobs, (8, *hidden, 6), jax.nn.silu, problems.classes
  )


def _circles() -> tasks.Task:
  """Which of two circles, one in the other."""
  circles = made.made('circles', 4_000, noise=0.25, factor=0.4)
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
    'circles': _circles,
    'friedman2': lambda: _regression('friedman2', 4, 24, noisy=0.6),
    'friedman3': lambda: _regression('friedman3', 4, 24, noisy=0.5),
    'friedman3, few': lambda: _regression('friedman3', 4, 32, noisy=0.5, rows=500),
    'regression': _linear,
    'roll': lambda: _regression('swiss_roll', 3, 24, noisy=0.3, noise=0.5),
    'series': _series,
    'series, layers': lambda: _series(24),
    'teacher': _teacher,
    'teacher, few': lambda: _teacher(32, rows=600, flipped=0.0),
    'teacher, layers': lambda: _teacher(32),
}

_SIX, _THREE = 'sgd(momentum=0.6)', 'sgd(momentum=0.93)'
_AHEAD = 'sgd(momentum=0.85, nesterov=True)'
_STEADY, _MEAN = 'adam(b2=0.98)', 'rmsprop(decay=0.95)'
_FAST = 'adamw(b1=0.8)'
PROBLEMS = (
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
