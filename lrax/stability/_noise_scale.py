"""The gradient's noise scale of a task: how many examples a batch needs."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import tasks
from lrax._sum_all import sum_all
from lrax.stability import _flat
from lrax.stability import _noise_batches
from lrax.stability import _noise_estimate

_batches = _checks.number(
    f'a whole number >= {_noise_batches.FEWEST}',
    lambda x: x >= _noise_batches.FEWEST,
    'of fewer not even the error can be told',
    whole=True,
)


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseScale:
  """The noise scale, how far it may be off, and what it was found from.

  Attributes:
    task: the task's name.
    noise_scale: examples. Infinite where the gradient is lost in its noise, 0 where
      there is none, NaN where a gradient is not finite or all are 0.
    standard_error: examples; infinite or NaN where there is none to tell.
      On the safe side: at its best with many batches.
    interval: examples: where the noise scale is, some 95 times of 100. The upper end
      is infinite where the data cannot tell that the gradient is not 0.
    told: whether all of this is finite and above 0: whether the data tells.
    squared_norm: estimate of the squared norm of the whole gradient; unbiased, so
      that it may be negative.
    trace: estimate of the trace of the covariance of one example's gradient.
    batches: how many batches it is from.
    batch_size: examples in each.
    examples: examples that there are; infinite for a distribution.
    repeated: batches that were left out, of a pass that came again.
    assumption: what is taken for granted of the batches.
    verdict: all this in plain words.
  """

  task: str
  noise_scale: float
  standard_error: float
  interval: tuple[float, float]
  told: bool
  squared_norm: float
  trace: float
  batches: int
  batch_size: int
  examples: float
  repeated: int
  assumption: str
  verdict: str

  def __str__(self) -> str:
    return self.verdict

  def to_dict(self) -> dict[str, Any]:
    """Everything as plain values; None where it is not finite, as JSON needs."""
    known = lambda x: x if not isinstance(x, float) or math.isfinite(x) else None
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    fields['interval'] = [known(x) for x in self.interval]
    return {name: known(value) for name, value in fields.items()}


def noise_scale(
    task: tasks.Task,
    params: chex.ArrayTree,
    state: Any = None,
    *,
    batches: int = 64,
    batch_size: int | None = None,
    examples: int | None = None,
    seed: int = 0,
) -> NoiseScale:
  """Measures how large a batch is useful here: the gradient's noise scale.

  In batches far below it every further example is worth as much as the first; in
  batches far above it, nothing. It holds at these parameters: it grows as training
  goes on, often by orders of magnitude, so measure it at several points.

  Formula:
    with the gradients of `batches` batches of `batch_size` = b, seen = batches * b,
    trace = b / (batches - 1) * sum(|gradient - mean|**2)
    squared_norm = |mean|**2 - trace / seen * (1 - seen / examples)
    noise_scale = trace / squared_norm

  The last factor is 1 for batches drawn from a distribution, and 0 where all of a
  finite data set is seen: then the mean is the gradient itself. The interval is that
  of noncentral F, exact for normal noise of one size in each of so many directions;
  how many is estimated, with care. In simulations of normal noise in 1, 2 and 100
  directions, and in 50 of variances 1/k and 1/k**2 with the gradient along the
  strongest or the weakest, it held the noise scale 93 to 100 times of 100, for 4
  batches and more; the fewer batches, the wider it is for that.

  Every batch is used twice, to find the mean and the deviations from it, so that
  memory holds one more gradient than training. The batches are held on the host.

  Args:
    task: what is trained. `Arrays` are drawn from without repeats; `Drawn` is drawn
      anew; of a `Stream` one pass is read. Batches of another shape than the first
      are left out, and so are all from where a stream only gives batches again: they
      tell nothing new. Examples or batches that are equal by chance are kept.
    params: where to measure.
    state: what is not trained, as `task.start` gives it; needed if the task is
      stateful. What the loss makes of it is not used.
    batches: how many at most, a whole number >= 4. The error falls with its root.
    batch_size: examples in each: batches of `Drawn` and `Stream` are cut. None for
      the task's own, and for less with `Arrays` that have fewer than 16 of these.
      Losses that look across a batch, as with BatchNorm, have another gradient at
      another size.
    examples: how many a pass of a `Stream` has. None for those read, if the pass
      ends or its batches repeat, and otherwise for a pass that is taken to be endless:
      then `squared_norm` is too small by `trace / examples`.
    seed: for the batches and for dropout, of which the noise is a part.

  Returns:
    A `NoiseScale`, which prints as its verdict.

  Raises:
    TypeError: `task` is no Task, or a parameter is no real floating-point array.
    ValueError: an argument is out of range, `state` is missing, batches have no
      first axis of examples, there are not 4, or `Drawn` gives the same ones for
      each key.

  Source:
    McCandlish et al., "An Empirical Model of Large-Batch Training", 2018 (arXiv
    1812.06162), appendix A.1: the simple noise scale, with the batches as the small
    ones and all together as the big one. Finite data and the interval are lrax's
    own.

  Example:
    >>> import jax
    >>> import lrax
    >>> task = lrax.tasks.tumours()
    >>> params, _ = task.start(jax.random.key(0))
    >>> found = lrax.stability.noise_scale(task, params)
    >>> found.batches, found.batch_size, found.told
    (16, 28, True)
    >>> found.interval[0] < found.noise_scale < found.interval[1] < 10
    True
  """
  owner = 'noise_scale'
  if not isinstance(task, tasks.Task):
    raise _checks.refuse(
        owner, 'task', 'a lrax.tasks.Task', task,
        'build one, or take lrax.tasks.load("digits")', TypeError,
    )
  _flat.space(owner, params)
  if task.stateful and state is None:
    raise _checks.refuse(
        owner, 'state', 'given where the task is stateful', None,
        'pass what task.start(key) returns beside the parameters',
    )
  count = int(_batches(owner, 'batches', batches))
  size = _checks.optional(_checks.count)(owner, 'batch_size', batch_size)
  examples = _checks.optional(_checks.count)(owner, 'examples', examples)
  seed = int(_checks.seed(owner, 'seed', seed))
  used = _noise_batches.drawn(task, count, size, seed, examples)
  deviations, unit = _deviations(task, params, state, used.batches, seed)
  found = _noise_estimate.estimate(deviations, used.rows, used.population)
  found = found._replace(
      squared_norm=found.squared_norm * unit * unit, trace=found.trace * unit * unit
  )
  upper = found.interval[1]
  told = found.noise_scale > 0 and math.isfinite(upper)
  result = NoiseScale(
      task=task.name,
      told=told,
      batches=len(used.batches),
      batch_size=used.rows,
      examples=used.population,
      repeated=used.repeated,
      assumption=used.source,
      verdict='',
      **found._asdict(),
  )
  return dataclasses.replace(result, verdict=_verdict(result))


def _deviations(
    task: tasks.Task, params: Any, state: Any, batches: list[Any], seed: int
) -> tuple[_noise_estimate.Deviations, float]:
  """What the estimate needs, in units of the gradients' largest entry, and that."""
  key = jax.random.key(seed)
  at = lambda i: (task, params, state, batches[i], jax.random.fold_in(key, i))
  total = jax.tree.map(jnp.zeros_like, _flat.widened(params))
  unit = jnp.zeros((), jnp.result_type(*jax.tree.leaves(total)))
  for i in range(len(batches)):
    total, unit = _add(*at(i), total, unit)
  mean = jax.tree.map(lambda x: x / len(batches), total)
  products = [_products(*at(i), mean, unit) for i in range(len(batches))]
  along, squares = np.asarray(products, np.float64).T
  square = float(_dot(mean, mean))
  return _noise_estimate.Deviations(square, along, squares), float(unit)


@functools.partial(jax.jit, static_argnums=0)
def _add(task, params, state, batch, key, total, unit):
  """The sum with one more gradient, and its unit, which may have grown."""
  gradient = _gradient(task, params, state, batch, key)
  # In units of the largest entry no square is too small or large.
  sizes = [jnp.max(jnp.abs(x), initial=0) for x in jax.tree.leaves(gradient)]
  grown = jnp.stack([unit, *sizes]).max().astype(unit.dtype)
  total = _in_units(total, grown / _flat.nonzero(unit))
  return jax.tree.map(jnp.add, total, _in_units(gradient, grown)), grown


@functools.partial(jax.jit, static_argnums=0)
def _products(task, params, state, batch, key, mean, unit):
  gradient = _in_units(_gradient(task, params, state, batch, key), unit)
  less = jax.tree.map(jnp.subtract, gradient, mean)
  return jnp.stack([_dot(less, mean), _dot(less, less)])


def _gradient(task, params, state, batch, key):
  loss = lambda params: task.training_loss(params, state, batch, key)[0]
  return _flat.widened(jax.grad(loss)(params))


def _in_units(tree, unit):
  unit = _flat.nonzero(unit)
  return jax.tree.map(lambda x: (x / unit).astype(x.dtype), tree)


def _dot(a: Any, b: Any) -> jax.Array:
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b))
  return sum_all(lambda pair: pair[0] * pair[1], pairs, jnp.float32)


def _verdict(found: NoiseScale) -> str:
  low, high = found.interval
  at = f'{found.batches} batches of {found.batch_size} of {found.task}'
  if math.isnan(found.squared_norm):
    said = f'No noise scale from {at}: a gradient is not finite.'
  elif math.isnan(found.noise_scale):
    said = f'No noise scale from {at}: all gradients are 0.'
  elif found.noise_scale == 0:
    said = (
        f'No noise in {at}: all have the same gradient. Either no batch is too small,'
        ' or the loss does not look at it.'
    )
  elif not found.told:
    least = f'at least {low:,.3g} examples' if math.isfinite(low) else 'infinite'
    said = (
        f'The data cannot tell the noise scale: in {at} the gradient is lost in its'
        f' noise. It is {least}, 95 times of 100; take more batches, or larger ones.'
    )
  else:
    said = (
        f'The noise scale is {found.noise_scale:,.3g} examples, {low:,.3g} to'
        f' {high:,.3g} in 95 of 100 cases, from {at}.'
    )
  if found.repeated:
    said += f' {found.repeated} batches repeated a pass and were left out.'
  return f'{said} {found.assumption}'
