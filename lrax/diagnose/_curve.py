"""A noisy curve in a few numbers that a handful of strange points cannot move."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_LARGEST = 1e100  # squares and differences of it are still finite
_WINDOWS = 401  # points at which a long curve is smoothed


class Curve(NamedTuple):
  """A curve of finite numbers, smoothed, with its levels and its noise."""

  step: np.ndarray  # (points,)
  value: np.ndarray  # (points,), clipped to +-1e100
  at: np.ndarray  # int, (smoothed,): the points at which it is smoothed
  smooth: np.ndarray  # (smoothed,): medians of windows around them
  first: float  # the level at the start
  low: float  # the lowest smoothed level
  low_at: int  # the point where it is
  end: float  # the level at the end
  noise: float  # standard deviation of a point about the level, in the second half

  @property
  def fall(self) -> float:
    """How far it has fallen, from the start to the lowest; >= 0."""
    return max(self.first - self.low, 0.0)


def curve(step: np.ndarray, value: np.ndarray, share: int = 20) -> Curve:
  """The curve of finite numbers, smoothed over a part of 1 / `share` of it."""
  value = np.clip(value, -_LARGEST, _LARGEST)
  count = len(value)
  width = min(max(3, count // share) | 1, max(count, 1))
  at = np.unique(np.linspace(0, count - 1, min(count, _WINDOWS)).astype(int))
  smooth = medians(value, at, width)
  noise = deviation(value[count // 2 :])
  few, more = max(1, count // 100), max(3, count // 10)
  first, level = np.median(value[:few]), np.median(value[:more])
  # One noisy point is no level; a curve that falls at once begins at its first.
  if abs(first - level) <= 3 * deviation(value[: max(more, 8)]) / np.sqrt(few):
    first = level
  low = int(smooth.argmin())
  end = np.median(value[-max(3, width) :])
  return Curve(
      step, value, at, smooth, float(first), float(min(smooth[low], first)),
      int(at[low]), float(end), float(noise),
  )


def deviation(value: np.ndarray) -> float:
  """The standard deviation of a point about a level that moves slowly."""
  if len(value) < 3:
    return 0.0
  # Of second differences, which a slope does not enter: a - 2b + c has variance 6.
  return float(np.median(np.abs(np.diff(value, 2))) / 0.6745 / np.sqrt(6))


def medians(value: np.ndarray, at: np.ndarray, width: int) -> np.ndarray:
  """The medians of windows of `width` points around the points `at`."""
  # At the ends a window stands still: the last points are the level of all of them.
  windows = np.lib.stride_tricks.sliding_window_view(value, min(width, len(value)))
  place = np.clip(at - width // 2, 0, len(windows) - 1)
  if windows.shape[1] > 200:  # the median of some of them is as good
    windows = windows[:, :: windows.shape[1] // 100]
  return np.median(windows[place], axis=1)


def about_line(value: np.ndarray) -> np.ndarray:
  """What is left of points about the line that fits them best."""
  at = np.arange(len(value))
  return value - np.polyval(np.polyfit(at, value, 1), at)
