"""What `import lrax` costs beside `import optax, chex`: a ratio, in pairs.

Run: python tests/benchmarks/import_time.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

PAIRS = 15
LIMIT = 1.1


def seconds(code: str) -> float:
  """The wall time of a fresh interpreter that runs `code`."""
  start = time.perf_counter()
  subprocess.run([sys.executable, '-c', code], check=True)
  return time.perf_counter() - start


def main() -> None:
  ours, theirs = 'import lrax', 'import optax, chex'
  seconds(ours), seconds(theirs)  # fill the disk's and the bytecode's caches
  pairs = []
  for index in range(PAIRS):
    # Alternate the order, so that a machine that slows down favours neither.
    order = (ours, theirs) if index % 2 else (theirs, ours)
    taken = {code: seconds(code) for code in order}
    pairs.append((taken[ours], taken[theirs]))
  ratio = statistics.median(a / b for a, b in pairs)
  print(f'import lrax         {statistics.median(a for a, _ in pairs):.2f} s')
  print(f'import optax, chex  {statistics.median(b for _, b in pairs):.2f} s')
  print(f'ratio, median of {PAIRS} pairs: {ratio:.3f} (limit {LIMIT})')
  sys.exit(ratio > LIMIT)


if __name__ == '__main__':
  main()
