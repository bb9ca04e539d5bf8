"""Curves of runs, drawn with fixed seeds."""

import numpy as np


def noise(count, size, seed=0):
  return size * np.random.default_rng(seed).normal(size=count)


def falling(count=300, time=0.06, start=2.3, end=0.3, size=0.02, seed=0):
  """Falls from `start` to `end` with this time, in parts of the run."""
  at = np.arange(count) / count
  return end + (start - end) * np.exp(-at / time) + noise(count, size, seed)


def validated(values, every=10):
  """The values at every so many rows, NaN between."""
  found = np.full(len(values), np.nan)
  found[::every] = np.asarray(values)[::every]
  return found
