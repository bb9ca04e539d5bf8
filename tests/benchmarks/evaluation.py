"""Every schedule over a million steps, against Optax's cosine on the same array.

`python tests/benchmarks/evaluation.py` prints, for each of them, how many times
as long one compiled call takes as `optax.cosine_decay_schedule`, and ends with 1
where that is more than 3. Calls alternate with Optax's, and the ratio is that of
the fastest ones: machines are shared.
"""

import argparse
import sys
import time

import jax
import jax.numpy as jnp
import optax

import lrax

STEPS = 10**6
LIMIT = 3
SCHEDULES = [
    'constant(0.1)',
    'linear(0.1, 0.0, 1000000)',
    'cosine_annealing(0.1, 1000000)',
    'cosine_annealing(0.1, 1000000, end_value=0.01)',
    'half_cosine(0.1, 1000000)',
    'flat_cosine(0.1, 1000000, 700000)',
    'k_decay(0.1, 1000000, k=2.0)',
    'k_decay(0.1, 1000000)',
    'polynomial_decay(0.1, 0.0, 2.0, 1000000)',
    'polynomial_decay(0.1, 0.0, 0.9, 1000000)',
    'rex(0.1, 1000000)',
    'tanh_decay(0.1, 1000000)',
    'step_decay(0.1, 0.5, 100000)',
    'multistep_decay(0.1, [300000, 600000, 900000])',
    'piecewise_constant([0.1, 0.01, 0.001], [300000, 600000])',
    'piecewise_interpolate([0.0, 0.1, 0.001], [300000, 600000])',
    'piecewise_interpolate([0.0, 0.1, 0.001], [300000, 600000], "cosine")',
    'exponential_decay(0.1, 0.5, 100000)',
    'natural_exponential_decay(0.1, 0.5, 100000)',
    'inverse_time_decay(0.1, 0.5, 100000)',
    'inverse_sqrt(0.1, 10000)',
    'noam(512, 10000)',
    'power_decay(0.1, 10000)',
    'one_cycle(0.1, 1000000)',
    'one_cycle(0.1, 1000000, shape="linear", three_phase=True)',
    'slanted_triangular(0.1, 1000000)',
    'warmup_stable_decay(0.1, 1000000, 10000, 200000)',
    'warmup_stable_decay(0.1, 1000000, 10000, 200000, "sqrt")',
    'warmup_stable_decay(0.1, 1000000, 10000, 200000, "cosine")',
    'repeated_decay(0.1, [300000, 600000, 1000000], 50000)',
    'infinite(0.1, 0.05, 10000, 200000, 100000, 0.001)',
    'range_ramp(1e-6, 1.0, 1000000)',
    'warm_restarts(0.1, 10000)',
    'warm_restarts(0.1, 1000, cycle_growth=2)',
    'cyclical(0.01, 0.1, 2000)',
    'cyclical(0.01, 0.1, 2000, mode="exp_range")',
    'warmup_constant(0.1, 10000)',
    'warmup_linear(0.1, 1000000, 10000)',
    'warmup_cosine(0.1, 1000000, 10000)',
    'warmup_polynomial(0.1, 1000000, 10000)',
    'warmup_exponential(0.1, 1000000, 10000, end_value=0.001)',
    'constant(0.1).with_noise(0)',
    'cosine_annealing(0.1, 1000000).with_warmup(1000).cooldown(500000, 1000)',
]


def seconds(function, steps):
  start = time.perf_counter()
  function(steps).block_until_ready()
  return time.perf_counter() - start


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--repeats', type=int, default=60)
  parser.add_argument('schedules', nargs='*', default=SCHEDULES)
  arguments = parser.parse_args()
  steps = jnp.arange(STEPS)
  optax_cosine = jax.jit(optax.cosine_decay_schedule(0.1, STEPS))
  optax_cosine(steps).block_until_ready()
  missed = []
  for text in arguments.schedules:
    function = jax.jit(lrax.schedules.parse(text).value)
    function(steps).block_until_ready()
    pairs = [
        (seconds(optax_cosine, steps), seconds(function, steps))
        for _ in range(arguments.repeats)
    ]
    theirs, ours = (min(times) for times in zip(*pairs))
    print(f'{ours / theirs:5.2f}  {ours * 1e3:6.2f} ms  {text}', flush=True)
    if ours > LIMIT * theirs:
      missed.append(text)
  print(f'more than {LIMIT} times: {len(missed)} of {len(arguments.schedules)}')
  return 1 if missed else 0


if __name__ == '__main__':
  sys.exit(main())
