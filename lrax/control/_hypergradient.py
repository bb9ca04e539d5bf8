"""A rate that goes down the gradient of the loss by the rate itself."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lrax import _checks
from lrax import _types
from lrax._types import Numeric
from lrax.control import _along
from lrax.control import _closed_loop


class HypergradientMemory(NamedTuple):
  """What `hypergradient` remembers."""

  rate: jax.Array  # rate dtype, (): the rate of now
  slope: jax.Array  # rate dtype, (): sum(grad * direction) of the last update
  direction: chex.ArrayTree  # float32 or wider, as the parameters: the last; 0


def _start(*, params, init_value, max_value, **_) -> tuple[Any, HypergradientMemory]:
  dtype = _types.rate_dtype()
  rate, zero = jnp.asarray(init_value, dtype), jnp.zeros((), dtype)
  if max_value is not None:
    rate = jnp.minimum(rate, max_value).astype(dtype)
  return rate, HypergradientMemory(rate, zero, _along.zeros(params))


def _stays_positive(owner: str, *, hyper_rate: Any, form: str, **_) -> None:
  if form == 'multiplicative' and isinstance(hyper_rate, float) and hyper_rate >= 1:
    raise _checks.refuse(
        owner, 'hyper_rate', "below 1 with form='multiplicative'", hyper_rate,
        'the rate could become 0, and stay so',
    )


@_closed_loop.closed_loop(
    _start,
    of_params=True,
    together=_stays_positive,
    init_value=_checks.rate,
    hyper_rate=_checks.non_negative,
    form=_checks.choice('additive', 'multiplicative', 'normalized'),
    max_value=_checks.optional(_checks.positive),
)
def hypergradient(
    memory: HypergradientMemory,
    step: jax.Array,
    signals: _types.Signals,
    init_value: Numeric,
    hyper_rate: Numeric,
    form: str = 'additive',
    max_value: Numeric | None = None,
):
  """A rate that is itself trained, by the gradient of the loss by the rate.

  Where the gradient of now points along the last update, a larger rate would have
  been better; where it points back, a smaller one. That costs one inner product,
  and the memory of the last direction. The direction may be that of any optimizer;
  where it is not the gradient, give `update` the gradient as `grad=`.

  Under `jax.pmap` or `jax.shard_map` nothing is needed where the gradients are
  averaged over devices, as usual: all take one rate.

  Formula:
    gain = sum(grad * last direction)
    'additive': rate = rate + hyper_rate * gain
    'multiplicative': rate = rate * (1 + hyper_rate * gain / (|grad| * |last
      direction|))
    'normalized': rate = rate + hyper_rate * gain / sum(last grad * last direction)

    then within 0 and `max_value`; `init_value` in the first update, and as it was
    where a gradient's square is not finite or something divided by is not above 0

  Args:
    init_value: the rate of the first update, a finite number >= 0.
    hyper_rate: the rate of the rate, a finite number >= 0; 0 keeps it. For
      'additive' its unit is that of the rate by that of the gradient squared: the
      authors' runs have 1e-3 for gradient descent and 1e-7 or 1e-8 for Adam, the
      defaults of their code are 1e-6 and 1e-8. For 'multiplicative', < 1, it is
      the largest change as a share, such as 0.02; for 'normalized' the largest
      change where the gradient stays as it was.
    form: 'additive', 'multiplicative' or 'normalized', which does not depend on the
      scale of the loss.
    max_value: the highest rate, a finite number > 0; None for no bound.

  Returns:
    A closed-loop `lrax.Schedule`. It remembers one number for each parameter, in
    float32 or wider, so its state is made by `init(params)`.

  Raises:
    TypeError: an argument is no real scalar or no string.
    ValueError: an argument is out of range; or, from `update`, the state was made
      without the parameters.

  Source:
    Baydin, Cornish, Martinez Rubio, Schmidt and Wood, "Online learning rate
    adaptation with hypergradient descent", 2018, algorithms 4 to 6 and the
    multiplicative form that they derive beside them; Almeida et al., "Parameter
    adaptation in stochastic optimization", 1998. Normalized: Gao, Chu, Ye and
    Udell, "Gradient methods with online scaling", 2025, the hypergradient feedback
    of a scalar step, in the metric of the direction: their |last grad| ** 2 for
    gradient descent. They take it from the loss at the same point twice; here, as
    in Baydin et al., the gradient is the next batch's. Their code makes of it
    AdaGrad's step of the rate, and does not go where the loss is not lower.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.sgd(lrax.control.hypergradient(0.5, hyper_rate=0.25))
    >>> params, rates = {'w': jnp.array(3.0)}, []
    >>> state = tx.init(params)
    >>> for gradient in (2.0, 1.0, -0.5):
    ...   _, state = tx.update({'w': jnp.array(gradient)}, state, params)
    ...   rates.append(float(lrax.get_learning_rate(state)))
    >>> rates  # 0.25 * 1 * 2 more, 0.25 * 0.5 * 1 less
    [0.5, 1.0, 0.875]
  """
  del step
  owner = 'hypergradient'
  direction = _along.direction(owner, signals)
  _along.needs_shapes(owner, memory.direction, direction)
  gradient = _along.gradient(owner, signals)
  gain = _along.inner(memory.direction, gradient)
  own, slope = _along.inner(direction, direction), _along.inner(direction, gradient)
  one = jnp.ones((), gain.dtype)
  divisor = one
  if form == 'multiplicative':
    last = _along.inner(memory.direction, memory.direction)
    size = _along.inner(gradient, gradient)
    divisor = jnp.sqrt(last) * jnp.sqrt(size)
  elif form == 'normalized':
    divisor = memory.slope
  finite = jnp.isfinite(own) & jnp.isfinite(slope)
  usable = finite & jnp.isfinite(gain) & jnp.isfinite(divisor) & (divisor > 0)
  change = hyper_rate * jnp.where(usable, gain, 0) / jnp.where(usable, divisor, 1)
  unit = memory.rate if form == 'multiplicative' else one
  rate = jnp.maximum(memory.rate + unit * change, 0)
  if max_value is not None:
    rate = jnp.minimum(rate, max_value)
  rate = jnp.where(jnp.isfinite(rate), rate, memory.rate).astype(memory.rate.dtype)
  keep = lambda old, new: jnp.where(finite, new, old).astype(old.dtype)
  return rate, HypergradientMemory(
      rate=rate,
      slope=keep(memory.slope, slope),
      direction=jax.tree.map(keep, memory.direction, direction),
  )
