"""Results as plain Python, for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(value: Any) -> Any:
  """Plain Python of arrays and numbers, None where they are not finite."""
  if isinstance(value, np.ndarray):
    return [plain(v) for v in value]
  if isinstance(value, (tuple, list)):
    return [plain(v) for v in value]
  if isinstance(value, dict):
    return {k: plain(v) for k, v in value.items()}
  if isinstance(value, (float, np.floating)):
    return float(value) if np.isfinite(value) else None
  return value.item() if isinstance(value, np.generic) else value
