"""Decoupled weight decay: Optax's, with lrax's checks."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax.transforms._keep_dtype import keep_dtype


def add_decayed_weights(
    owner: str, weight_decay: Any, mask: Any
) -> optax.GradientTransformation:
  """Adds `weight_decay * parameter` to the updates, where `mask` says."""
  decay: Any = weight_decay
  if not callable(weight_decay):
    decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  return keep_dtype(optax.add_decayed_weights(decay, mask))
