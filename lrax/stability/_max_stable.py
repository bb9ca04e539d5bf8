"""The highest stable rate of an optimizer on a task, from the curvature there."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import chex
import jax
import numpy as np

from lrax import _checks
from lrax import tasks
from lrax._types import Numeric
from lrax.stability import _limits
from lrax.stability import _preconditioned
from lrax.stability import _probe
from lrax.stability import _recognise
from lrax.stability import _task_product


@dataclasses.dataclass(frozen=True)
class Limit:
  """The highest stable rate, how sure it is, and under what assumptions.

  Attributes:
    learning_rate: the limit: above it the loss leaves the place it is at. inf where
      nothing curves upwards, NaN where the curvature is not finite.
    sharpness: the largest eigenvalue of what the method sees: of H, of P^-1 H where
      it divides by P, with its weight decay: the limit is
      2 * (1 + momentum) / (gain * sharpness).
    error: how far off `sharpness` may be, by Lanczos' residual.
    interval: the limits of the sharpness plus and minus the error.
    method: what the optimizer was recognised as.
    momentum: the share of the velocity that is kept; b1 of Adam.
    gain: what the method multiplies the curvature by; see `stability_limit`.
    weight_decay: the largest coefficient of the weight decay for a rate of 1,
      decoupled or in the gradient; 0 for none.
    converged: whether the error is as small as was asked for.
    products: Hessian-vector products that it took.
    assumptions: when it holds, a sentence each.
    optimizer: the optimizer, as text.
    task: the task's name.
  """

  learning_rate: float
  sharpness: float
  error: float
  interval: tuple[float, float]
  method: str
  momentum: float
  gain: float
  weight_decay: float
  converged: bool
  products: int
  assumptions: tuple[str, ...]
  optimizer: str
  task: str

  def __str__(self) -> str:
    name = f'{self.optimizer} ({self.method}) on {self.task}'
    if math.isnan(self.learning_rate):
      return (
          f'{name}: the curvature is not finite, so no limit is known; look at the'
          ' parameters and the loss there.'
      )
    at = f'the sharpness is {self.sharpness:.4g} +- {self.error:.1g}'
    if math.isinf(self.learning_rate):
      said = [f'{name}: no limit: nothing curves upwards there, {at}.']
    else:
      low, high = self.interval
      said = [
          f'{name}: stable up to a rate of {self.learning_rate:.4g} ({low:.4g} to'
          f' {high:.4g}); {at}.'
      ]
    if not self.converged:
      said.append(
          f'Not converged in {self.products} products: the sharpness may be higher;'
          ' give more `steps`.'
      )
    return ' '.join([*said, *self.assumptions])

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; NaN and infinities as None, for valid JSON."""

    def plain(value: Any) -> Any:
      if isinstance(value, tuple):
        return [plain(v) for v in value]
      return None if isinstance(value, float) and not math.isfinite(value) else value

    return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}


def max_stable_learning_rate(
    task: tasks.Task,
    params: chex.ArrayTree,
    optimizer: Any = 'sgd',
    state: Any = None,
    opt_state: Any = None,
    *,
    key: chex.PRNGKey | None = None,
    batches: int | None = None,
    steps: int = 64,
    rtol: Numeric = 1e-3,
) -> Limit:
  """The highest rate at which an optimizer is stable where the parameters are.

  The largest eigenvalue of the Hessian of the mean training loss, by Lanczos, put
  into the optimizer's own limit. What the optimizer is it finds out by trying it on
  a few small gradients, so it may be a text, a function of the rate or a made
  transformation, of lrax or of Optax, with weight decay of either kind, with masks,
  and with a gradient clipping that is out of reach.

  It is a local limit of the whole training loss. At initialisation the curvature
  often falls fast, or grows until the rate is at its limit; and noise of small
  batches lowers the rate that trains well, usually below half of it.

  Formula:
    learning_rate = 2 * (1 + momentum) / (gain * sharpness)
    sharpness = the largest eigenvalue of
      P^-1/2 (H + l2) P^-1/2 + (1 + momentum) / gain * weight_decay

    with the gains of `stability_limit`; l2 is a decay that is part of the gradient,
    weight_decay a decoupled one for a rate of 1. P is what Adam and its kin divide
    by in the state given, (1 - b1 ** t) * (sqrt(nu / (1 - b2 ** t)) + eps) after t
    updates, and 1 for others. Adamax divides by nu for the root, and the P of Nadam,
    whose gradient and momentum have bias corrections of their own early in a run, is
    that of both at the limit. A decay that no rate scales, of d a step, multiplies P
    by 1 - d / 2 and divides weight_decay by it.

  Args:
    task: what is trained; see `task_product` for what is done with its batches.
    params: where: a pytree of real floating-point arrays.
    optimizer: a function of the rate that returns an optimizer, such as
      `lrax.adamw`, a text such as 'sgd(momentum=0.9)', or a made transformation.
      One of lrax's shows its rate (`lrax.get_learning_rate`), and the limit is of
      that. A made one of Optax's does not: the limit is then of all the factors of
      its updates together, so that `optax.sgd(0.1)` and
      `optax.chain(optax.scale(10.0), optax.sgd(0.1))` both have 2 / sharpness, to
      compare with 0.1 and with 1. A function must not make an Optax schedule of its
      rate.
    state: what is not trained, as `task.start` gives it; needed if the task is
      stateful.
    opt_state: the optimizer's state after some updates, for those that divide by
      second moments; it is not needed for others.
    key: for dropout, and for the vector that Lanczos starts from. None for
      `jax.random.key(0)`.
    batches: at most so many batches of a pass, a whole number >= 1; None for all.
    steps: products at most, a whole number >= 1.
    rtol: the relative error of the sharpness to stop at, a finite number > 0.

  Returns:
    A `Limit`, which prints in words.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range; the optimizer has no known limit, or is
      a function that makes an Optax schedule; or `opt_state` is missing or of
      another optimizer.

  Source:
    See `stability_limit`; preconditioned: Cohen et al., "Adaptive Gradient Methods
    at the Edge of Stability", 2022. How to see what an optimizer does is lrax's own.

  Example:
    >>> import jax
    >>> import lrax
    >>> task = lrax.tasks.tumours()
    >>> params, _ = task.start(jax.random.key(0))
    >>> limit = lrax.stability.max_stable_learning_rate(
    ...     task, params, 'sgd(momentum=0.9)')
    >>> limit.method, round(limit.learning_rate, 2)
    ('heavy-ball momentum 0.9', 1.19)
  """
  owner = 'max_stable_learning_rate'
  if not isinstance(task, tasks.Task):
    raise _checks.refuse(
        owner, 'task', 'a lrax.tasks.Task', task,
        'build one, or take lrax.tasks.load("digits")', TypeError,
    )
  rtol = float(_checks.positive(owner, 'rtol', rtol))
  steps = int(_checks.count(owner, 'steps', steps))
  key = jax.random.key(0) if key is None else key
  product = _task_product.task_product(
      task, params, state, key=key, batches=batches
  )
  method = _recognise.identify(owner, _probe.as_optimizer(optimizer, owner), params)
  if method.adaptive and opt_state is None:
    raise _checks.refuse(
        owner, 'opt_state', f'given for {_probe.name_of(optimizer)}, which divides by'
        ' second moments', None, 'train for some updates first and pass the state',
    )
  sharpness, error, found = _preconditioned.sharpness(
      product, method, opt_state, params, key, steps, rtol
  )
  sharpness, error = float(sharpness), float(error)
  rates = [
      float(_limits.limit(s, method.gain, method.momentum))
      for s in (sharpness, sharpness + error, sharpness - error)
  ]
  if not math.isfinite(sharpness):
    rates = [math.nan] * 3
  decays = [*jax.tree.leaves(method.l2), *jax.tree.leaves(method.decay)]
  return Limit(
      learning_rate=rates[0],
      sharpness=sharpness,
      error=error,
      interval=(rates[1], rates[2]),
      method=method.name,
      momentum=method.momentum,
      gain=method.gain,
      weight_decay=max(float(np.max(x, initial=0)) for x in decays),
      converged=bool(found.converged),
      products=int(found.steps),
      assumptions=_assumptions(task, method, batches),
      optimizer=_probe.name_of(optimizer),
      task=task.name,
  )


def _assumptions(
    task: tasks.Task, method: _recognise.Method, batches: int | None
) -> tuple[str, ...]:
  said = [
      'It is of the loss as a parabola at these parameters, and of steps along the'
      ' gradient of the whole training loss.'
  ]
  if method.adaptive:
    said.append(
        'The second moments and their bias corrections are held as they are in the'
        ' state given.'
    )
  if batches is not None or not isinstance(task.train, tasks.Arrays):
    said.append(
        'The curvature is that of the batches read, which may differ from that of'
        ' all data by more than the error.'
    )
  return tuple(said)
