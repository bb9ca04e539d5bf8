"""What to do about a verdict, as code that runs."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from lrax.diagnose import _log
from lrax.diagnose import _optimizer


class Remedy(NamedTuple):
  """Code that runs after `import lrax`, and what to say of it."""

  code: str
  advice: str


class _Known(NamedTuple):
  """What the log tells of the rate and of the length of the run."""

  rate: float | None  # the largest that was logged
  last: float | None  # the one logged last
  steps: int | None  # updates up to the last row; None where none were counted
  falls: bool  # whether the rate falls to the end
  optimizer: _optimizer.Written

  def times(self, factor: float) -> str:
    """The rate by a factor, as code."""
    if self.rate is not None:
      return f'{self.rate * factor:.2g}'
    whole = f'* {factor:g}' if factor >= 1 else f'/ {1 / factor:g}'
    return f'learning_rate {whole}' if factor != 1 else 'learning_rate'

  def length(self, parts: int) -> str:
    """A part of the run's updates, as code."""
    if self.steps is None:
      return f'steps // {parts}' if parts > 1 else 'steps'
    return str(max(1, self.steps // parts))

  def policy(self, factor: float, warmup: bool) -> str:
    """The rate by a factor, in the shape that it has."""
    rate = self.times(factor)
    policy = f'lrax.constant({rate})'
    if self.falls:
      policy = f'lrax.cosine_annealing({rate}, steps={self.length(1)})'
    return f'{policy}.with_warmup({self.length(20)})' if warmup else policy


def remedy(verdict: str, log: _log.Log, optimizer: _optimizer.Written) -> Remedy:
  """The remedy for a verdict, fitted to what the log tells."""
  make = _REMEDIES.get(verdict)
  if make is None:
    return Remedy('', '')
  known = _known(log, optimizer)
  imports, call, advice = make(known)
  said = [advice]
  # What the log does not tell is an argument; `steps=` names one of a schedule.
  names = [name for name in _PLACES if re.search(rf'\b{name}\b(?!=)', call)]
  if names:
    code = f'def optimizer({", ".join(names)}):\n  return {call}'
    said += [_PLACES[name] for name in names]
  else:
    code = f'tx = {call}'
  if not optimizer.given:
    said.append("It is written for adamw; name yours, as optimizer='sgd'.")
  return Remedy('\n'.join([*imports, code]), ' '.join(said))


_PLACES = {
    'learning_rate': 'The log holds no rate: `learning_rate` is the one you used.',
    'steps': (
        'The log does not count updates: `steps` is the number of updates of the'
        ' whole run.'
    ),
}


def _known(log: _log.Log, optimizer: _optimizer.Written) -> _Known:
  rates = log.learning_rate[np.isfinite(log.learning_rate) & (log.learning_rate > 0)]
  steps = None
  if log.unit == 'updates' and len(log) and log.step[-1] >= 1:
    steps = min(int(log.step[-1]), 2**31 - 1)
  falls = len(rates) > 1 and rates[-1] < 0.5 * rates.max()
  rate, last = (float(rates.max()), float(rates[-1])) if len(rates) else (None, None)
  return _Known(rate, last, steps, falls, optimizer)


def _diverging(known: _Known) -> tuple[list[str], str, str]:
  call = known.optimizer.code(known.policy(1 / 3, warmup=True))
  return [], f'lrax.guard({call}, mode="back_off")', (
      'Start again, or from before the rise, with a third of the rate, a warmup and a'
      ' guard that skips bad updates; divide by three again if it still diverges.'
  )


def _oscillating(known: _Known) -> tuple[list[str], str, str]:
  return [], known.optimizer.code(known.policy(1 / 3, warmup=True)), (
      'Take a third of the rate, with a warmup; go on dividing by three until the loss'
      ' falls without swinging.'
  )


def _too_low(known: _Known) -> tuple[list[str], str, str]:
  return [], known.optimizer.code(known.policy(10, warmup=False)), (
      'Take ten times the rate, or measure it: lrax.tune.find(task,'
      f' {_quoted(known.optimizer)}).'
  )


def _plateau(known: _Known) -> tuple[list[str], str, str]:
  rate = known.times(1) if known.last is None else f'{known.last:.2g}'
  if known.steps is None:
    reduced = 'lrax.control.reduce_on_plateau(0.3, patience=5, signal="report")'
    return [], known.optimizer.code(f'{rate} * {reduced}'), (
        'Let the rate fall where the loss has stopped to: report an evaluation to it by'
        ' opt_state = lrax.report(opt_state, loss).'
    )
  at, more = known.steps, max(1, known.steps // 5)
  policy = f'lrax.constant({rate}).cooldown({at}, steps={more})'
  return [], known.optimizer.code(policy), (
      f'Let the rate fall to 0 in {more} more updates from step {at} on;'
      f' or, where you do not know when it will stop to fall, let'
      f' {rate} * lrax.control.reduce_on_plateau(signal="report") cut it.'
  )


def _overfitting(known: _Known) -> tuple[list[str], str, str]:
  rate = known.policy(1, warmup=False) if known.falls else known.times(1)
  stop = 'lrax.control.early_stop(patience=5, signal="report")'
  policy = f'{rate} * {stop}'
  decay = known.optimizer.arguments.get('weight_decay')
  told = (
      'Decay the weights more, and stop where the validation loss stops to fall: report'
      ' it by opt_state = lrax.report(opt_state, loss), and end when'
      ' lrax.control.should_stop(opt_state); the best parameters are those of the'
      ' lowest validation loss.'
  )
  if known.optimizer.takes('weight_decay'):
    more = '0.1' if decay in (None, '0', '0.0') else f'10 * {decay}'
    return [], known.optimizer.code(policy, {'weight_decay': more}), told
  call = known.optimizer.code(policy)
  chain = f'optax.chain(optax.add_decayed_weights(1e-3), {call})'
  return ['import optax'], chain, told


def _quoted(optimizer: _optimizer.Written) -> str:
  named = ', '.join(f'{k}={v}' for k, v in optimizer.arguments.items())
  return repr(f'{optimizer.name}({named})' if named else optimizer.name)


_REMEDIES = {
    'diverging': _diverging,
    'oscillating': _oscillating,
    'too low': _too_low,
    'plateau': _plateau,
    'overfitting': _overfitting,
}
