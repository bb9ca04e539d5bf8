"""DoG: the distance travelled over the root of the gradients' squares."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers import _estimated
from lrax.optimizers import _weight_decay
from lrax.optimizers._polynomial_average import polynomial_average
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise
from lrax.transforms._scheduled import scheduled

_kind = _checks.choice('heuristic', 'distance', 'learning_rate')


class DogState(NamedTuple):
  """State of `dog` and `ldog`, of whose trees each leaf is that of an array."""

  distance: chex.ArrayTree  # float32 or wider, (): largest distance so far
  sum_of_squares: chex.ArrayTree  # as distance: of the gradients so far
  start: chex.ArrayTree  # the parameters at the start


@scheduled('eps', 'weight_decay', 'average_gamma')
def dog(
    learning_rate: Any = 1.0,
    init_step: tuple[str, Numeric] = ('heuristic', 1e-6),
    eps: Numeric = 1e-8,
    weight_decay: Numeric | None = None,
    mask: Any = None,
    *,
    average_gamma: Numeric | None = 8.0,
) -> optax.GradientTransformationExtraArgs:
  """DoG: gradient descent whose rate is distance over gradients.

  `learning_rate` multiplies the estimate: leave it at 1.
  `lrax.get_learning_rate` shows the product. Evaluate
  `lrax.eval_params(state, params)`, an average that DoG needs to be good.

  Formula:
    distance = max(distance, norm(x - x0)), at first init_step
    G = G + norm(g) ** 2
    rate = learning_rate * distance / sqrt(G + eps)
    x -= rate * g
    c = (average_gamma + 1) / (average_gamma + t)
    average = (1 - c) * average + c * x

    with norms over all parameters of the group; t counts updates from 1. With
    'heuristic' distance starts at init_step * (1 + norm(x0)). eps,
    weight_decay and average_gamma may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the estimate: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    init_step: how to start, and a number > 0: 'heuristic', the distance as a
      share of the parameters' norm; 'distance', the distance; 'learning_rate',
      the estimate itself until the parameters have moved.
    eps: added under the root, >= 0.
    weight_decay: coefficient of a decay added to the gradient, >= 0; None for
      none.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.
    average_gamma: how much late parameters count in the average, >= 0, which
      takes one copy of the parameters; None for no average.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state has a
    `lrax.optimizers.DogState` and ends with a `lrax.LearningRateState`, whose rate
    is the product, 0 before the first update, which needs a gradient; an
    override replaces the product. Updates keep their dtype. `update` needs
    `params`. A NaN in a gradient is one in every update.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Ivgi, Hinder and Carmon, "DoG is SGD's Best Friend", 2023, equations 1 and 2,
    section 3.3 for the start, and for the average Shamir and Zhang, 2013, with
    the authors' gamma. As the authors' package, whose `init_eta` leaves the
    parameters where they are for ever after a first gradient of 0. Optax has no
    average.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.array(4.0)}
    >>> tx = lrax.dog(init_step=('distance', 0.5), eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['w']), float(lrax.get_learning_rate(state))
    (-0.5, 0.125)
  """
  owner = 'dog'
  begin = beginning(owner, init_step)
  eps = _checks.non_negative(owner, 'eps', eps)

  def init(params):
    scalar = _estimated.scalar
    norm = jnp.sqrt(_estimated.sum_of_squares(_estimated.wide(params)))
    distance = begin.distance(norm)
    return DogState(scalar(distance), scalar(0.0), _estimated.start_of(params))

  def update(grads, state, params, multiply):
    gone = jnp.sqrt(_estimated.sum_of_squares(travelled(state.start, params)))
    distance = jnp.maximum(state.distance, gone)
    total = state.sum_of_squares + _estimated.sum_of_squares(grads)
    estimate = begin.estimate(distance, total + eps)
    rate = estimate * multiply(estimate)
    steps = jax.tree.map(lambda g: _estimated.times(-rate, g), grads)
    scalar = _estimated.scalar
    return steps, DogState(scalar(distance), scalar(total), state.start), estimate

  method = _estimated.Method(init, update, 0.0)
  return finish(owner, method, learning_rate, weight_decay, mask, average_gamma)


@scheduled('eps', 'weight_decay', 'average_gamma')
def ldog(
    learning_rate: Any = 1.0,
    init_step: tuple[str, Numeric] = ('heuristic', 1e-6),
    eps: Numeric = 1e-8,
    weight_decay: Numeric | None = None,
    mask: Any = None,
    *,
    average_gamma: Numeric | None = 8.0,
) -> optax.GradientTransformationExtraArgs:
  """L-DoG: DoG with an estimate for each array of the parameters.

  Formula:
    x -= learning_rate * distance / sqrt(G + eps) * g

    with distance and G of each array alone, and the average, as in `lrax.dog`.
    eps, weight_decay and average_gamma may be schedules: see
    `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: multiplies the estimates: a number >= 0, a scalar array (traced
      too), a `lrax.Schedule`, or any function of the step.
    init_step: how to start, and a number > 0: see `lrax.dog`.
    eps: added under the root, >= 0.
    weight_decay: coefficient of a decay added to the gradient, >= 0; None for
      none.
    mask: a tree of bools like the parameters, or a function of them that gives
      one: where to decay. None for everywhere.
    average_gamma: how much late parameters count in the average, >= 0, which
      takes one copy of the parameters; None for no average.

  Returns:
    An `optax.GradientTransformationExtraArgs`. Its state has a
    `lrax.optimizers.DogState` and ends with a `lrax.LearningRateState`, whose rate
    is what multiplies the estimates, of which there are many. Updates keep their
    dtype. `update` needs `params`.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or at update `params` is missing.

  Source:
    Ivgi, Hinder and Carmon, "DoG is SGD's Best Friend", 2023, section 3.3; as the
    authors' package.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'a': jnp.array(4.0), 'b': jnp.array(-0.01)}
    >>> tx = lrax.ldog(init_step=('distance', 0.5), eps=0.0)
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['a']), float(updates['b'])
    (-0.5, 0.5)
  """
  owner = 'ldog'
  begin = beginning(owner, init_step)
  eps = _checks.non_negative(owner, 'eps', eps)

  def init(params):
    norm = lambda x: begin.distance(_norm(jnp.asarray(x, _leafwise.wide_dtype(x))))
    zero = lambda x: jnp.zeros((), _leafwise.real_dtype(_leafwise.wide_dtype(x)))
    return DogState(
        jax.tree.map(lambda x: jnp.asarray(norm(x), zero(x).dtype), params),
        jax.tree.map(zero, params),
        _estimated.start_of(params),
    )

  def update(grads, state, params, multiply):
    one = _estimated.scalar(1.0)
    rate = multiply(one)

    def leaf(g, distance, total, x0, x):
      kept = distance.dtype
      wide = _leafwise.wide_dtype(x)
      gone = _norm(jnp.asarray(x, wide) - jnp.asarray(x0, wide))
      distance = jnp.maximum(distance, gone.astype(kept))
      total = total + jnp.sum(_leafwise.square(g)).astype(kept)
      estimate = begin.estimate(distance, total + jnp.asarray(eps, kept))
      step = _estimated.times(-rate * estimate, g)
      return step, distance.astype(kept), total.astype(kept)

    steps, distance, total = _leafwise.leafwise(
        leaf, 3, grads, state.distance, state.sum_of_squares, state.start, params
    )
    return steps, DogState(distance, total, state.start), one

  method = _estimated.Method(init, update, 1.0)
  return finish(owner, method, learning_rate, weight_decay, mask, average_gamma)


class Beginning(NamedTuple):
  """How the distance starts, and what takes its place until it is above 0."""

  kind: str
  number: Any

  def distance(self, norm: jax.Array) -> Any:
    if self.kind == 'heuristic':
      return self.number * (1 + norm)
    return self.number if self.kind == 'distance' else jnp.zeros_like(norm)

  def estimate(self, distance: jax.Array, total: jax.Array) -> jax.Array:
    found = _leafwise.safe_divide(distance, jnp.sqrt(total))
    if self.kind != 'learning_rate':
      return found
    return jnp.where(distance > 0, found, jnp.asarray(self.number, found.dtype))


def beginning(owner: str, init_step: Any) -> Beginning:
  """The start of `init_step`, checked."""
  if not isinstance(init_step, (tuple, list)) or len(init_step) != 2:
    raise _checks.refuse(
        owner, 'init_step', 'a word and a number', init_step,
        "for example ('heuristic', 1e-6)", TypeError,
    )
  kind = _kind(owner, 'init_step[0]', init_step[0])
  return Beginning(kind, _checks.positive(owner, 'init_step[1]', init_step[1]))


def finish(
    owner: str,
    method: _estimated.Method,
    learning_rate: Any,
    weight_decay: Any,
    mask: Any,
    average_gamma: Any,
) -> optax.GradientTransformationExtraArgs:
  """The optimizer of a method, with a decay in its gradient and an average."""
  policy = as_schedule(learning_rate, owner)
  average = polynomial_average(owner, average_gamma)
  tx = _estimated.optimizer(owner, method, policy, *average)
  if weight_decay is None:
    return tx
  link = _weight_decay.add_decayed_weights(owner, weight_decay, mask)

  def init(params):
    rest: Any = tx.init(params)
    return link.init(params), *rest

  def update(updates: Any, state: Any, params=None, **extra_args):
    rest: Any
    wide = _estimated.wide(updates)
    decayed, first = link.update(wide, state[0], params, **extra_args)
    steps: Any
    steps, rest = tx.update(decayed, state[1:], params, **extra_args)
    return _estimated.as_kept(steps, updates), (first, *rest)

  return optax.GradientTransformationExtraArgs(init, update)


def travelled(start: Any, params: Any) -> Any:
  def minus(x0: Any, x: Any) -> jax.Array:
    wide = _leafwise.wide_dtype(x)
    return jnp.asarray(x, wide) - jnp.asarray(x0, wide)

  return jax.tree.map(minus, start, params)


def _norm(x: jax.Array) -> jax.Array:
  return jnp.sqrt(jnp.sum(_leafwise.square(x)))
