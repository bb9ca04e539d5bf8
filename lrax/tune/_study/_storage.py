"""Where a study is kept: in memory, in a file, or in a database.

A worker may be killed at any moment, and several may open a storage at once.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import errno
import os
import time
from typing import Any
from urllib import parse

from lrax import _checks

_SQLITE = ('.db', '.sqlite', '.sqlite3')
_JOURNAL = ('.log', '.journal')
_WAIT = 120.0  # seconds that SQLite waits for another worker's write
_TRIES = 5  # to open a database whose tables another worker is making


def open_storage(storage: Any, owner: str) -> tuple[Any, str | None]:
  """The Optuna storage that `storage` stands for, and its file if it is one.

  Args:
    storage: None, a path, a database URL, or an Optuna storage.
    owner: who asks, for messages.

  Raises:
    ImportError: Optuna is not installed, or the driver of the database.
    TypeError: it is something else.
    ValueError: the path has another ending, or its folder is not there.
  """
  optuna = import_optuna(owner)
  if storage is None:
    return optuna.storages.InMemoryStorage(), None
  if isinstance(storage, optuna.storages.BaseStorage):
    return storage, None
  if not isinstance(storage, (str, os.PathLike)):
    raise _checks.refuse(
        owner, 'storage', 'None, a path, a database URL or an Optuna storage',
        storage, "for example 'study.db'", TypeError,
    )
  text = os.fspath(storage)
  if '://' in text:
    return _relational(text, optuna), None
  ending = os.path.splitext(text)[1]
  if ending not in _SQLITE + _JOURNAL:
    raise _checks.refuse(
        owner, 'storage', f'a path that ends in {", ".join(_SQLITE + _JOURNAL)}',
        text, 'the first are of SQLite, the last two of a journal',
    )
  path = os.path.abspath(text)
  if not os.path.isdir(os.path.dirname(path)):
    raise _checks.refuse(
        owner, 'storage', 'a path in a folder that exists', text, 'make the folder'
    )
  if ending in _SQLITE:
    return _relational(f'sqlite:///{path}', optuna), path
  journal = optuna.storages.journal
  lock = _MendingLock(path, journal.JournalFileOpenLock(path))
  backend = journal.JournalFileBackend(path, lock_obj=lock)
  return optuna.storages.JournalStorage(backend), path


def import_optuna(owner: str) -> Any:
  """Optuna, or an error that says how to get it."""
  try:
    import optuna
    import optuna.storages.journal
  except ImportError as error:
    raise ImportError(
        f"{owner}: Optuna keeps the trials; pip install 'lrax[optuna]'."
    ) from error
  return optuna


@contextlib.contextmanager
def quiet(optuna: Any) -> Iterator[None]:
  """Without what Optuna says of things that go as they should."""
  level = optuna.logging.get_verbosity()
  optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))
  try:
    yield
  finally:
    optuna.logging.set_verbosity(level)


@contextlib.contextmanager
def held(path: str, name: str, worker: str) -> Iterator[bool]:
  """Holds a worker's name beside the study's file: whether it was free.

  The system lets go of it when the process dies, however it dies. Where neither
  the system nor the file system knows such locks, every name is free.
  """
  quote = lambda text: parse.quote(text, safe='')
  lock = f'{path}.{quote(name)}.{quote(worker)}.lock'
  try:
    file = _locked(lock)
  except BlockingIOError:
    yield False
    return
  try:
    yield True
  finally:
    if file is not None:
      with contextlib.suppress(FileNotFoundError):
        os.unlink(lock)
      os.close(file)


def _locked(lock: str) -> int | None:
  """The file, locked by this process; None where there are no locks.

  Raises:
    BlockingIOError: another one has it.
  """
  try:
    import fcntl
  except ImportError:
    return None
  while True:
    file = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      # Who held it before may have removed the file that was opened here.
      if os.path.samestat(os.fstat(file), os.stat(lock)):
        return file
    except FileNotFoundError:
      pass
    except OSError as error:
      os.close(file)
      if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        return None
      raise
    os.close(file)


def _relational(url: str, optuna: Any) -> Any:
  """A database, whose tables are made if they are not there."""
  from sqlalchemy import exc

  arguments: dict[str, Any] = {'pool_pre_ping': True}  # runs are long
  if url.startswith('sqlite'):
    # A transaction that means to write waits at its beginning, not in its midst,
    # where two would wait for each other.
    arguments = {'connect_args': {'timeout': _WAIT, 'isolation_level': 'IMMEDIATE'}}
  for left in reversed(range(_TRIES)):
    try:
      return optuna.storages.RDBStorage(url, engine_kwargs=arguments)
    except (exc.DBAPIError, optuna.exceptions.StorageInternalError):
      if not left:
        raise
      time.sleep(0.2)
  raise AssertionError('not reached')


class _MendingLock:
  """The lock of a journal, which takes off a line that was not written to its end.

  A worker that is killed while it writes leaves half a line. The next one would
  be written behind it, and nobody could read the journal any more. A lock that a
  killed worker held is free after half a minute.
  """

  def __init__(self, path: str, lock: Any):
    self._path, self._lock = path, lock

  def acquire(self) -> bool:
    """Waits for the lock, and mends the file."""
    self._lock.acquire()
    try:
      self._mend()
    except BaseException:
      self._lock.release()
      raise
    return True

  def release(self) -> None:
    """Lets go of the lock."""
    self._lock.release()

  def _mend(self) -> None:
    with open(self._path, 'rb+') as file:
      end = file.seek(0, os.SEEK_END)
      if not end:
        return
      file.seek(end - 1)
      if file.read() == b'\n':
        return
      file.seek(0)
      file.truncate(file.read().rfind(b'\n') + 1)
