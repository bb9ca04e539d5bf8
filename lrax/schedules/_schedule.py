"""`@schedule`: a formula becomes a public constructor of schedules."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import functools
import inspect
import typing
from typing import Any
from typing import NamedTuple
from typing import overload

import chex
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _evaluate
from lrax import _policy
from lrax import _types
from lrax.schedules import _wide


class OpenLoop(NamedTuple):
  """The rule of a formula `(step, **arguments) -> rate`; it has no memory."""

  formula: Callable[..., Any]
  ready: Callable[..., dict[str, Any]] = _evaluate.as_arrays

  def closed_loop(self, arguments: Mapping[str, Any]) -> bool:
    del arguments
    return False

  def start(
      self, arguments: Mapping[str, Any], params: chex.ArrayTree | None = None
  ) -> tuple[Any, chex.ArrayTree]:
    del params
    return _evaluate.decide(self, arguments, np.zeros((), np.int32), (), None)

  def decide(
      self,
      arguments: Mapping[str, Any],
      step: Any,
      memory: chex.ArrayTree,
      signals: _types.Signals | None,
  ) -> tuple[Any, chex.ArrayTree]:
    del signals
    with _wide.precision(arguments):
      return self.formula(step, **self.ready(arguments)), memory


def constructor(
    function: Callable[..., Any],
    rule: _types.Rule,
    leading: int,
    checks: Mapping[str, _checks.Check],
    together: Callable[..., None] | None = None,
) -> Callable[..., _policy.Schedule]:
  """Makes the public constructor of a member from the function it is written as.

  Args:
    function: the member; its first `leading` parameters come from the update,
      the others are the hyperparameters and become the constructor's.
    rule: how the member starts and decides.
    leading: how many parameters come from the update.
    checks: checks by argument, where the name does not tell it.
    together: a check `(owner, **arguments)` of arguments that go together.

  Returns:
    The constructor, with the function's name, docstring and place.

  Raises:
    TypeError: a check for an argument that the function has not.
  """
  signature = inspect.signature(function)
  parameters = list(signature.parameters.values())[leading:]
  unknown = set(checks) - {p.name for p in parameters}
  if unknown:
    raise TypeError(
        f'{function.__name__}: `checks` must name its arguments, got'
        f' {sorted(unknown)}; it has {[p.name for p in parameters]}.'
    )
  all_checks = {p.name: _checks.for_parameter(p) for p in parameters}
  all_checks.update(checks)
  public = signature.replace(
      parameters=parameters, return_annotation=_policy.Schedule
  )

  @functools.wraps(function)
  def construct(*args: Any, **kwargs: Any) -> _policy.Schedule:
    try:
      bound = public.bind(*args, **kwargs)
    except TypeError as error:
      names = ', '.join(public.parameters)
      raise TypeError(
          f'{function.__name__}({names}): {error}; see its docstring.'
      ) from None
    bound.apply_defaults()
    arguments = {
        name: all_checks[name](function.__name__, name, value)
        for name, value in bound.arguments.items()
    }
    if together is not None:
      # A JAX scalar that is not traced has a value to check, as a number has.
      together(function.__name__, **_evaluate.as_numbers(arguments))
    return _policy.Schedule(construct, rule, arguments)

  construct.__signature__ = public  # type: ignore[attr-defined]
  construct.__annotations__ = {
      name: hint
      for name, hint in _hints(function).items()
      if name in public.parameters
  } | {'return': _policy.Schedule}
  del construct.__wrapped__  # type: ignore[attr-defined]
  return construct


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
  """The function's annotations, resolved where its own module can."""
  try:
    return typing.get_type_hints(function)
  except (AttributeError, NameError, SyntaxError, TypeError):
    # It names what only a type checker sees, or is text that is no type.
    return dict(function.__annotations__)


@overload
def schedule(function: Callable[..., Any], /) -> Callable[..., _policy.Schedule]:
  ...


@overload
def schedule(
    *, together: Callable[..., None] | None = None, **checks: _checks.Check
) -> Callable[[Callable[..., Any]], Callable[..., _policy.Schedule]]:
  ...


def schedule(function: Any = None, /, *, together: Any = None, **checks: Any) -> Any:
  """Turns a formula into a constructor of schedules.

  The function takes `step` first, an int32 array of any shape, at least 0, and
  then its hyperparameters: Python numbers as they were given, or scalar
  arrays, traced ones too, in the rate's dtype. It returns the rate at `step`,
  element by element, and is written with `jax.numpy`: no Python branch on a
  value. Its docstring becomes the constructor's. Everything else (the
  gradient transformation, the state, the checks, `repr`, equality, pickling,
  `to_dict`, the algebra) comes from here.

  Arguments are checked by name: `…_value` is a rate (a finite number >= 0),
  `…_steps` a length (a whole number >= 0), a bool default makes a flag, and
  anything else is a finite number. A keyword of the decorator gives another
  check, a function `(owner, name, value) -> value`.

  Args:
    function: the formula. Define it at the top of a module, so that schedules
      made by it pickle.
    together: a check `(owner, **arguments)` of arguments that go together,
      called after each has passed its own; it raises or returns None.
    **checks: checks by argument name.

  Returns:
    The constructor: the formula's signature without `step`, returning a
    `lrax.Schedule`.

  Raises:
    TypeError: a check for an argument that the formula has not.

  Source:
    lrax's own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> @lrax.schedule
    ... def logarithmic(step, init_value, decay_steps):
    ...   '''init_value / (1 + log(1 + step / decay_steps)).'''
    ...   return init_value / (1 + jnp.log1p(step / decay_steps))
    >>> policy = logarithmic(0.5, decay_steps=10)
    >>> policy
    logarithmic(0.5, decay_steps=10)
    >>> float(policy(0))
    0.5
  """
  if function is None:
    return functools.partial(schedule, together=together, **checks)
  return constructor(function, OpenLoop(_OfArrays(function)), 1, checks, together)


class _OfArrays(NamedTuple):
  """A formula written with `jax.numpy`, which gets the step as a JAX array."""

  function: Callable[..., Any]

  def __call__(self, step: Any, **arguments: Any) -> Any:
    return self.function(jnp.asarray(step, jnp.int32), **arguments)


def formula(
    function: Any = None, /, *, together: Any = None, **checks: _checks.Check
) -> Any:
  """As `schedule`, for lrax's own formulas, which are correctly rounded.

  They are written with `_wide` and `_progress`: where nothing is traced, the
  step is a NumPy array and so is the rate.
  """
  if function is None:
    return functools.partial(formula, together=together, **checks)
  rule = OpenLoop(function, _evaluate.as_numbers)
  return constructor(function, rule, 1, checks, together)

