"""One hyperparameter of a search: a range of numbers, or a choice.

A dimension places its values on [0, 1], so that a search method sees a cube.
Where a method widens a range, the new values lie below 0 or above 1.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jax.core import Tracer

from lrax import _checks

_WIDEN = 10.0  # the factor by which a log range may widen on either side
_ROUNDING = 1e-9  # how far off the end of a range a place may be by rounding


class Dimension:
  """The values that a hyperparameter may take."""

  low: Any  # the ends of the range; a choice has its first and last option
  high: Any

  @property
  def bounds(self) -> tuple[Any, Any]:
    """How far a method may widen the range; as it is, not at all."""
    return self.low, self.high

  @property
  def count(self) -> float:
    """How many values there are; infinite for real numbers."""
    return math.inf

  def check(self, owner: str, name: str, value: Any) -> Any:
    """The value in its plain form; refused where it is outside `bounds`."""
    raise NotImplementedError

  def to_unit(self, value: Any) -> float:
    """The place of a value: 0 and 1 are the ends of the range."""
    raise NotImplementedError

  def from_unit(self, unit: float) -> Any:
    """The value at a place, or that whose place is near."""
    raise NotImplementedError

  def to_dict(self) -> dict[str, Any]:
    """The dimension as plain values, for JSON."""
    raise NotImplementedError


@dataclasses.dataclass(frozen=True, repr=False)
class Uniform(Dimension):
  """A range of numbers; see `uniform`."""

  low: float
  high: float
  within: tuple[float, float] | None = None

  kind = 'uniform'

  def __post_init__(self):
    low, high = (self._number(n, getattr(self, n)) for n in ('low', 'high'))
    _check_rising(self.kind, low, high)
    within = self.within
    if within is not None:
      if not isinstance(within, (tuple, list)) or len(within) != 2:
        raise _checks.refuse(
            self.kind, 'within', 'a pair (least, most) or None', within,
            'they are hard bounds of the range', TypeError,
        )
      least, most = (self._number('within', w) for w in within)
      if not least <= low < high <= most:
        raise _checks.refuse(
            self.kind, 'within', f'around [{low}, {high}]', within,
            'a method may widen the range up to it',
        )
      within = (least, most)
    _set(self, low=low, high=high, within=within)

  @property
  def bounds(self) -> tuple[float, float]:
    """How far a method may widen the range."""
    return self.within or (self.low, self.high)

  def check(self, owner: str, name: str, value: Any) -> float:
    least, most = self.bounds
    inside = _checks.number(
        f'in [{least:g}, {most:g}]', lambda x: least <= x <= most,
        f'the range is {self!r}',
    )
    return float(_known(owner, name, inside(owner, name, value)))

  def to_unit(self, value: float) -> float:
    return self._place(self.check(self.kind, 'value', value))

  def from_unit(self, unit: float) -> float:
    least, most = self.bounds
    _check_place(self.kind, unit, self._place(least), self._place(most))
    if 0 <= unit <= 1:
      least, most = self.low, self.high  # rounding takes no place out of them
    if unit in (0, 1):
      return most if unit else least
    low, high = self._scaled(self.low), self._scaled(self.high)
    if 0 < unit < 1:  # no rounding leads out of the range
      least, most = self.low, self.high
    return float(min(max(self._unscaled(low + unit * (high - low)), least), most))

  def to_dict(self) -> dict[str, Any]:
    plain = {'kind': self.kind, 'low': self.low, 'high': self.high}
    return plain | ({'within': list(self.within)} if self.within else {})

  def __repr__(self) -> str:
    within = f', within={self.within}' if self.within else ''
    return f'{self.kind}({self.low}, {self.high}{within})'

  def _place(self, value: float) -> float:
    low, high = self._scaled(self.low), self._scaled(self.high)
    return (self._scaled(value) - low) / (high - low)

  def _number(self, name: str, value: Any) -> float:
    value = _checks.any_number(self.kind, name, value)
    return float(_known(self.kind, name, value))

  def _scaled(self, value: float) -> float:
    return value

  def _unscaled(self, value: float) -> float:
    return value


@dataclasses.dataclass(frozen=True, repr=False)
class LogUniform(Uniform):
  """A range of positive numbers whose logarithms count; see `log_uniform`."""

  kind = 'log_uniform'

  @property
  def bounds(self) -> tuple[float, float]:
    """How far a method may widen the range."""
    return self.within or (self.low / _WIDEN, self.high * _WIDEN)

  def _number(self, name: str, value: Any) -> float:
    return float(_known(self.kind, name, _checks.positive(self.kind, name, value)))

  def _scaled(self, value: float) -> float:
    return math.log10(value)

  def _unscaled(self, value: float) -> float:
    return 10.0**value


@dataclasses.dataclass(frozen=True, repr=False)
class Integer(Dimension):
  """A range of whole numbers; see `integer`."""

  low: int
  high: int
  log: bool = False

  def __post_init__(self):
    whole = _checks.number(
        'a whole number', lambda x: True, 'both ends count', whole=True
    )
    low, high = (
        int(_known('integer', n, whole('integer', n, getattr(self, n))))
        for n in ('low', 'high')
    )
    _check_rising('integer', low, high)
    log = _checks.flag('integer', 'log', self.log)
    if log and low < 1:
      raise _checks.refuse(
          'integer', 'low', '>= 1 where `log` is True', low, 'or leave out `log`'
      )
    _set(self, low=low, high=high, log=log)

  @property
  def count(self) -> float:
    """How many whole numbers there are."""
    return self.high - self.low + 1

  def check(self, owner: str, name: str, value: Any) -> int:
    inside = _checks.number(
        f'a whole number in [{self.low}, {self.high}]',
        lambda x: self.low <= x <= self.high, f'the range is {self!r}', whole=True,
    )
    return int(_known(owner, name, inside(owner, name, value)))

  def to_unit(self, value: int) -> float:
    # A number owns the stretch from half below it to half above it.
    low, high = self._scaled(self.low - 0.5), self._scaled(self.high + 0.5)
    value = self.check('integer', 'value', value)
    return (self._scaled(value) - low) / (high - low)

  def from_unit(self, unit: float) -> int:
    _check_place('integer', unit, 0, 1)
    low, high = self._scaled(self.low - 0.5), self._scaled(self.high + 0.5)
    place = low + unit * (high - low)
    nearest = math.floor((math.exp(place) if self.log else place) + 0.5)
    return min(max(nearest, self.low), self.high)

  def to_dict(self) -> dict[str, Any]:
    return {'kind': 'integer', **dataclasses.asdict(self)}

  def __repr__(self) -> str:
    return f"integer({self.low}, {self.high}{', log=True' if self.log else ''})"

  def _scaled(self, value: float) -> float:
    return math.log(value) if self.log else value


@dataclasses.dataclass(frozen=True, repr=False)
class Choice(Dimension):
  """One of a few options, in no order; see `choice`."""

  options: tuple[Any, ...]

  def __post_init__(self):
    if not self.options:
      raise _checks.refuse(
          'choice', 'options', 'at least one', self.options, 'name what to try'
      )
    for option in self.options:
      if not isinstance(option, (bool, int, float, str, type(None))):
        raise _checks.refuse(
            'choice', 'options', 'strings, numbers, bools or None', option,
            'name it by a string, so that JSON can hold it', TypeError,
        )
      if isinstance(option, float) and not math.isfinite(option):
        raise _checks.refuse('choice', 'options', 'finite', option, 'leave it out')
    if len(set(self.options)) < len(self.options):
      raise _checks.refuse(
          'choice', 'options', 'different', list(self.options),
          'name each once; 1, 1.0 and True are equal',
      )
    _set(self, low=self.options[0], high=self.options[-1])

  @property
  def count(self) -> float:
    """How many options there are."""
    return len(self.options)

  def index(self, value: Any, owner: str = 'choice', name: str = 'value') -> int:
    """Which option it is."""
    for index, option in enumerate(self.options):
      # 1 == True, but they are not one option.
      if isinstance(value, bool) == isinstance(option, bool) and value == option:
        return index
    raise _checks.refuse(
        owner, name, f'one of {list(self.options)}', value, 'pick one of them'
    )

  def check(self, owner: str, name: str, value: Any) -> Any:
    return self.options[self.index(value, owner, name)]

  def to_unit(self, value: Any) -> float:
    return (self.index(value) + 0.5) / len(self.options)

  def from_unit(self, unit: float) -> Any:
    _check_place('choice', unit, 0, 1)
    index = math.floor(unit * len(self.options))
    return self.options[min(max(index, 0), len(self.options) - 1)]

  def to_dict(self) -> dict[str, Any]:
    return {'kind': 'choice', 'options': list(self.options)}

  def __repr__(self) -> str:
    return f"choice({', '.join(map(repr, self.options))})"


def _set(dimension: Dimension, **values: Any) -> None:
  """Fills a frozen dataclass with what its checks made of the arguments."""
  for name, value in values.items():
    object.__setattr__(dimension, name, value)


def _known(owner: str, name: str, value: Any) -> Any:
  """The number, refused where it is traced: Python decides what to try."""
  if isinstance(value, Tracer):
    raise _checks.refuse(
        owner, name, 'a plain number', 'a traced one', 'search outside of jit',
        TypeError,
    )
  return value


def _check_rising(owner: str, low: Any, high: Any) -> None:
  if not low < high:
    raise _checks.refuse(
        owner, 'high', f'above `low`, {low}', high,
        'leave a hyperparameter that does not vary out of the space',
    )


def _check_place(owner: str, unit: float, least: float, most: float) -> None:
  if not least - _ROUNDING <= unit <= most + _ROUNDING:
    raise _checks.refuse(
        owner, 'unit', f'in [{least:g}, {most:g}]', unit, '0 and 1 are the ends'
    )
