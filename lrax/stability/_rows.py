"""How many examples a batch has."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def rows(batch: Any) -> int:
  """The length of the first axis, of the first array that has one; 1 without any."""
  arrays = [leaf for leaf in jax.tree.leaves(batch) if np.ndim(leaf)]
  return int(np.shape(arrays[0])[0]) if arrays else 1
