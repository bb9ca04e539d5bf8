"""Hyperparameters as the coordinates of a derivative: their logarithms."""

from __future__ import annotations

from collections.abc import Mapping
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import schedules
from lrax.tune import _policies

# Shares of an average that is kept: what counts is how far they are from 1.
_AVERAGES = ('b1', 'b2', 'b3', 'beta', 'decay', 'momentum', 'rho')

_EPS_ROOT = 1e-30  # its root, 1e-15, is lost beside an eps of 1e-8


class Point:
  """Hyperparameters of an optimizer and a schedule, and what lies around them.

  Attributes:
    values: by name.
    where: (k,), their coordinates, in order.
    optimizer: with a derivative where gradients are 0, if it takes an eps_root.
  """

  def __init__(
      self, at: Any, optimizer: Any, shape: _policies.Shape, steps: int, owner: str
  ):
    self._shape, self._steps, self._owner = shape, steps, owner
    self._own = _policies.own_names(shape)
    self.values = self._checked(at, optimizer)
    self.where = np.asarray([_coordinate(n, v) for n, v in self.values.items()])
    self.optimizer = optimizer if 'eps_root' in self.values else smooth(optimizer)
    self._check_smooth()

  def table(self, coordinates: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The rate of each update, and the optimizer's numbers, at other coordinates."""
    point = {n: _value(n, c) for n, c in zip(self.values, coordinates)}
    rate = point.pop('learning_rate')
    own = {n: point.pop(n) for n in self.values if n in self._own}
    policy = schedules.as_schedule(self._shape(rate, self._steps, **own), self._owner)
    return policy(jnp.arange(self._steps)), point

  def _checked(self, at: Any, optimizer: Any) -> dict[str, float]:
    owner = self._owner
    if not isinstance(at, Mapping):
      raise _checks.refuse(
          owner, 'at', 'a dict of numbers by name', at,
          "for example {'learning_rate': 1e-3}", TypeError,
      )
    if 'learning_rate' not in at:
      raise _checks.refuse(
          owner, 'at', "one with 'learning_rate'", sorted(map(str, at)),
          'it is the peak of the schedule',
      )
    values = {}
    for name, value in at.items():
      taken = name in self._own | {'learning_rate'} or _parameter(optimizer, name)
      if not taken:
        raise _checks.refuse(
            owner, 'at', 'of what the optimizer or the schedule takes', name,
            'they have no such argument',
        )
      check = _checks.decay if name in _AVERAGES else _checks.positive
      values[name] = float(check(owner, f'at[{name!r}]', value))
    return values

  def _check_smooth(self) -> None:
    """Refuses what is no number to derive by, before anything is compiled."""

    def build(coordinates: jax.Array) -> jax.Array:
      rates, numbers = self.table(coordinates)
      self.optimizer(rates[0], **numbers)
      return rates

    try:
      jax.eval_shape(build, jnp.asarray(self.where, jnp.result_type(float)))
    except (jax.errors.JAXTypeError, TypeError) as error:
      raise TypeError(
          f'{self._owner}: `at` must be of numbers that may be traced, as a number'
          f' of steps or a word may not; leave it out of `at`: {error}'
      ) from error


def smooth(optimizer: Any) -> Any:
  """The same, with an `eps_root` where it takes one that is 0 as it is."""
  parameter = _parameter(optimizer, 'eps_root')
  if parameter is not None and parameter.default == 0.0:
    return functools.partial(optimizer, eps_root=_EPS_ROOT)
  return optimizer


def text(name: str) -> str:
  """What the derivative is with respect to."""
  return f'log(1 - {name})' if name in _AVERAGES else f'log({name})'


def way(name: str) -> int:
  """1 where the coordinate rises with the hyperparameter, else -1."""
  return -1 if name in _AVERAGES else 1


def _parameter(function: Any, name: str) -> inspect.Parameter | None:
  """That which takes an argument of this name, or of any."""
  try:
    parameters = inspect.signature(function).parameters
  except (TypeError, ValueError):  # a function that does not tell
    return inspect.Parameter('any', inspect.Parameter.VAR_KEYWORD)
  others = (p for p in parameters.values() if p.kind is p.VAR_KEYWORD)
  return parameters.get(name) or next(others, None)


def _coordinate(name: str, value: float) -> float:
  return float(np.log1p(-value) if name in _AVERAGES else np.log(value))


def _value(name: str, coordinate: jax.Array) -> jax.Array:
  return -jnp.expm1(coordinate) if name in _AVERAGES else jnp.exp(coordinate)
