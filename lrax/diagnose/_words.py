"""Numbers in the sentences of a diagnosis."""

from __future__ import annotations


def said(value: float) -> str:
  """A loss."""
  return f'{value:.4g}'


def percent(part: float) -> str:
  """A part of something."""
  if part >= 10:
    return 'more than ten times'
  return f'{part:.0%}' if part >= 0.01 or part <= 0 else f'{100 * part:.1g}%'


def many(count: int) -> str:
  """How many losses there are, with the verb."""
  return 'is 1 loss' if count == 1 else f'are {count} losses'
