"""Which method an optimizer is, found out by what it does.

A method that has a limit of stability is linear in small gradients as long as its
second moments stand still. So its updates to a few small gradients, momenta and
parameters, put in by hand, tell the momentum, whether it is a sum or an average and
looks ahead, what it divides by, and how it decays the weights; and that it is no
method of another kind. lrax's and Optax's tell it alike, made or not.
"""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from lrax.stability import _divisors
from lrax.stability import _probe
from lrax.stability._divisors import RTOL
from lrax.stability._divisors import typical

# A momentum in bfloat16 is off by up to 0.4%, and a ratio of two of them by more.
_COARSE = 0.02
# Parameters at which the gradient must do as much as at 0: unlike it in norm, and
# above the floors of norms (1e-3 in Optax).
_SIZES = (1.0, 0.25)


class Method(NamedTuple):
  """A method near a minimum: r the rate, m the momentum, g the gradient.

  m = momentum * m + share * (g + l2 * x)
  x -= r * (inverse * (m, or momentum * m + share * g) + decay * x)
  """

  name: str
  momentum: float
  gain: float  # what the limit multiplies the curvature by
  adaptive: bool  # whether `inverse` depends on the state
  inverse: Callable[[Any], chex.ArrayTree]  # of a state: >= 0, like the parameters
  l2: chex.ArrayTree  # decay that is part of the gradient, like the parameters
  decay: chex.ArrayTree  # decoupled, for a rate of 1, like the parameters


def identify(owner: str, optimizer: Any, params: chex.ArrayTree) -> Method:
  """The method that an optimizer is, for a rate of 1.

  Raises:
    TypeError: a function of the rate that returns no transformation.
    ValueError: it is none whose limit is known.
  """
  probe = _probe.Probe(owner, optimizer, params)
  small, draw = probe.small, np.random.default_rng(0)
  signs = lambda x: jnp.asarray(draw.choice([-small, small], x.shape), x.dtype)
  first, second = (jax.tree.map(signs, probe.zeros) for _ in range(2))
  double = jax.tree.map(lambda x: 2 * x, second)
  level = probe.full(small)

  of_first, after_first = probe.step(first)
  of_double, _ = probe.step(double)
  of_momentum, after_momentum = probe.step(momentum=second)
  of_params, _ = probe.step(params=level)
  together, _ = probe.step(first, second if probe.momentum else None, level)
  if not probe.momentum:
    of_momentum = probe.zeros
  parts = jax.tree.map(lambda *x: sum(x), of_first, of_momentum, of_params)
  gains = _ratio(of_first, first)
  linear = _close(gains, _ratio(of_double, double)) and _close(together, parts)
  if not linear or not all(jnp.all(x > 0) for x in jax.tree.leaves(gains)):
    raise probe.refuse(
        'whose updates are not in proportion to small gradients, or are 0'
    )
  _refuse_scaled(probe, first)

  momentum, ahead = _momentum(
      probe, second, gains, of_momentum, after_first, after_momentum, first
  )
  average = probe.momentum not in (None, 'TraceState')
  share = 1 - momentum if average else 1.0
  factor = share * (1 + momentum) if ahead else share
  l2 = _coupled(probe, level, share)
  rated, fixed = _decoupled(probe, level, of_params, l2, gains)

  if probe.square:
    kept = _divisors.kept_squares(probe)
    divide = lambda state: _divisors.of_state(
        probe, state, kept, momentum, ahead, factor
    )
  else:
    constant = jax.tree.map(lambda x: x / factor, gains)
    divide = lambda state: constant
  unit = 1.0
  if probe.fixed and not probe.visible:
    unit = _divisors.unit(probe, gains, factor)
  # A decay that no rate scales, of d a step, leaves 1 - d / 2 of the limit.
  room = jax.tree.map(lambda d: 1 - d / 2, fixed)
  if any(jnp.any(x <= 0) for x in jax.tree.leaves(room)):
    raise probe.refuse('which takes away twice the weights or more at each step')

  def inverse(state):
    return jax.tree.map(lambda x, r: x / (unit * r), divide(state), room)

  return Method(
      name=_name(probe, momentum, ahead),
      momentum=momentum,
      gain=share * (1 + 2 * momentum if ahead else 1),
      adaptive=bool(probe.square),
      inverse=inverse,
      l2=l2,
      decay=jax.tree.map(lambda w, r: w / (unit * r), rated, room),
  )


def _ratio(tree: chex.ArrayTree, by: chex.ArrayTree) -> chex.ArrayTree:
  return jax.tree.map(lambda x, y: x / y, tree, by)


def _close(tree: chex.ArrayTree, other: chex.ArrayTree) -> bool:
  """Whether they agree, each number to a thousandth."""
  near = jax.tree.map(
      lambda x, y: jnp.all(jnp.abs(x - y) <= RTOL * jnp.abs(y)), tree, other
  )
  return all(jax.tree.leaves(near))


def _refuse_scaled(probe: _probe.Probe, gradient: chex.ArrayTree) -> None:
  """Refuses updates that scale with the parameters, as those of LARS do.

  The squares are so large that a decay in the gradient does not move them.
  """
  huge = {name: probe.full(2.0**40) for name in _probe.SQUARED}
  alone, _ = probe.step(gradient, squares=huge)
  for size in _SIZES:
    params = probe.full(size)
    decay, _ = probe.step(params=params, squares=huge)
    both, _ = probe.step(gradient, params=params, squares=huge)

    def same(both, decay, alone):
      rounding = 8 * jnp.finfo(both.dtype).eps * jnp.abs(decay)
      off = jnp.abs(both - decay - alone)
      return jnp.all(off <= RTOL * jnp.abs(alone) + rounding)

    if not all(jax.tree.leaves(jax.tree.map(same, both, decay, alone))):
      raise probe.refuse('whose updates scale with the size of the parameters')


def _buffer(moments: dict[str, Any], kind: str) -> chex.ArrayTree:
  node = moments[kind]
  return next(getattr(node, n) for n in ('trace', 'ema', 'mu') if hasattr(node, n))


def _momentum(
    probe: _probe.Probe,
    put: chex.ArrayTree,
    gains: chex.ArrayTree,
    of_momentum: chex.ArrayTree,
    after_first: dict[str, Any],
    after_momentum: dict[str, Any],
    first: chex.ArrayTree,
) -> tuple[float, bool]:
  """The share of the momentum that is kept, and whether it looks ahead."""
  kind = probe.momentum
  if kind is None:
    return 0.0, False
  kept = typical(_ratio(_buffer(after_momentum, kind), put))
  if kept == 0:
    return 0.0, False
  # What is left of the momentum over what is seen of it, each of what came in now
  # and of what was there: 1 without looking ahead, else (1 + b) / b.
  seen_now = _ratio(gains, _ratio(_buffer(after_first, kind), first))
  seen_then = _ratio(of_momentum, _buffer(after_momentum, kind))
  ratio = typical(_ratio(seen_now, seen_then))
  ahead = ratio > 1 + _COARSE
  expected = (1 + kept) / kept if ahead else 1.0
  if not (0 < kept < 1 and abs(ratio / expected - 1) < _COARSE):
    raise probe.refuse('whose momentum is of another kind')
  narrow = jnp.result_type(*jax.tree.leaves(_buffer(probe.moments(probe.first), kind)))
  if narrow.itemsize >= 4 or probe.square not in (None, kind):
    return float(str(np.float32(kept))), ahead  # 0.9 is 0.8999999761581421 there
  # A momentum in bfloat16 is rounded; the update that is made with it is not.
  share = typical(_ratio(_ratio(of_momentum, put), gains))
  if kind == 'TraceState':
    kept = (share + math.sqrt(share**2 + 4 * share)) / 2 if ahead else share
  else:
    kept = share / (1 + share)
    kept = math.sqrt(kept) if ahead else kept
  return float(str(np.float32(kept))), ahead


def _coupled(
    probe: _probe.Probe, level: chex.ArrayTree, share: float
) -> chex.ArrayTree:
  """The decay that is added to the gradient, before momentum and squares."""
  nothing = {name: probe.zeros for name in _probe.SQUARED}
  _, moments = probe.step(params=level, squares=nothing)
  if probe.momentum and (probe.square in (None, probe.momentum)):
    buffer = _buffer(moments, probe.momentum)
    return jax.tree.map(lambda m, x: m / (share * x), buffer, level)
  if probe.square:
    # nu = (1 - b2) * (l2 * x) ** 2
    kept = _divisors.kept_squares(probe)
    root = lambda nu, x: jnp.sqrt(nu / (1 - kept)) / x
    return jax.tree.map(root, moments[probe.square].nu, level)
  return probe.zeros  # without either it is the same as a decoupled one


def _decoupled(
    probe: _probe.Probe,
    level: chex.ArrayTree,
    of_params: chex.ArrayTree,
    l2: chex.ArrayTree,
    gains: chex.ArrayTree,
) -> tuple[chex.ArrayTree, chex.ArrayTree]:
  """The decay for a rate of 1 that the rate scales, and the one that it does not."""
  snap = lambda x, by: jnp.where(jnp.abs(x) <= RTOL * jnp.abs(by), 0, x)
  # What the decay in the gradient does by itself.
  known = jax.tree.map(lambda x, gain: x * gain, l2, gains)
  once = jax.tree.map(lambda d, x, k: snap(d / x - k, k), of_params, level, known)
  if probe.fixed and not probe.visible:
    return once, probe.zeros
  of_double, _ = probe.step(params=level, rate=2)
  twice = jax.tree.map(
      lambda d, x, k: snap(d / x - 2 * k, k), of_double, level, known
  )
  rated = jax.tree.map(lambda a, b: snap(b - a, a), once, twice)
  fixed = jax.tree.map(lambda a, w: snap(a - w, a), once, rated)
  return rated, fixed


def _name(probe: _probe.Probe, momentum: float, ahead: bool) -> str:
  if probe.square and 'Rms' in probe.square:
    name = 'RMSProp'
    return name if not momentum else f'{name} with momentum {momentum:.4g}'
  if probe.square:
    return f"{'Nadam' if ahead else 'Adam'}-like with b1 {momentum:.4g}"
  if not momentum:
    return 'gradient descent'
  average = probe.momentum != 'TraceState'
  name = 'averaged momentum' if average else 'momentum'
  return f"{'Nesterov' if ahead else 'heavy-ball'} {name} {momentum:.4g}"
