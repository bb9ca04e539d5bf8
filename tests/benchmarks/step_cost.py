"""A step of clip + AdamW + warmup-cosine: lrax, Optax, PyTorch and the floor.

`python tests/benchmarks/step_cost.py` prints one table for each of three trees of
parameters: the seconds to trace and to compile the step (medians of builds with
JAX's caches cleared before each: whoever comes first pays for all), the milliseconds
it takes, its ratio to Optax's (median of the ratios of neighbours) and the bytes of
state a parameter. Donated arguments come in the order of the results. The floor is
the same arithmetic on one flat array; PyTorch, where torch is installed, is its
fused AdamW after `clip_grad_norm_`. Of the transformer also lrax with its moments
in bfloat16 and in 8 bits, and of the many leaves lrax within
`lrax.transforms.stacked`: JAX needs half of Optax's step to hand 8,000 arrays in and
6,000 out, so only fewer of them make it much quicker. It ends with 1 where lrax
misses a limit.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lrax


class Limits(NamedTuple):
  """The most that a run may take of another; None for no limit."""

  run: str
  other: str
  step: float
  build: float | None = None  # trace and compilation


class Tree(NamedTuple):
  """Shapes of parameters, the runs beside Optax's and the floor, and limits."""

  name: str
  shapes: list[tuple[int, ...]]
  runs: tuple[str, ...]
  limits: tuple[Limits, ...]


TREES = {
    'a': Tree(
        'one leaf of 16 million', [(4096, 4096)], ('lrax', 'torch'),
        (Limits('lrax', 'optax', 1.0),),
    ),
    'b': Tree(
        'a transformer, 120 leaves, 21 million',
        ([(512, 1024)] * 3 + [(512, 342)] + [(512,)] * 6) * 12,
        ('lrax', 'bfloat16', '8 bits', 'torch'),
        (
            Limits('lrax', 'optax', 0.6, 0.8),
            Limits('lrax', 'torch', 1.1),
            Limits('bfloat16', 'lrax', 1.3),
            Limits('8 bits', 'lrax', 1.3),
        ),
    ),
    'c': Tree(
        '2,000 leaves of 1,000', [(1000,)] * 2000, ('lrax', 'stacked', 'torch'),
        (Limits('lrax', 'optax', 0.8, 0.5), Limits('stacked', 'optax', 0.8, 0.5)),
    ),
}
PEAK, WARMUP, STEPS = 1e-3, 1000, 100_000
DECAY = 1e-4
BUILDS = 3


def of_lrax(**kinds):
  rate = lrax.warmup_cosine(PEAK, STEPS, WARMUP)
  return optax.chain(
      lrax.transforms.clip_by_global_norm(1.0),
      lrax.adamw(rate, weight_decay=DECAY, **kinds),
  )


def of_optax():
  rate = optax.warmup_cosine_decay_schedule(0.0, PEAK, WARMUP, STEPS)
  return optax.chain(
      optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=DECAY)
  )


OURS = {
    'lrax': of_lrax,
    'bfloat16': lambda: of_lrax(mu_dtype=jnp.bfloat16, nu_dtype=jnp.bfloat16),
    '8 bits': lambda: of_lrax(mu_dtype='block8', nu_dtype='block8'),
    'stacked': lambda: lrax.transforms.stacked(of_lrax()),
}


class Jitted:
  """A compiled step of a gradient transformation."""

  def __init__(self, tx, params, grads):
    self.params = jax.tree.map(jnp.copy, params)
    self.grads = grads
    self.state = jax.jit(tx.init)(params)

    def step(params, state, grads):
      updates, state = tx.update(grads, state, params)
      return optax.apply_updates(params, updates), state

    self._step = jax.jit(step, donate_argnums=(0, 1))
    self.traces: list[float] = []
    self.compiles: list[float] = []
    held = sum(x.nbytes for x in jax.tree.leaves(self.state))
    self.bytes = held / sum(x.size for x in jax.tree.leaves(params))

  def build(self):
    """Traces and compiles; nothing is left of what another run traced."""
    jax.clear_caches()
    start = time.perf_counter()
    lowered = self._step.lower(self.params, self.state, self.grads)
    traced = time.perf_counter()
    self.compiled = lowered.compile()
    self.traces.append(traced - start)
    self.compiles.append(time.perf_counter() - traced)

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
    self.traces = self.compiles = [math.nan]
    self.bytes = 8.0

  def build(self):
    """Nothing is compiled."""

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
  parser.add_argument('--trees', nargs='+', choices=TREES, default=[*TREES])
  arguments = parser.parse_args()
  try:
    import torch
  except ImportError:
    torch = None
  print(f'jax {jax.__version__} on {jax.devices()[0].device_kind};'
        f' torch {torch.__version__ if torch else "is not installed"}')
  missed = 0
  for tree in (TREES[key] for key in arguments.trees):
    runs = made(tree, torch)
    for build in range(BUILDS + 1):
      for run in list(runs.values())[:: 1 if build % 2 else -1]:
        run.build()
    for run in runs.values():  # the first build warms the interpreter up
      run.traces, run.compiles = run.traces[-BUILDS:], run.compiles[-BUILDS:]
    times: dict[str, list[float]] = {key: [] for key in runs}
    for repeat in range(arguments.repeats + 2):
      order = list(runs) if repeat % 2 else list(runs)[::-1]
      for key in order:
        times[key].append(runs[key]())
    times = {key: taken[2:] for key, taken in times.items()}
    print(f'\n{tree.name}\n{"":8}{"trace s":>9}{"compile s":>11}{"step ms":>9}'
          f'{"fastest":>9}{"of optax":>10}{"bytes":>7}')
    for key, run in runs.items():
      median = statistics.median
      print(f'{key:8}{median(run.traces):9.2f}{median(run.compiles):11.2f}'
            f'{statistics.median(times[key]) * 1e3:9.1f}{min(times[key]) * 1e3:9.1f}'
            f'{ratio(times[key], times["optax"]):10.2f}{run.bytes:7.2f}', flush=True)
    for limits in tree.limits:
      if limits.other in runs:
        missed += compared(limits, runs, times)
  return 1 if missed else 0


def made(tree, torch):
  """The runs of a tree, compiled."""
  keys = jax.random.split(jax.random.key(0), len(tree.shapes))
  params = [jax.random.normal(k, s) for k, s in zip(keys, tree.shapes)]
  grads = [0.01 * p for p in params]
  flat = [jnp.concatenate([p.ravel() for p in params])]
  flat_grads = [jnp.concatenate([g.ravel() for g in grads])]
  runs = {'optax': Jitted(of_optax(), params, grads)}
  for key in tree.runs:
    if key in OURS:
      runs[key] = Jitted(OURS[key](), params, grads)
    elif torch:
      runs[key] = Torch(torch, params, grads)
  return runs | {'floor': Jitted(of_lrax(), flat, flat_grads)}


def compared(limits, runs, times):
  """Says how one run compares with another; True where it misses a limit."""
  step = ratio(times[limits.run], times[limits.other])
  missed = step > limits.step
  said = f'{limits.run}: step {step:.2f} of {limits.other}, limit {limits.step}'
  if limits.build is not None:
    run, other = runs[limits.run], runs[limits.other]
    sums = lambda run: [sum(pair) for pair in zip(run.traces, run.compiles)]
    build = ratio(sums(run), sums(other))
    missed |= build > limits.build
    said += f'; trace and compile {build:.2f}, limit {limits.build}'
  print(said + ('  MISSED' if missed else ''), flush=True)
  return missed


if __name__ == '__main__':
  sys.exit(main())
