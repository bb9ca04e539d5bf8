"""`load`: a task by its name, and what it says where there is none."""

import sys
import textwrap

import pytest

from lrax.tasks import load
from lrax.tasks import Task

GOOD = '''
    import jax.numpy as jnp
    import numpy as np
    import lrax

    data = lrax.tasks.Arrays(np.ones((8, 2)))

    def make(name='made'):
      return lrax.tasks.Task(
          init=lambda key: jnp.zeros(2),
          loss=lambda params, batch, key: jnp.mean((batch @ params - 1) ** 2),
          train=data, validation=data, steps=5, name=name)

    task = make('whole')
    number = 3
    nothing = lambda: None

    def breaks():
      raise RuntimeError('no such table')

    def leaves():
      raise SystemExit('give me a token')

    def needs(path):
      return make()
'''


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
  """A working directory of its own; modules and paths as before afterwards."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', list(sys.path))
  monkeypatch.setattr(sys, 'dont_write_bytecode', True)
  before = set(sys.modules)
  yield
  for name in set(sys.modules) - before:
    file = getattr(sys.modules[name], '__file__', None) or ''
    if file.startswith(str(tmp_path)):
      del sys.modules[name]


def write(folder, name, text):
  (folder / name).write_text(textwrap.dedent(text))


@pytest.mark.parametrize('name', ['characters', 'digits', 'packages'])
def test_built_in(name):
  task = load(name)
  assert isinstance(task, Task)
  assert task.name == name


@pytest.mark.parametrize('typed', ['digit', 'Digits', 'dgits'])
def test_an_unknown_name_says_what_there_is_and_what_is_close(typed):
  with pytest.raises(ValueError) as caught:
    load(typed)
  said = str(caught.value)
  assert said.startswith(f"load: no built-in task is called '{typed}'; they are ")
  assert 'file.py:name' in said
  assert "did you mean 'digits'" in said


def test_an_unknown_name_that_is_close_to_none_is_not_guessed_at():
  known = 'are cartpole, characters, digits, digits_cnn, packages, tumours;'
  with pytest.raises(ValueError, match=known) as caught:
    load('zzz')
  assert 'did you mean' not in str(caught.value)


@pytest.mark.parametrize('name', ['Task', 'Arrays', 'Stream', 'load'])
def test_the_other_names_of_the_package_are_no_tasks(name):
  with pytest.raises(ValueError, match='no built-in task is called'):
    load(name)


def test_module_of_the_working_directory(tmp_path):
  write(tmp_path, 'lrax_test_mine.py', GOOD)
  assert load('lrax_test_mine:task').name == 'whole'
  assert load('lrax_test_mine:make').name == 'made'


def test_module_inside_a_package(tmp_path):
  (tmp_path / 'lrax_test_package').mkdir()
  write(tmp_path / 'lrax_test_package', '__init__.py', '')
  write(tmp_path / 'lrax_test_package', 'mine.py', GOOD)
  assert load('lrax_test_package.mine:task').name == 'whole'


def test_file_relative_and_absolute(tmp_path):
  (tmp_path / 'deep').mkdir()
  write(tmp_path / 'deep', 'lrax_test_file.py', GOOD)
  assert load('deep/lrax_test_file.py:task').name == 'whole'
  assert load(f'{tmp_path}/deep/lrax_test_file.py:make').name == 'made'


def test_a_file_may_import_its_neighbours(tmp_path):
  (tmp_path / 'deep').mkdir()
  write(tmp_path / 'deep', 'lrax_test_beside.py', GOOD)
  write(tmp_path / 'deep', 'lrax_test_main.py', 'from lrax_test_beside import task')
  assert load('deep/lrax_test_main.py:task').name == 'whole'


def test_two_files_of_one_name_are_two(tmp_path):
  for folder in ('one', 'two'):
    (tmp_path / folder).mkdir()
    write(tmp_path / folder, 'lrax_test_same.py', GOOD.replace('whole', folder))
  assert load('one/lrax_test_same.py:task').name == 'one'
  assert load('two/lrax_test_same.py:task').name == 'two'


def test_a_file_that_was_mended_loads(tmp_path):
  write(tmp_path, 'lrax_test_mended.py', "raise RuntimeError('half')")
  with pytest.raises(ImportError, match='half'):
    load('lrax_test_mended.py:task')
  write(tmp_path, 'lrax_test_mended.py', GOOD)
  assert load('lrax_test_mended.py:task').name == 'whole'
  # What is left of the first attempt is not found by its name.
  assert load('lrax_test_mended:task').name == 'whole'


@pytest.mark.parametrize(
    'name, says',
    [
        ('lrax_test_none:task', "there is no module 'lrax_test_none'; check the name"),
        ('lrax_test_none.py:task', "there is no file 'lrax_test_none.py'; check the"),
        ('nowhere/mine.py:task', "there is no file 'nowhere/mine.py'"),
        ('lrax_test_good.py:tusk', "there is no 'tusk' in lrax_test_good.py"),
        ('lrax_test_good:tusk', "there is no 'tusk' in lrax_test_good; name"),
        ('lrax_test_good.py:', "there is no '' in lrax_test_good.py"),
    ],
)
def test_what_is_not_there_is_a_value_error(tmp_path, name, says):
  write(tmp_path, 'lrax_test_good.py', GOOD)
  with pytest.raises(ValueError) as caught:
    load(name)
  assert str(caught.value).startswith('load: ')
  assert says in str(caught.value)


def test_a_file_without_a_task_named_says_how_to_name_one(tmp_path):
  write(tmp_path, 'lrax_test_good.py', GOOD)
  with pytest.raises(ValueError, match=r'file\.py:name'):
    load('lrax_test_good.py')


@pytest.mark.parametrize(
    'text, says',
    [
        ('1 / 0', 'ZeroDivisionError: division by zero'),
        ("raise RuntimeError('first line\\n  second line')", 'first line second line'),
        ("raise SystemExit('usage: train.py DATA')", 'SystemExit: usage: train.py'),
        ('import sys; sys.exit()', 'SystemExit'),
        ('def task(:\n  pass', 'SyntaxError'),
        ('  x = 1\n y = 2', 'IndentationError'),
        ('import lrax_test_no_such_library', "named 'lrax_test_no_such_library'"),
        ('from lrax import no_such_name', 'no_such_name'),
        ("raise Exception", 'failed with Exception.'),
    ],
)
@pytest.mark.parametrize('place', ['lrax_test_bad', 'lrax_test_bad.py'])
def test_what_does_not_import_says_why_in_one_line(tmp_path, place, text, says):
  (tmp_path / 'lrax_test_bad.py').write_text(text + '\n')
  with pytest.raises(ImportError) as caught:
    load(f'{place}:task')
  said = str(caught.value)
  assert said.startswith(f"load: importing '{place}' failed with ")
  assert says in said
  assert '\n' not in said


def test_a_package_without_that_module_is_not_called_missing_itself(tmp_path):
  (tmp_path / 'lrax_test_outer').mkdir()
  write(tmp_path / 'lrax_test_outer', '__init__.py', '')
  with pytest.raises((ImportError, ValueError), match=r'lrax_test_outer\.inner'):
    load('lrax_test_outer.inner:task')


@pytest.mark.parametrize(
    'attribute, error, says',
    [
        ('number', TypeError, 'must be a lrax.tasks.Task, or a function that returns'),
        ('number', TypeError, 'got a int'),
        ('nothing', TypeError, 'got a NoneType'),
        ('data', TypeError, 'got a Arrays'),
        ('breaks', ImportError, 'failed with RuntimeError: no such table'),
        ('leaves', ImportError, 'failed with SystemExit: give me a token'),
        ('needs', ImportError, "missing 1 required positional argument: 'path'"),
    ],
)
def test_what_is_no_task_says_what_it_is(tmp_path, attribute, error, says):
  write(tmp_path, 'lrax_test_good.py', GOOD)
  with pytest.raises(error) as caught:
    load(f'lrax_test_good.py:{attribute}')
  assert says in str(caught.value)
  assert f"'lrax_test_good.py:{attribute}" in str(caught.value)


@pytest.mark.parametrize('name', [None, 3, b'digits'])
def test_a_name_is_a_string(name):
  with pytest.raises(TypeError, match='load: `name` must be a string'):
    load(name)


def test_ctrl_c_while_importing_is_left_alone(tmp_path):
  write(tmp_path, 'lrax_test_slow.py', 'raise KeyboardInterrupt')
  with pytest.raises(KeyboardInterrupt):
    load('lrax_test_slow.py:task')
