"""The functions that make schedules, by name, for texts and configs."""

from __future__ import annotations

from collections.abc import Callable

from lrax import _policy
from lrax import schedules
from lrax.schedules import _algebra


def functions() -> dict[str, Callable[..., _policy.Schedule]]:
  """Those of `lrax.schedules` and `lrax.control`, under their plain names."""
  from lrax import control

  return {
      name: function
      for family in (schedules, control)
      for name in family.__all__
      if _makes_schedules(function := getattr(family, name))
  }


def combinations() -> dict[str, Callable[..., _policy.Schedule]]:
  """Those behind the methods and operators of a schedule."""
  return {name: getattr(_algebra, name) for name in _algebra.__all__}


def _makes_schedules(function: object) -> bool:
  """Whether it is annotated so: by the class, or by its name in a plain function."""
  hint = getattr(function, '__annotations__', {}).get('return')
  name = getattr(function, '__name__', '')
  return name != 'parse' and hint in (_policy.Schedule, '_policy.Schedule')
