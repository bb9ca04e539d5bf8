"""What `lrax.diagnose.monitor` costs in a jitted AdamW step.

`python tests/benchmarks/monitor_cost.py` prints how many times as long a step of
`monitor(lrax.adamw(1e-3))` takes as one of `lrax.adamw(1e-3)`, on the tree of
policy_overhead.py: 120 leaves, 21 million parameters in 12 groups. The three kinds
of steps are timed apart: the usual one, the one before a measurement, which draws the
sample for the cosine, and the one that is measured. Each alternates with a plain
step, and its ratio is the median of those of neighbours; so is that of a plain step
against the same program again, by which the machine errs. What `every` updates cost
together is the sum over its kinds. It ends with 1 where that is above 3% of plain ones.
"""

from __future__ import annotations

import argparse
import inspect
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import optax
import policy_overhead

import lrax

LIMIT = 1.03
EVERY = inspect.signature(lrax.diagnose.monitor).parameters['every'].default


class Stepping:
  """A compiled step; inner state and parameters are handed from one to another.

  So both work in the same memory: where it lies decides more than the monitor.
  """

  def __init__(self, tx, params, grads):
    # Donated arguments come in the order of the results.
    def step(params, inner, rest, grads):
      state = inner if rest is None else rest._replace(inner_state=inner)
      updates, state = tx.update(grads, state, params, value=jnp.float32(1.0))
      params = optax.apply_updates(params, updates)
      if rest is None:
        return params, state, None
      return params, state.inner_state, state._replace(inner_state=())

    state = jax.jit(tx.init)(params)
    self.rest = None
    if isinstance(state, lrax.diagnose.MonitorState):
      self.rest = state._replace(inner_state=())
      state = state.inner_state
    start = time.perf_counter()
    lowered = jax.jit(step, donate_argnums=(0, 1, 2)).lower(
        params, state, self.rest, grads
    )
    self.step = lowered.compile()
    self.build = time.perf_counter() - start
    analysis = self.step.memory_analysis()
    self.temporary = getattr(analysis, 'temp_size_in_bytes', 0) / 2**20

  def __call__(self, grads, params, inner, at=None):
    """The seconds that a step takes, and what the next one is given."""
    if self.rest is not None and at is not None:
      self.rest = self.rest._replace(step=jnp.int32(at))
    jax.block_until_ready(self.rest)
    start = time.perf_counter()
    params, inner, self.rest = self.step(params, inner, self.rest, grads)
    jax.block_until_ready((params, inner, self.rest))
    return time.perf_counter() - start, params, inner


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--repeats', type=int, default=100)
  parser.add_argument('--every', type=int, default=EVERY)
  arguments = parser.parse_args()
  every = arguments.every
  params = policy_overhead.scaled(policy_overhead.tree())
  leaves = jax.tree.leaves(params)
  print(f'{len(leaves)} leaves, {sum(x.size for x in leaves):,} parameters,'
        f' every={every}, on {jax.devices()[0].device_kind}')
  grads = jax.tree.map(lambda x: 0.01 * x, params)
  base = lrax.adamw(1e-3)
  plain = Stepping(base, params, grads)
  again = Stepping(base, params, grads)
  watched = Stepping(lrax.diagnose.monitor(base, every=every), params, grads)
  print(f'trace and compile: {watched.build:.1f} s against {plain.build:.1f} s; memory'
        f' for the step: {watched.temporary:.0f} MiB against {plain.temporary:.0f} MiB')
  # By what the step's number is set to before it: `every` + 9 is nothing special.
  kinds = {
      'plain again': (again, None, 0),
      'usual': (watched, every + 9, every - 2),
      'draws': (watched, every - 2, 1),
      'measures': (watched, every - 1, 1),
  }
  inner = jax.jit(base.init)(params)
  params = jax.tree.map(jnp.copy, params)
  ratios = {}
  for kind, (ours, at, times) in kinds.items():
    pairs = []
    for repeat in range(arguments.repeats + 2):
      # Each is the first one of a pair as often as the other.
      seconds = {}
      for step in (plain, ours) if repeat % 2 else (ours, plain):
        seconds[step], params, inner = step(grads, params, inner, at)
      pairs.append((seconds[plain], seconds[ours]))
    pairs = pairs[2:]
    ratios[kind] = statistics.median(b / a for a, b in pairs)
    ms = [statistics.median(side) * 1e3 for side in zip(*pairs)]
    print(f'{ratios[kind]:.3f}  {kind:12} {ms[1]:6.1f} ms against {ms[0]:.1f} ms'
          + (f', {times} of {every} steps' if times else ''), flush=True)
  whole = sum(ratios[kind] * kinds[kind][2] for kind in kinds) / every
  print(f'{whole:.3f}  all {every} steps, limit {LIMIT:.3f}')
  return 1 if whole > LIMIT else 0


if __name__ == '__main__':
  sys.exit(main())
