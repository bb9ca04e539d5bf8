"""The error of a method whose step depends on the parameters."""

from __future__ import annotations

from typing import Any


def needs_params(owner: str, params: Any, why: str) -> Any:
  """Returns the parameters, or raises where `update` was not given them."""
  if params is None:
    raise ValueError(
        f'{owner}: `params` must be given to update, got None; {why}: call'
        ' tx.update(grads, state, params).'
    )
  return params
