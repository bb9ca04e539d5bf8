"""Colours and axes that the figures share; matplotlib comes in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BLUE, GREEN, RED, FAINT = '#2c6fbb', '#2e8b57', '#c0392b', '#b8c4d0'
# Lines that stand for nothing but themselves, in the order of their use.
LINES = (BLUE, '#d9822b', GREEN, '#8e5bb5', RED, '#159a9c', '#7a5c3e', '#d65a9a')


def pyplot() -> Any:
  """matplotlib.pyplot, or an error that says how to get it."""
  try:
    from matplotlib import pyplot as plt
  except ImportError as error:
    raise ImportError(
        "plot: matplotlib draws the figures; pip install 'lrax[cli]'."
    ) from error
  return plt


def axes(ax: Any) -> Any:
  """The axes given, or those of a new figure."""
  if ax is not None:
    return ax
  return pyplot().subplots(figsize=(6.4, 4.2), layout='constrained')[1]


def legend_above(ax: Any, columns: int = 8) -> None:
  """A legend over the axes, under the title, where it hides nothing."""
  count = len(ax.get_legend_handles_labels()[1])
  if count:
    ax.legend(
        loc='lower center', bbox_to_anchor=(0.5, 1.0), ncols=min(count, columns),
        frameon=False, fontsize='small', borderaxespad=0.2, columnspacing=1.2,
        handletextpad=0.5,
    )
  ax.set_title(ax.get_title(), pad=8 + 14 * -(-count // columns))


def seeds(values: Sequence[int]) -> str:
  """'1 seed' or '3 seeds'."""
  return f'{len(values)} seed{"s" * (len(values) > 1)}'
