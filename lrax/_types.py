"""The contract: a learning-rate policy is a gradient transformation.

`Schedule` is one object with three faces:

* a pair `(init, update)` whose `update` multiplies the updates by minus the
  rate, so it is a link of any `optax.chain`, at its end;
* a callable `schedule(step)`, so every optax optimizer takes it as
  `learning_rate`, and `optax.inject_hyperparams` takes it for any argument;
* a value: it prints as the call that made it, compares, hashes, pickles, and
  goes to and from a plain dict.

Every policy keeps the same state, `LearningRateState`, so that a constant, a
schedule and an override restore from each other's checkpoints.

What a member of the family says is its `Rule`: how it starts and how it
decides. An open-loop rule is a function of the step alone and keeps no memory;
a closed-loop rule also reads `Signals` of the training and remembers. A
combination has a rule too, made of its parts' rules, so both kinds compose.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import functools
import inspect
from typing import Any
from typing import NamedTuple
from typing import Protocol

import chex
import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np
import optax

# A Python number, or a scalar array of NumPy or JAX, traced too.
Numeric = Any

# The largest step a clock can show; clocks are int32 and stop there.
MAX_STEP = 2**31 - 1

# So many steps at once are evaluated by a compiled program.
_MANY = 2**17


class LearningRateState(NamedTuple):
  """What every learning-rate policy keeps between updates.

  `rate dtype` is float32, or float64 where `jax_enable_x64` is set. An override
  of NaN says that there is none, so `jax_debug_nans`, which stops at any NaN,
  stops at this state too.
  """

  step: jax.Array  # int32, shape (): updates seen; the policy's own clock
  learning_rate: jax.Array  # rate dtype, (): rate of the latest update
  scale: jax.Array  # rate dtype, (): multiplies the policy's rate; 1.0
  override: jax.Array  # rate dtype, (): replaces the rate; NaN: follow policy
  memory: chex.ArrayTree  # () for open loop; what a closed loop remembers


class ClosedLoopMemory(NamedTuple):
  """What one closed-loop policy keeps in `LearningRateState.memory`."""

  reported: jax.Array  # rate dtype, (): metric since the last update, or NaN
  rate: jax.Array  # rate dtype, (): what it gave last; holds while it is idle
  kept: chex.ArrayTree  # the policy's own memory


class ScheduledState(NamedTuple):
  """What a method keeps whose numbers are schedules: momentum, b1, weight decay.

  Any number of an optimizer or a `scale_by_*` that is used at every update may be
  a `lrax.Schedule`, open or closed loop, or any function of the step such as an
  optax schedule; a number that is read once, as `initial_scale`, may not. The
  values are computed in float32, or float64 under x64, whatever the dtype of the
  parameters, from a clock of their own: `restart_schedule` and its kin act on the
  learning rate only. A closed loop gets the updates, the parameters and the
  keyword arguments of the update. A change of value does not recompile.
  `lrax.metrics` lists the values.

  Values of step 0 are checked when the optimizer is built, and every value where
  `update` runs outside `jax.jit`. Inside it a value cannot be checked: it is for
  the schedule to stay in range.

  With plain numbers there is no such state.
  """

  step: jax.Array  # int32, (): updates seen; the clock of these schedules
  values: dict[str, jax.Array]  # rate dtype, (): those of the latest update
  memories: dict[str, chex.ArrayTree]  # () for open loop; by argument, as values
  weights: dict[str, jax.Array]  # rate dtype, (): gathered by averages from 0
  inner_state: Any  # the state of the method itself


class MissingSignal(ValueError):
  """An update lacks what a closed-loop policy listens to."""


class Signals(NamedTuple):
  """What an update tells a closed-loop policy about the training."""

  updates: chex.ArrayTree | None  # the updates as they reach the policy
  params: chex.ArrayTree | None  # the parameters, if `update` was given them
  reported: jax.Array | None  # the metric given to `lrax.report`, or NaN
  extra_args: Mapping[str, Any]  # keyword arguments of `update`: value=, grad=
  active: Any = True  # bool, (): False where the policy is not the one in use

  def require(self, argument: str, policy: str) -> Any:
    """Returns `extra_args[argument]`, or says who needs it and how to give it."""
    if self.extra_args.get(argument) is None:
      raise MissingSignal(
          f'{policy}: needs the signal `{argument}`, which this update did not'
          f' get; call tx.update(grads, state, params, {argument}=...).'
      )
    return self.extra_args[argument]


class Rule(Protocol):
  """How a kind of policy starts and decides, given its arguments."""

  def closed_loop(self, arguments: Mapping[str, Any]) -> bool:
    """Whether the rate depends on more than the step."""
    ...

  def start(self, arguments: Mapping[str, Any]) -> tuple[Any, chex.ArrayTree]:
    """Returns the rate before any signal, and the memory at the start."""
    ...

  def decide(
      self,
      arguments: Mapping[str, Any],
      step: jax.Array,
      memory: chex.ArrayTree,
      signals: Signals | None,
  ) -> tuple[Any, chex.ArrayTree]:
    """Returns the rate of this update and the memory after it."""
    ...


def rate_dtype() -> Any:
  """float32, or float64 where `jax_enable_x64` is set."""
  return jnp.result_type(float)


class Schedule(optax.GradientTransformationExtraArgs):
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

  constructor: Callable[..., Schedule]
  arguments: dict[str, Any]
  rule: Rule
  value: Callable[[Numeric], jax.Array]

  def __new__(
      cls,
      constructor: Callable[..., Schedule],
      rule: Rule,
      arguments: dict[str, Any],
  ) -> Schedule:
    # The functions hold the parts and not `self`: no reference cycle keeps a
    # traced hyperparameter alive after its trace.
    parts = (constructor.__name__, rule, arguments)
    update: Any = functools.partial(_update, *parts)
    self = super().__new__(cls, functools.partial(_init, *parts), update)
    self.constructor = constructor
    self.arguments = arguments
    self.rule = rule
    self.value = functools.partial(_value, *parts)
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
    if isinstance(step, LearningRateState):
      name = self.constructor.__name__
      signals = Signals(None, None, None, extra_args)
      try:
        return _advance(name, self.rule, self.arguments, step, signals)[0]
      except MissingSignal:
        if extra_args:
          raise
        return step.learning_rate  # Optax's init, before any signal
    if np.size(step) > _MANY and not isinstance(step, Tracer):
      return _compiled(self, as_step(self.constructor.__name__, step))
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
    return {
        'schedule': self.constructor.__name__,
        'arguments': {k: _plain(self, k, v) for k, v in self.arguments.items()},
    }

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

  def __repr__(self) -> str:
    show = getattr(self.rule, 'show', None)
    return show(self) if show else show_call(self)

  def __eq__(self, other: Any) -> bool:
    return isinstance(other, Schedule) and _key(self) == _key(other)

  def __ne__(self, other: Any) -> bool:
    return not self == other

  def __hash__(self) -> int:
    return hash(_key(self))

  def __reduce__(self):
    return _rebuild, (self.constructor, self.arguments)


def _algebra() -> Any:
  """The functions behind the methods; they are made of schedules themselves."""
  from lrax.schedules import _algebra

  return _algebra


def show_call(schedule: Schedule, skip: tuple[str, ...] = ()) -> str:
  """`name(first, other=..., ...)`, without arguments left at their defaults."""
  name = schedule.constructor.__name__
  return f'{name}({show_arguments(schedule, skip)})'


def show_arguments(schedule: Schedule, skip: tuple[str, ...] = ()) -> str:
  """The arguments of the call, the first one by position."""
  parameters = inspect.signature(schedule.constructor).parameters
  shown = []
  named = [(k, v) for k, v in schedule.arguments.items() if k not in skip]
  for index, (name, value) in enumerate(named):
    default = parameters[name].default
    plain = (bool, int, float, str, type(None))
    if isinstance(value, plain) and value == default:
      continue
    text = _show_value(value)
    shown.append(text if index == 0 else f'{name}={text}')
  return ', '.join(shown)


def _show_value(value: Any) -> str:
  if isinstance(value, tuple) and not isinstance(value, Schedule):
    return '[' + ', '.join(_show_value(v) for v in value) + ']'
  if isinstance(value, Tracer):
    return '<traced>'
  if isinstance(value, (jax.Array, np.ndarray)) and not value.ndim:
    value = value.item()
  return repr(value)


def _plain(schedule: Schedule, name: str, value: Any) -> Any:
  """The argument as plain Python, for `to_dict`."""
  if isinstance(value, Schedule):
    return value.to_dict()
  if isinstance(value, tuple):
    return [_plain(schedule, name, v) for v in value]
  if isinstance(value, Tracer) or callable(value):
    what = 'traced' if isinstance(value, Tracer) else 'a function'
    raise ValueError(
        f'{schedule.constructor.__name__}: `{name}` must be a plain value to go'
        f' into a dict, got one that is {what}; keep the code that builds it.'
    )
  if np.ndim(value):
    raise ValueError(
        f'{schedule.constructor.__name__}: `{name}` must be a scalar to go into a'
        f' dict, got an array of shape {np.shape(value)}; take one schedule of'
        ' those that were mapped.'
    )
  return np.asarray(value).item() if _is_array(value) else value


def _key(value: Any) -> Any:
  """What two equal schedules share: numbers by value, traced ones by identity."""
  if isinstance(value, Schedule):
    arguments = tuple((k, _key(v)) for k, v in value.arguments.items())
    return (value.constructor, arguments)
  if isinstance(value, tuple):
    return tuple(_key(v) for v in value)
  if isinstance(value, Tracer):
    return ('traced', id(value))
  if isinstance(value, (jax.Array, np.ndarray)):
    array = np.asarray(value)
    return (array.shape, *array.ravel().tolist()) if array.ndim else array.item()
  return value


def _rebuild(constructor, arguments):
  return constructor(**arguments)


def as_arrays(arguments: Mapping[str, Any]) -> dict[str, Any]:
  """Array hyperparameters in the rate's dtype; Python numbers stay exact."""
  return {name: _ready(value, known=False) for name, value in arguments.items()}


def as_numbers(arguments: Mapping[str, Any]) -> dict[str, Any]:
  """The same, but arrays that are not traced are Python numbers too."""
  return {name: _ready(value, known=True) for name, value in arguments.items()}


def _ready(value: Any, known: bool) -> Any:
  if isinstance(value, tuple) and not isinstance(value, Schedule):
    return tuple(_ready(v, known) for v in value)
  if not isinstance(value, (jax.Array, np.ndarray)):
    return value
  floating = jnp.issubdtype(value.dtype, jnp.floating)
  if known and not isinstance(value, Tracer):
    value = np.asarray(value, np.float64 if floating else np.int64)
    return value if value.ndim else value.item()
  return jnp.asarray(value, rate_dtype() if floating else value.dtype)


def decide(
    rule: Rule,
    arguments: Mapping[str, Any],
    step: Any,
    memory: chex.ArrayTree,
    signals: Signals | None,
) -> tuple[Any, chex.ArrayTree]:
  """The rule's rate, not rounded yet, and its memory.

  Where the step and all hyperparameters are known, rules compute with NumPy in
  float64 and nothing is compiled; else with JAX.
  """
  known = isinstance(step, (np.ndarray, np.generic)) and not any(
      isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments)
  )
  if known:
    step = np.maximum(step.astype(np.int64), 0)
  else:
    step = jnp.maximum(jnp.asarray(step, jnp.int32), 0)
  with np.errstate(all='ignore'):
    return rule.decide(arguments, step, memory, signals)


def as_rate(rate: Any, shape: tuple[int, ...] = ()) -> jax.Array:
  """The rate rounded to the rate's dtype, in the steps' shape."""
  if hasattr(rate, 'rounded'):  # wider than the dtype: see schedules._wide
    rate = rate.rounded()
  with np.errstate(all='ignore'):
    return jnp.broadcast_to(jnp.asarray(rate, rate_dtype()), shape)


def as_step(name: str, step: Any) -> Any:
  """`step` as int32 of its own shape, refused if it is no count.

  A NumPy array where its values are known, else a traced one.
  """
  if isinstance(step, float) and step.is_integer():
    step = int(step)
  if isinstance(step, int) and not isinstance(step, bool):
    if step > MAX_STEP:
      raise _past_the_clock(name, step)
    step = max(step, -1)
  array: Any = step if isinstance(step, jax.Array) else np.asarray(step)
  if not jnp.issubdtype(array.dtype, jnp.integer):
    raise TypeError(
        f'{name}: `step` must be a whole number or an integer array, got'
        f' {array.dtype} {step!r}; steps count optimizer updates.'
    )
  if not isinstance(array, Tracer) and np.size(array) <= _MANY:
    array = np.asarray(array)
  if isinstance(array, np.ndarray):
    if array.size and array.max() > MAX_STEP:
      raise _past_the_clock(name, array.max())
    # A wide integer far below 0 must not wrap around.
    return np.maximum(array.astype(np.int64), -1).astype(np.int32)
  if jnp.iinfo(array.dtype).max > MAX_STEP:
    array = jnp.minimum(array, jnp.asarray(MAX_STEP, array.dtype))
    if jnp.issubdtype(array.dtype, jnp.signedinteger):
      array = jnp.maximum(array, -1)
  return jnp.asarray(array, jnp.int32)


def _past_the_clock(name: str, step: Any) -> ValueError:
  return ValueError(
      f'{name}: `step` must be at most 2**31 - 1, got {step}; clocks are int32.'
  )


def _value(name, rule, arguments, step):
  if rule.closed_loop(arguments):
    raise TypeError(
        f'{name}: is closed loop: its rate depends on signals of the training,'
        ' so it has no value at a step alone; put it in an optimizer and read'
        ' lrax.get_learning_rate(opt_state).'
    )
  step = as_step(name, step)
  return as_rate(decide(rule, arguments, step, (), None)[0], step.shape)


@jax.jit
def _compiled(schedule, step):
  return schedule.value(step)


def _init(name, rule, arguments, params=None):
  del name, params
  rate, memory = rule.start(arguments)
  dtype = rate_dtype()
  return LearningRateState(
      step=jnp.zeros((), jnp.int32),
      learning_rate=as_rate(rate),
      scale=jnp.ones((), dtype),
      override=jnp.full((), jnp.nan, dtype),
      memory=memory,
  )


def _advance(name, rule, arguments, state, signals):
  """The rate to apply now, and the state after it."""
  if not isinstance(state, LearningRateState):
    raise TypeError(
        f'{name}: `state` must be the LearningRateState that init returned, got'
        f' {type(state).__name__}; call init first.'
    )
  step = state.step
  if not isinstance(step, Tracer):
    step = np.asarray(step)
  rate, memory = decide(rule, arguments, step, state.memory, signals)
  rate = as_rate(rate, jnp.shape(step))
  scaled, override = rate * state.scale, state.override
  rate = jnp.where(jnp.isnan(override), scaled, override)
  # The same number by another instruction. Were it the same one, an output of the
  # step, XLA on CPU would compute it after all the moments: those of every leaf
  # would leave the cache before their parameters are updated, 10% of an AdamW step.
  shown = jnp.where(override == override, override, scaled)
  state = state._replace(
      step=optax.safe_increment(state.step),
      learning_rate=shown.astype(state.learning_rate.dtype),
      memory=_forget_reports(memory),
  )
  return rate, state


def _forget_reports(memory: Any) -> Any:
  """A report is used up by the next update, whoever listened to it."""
  is_memory = lambda x: isinstance(x, ClosedLoopMemory)

  def forget(node: Any) -> Any:
    if not is_memory(node):
      return node
    return node._replace(reported=jnp.full_like(node.reported, jnp.nan))

  return jax.tree.map(forget, memory, is_leaf=is_memory)


def _update(name, rule, arguments, updates, state=None, params=None, **extra_args):
  # Optax's protocol of stateful hyperparameters: update(state) -> state.
  if state is None and isinstance(updates, LearningRateState):
    signals = Signals(None, None, None, extra_args)
    return _advance(name, rule, arguments, updates, signals)[1]
  signals = Signals(updates, params, None, extra_args)
  rate, state = _advance(name, rule, arguments, state, signals)
  scale = functools.partial(_times_minus, name, rate)
  return jax.tree.map(scale, updates), state


def _times_minus(name, rate, update):
  """`-rate * update` in float32 or wider, returned in the update's dtype."""
  dtype = jnp.result_type(update)
  if not jnp.issubdtype(dtype, jnp.inexact):
    raise TypeError(
        f'{name}: `updates` must be floating-point arrays, got {dtype};'
        ' take gradients with respect to floating-point parameters only.'
    )
  compute = jnp.promote_types(dtype, jnp.float32)
  wide = jnp.asarray(update, compute)
  return (wide * -rate.astype(jnp.finfo(compute).dtype)).astype(dtype)


def _is_array(leaf: Any) -> bool:
  return isinstance(leaf, (jax.Array, np.ndarray))


def _flatten(schedule: Schedule):
  leaves, treedef = jax.tree.flatten(schedule.arguments)
  arrays = tuple(leaf for leaf in leaves if _is_array(leaf))
  static = tuple(None if _is_array(leaf) else (leaf,) for leaf in leaves)
  names = tuple(schedule.arguments)
  return arrays, (schedule.constructor, schedule.rule, names, treedef, static)


def _unflatten(aux, arrays):
  constructor, rule, names, treedef, static = aux
  remaining = iter(arrays)
  leaves = [next(remaining) if s is None else s[0] for s in static]
  arguments = jax.tree.unflatten(treedef, leaves)
  return Schedule(constructor, rule, {name: arguments[name] for name in names})


jax.tree_util.register_pytree_node(Schedule, _flatten, _unflatten)
