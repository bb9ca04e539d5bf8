"""The transformation: the base runs once, and each leaf's update is scaled."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax import _types
from lrax.control._guard_branch import branch
from lrax.groups import _assign
from lrax.groups import _paths
from lrax.groups import _rates
from lrax.groups import _state
from lrax.transforms import _leafwise


class GroupedTransformation(optax.GradientTransformationExtraArgs):
  """An `(init, update)` pair that also knows its groups, for `describe`."""

  owner: str
  plan: _assign.Plan
  base: optax.GradientTransformationExtraArgs


class Shared(NamedTuple):
  """What the run of the base says about the rate that groups share."""

  moved: Any  # bool, (): whether an update was made; not while one accumulates
  carrier: Any  # rate dtype, (): the rate that the base's updates were made with
  rate: Any  # rate dtype, (): what the policy gives at the clock of the first group
  after: _types.LearningRateState


def grouped(
    owner: str, plan: _assign.Plan, base: Any
) -> optax.GradientTransformationExtraArgs:
  """The base with the groups of a plan.

  Each group that is trained has a `LearningRateState`: clock, scale, override and
  memory. Those that take a factor have copies of what the base's own would be, and
  the base is run with that of the first. Where a hand gave another one a clock or
  a memory of its own, its rate comes from a run of the base on no leaves at all.
  """
  if not isinstance(base, optax.GradientTransformation):
    raise _checks.refuse(
        owner, 'base', 'an optax.GradientTransformation', base,
        'for example lrax.adamw(1e-3); accumulate gradients outside of it:'
        ' optax.MultiSteps(param_groups(...), k)', TypeError,
    )
  base = optax.with_extra_args_support(base)

  def init(params):
    paths, leaves, treedef = _paths.flatten(params)
    names, rates = plan(paths)
    kept = [rates[name] is not _rates.frozen for name in names]
    shared_state = base.init(_paths.masked(treedef, leaves, kept))
    start, shared_state = _state.take_rate(owner, shared_state)
    trained = [rate for rate in rates.values() if rate is not _rates.frozen]
    if any(not _rates.is_shared(rate) for rate in trained):
      _state.refuse_placed(owner, shared_state)
    states = start_groups(rates, start)
    return _state.ParamGroupsState(jnp.zeros((), jnp.int32), states, shared_state)

  def update(updates, state, params=None, **extra_args):
    paths, leaves, treedef = _paths.flatten(updates)
    names, rates = plan(paths)
    trained = {n: rate for n, rate in rates.items() if rate is not _rates.frozen}
    kept = [name in trained for name in names]
    waits = {n: _waits(rate, state.step) for n, rate in trained.items()}
    leaves = [
        _finite(leaf, waits[name]) if _may_wait(rates[name]) else leaf
        for leaf, name in zip(leaves, names)
    ]
    gradients = _paths.masked(treedef, leaves, kept)
    nothing = [False] * len(kept)
    empty = _paths.masked(treedef, leaves, nothing)
    none = None
    if params is not None:
      values = treedef.flatten_up_to(params)
      params = _paths.masked(treedef, values, kept)
      none = _paths.masked(treedef, values, nothing)

    def probe(group):
      """The learning rate after this update, from that of a group before it."""
      if jax.tree.leaves(group.memory):  # closed loop: it may hear the training
        given = gradients, state.shared_state, params
      else:
        given = empty, _state.take_rate(owner, base.init(empty))[1], none
      tree, inner, values = given
      inner = _state.put_rate(inner, _natural(group))
      _, after = base.update(tree, inner, values, **extra_args)
      return _state.take_rate(owner, after)[0]

    # 1. The rate that groups share, and the base at that rate.
    followers = [n for n, rate in trained.items() if rate.policy is None]
    before = [state.inner_states[n] for n in followers]
    if followers:
      agrees = [_agrees(group, before[0]) for group in before]
      by_hand = [jnp.logical_not(a) for a in agrees]
      by_hand += [~jnp.isnan(group.override) for group in before]
      apart = jnp.any(jnp.stack(by_hand)) | (len(trained) > len(followers))
      probed = _probe(probe, before, apart)
      # Nothing can be made of an update whose rate was 0.
      run, carried = _natural(before[0]), apart & (probed[0].learning_rate == 0)
    else:
      agrees, probed = [], []
      run, carried = _state.take_rate(owner, base.init(empty))[0], jnp.ones((), bool)
    one = jnp.where(carried, 1, run.override).astype(run.override.dtype)
    shared_state = _state.put_rate(state.shared_state, run._replace(override=one))
    stepped, shared_state = base.update(gradients, shared_state, params, **extra_args)
    after, shared_state = _state.take_rate(owner, shared_state)
    shared = Shared(
        moved=after.step != run.step,
        carrier=after.learning_rate,
        rate=jnp.where(carried, 0, after.learning_rate),
        after=after,
    )
    results = treedef.flatten_up_to(stepped)

    # 2. The rate of each group, and by what its updates are multiplied.
    states, factors = {}, {}
    for name, rate in trained.items():
      group = state.inner_states[name]
      if rate.policy is None:
        at = followers.index(name)
        new, factor = _follow(rate, group, shared, probed[at], agrees[at])
      else:
        mine = [n == name for n in names]
        signals = _signals(rate, treedef, mine, results, params, shared.carrier)
        _, new = rate.policy.update(signals[0], group, signals[1], **extra_args)
        factor = _leafwise.safe_divide(new.learning_rate, shared.carrier)
      shown = jnp.where(waits[name], 0, new.learning_rate)
      new = new._replace(learning_rate=shown)
      states[name] = _select(shared.moved, new, group)
      factors[name] = factor

    scaled = [
        _times(result, factors[name], waits[name], rates[name])
        if name in trained
        else jax.tree.map(jnp.zeros_like, leaf)
        for name, leaf, result in zip(names, leaves, results)
    ]
    step: Any = optax.safe_increment(state.step)
    state = _state.ParamGroupsState(step, states, shared_state)
    return treedef.unflatten(scaled), state

  made: Any = GroupedTransformation(init, update)
  made.owner, made.plan, made.base = owner, plan, base
  return made


def start_groups(
    rates: dict[str, Any], shared: _types.LearningRateState
) -> dict[str, _types.LearningRateState]:
  """The states of the groups that are trained, before any update."""
  states = {}
  for name, rate in rates.items():
    if rate is _rates.frozen:
      continue
    state = shared if rate.policy is None else rate.policy.init()
    shown = state.learning_rate * jnp.asarray(rate.factor, _types.rate_dtype())
    shown = jnp.where(jnp.asarray(rate.start) > 0, 0, shown)
    state = state._replace(learning_rate=shown.astype(state.learning_rate.dtype))
    states[name] = jax.tree.map(jnp.copy, state)  # buffers may be donated
  return states


def _natural(state: _types.LearningRateState) -> _types.LearningRateState:
  """What the policy itself gives: no scale and no override."""
  return state._replace(
      scale=jnp.ones_like(state.scale), override=jnp.full_like(state.override, jnp.nan)
  )


def _waits(rate: _rates.Rate, step: Any) -> Any:
  """Whether a group is still frozen at this update."""
  return step < jnp.asarray(rate.start, jnp.int32)


def _may_wait(rate: Any) -> bool:
  if rate is _rates.frozen:
    return False
  return not (isinstance(rate.start, int) and rate.start == 0)


def _finite(leaf: Any, waits: Any) -> Any:
  """The gradient, and 0 for what is not finite while its group waits."""
  keep = lambda g: jnp.where(waits & ~jnp.isfinite(g), 0, g).astype(g.dtype)
  return jax.tree.map(keep, leaf)


def _probe(probe: Any, before: list[Any], apart: Any) -> list[Any]:
  """What the policy gives at the clock of each group, where any is apart."""
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *before)

  def ask():
    cast = lambda new, old: new.astype(old.dtype)
    return jax.tree.map(cast, jax.vmap(probe)(stacked), stacked)

  after = branch(apart.astype(jnp.int32), (lambda: stacked, ask))
  return [jax.tree.map(lambda x, i=i: x[i], after) for i in range(len(before))]


def _agrees(a: _types.LearningRateState, b: _types.LearningRateState) -> Any:
  """Whether two groups have the same clock and the same memory."""
  same = lambda x, y: jnp.all((x == y) | ((x != x) & (y != y)))
  pairs = jax.tree.map(same, (a.step, a.memory), (b.step, b.memory))
  return jnp.all(jnp.stack(jax.tree.leaves(pairs)))


def _follow(
    rate: _rates.Rate,
    group: _types.LearningRateState,
    shared: Shared,
    probed: _types.LearningRateState,
    agrees: Any,
) -> tuple[_types.LearningRateState, Any]:
  """The state after an update of a group that takes a factor, and the quotient."""
  after = _select(agrees, shared.after, probed)
  natural = jnp.where(agrees, shared.rate, probed.learning_rate)
  factor = jnp.asarray(rate.factor, natural.dtype) * group.scale
  plain = jnp.isnan(group.override)
  applied = jnp.where(plain, natural * factor, group.override)
  quotient = _leafwise.safe_divide(applied, shared.carrier)
  # No quotient where none is needed: it would round.
  usual = agrees & plain & (shared.rate == shared.carrier)
  group = group._replace(
      step=after.step, memory=after.memory, learning_rate=applied
  )
  return group, jnp.where(usual, factor, quotient)


def _select(condition: Any, chosen: Any, other: Any) -> Any:
  """One of two states of one layout."""
  pick = lambda x, y: jnp.where(condition, x, y).astype(jnp.result_type(y))
  return jax.tree.map(pick, chosen, other)


def _signals(rate, treedef, mine, results, params, carrier) -> tuple[Any, Any]:
  """The group's updates and parameters, as a policy at its end would get them."""
  if not rate.policy.closed_loop:
    return (), None
  back = _leafwise.safe_divide(-jnp.ones_like(carrier), carrier)
  plain = lambda u: _scale(u, back)
  results = [jax.tree.map(plain, result) for result in results]
  if params is not None:
    params = _paths.masked(treedef, treedef.flatten_up_to(params), mine)
  return _paths.masked(treedef, results, mine), params


def _scale(update: Any, factor: Any) -> jax.Array:
  """The product in float32 or wider, in the update's dtype."""
  dtype = jnp.result_type(update)
  wide = _leafwise.wide_dtype(update)
  factor = factor.astype(_leafwise.real_dtype(wide))
  return (jnp.asarray(update, wide) * factor).astype(dtype)


def _times(result: Any, factor: Any, waits: Any, rate: _rates.Rate) -> Any:
  """The update of a leaf: exactly 0 while it waits, whatever the base gave."""

  def leaf(update: Any) -> jax.Array:
    scaled = _scale(update, factor)
    if not _may_wait(rate):
      return scaled
    return jnp.where(waits, jnp.zeros_like(scaled), scaled)

  return jax.tree.map(leaf, result)
