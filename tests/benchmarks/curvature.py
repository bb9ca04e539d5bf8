"""Curvature of the built-in tasks: what it costs, and whether it is right.

`python tests/benchmarks/curvature.py` first prints, for each built-in task in float32,
how many times as long as a gradient a Hessian-vector product takes, of one batch by
`hessian_product` and of a pass by `task_product` (2 batches of characters, 4 of
digits_cnn), how long that is, and how many times as long as 20 calls of the product 20
steps of `lanczos` take. They are timed in turn within one run, and a ratio is the
median of those of neighbours. Then, in float64, it compares the
largest eigenvalue that `lanczos` finds with a reference, of one batch: for tumours and
cartpole that of the dense Hessian; for digits_cnn the dense Hessian with respect to
`conv_1` and `dense/b`, all else held; for digits, packages and characters, whose dense
ones do not fit, SciPy's `eigsh` on products of another make, reverse over reverse. It
ends with 1 where a product takes more than 2.5 gradients, Lanczos more than 1.1 times
its products, an eigenvalue is farther off than 1e-4 of it, or than its bound. What
takes less than a millisecond is printed and not judged: there each operation costs its
call.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import statistics
import sys
import time

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
from jax.tree_util import Partial
import numpy as np
from scipy.sparse import linalg

import lrax
from lrax import stability

TASKS = ('digits', 'digits_cnn', 'packages', 'tumours', 'characters', 'cartpole')
SOME = {'characters': 2, 'digits_cnn': 4}  # batches, where a pass takes long
REFERENCE = 1  # batches, of which eigenvalues are compared
STEPS = 20  # of Lanczos, to be timed
JUDGED = 1e-3  # seconds that a product must take for its ratios to count
TIME = 1  # seconds of pairs at most
DENSE = ('tumours', 'cartpole', 'digits_cnn')
MOST_GRADIENTS, MOST_PRODUCTS, MOST_ERROR = 2.5, 1.1, 1e-4
KEY = jax.random.key(0)


def seconds(run):
  start = time.perf_counter()
  jax.block_until_ready(run())
  return time.perf_counter() - start


def ratio(ours, theirs, repeats):
  """The median of how many times as long as the neighbour ours takes; theirs."""
  seconds(ours), seconds(theirs)
  found, others, start = [], [], time.perf_counter()
  for repeat in range(repeats):
    if repeat % 2:  # each is the first one of a pair as often as the other
      mine, other = seconds(ours), seconds(theirs)
    else:
      other, mine = seconds(theirs), seconds(ours)
    found.append(mine / other)
    others.append(other)
    if repeat >= 4 and time.perf_counter() - start > TIME:
      break
  return statistics.median(found), statistics.median(others)


def batch_loss(task, state, params, batch, key):
  return task.training_loss(params, state, batch, key)[0]


def mean_loss(task, state, batches):
  """The loss that `task_product` is the Hessian of, without any of its code."""
  lengths = [len(jax.tree.leaves(batch)[0]) for batch in batches]

  def mean(params):
    losses = [
        length * batch_loss(task, state, params, batch, jax.random.fold_in(KEY, i))
        for i, (batch, length) in enumerate(zip(batches, lengths))
    ]
    return sum(losses) / sum(lengths)

  return mean


def started(name, dtype):
  """A task after its initialisation: parameters and state."""
  task = lrax.tasks.load(name)
  params, state = jax.jit(task.start)(jax.random.key(1))
  return task, jax.tree.map(lambda x: x.astype(dtype), params), state


def first(task, count):
  return list(itertools.islice(task.train.once(), count))


def costs(name, repeats):
  """Product of a batch and of a pass in gradients, and Lanczos in products."""
  task, params, state = started(name, jnp.float32)
  vector = jax.tree.map(jnp.cos, params)
  loss = functools.partial(batch_loss, task, state)
  (batch,) = first(task, 1)
  one = stability.hessian_product(loss, params, batch, KEY)
  gradient = jax.jit(jax.grad(loss))
  of_one, _ = ratio(lambda: one(vector), lambda: gradient(params, batch, KEY), repeats)

  count = SOME.get(name)
  several = stability.task_product(task, params, state, key=KEY, batches=count)
  batches = first(task, count)
  full = [x for x in batches if len(jax.tree.leaves(x)[0]) == task_length(batches)]
  full, rest = jax.tree.map(lambda *x: jnp.stack(x), *full), batches[-1]

  @jax.jit
  def gradients(params, full, rest):
    """The sum; the last batch, which may be smaller, for itself as in the product."""
    add = lambda total, batch: (jax.tree.map(
        jnp.add, total, jax.grad(loss)(params, batch, KEY)
    ), None)
    total, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), full)
    return add(total, rest)[0] if ragged else total

  ragged = len(jax.tree.leaves(rest)[0]) != task_length(batches)
  of_several, _ = ratio(
      lambda: several(vector), lambda: gradients(params, full, rest), repeats
  )

  find = functools.partial(
      stability.lanczos, several, params, KEY, steps=STEPS, rtol=1e-30
  )
  taken = int(find().steps)

  products = lambda: [several(vector) for _ in range(taken)]
  of_lanczos, alone = ratio(find, products, repeats)
  return of_one, of_several, of_lanczos, alone / taken


def task_length(batches):
  return len(jax.tree.leaves(batches[0])[0])


def errors(name):
  """The relative error of the largest eigenvalue, and whether the bound holds."""
  task, params, state = started(name, jnp.float64)
  mean = mean_loss(task, state, first(task, REFERENCE))
  product = stability.task_product(task, params, state, key=KEY, batches=REFERENCE)
  if name == 'digits_cnn':
    params = {'conv_1': params['conv_1'], 'dense': {'b': params['dense']['b']}}
    product, mean = part(product, mean, started(name, jnp.float64)[1])
  found = stability.lanczos(product, params, KEY)
  flat, back = ravel_pytree(params)
  gradient = jax.grad(lambda flat: mean(back(flat)))
  if name in DENSE:
    # Column by column, by reverse over reverse: other code, and little memory.
    column = lambda basis: jax.vjp(gradient, flat)[1](basis)[0]
    matrix = jax.jit(lambda: jax.lax.map(column, jnp.eye(flat.size)))()
    values = np.linalg.eigvalsh(np.asarray(matrix))
    reference = 'dense'
  else:
    apply = jax.jit(lambda vector: jax.vjp(gradient, flat)[1](vector)[0])
    operator = linalg.LinearOperator(
        (flat.size,) * 2, lambda v: np.asarray(apply(v.ravel())), dtype=np.float64
    )
    start = np.random.default_rng(0).normal(size=flat.size)
    values = linalg.eigsh(operator, 1, which='LA', v0=start, tol=1e-7)[0]
    reference = 'eigsh'
  off = abs(float(found.values[0]) - values[-1])
  holds = bool(found.converged) and off <= float(found.error_bounds[0])
  return flat.size, reference, values[-1], off / abs(values[-1]), holds, found


def part(product, mean, whole):
  """The product and the loss of some parameters, the others held."""
  zeros = jax.tree.map(jnp.zeros_like, whole)

  def filled(rest, some):
    return rest | {'conv_1': some['conv_1'], 'dense': rest['dense'] | some['dense']}

  def restricted(product, zeros, vector):
    image = product(filled(zeros, vector))
    return {'conv_1': image['conv_1'], 'dense': {'b': image['dense']['b']}}

  return Partial(restricted, product, zeros), lambda some: mean(filled(whole, some))


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--repeats', type=int, default=20)
  parser.add_argument('tasks', nargs='*', default=TASKS)
  arguments = parser.parse_args()
  missed = False
  print(f'{"":11}{"product / gradient":>25}{"lanczos /":>13}{"a product":>13}\n'
        f'{"":11}{"a batch":>12}{"a pass":>13}{"products":>13}{"takes ms":>13}')
  for name in arguments.tasks:
    *ratios, taken = costs(name, arguments.repeats)
    limits = (MOST_GRADIENTS, MOST_GRADIENTS, MOST_PRODUCTS)
    over = taken > JUDGED and any(r > limit for r, limit in zip(ratios, limits))
    print(f'{name:11}{ratios[0]:12.2f}{ratios[1]:13.2f}{ratios[2]:13.2f}'
          f'{taken * 1e3:13.2f}' + '  MISSED' * over, flush=True)
    missed |= over
  jax.config.update('jax_enable_x64', True)
  print(f'\n{"float64":11}{"parameters":>12}{"reference":>11}{"largest":>11}'
        f'{"error":>9}{"bound":>9}{"steps":>7}')
  for name in arguments.tasks:
    size, reference, value, off, holds, found = errors(name)
    bound = float(found.error_bounds[0]) / abs(value)
    over = not holds or bool(off > MOST_ERROR)
    print(f'{name:11}{size:12,}{reference:>11}{value:11.5f}{off:9.1e}{bound:9.1e}'
          f'{int(found.steps):7}' + '  MISSED' * over, flush=True)
    missed |= over
  return 1 if missed else 0


if __name__ == '__main__':
  sys.exit(main())
