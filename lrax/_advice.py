"""What a rule says of a learning rate, why, and how far it may be trusted."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Advice:
  """What a rule says. It prints as its reason and what to mind.

  Attributes:
    value: a rate, or rates to try from the largest on; or arguments of a schedule
      or an optimizer, or factors of the rate, by name.
    reason: one or two sentences with the numbers filled in.
    source: who says so, and where.
    caveat: where the rule ends, and who contests it; '' for nothing known.
  """

  value: Any
  reason: str
  source: str
  caveat: str = ''

  def __str__(self) -> str:
    return f'{self.reason} {self.caveat}'.rstrip()
