"""The trials of an earlier run, where it was a run of the same settings."""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from lrax import tune

_MOST = 60  # characters of a setting in a message


def earlier(
    command: str, path: Path, settings: Mapping[str, Any]
) -> list[tune.Trial]:
  """The trials that a result's JSON holds.

  Args:
    command: who asks, for messages.
    path: the JSON.
    settings: plain values by name, which the JSON must have as they are.

  Raises:
    ValueError: it is no result, or one of other settings.
  """
  try:
    known = json.loads(path.read_text())
    trials = [tune.Trial.from_dict(plain) for plain in known['trials']]
    before = {name: known['settings'][name] for name in settings}
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(
        f"{command}: --resume cannot go on from '{path}' ({type(error).__name__}:"
        f' {error}); leave it out to begin anew.'
    ) from error
  for name, value in json.loads(json.dumps(settings)).items():
    if before[name] != value:
      raise ValueError(
          f"{command}: --resume needs the call that made '{path}': {name} was"
          f' {_short(before[name])} there and is {_short(value)} here; pass the same,'
          ' or another --out.'
      )
  return trials


def _short(value: Any) -> str:
  text = json.dumps(value)
  return text if len(text) <= _MOST else f'{text[: _MOST - 3]}...'
