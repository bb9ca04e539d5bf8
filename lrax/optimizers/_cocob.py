"""COCOB: every coordinate bets on the sign of its gradient."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.optimizers._estimated import start_of
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise
from lrax.transforms._needs_params import needs_params
from lrax.transforms._scheduled import scheduled


class CocobState(NamedTuple):
  """State of `cocob`; all have the parameters' shapes, float32 or wider."""

  largest: chex.ArrayTree  # L, the largest size of a gradient so far
  sum_of_sizes: chex.ArrayTree  # G, of the gradients so far
  reward: chex.ArrayTree  # R, what was won
  bet: chex.ArrayTree  # T, minus the sum of the gradients
  start: chex.ArrayTree  # the parameters at the start, in their dtype

  places_parameters = True  # an update goes to a place, whatever came before


@scheduled('alpha', 'weight_decay')
def cocob(
    learning_rate: Any = 1.0,
    alpha: Numeric = 100.0,
    eps: Numeric = 1e-8,
    weight_decay: Numeric = 0.0,
    mask: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """COCOB-Backprop: descent without a rate, by betting on coins.

  `learning_rate` multiplies the update: leave it at 1, at which x is where the
  formula puts it.

  Formula:
    L = max(L, abs(g)), G = G + abs(g), T = T - g
    R = max(R - g * (x - x0), 0)
    x = x0 + T / (L * max(G + L, alpha * L)) * (L + R)

    for each coordinate; L starts at eps. alpha and weight_decay may be schedules:
    see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the update: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    alpha: how careful the first bets are, > 0; the first step is 1 / alpha.
    eps: L at first, >= 0.
    weight_decay: coefficient of a decay added to the gradient, >= 0.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state ends with a
    `lrax.LearningRateState`, whose rate is what multiplies the update. Updates keep
    their dtype; a coordinate that had no gradient but 0 stays. `update` needs
    `params`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Orabona and Tommasi, "Training Deep Networks without Learning Rates Through Coin
    Betting", 2017, algorithm 2, where L starts at 0, which `eps=0.0` gives; the
    default is that of Optax and of the package `parameterfree`. Complex numbers bet
    in their plane.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(3.0)}
    >>> tx = lrax.cocob(alpha=4.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w'])
    -0.25
  """
  owner = 'cocob'
  alpha = _checks.positive(owner, 'alpha', alpha)
  eps = _checks.non_negative(owner, 'eps', eps)
  decay = _weight_decay.add_decayed_weights(owner, weight_decay, mask)

  def init(params):
    return CocobState(
        largest=_leafwise.wide_zeros(params, eps),
        sum_of_sizes=_leafwise.wide_zeros(params),
        reward=_leafwise.wide_zeros(params),
        bet=_leafwise.wide_zeros(params, real=False),
        start=start_of(params),
    )

  def update(updates, state, params=None, **extra_args):
    del extra_args
    params = needs_params(owner, params, 'the bets are on where they are')

    def leaf(g, largest, total, reward, bet, x0, x):
      kept = largest.dtype
      wide = jnp.asarray(g, bet.dtype)
      gone = jnp.asarray(x, bet.dtype) - jnp.asarray(x0, bet.dtype)
      size = jnp.abs(wide).astype(kept)
      largest = jnp.maximum(largest, size)
      total = total + size
      won = jnp.real(jnp.conj(wide) * gone).astype(kept)
      reward = jnp.maximum(reward - won, 0)
      bet = bet - wide
      share = jnp.maximum(total + largest, jnp.asarray(alpha, kept) * largest)
      # Each factor is of the size of 1, however small L ** 2 is.
      place = _leafwise.safe_divide(bet, share)
      place *= 1 + _leafwise.safe_divide(reward, largest)
      return gone - place, largest, total, reward, bet

    trees = *state[:4], state.start, params
    steps, *rest = _leafwise.leafwise(leaf, 5, updates, *trees)
    steps = jax.tree.map(lambda s, g: s.astype(jnp.result_type(g)), steps, updates)
    largest, total, reward, bet = rest
    return steps, CocobState(largest, total, reward, bet, state.start)

  bets = optax.GradientTransformationExtraArgs(init, update)
  return optax.chain(decay, bets, as_schedule(learning_rate, owner))
