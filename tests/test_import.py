"""`import lrax` brings in nothing that `import optax, chex` does not."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ('matplotlib', 'sklearn', 'optuna', 'rich', 'typer', 'flax', 'pandas', 'scipy')


def loaded_by(code: str) -> set[str]:
  """The top-level modules that a fresh interpreter has after `code`."""
  show = "import sys; print(' '.join({m.partition('.')[0] for m in sys.modules}))"
  result = subprocess.run(
      [sys.executable, '-c', f'{code}\n{show}'],
      check=True, capture_output=True, text=True,
  )
  return set(result.stdout.split())


def test_import_adds_only_lrax_and_the_standard_library():
  extra = loaded_by('import lrax') - loaded_by('import optax, chex')
  assert extra - set(sys.stdlib_module_names) == {'lrax'}


def test_heavy_packages_stay_out():
  assert not loaded_by('import lrax') & (set(HEAVY) - loaded_by('import optax, chex'))
