"""Adafactor: an average square that costs next to no memory."""

from __future__ import annotations

import math
from typing import Any

from jax.core import Tracer
import jax.numpy as jnp
import optax

from lrax import _checks
from lrax import schedules
from lrax._types import Numeric
from lrax.optimizers import _average
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import _leafwise
from lrax.transforms import _norms
from lrax.transforms import scale_by_factored_rms
from lrax.transforms import scale_by_param_block_rms
from lrax.transforms._in_full import in_full
from lrax.transforms._needs_params import needs_params
from lrax.transforms._scheduled import scheduled


def adafactor(
    learning_rate: Any = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: Numeric = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: Numeric | None = 1.0,
    momentum: Numeric | None = None,
    dtype_momentum: Any = jnp.float32,
    weight_decay_rate: Numeric | None = None,
    eps: Numeric = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
    *,
    warmup_init: float | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Adafactor: the second moment of a matrix from its row and column means.

  Formula:
    u = g / sqrt(v), v as in `lrax.transforms.scale_by_factored_rms`
    u = u / max(1, RMS(u) / clipping_threshold)
    scale = max(1e-3, RMS(parameter)), or 1
    parameter -= learning_rate * scale * u

    with learning_rate = min(1e-2, 1 / sqrt(t)) where it is None, the relative
    step, and min(warmup_init * t, 1 / sqrt(t)) where that is given; t counts
    updates from 1 and RMS is the root of a leaf's mean square. With momentum an
    average of scale * u takes its place:
    m = momentum * m + (1 - momentum) * scale * u.

    decay_rate, clipping_threshold, momentum, weight_decay_rate and eps may be
    schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule. None
      for the paper's relative step, which is a schedule too: it is read and
      changed as any other.
    min_dim_size_to_factor: a leaf is factored over its two longest axes if both
      are at least this long, >= 1; leaves of fewer axes than two never are.
    decay_rate: how fast the average of squares lengthens, > 0.
    decay_offset: updates, >= 0, that do not count in its t.
    multiply_by_parameter_scale: whether steps are in proportion to the parameter.
    clipping_threshold: bound on RMS(u), > 0; None for none.
    momentum: share of the average of steps that is kept, in [0, 1); None for none.
    dtype_momentum: dtype of that average; None for the parameter's.
    weight_decay_rate: learning_rate * this * parameter is taken off, >= 0.
    eps: added to the square of the gradient, >= 0.
    factored: whether to factor at all.
    weight_decay_mask: a tree of bools like the parameters, or a function of them
      that gives one: where to decay. None for everywhere.
    warmup_init: where the relative step starts, a known number >= 1e-13; the
      paper's is 1e-6, and the warm-up then 10000 steps long. None for no warm-up.

  Returns:
    An `optax.GradientTransformationExtraArgs`; its update needs `params` for the
    scale and the decay. Its state ends with a `lrax.LearningRateState`; updates
    keep their dtype and are rounded once.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.

  Source:
    Shazeer and Stern, "Adafactor", 2018, algorithms 4 and 5 with section 9's
    defaults. Where `learning_rate` is None Optax has a rate of 1, which moves a
    parameter by all of itself in one step; Hugging Face, as here, has the paper's.
    Hugging Face averages learning_rate * scale * u: at a constant rate they agree;
    here a change of the rate acts at once. The paper has no decay: here the rate
    scales it, as in PyTorch and Big Vision; Hugging Face multiplies it by the
    parameter's scale too, and Optax by nothing. PyTorch's own takes
    min(learning_rate, 1 / sqrt(t)) and no eps: it is another method.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'w': jnp.full(4, 2.0)}
    >>> tx = lrax.adafactor()
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> round(float(updates['w'][0]), 5), float(lrax.get_learning_rate(state))
    (-0.02, 0.009999999776482582)
  """
  owner = 'adafactor'
  slope = _checks.optional(_slope)(owner, 'warmup_init', warmup_init)
  scaled = _checks.flag(
      owner, 'multiply_by_parameter_scale', multiply_by_parameter_scale
  )
  if learning_rate is None:
    policy = _relative_step(slope)
  else:
    policy = as_schedule(learning_rate, owner)
    if slope is not None:
      raise _checks.refuse(
          owner, 'warmup_init', 'None where a rate is given', slope,
          'the warm-up is part of the relative step; use .with_warmup()',
      )
  links: list[optax.GradientTransformation] = [
      _factored(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)
  ]
  if clipping_threshold is not None:
    links.append(_clip(clipping_threshold))
  if scaled:
    links.append(_scale())
  if momentum is not None:
    links.append(_average.average(owner, momentum, dtype_momentum))
  _checks.dtype(owner, 'dtype_momentum', dtype_momentum)
  if weight_decay_rate is not None:
    if not callable(weight_decay_rate):
      _checks.non_negative(owner, 'weight_decay_rate', weight_decay_rate)
    links.append(
        _weight_decay.add_decayed_weights(owner, weight_decay_rate, weight_decay_mask)
    )
  return in_full(optax.chain(*links, policy))


_known_slope = _checks.number(
    'a number >= 1e-13',
    lambda x: x >= 1e-13,
    'of less the warm-up would be longer than the clock, 2**31 steps',
)


def _slope(owner: str, name: str, value: Any) -> Any:
  if isinstance(value, Tracer):
    raise _checks.refuse(
        owner, name, 'a known number', value,
        'the length of the warm-up follows from it; give a schedule as the rate',
        TypeError,
    )
  return _known_slope(owner, name, value)


def _relative_step(slope: Any) -> Any:
  """The paper's rho_t as a schedule; step counts from 0 and t from 1."""
  root = schedules.inverse_sqrt(1.0, 0, timescale_steps=1)
  if slope is None:
    return schedules.minimum(1e-2, root)
  # slope * t meets 1 / sqrt(t) at this t; with 1e-6 it is 10000.
  steps = math.ceil(slope ** (-2 / 3))
  return schedules.minimum(schedules.linear(slope, slope * (steps + 1), steps), root)


@scheduled('decay_rate', 'eps')
def _factored(
    factored: bool, decay_rate: Any, decay_offset: int, shortest: int, eps: Any
) -> optax.GradientTransformationExtraArgs:
  _checks.positive('adafactor', 'decay_rate', decay_rate)
  _checks.steps('adafactor', 'decay_offset', decay_offset)
  _checks.non_negative('adafactor', 'eps', eps)
  return scale_by_factored_rms(factored, decay_rate, decay_offset, shortest, eps)


@scheduled('clipping_threshold')
def _clip(clipping_threshold: Any) -> optax.GradientTransformationExtraArgs:
  threshold = _checks.positive('adafactor', 'clipping_threshold', clipping_threshold)

  def update(updates, state, params=None, **extra_args):
    del params, extra_args

    def leaf(u):
      bound = jnp.asarray(threshold, _leafwise.real_dtype(u.dtype))
      return (_norms.clip_rms(u, bound),)

    return _leafwise.leafwise(leaf, 1, updates)[0], state

  init = lambda params: optax.EmptyState()
  return optax.GradientTransformationExtraArgs(init, update)


def _scale() -> optax.GradientTransformationExtraArgs:
  scale = scale_by_param_block_rms()

  def update(updates, state, params=None, **extra_args):
    needs_params('adafactor', params, 'a step is a part of the parameter')
    return scale.update(updates, state, params, **extra_args)

  return optax.GradientTransformationExtraArgs(scale.init, update)
