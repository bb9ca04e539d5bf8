"""Which package is this from: logistic regression on rare words."""

from __future__ import annotations

import re
import zlib

import jax.numpy as jnp
import numpy as np
import optax

from lrax.tasks import _data
from lrax.tasks import _source_text
from lrax.tasks import _task

_NAMES = (
    'asyncio', 'ctypes', 'email', 'http', 'importlib', 'logging', 'multiprocessing',
    'unittest', 'urllib', 'xml',
)
_FEATURES = 8_192
_LINES = 10  # a piece
_WORDS = 48  # at most of a piece
_EVERY = 5  # one piece in so many is validated on


def packages() -> _task.Task:
  """Ten lines of source: which of ten packages? Logistic regression on words.

  The pieces are about 7,000, of asyncio, ctypes, email, http, importlib, logging,
  multiprocessing, unittest, urllib and xml of the standard library, without their
  tests; they depend on the version of Python. Every fifth piece is left out of
  training and validates. The features are which words are in a piece, at most 48,
  by their CRC-32 in 8,192 columns: half of those that occur are in at most 6
  pieces, so a weight's gradient is 0 at nearly every step. A batch has 128 pieces;
  a full run takes 300 steps, about 7 epochs.

  The loss is the cross-entropy: 2.30 for a guess, where the weights begin, 0.
  Seeds differ in their batches only. With Python 3.11, `lrax find packages` printed
  0.036 for AdamW, loss 0.198 with a spread of 0.0002 over seeds, and
  `--optimizer "sgd(momentum=0.9)"` 1.7 and 0.271.

  Args:
    None.

  Returns:
    A `lrax.tasks.Task`.

  Raises:
    FileNotFoundError: this Python has no source files of the standard library.

  Source:
    lrax's own; columns by a hash: Weinberger et al., "Feature Hashing for Large
    Scale Multitask Learning", 2009.

  Example:
    >>> import lrax
    >>> lrax.tasks.packages().steps
    300
  """
  columns, labels = [], []
  for label, name in enumerate(_NAMES):
    for path in _source_text.package('packages', name):
      lines = path.read_text(encoding='utf-8').splitlines()
      for start in range(0, len(lines), _LINES):
        found = _columns('\n'.join(lines[start : start + _LINES]))
        if found:
          columns.append(found + [_FEATURES] * (_WORDS - len(found)))
          labels.append(label)
  data = np.asarray(columns, np.int32), np.asarray(labels, np.int32)
  validated = np.arange(len(labels)) % _EVERY == _EVERY - 1
  return _task.Task(
      init=_init,
      loss=_loss,
      train=_data.Arrays(tuple(x[~validated] for x in data), batch_size=128),
      validation=_data.Arrays(tuple(x[validated] for x in data)),
      steps=300,
      name='packages',
  )


def _columns(text: str) -> list[int]:
  """The columns of a text's words, each once, in the order of the text."""
  words = dict.fromkeys(re.findall(r'[A-Za-z]{2,}', text.lower()))
  columns = dict.fromkeys(zlib.crc32(word.encode()) % _FEATURES for word in words)
  return list(columns)[:_WORDS]


def _init(key):
  del key  # a convex loss may start from 0
  return {'w': jnp.zeros((_FEATURES, len(_NAMES))), 'b': jnp.zeros(len(_NAMES))}


def _loss(params, batch, key):
  del key  # no dropout
  columns, labels = batch
  # What fills a piece up is no column, and weighs 0.
  weights = params['w'].at[columns].get(mode='fill', fill_value=0)
  logits = weights.sum(1) + params['b']
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
