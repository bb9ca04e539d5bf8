"""`Schedule`: a learning-rate policy is a gradient transformation.

It is one object with three faces:

* a pair `(init, update)` whose `update` multiplies the updates by minus the
  rate, so it is a link of any `optax.chain`, at its end;
* a callable `schedule(step)`, so every optax optimizer takes it as
  `learning_rate`, and `optax.inject_hyperparams` takes it for any argument;
* a value: it prints as the call that made it, compares, hashes, pickles, and
  goes to and from a plain dict.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import functools
from typing import Any

import jax
from jax.core import Tracer
import numpy as np
import optax

from lrax import _call
from lrax import _evaluate
from lrax import _types


class Schedule(_call.Call, optax.GradientTransformationExtraArgs):
  """A learning-rate policy: `(init, update)`, a function of the step, a value.

  Made by the functions of `lrax.schedules` and `lrax.control`, and by the
  decorator `lrax.schedule`; not by calling the class.

  As a link of a chain it multiplies the updates by **minus** the rate, in
  float32 or wider whatever the dtype of the updates, and returns them in their
  own dtype. As a pytree, its array hyperparameters are leaves and its Python
  numbers are static, so `jax.vmap`, `jax.grad` and `jax.jit` map over, derive
  through and trace exactly those.

  A tuple's subclass takes no weak references, so `jax.jit(schedule)` fails:
  `schedule.value` is the plain function for that.

  Attributes:
    init: `init(params=None)` returns a `LearningRateState`.
    update: `update(updates, state, params=None, **extra_args)` returns
      `(-rate * updates, state)`.
    constructor: the public function that made it.
    arguments: the arguments it was made with, defaults filled in.

  Example:
    >>> import lrax
    >>> policy = lrax.cosine_annealing(0.1, steps=100).with_warmup(10)
    >>> policy
    cosine_annealing(0.1, steps=100).with_warmup(10)
    >>> float(policy(10))
    0.10000000149011612
    >>> policy == lrax.Schedule.from_dict(policy.to_dict())
    True
  """

  # NumPy would take a tuple's subclass for a sequence: number * schedule.
  __array_ufunc__ = None

  value: Callable[[_types.Numeric], jax.Array]

  def __new__(
      cls,
      constructor: Callable[..., Schedule],
      rule: _types.Rule,
      arguments: dict[str, Any],
  ) -> Schedule:
    # The functions hold the parts and not `self`: no reference cycle keeps a
    # traced hyperparameter alive after its trace.
    parts = (constructor.__name__, rule, arguments)
    update: Any = functools.partial(_evaluate.update, *parts)
    self = super().__new__(cls, functools.partial(_evaluate.init, *parts), update)
    self.constructor = constructor
    self.arguments = arguments
    self.rule = rule
    self.value = functools.partial(_evaluate.value, *parts)
    return self

  @property
  def closed_loop(self) -> bool:
    """Whether the rate depends on signals of the training too."""
    return self.rule.closed_loop(self.arguments)

  def __call__(self, step: Any, **extra_args: Any) -> jax.Array:
    """Returns the rate at `step`, int of any shape; below 0 the rate of step 0.

    Optax's protocol of stateful hyperparameters passes a `LearningRateState`
    instead, and gets the rate of the next update.
    """
    name = self.constructor.__name__
    if isinstance(step, _types.LearningRateState):
      signals = _types.Signals(None, None, None, extra_args)
      try:
        return _evaluate.advance(name, self.rule, self.arguments, step, signals)[0]
      except _types.MissingSignal:
        if extra_args:
          raise
        return step.learning_rate  # Optax's init, before any signal
    if np.size(step) > _evaluate.MANY and not isinstance(step, Tracer):
      return _evaluate.compiled(self, _evaluate.as_step(name, step))
    return self.value(step)

  def with_warmup(
      self,
      steps: Any,
      init_value: Any = 0.0,
      shape: str = 'linear',
      shape_parameter: Any = None,
  ) -> Schedule:
    """Puts a warmup of `steps` in front; see `schedules.with_warmup`."""
    return _algebra().with_warmup(self, steps, init_value, shape, shape_parameter)

  def cooldown(
      self,
      at: Any,
      steps: Any,
      shape: str = 'linear',
      end_value: Any = 0.0,
      shape_parameter: Any = None,
  ) -> Schedule:
    """Leaves for `end_value` at step `at`; see `schedules.cooldown`."""
    return _algebra().cooldown(self, at, steps, shape, end_value, shape_parameter)

  def then(self, following: Any, at: Any) -> Schedule:
    """Follows another schedule from step `at` on; see `schedules.then`."""
    return _algebra().then(self, following, at)

  def repeat(self, steps: Any, times: Any = None) -> Schedule:
    """Starts again every `steps`; see `schedules.repeat`."""
    return _algebra().repeat(self, steps, times)

  def shift(self, steps: Any) -> Schedule:
    """Comes `steps` later, or sooner; see `schedules.shift`."""
    return _algebra().shift(self, steps)

  def stretch(self, factor: Any) -> Schedule:
    """Takes `factor` times as long; see `schedules.stretch`."""
    return _algebra().stretch(self, factor)

  def every(self, steps: Any) -> Schedule:
    """Moves once in so many updates; see `schedules.every`."""
    return _algebra().every(self, steps)

  def clip(self, min_value: Any = 0.0, max_value: Any = None) -> Schedule:
    """Keeps the rate within bounds; see `schedules.clip`."""
    return _algebra().clip(self, min_value, max_value)

  def with_noise(
      self,
      seed: Any,
      limit: Any = 0.67,
      std: Any = 1.0,
      distribution: str = 'normal',
  ) -> Schedule:
    """Multiplies by noise that the step gives; see `schedules.with_noise`."""
    return _algebra().with_noise(self, seed, limit, std, distribution)

  # To a tuple `*` and `+` mean repetition and concatenation, of other operands.
  def __mul__(self, other: Any) -> Schedule:  # type: ignore[override]
    return _algebra().product(self, other)

  def __rmul__(self, other: Any) -> Schedule:  # type: ignore[override]
    return _algebra().product(other, self)

  def __add__(self, other: Any) -> Schedule:  # type: ignore[override]
    return _algebra().sum(self, other)

  def __radd__(self, other: Any) -> Schedule:
    return _algebra().sum(other, self)

  def to_dict(self) -> dict[str, Any]:
    """Returns the expression as nested dicts of plain Python values.

    Raises:
      ValueError: a hyperparameter is traced, or is a function.
    """
    return _call.as_dict(self)

  @staticmethod
  def from_dict(
      config: Mapping[str, Any],
      constructors: Mapping[str, Callable[..., Schedule]] | None = None,
  ) -> Schedule:
    """Builds the schedule that `to_dict` described.

    Args:
      config: what `to_dict` returned, or the same written by hand.
      constructors: your own constructors by name, beside lrax's.

    Raises:
      ValueError: an unknown name, or what the constructor refuses.
      TypeError: `config` is not such a dict.
    """
    from lrax.schedules import _from_dict

    return _from_dict.from_dict(config, constructors)


def _algebra() -> Any:
  """The functions behind the methods; they are made of schedules themselves."""
  from lrax.schedules import _algebra

  return _algebra


def _flatten(schedule: Schedule):
  leaves, treedef = jax.tree.flatten(schedule.arguments)
  arrays = tuple(leaf for leaf in leaves if _call.is_array(leaf))
  static = tuple(None if _call.is_array(leaf) else (leaf,) for leaf in leaves)
  names = tuple(schedule.arguments)
  return arrays, (schedule.constructor, schedule.rule, names, treedef, static)


def _unflatten(aux, arrays):
  constructor, rule, names, treedef, static = aux
  remaining = iter(arrays)
  leaves = [next(remaining) if s is None else s[0] for s in static]
  arguments = jax.tree.unflatten(treedef, leaves)
  return Schedule(constructor, rule, {name: arguments[name] for name in names})


jax.tree_util.register_pytree_node(Schedule, _flatten, _unflatten)
