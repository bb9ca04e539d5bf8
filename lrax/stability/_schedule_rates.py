"""The rates of a schedule and the norms of gradients, as arrays that are checked."""

from __future__ import annotations

from typing import Any

import jax
from jax.core import Tracer
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax import _policy


def rates_of(owner: str, schedule: Any, steps: Any) -> Any:
  """The rates at steps 0, 1, …: an array, checked where they are known."""
  if isinstance(schedule, _policy.Schedule) or callable(schedule):
    if steps is None:
      raise _checks.refuse(
          owner, 'steps', 'given for a schedule', steps, 'say how long training is'
      )
    count = int(_checks.positive_steps(owner, 'steps', steps))
    rates = _evaluated(schedule, count)
  else:
    rates = real_array(owner, 'schedule', schedule)
    if np.ndim(rates) != 1 or not np.shape(rates)[0]:
      raise _checks.refuse(
          owner, 'schedule', 'a schedule, a function of the step or rates, (steps,)',
          f'an array of shape {np.shape(rates)}',
          'pass lrax.constant(rate) for one rate, use jax.vmap to map over many',
      )
    if steps is not None:
      count = int(_checks.positive_steps(owner, 'steps', steps))
      if count != len(rates):
        raise _checks.refuse(
            owner, 'steps', f'the {len(rates)} of the rates', count, 'leave it out'
        )
  if not isinstance(rates, Tracer):
    _known(owner, 'schedule', rates, 'rates')
  return rates


def _evaluated(schedule: Any, steps: int) -> Any:
  """The rates of a schedule, or of a function that may take one step at a time."""
  at = np.arange(steps, dtype=np.int32)
  if isinstance(schedule, _policy.Schedule):
    return _widened(schedule(at))
  try:
    rates = jax.vmap(schedule)(jnp.asarray(at))
  except jax.errors.JAXTypeError:  # it branches on the step
    rates = np.asarray([float(schedule(int(step))) for step in at])
  return _widened(rates)


def _widened(rates: Any) -> Any:
  return rates if isinstance(rates, Tracer) else np.asarray(rates, np.float64)


def gradient_norms(owner: str, norms: Any, rates: Any) -> Any:
  """A number or one for each rate, checked where they are known."""
  norms = real_array(owner, 'gradient_norm', norms)
  if np.shape(norms) not in ((), np.shape(rates)):
    raise _checks.refuse(
        owner, 'gradient_norm', f'a number, or {len(rates)}, one for each step',
        f'an array of shape {np.shape(norms)}', 'or leave it at 1',
    )
  if not isinstance(norms, Tracer):
    used = norms
    if np.ndim(norms) and not isinstance(rates, Tracer):
      used = np.where(rates > 0, norms, 0)
    _known(owner, 'gradient_norm', norms, 'norms', used)
  return norms


def real_array(owner: str, name: str, value: Any) -> Any:
  """The value as an array of real numbers; float64 where it is known."""
  if isinstance(value, Tracer):
    kind = value.dtype
  else:
    try:
      value = np.asarray(value)
    except ValueError:  # a ragged list
      value = np.asarray(None)
    kind = value.dtype
  if not (jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)):
    raise _checks.refuse(
        owner, name, 'real numbers', f'an array of {kind}', 'pass an array of floats',
        TypeError,
    )
  return value if isinstance(value, Tracer) else value.astype(np.float64)


def _known(owner: str, name: str, value: Any, what: str, used: Any = None) -> None:
  wrong = ~(np.isfinite(value) & (value >= 0))
  if wrong.any():
    shown = np.ravel(value)[int(np.argmax(np.ravel(wrong)))]
    raise _checks.refuse(
        owner, name, f'of finite {what} >= 0', float(shown), 'see where it comes from'
    )
  if not np.any((value if used is None else used) > 0):
    raise _checks.refuse(
        owner, name, f'of {what} one of which counts and is above 0', 'none',
        'there is nothing to bound',
    )
