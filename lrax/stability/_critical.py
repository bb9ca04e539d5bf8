"""The rate at which a step would start to raise the loss; no Hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.control import _along
from lrax.control import _critical_probe


class CriticalLearningRate(NamedTuple):
  """The critical rate along a direction, and how far it may be trusted."""

  learning_rate: jax.Array  # rate dtype, (): inf: never; 0: at once; NaN: loss is NaN
  error: jax.Array  # rate dtype, (): half the bracket, and what rounding adds
  lower: jax.Array  # rate dtype, (): the largest rate of the bracket not above
  upper: jax.Array  # rate dtype, (): the lowest rate of the bracket that is above
  loss: jax.Array  # rate dtype, (): before the step
  slope: jax.Array  # rate dtype, (): how fast it falls at a rate of 0
  downhill: jax.Array  # bool, (): the slope is above 0
  resolved: jax.Array  # bool, (): a fall was seen that is more than rounding
  bracketed: jax.Array  # bool, (): rates on both sides were found
  evaluations: jax.Array  # int32, (): losses computed, beside that before the step


def critical_learning_rate(
    loss: Callable[[chex.ArrayTree], Any],
    params: chex.ArrayTree,
    direction: chex.ArrayTree | None = None,
    *,
    init_value: Numeric = 1e-3,
    rtol: Numeric = 1e-3,
    max_trials: Numeric = 200,
) -> CriticalLearningRate:
  """The rate at which a step along a direction would start to raise the loss.

  It takes some ten or twenty losses and one gradient, whatever the optimizer: the
  direction is what its rate multiplies. On a parabola of curvature c along the
  direction it is 2 * slope / (c * |direction| ** 2): for the gradient never less
  than 2 / sharpness, and that much where the gradient is along the sharpest axis.

  All is data in the result, so it works inside `jax.jit` and `jax.vmap`. Where
  `resolved` is False every loss that was seen to fall fell by rounding only: the
  direction may go downhill all the same, by less than the loss's dtype can show,
  and the rate is where a rise shows. Compute the loss in float64 then
  (`jax.enable_x64`), or without a constant that dwarfs the rest.

  Formula:
    learning_rate = the smallest rate > 0 with
      loss(params - rate * direction) > loss(params) + rounding

    of those that doubling or halving from `init_value` and then halving the bracket
    finds: of several such places that may be another than the first. rounding is 4
    spacings of the loss's numbers. A loss that is not finite is above.

  Args:
    loss: `loss(params)` is a real scalar: fix the batch, the state and the dropout.
    params: the parameters; they are stepped in their own dtype, as a run does.
    direction: what the step goes against, a tree like `params`; None for the
      gradient. Of the updates of an optimizer at the rate r it is -updates / r.
    init_value: the first rate tried, a finite number > 0; one that is smaller than
      the smallest normal number of its dtype counts as that.
    rtol: the relative width of the bracket to stop at, a finite number > 0.
    max_trials: the most losses, a whole number >= 1; 200 cross all of float32.

  Returns:
    A `CriticalLearningRate`. Its rate is inf where no rate raises the loss, 0 where
    the direction goes uphill or the lowest rate tried is above, NaN where the loss
    or the slope is not finite.

  Raises:
    TypeError: an argument is of the wrong kind, or the loss is no real scalar.
    ValueError: an argument is out of range, or `direction` is not like `params`.

  Source:
    Kalra and Barkeshli, "Why Warmup the Learning Rate? Underlying Mechanisms and
    Improvements", 2024: an exponential and then a binary search. The authors' code
    takes a rise of 1e-3 in the loss for the first and ends the second by the loss;
    here both go by the loss's own rounding and the width of the bracket.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> loss = lambda w: 4 * w ** 2  # a step of 0.25 leads to -w
    >>> found = lrax.stability.critical_learning_rate(loss, jnp.array(3.0))
    >>> round(float(found.learning_rate), 3), bool(found.resolved)
    (0.25, True)
  """
  owner = 'critical_learning_rate'
  if not callable(loss):
    raise _checks.refuse(
        owner, 'loss', 'a function of the parameters', loss,
        'for example lambda params: task.training_loss(params, (), batch, None)[0]',
        TypeError,
    )
  dtype = _types.rate_dtype()
  start = jnp.asarray(_checks.positive(owner, 'init_value', init_value), dtype)
  rtol = jnp.asarray(_checks.positive(owner, 'rtol', rtol), dtype)
  most = _critical_probe.trials(owner, 'max_trials', max_trials)
  _floating(owner, 'params', params)
  kind = jax.eval_shape(loss, params)
  value = _along.scalar(owner, 'loss', loss(params))
  grads = jax.grad(lambda p: _along.scalar(owner, 'loss', loss(p)))(params)
  along: Any = grads if direction is None else direction
  _alike(owner, params, along)

  slope = _along.inner(along, grads)
  after = lambda rate: _along.scalar(
      owner, 'loss', loss(_along.away(params, rate, along))
  )
  rounding = _critical_probe.rounding(value, kind.dtype)
  known = jnp.isfinite(value) & jnp.isfinite(slope)
  found = _critical_probe.probe(
      after, value, rounding, start, rtol=rtol, most=most, active=known
  )
  downhill = slope > 0
  bracketed = (found.lower > 0) & jnp.isfinite(found.upper)
  rate = jnp.where(bracketed, found.lower / 2 + found.upper / 2, found.upper)
  rate = jnp.where((slope < 0) | (found.lower == 0), 0, rate)
  # Where the loss is level its slope is about as steep as at the start: what the
  # loss is off by moves the rate by that over the slope. It is the rise that is let
  # pass, of one rounding, and as much for the loss there, which is rounded itself.
  wide = jnp.where(bracketed, found.upper / 2 - found.lower / 2, jnp.inf)
  error = wide + 2 * rounding / jnp.where(downhill, slope, 1)
  return CriticalLearningRate(
      learning_rate=jnp.where(known, rate, jnp.nan),
      error=jnp.where(downhill & known, error, jnp.nan),
      lower=found.lower,
      upper=found.upper,
      loss=value,
      slope=slope,
      downhill=downhill,
      resolved=found.deepest > rounding,
      bracketed=bracketed,
      evaluations=found.evaluations,
  )


def _floating(owner: str, name: str, tree: chex.ArrayTree) -> None:
  for leaf in jax.tree.leaves(tree):
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
      raise _checks.refuse(
          owner, name, 'a pytree of real floating-point arrays',
          f'a leaf of {jnp.result_type(leaf)}', 'leave out what is not trained',
          TypeError,
      )


def _alike(owner: str, params: chex.ArrayTree, direction: chex.ArrayTree) -> None:
  """Refuses a direction that would be broadcast, or be of another model."""
  ours, theirs = jax.tree.structure(params), jax.tree.structure(direction)
  if ours != theirs:
    raise _checks.refuse(
        owner, 'direction', f'a tree like `params`, {ours}', theirs,
        'take the updates of the same parameters',
    )
  _floating(owner, 'direction', direction)
  pairs = zip(jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(direction))
  for (path, x), d in pairs:
    if jnp.shape(x) != jnp.shape(d):
      place = jax.tree_util.keystr(path) or 'the root'
      raise _checks.refuse(
          owner, 'direction', f'of the shape {jnp.shape(x)} of `params` at {place}',
          jnp.shape(d), 'it is not broadcast',
      )
