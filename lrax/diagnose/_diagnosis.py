"""`Diagnosis`: what a run's log says, and why."""

from __future__ import annotations

import dataclasses
from typing import Any

from lrax.diagnose import _log

VERDICTS = (
    'diverging',
    'oscillating',
    'too low',
    'plateau',
    'overfitting',
    'healthy',
    'unclear',
)


@dataclasses.dataclass(frozen=True)
class Evidence:
  """One sign that was looked for, and what was found.

  Attributes:
    sign: its name, as in the table of `Thresholds`.
    text: what was found, in plain words with the numbers.
    value: the number that was measured; NaN where it could not be.
    threshold: the number that it was held against.
    steps: the first and the last step that it is about.
    fulfilled: whether the sign is there.
  """

  sign: str
  text: str
  value: float
  threshold: float
  steps: tuple[float, float]
  fulfilled: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnosis:
  """What is happening to a run. It prints as plain words.

  Attributes:
    verdict: 'diverging', 'oscillating', 'too low', 'plateau', 'overfitting',
      'healthy' or 'unclear'.
    reason: why, in one or two sentences with the numbers and the steps.
    evidence: every sign that was looked for, `Evidence`.
    remedy: lrax code that runs after `import lrax`; '' where none is called for.
    advice: what the remedy does, what to set in it, or what to log.
    log: the arrays that were judged, a `Log`.
  """

  verdict: str
  reason: str
  evidence: tuple[Evidence, ...]
  remedy: str
  advice: str
  log: _log.Log

  def __str__(self) -> str:
    said = [f'{self.verdict}: {self.reason}', self.advice]
    if self.remedy:
      said.append('\n'.join('  ' + line for line in self.remedy.splitlines()))
    if self.log.notes:
      said.append('Read from the log: ' + ' '.join(self.log.notes))
    return '\n'.join(part for part in said if part)

  def table(self) -> list[dict[str, Any]]:
    """The evidence as rows of plain values, one for each sign."""
    return [_log.plain(dataclasses.asdict(row)) for row in self.evidence]

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; what is not finite as None."""
    return {
        'verdict': self.verdict,
        'reason': self.reason,
        'evidence': self.table(),
        'remedy': self.remedy,
        'advice': self.advice,
        'log': self.log.to_dict(),
    }
