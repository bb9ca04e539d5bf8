"""Colours that stand for numbers, and the bar that says which."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax.plot import _style

_PALEST = 0.9  # of the colour map: the rest is hard to see on white


def scale(values: Any, log: bool, name: str = 'viridis') -> Any:
  """What gives each of some numbers a colour; the log is of positive ones."""
  _style.pyplot()
  from matplotlib import cm
  from matplotlib import colors

  low, high = np.min(values), np.max(values)
  if low == high:  # a scale needs two ends
    low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
  norm = (colors.LogNorm if log else colors.Normalize)(low, high)
  shades = cm.ScalarMappable(cmap=name).cmap(np.linspace(0, _PALEST, 256))
  return cm.ScalarMappable(norm, colors.ListedColormap(shades))


def bar(mapping: Any, ax: Any, label: str) -> Any:
  """Draws the bar of a scale beside the axes; returns its axes."""
  return ax.figure.colorbar(mapping, ax=ax, label=label, pad=0.02).ax
