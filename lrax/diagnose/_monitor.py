"""`monitor`: measures what an optimizer does, and leaves it as it is."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import jax
from jax.core import Tracer
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.control._guard_branch import branch
from lrax.diagnose import _losses
from lrax.diagnose import _measure
from lrax.diagnose import _sample
from lrax.diagnose import _take
from lrax.diagnose import _undisturbed
from lrax.state import _monitor_state

_samples = _checks.optional(_checks.count)


def monitor(
    inner: optax.GradientTransformation | optax.MultiSteps,
    groups: Sequence[str] | Mapping[str, str] | None = None,
    *,
    every: int = 500,
    samples: int | None = 2**16,
    decay: Numeric = 0.99,
) -> optax.GradientTransformationExtraArgs:
  """Measures what an optimizer does to the parameters, and leaves it as it is.

  Updates are those of `inner`, to the bit but for how XLA rounds them when it compiles
  another program. What was measured is in the state:
  `lrax.metrics(state)` gives it as flat scalars, over all parameters and, with
  `/group` behind the name, of each group. `lrax.diagnose.history` makes arrays of
  what a loop has collected of them.

  Formula:
    monitor_gradient_norm    |gradient|, as `update` was given it
    monitor_update_norm      |update|, as it is added to the parameters
    monitor_parameter_norm   |parameters|, before the update
    monitor_update_ratio     |update| / |parameters|
    monitor_cosine           <update, before> / (|update| * |before|), before: the
                             update just before this one
    monitor_rate_05, _25, _50, _75, _95
                             quantiles over the entries of |update| / |gradient|
    monitor_step             the update that all of these are of, the first is 1;
                             0 before it
    monitor_updates          updates so far
    monitor_loss             the latest `value=` that `update` was given
    monitor_loss_mean        its mean, smoothed by `decay`
    monitor_loss_deviation   its standard deviation from that mean, smoothed too
    monitor_loss_lowest, monitor_loss_since_lowest
                             the lowest one, and the updates since

  Norms are exact: sums over all entries, in float32 or wider, that neither overflow
  nor underflow. Cosine and quantiles are those of a sample of entries, drawn once
  and the same in every run: one of each stretch of a group's entries. Of n entries
  a cosine c has a standard error of (1 - c ** 2) / sqrt(n), where entries are
  normal and independent; a share q of the quantiles one of sqrt(q * (1 - q) / n).
  Of groups with fewer entries than their part of the sample all are taken, and both
  are exact.

  Sums over all entries at every update would take longer than the update. So only
  the first two updates, and each whose number is a multiple of `every`, are
  measured, and the state keeps that until the next. It takes one more run of `inner`
  then, so that at all others XLA makes the same kernels of it as without a monitor;
  a function in `inner` that has side effects has them once more. Under `jax.vmap`
  both ways are computed at each update. The losses are taken in at each.

  What cannot be measured is NaN, and the next measurement is not touched by it:
  everything before the first; what the gradient's NaN reach; the ratio where the
  parameters are zero or were not given; a cosine with an update of zeros, and that
  of the first; rates where the gradient is zero (such entries are passed over). A
  loss that is not finite is shown, and left out of what is smoothed.

  Put it around the whole optimizer: a chain, `lrax.guard`, `optax.masked`. It sees
  the gradient that comes in, before a clipping inside. Accumulate outside,
  `optax.MultiSteps(monitor(tx), k)`, and it sees mean gradients. Around
  `optax.MultiSteps` its updates are those that move parameters, and the gradient is
  that of the last micro-batch. Replicas measure the same, if gradients are averaged
  before; in `jax.shard_map` over parameters that are cut, each its own part.

  Args:
    inner: the optimizer or transformation to watch.
    groups: what to measure apart. Patterns as in `lrax.groups.param_groups`, the
      first that matches a leaf's path takes it, or a dict of patterns by the names
      that groups are to have; leaves of no group count only over all. An empty list
      for no groups. None for the first keys by which the leaves' paths differ.
    every: updates from one measurement to the next, a whole number >= 1.
    samples: entries in the sample, shared evenly among the groups, >= 1. None for
      all: cosine and quantiles are exact, at the memory of the updates in float32
      and the time to sort them.
    decay: the share of a mean of losses that is kept at each update, in [0, 1).
      Until 1 / (1 - decay) losses were seen, it is a plain mean.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `MonitorState`. All arguments of
    `update` are passed on. State functions of lrax find the learning rates inside.

  Raises:
    TypeError: an argument is of the wrong kind; in `update`, `value` is no scalar.
    ValueError: an argument is out of range; in `init`, a pattern takes no leaf.

  Source:
    lrax's own. A ratio of about 1e-3 is a rule of thumb of Karpathy, CS231n notes,
    "Neural Networks Part 3", 2015. Smoothing: Finch, "Incremental calculation of
    weighted mean and variance", 2009.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'body': jnp.full(4, 2.0), 'head': jnp.full(4, 1.0)}
    >>> tx = lrax.diagnose.monitor(lrax.sgd(0.5))
    >>> _, state = tx.update(params, tx.init(params), params, value=1.25)
    >>> found = lrax.metrics(state)
    >>> float(found['monitor_gradient_norm/body']), float(found['monitor_rate_50'])
    (4.0, 0.5)
    >>> float(found['monitor_update_ratio/head']), float(found['monitor_loss_mean'])
    (0.5, 1.25)
  """
  accumulates = isinstance(inner, optax.MultiSteps)
  if isinstance(inner, optax.MultiSteps):
    # Its own gradient_transformation() would not hand on `value=`.
    accumulate: Any = inner.update
    inner = optax.GradientTransformationExtraArgs(inner.init, accumulate)
  if not isinstance(inner, optax.GradientTransformation):
    raise _checks.refuse(
        'monitor', 'inner', 'an optax.GradientTransformation', inner,
        'for example lrax.adamw(1e-3)', TypeError,
    )
  for name, value in (('every', every), ('samples', samples)):
    if isinstance(value, Tracer):
      raise _checks.refuse(
          'monitor', name, 'a Python int', value, 'it selects code', TypeError
      )
  every = int(_checks.positive_steps('monitor', 'every', every))
  samples = _samples('monitor', 'samples', samples)
  decay = _checks.decay('monitor', 'decay', decay)
  patterns = _sample.as_patterns('monitor', groups)
  inner = optax.with_extra_args_support(inner)

  def init(params):
    leaves = _sample.entries(params)
    plan = _sample.plan(leaves, patterns, samples)
    _sample.check_used('monitor', plan, patterns)
    zero = lambda: jnp.zeros((), jnp.int32)
    return _monitor_state.MonitorState(
        inner_state=inner.init(params),
        step=zero(),
        measured=zero(),
        overall=_monitor_state.nothing_measured(),
        groups={name: _monitor_state.nothing_measured() for name in plan.names},
        loss=_losses.start(),
        sample=jnp.zeros((plan.size,), plan.dtype),
        sample_step=zero(),
    )

  def update(updates, state, params=None, **extra_args):
    attempt = lambda before: inner.update(updates, before, params, **extra_args)
    gradients, before = _sample.entries(updates), state.inner_state
    weights = None if params is None else _sample.entries(params)
    plan = _sample.replan(
        gradients if weights is None else weights,
        patterns, samples, state.groups, state.sample.size,
    )
    step = jnp.asarray(optax.safe_increment(state.step))
    looks = (step % every == 0) | (step <= 2)
    draws = (step + 1) % every == 0
    kept = (
        state.overall, state.groups, state.sample, state.sample_step, state.measured
    )

    def look(stepped):
      stepped = _sample.entries(stepped)
      drawn = _take.take(plan, stepped)

      def measure():
        overall, groups = _measure.measure(
            plan, gradients, stepped, weights,
            drawn, state.sample, state.sample_step + 1 == step,
        )
        none = {name: _monitor_state.nothing_measured() for name in state.groups}
        return _cast((overall, none | groups, step), (*kept[:2], state.measured))

      ways = (lambda: (*kept[:2], state.measured), measure)
      overall, groups, measured = branch(looks * 1, ways)
      if drawn.shape != state.sample.shape:
        return overall, groups, state.sample, state.sample_step, measured
      return overall, groups, *_cast((drawn, step), kept[2:4]), measured

    if accumulates:
      stepped, after = attempt(before)
      made: Any = _updates_made(after) != _updates_made(before)
      step = jnp.where(made, step, state.step)
      due = made & (looks | draws)
      stepped, after, kept = _undisturbed.look_after(stepped, after, due, look, kept)
    else:
      stepped, after, kept = _undisturbed.look_first(
          attempt, before, looks | draws, look, kept
      )
    overall, of_groups, sample, sample_step, measured = kept
    loss, value = state.loss, extra_args.get('value')
    if value is not None:
      loss = _losses.push(loss, value, decay)
    return stepped, _monitor_state.MonitorState(
        after, step, measured, overall, of_groups, loss, sample, sample_step
    )

  return optax.GradientTransformationExtraArgs(init, update)


def _updates_made(state: Any) -> jax.Array:
  """The updates of a `optax.MultiSteps` that moved parameters."""
  return state.gradient_step


def _cast(new: Any, old: Any) -> Any:
  """In the dtypes that the state has."""
  return jax.tree.map(lambda x, y: jnp.asarray(x, y.dtype), new, old)
