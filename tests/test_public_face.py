"""The public face is complete, and imports flow downwards only."""

import ast
import importlib
from pathlib import Path
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

import lrax

ROOT = Path(lrax.__file__).parent
FILES = sorted(ROOT.rglob('*.py'))
PACKAGES = sorted(p.parent for p in FILES if p.name == '__init__.py')

# From the bottom up. What stands in one line is on one level.
LEVELS = (
    ('_types', '_traced_once', '_advice'),
    ('_sum_all',),
    ('_call',),
    ('_evaluate',),
    ('_policy',),
    ('_checks',),
    ('schedules',),
    ('control',),
    ('state',),
    ('transforms',),
    ('optimizers',),
    ('groups',),
    ('tasks',),
    ('stability', 'diagnose'),
    ('tune', 'scale'),
    ('plot',),
    ('cli',),
    ('__init__', '__main__'),
)
# What may be imported upwards, inside a function, and why.
UPWARDS = {
    ('_policy', 'schedules'): 'Schedule.__mul__ and its kin make combinations',
    ('schedules', 'control'): 'from_dict and parse know the policies by name',
    ('tune', 'plot'): 'a result draws itself: found.plot()',
}
HEAVY = {
    'equinox',
    'flax',
    'haiku',
    'matplotlib',
    'optuna',
    'rich',
    'sklearn',
    'torch',
    'typer',
}
# Files that nothing imports before they are needed, so that they may import
# something heavy themselves, and why they must.
LOADED_WHEN_NEEDED = {
    ('cli/_app.py', 'typer'): 'the app is a typer object; main() imports the file',
    ('cli/_diagnose.py', 'typer'): "a command is declared with typer's types",
    ('cli/_find.py', 'typer'): "a command is declared with typer's types",
    ('cli/_options.py', 'typer'): "a command is declared with typer's types",
    ('cli/_schedule.py', 'typer'): "a command is declared with typer's types",
    ('cli/_search.py', 'typer'): "a command is declared with typer's types",
    ('cli/_stability.py', 'typer'): "a command is declared with typer's types",
    ('cli/_study.py', 'typer'): "a command is declared with typer's types",
    ('cli/_sweep.py', 'typer'): "a command is declared with typer's types",
}


class Import(NamedTuple):
  """One imported module, or name of a module."""

  module: str  # absolute, with the name where it is imported from a package
  deferred: bool  # inside a function, or for type checking only
  line: int


def imports(source, package):
  """Every import in a source; `package` is what a relative one starts from."""
  found = []

  def visit(node, deferred):
    if isinstance(node, ast.Import):
      found.extend(Import(a.name, deferred, node.lineno) for a in node.names)
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ''
      if node.level:
        parts = package.split('.')
        above = parts[: len(parts) - node.level + 1]
        base = '.'.join([*above, *filter(None, [base])])
      for alias in node.names:
        found.append(Import(f'{base}.{alias.name}', deferred, node.lineno))
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
      deferred = True
    elif isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test):
      for child in node.body:
        visit(child, True)
      for child in node.orelse:
        visit(child, deferred)
      return
    for child in ast.iter_child_nodes(node):
      visit(child, deferred)

  visit(ast.parse(source), False)
  return found


def part(module):
  """The part of lrax that an absolute name belongs to; None outside lrax."""
  first, *rest = module.split('.')
  if first != 'lrax':
    return None
  known = {name for level in LEVELS for name in level}
  # A name that is no part is one of the public face: lrax.constant.
  return rest[0] if rest and (rest[0] in known or _is_part(rest[0])) else '__init__'


def _is_part(name):
  return (ROOT / name).is_dir() or (ROOT / f'{name}.py').is_file()


def level(name):
  for index, names in enumerate(LEVELS):
    if name in names:
      return index
  raise LookupError(f'lrax/{name} has no place in LEVELS: say what it may import')


def violations(file, source):
  """What is wrong with the imports of one file, named from the package's root."""
  path = Path(file)
  own = path.parts[0].removesuffix('.py')
  package = '.'.join(['lrax', *path.parts[:-1]])
  wrong = []
  for found in imports(source, package):
    where = f'lrax/{file}:{found.line} imports {found.module}'
    target = part(found.module)
    top = found.module.split('.')[0]
    if top in HEAVY and not found.deferred and (file, top) not in LOADED_WHEN_NEEDED:
      wrong.append(f'{where}, which is heavy, outside a function')
    if target is None or target == own:
      continue
    if level(target) == level(own):
      wrong.append(f'{where}, which is on its own level')
    elif level(target) > level(own):
      if not found.deferred:
        wrong.append(f'{where}, which is above it')
      elif (own, target) not in UPWARDS:
        wrong.append(f'{where}, which is above it, and UPWARDS does not allow it')
  return wrong


def _relative(path):
  return path.relative_to(ROOT).as_posix()


# --- the face ----------------------------------------------------------------


@pytest.mark.parametrize('package', PACKAGES, ids=_relative)
def test_all_is_sorted_complete_and_importable(package):
  name = '.'.join(['lrax', *package.relative_to(ROOT).parts])
  module = importlib.import_module(name)
  assert module.__all__ == sorted(module.__all__)
  assert len(module.__all__) == len(set(module.__all__))
  for public in module.__all__:
    assert hasattr(module, public)
    assert not public.startswith('_')
  assert set(module.__all__) <= set(dir(module))
  assert _bound((package / '__init__.py').read_text()) == set(module.__all__)


def _bound(source):
  """The public names that a face takes from lrax or makes, lazily or not."""
  found = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.ImportFrom) and (
        node.level or node.module.split('.')[0] == 'lrax'
    ):
      found |= {a.asname or a.name for a in node.names}
    elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
      found.add(node.name)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
      found.add(node.id)
  return {name for name in found if not name.startswith('_')}


def test_a_public_name_that_is_not_in_all_is_found():
  source = 'import sys\nfrom lrax._a import f\nfrom ._b import g as h\nX = _Y = 1'
  assert _bound(source) == {'f', 'h', 'X'}


def test_every_package_but_the_command_line_is_on_the_face():
  names = {p.name for p in PACKAGES if p.parent == ROOT}
  assert names - {'cli'} == {n for n in lrax.__all__ if (ROOT / n).is_dir()}


def test_schedules_optimizers_and_state_functions_are_flat():
  for family in (lrax.optimizers, lrax.state):
    functions = {n for n in family.__all__ if n[0].islower()}
    assert functions <= set(lrax.__all__)
  flat = set(lrax.schedules.__all__) - {
      'as_schedule', 'from_function', 'parse', 'untuned_warmup_steps'
  }
  assert flat <= set(lrax.__all__)


def test_the_face_holds_the_objects_of_the_packages():
  for family in (lrax.optimizers, lrax.schedules, lrax.state):
    for name in set(family.__all__) & set(lrax.__all__):
      assert getattr(lrax, name) is getattr(family, name)


# --- the files ---------------------------------------------------------------


@pytest.mark.parametrize('path', FILES, ids=_relative)
def test_files_are_named_for_an_idea(path):
  assert re.fullmatch(r'_[a-z][a-z0-9_]*\.py|__init__\.py|__main__\.py', path.name)
  assert not re.search(r'util|helper|common|misc', path.name)


def test_there_is_nothing_else_in_the_package():
  others = {
      _relative(p)
      for p in ROOT.rglob('*')
      if p.is_file() and p.suffix != '.py' and '__pycache__' not in p.parts
  }
  assert others == {'py.typed'}


# --- the imports -------------------------------------------------------------


@pytest.mark.parametrize('path', FILES, ids=_relative)
def test_imports_flow_downwards(path):
  assert violations(_relative(path), path.read_text()) == []


@pytest.mark.parametrize(
    'file, source, says',
    [
        ('_types.py', 'from lrax import _checks', 'above it'),
        ('_types.py', 'from lrax import _policy', 'above it'),
        ('_policy.py', 'import lrax.schedules', 'above it'),
        ('_checks.py', 'from lrax.schedules import _progress', 'above it'),
        ('schedules/_linear.py', 'from lrax import control', 'above it'),
        ('schedules/_linear.py', 'from lrax import constant', 'above it'),
        ('schedules/_linear.py', 'import lrax', 'above it'),
        ('schedules/_linear.py', 'from .. import control', 'above it'),
        ('schedules/_linear.py', 'from ..state._read import metrics', 'above it'),
        ('state/_read.py', 'class A:\n  from lrax import optimizers', 'above it'),
        ('state/_read.py', 'if True:\n  from lrax import tune', 'above it'),
        ('state/_read.py', 'try:\n  import lrax.cli\nexcept E:\n  pass', 'above it'),
        (
            'state/_read.py',
            'def f():\n  from lrax import optimizers',
            'UPWARDS does not allow it',
        ),
        (
            'state/_read.py',
            'if TYPE_CHECKING:\n  from lrax import tune',
            'UPWARDS does not allow it',
        ),
        ('tune/_find.py', 'from lrax import scale', 'its own level'),
        ('tune/_find.py', 'def f():\n  from lrax import scale', 'its own level'),
        ('diagnose/_run.py', 'from lrax.stability import _bound', 'its own level'),
        ('tune/_find.py', 'from lrax import plot', 'above it'),
        ('plot/_find.py', 'from matplotlib import pyplot', 'heavy'),
        ('plot/_find.py', 'import matplotlib.pyplot as plt', 'heavy'),
        ('tasks/_digits.py', 'import sklearn', 'heavy'),
        ('cli/_main.py', 'import typer', 'heavy'),
        ('cli/_app.py', 'import rich', 'heavy'),
    ],
)
def test_a_forbidden_import_is_found(file, source, says):
  wrong = violations(file, source)
  assert len(wrong) == 1 and says in wrong[0], wrong


@pytest.mark.parametrize(
    'file, source',
    [
        ('schedules/_linear.py', 'from lrax import _checks'),
        ('schedules/_linear.py', 'from lrax.schedules import _progress'),
        ('schedules/_linear.py', 'from . import _progress'),
        ('schedules/_linear.py', 'import jax\nfrom optax import adam'),
        ('_policy.py', 'def f():\n  from lrax.schedules import _algebra'),
        ('tune/_find.py', 'def f():\n  from lrax import plot'),
        ('plot/_find.py', 'def f():\n  import matplotlib.pyplot as plt'),
        ('plot/_find.py', 'from lrax import tune'),
        ('cli/_app.py', 'import typer'),
        ('__init__.py', 'from lrax import tune\nfrom lrax._policy import Schedule'),
    ],
)
def test_other_imports_are_allowed(file, source):
  assert violations(file, source) == []


def test_a_new_part_needs_a_place(monkeypatch):
  with pytest.raises(LookupError, match='lrax/extras has no place in LEVELS'):
    violations('extras/_new.py', 'from lrax import schedules')
  monkeypatch.setitem(globals(), '_is_part', lambda name: name == 'extras')
  with pytest.raises(LookupError, match='lrax/extras has no place in LEVELS'):
    violations('cli/_main.py', 'from lrax import extras')


def test_what_the_lists_allow_is_there():
  """A permission that nothing uses any more is taken back."""
  used, loaded = set(), set()
  for path in FILES:
    file = _relative(path)
    own = Path(file).parts[0].removesuffix('.py')
    package = '.'.join(['lrax', *Path(file).parts[:-1]])
    for found in imports(path.read_text(), package):
      used.add((own, part(found.module)))
      if not found.deferred:
        loaded.add((file, found.module.split('.')[0]))
  assert set(UPWARDS) <= used
  assert set(LOADED_WHEN_NEEDED) <= loaded


def test_importing_lrax_loads_nothing_heavy():
  code = (
      'import sys, lrax, lrax.cli;'
      f'print(*sorted({HEAVY!r} & set(sys.modules)))'
  )
  run = subprocess.run(
      [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert run.stdout.strip() == ''
