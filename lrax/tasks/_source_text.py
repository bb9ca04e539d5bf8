"""The source text of the standard library, which is on every machine."""

from __future__ import annotations

from pathlib import Path
import sys
import sysconfig


def modules(owner: str) -> list[Path]:
  """The modules of one file each, by name, without those made for the machine."""
  found = sorted(_folder().glob('*.py'))
  return _some(owner, [p for p in found if p.stem in sys.stdlib_module_names])


def package(owner: str, name: str) -> list[Path]:
  """The files of one package, those below it too, by name."""
  found = sorted((_folder() / name).rglob('*.py'))
  inside = lambda path: path.relative_to(_folder()).parts
  return _some(owner, [p for p in found if not {'test', 'tests'} & {*inside(p)}])


def _folder() -> Path:
  return Path(sysconfig.get_path('stdlib'))


def _some(owner: str, files: list[Path]) -> list[Path]:
  if not files:
    raise FileNotFoundError(
        f'{owner}: the source files of the standard library hold the data, and'
        f" they are not under '{_folder()}'; use a Python that is installed with"
        ' them, not one in a zip file or frozen.'
    )
  return files
