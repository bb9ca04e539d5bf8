"""What a method divides by, read from a state by trying it there.

Second moments are held: what an optimizer does with a gradient and a momentum at the
state's own squares and count tells what it multiplies a curvature by, with its bias
corrections and whatever it adds to the root.
"""

from __future__ import annotations

import math
from typing import Any

import chex
import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax.stability import _probe

RTOL = 1e-3  # updates are in float32, and their roundings add up


def typical(tree: chex.ArrayTree) -> float:
  """The number that all of a tree are, or NaN where they differ."""
  numbers = np.concatenate([np.ravel(np.float64(x)) for x in jax.tree.leaves(tree)])
  middle = float(np.median(numbers))
  return middle if np.all(np.abs(numbers - middle) <= RTOL * abs(middle)) else math.nan


def kept_squares(probe: _probe.Probe) -> float:
  """b2, the share of the average of squares that is kept."""
  _, moments = probe.step()
  return typical(moments[probe.square or ''].nu)


def of_state(
    probe: _probe.Probe,
    state: Any,
    kept: float,
    momentum: float,
    ahead: bool,
    factor: float,
) -> chex.ArrayTree:
  """What a state multiplies the gradient by, its second moments held.

  The next update would let them decay first: they are put in as they were before.

  A step moves x by -(u * s * x + w * v), with s the curvature, u and w what the
  optimizer multiplies a gradient and the momentum before it by, and v that momentum:
  v' = b * v + share * s * x. The limit is where the sign flips at each step: there
  v = -share * s * x / (1 + b), so that 2 * (1 + b) = ((1 + b) * u - share * w) * s * x
  over x. Without looking ahead u / share = w / b, and w tells all; with it the two
  have bias corrections of their own.
  """
  node = probe.moments(state).get(probe.square or '')
  shapes = lambda tree: jax.tree.map(jnp.shape, tree)
  if node is None or shapes(node.nu) != shapes(probe.zeros):
    raise _checks.refuse(
        probe.owner, 'opt_state', f'a state of {_probe.name_of(probe.optimizer)}, with'
        f' a {probe.square} like the parameters', type(state).__name__,
        'it is what tx.init and tx.update return',
    )
  count = node.count if 'count' in node._fields else None
  if count is not None and not isinstance(count, Tracer) and count < 1:
    raise _checks.refuse(
        probe.owner, 'opt_state', 'of at least one update', 'count = 0',
        'before it there is no second moment to divide by',
    )
  squares = {
      name: jax.tree.map(lambda x: x / kept, getattr(node, name))
      if name == 'nu' else getattr(node, name)
      for name in _probe.SQUARED
      if hasattr(node, name)
  }
  count = _probe.LATE if count is None else count - 1

  def of_momentum():
    put = probe.full(probe.small)
    seen, _ = probe.step(momentum=put, squares=squares, count=count)
    return jax.tree.map(lambda w, x: w / x, seen, put)

  def of_gradient():
    # So small that the squares do not move, and yet in proportion.
    put = jax.tree.map(lambda x: jnp.sqrt(x) * 2.0**-13 + 2.0**-60, squares['nu'])
    seen, _ = probe.step(put, squares=squares, count=count)
    return jax.tree.map(lambda u, x: u / x, seen, put)

  if not momentum or probe.momentum != probe.square:
    found = jax.tree.map(lambda u: u / factor, of_gradient())
  elif not ahead:
    found = jax.tree.map(lambda w: w / momentum, of_momentum())
  else:
    share = 1 - momentum
    gain = share * (1 + 2 * momentum)
    found = jax.tree.map(
        lambda u, w: ((1 + momentum) * u - share * w) / gain,
        of_gradient(), of_momentum(),
    )
  return jax.tree.map(lambda x: jnp.maximum(x, 0), found)


def unit(probe: _probe.Probe, gains: chex.ArrayTree, factor: float) -> float:
  """The rate that is part of a made transformation, from where `eps` is nothing."""
  if probe.square:
    kept = kept_squares(probe)
    low, high = (_at_squares(probe, 2.0**power) for power in (40, 60))
    # A root of the squares (Adam), or themselves (Adamax, where they are a maximum).
    power = typical(jax.tree.map(lambda x, y: jnp.log2(x / y) / 20, low, high))
    exact = next((p for p in (0.5, 1.0) if abs(power - p) < RTOL), None)
    if exact is None:
      raise probe.refuse('which divides by an unknown power of its squares')
    root = (2.0**40 * kept) ** exact
    gains = jax.tree.map(lambda x: root * x, low)
  found = typical(gains) / factor
  if not found > 0:
    raise probe.refuse('with several rates; pass a function of the rate')
  return found


def _at_squares(probe: _probe.Probe, value: float) -> chex.ArrayTree:
  """What a gradient is multiplied by where all squares are one number."""
  put = probe.full(probe.small)
  # A maximum of averages is that of the new one, which has been multiplied by b2.
  squares = {'nu': probe.full(value), 'nu_max': probe.zeros}
  seen, _ = probe.step(put, squares=squares)
  return jax.tree.map(lambda u, x: u / x, seen, put)
