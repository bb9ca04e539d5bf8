"""Are the limits of the rate where the runs turn?

Three checks, each of which can miss:

1. Least squares on a real table (442 patients, 10 measures, standardised): gradient
   descent, heavy ball, an average of gradients and Nesterov's method, from lrax and
   Optax, at 0.99 of the limit that `max_stable_learning_rate` gives converge to the
   solution, and at 1.01 diverge. In float64.
2. An MLP on 200 handwritten digits, all of them in each step, by gradient descent at
   a fixed rate: once its sharpness has come to 2 / rate, it hovers there.
3. The same with Adam, whose preconditioned sharpness hovers at 38 / rate.

Hovers: from the first measurement of at least 0.98 of the limit on, at least ten,
their mean is within 5% of it, and so are 9 of 10 of them.

`--out` draws the sharpness over training against the limit.

Run: python tests/benchmarks/edge_of_stability.py [--out figure.png]
"""

from __future__ import annotations

import argparse
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrax

METHODS = {
    'gradient descent': lrax.sgd,
    'heavy ball': lambda rate: lrax.sgd(rate, momentum=0.9),
    'average of gradients': lambda rate: optax.chain(
        optax.ema(0.9, debias=False), lrax.constant(rate)
    ),
    "Nesterov's": lambda rate: lrax.sgd(rate, momentum=0.9, nesterov=True),
}
SHARES = (0.99, 1.01)
CONVERGED, DIVERGED = 1e-6, 1e6  # of the loss above the lowest, over that at the start
NEAR = 0.05
# Optimizer, rate, steps, and steps from one measurement to the next.
RUNS = (('sgd', 0.4, 4000, 50), ('adam', 0.005, 3000, 50))


def table():
  """Least squares on the diabetes table, and where its loss is lowest."""
  from sklearn import datasets

  inputs, targets = datasets.load_diabetes(return_X_y=True)
  standard = lambda x: (x - x.mean(0)) / x.std(0)
  inputs, targets = standard(inputs), standard(targets)
  solution = np.linalg.lstsq(inputs, targets, rcond=None)[0]

  def loss(weights, batch, key):
    del key
    rows, wanted = batch
    return jnp.mean((rows @ weights - wanted) ** 2) / 2

  data = lrax.tasks.Arrays((inputs, targets))
  task = lrax.tasks.Task(
      init=lambda key: jnp.zeros(inputs.shape[1], inputs.dtype), loss=loss, train=data,
      validation=data, steps=1000, name='diabetes',
  )
  return task, np.mean((inputs @ solution - targets) ** 2) / 2


def excess(task, lowest, tx, steps=20_000):
  """How far above the lowest loss a run ends, over how far it began."""
  loss = lambda weights: task.loss(weights, task.train.data, None)
  start, _ = task.start(jax.random.key(0))

  @jax.jit
  def run(weights):
    def body(_, carry):
      weights, state = carry
      updates, state = tx.update(jax.grad(loss)(weights), state, weights)
      return optax.apply_updates(weights, updates), state

    carry = weights, tx.init(weights)
    return loss(jax.lax.fori_loop(0, steps, body, carry)[0])

  ratio = (float(run(start)) - lowest) / (float(loss(start)) - lowest)
  return ratio if np.isfinite(ratio) else np.inf


def least_squares():
  """Prints a row for each method; whether all turn at their limits."""
  task, lowest = table()
  params, _ = task.start(jax.random.key(0))
  print(f'{"method":22}{"limit":>10}{"0.99":>12}{"1.01":>12}')
  good = True
  for name, make in METHODS.items():
    limit = lrax.stability.max_stable_learning_rate(task, params, make, rtol=1e-6)
    below, above = (
        excess(task, lowest, make(share * limit.learning_rate)) for share in SHARES
    )
    turned = limit.converged and below < CONVERGED and above > DIVERGED
    good &= turned
    print(
        f'{name:22}{limit.learning_rate:10.5f}{below:12.2g}{above:12.2g}'
        f'{"" if turned else "  MISSED"}'
    )
  return good


def digits():
  """200 digits as pixels less their mean; an MLP of 64-32-32-10, squared error."""
  pixels, labels = lrax.tasks.digits().train.data
  pixels, labels = pixels[:200], labels[:200]
  data = lrax.tasks.Arrays(
      (pixels - pixels.mean(0), np.eye(10, dtype=np.float32)[labels])
  )
  widths = (64, 32, 32, 10)

  def init(key):
    keys = jax.random.split(key, len(widths) - 1)
    return [
        {'w': jax.random.normal(k, (n, m)) / jnp.sqrt(n), 'b': jnp.zeros(m)}
        for k, n, m in zip(keys, widths, widths[1:])
    ]

  def loss(params, batch, key):
    del key
    outputs, wanted = batch
    for layer in params[:-1]:
      outputs = jnp.tanh(outputs @ layer['w'] + layer['b'])
    outputs = outputs @ params[-1]['w'] + params[-1]['b']
    return jnp.mean(jnp.sum((outputs - wanted) ** 2, 1)) / 2

  return lrax.tasks.Task(
      init=init, loss=loss, train=data, validation=data, steps=1000, name='200 digits'
  )


def hovers(curve):
  """Prints what a curve does at its limit; whether it hovers there."""
  ratios = curve.ratios
  arrived = np.flatnonzero(ratios >= 0.98)
  name = f'{curve.optimizer}, rate {curve.learning_rate}'
  if not arrived.size or len(ratios) - arrived[0] < 10:
    print(f'{name}: MISSED, it did not come to its limit of {curve.limits[-1]:.5g} or'
          f' came too late; the highest was {np.nanmax(ratios):.3f} of it')
    return False
  there = ratios[arrived[0] :]
  near = np.mean(np.abs(there - 1) <= NEAR)
  good = abs(there.mean() - 1) <= NEAR and near >= 0.9
  print(
      f'{name}: limit {curve.limits[-1]:.5g}, there after'
      f' {curve.steps[arrived[0]]} steps; from then on {len(there)} measurements, mean'
      f' {there.mean():.3f} of it, from {there.min():.3f} to {there.max():.3f},'
      f' {near:.0%} within 5%; loss {curve.losses[arrived[0]]:.2g} to'
      f' {curve.losses[-1]:.2g}{"" if good else "  MISSED"}'
  )
  return bool(good)


def draw(curves, path):
  """The sharpness over training, a panel for each run."""
  import matplotlib

  matplotlib.use('Agg')
  from matplotlib import pyplot

  figure, panels = pyplot.subplots(
      1, len(curves), figsize=(5.2 * len(curves), 3.6), layout='constrained'
  )
  for panel, curve in zip(panels, curves):
    panel.plot(curve.steps, curve.sharpness, marker='.', label='sharpness')
    panel.plot(curve.steps, curve.limits, '--', label='limit of the rate')
    panel.set_title(f'{curve.optimizer}, rate {curve.learning_rate}')
    panel.set_xlabel('step')
    divided = 'preconditioned ' if 'b1' in curve.method else ''
    panel.set_ylabel(f'{divided}sharpness')
    panel.set_ylim(bottom=0)
    panel.legend()
  figure.savefig(path, dpi=150)
  print(f'wrote {path}')


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--out', help='where to write the figure')
  arguments = parser.parse_args()
  began = time.perf_counter()
  with jax.enable_x64(True):
    good = least_squares()
  task, curves = digits(), []
  for optimizer, rate, steps, every in RUNS:
    curves.append(lrax.stability.follow_sharpness(
        task, optimizer, rate, steps, every=every
    ))
    good &= hovers(curves[-1])
  if arguments.out:
    draw(curves, arguments.out)
  print(f'{time.perf_counter() - began:.0f} s')
  return 0 if good else 1


if __name__ == '__main__':
  sys.exit(main())
