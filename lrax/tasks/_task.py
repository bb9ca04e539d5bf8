"""`Task`: what to train, in the one form that every tool takes."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax.tasks import _data


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
  """A model, its loss and its data: what tuning and diagnosis train.

  The functions are pure; lrax compiles them and never changes your parameters.
  In the plain form

      init(key) -> params
      loss(params, batch, key) -> scalar
      evaluate(params, batch) -> scalar

  and with `stateful=True`, for models with state that is not trained, such as
  BatchNorm's averages,

      init(key) -> (params, state)
      loss(params, state, batch, key) -> (scalar, state)
      evaluate(params, state, batch) -> scalar

  `key` is new at every step, for dropout.

  Args:
    init: makes the parameters, any pytree of floating-point arrays.
    loss: the mean loss over a batch, to be minimised; it may be negative.
    train: where training batches come from: `Arrays`, `Drawn` or `Stream`.
    validation: what to judge a rate on: the same kinds. The losses of its
      batches are averaged, weighted by the length of their first axis.
    steps: optimizer updates of a full training run, a whole number >= 1.
    evaluate: the mean loss over a validation batch, without dropout. None for
      `loss` with the key None; needed if `stateful`.
    stateful: whether the functions are of the second form.
    name: what to call it in messages and figures.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: `steps` is out of range, or `evaluate` is missing; while it is
      traced, a loss that is not a real scalar.

  Source:
    lrax's own.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> import numpy as np
    >>> x = np.linspace(-1.0, 1.0, 32)
    >>> data = lrax.tasks.Arrays((x, 3 * x), batch_size=8)
    >>> def loss(params, batch, key):
    ...   inputs, targets = batch
    ...   return jnp.mean((params['w'] * inputs - targets) ** 2)
    >>> task = lrax.tasks.Task(
    ...     init=lambda key: {'w': jnp.zeros(())}, loss=loss, train=data,
    ...     validation=data, steps=100, name='line')
    >>> task.steps
    100
  """

  init: Callable[..., Any]
  loss: Callable[..., Any]
  train: _data.Source
  validation: _data.Source
  steps: int
  evaluate: Callable[..., Any] | None = None
  stateful: bool = False
  name: str = 'task'

  def __post_init__(self):
    for name in ('init', 'loss', 'evaluate'):
      function = getattr(self, name)
      if not callable(function) and not (name == 'evaluate' and function is None):
        raise _checks.refuse(
            'Task', name, 'a function', function, 'see the Task docstring',
            TypeError,
        )
    for name in ('train', 'validation'):
      source = getattr(self, name)
      if not isinstance(source, _data.Source):
        raise _checks.refuse(
            'Task', name, 'Arrays, Drawn or Stream of lrax.tasks',
            type(source).__name__, 'wrap arrays as Arrays(data, batch_size)',
            TypeError,
        )
    if not isinstance(self.name, str):
      raise _checks.refuse(
          'Task', 'name', 'a string', self.name, 'it is for messages', TypeError
      )
    steps = _checks.positive_steps('Task', 'steps', self.steps)
    if isinstance(steps, jax.Array):
      steps = int(steps)
    object.__setattr__(self, 'steps', steps)
    stateful = _checks.flag('Task', 'stateful', self.stateful)
    if stateful and self.evaluate is None:
      raise _checks.refuse(
          'Task', 'evaluate', 'given where `stateful` is True', None,
          'it judges the model with its state as it is',
      )

  def start(self, key: chex.PRNGKey) -> tuple[Any, Any]:
    """The parameters and the state before training; state () where none."""
    made = self.init(key)
    if not self.stateful:
      return self._trainable(made), ()
    if not isinstance(made, tuple) or len(made) != 2:
      raise TypeError(
          f'{self.name}: `init` must return (params, state) where `stateful` is'
          f' True, got {type(made).__name__}; return () for no state.'
      )
    return self._trainable(made[0]), made[1]

  def _trainable(self, params: Any) -> Any:
    """The parameters, refused if one of them has no gradient."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
      if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
        raise TypeError(
            f'{self.name}: `init` must return floating-point parameters, got'
            f' {jnp.result_type(leaf)} at {jax.tree_util.keystr(path) or "the root"};'
            ' keep what is not trained in the state, with stateful=True.'
        )
    return params

  def training_loss(
      self, params: Any, state: Any, batch: Any, key: chex.PRNGKey
  ) -> tuple[jax.Array, Any]:
    """The loss on a batch and the state after it, in either form."""
    if not self.stateful:
      return self._scalar('loss', self.loss(params, batch, key)), state
    result = self.loss(params, state, batch, key)
    if not isinstance(result, tuple) or len(result) != 2:
      raise TypeError(
          f'{self.name}: `loss` must return (loss, state) where `stateful` is'
          f' True, got {type(result).__name__}; return the state unchanged if'
          ' it is.'
      )
    return self._scalar('loss', result[0]), result[1]

  def validation_loss(self, params: Any, state: Any, batch: Any) -> jax.Array:
    """The loss on a validation batch, in either form."""
    if self.stateful:
      assert self.evaluate is not None
      return self._scalar('evaluate', self.evaluate(params, state, batch))
    if self.evaluate is None:
      try:
        value = self.loss(params, batch, None)
      except Exception as error:
        raise TypeError(
            f'{self.name}: `evaluate` must be given, since `loss` fails with the'
            f' key None, as it is called to validate: {error}'
        ) from error
      return self._scalar('loss', value)
    return self._scalar('evaluate', self.evaluate(params, batch))

  def _scalar(self, name: str, value: Any) -> jax.Array:
    """The value, refused while tracing if it is no real scalar."""
    rule = None
    if not isinstance(value, (jax.Array, np.ndarray, np.generic, int, float)):
      rule = f'a {type(value).__name__}'
    elif jnp.shape(value) != ():
      rule = f'an array of shape {jnp.shape(value)}'
    elif not jnp.issubdtype(jnp.result_type(value), jnp.floating):
      rule = f'a scalar of {jnp.result_type(value)}'
    if rule:
      raise TypeError(
          f'{self.name}: `{name}` must return a floating-point scalar, got'
          f' {rule}; take the mean over the batch.'
      )
    return jnp.asarray(value)
