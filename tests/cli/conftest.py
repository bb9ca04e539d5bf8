"""A working directory with a file of tasks."""

from pathlib import Path
import sys
import textwrap

import programs
import pytest

from lrax.cli import _output


@pytest.fixture
def place(monkeypatch, tmp_path):
  """A working directory with a file of tasks; paths as before afterwards."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', list(sys.path))
  monkeypatch.setattr(sys, 'dont_write_bytecode', True)
  monkeypatch.delenv('LRAX_DEBUG', raising=False)
  Path('lrax_cli_tasks.py').write_text(textwrap.dedent(programs.TASK))
  Path('lrax_cli_bad.py').write_text("raise RuntimeError('no data\\n here')\n")
  Path('lrax_cli_syntax.py').write_text('def task(:\n')
  Path('lrax_cli_exit.py').write_text('import sys\nsys.exit(0)\n')
  Path('file').write_text('')
  yield
  for name in [name for name in sys.modules if name.startswith('lrax_cli_')]:
    del sys.modules[name]


@pytest.fixture
def undrawn(monkeypatch):
  """No figures, which take half a second each; the file is there, and empty."""
  monkeypatch.setattr(_output, 'draw', lambda command, make, path: path.touch())
