"""Steps for the rows that have none."""

from __future__ import annotations

import numpy as np


def counts(step: np.ndarray, notes: list[str]) -> bool:
  """Whether the steps say something; if not, the rows must be counted."""
  known = np.isfinite(step)
  if known.sum() < max(2, len(step) / 2):
    notes.append('Most rows have no step, so rows are counted instead.')
  elif np.ptp(step[known]) == 0:
    notes.append('The step is the same in every row, so rows are counted instead.')
  else:
    return True
  return False


def empty(step: np.ndarray, absent: dict[str, np.ndarray]) -> np.ndarray:
  """The rows in which nothing was written, but for those at the end of the log."""
  last = np.flatnonzero(np.isfinite(step))[-1]
  return np.logical_and.reduce(list(absent.values())) & (np.arange(len(step)) < last)


def filled(step: np.ndarray, notes: list[str]) -> np.ndarray:
  """Steps for all rows: between two evenly, and at both ends as is usual."""
  known, rows = np.flatnonzero(np.isfinite(step)), np.arange(len(step))
  if len(known) == len(step):
    return step
  notes.append(
      f'{len(step) - len(known)} rows without a step are put between those around'
      ' them.'
  )
  moves = np.diff(step[known])
  usual = float(np.median(moves / np.diff(known)))
  found = np.interp(rows, known, step[known])
  found += usual * (np.minimum(rows - known[0], 0) + np.maximum(rows - known[-1], 0))
  # Where a run was resumed, nothing is between: the row belongs to the one before.
  before = np.maximum(np.searchsorted(known, rows, side='right') - 1, 0)
  against = np.append(moves, 0.0)[before] * usual < 0
  return np.where(against & ~np.isfinite(step), step[known[before]], found)
