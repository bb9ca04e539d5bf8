"""What the commands share: the folder of results, figures, and how they fail."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import sys
import tempfile
from typing import Any
from typing import NoReturn

# What a bad call or a bad task raises, with a message made for people.
ERRORS = (ImportError, OSError, TypeError, ValueError)


def fail(message: str, error: BaseException) -> NoReturn:
  """One clear line on stderr, exit code 2; LRAX_DEBUG=1 shows where it was."""
  if os.environ.get('LRAX_DEBUG'):
    raise error
  lines = [line.strip() for line in message.splitlines() if line.strip()]
  # JAX appends paragraphs about its tracebacks.
  end = next((i for i, line in enumerate(lines) if line.startswith('---')), None)
  print(f"lrax: {' '.join(lines[:end])}", file=sys.stderr)
  raise SystemExit(2) from None


def open_folder(command: str, out: Path) -> None:
  """Makes the folder of --out, and makes sure that it can be written to."""
  try:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
      pass
  except OSError as error:
    raise OSError(
        f"{command}: cannot write to --out '{out}': {error.strerror}."
    ) from None


def need_figures(command: str, name: str) -> None:
  """Makes sure that a figure can be drawn, without a display."""
  try:
    import matplotlib
  except ImportError as error:
    raise ImportError(
        f"{command}: matplotlib draws {name}; pip install 'lrax[cli]'."
    ) from error
  matplotlib.use('Agg')


def draw(command: str, make: Callable[[], Any], path: Path) -> None:
  """Writes the figure of the axes that `make` draws, without a display."""
  need_figures(command, path.name)
  from matplotlib import pyplot as plt

  figure = make().figure
  figure.savefig(path, dpi=120)
  plt.close(figure)
