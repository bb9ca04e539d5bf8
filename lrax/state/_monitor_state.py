"""What `lrax.diagnose.monitor` keeps, and its names for loggers."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lrax import _types
from lrax.state import _find

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# What is measured of one update of some parameters, in the order of the array that
# holds it: a number each would be many arrays to hand in and out of every step.
MEASURED = (
    'gradient_norm',
    'update_norm',
    'parameter_norm',  # before the update
    'cosine',  # of this update and the one before it
    *(f'rate_{100 * share:02.0f}' for share in QUANTILES),  # |update| / |gradient|
)


class LossStatistics(NamedTuple):
  """What the losses were so far; NaN before the first."""

  seen: jax.Array  # int32, (): finite losses
  last: jax.Array  # rate dtype, (): finite or not
  mean: jax.Array  # rate dtype, (): smoothed
  deviation: jax.Array  # rate dtype, (): smoothed, from the mean
  lowest: jax.Array  # rate dtype, ()
  since_lowest: jax.Array  # int32, (): updates


class MonitorState(NamedTuple):
  """What `monitor` keeps between updates."""

  inner_state: Any  # the state of the transformation that is monitored
  step: jax.Array  # int32, (): updates seen
  measured: jax.Array  # int32, (): `step` of the latest measurement; 0 for none
  overall: jax.Array  # rate dtype, (9,): MEASURED of all parameters, NaN at first
  groups: dict[str, jax.Array]  # rate dtype, (9,): the same by group
  loss: LossStatistics
  # Entries of the update before the one to measure, for the cosine.
  sample: jax.Array  # rate dtype or complex, (entries,)
  sample_step: jax.Array  # int32, (): `step` of that update


def nothing_measured() -> jax.Array:
  """The measurement before the first, in memory of its own."""
  return jnp.full((len(MEASURED),), jnp.nan, _types.rate_dtype())


def metrics(state: MonitorState, label: str = '') -> dict[str, jax.Array]:
  """The scalars of a monitor by name, behind it `/label` and then `/group`."""
  behind = lambda *parts: ''.join(f'/{part}' for part in (label, *parts) if part)
  result = {
      f'monitor_updates{behind()}': _find.array(state.step),
      f'monitor_step{behind()}': _find.array(state.measured),
  }
  for group, measured in [('', state.overall), *state.groups.items()]:
    measured = _find.array(measured)
    scalars = {name: measured[..., at] for at, name in enumerate(MEASURED)}
    size = scalars['parameter_norm']
    ratio = jnp.where(size == 0, jnp.nan, scalars['update_norm'] / size)
    scalars['update_ratio'] = ratio
    result |= {f'monitor_{name}{behind(group)}': x for name, x in scalars.items()}
  loss = state.loss._asdict()
  loss.pop('seen')
  names = {'last': 'monitor_loss'}
  return result | {
      names.get(name, f'monitor_loss_{name}') + behind(): _find.array(value)
      for name, value in loss.items()
  }
