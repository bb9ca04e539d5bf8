"""Which column of a log is which, by its name."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import difflib
import os.path
import re
from typing import Any
from typing import NamedTuple

ROLES = ('step', 'loss', 'validation_loss', 'learning_rate')
WATCHED = ('gradient_norm', 'update_norm', 'cosine')  # by a monitor

_LOSS = {
    'bce', 'ce', 'cost', 'crossentropy', 'elbo', 'energy', 'entropy', 'loss', 'losses',
    'mae', 'mse', 'nll', 'objective', 'perplexity', 'ppl', 'rmse', 'xent',
}
_VALIDATION = {'dev', 'eval', 'evaluation', 'heldout', 'test', 'val', 'valid',
               'validation'}
_TRAINING = {'train', 'training', 'trn'}
_WHOLE = {'overall', 'sum', 'total'}  # and not one part of the loss
# With one of these it is about the loss, and not the loss.
_ABOUT = {
    'acc', 'accuracy', 'aux', 'auxiliary', 'best', 'change', 'clip', 'count', 'decay',
    'delta', 'ema', 'factor', 'grad', 'gradient', 'kl', 'lowest', 'max', 'mean', 'min',
    'minimum', 'norm', 'overridden', 'patience', 'ratio', 'reg', 'regularization',
    'scale', 'scaler', 'scheduler', 'since', 'size', 'smooth', 'smoothed', 'std',
    'time', 'var', 'variance', 'weight',
}
_UPDATES = {'batches', 'it', 'iter', 'iteration', 'iterations', 'iters', 'step',
            'steps', 'update', 'updates'}
# A row that holds one of these is a header.
KNOWN = _LOSS | _UPDATES | {'epoch', 'epochs', 'lr'}
_NO_STEP = _ABOUT | _LOSS | {'per', 'second', 'seconds', 'sec', 'lr', 'rate'}


class Columns(NamedTuple):
  """The column of each array, and what there is to say of the choice."""

  names: dict[str, str]
  rates: tuple[str, ...]  # the columns of which the largest is the rate
  unit: str  # 'updates', 'epochs' or 'rows'
  notes: list[str]
  epoch: str | None  # a column of epochs beside the step


def words(name: str) -> list[str]:
  """The words of a column's name: 'trainLoss' and 'train/loss' are the same."""
  text = re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name)
  text = re.sub(r'(loss|cross(?=entropy))', r' \1 ', text.lower())
  text = text.replace(' cross ', ' cross').replace('cross entropy', 'crossentropy')
  text = re.sub(r'\b(log|nll|ce|mse) loss\b', 'loss', text)
  text = text.replace('learning rate', 'lr').replace('loss es', 'loss')
  return re.findall(r'[a-z]+', re.sub(r'learning[^a-z]*rate', ' lr ', text))


def is_of_monitor(name: str) -> bool:
  """Whether a column is a loss that a monitor has seen; NaN if it has seen none."""
  kinds = set(words(name))
  return bool(kinds & _LOSS) and 'monitor' in kinds


def watched(names: Iterable[str], loss: str = '') -> dict[str, str]:
  """The column of each array that a monitor has measured of all parameters.

  Of several runs in a file it is that of the run whose loss is taken.
  """
  found = {}
  for role in WATCHED:
    key = re.compile(rf'(.*[^a-z0-9])?monitor[ _-]{role}', re.IGNORECASE)
    of = [name for name in names if key.fullmatch(name)]
    shared = lambda name: (len(os.path.commonprefix([name, loss])), -len(name))
    if of:
      found[role] = max(of, key=shared)
  return found


def ranked(names: Iterable[str]) -> dict[str, list[str]]:
  """For each array the columns that it may be, the likeliest first."""
  found: dict[str, list[tuple[Any, str]]] = {role: [] for role in ROLES}
  for place, name in enumerate(names):
    role = _role(name)
    if role:
      found[role[0]].append(((role[1], place), name))
  return {role: [name for _, name in sorted(pairs)] for role, pairs in found.items()}


def groups(rates: Sequence[str]) -> tuple[str, ...]:
  """Of ranked rates the first, and those of other groups of parameters beside it."""
  if not rates or _is_plain(rates[0]):
    return tuple(rates[:1])
  of = lambda name: [words(name)] + [['lr']] * (_before_group(name) == ['lr'])
  return tuple(n for n in rates if any(key in of(rates[0]) for key in of(n)))


def _is_plain(name: str) -> bool:
  return re.sub('[^a-z0-9]', '', name.lower()) in ('lr', 'learningrate')


def _before_group(name: str) -> list[str]:
  """The words before the group: of 'learning_rate/head' and 'lr-AdamW' the rate's."""
  base, group = re.split('[/-]', f'{name}/', maxsplit=1)
  return words(base) if group.strip('/') else []


def choose(
    names: Sequence[str], given: Mapping[str, str] | None,
    unseen: Collection[str] = (),
) -> Columns:
  """The column of each array: as given, else by its name.

  Args:
    names: of all columns.
    given: those that are known.
    unseen: losses of a monitor that has seen none.

  Raises:
    ValueError: a column that was given is not there, or no loss is.
  """
  given = dict(given or {})
  for role, name in given.items():
    if role not in (*ROLES, *WATCHED):
      raise ValueError(
          f'`columns` must name {", ".join((*ROLES, *WATCHED))}, got {role!r}; for'
          " example {'loss': 'train/ce'}."
      )
    if name not in names:
      close = difflib.get_close_matches(str(name), names, 1)
      hint = f', did you mean {close[0]!r}?' if close else ''
      raise ValueError(f'there is no column {name!r}{hint}; {_there_are(names)}.')
  taken = {*given.values(), *unseen}
  found = ranked(name for name in names if name not in taken)
  chosen, notes = {}, []
  for role in ROLES:
    if role in given:
      chosen[role] = given[role]
      continue
    candidates = found[role]
    if not candidates:
      continue
    if role == 'learning_rate' and len(groups(candidates)) > 1:
      chosen[role] = candidates[0]
      largest = ', '.join(repr(name) for name in groups(candidates)[:4])
      notes.append(f'learning_rate is the largest of the columns {largest}.')
      continue
    chosen[role] = candidates[0]
    others = ', '.join(repr(name) for name in candidates[1:4])
    also = f' (not {others})' if others else ''
    if candidates[0] != role or others:
      notes.append(f'{role} is the column {candidates[0]!r}{also}.')
  plain = {name.lower(): name for name in names}
  if 'loss' not in chosen and {'wall time', 'step', 'value'} <= plain.keys():
    chosen['loss'] = plain['value']
    notes.append(
        f"loss is the column {plain['value']!r}, as TensorBoard exports one: look"
        ' whether it is the training loss.'
    )
  if 'loss' not in chosen:
    why = ''
    if unseen:
      why = (
          f' ({min(unseen)!r} is NaN in every row, as where no value=loss is passed to'
          ' the update)'
      )
    raise ValueError(
        f"no column is the training loss{why}; {_there_are(names)}; name it as"
        " columns={'loss': ...}."
    )
  others = (n for n in found['step'] if n != chosen.get('step'))
  epoch = next((n for n in others if unit(n) == 'epochs'), None)
  rates = groups(found['learning_rate'])
  if 'learning_rate' in given:
    rates = (given['learning_rate'],)
  return Columns(chosen, rates, unit(chosen.get('step')), notes, epoch)


def _there_are(names: Sequence[str]) -> str:
  shown = ', '.join(repr(name) for name in names[:20])
  return f"the columns are {shown}{', ...' if len(names) > 20 else ''}"


def _role(name: str) -> tuple[str, tuple[int, ...]] | None:
  """What a column may be, and how far its name is from the plain one."""
  run, dash, last = name.rpartition(' - ')
  if dash and run:  # of a web export: 'run - loss' and 'run - loss__MIN'
    name = last
  if re.search(r'__(min|max)$', name, re.IGNORECASE):
    return None
  found = words(name)
  kinds = set(found)
  if _before_group(name) == ['lr'] and '/' in name:
    return 'learning_rate', (True, len(found))
  if 'lr' in kinds or 'eta' in kinds:
    if kinds & (_ABOUT | _UPDATES | _LOSS):
      return None
    return 'learning_rate', (not _is_plain(name), len(found))
  if 'monitor' in kinds and kinds & {*_LOSS, 'step'}:
    # Its last loss, if no other is there; not the step of its last measurement.
    return ('loss', (2,)) if kinds <= {*_LOSS, 'monitor'} else None
  if kinds & _LOSS and not kinds & (_ABOUT - {'mean'}):
    spare = len(kinds - _LOSS - _TRAINING - _VALIDATION - _WHOLE)
    plain = 0 if 'loss' in kinds else 1
    if kinds & _VALIDATION:
      return 'validation_loss', (plain, spare, len(found), 'epoch' not in kinds)
    epoch = 'epoch' in kinds
    return 'loss', (plain, epoch, spare - ('step' in kinds) - epoch, len(found))
  if kinds & _UPDATES and not kinds & _NO_STEP:
    return 'step', (0, bool(kinds & {*_VALIDATION, 'monitor'}), len(found))
  if kinds & {'batch'} and not kinds & _NO_STEP:
    return 'step', (1, 0, len(found))
  if kinds & {'epoch', 'epochs', 'ep'} and not kinds & _NO_STEP:
    return 'step', (2, 0, len(found))
  if kinds & {'samples', 'tokens', 'examples', 'images'} and not kinds & _NO_STEP:
    return 'step', (3, 0, len(found))
  return None


def unit(name: str | None) -> str:
  """What a step of this name counts: 'updates', 'epochs' or 'rows'."""
  kinds = set(words(name.rpartition(' - ')[2])) if name else set()
  if kinds & {'epoch', 'epochs', 'ep'} and not kinds & _UPDATES:
    return 'epochs'
  return 'updates' if kinds & _UPDATES else 'rows'
