"""Benign or malignant: logistic regression on a small real table."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax

from lrax.tasks import _data
from lrax.tasks import _task

_FEATURES = 30
_TRAIN = 455
_PENALTY = 1e-3


def tumours() -> _task.Task:
  """569 breast tumours by 30 measures, benign or not; logistic regression.

  The data are UCI's "Breast Cancer Wisconsin (Diagnostic)" as scikit-learn ships
  it: the mean, the standard error and the worst of ten measures of the cells'
  nuclei. A fixed permutation leaves 455 tumours to train on, in batches of 32, and
  114 to validate; each measure less its mean and over its standard deviation among
  the 455. A full run takes 300 steps, about 21 epochs.

  The loss to validate is the cross-entropy of "benign": 0.693 for a guess, where
  the weights begin, 0. The one to train adds 1e-3 times the squared weights.
  Without that a plane separates the 455, the weights grow without end, and the
  best rate is only the one that stops them in time. Seeds differ in their batches
  only. `lrax find tumours` printed 0.20 for AdamW, loss 0.0991 with a spread of
  0.0005 over seeds, and `--optimizer "sgd(momentum=0.9)"` 0.023 and 0.0988; where
  the penalised loss is lowest it is 0.0968.

  Args:
    None.

  Returns:
    A `lrax.tasks.Task`.

  Raises:
    ImportError: scikit-learn is not installed; `pip install 'lrax[cli]'`.

  Source:
    Street, Wolberg and Mangasarian, "Nuclear Feature Extraction for Breast Tumor
    Diagnosis", 1993; UCI Machine Learning Repository, 1995.

  Example:
    >>> import lrax
    >>> lrax.tasks.tumours().steps
    300
  """
  try:
    from sklearn import datasets
  except ImportError as error:
    raise ImportError(
        "tumours: scikit-learn holds the data; pip install 'lrax[cli]'."
    ) from error
  measures, labels = datasets.load_breast_cancer(return_X_y=True)
  order = np.random.default_rng(0).permutation(len(labels))
  kept = measures[order[:_TRAIN]]
  inputs = (measures[order] - kept.mean(0)) / kept.std(0)
  inputs, targets = inputs.astype(np.float32), labels[order].astype(np.int32)
  return _task.Task(
      init=_init,
      loss=_loss,
      evaluate=_evaluate,
      train=_data.Arrays((inputs[:_TRAIN], targets[:_TRAIN]), batch_size=32),
      validation=_data.Arrays((inputs[_TRAIN:], targets[_TRAIN:])),
      steps=300,
      name='tumours',
  )


def _init(key):
  del key  # a convex loss may start from 0
  return {'w': jnp.zeros(_FEATURES), 'b': jnp.zeros(())}


def _loss(params, batch, key):
  del key  # no dropout
  return _evaluate(params, batch) + _PENALTY * jnp.sum(params['w'] ** 2)


def _evaluate(params, batch):
  inputs, labels = batch
  logits = inputs @ params['w'] + params['b']
  return optax.sigmoid_binary_cross_entropy(logits, labels).mean()
