"""`diagnose` on runs really trained here, one of each label that a control confirms.

Softmax regression on scikit-learn's digits, three labels in ten drawn anew, by SGD
with momentum in NumPy: no code of lrax. What decides a label, the loss on all
training rows and the runs at other rates, is not in the log. It is judged by the
losses alone and with the norms and cosines that a monitor would have measured.
"""

import functools
import types

import numpy as np

from lrax import diagnose

STEPS, AFTER, BATCH, ROWS, EVERY = 800, 240, 8, 1_000, 20


@functools.cache
def data():
  from sklearn import datasets

  inputs, labels = datasets.load_digits(return_X_y=True)
  draw = np.random.default_rng(0)
  order = draw.permutation(len(labels))
  inputs, labels = inputs[order] / 8 - 1, labels[order]
  anew = draw.integers(0, 10, len(labels))
  return inputs, np.eye(10)[np.where(draw.random(len(labels)) < 0.3, anew, labels)]


def log_chances(weights, x):
  scores = x @ weights
  scores = scores - scores.max(1, keepdims=True)
  return scores - np.log(np.exp(scores).sum(1, keepdims=True))


@functools.cache
def train(rate, rows=ROWS, steps=STEPS, decayed=False):
  """The losses of a run, whose rate falls to 0 after STEPS where `decayed`."""
  x, y = data()
  judged = slice(ROWS, ROWS + 300)
  draw = np.random.default_rng(1)
  weights, velocity, update = np.zeros((64, 10)), 0, np.zeros((64, 10))
  loss, truth, validation, watched = [], [], [], []
  mean = lambda part: -np.mean(
      np.sum(y[part] * log_chances(weights, x[part]), axis=1)
  )
  for step in range(steps):
    if step % EVERY == 0:
      truth.append(mean(slice(0, min(rows, 300))))
      validation.append(mean(judged))
    chosen = draw.integers(0, rows, BATCH)
    loss.append(mean(chosen))
    now = rate * (1 - max(0, step - STEPS) / (steps - STEPS)) if decayed else rate
    gradient = x[chosen].T @ (np.exp(log_chances(weights, x[chosen])) - y[chosen])
    velocity = 0.9 * velocity + gradient / BATCH
    update, before = now * velocity, update
    weights = weights - update
    size = np.linalg.norm(update)
    lengths = size * np.linalg.norm(before)
    cosine = np.sum(update * before) / lengths if lengths else np.nan
    watched.append((np.linalg.norm(gradient) / BATCH, size, cosine))
  return types.SimpleNamespace(
      loss=np.asarray(loss), truth=np.asarray(truth),
      validation=np.asarray(validation), watched=np.asarray(watched),
  )


def end(run):
  """The loss without the noise of batches, in the last tenth."""
  return run.truth[-len(run.truth) // 10 :].mean()


def verdict(rate, watched=False, **kept):
  """What `diagnose` reads in the log of every step."""
  run = train(rate, **kept)
  log = {'step': np.arange(STEPS), 'loss': run.loss}
  log['learning_rate'] = np.full(STEPS, rate)
  if kept:
    log['validation_loss'] = np.full(STEPS, np.nan)
    log['validation_loss'][::EVERY] = run.validation
  if watched:
    names = 'gradient_norm', 'update_norm', 'cosine'
    log |= {f'monitor_{name}': x for name, x in zip(names, run.watched.T)}
  return diagnose.diagnose(diagnose.history(log)).verdict


def test_too_low():
  # Control: at 30 times the rate the same steps get three times as far.
  first = train(1e-4).truth[0]
  assert first - end(train(3e-3)) > 3 * (first - end(train(1e-4)))
  assert verdict(1e-4) == verdict(1e-4, watched=True) == 'too low'


def test_healthy():
  # Control: a third, three times and the decay of the rate gain at most 5 %.
  run = end(train(3e-3))
  decayed = train(3e-3, steps=STEPS + AFTER, decayed=True)
  others = end(train(1e-3)), end(train(1e-2)), end(decayed)
  assert min(others) > 0.95 * run
  assert verdict(3e-3) == verdict(3e-3, watched=True) == 'healthy'


def test_plateau():
  # Control: it has stopped, and falls by 7 % once the rate is decayed, while it
  # does not where the rate is left as it is.
  run = train(0.03)
  third, fourth = (part.mean() for part in np.split(run.truth, 4)[2:])
  decayed = end(train(0.03, steps=STEPS + AFTER, decayed=True))
  on = train(0.03, steps=STEPS + AFTER).truth[STEPS // EVERY :].mean()
  assert abs(third - fourth) < 0.05 * fourth and fourth < 0.7 * run.truth[0]
  assert decayed < 0.93 * fourth and on > 0.97 * fourth
  assert verdict(0.03, watched=True) == 'plateau'


def test_oscillating():
  # Control: a lower rate is ahead in every quarter and ends a third lower, where
  # the loss of this one goes up and down ten times as far as it gets.
  run, lower = train(0.08), train(0.01)
  quarters = lambda x: x.truth[1:].reshape(3, -1).mean(1)
  later = run.truth[20:]
  assert (quarters(lower) < quarters(run)).all()
  assert end(lower) < 2 / 3 * end(run) and later.max() < 2 * run.truth[0]
  assert np.abs(np.diff(later)).sum() > 10 * abs(later[:5].mean() - later[-5:].mean())
  assert verdict(0.08) == 'oscillating'


def test_overfitting():
  # Control: the loss on 60 rows kept falling after the validation loss was lowest.
  run = train(0.003, rows=60)
  lowest = run.validation.argmin()
  assert run.truth[-1] < 0.7 * run.truth[lowest]
  assert run.validation[-1] > 1.1 * run.validation[lowest]
  assert verdict(0.003, rows=60) == 'overfitting'


def test_diverging():
  # Least squares on the same rows overflows at a rate that is far above 2 over the
  # largest curvature; control: at a hundredth of it the loss falls.
  x, y = data()
  losses = {}
  for rate in (0.5, 0.005):
    weights, losses[rate] = np.zeros((64, 10)), []
    with np.errstate(over='ignore', invalid='ignore'):
      for step in range(300):
        chosen = slice(step % 100 * BATCH, step % 100 * BATCH + BATCH)
        residual = x[chosen] @ weights - y[chosen]
        losses[rate].append(np.sum(residual**2) / BATCH)
        weights = weights - rate * 2 * x[chosen].T @ residual / BATCH
  assert not np.isfinite(losses[0.5]).all()
  assert np.mean(losses[0.005][-50:]) < losses[0.005][0]
  said = diagnose.diagnose(loss=np.asarray(losses[0.5]), step=np.arange(300)).verdict
  assert said == 'diverging'
