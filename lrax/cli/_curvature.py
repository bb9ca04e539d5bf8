"""What `lrax stability` finds, and how it is told, written and drawn."""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import math
from typing import Any

import numpy as np

from lrax import stability
from lrax.tune import _plain

COLUMNS = ('', 'value', 'error', 'interval')


@dataclasses.dataclass
class Curvature:
  """Each part is None until it is known.

  Attributes:
    task: its name.
    optimizer: as text.
    steps: updates of the training before.
    learning_rate: its constant rate, which is judged.
    adaptive: whether the optimizer divides by second moments: then it sees another
      curvature than the Hessian's.
    curve: the sharpness over that training.
    limit: the highest stable rate at its end.
    eigenvalues: the extreme ones of the Hessian there: the largest and the smallest.
    density: that of all of them.
    trace: their sum.
    noise: the noise scale of the gradient; a text that says why there is none.
    advice: what it says of the batch.
  """

  task: str
  optimizer: str
  steps: int
  learning_rate: float
  adaptive: bool
  curve: stability.SharpnessCurve | None = None
  limit: stability.Limit | None = None
  eigenvalues: stability.Eigenvalues | None = None
  density: stability.Density | None = None
  trace: stability.Trace | None = None
  noise: stability.NoiseScale | str | None = None
  advice: Any = None

  @property
  def lost(self) -> int | None:
    """The updates after which the training's loss was first not finite."""
    if self.curve is None or np.isfinite(self.curve.losses).all():
      return None
    return int(self.curve.steps[np.argmin(np.isfinite(self.curve.losses))])

  @property
  def edge(self) -> float:
    """The sharpness of which the rate is the limit."""
    assert self.limit is not None
    return 2 * (1 + self.limit.momentum) / (self.limit.gain * self.learning_rate)

  def table(self) -> list[dict[str, Any]]:
    """A row for each number: what it is, its value, its error, and an interval."""
    rows: list[dict[str, Any]] = []

    def row(quantity: str, value: Any, error: Any = None, ends: Any = (None, None)):
      number = lambda x: None if x is None else float(x)
      rows.append({
          'quantity': quantity, 'value': number(value), 'error': number(error),
          'low': number(ends[0]), 'high': number(ends[1]),
      })

    if self.eigenvalues is not None:
      values, bounds = self.eigenvalues.values, self.eigenvalues.error_bounds
      count = len(values) // 2
      for i, (value, bound) in enumerate(zip(values, bounds)):
        end, place = ('largest', i) if i < count else ('smallest', i - count)
        number = f' {place + 1}' if place else ''
        row(f'{end} eigenvalue{number}', value, bound)
    if self.trace is not None:
      row('trace', self.trace.value, self.trace.standard_error)
    if self.limit is not None:
      row('sharpness for the optimizer', self.limit.sharpness, self.limit.error)
      row('highest stable rate', self.limit.learning_rate, None, self.limit.interval)
      row('rate / highest stable', self.learning_rate / self.limit.learning_rate)
    if isinstance(self.noise, stability.NoiseScale):
      row('noise scale', self.noise.noise_scale, self.noise.standard_error,
          self.noise.interval)
    if self.advice is not None:
      row('critical batch', self.advice.value['batch_size'])
    return rows

  def cells(self) -> Iterator[tuple[list[str], bool]]:
    """The table as it is shown, and which row is the answer."""
    show = lambda x: '' if x is None else f'{x:.4g}' if math.isfinite(x) else str(x)
    for row in self.table():
      low, high = show(row['low']), show(row['high'])
      error = row['error']
      yield [
          row['quantity'], show(row['value']),
          '' if error is None else f'{error:.1g}', f'{low} to {high}' if low else '',
      ], row['quantity'] == 'highest stable rate'

  @property
  def verdict(self) -> str:
    """All this in plain words."""
    assert self.limit is not None
    when = f'After {self.steps} updates at {self.learning_rate:.4g}'
    said = [f'{when if self.steps else "Before any training"}: {self.limit}']
    if self.lost is not None:
      said.insert(0, (
          f'The training is lost: after {self.lost} updates at {self.learning_rate:.4g}'
          ' its loss is not finite, and what follows is of where that has led. Lower'
          ' --rate, or look at the limit at its start with --optimizer sgd --steps 0.'
      ))
    elif math.isfinite(self.limit.learning_rate):
      said.append(_judged(self.learning_rate, self.limit))
    said.append(str(self.noise))
    if self.advice is not None:
      said.append(str(self.advice))
    return '\n'.join(said)

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; None for what is not known or not finite."""
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    return {name: _as_plain(value) for name, value in fields.items()}

  def draw(self) -> Any:
    """The spectrum, beside the sharpness over the training; returns an axes."""
    from matplotlib import pyplot as plt

    from lrax import plot

    curve = self.curve
    size = (11.5 if curve else 6.4, 5.0 if curve else 4.2)
    figure = plt.figure(figsize=size, layout='constrained')
    parts = 'ab;ac' if curve else 'a'
    axes = figure.subplot_mosaic(parts)
    assert self.density is not None
    edge = None if self.adaptive else self.edge
    plot.spectrum(self.density, self.eigenvalues, edge, axes['a'])
    if curve:
      plot.sharpness(curve, [axes['b'], axes['c']])
    return axes['a']


def _judged(rate: float, limit: stability.Limit) -> str:
  """Where a rate is, seen from the limit."""
  low, high = limit.interval
  if rate < low:
    return (
        f'The rate of {rate:.4g} is {rate / limit.learning_rate:.2g} of it, and so'
        ' stable here.'
    )
  if rate > high:
    return (
        f'The rate of {rate:.4g} is {rate / limit.learning_rate:.3g} times as high: at'
        ' it the loss leaves this place, for one of less curvature, or for good.'
    )
  return f'The rate of {rate:.4g} is at it, as far as its error tells.'


def _as_plain(value: Any) -> Any:
  """Plain values of a result: of a tuple's fields those that are no parameters."""
  if hasattr(value, 'to_dict'):
    return _plain.plain(value.to_dict())
  if dataclasses.is_dataclass(value):
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return _plain.plain(fields)
  if isinstance(value, (stability.Density, stability.Eigenvalues, stability.Trace)):
    return {
        name: _plain.plain(np.asarray(getattr(value, name)).tolist())
        for name in value._fields
        if name != 'vectors'  # as large as the parameters
    }
  return _plain.plain(value)
