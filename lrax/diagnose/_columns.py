"""Which column of a log is which, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import difflib
import re
from typing import Any
from typing import NamedTuple

ROLES = ('step', 'loss', 'validation_loss', 'learning_rate')

_LOSS = {
    'bce', 'ce', 'cost', 'crossentropy', 'elbo', 'energy', 'entropy', 'loss', 'losses',
    'mae', 'mse', 'nll', 'objective', 'perplexity', 'ppl', 'rmse', 'xent',
}
_VALIDATION = {'dev', 'eval', 'evaluation', 'heldout', 'test', 'val', 'valid',
               'validation'}
_TRAINING = {'monitor', 'train', 'training', 'trn'}
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


def choose(names: Sequence[str], given: Mapping[str, str] | None) -> Columns:
  """The column of each array: as given, else by its name.

  Raises:
    ValueError: a column that was given is not there, or no loss is.
  """
  given = dict(given or {})
  for role, name in given.items():
    if role not in ROLES:
      raise ValueError(
          f'`columns` must name {", ".join(ROLES)}, got {role!r}; for example'
          " {'loss': 'train/ce'}."
      )
    if name not in names:
      close = difflib.get_close_matches(str(name), names, 1)
      hint = f', did you mean {close[0]!r}?' if close else ''
      raise ValueError(f'there is no column {name!r}{hint}; {_there_are(names)}.')
  taken = set(given.values())
  ranked: dict[str, list[tuple[Any, str]]] = {role: [] for role in ROLES}
  for place, name in enumerate(names):
    found = None if name in taken else _role(name)
    if found:
      ranked[found[0]].append(((found[1], place), name))
  chosen, notes = {}, []
  for role in ROLES:
    if role in given:
      chosen[role] = given[role]
      continue
    candidates = [name for _, name in sorted(ranked[role])]
    if not candidates:
      continue
    chosen[role] = candidates[0]
    others = ', '.join(repr(name) for name in candidates[1:4])
    also = f' (not {others})' if others else ''
    if candidates[0] != role or others:
      notes.append(f'{role} is the column {candidates[0]!r}{also}.')
  if 'loss' not in chosen:
    raise ValueError(
        f"no column is the training loss; {_there_are(names)}; name it as"
        " columns={'loss': ...}."
    )
  unit = _unit(chosen.get('step'))
  epochs = (n for _, n in sorted(ranked['step']) if _unit(n) == 'epochs')
  epoch = next((n for n in epochs if n != chosen.get('step')), None)
  return Columns(chosen, unit, notes, epoch)


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
  if 'lr' in kinds or 'eta' in kinds:
    if kinds & (_ABOUT | _UPDATES | _LOSS):
      return None
    return 'learning_rate', (len(found),)
  if kinds & _LOSS and not kinds & (_ABOUT - {'mean'}):
    spare = len(kinds - _LOSS - _TRAINING - _VALIDATION)
    plain = 0 if 'loss' in kinds else 1
    if kinds & _VALIDATION:
      return 'validation_loss', (plain, spare, len(found), 'epoch' not in kinds)
    epoch = 'epoch' in kinds
    return 'loss', (plain, epoch, spare - ('step' in kinds) - epoch, len(found))
  if kinds & _UPDATES and not kinds & _NO_STEP:
    return 'step', (0, bool(kinds & _VALIDATION), len(found))
  if kinds & {'batch'} and not kinds & _NO_STEP:
    return 'step', (1, 0, len(found))
  if kinds & {'epoch', 'epochs', 'ep'} and not kinds & _NO_STEP:
    return 'step', (2, 0, len(found))
  if kinds & {'samples', 'tokens', 'examples', 'images'} and not kinds & _NO_STEP:
    return 'step', (3, 0, len(found))
  return None


def _unit(name: str | None) -> str:
  kinds = set(words(name.rpartition(' - ')[2])) if name else set()
  if kinds & {'epoch', 'epochs', 'ep'} and not kinds & _UPDATES:
    return 'epochs'
  return 'updates' if kinds & _UPDATES else 'rows'
