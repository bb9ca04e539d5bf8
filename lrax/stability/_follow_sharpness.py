"""The sharpness over a run of full-batch training, against the rate's limit."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import chex
import jax
import numpy as np
import optax

from lrax import _checks
from lrax import tasks
from lrax._types import Numeric
from lrax.stability import _full_batch
from lrax.stability import _limits
from lrax.stability import _preconditioned
from lrax.stability import _probe
from lrax.stability import _product
from lrax.stability import _recognise
from lrax.state import _find


@dataclasses.dataclass(frozen=True, eq=False)
class SharpnessCurve:
  """How the sharpness went in a run at a fixed rate.

  Attributes:
    steps: (n,) int, the updates made before each measurement.
    losses: (n,), the loss of all the data there.
    sharpness: (n,), the largest eigenvalue of what the method sees: of P^-1 H where
      it divides by P, with its weight decay. NaN where a product was not finite.
    errors: (n,), how far off each may be.
    limits: (n,), the sharpness of which the rate is the limit: 2 / learning_rate in
      the method's own form.
    learning_rate: the rate.
    method: what the optimizer was recognised as.
    optimizer: the optimizer, as text.
    task: the task's name.
    params: the parameters at the end.
    state: what is not trained at the end.
    opt_state: the optimizer's state at the end.
  """

  steps: np.ndarray
  losses: np.ndarray
  sharpness: np.ndarray
  errors: np.ndarray
  limits: np.ndarray
  learning_rate: float
  method: str
  optimizer: str
  task: str
  params: Any
  state: Any
  opt_state: Any

  @property
  def ratios(self) -> np.ndarray:
    """(n,), the sharpness over its limit; about 1 at the edge of stability."""
    return self.sharpness / self.limits

  def __str__(self) -> str:
    ratio = self.ratios[-1]
    said = (
        f'{self.optimizer} ({self.method}) at a rate of {self.learning_rate:.4g} on'
        f' {self.task}, all data in each step: after {self.steps[-1]} steps the loss is'
        f' {self.losses[-1]:.4g} and the sharpness {self.sharpness[-1]:.4g}'
    )
    if not math.isfinite(ratio):
      return f'{said}; what is not finite has no limit to compare with.'
    return f'{said}, {ratio:.3g} times the {self.limits[-1]:.4g} that the rate bears.'

  def to_dict(self) -> dict[str, Any]:
    """The curve as plain values, without the states; None for what is not finite."""
    plain = lambda x: float(x) if math.isfinite(x) else None
    named = {
        name: [plain(x) for x in getattr(self, name)]
        for name in ('losses', 'sharpness', 'errors', 'limits')
    }
    return {
        'task': self.task,
        'optimizer': self.optimizer,
        'method': self.method,
        'learning_rate': self.learning_rate,
        'steps': self.steps.tolist(),
        **named,
    }


def follow_sharpness(
    task: tasks.Task,
    optimizer: Any = 'sgd',
    learning_rate: Numeric = 0.01,
    steps: int = 1000,
    *,
    every: int = 50,
    key: chex.PRNGKey | None = None,
    products: int = 64,
    rtol: Numeric = 1e-3,
) -> SharpnessCurve:
  """Trains on all the data at once at a fixed rate and measures the sharpness.

  In such a run the sharpness of a network typically rises until the rate is at its
  limit of stability, and then hovers there while the loss goes on falling, in waves
  ("edge of stability"). With Adam it is the preconditioned sharpness that does.

  All the data are in memory at once, those of a `Stream` or `Drawn` too: the batches
  of one pass, each weighted by the length of its first axis. The dropout is the same
  at every step.

  Formula:
    limits = 2 * (1 + momentum) / (gain * learning_rate)

    with the gains of `stability_limit`, 38 / learning_rate for Adam with b1 = 0.9;
    `sharpness` as in `max_stable_learning_rate`

  Args:
    task: what is trained.
    optimizer: a function of the rate that returns an optimizer that keeps to it,
      such as `lrax.adamw`, or a text such as 'sgd(momentum=0.9)'.
    learning_rate: the rate, a finite number > 0.
    steps: updates, a whole number >= 1.
    every: updates from one measurement to the next, a whole number >= 1, at most
      `steps`; what is left of `steps` at the end is not trained.
    key: for the parameters, the dropout and Lanczos. None for `jax.random.key(0)`.
    products: Hessian-vector products in a measurement at most, a whole number >= 1.
    rtol: the relative error of a sharpness to stop at, a finite number > 0.

  Returns:
    A `SharpnessCurve` of steps // every measurements, the first after `every`
    updates. A run that diverges goes on, and is NaN.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, there are no batches, or the optimizer
      has no known limit or another rate than `learning_rate`.

  Source:
    Cohen, Kaur, Li, Kolter and Talwalkar, "Gradient Descent on Neural Networks
    Typically Occurs at the Edge of Stability", 2021; Cohen et al., "Adaptive
    Gradient Methods at the Edge of Stability", 2022.

  Example:
    >>> import lrax
    >>> curve = lrax.stability.follow_sharpness(
    ...     lrax.tasks.tumours(), 'sgd', 0.1, steps=40, every=20)
    >>> curve.steps.tolist(), curve.limits.tolist()
    ([20, 40], [20.0, 20.0])
    >>> bool(curve.sharpness[-1] < 20)
    True
  """
  owner = 'follow_sharpness'
  if not isinstance(task, tasks.Task):
    raise _checks.refuse(
        owner, 'task', 'a lrax.tasks.Task', task,
        'build one, or take lrax.tasks.load("digits")', TypeError,
    )
  rate = float(_checks.positive(owner, 'learning_rate', learning_rate))
  steps = int(_checks.positive_steps(owner, 'steps', steps))
  every = int(_checks.positive_steps(owner, 'every', every))
  _checks.at_most(owner, 'every', every, 'steps', steps)
  products = int(_checks.count(owner, 'products', products))
  rtol = float(_checks.positive(owner, 'rtol', rtol))
  make = _probe.as_optimizer(optimizer, owner)
  if isinstance(make, optax.GradientTransformation):
    raise _checks.refuse(
        owner, 'optimizer', 'a function of the rate, or its name', optimizer,
        'it is made with `learning_rate`', TypeError,
    )
  key = jax.random.key(0) if key is None else key
  begin, dropout, draw = jax.random.split(key, 3)
  params, state = task.start(begin)
  method = _recognise.identify(owner, make, params)
  batches = _full_batch.batches(owner, task)
  run = _full_batch.Run(task, make(rate), every, batches, dropout)
  opt_state = jax.jit(run.tx.init)(params)
  inverse = jax.jit(method.inverse)
  # The tree of what it divides by is all that a measurement takes from the state.
  divided = method._replace(inverse=lambda tree: tree)

  measured = []
  for _ in range(steps // every):
    params, state, opt_state, loss = run.chunk(params, state, opt_state)
    _refuse_other(owner, optimizer, rate, opt_state)
    product = _product.hessian_product(
        run.loss, params, state, run.batches, dropout
    )
    sharpness, error, _ = _preconditioned.sharpness(
        product, divided, inverse(opt_state), params, draw, products, rtol
    )
    measured.append((float(loss), float(sharpness), float(error)))
  losses, values, errors = np.array(measured).T
  edge = _limits.edge(rate, method.gain, method.momentum)
  return SharpnessCurve(
      steps=every * np.arange(1, len(losses) + 1),
      losses=losses,
      sharpness=values,
      errors=errors,
      limits=np.full(len(losses), edge),
      learning_rate=rate,
      method=method.name,
      optimizer=_probe.name_of(optimizer),
      task=task.name,
      params=params,
      state=state,
      opt_state=opt_state,
  )


def _refuse_other(owner: str, optimizer: Any, rate: float, opt_state: Any) -> None:
  """Refuses a policy inside of the function that gives another rate."""
  nodes = jax.tree.leaves(opt_state, is_leaf=_find.is_state)
  for node in filter(_find.is_state, nodes):
    found = float(node.learning_rate)
    if not math.isclose(found, rate, rel_tol=1e-6):  # float32
      raise _checks.refuse(
          owner, 'optimizer', f'one whose rate is `learning_rate`, {rate:.6g}',
          f'{_probe.name_of(optimizer)}, with {found:.6g}',
          'a curve is of a fixed rate: make the optimizer of the number it is given',
      )
