"""The members of lrax, found by what they return, and sample calls of each.

Nothing here is a list of members: a public function is a member of the family
whose type it returns. A sample call is built from the names of its parameters,
by the convention that lrax itself follows (`…_value` is a rate, `…_steps` a
length), so a new member needs no edit here. A required parameter that no rule
knows is an error that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import inspect
import os
import re
import types
import typing
from typing import Any
from typing import NamedTuple

import jax
import optax

import lrax
from lrax import control
from lrax import optimizers
from lrax import schedules
from lrax import transforms
from lrax.schedules import _algebra


class Call(NamedTuple):
  """A call that can be changed before it is made.

  As a pytree its numbers are leaves, those of the schedules inside it too, so
  any of them can be replaced by an array or by a traced value.
  """

  constructor: Callable[..., Any]
  arguments: dict[str, Any]

  def build(self) -> Any:
    """Makes the call, innermost first."""
    return _build(self)

  def numbers(self, kind: type) -> list[Any]:
    """The Python numbers of one kind in it: float hyperparameters, or int."""
    return [leaf for leaf in jax.tree.leaves(self) if type(leaf) is kind]

  def replace(self, kind: type, numbers: Iterable[Any]) -> Call:
    """The same call with all its numbers of one kind replaced, in order."""
    remaining = iter(numbers)
    swap = lambda leaf: next(remaining) if type(leaf) is kind else leaf
    return jax.tree.map(swap, self)


class Sample(NamedTuple):
  """One sample call of one member."""

  id: str
  call: Call

  def build(self) -> Any:
    return self.call.build()


def _build(value: Any) -> Any:
  if isinstance(value, Call):
    arguments = {k: _build(v) for k, v in value.arguments.items()}
    return value.constructor(**arguments)
  if isinstance(value, list):
    return [_build(v) for v in value]
  return value


def line_of_optax(step: Any) -> Any:
  """An optax schedule at the top of a module, so that it pickles."""
  return optax.linear_schedule(0.1, 0.01, 12)(step)


def _line() -> Call:
  return Call(lrax.linear, {'init_value': 0.1, 'end_value': 0.02, 'steps': 12})


def _cosine() -> Call:
  return Call(lrax.cosine_annealing, {'init_value': 0.2, 'steps': 12})


# What a parameter of this name is given; the first pattern that matches. A
# phase is shorter than the whole, and no two rates are equal.
_RULES: tuple[tuple[str, Callable[[], Any]], ...] = (
    (r'init_value', lambda: 0.1),
    (r'peak_value', lambda: 0.3),
    (r'end_value', lambda: 0.01),
    (r'max_value', lambda: 0.07),
    (r'(.*_)?value', lambda: 0.05),
    (r'steps|total', lambda: 12),
    (r'at', lambda: 5),
    (r'anneal_at', lambda: 9),
    (r'.*_steps', lambda: 4),
    (r'.*_growth', lambda: 2),
    (r'max_scale', lambda: 2.0),
    (r'max_norm', lambda: 0.5),
    (r'(final_)?div_factor', lambda: 10.0),
    (r'patience|cooldown', lambda: 7),
    (r'rtol|atol', lambda: 0.125),
    (r'growth|growth_rate', lambda: 1.5),
    (r'smoothing', lambda: 0.5),
    (r'shards', lambda: 8),
    (r'reference_rate', lambda: None),  # for one decay_coupling only
    (r'min_dim_size_to_factor', lambda: 2),
    (r'model_size', lambda: 16.0),
    (r'values', lambda: [0.1, 0.3, 0.2]),
    (r'k|ratio', lambda: 3.0),
    (r'pct_start|cut_fraction', lambda: 0.4),
    (r'cycles|times', lambda: 3),
    (r'seed', lambda: 3),
    (r'limit', lambda: 0.5),
    (r'(.*_)?(decay|rate|factor|scale)', lambda: 0.5),
    (r'power|exponent', lambda: 2.0),
    (r'momentum', lambda: 0.9),
    (r'function', lambda: line_of_optax),
    (r'schedule|left', _line),
    (r'right|following', _cosine),
    (r'schedules', lambda: [_line(), _cosine(), _line()]),
    (r'boundaries', lambda: [9, 15]),
    (r'transform', optax.scale_by_lion),
)
_RATES = ((r'learning_rate', lambda: 0.05),)


def _by_name(name: str, rules: Any) -> Any:
  """What the first rule for this name gives; KeyError where there is none."""
  for pattern, value in rules:
    if re.fullmatch(pattern, name):
      return value()
  raise KeyError(name)


def required(function: Callable[..., Any]) -> Call:
  """The call with nothing but what it must be given.

  Raises:
    LookupError: no rule gives a required parameter a value.
  """
  arguments = {}
  for name, parameter in inspect.signature(function).parameters.items():
    if parameter.default is not inspect.Parameter.empty:
      continue
    try:
      arguments[name] = _by_name(name, _RATES + _RULES)
    except KeyError:
      raise LookupError(
          f'{function.__name__}: no rule in tests/members.py gives its required'
          f' parameter `{name}` a value; follow the naming convention, or add a'
          ' rule for the new name.'
      ) from None
  return Call(function, arguments)


def complete(function: Callable[..., Any]) -> Call:
  """The call with every argument away from its default, where a rule knows how.

  Flags are turned over. An argument of any other kind whose name no rule knows
  keeps its default.
  """
  arguments = dict(required(function).arguments)
  for name, parameter in inspect.signature(function).parameters.items():
    default = parameter.default
    if name in arguments or isinstance(default, str):
      continue
    if isinstance(default, bool):
      arguments[name] = not default
      continue
    try:
      arguments[name] = _by_name(name, _RULES)
    except KeyError:
      pass
  return Call(function, arguments)


def _options(call: Call, name: str) -> list[str]:
  """The words that an argument may be, as the refusal of another one says."""
  wrong = call.arguments | {name: 'no such word'}
  try:
    call._replace(arguments=wrong).build()
  except ValueError as error:
    return re.findall("'([^']+)'", str(error).partition(', got ')[0])
  raise AssertionError(f'{call.constructor.__name__}: any word goes as {name!r}')


def samples(function: Callable[..., Any]) -> Iterator[Sample]:
  """Sample calls of one member: the shortest, the fullest, and every choice."""
  name = function.__name__
  short, full = required(function), complete(function)
  yield Sample(name, short)
  if full.arguments != short.arguments:
    yield Sample(f'{name}-complete', full)
  for option, parameter in inspect.signature(function).parameters.items():
    if isinstance(parameter.default, str):
      others = set(_options(full, option)) - {parameter.default}
      for word in sorted(others):
        arguments = full.arguments | {option: word}
        yield Sample(f'{name}-{word}', full._replace(arguments=arguments))


def _public(module: types.ModuleType) -> list[Callable[..., Any]]:
  """The public functions of a package, from its `__all__`."""
  functions = [getattr(module, name) for name in module.__all__]
  return [f for f in functions if inspect.isfunction(f)]


def schedule_constructors(
    *modules: types.ModuleType,
) -> list[Callable[..., lrax.Schedule]]:
  """Public functions whose return annotation is the class `lrax.Schedule`."""
  return [
      function
      for module in modules
      for function in _public(module)
      if inspect.signature(function).return_annotation is lrax.Schedule
  ]


def transformation_constructors(
    *modules: types.ModuleType,
) -> list[Callable[..., optax.GradientTransformationExtraArgs]]:
  """Public functions annotated to return an Optax transformation."""
  kind = optax.GradientTransformationExtraArgs
  return [
      function
      for module in modules
      for function in _public(module)
      if typing.get_type_hints(function).get('return') is kind
  ]


SCHEDULES = schedule_constructors(schedules, control)
COMBINATIONS = schedule_constructors(_algebra)
OPTIMIZERS = transformation_constructors(optimizers)
TRANSFORMS = transformation_constructors(transforms)


def _all_samples(functions: Iterable[Callable[..., Any]]) -> list[Sample]:
  found = {}
  for function in functions:
    found |= {sample.id: sample for sample in samples(function)}
  # .ci/run asks for one of each where it is about another Python and another JAX,
  # of which a second call of the same member shows nothing more.
  one = os.environ.get('LRAX_TEST_SAMPLES') == 'one'
  return shortest(found.values()) if one else list(found.values())


def shortest(found: Iterable[Sample]) -> list[Sample]:
  """One sample of each member: the call with nothing but what it must be given."""
  return [sample for sample in found if sample.id == sample.call.constructor.__name__]


def schedule_samples() -> list[Sample]:
  """Samples of every schedule, open and closed loop, and every combination."""
  return _all_samples(SCHEDULES + COMBINATIONS)


def optimizer_samples() -> list[Sample]:
  return _all_samples(OPTIMIZERS)


def transform_samples() -> list[Sample]:
  return _all_samples(TRANSFORMS)
