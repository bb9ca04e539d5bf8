"""Every public function and class says what it does, and its example runs."""

import doctest
import importlib
import inspect
from pathlib import Path
import re

import members
import pytest

import lrax

SECTIONS = (
    'Args',
    'Attributes',
    'Example',
    'Formula',
    'Raises',
    'Returns',
    'Source',
    'Yields',
)


def _packages():
  root = Path(lrax.__file__).parent
  for face in sorted(root.rglob('__init__.py')):
    parts = face.parent.relative_to(root).parts
    yield importlib.import_module('.'.join(['lrax', *parts]))


def _public():
  """Every function and class of every `__all__`, and every combination."""
  found = {}
  for package in _packages():
    for name in package.__all__:
      thing = getattr(package, name)
      if not inspect.ismodule(thing):
        found.setdefault(id(thing), (f'{package.__name__}.{name}', thing))
  for thing in members.COMBINATIONS:
    found.setdefault(id(thing), (f'{thing.__module__}.{thing.__name__}', thing))
  return sorted(found.values(), key=lambda pair: pair[0])


def _methods():
  """The public methods of the public classes, but a NamedTuple's own."""
  for name, thing in PUBLIC:
    if inspect.isclass(thing):
      for method, value in vars(thing).items():
        value = getattr(value, '__func__', getattr(value, 'fget', value))
        if not method.startswith('_') and inspect.isfunction(value):
          yield f'{name}.{method}', value


PUBLIC = _public()
FUNCTIONS = [(n, f) for n, f in PUBLIC if inspect.isfunction(f)]
CLASSES = [(n, c) for n, c in PUBLIC if inspect.isclass(c)]
METHODS = list(_methods())
MEMBERS = [
    *members.SCHEDULES,
    *members.COMBINATIONS,
    *members.OPTIMIZERS,
    *members.TRANSFORMS,
]


def sections(docstring):
  """The text of each section by its title; the summary's title is ''."""
  found, title = {'': ''}, ''
  for line in inspect.cleandoc(docstring).splitlines():
    heading = re.fullmatch(r'(\w+):', line)
    if heading and heading[1] in SECTIONS:
      title = heading[1]
      found[title] = ''
    else:
      found[title] += line + '\n'
  return {title: text.strip('\n') for title, text in found.items()}


def documented(text):
  """The names that a section of arguments documents, stars taken off."""
  return [m[1] for m in re.finditer(r'^  \*{0,2}(\w+): \S', text, re.MULTILINE)]


def missing(function, also=()):
  """What the docstring of a function lacks."""
  if not function.__doc__:
    return ['a docstring']
  text = sections(function.__doc__)
  parameters = [
      name
      for name, parameter in inspect.signature(function).parameters.items()
      if not name.startswith('_')
  ]
  wanted = ['', 'Returns', 'Raises', 'Source', 'Example', *also]
  if parameters:
    wanted.append('Args')
  lacks = [f'section {t or "summary"}' for t in wanted if not text.get(t)]
  told = documented(text.get('Args', ''))
  lacks += [f'argument {p}' for p in parameters if p not in told]
  lacks += [f'no argument is called {t}' for t in told if t not in parameters]
  summary = text[''].splitlines()[0] if text[''] else ''
  if not summary.endswith('.'):
    lacks.append('a summary of one line that ends with a full stop')
  if '>>>' not in text.get('Example', '>>>'):
    lacks.append('an example that runs')
  return lacks


def run_example(name, thing):
  """Runs a docstring's examples; the failures as text."""
  parser, output = doctest.DocTestParser(), []
  test = parser.get_doctest(inspect.cleandoc(thing.__doc__), {}, name, None, 0)
  runner = doctest.DocTestRunner(verbose=False)
  result = runner.run(test, out=output.append, clear_globs=True)
  return result.attempted, ''.join(output) if result.failed else ''


def _ids(pairs):
  return [name for name, _ in pairs]


@pytest.mark.parametrize('name, function', FUNCTIONS, ids=_ids(FUNCTIONS))
def test_a_function_documents_itself(name, function):
  also = ['Formula'] if function in MEMBERS else []
  assert missing(function, also) == [], name


@pytest.mark.parametrize('name, cls', CLASSES, ids=_ids(CLASSES))
def test_a_class_documents_itself(name, cls):
  own = vars(cls).get('__doc__') or ''
  # What a NamedTuple and a dataclass write themselves starts with the name.
  assert own and not own.startswith(f'{cls.__name__}('), name
  assert sections(own)[''].splitlines()[0].endswith('.'), name


@pytest.mark.parametrize('name, method', METHODS, ids=_ids(METHODS))
def test_a_method_documents_itself(name, method):
  assert method.__doc__, name
  text = sections(method.__doc__)
  assert text[''].splitlines()[0].endswith(('.', ';', ',')), name
  told = documented(text.get('Args', ''))
  assert set(told) <= set(inspect.signature(method).parameters), name


EXAMPLES = [
    (name, thing)
    for name, thing in PUBLIC + METHODS
    if '>>>' in (thing.__doc__ or '')
]


@pytest.mark.parametrize('name, thing', EXAMPLES, ids=_ids(EXAMPLES))
def test_an_example_runs(name, thing):
  attempted, failures = run_example(name, thing)
  assert attempted and not failures, failures


def test_every_package_says_what_it_is():
  for package in _packages():
    assert package.__doc__, package.__name__


# --- the checks themselves ---------------------------------------------------


def _complete(rate, *, name='x', **others):
  """Does something.

  Args:
    rate: the rate.
    name: a name, which
      goes on: here.
    **others: more.

  Returns:
    Nothing.

  Raises:
    ValueError: never.

  Source:
    None.

  Example:
    >>> 1 + 1
    2
  """


@pytest.mark.parametrize(
    'old, new, lacks',
    [
        ('', '', []),
        ('Does something.', 'Does something', ['a summary of one line']),
        ('Returns:', 'Gives:', ['section Returns']),
        ('Raises:', 'Errors:', ['section Raises']),
        ('Source:', 'Sources:', ['section Source']),
        ('  ValueError: never.\n', '', ['section Raises']),
        ('  rate: the', '  rates: the', ['argument rate', 'no argument is']),
        ('  name: a', '    name: a', ['argument name']),
        ('  **others: more.\n', '', ['argument others']),
        ('>>> 1 + 1', '1 + 1 is', ['an example that runs']),
    ],
)
def test_what_a_docstring_lacks_is_found(old, new, lacks, monkeypatch):
  # Python 3.13 takes the indentation off itself.
  text = inspect.cleandoc(_complete.__doc__)
  assert old in text
  monkeypatch.setattr(_complete, '__doc__', text.replace(old, new))
  found = missing(_complete)
  assert len(found) == len(lacks)
  assert all(f.startswith(want) for f, want in zip(found, lacks))


def test_a_formula_is_asked_of_a_member():
  assert missing(_complete, ['Formula']) == ['section Formula']


def test_an_example_that_is_wrong_is_found():
  def wrong():
    """Adds.

    >>> 1 + 1
    3
    """

  assert 'Expected:\n    3' in run_example('wrong', wrong)[1]


def test_examples_do_not_see_each_other():
  def first():
    """>>> shared = 1"""

  def second():
    """>>> shared
    1
    """

  assert run_example('first', first) == (1, '')
  assert 'NameError' in run_example('second', second)[1]
