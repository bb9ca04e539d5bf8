"""Decoupled weight decay: Optax's, with lrax's checks."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks


def add_decayed_weights(
    owner: str, weight_decay: Any, mask: Any
) -> optax.GradientTransformation:
  """Adds `weight_decay * parameter` to the updates, where `mask` says."""
  decay: Any = weight_decay
  if not callable(weight_decay):
    decay = _checks.non_negative(owner, 'weight_decay', weight_decay)
  return optax.add_decayed_weights(decay, mask)
