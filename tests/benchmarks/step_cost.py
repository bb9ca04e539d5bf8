"""A step of clip + AdamW + warmup-cosine: lrax, Optax, PyTorch and the floor.

`python tests/benchmarks/step_cost.py` prints one table: for three trees of
parameters, the seconds to trace and to compile the step, the milliseconds that it
takes, its ratio to Optax's (median of the ratios of neighbours) and the bytes of
state a parameter. Donated arguments come in the order of the results. The floor is
the same arithmetic on one flat array; PyTorch, where torch is installed, is its
fused AdamW after `clip_grad_norm_`. It ends with 1 where lrax misses a limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrax

# name: shapes, and the most that lrax may take of Optax's step and of its trace
# and compilation; None for no limit.
TREES = {
    'one leaf of 16 million': ([(4096, 4096)], 1.0, None),
    'a transformer, 120 leaves, 21 million': (
        ([(512, 1024)] * 3 + [(512, 342)] + [(512,)] * 6) * 12, 0.6, 0.8,
    ),
    '2,000 leaves of 1,000': ([(1000,)] * 2000, 0.8, 0.5),
}
PEAK, WARMUP, STEPS = 1e-3, 1000, 100_000
DECAY = 1e-4


def of_lrax():
  return optax.chain(
      lrax.transforms.clip_by_global_norm(1.0),
      lrax.adamw(lrax.warmup_cosine(PEAK, STEPS, WARMUP), weight_decay=DECAY),
  )


def of_optax():
  rate = optax.warmup_cosine_decay_schedule(0.0, PEAK, WARMUP, STEPS)
  return optax.chain(
      optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=DECAY)
  )


class Jitted:
  """A compiled step of a gradient transformation."""

  def __init__(self, tx, params, grads):
    self.params = jax.tree.map(jnp.copy, params)
    self.grads = grads
    self.state = jax.jit(tx.init)(params)

    def step(params, state, grads):
      updates, state = tx.update(grads, state, params)
      return optax.apply_updates(params, updates), state

    start = time.perf_counter()
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(params, self.state, grads)
    self.trace = time.perf_counter() - start
    self.compiled = lowered.compile()
    self.compile = time.perf_counter() - start - self.trace
    held = sum(x.nbytes for x in jax.tree.leaves(self.state))
    self.bytes = held / sum(x.size for x in jax.tree.leaves(params))

  def __call__(self):
    start = time.perf_counter()
    self.params, self.state = self.compiled(self.params, self.state, self.grads)
    jax.block_until_ready((self.params, self.state))
    return time.perf_counter() - start


class Torch:
  """PyTorch's fused AdamW, clipped, with the rate set by hand."""

  def __init__(self, torch, params, grads):
    self.torch = torch
    as_tensor = lambda x: torch.tensor(np.asarray(x))
    self.params = [as_tensor(p).requires_grad_() for p in jax.tree.leaves(params)]
    self.grads = [as_tensor(g) for g in jax.tree.leaves(grads)]
    self.optimizer = torch.optim.AdamW(
        self.params, PEAK, weight_decay=DECAY, fused=True
    )
    self.trace = self.compile = 0.0
    self.bytes = 8.0

  def __call__(self):
    for param, grad in zip(self.params, self.grads):
      param.grad = grad.clone()  # clipping writes to it
    start = time.perf_counter()
    self.torch.nn.utils.clip_grad_norm_(self.params, 1.0)
    self.optimizer.step()
    return time.perf_counter() - start


def ratio(times, others):
  """The median of the ratios of neighbours."""
  return statistics.median(x / y for x, y in zip(times, others))


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--repeats', type=int, default=40)
  arguments = parser.parse_args()
  try:
    import torch
  except ImportError:
    torch = None
  print(f'jax {jax.__version__} on {jax.devices()[0].device_kind};'
        f' torch {torch.__version__ if torch else "is not installed"}')
  missed = 0
  for name, (shapes, step_limit, build_limit) in TREES.items():
    keys = jax.random.split(jax.random.key(0), len(shapes))
    params = [jax.random.normal(k, s) for k, s in zip(keys, shapes)]
    grads = [0.01 * p for p in params]
    flat = [jnp.concatenate([p.ravel() for p in params])]
    flat_grads = [jnp.concatenate([g.ravel() for g in grads])]
    runs = {
        'optax': Jitted(of_optax(), params, grads),
        'lrax': Jitted(of_lrax(), params, grads),
        'floor': Jitted(of_lrax(), flat, flat_grads),
    }
    if torch:
      runs['torch'] = Torch(torch, params, grads)
    times: dict[str, list[float]] = {key: [] for key in runs}
    for repeat in range(arguments.repeats + 2):
      order = list(runs) if repeat % 2 else list(runs)[::-1]
      for key in order:
        times[key].append(runs[key]())
    print(f'\n{name}\n{"":8}{"trace s":>9}{"compile s":>11}{"step ms":>9}'
          f'{"fastest":>9}{"of optax":>10}{"bytes":>7}')
    for key, run in runs.items():
      taken = times[key][2:]
      print(f'{key:8}{run.trace:9.2f}{run.compile:11.2f}'
            f'{statistics.median(taken) * 1e3:9.1f}{min(taken) * 1e3:9.1f}'
            f'{ratio(taken, times["optax"][2:]):10.2f}{run.bytes:7.2f}', flush=True)
    build = (runs['lrax'].trace + runs['lrax'].compile) / (
        runs['optax'].trace + runs['optax'].compile
    )
    print(f'lrax traces and compiles in {build:.2f} of the time of optax')
    missed += ratio(times['lrax'][2:], times['optax'][2:]) > step_limit
    missed += build_limit is not None and build > build_limit
  return 1 if missed else 0


if __name__ == '__main__':
  sys.exit(main())
