"""The problems that `diagnose` is judged on: no rule may be set on their runs.

They share no data, no optimizer and no seed with those that rules may be set on: their
data are made here, optimizers have other arguments, and seeds are from 5000 on. Whoever
sets a rule by a run of these must make new ones, and move these to `diagnosis_made`.
"""

from __future__ import annotations

from collections.abc import Callable

import diagnosis_made as made
import diagnosis_problems as problems
from diagnosis_problems import Problem
import jax
import jax.numpy as jnp
import numpy as np

from lrax import tasks


def _draw(rows: int, wide: int):
  draw = np.random.default_rng(20)
  return draw, draw.normal(size=(rows, wide))


def _numbers(name: str, x, y, *hidden: int) -> tasks.Task:
  y = ((y - y.mean()) / y.std()).astype(np.float32)
  widths = (x.shape[1], *hidden, 1)
  return problems.network(name, (x, y), widths, jnp.tanh, problems.squares)


def _labels(name: str, x, y, *hidden: int) -> tasks.Task:
  y = y.astype(np.int32)
  widths = (x.shape[1], *hidden, int(y.max()) + 1)
  return problems.network(name, (x, y), widths, jax.nn.elu, problems.classes)


def _waves(*hidden: int, rows: int = 10_000, noise: float = 0.7) -> tasks.Task:
  """A sum of sines of six numbers and of their neighbours, and noise."""
  draw, x = _draw(rows, 6)
  y = np.sin(2 * x).sum(1) + (x[:, 1:] * x[:, :-1]).sum(1) / 2 + 0.5 * x.sum(1)
  return _numbers('waves', x, y + 2 * noise * draw.normal(size=rows), *hidden)


def _flat() -> tasks.Task:
  """A linear regression on twenty numbers that lie near a space of six."""
  draw, few = _draw(10_000, 6)
  x = few @ draw.normal(size=(6, 20)) + 0.3 * draw.normal(size=(10_000, 20))
  y = x @ draw.normal(size=20)
  return _numbers('flat', x, y + y.std() * draw.normal(size=10_000))


def _signs(rows: int = 10_000, wrong: float = 0.15) -> tasks.Task:
  """Whether the product of two numbers, of four, is positive; some are wrong."""
  draw, x = _draw(rows, 4)
  y = (x[:, 0] * x[:, 1] > 0) ^ (draw.random(rows) < wrong)
  return _labels('signs', x, y, 24)


def _orders(*hidden: int) -> tasks.Task:
  """In which of five steps a noisy sum of fifteen numbers is."""
  draw, x = _draw(10_000, 15)
  score = x @ draw.normal(size=15)
  score = score / score.std() + 0.6 * draw.normal(size=10_000)
  return _labels('orders', x, np.searchsorted([-1, -0.3, 0.3, 1], score), *hidden)


def _cubes(*hidden: int, rows: int = 10_000, flipped: float = 0.2) -> tasks.Task:
  """Which of six classes at the corners of cubes; some labels are drawn anew."""
  x, y = made.generated(
      'classification', rows, n_features=40, n_informative=12, n_redundant=10,
      n_classes=6, flip_y=flipped, class_sep=1.5,
  )
  return _labels('cubes', x, y, *hidden)


def _map() -> tasks.Task:
  """The next of a chaotic map that is seen with noise, from the four before."""
  draw, series = np.random.default_rng(21), [0.3]
  for _ in range(8_000):
    series.append(3.8 * series[-1] * (1 - series[-1]))
  seen = np.asarray(series) + 0.05 * draw.normal(size=len(series))
  windows = np.lib.stride_tricks.sliding_window_view(seen, 5)
  return _numbers('map', windows[:, :4], windows[:, 4], 24)


def _deep(rows: int = 10_000, wrong: float = 0.2) -> tasks.Task:
  """What a random network of two hidden layers says of 24 numbers, of ten classes."""
  draw, x = _draw(rows, 24)
  hidden = np.maximum(x @ draw.normal(size=(24, 32)), 0) / 4
  hidden = np.maximum(hidden @ draw.normal(size=(32, 32)), 0) / 4
  y = (hidden @ draw.normal(size=(32, 10))).argmax(1)
  anew = draw.integers(0, 10, rows)
  return _labels('deep', x, np.where(draw.random(rows) < wrong, anew, y), 32)


TASKS: dict[str, Callable[[], tasks.Task]] = {
    'cubes': _cubes,
    'cubes, few': lambda: _cubes(24, rows=600, flipped=0.02),
    'cubes, layers': lambda: _cubes(32),
    'deep': _deep,
    'deep, few': lambda: _deep(rows=600, wrong=0.0),
    'flat': _flat,
    'map': _map,
    'orders': _orders,
    'orders, layers': lambda: _orders(24),
    'signs': _signs,
    'signs, few': lambda: _signs(rows=500, wrong=0.05),
    'waves': _waves,
    'waves, few': lambda: _waves(32, rows=500, noise=0.3),
    'waves, layers': lambda: _waves(32),
}

_THREE_QUARTERS, _MOST = 'sgd(momentum=0.75)', 'sgd(momentum=0.92)'
_AHEAD = 'sgd(momentum=0.6, nesterov=True)'
_ADAM, _ADAMW = 'adam(b1=0.85)', 'adamw(b1=0.7)'
_NADAM, _MEAN = 'nadam(b1=0.8)', 'rmsprop(decay=0.98)'
PROBLEMS = (
    Problem('cubes', _THREE_QUARTERS, 4, 900, 0, (-2.75, 0.25), (5000, 5001), 0.125),
    Problem('cubes', _NADAM, 8, 900, 0, (-3.0, -0.25), (5002, 5003), 0.125),
    Problem('cubes, layers', _AHEAD, 4, 900, 0, (-2.75, 0.0), (5004, 5005), 0.125),
    Problem('cubes, layers', _MEAN, 8, 900, 0, (-4.0, -1.0), (5006,), 0.125),
    Problem('cubes, few', _ADAMW, 16, 400, 100, (-3.5, 0.0), (5007, 5008)),
    Problem('cubes, few', _MOST, 16, 300, 100, (-3.75, 0.0), (5009, 5010)),
    Problem('deep', _ADAM, 8, 900, 0, (-3.25, -0.75), (5011, 5012), 0.125),
    Problem('deep', _THREE_QUARTERS, 4, 900, 0, (-2.5, 0.0), (5013, 5014), 0.125),
    Problem('deep, few', _MEAN, 16, 400, 100, (-4.0, -0.75), (5015, 5016)),
    Problem('flat', _MOST, 4, 700, 0, (-4.5, -1.5), (5017, 5018), 0.125),
    Problem('flat', _ADAM, 4, 700, 0, (-3.25, -0.25), (5019, 5020), 0.125),
    Problem('flat', _NADAM, 8, 600, 0, (-3.5, -0.25), (5021, 5022)),
    Problem('map', _AHEAD, 4, 800, 0, (-3.0, 0.0), (5023, 5024)),
    Problem('map', _ADAMW, 8, 800, 0, (-3.75, -0.25), (5025, 5026)),
    Problem('orders', _MEAN, 4, 800, 0, (-3.75, -0.75), (5027, 5028), 0.125),
    Problem('orders', _AHEAD, 4, 800, 0, (-2.5, 0.25), (5029, 5030, 5031), 0.125),
    Problem('orders, layers', _MOST, 8, 900, 0, (-3.75, -0.5), (5032, 5033), 0.125),
    Problem('orders, layers', _NADAM, 4, 800, 0, (-3.5, -0.75), (5034, 5035), 0.125),
    Problem('signs', _ADAM, 4, 900, 0, (-3.0, 0.0), (5036, 5037)),
    Problem('signs', _THREE_QUARTERS, 4, 900, 0, (-2.25, 0.75), (5038, 5039)),
    Problem('signs, few', _NADAM, 16, 500, 60, (-3.25, 0.0), (5040, 5041)),
    Problem('waves', _AHEAD, 4, 700, 0, (-3.5, -0.5), (5042, 5043), 0.125),
    Problem('waves', _ADAMW, 4, 700, 0, (-3.25, -0.25), (5044, 5045), 0.125),
    Problem('waves, layers', _ADAM, 4, 900, 0, (-3.25, -0.5), (5046, 5047), 0.125),
    Problem('waves, layers', _MOST, 4, 900, 0, (-4.0, -0.75), (5048, 5049), 0.125),
    Problem('waves, few', _THREE_QUARTERS, 8, 400, 50, (-3.0, 0.0), (5050, 5051)),
    Problem('waves, few', _MEAN, 16, 400, 50, (-4.0, -0.75), (5052, 5053)),
)
