"""A sweep of two processes: what each prints is compared by test_engines.py.

Usage: python two_processes.py PORT INDEX, or PORT -1 for a process alone.
"""

import json
import sys

import jax

port, index = sys.argv[1], int(sys.argv[2])
if index >= 0:
  jax.distributed.initialize(f'localhost:{port}', 2, index)

import jax.numpy as jnp  # noqa: E402  after jax.distributed
import numpy as np  # noqa: E402

import lrax  # noqa: E402
from lrax.tasks import Arrays  # noqa: E402
from lrax.tasks import Stream  # noqa: E402
from lrax.tasks import Task  # noqa: E402

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5, 0.0], np.float32)


def task(train):
  return Task(
      init=lambda key: jax.random.normal(key, (4,)),
      loss=lambda w, batch, key: jnp.mean((batch[0] @ w - batch[1]) ** 2),
      train=train,
      validation=Arrays((X, Y)),
      steps=20,
      name='line',
  )


sources = (
    Arrays((X, Y), batch_size=16),
    Stream(lambda seed: [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 64, 16)]),
)
found = []
for source, engine, halve_at in zip(sources, ('map', 'vmap'), ((), (0.25, 0.5))):
  told = []
  swept = lrax.tune.sweep(
      task(source), [1e-3, 1e-2, 0.1, 0.3, 3.0], optimizer='sgd', seeds=2,
      schedule='constant', engine=engine, halve_at=halve_at, on_trial=told.append,
  )
  found.append(swept.to_dict())
  print(json.dumps(len(told)))
print(json.dumps(found, allow_nan=False))
