"""A task by its name: built in, in a module, or in a file."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
from pathlib import Path
import sys
from typing import Any

from lrax.tasks import _task


def built_in() -> dict[str, Any]:
  """The built-in tasks by name: the functions here that return a Task."""
  from lrax import tasks  # which imports this file

  faces = {name: getattr(tasks, name) for name in tasks.__all__}
  return {
      name: face
      for name, face in faces.items()
      if inspect.isfunction(face)
      and str(inspect.signature(face).return_annotation).endswith('Task')
      and not inspect.signature(face).parameters
  }


def load(name: str) -> _task.Task:
  """Returns the task of a name.

  Args:
    name: a built-in task's, such as 'digits'; or 'module:name' or
      'file.py:name', where the name is a `Task` or a function without
      arguments that returns one. The working directory is searched too.

  Returns:
    A `lrax.tasks.Task`.

  Raises:
    TypeError: what the name stands for is no Task.
    ValueError: there is no such task, module, file or name in it.
    ImportError: the module or file does not import; it says why.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> lrax.tasks.load('digits').name
    'digits'
  """
  if not isinstance(name, str):
    raise TypeError(
        f'load: `name` must be a string, got {name!r}; for example "digits".'
    )
  place, colon, attribute = name.rpartition(':')
  if not colon:
    known = built_in()
    if name not in known:
      close = difflib.get_close_matches(name, known, 1)
      hint = f"; did you mean '{close[0]}'" if close else ''
      raise ValueError(
          f"load: no built-in task is called '{name}'; they are"
          f' {", ".join(sorted(known))}; your own is module:name or'
          f' file.py:name{hint}.'
      )
    return known[name]()
  module = _import(place)
  if not hasattr(module, attribute):
    raise ValueError(
        f"load: there is no '{attribute}' in {place}; name the Task in it."
    )
  made = getattr(module, attribute)
  if callable(made) and not isinstance(made, _task.Task):
    made = _run(made, name)
  if not isinstance(made, _task.Task):
    raise TypeError(
        f"load: '{name}' must be a lrax.tasks.Task, or a function that returns"
        f' one, got a {type(made).__name__}; see the docstring of Task.'
    )
  return made


def _run(function: Any, name: str) -> Any:
  try:
    return function()
  except (Exception, SystemExit) as error:  # whatever the user's function does
    raise ImportError(f"load: '{name}()' {_said(error)}.") from error


def _import(place: str) -> Any:
  """The module, from a file or by name, with its own errors in one line."""
  is_file = place.endswith('.py')
  if is_file and not Path(place).is_file():
    raise ValueError(f"load: there is no file '{place}'; check the path.")
  if not is_file and '' not in sys.path:
    sys.path.insert(0, '')
  try:
    if not is_file:
      return importlib.import_module(place)
    path = Path(place).resolve()
    if str(path.parent) not in sys.path:
      sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Registered while it runs and if it succeeds, so that its classes pickle.
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module
    try:
      spec.loader.exec_module(module)
    except BaseException:
      sys.modules.pop(path.stem)
      if before is not None:
        sys.modules[path.stem] = before
      raise
    return module
  except ModuleNotFoundError as error:
    if not is_file and error.name == place.partition('.')[0]:
      raise ValueError(
          f"load: there is no module '{place}'; check the name."
      ) from error
    raise ImportError(f"load: importing '{place}' {_said(error)}.") from error
  except (Exception, SystemExit) as error:  # whatever the user's file does
    raise ImportError(f"load: importing '{place}' {_said(error)}.") from error


def _said(error: BaseException) -> str:
  text = ' '.join(str(error).split())
  return f'failed with {type(error).__name__}' + (f': {text}' if text else '')
