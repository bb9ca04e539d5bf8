"""`guard`: a transformation that survives bad batches and blow-ups."""

from __future__ import annotations

from typing import Any

import jax
from jax.core import Tracer
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.control import _guard_rates
from lrax.control import _guard_signals
from lrax.control import _guard_snapshot
from lrax.control import _guard_state
from lrax.control import _guard_window
from lrax.control._guard_branch import branch

_mode = _checks.choice('skip', 'back_off', 'roll_back')
_clock = _checks.choice('runs', 'waits')
_factor = _checks.number(
    'a number in (0, 1)',
    lambda x: 0 < x < 1,
    'the rate is multiplied by it; for no back-off use mode="skip"',
)
_window = _checks.number(
    'a whole number >= 2',
    lambda x: x >= 2,
    'it is how many updates to judge by; 128 is usual',
    whole=True,
)
# Ten of them are counted in an int32.
_recovery = _checks.number(
    'a whole number >= 1 and <= 10**8',
    lambda x: 1 <= x <= 10**8,
    'count optimizer updates',
    whole=True,
)


def guard(
    inner: optax.GradientTransformation | optax.MultiSteps,
    mode: str = 'skip',
    *,
    window: int = 128,
    threshold: Numeric | None = 6.0,
    patience: Numeric = 10,
    factor: Numeric = 0.5,
    recovery_steps: Numeric = 100,
    snapshot_steps: Numeric = 100,
    clock: str = 'runs',
    axis_name: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """Keeps bad batches and blow-ups out of the parameters of any optimizer.

  An update is bad if the loss (where `update` is given `value=`), the gradient,
  the inner update or the parameters after it are not finite, or if the loss or the
  gradient's norm lies far above the recent ones. Nothing bad is ever applied, however
  often it comes: parameters and inner state stay as they are. It is counted, and

  * `'skip'` does nothing else;
  * `'back_off'` also multiplies the rate by `factor`, once for bad updates on end
    (the lower rate has not been tried before a good one), and lets it recover over
    `recovery_steps` good updates;
  * `'roll_back'` keeps a snapshot of parameters and inner state, and after
    `patience` bad updates on end goes back to it and backs the rate off once.

  Formula:
    z = (x - median) / max(1.4826 * MAD, r * |median|), MAD the median of
    |x - median|, over the latest `window` accepted values
    outlier: z > threshold, where at least half of the window is there

    scale = factor ** (recovery / recovery_steps); a back-off adds
    recovery_steps to recovery, up to ten times that, a good update takes 1 off

    where MAD = 0, 1.2533 times the mean of |x - median| takes its place; r is 0.001,
    or the spacing of the loss's dtype if that is wider (bfloat16: 0.0078), so a loss
    that was constant may move; where the spread is 0 nothing is an outlier.

  Only rises count. Losses may be negative. The norm is computed in float32 or wider,
  so that no finite gradient looks infinite. After `patience` bad updates on end, an
  outlier at last, what is usual has changed and the window starts anew: a guard never
  locks a run out. With `'roll_back'` that happens only if it has just gone back and
  this did not help.

  Skipping. The moments and counts of the inner optimizer stay. The clock of every
  schedule inside, lrax's and Optax's, goes on as if the update had been applied: the
  data are used up, and a run of T updates ends where its schedule does. With
  `clock='waits'` schedules count only what was applied, and go back with the rest.

  Backing off. The rate of every lrax policy inside is multiplied, an override too;
  `lrax.get_learning_rate` shows the product, and the user's own scale stays. Where
  there is none (`optax.adamw(0.1)`) the updates are multiplied instead. In a
  partition of both kinds, groups without a lrax policy are not backed off.

  Rolling back. A loss that is good speaks for the parameters it was computed at, so
  the snapshot is of those before a good update, each `snapshot_steps` of them. It
  costs the memory of the parameters and the inner state once more. The update that
  goes back is `snapshot - params`, rounded; the next ones (one for most parameters,
  three at most) take off what the rounding left and drop their gradients. It is
  exact if nothing after the guard changes updates. A spike comes from parameters that
  the update before damaged: skipping alone cannot undo that, going back can.

  Under gradient accumulation, `guard(optax.MultiSteps(tx, k))` judges every
  micro-batch, and an accumulation takes one more for each that it lost.
  `optax.MultiSteps(guard(tx), k)` judges the mean gradient; but once a NaN is in
  Optax's accumulator it stays there, so give that order
  `should_skip_update_fn=optax.skip_not_finite` too. Updates that are changed after
  the guard are not checked: let it be the outermost link.

  The inner update is computed twice where it is compiled, once to be judged and
  once, if it is good, to be kept: that is faster than selecting between states.

  Args:
    inner: the optimizer or transformation to guard.
    mode: `'skip'`, `'back_off'` or `'roll_back'`.
    window: how many accepted updates to judge by, a whole number >= 2.
    threshold: in robust standard deviations, > 0; None judges by finiteness alone.
    patience: bad updates on end after which to go back, or to start the window
      anew; a whole number >= 1.
    factor: of a back-off, in (0, 1).
    recovery_steps: good updates until one back-off is made up for, >= 1.
    snapshot_steps: applied updates between snapshots, a whole number >= 1.
    clock: `'runs'` or `'waits'`: what schedules do when an update is skipped.
    axis_name: the axis, or axes, of `jax.pmap`, `jax.vmap` or `jax.shard_map` whose
      replicas decide together: by the mean loss and the largest norm, and what is
      bad for one is bad for all. None for one device, and for `jax.jit` of sharded
      arrays.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `GuardState`. Updates keep
    their dtype; all arguments of `update` are passed on. State functions of lrax
    find the learning rates inside.

  Raises:
    TypeError: an argument is of the wrong kind; in `update`, `value` is no scalar.
    ValueError: an argument is out of range; in `update`, no `params` were given where
      the mode is `'roll_back'`.

  Source:
    Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993, section 3, the
    modified z-score, with a limit of 3.5 for a sample that is looked at once. A
    window of 128 and 6 standard deviations are what OLMo-core, levanter and MaxText
    skip by, with a mean that takes in the spikes too. Going back: Chowdhery et
    al., "PaLM", 2022, section 5.1, by hand and some 100 steps. ZClip (Kumar et al.,
    2025) clips by a z-score instead. `optax.apply_if_finite` lets a NaN through
    after its limit, and stops schedules when it skips.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.ones(())}
    >>> tx = lrax.control.guard(lrax.sgd(0.5), 'back_off', recovery_steps=2)
    >>> state = tx.init(params)
    >>> updates, state = tx.update({'w': jnp.array(jnp.nan)}, state, params)
    >>> float(updates['w']), int(state.non_finite)
    (0.0, 1)
    >>> updates, state = tx.update({'w': jnp.ones(())}, state, params, value=2.0)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.25, 0.25)
  """
  if isinstance(inner, optax.MultiSteps):
    # Its own gradient_transformation() would not hand on `value=`.
    accumulate: Any = inner.update
    inner = optax.GradientTransformationExtraArgs(inner.init, accumulate)
  if not isinstance(inner, optax.GradientTransformation):
    raise _checks.refuse(
        'guard', 'inner', 'an optax.GradientTransformation', inner,
        'for example lrax.adamw(1e-3)', TypeError,
    )
  mode = _mode('guard', 'mode', mode)
  if isinstance(window, Tracer):
    raise _checks.refuse(
        'guard', 'window', 'a Python int', window, 'it is the length of an array',
        TypeError,
    )
  window = int(_window('guard', 'window', window))
  threshold = _checks.optional(_checks.positive)('guard', 'threshold', threshold)
  patience = _checks.positive_steps('guard', 'patience', patience)
  factor = _factor('guard', 'factor', factor)
  recovery_steps = _recovery('guard', 'recovery_steps', recovery_steps)
  snapshot_steps = _checks.positive_steps('guard', 'snapshot_steps', snapshot_steps)
  clock = _clock('guard', 'clock', clock)
  inner = optax.with_extra_args_support(inner)
  keeps_snapshot = mode == 'roll_back'

  def init(params):
    inner_state = inner.init(params)
    kept = _guard_snapshot.start(params, inner_state) if keeps_snapshot else ()
    return _guard_state.start(inner_state, window, kept)

  def update(updates, state, params=None, **extra_args):
    if keeps_snapshot and params is None:
      raise ValueError(
          "guard: `params` must be given where `mode` is 'roll_back', got None;"
          ' call tx.update(grads, state, params).'
      )
    before, snapshot = state.inner_state, state.snapshot
    backed, has_rate = before, True
    if mode != 'skip':
      backed, has_rate = _guard_rates.scale(before, state.scale)

    def attempt():
      stepped: Any
      stepped, after = inner.update(updates, backed, params, **extra_args)
      if not has_rate:
        stepped = _guard_rates.times(stepped, state.scale)
      return stepped, _guard_rates.take_settings(after, before)

    # 1. Is it good?
    stepped, after = attempt()
    loss, norm, finite = _guard_signals.read(
        extra_args.get('value'), updates, stepped, params, axis_name
    )
    unusual = _guard_window.outlying(state.window, loss, norm, threshold)
    away = jnp.zeros((), bool)
    if keeps_snapshot:
      away = _guard_snapshot.is_away(snapshot, params)
    verdict = _guard_state.judge(state, finite, unusual, away, patience)
    good, too_many = verdict.good, verdict.too_many

    # 2. Keep it, skip it, or go back.
    if keeps_snapshot:
      due = good & (snapshot.age >= snapshot_steps)
      due &= _guard_window.judges(state.window, loss)
      snapshot = _guard_snapshot.refresh(snapshot, due, params, before)

    def clocked(kept):
      if clock == 'runs':
        kept = _guard_rates.take_clocks(kept, after)
      # A transformation that changes its dtypes does so in every branch.
      return _guard_snapshot.cast_like(kept, after)

    def skip():
      return jax.tree.map(jnp.zeros_like, stepped), clocked(before)

    def go_back():
      # The snapshot is never of now in this branch; but reading the refreshed one
      # makes XLA refresh it first, and that saves it a copy of both states.
      kept = _guard_snapshot.inner_state(snapshot, before)
      kept = _guard_rates.take_settings(kept, before)
      return _guard_snapshot.way_back(snapshot, params, stepped), clocked(kept)

    keep = attempt if isinstance(good, Tracer) else lambda: (stepped, after)
    ways = (skip, keep, go_back) if keeps_snapshot else (skip, keep)
    way = jnp.where(away | too_many & keeps_snapshot, 2, good.astype(jnp.int32))
    stepped, inner_state = branch(way, ways)

    # 3. What the next update will need.
    none = jnp.zeros((), bool)
    first = verdict.bad & (state.consecutive == 0)
    backs_off = {'skip': none, 'back_off': first, 'roll_back': too_many}[mode]
    recovery, scale = _guard_rates.back_off(
        state.recovery, backs_off, good, factor, recovery_steps
    )
    stale = verdict.outlier & too_many
    if keeps_snapshot:
      stale &= snapshot.age == 0  # it has just gone back, and that was no help
      snapshot = _guard_snapshot.count(snapshot, good, due, too_many, away)
    state = _guard_state.count(
        state, verdict, backs_off, too_many if keeps_snapshot else none
    )
    return stepped, state._replace(
        inner_state=inner_state,
        window=_guard_window.push(state.window, loss, norm, good, stale),
        scale=scale,
        recovery=recovery,
        snapshot=snapshot,
    )

  return optax.GradientTransformationExtraArgs(init, update)
