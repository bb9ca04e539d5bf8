"""Where the source text of the standard library is, and where it is not."""

import sysconfig

import pytest

import lrax
from lrax.tasks import _source_text


@pytest.mark.parametrize('name', ['characters', 'packages'])
def test_a_python_without_its_source_is_told_so(name, monkeypatch, tmp_path):
  monkeypatch.setattr(sysconfig, 'get_path', lambda which: str(tmp_path / 'lib.zip'))
  with pytest.raises(FileNotFoundError) as caught:
    lrax.tasks.load(name)
  said = str(caught.value)
  assert said.startswith(f'{name}: the source files of the standard library')
  assert 'lib.zip' in said and '\n' not in said


def test_modules_are_the_librarys_own_and_in_order():
  names = [path.stem for path in _source_text.modules('test')]
  assert names == sorted(names)
  assert {'argparse', 'ast', 'typing'} <= set(names)
  assert not [name for name in names if 'sysconfigdata' in name]


def test_a_package_is_all_its_files_but_its_tests(monkeypatch, tmp_path):
  monkeypatch.setattr(sysconfig, 'get_path', lambda which: str(tmp_path))
  for name in ('b.py', 'a.py', 'below/c.py', 'test/d.py', 'below/tests/e.py', 'f.txt'):
    path = tmp_path / 'some' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('x')
  found = _source_text.package('test', 'some')
  assert [path.name for path in found] == ['a.py', 'b.py', 'c.py']
  with pytest.raises(FileNotFoundError):
    _source_text.package('test', 'other')
