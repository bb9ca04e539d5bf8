"""`Thresholds`: every number that a verdict rests on, in one table."""

from __future__ import annotations

import dataclasses

from lrax import _checks


@dataclasses.dataclass(frozen=True)
class Thresholds:
  """The numbers of the rules, each of which can be tuned.

  Args:
    points: the fewest losses that are judged.
  """

  points: int = 20

  def __post_init__(self):
    _checks.count('Thresholds', 'points', self.points)
