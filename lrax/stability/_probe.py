"""An optimizer, and the states that are put into it by hand to see what it does."""

from __future__ import annotations

import functools
import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax import state as lrax_state
from lrax.optimizers import _from_text
from lrax.stability import _flat
from lrax.state import _nodes

KNOWN = (
    'gradient descent, with momentum (sgd), an average of gradients (optax.ema) or'
    " Nesterov's; adam, adamw, adamax, adamaxw, nadam, nadamw, radam, amsgrad, yogi and"
    ' rmsprop; each with weight decay'
)
MOMENTA = ('TraceState', 'EmaState')
SQUARES = (
    'ScaleByAdamState', 'ScaleByAmsgradState', 'ScaleByRmsState',
    'ScaleByRmsWithCountState',
)
SQUARED = ('nu', 'nu_max')
_SCHEDULES = ('ScaleByScheduleState', 'WrappedScheduleState')
_NEUTRAL = (
    'LearningRateState', *_SCHEDULES,
    'InjectHyperparamsState', 'InjectStatefulHyperparamsState',
)
LATE = 2**30  # updates after which an average has forgotten its start


class Probe:
  """An optimizer, and the states that are put into it by hand."""

  def __init__(self, owner: str, optimizer: Any, params: chex.ArrayTree):
    self.owner, self.optimizer = owner, optimizer
    self.zeros = jax.tree.map(jnp.zeros_like, _flat.widened(params))
    self.fixed = isinstance(optimizer, optax.GradientTransformation)
    made = [self._made(rate) for rate in ((1.0,) if self.fixed else (1.0, 2.0))]
    self.first = made[0].init(self.zeros)
    kinds = [node.kind for node in _nodes.nodes(self.first)]
    other = [k for k in kinds if k not in (*MOMENTA, *SQUARES, *_NEUTRAL)]
    momenta = [k for k in kinds if k in MOMENTA or k in SQUARES[:2]]
    squares = [k for k in kinds if k in SQUARES]
    if other or len(momenta) > 1 or len(squares) > 1:
      raise self.refuse(f"with the states {', '.join(other or kinds)}")
    scheduled = [k for k in kinds if k in _SCHEDULES]
    if scheduled and not self.fixed:
      raise _checks.refuse(
          owner, 'optimizer', 'a function that makes an optimizer of the fixed rate'
          ' that it is given', f'{name_of(optimizer)}, with the state {scheduled[0]} of'
          ' a schedule', 'give the rate itself: a limit is of the rate of one update',
      )
    self.square = squares[0] if squares else None
    self.momentum = momenta[0] if momenta else None
    for node in self.moments(self.first).values():
      self._refuse_odd(node)
    # The rate of lrax's policies is set by hand; that of others is part of them.
    self.visible = 'LearningRateState' in kinds
    self._updates = [jax.jit(optax.with_extra_args_support(tx).update) for tx in made]
    size = sum(x.size for x in jax.tree.leaves(self.zeros))
    # Small together, so that clipping by norm is far off; a power of two is exact.
    self.small = 2.0 ** (-10 - math.ceil(math.log2(max(size, 1)) / 2))

  def _made(self, rate: float) -> optax.GradientTransformation:
    made = self.optimizer if self.fixed else self.optimizer(rate)
    if not isinstance(made, optax.GradientTransformation):
      raise _checks.refuse(
          self.owner, 'optimizer', 'a function of the rate that returns a'
          ' transformation', type(made).__name__, 'for example lrax.adamw', TypeError,
      )
    return made

  def _refuse_odd(self, node: Any) -> None:
    """Refuses moments that are no plain arrays like the parameters."""
    if 'Rms' in type(node).__name__ and getattr(node, 'mu', None) is not None:
      raise self.refuse('which divides by a variance and not by a mean square')
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    for name, tree in zip(node._fields, node):
      if name == 'count' or tree is None:
        continue
      narrow = name in SQUARED and any(
          jnp.result_type(x).itemsize < 4 for x in jax.tree.leaves(tree)
      )
      if narrow or shapes(tree) != shapes(self.zeros):
        raise self.refuse(f'whose {name} are no float32 arrays like the parameters')

  def refuse(self, what: str) -> Exception:
    name = name_of(self.optimizer)
    return _checks.refuse(
        self.owner, 'optimizer', f'a method whose limit is known: {KNOWN}',
        f'{name}, {what}', 'for others see lrax.stability.critical_learning_rate',
    )

  def moments(self, state: Any) -> dict[str, Any]:
    """The states of momentum and squares in any optimizer state, by their kind."""
    nodes = jax.tree.leaves(state, is_leaf=is_moment)
    return {type(node).__name__: node for node in nodes if is_moment(node)}

  def full(self, value: float) -> chex.ArrayTree:
    return jax.tree.map(lambda x: jnp.full_like(x, value), self.zeros)

  def step(
      self,
      gradient: chex.ArrayTree | None = None,
      momentum: chex.ArrayTree | None = None,
      params: chex.ArrayTree | None = None,
      squares: dict[str, chex.ArrayTree] | None = None,
      count: Any = LATE,
      rate: int = 1,
  ) -> tuple[chex.ArrayTree, dict[str, Any]]:
    """Minus the update, and the moments after it; zeros, and squares 1, if not given.
    """
    ones = self.full(1.0)
    given = {name: ones for name in SQUARED} if squares is None else squares
    or_zeros = lambda tree: self.zeros if tree is None else tree

    def put(node):
      if not is_moment(node):
        return node
      new = {**given, 'count': jnp.asarray(count, jnp.int32)}
      new |= {name: or_zeros(momentum) for name in ('trace', 'ema', 'mu')}
      alike = lambda old, x: jnp.asarray(x, jnp.result_type(old))
      return node._replace(**{
          name: jax.tree.map(alike, getattr(node, name), new[name])
          for name in node._fields
          if getattr(node, name) is not None
      })

    state = jax.tree.map(put, self.first, is_leaf=is_moment)
    if self.visible:
      state = lrax_state.set_learning_rate(state, float(rate))
    update = self._updates[min(rate, len(self._updates)) - 1]
    try:
      updates, state = update(or_zeros(gradient), state, or_zeros(params))
    except TypeError as error:
      if 'keyword-only argument' not in str(error):
        raise
      raise self.refuse(
          'whose update needs more than gradients and parameters'
      ) from error
    return jax.tree.map(jnp.negative, updates), self.moments(state)


def is_moment(node: Any) -> bool:
  """Whether it is a state that holds a momentum or an average of squares."""
  return type(node).__name__ in (*MOMENTA, *SQUARES)


def as_optimizer(optimizer: Any, owner: str) -> Any:
  """A function of the rate, or a transformation.

  Raises:
    TypeError: it is neither, nor a text.
    ValueError: the text names no optimizer of lrax, or its arguments are bad.
  """
  if isinstance(optimizer, str):
    return _from_text.optimizer(optimizer, owner)
  if not (isinstance(optimizer, optax.GradientTransformation) or callable(optimizer)):
    raise _checks.refuse(
        owner, 'optimizer', 'a function of the rate, a transformation, or a name',
        optimizer, 'for example lrax.adamw or "sgd(momentum=0.9)"', TypeError,
    )
  return optimizer


def name_of(optimizer: Any) -> str:
  """What to call an optimizer in a report."""
  if isinstance(optimizer, str):
    return optimizer
  if isinstance(optimizer, functools.partial):
    arguments = [f'{v!r}' for v in optimizer.args]
    arguments += [f'{k}={v!r}' for k, v in optimizer.keywords.items()]
    return f"{name_of(optimizer.func)}({', '.join(arguments)})"
  if isinstance(optimizer, optax.GradientTransformation):
    return 'a transformation'
  return getattr(optimizer, '__name__', type(optimizer).__name__)
