"""From the plain dict of `Schedule.to_dict` back to the schedule."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import difflib
from typing import Any

from lrax import _checks
from lrax import _policy
from lrax.schedules import _named


def from_dict(
    config: Any,
    constructors: Mapping[str, Callable[..., _policy.Schedule]] | None = None,
) -> _policy.Schedule:
  """Builds the schedule that `config` describes; see `Schedule.from_dict`."""
  known = _named.functions() | _named.combinations() | dict(constructors or {})
  return _build(config, known)


def _build(config: Any, known: Mapping[str, Callable[..., Any]]) -> Any:
  if not isinstance(config, Mapping) or set(config) != {'schedule', 'arguments'}:
    raise _checks.refuse(
        'from_dict', 'config', "a dict of 'schedule' and 'arguments'", config,
        'pass what to_dict returned', TypeError,
    )
  name, arguments = config['schedule'], config['arguments']
  if not isinstance(name, str) or name not in known:
    close = difflib.get_close_matches(str(name), known, 1)
    hint = f'; did you mean {close[0]!r}' if close else ''
    raise _checks.refuse(
        'from_dict', 'schedule', 'the name of a schedule', name,
        'pass your own as constructors={name: function}' + hint,
    )
  if not isinstance(arguments, Mapping):
    raise _checks.refuse(
        'from_dict', 'arguments', 'a dict by argument name', arguments,
        'pass what to_dict returned', TypeError,
    )
  return known[name](**{k: _argument(v, known) for k, v in arguments.items()})


def _argument(value: Any, known: Mapping[str, Callable[..., Any]]) -> Any:
  if isinstance(value, Mapping):
    return _build(value, known)
  if isinstance(value, list):
    return [_argument(v, known) for v in value]
  return value
