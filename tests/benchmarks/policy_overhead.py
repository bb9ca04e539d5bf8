"""What a policy and its state cost inside a jitted AdamW step.

`python tests/benchmarks/policy_overhead.py` prints, for some policies, how many
times as long a step of `lrax.adamw(policy)` takes as one of `optax.adamw(1e-3)`,
on a tree of 120 leaves and 21 million parameters. Steps alternate with Optax's,
and the ratio is the median of the ratios of neighbours. It ends with 1 where a
policy costs more than 2% beyond what Optax costs against itself.
"""

import argparse
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import optax

import lrax

POLICIES = [
    'constant(1e-3)',
    'warmup_cosine(1e-3, 100000, 1000)',
    'warm_restarts(1e-3, 100, cycle_growth=2).with_warmup(10)',
    'k_decay(1e-3, 100000, k=1.5)',
    'warmup_cosine(1e-3, 100000, 1000) * reduce_on_plateau()',
]


def tree():
  """A transformer's shapes: 120 leaves, 21 million numbers."""
  layer = {
      'attention': [(512, 512)] * 2,
      'mlp': [(512, 512), (512, 171)],
      'scales': [(512,)] * 6,
  }
  shapes = [layer] * 12
  is_shape = lambda x: isinstance(x, tuple)
  keys = iter(jax.random.split(jax.random.key(0), 1000))
  make = lambda shape: jax.random.normal(next(keys), shape)
  return jax.tree.map(make, shapes, is_leaf=is_shape)


def scaled(params):
  """The tree, widened to 21 million."""
  wanted = 21_000_000 / sum(x.size for x in jax.tree.leaves(params))
  widen = lambda x: x if x.ndim == 1 else jnp.tile(x, (1, round(wanted + 0.02)))
  return jax.tree.map(widen, params)


class Stepping:
  """A compiled step; Adam's state and the parameters are handed from one to another.

  So both work in the same memory: where it lies decides more than the policy.
  """

  def __init__(self, tx, params):
    # Donated arguments come in the order of the results. JAX gives each result the
    # first donated memory of its shape: in another order the moments get that of
    # the parameters, and everything is copied twice.
    def step(params, state, grads):
      updates, state = tx.update(grads, state, params, value=jnp.float32(1.0))
      return optax.apply_updates(params, updates), state

    self.step = jax.jit(step, donate_argnums=(0, 1))
    self.rest = jax.jit(tx.init)(params)[1:]

  def __call__(self, grads, adam, params):
    """The seconds that a step takes, and what the next one is given."""
    start = time.perf_counter()
    params, state = self.step(params, (adam, *self.rest), grads)
    jax.block_until_ready((params, state))
    self.rest = state[1:]
    return time.perf_counter() - start, state[0], params


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--repeats', type=int, default=60)
  parser.add_argument('policies', nargs='*', default=POLICIES)
  arguments = parser.parse_args()
  params = scaled(tree())
  leaves = jax.tree.leaves(params)
  print(f'{len(leaves)} leaves, {sum(x.size for x in leaves):,} parameters')
  grads = jax.tree.map(lambda x: 0.01 * x, params)
  plain = optax.with_extra_args_support(optax.adamw(1e-3))
  adam = jax.jit(plain.init)(params)[0]
  theirs = Stepping(plain, params)
  ratios = {}
  for text in ['optax.adamw(1e-3) again', *arguments.policies]:
    tx = plain
    if not text.startswith('optax'):
      tx = lrax.adamw(lrax.schedules.parse(text))
    ours, pairs = Stepping(tx, params), []
    for repeat in range(arguments.repeats + 2):
      # Each is the first one of a pair as often as the other.
      seconds = {}
      for step in (theirs, ours) if repeat % 2 else (ours, theirs):
        seconds[step], adam, params = step(grads, adam, params)
      pairs.append((seconds[theirs], seconds[ours]))
    pairs = pairs[2:]
    ratio = statistics.median(b / a for a, b in pairs)
    ratios[text] = ratio
    fastest = min(a for a, _ in pairs), min(b for _, b in pairs)
    print(
        f'{ratio:.3f}  (fastest: {fastest[1] * 1e3:.1f} ms against'
        f' {fastest[0] * 1e3:.1f} ms)  {text}', flush=True,
    )
  limit = 1.02 * ratios['optax.adamw(1e-3) again']
  return 1 if max(ratios.values()) > limit else 0


if __name__ == '__main__':
  sys.exit(main())
