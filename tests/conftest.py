"""Set-up of the tests: eight CPU devices, and float64 for a test that asks.

Most of the time of this suite goes into compiling. What one worker has compiled
is therefore kept in files for the length of the run: another worker reads it, and
so does the same one after what it holds has been dropped.
"""

import atexit
import gc
import os
import shutil
import tempfile

# Read when jax starts, so set before it is imported. What is set already stays:
# of two equal flags the last one counts, and the same suite runs on an
# accelerator where JAX_PLATFORMS names one.
os.environ['XLA_FLAGS'] = (
    '--xla_force_host_platform_device_count=8 ' + os.environ.get('XLA_FLAGS', '')
)
os.environ['JAX_PLATFORMS'] = os.environ.get('JAX_PLATFORMS', 'cpu')

# Workers, and what tests start, inherit the folder of the run's first process.
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
  _compiled = tempfile.mkdtemp(prefix='lrax-tests-')
  atexit.register(shutil.rmtree, _compiled, ignore_errors=True)
  os.environ['JAX_COMPILATION_CACHE_DIR'] = _compiled
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
  os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'

import jax
import pytest

_ended = []  # Tests since the last time


def pytest_collection_finish():
  """Spares the garbage collector what lasts as long as the run."""
  gc.collect()
  gc.freeze()


def pytest_runtest_teardown(item, nextitem):
  """Drops what has been compiled, of which 5,000 tests would gather 4 GB.

  Between two files only: tests of one file may share a compiled function and
  count how often it is traced.
  """
  _ended.append(item.nodeid)
  if len(_ended) >= 300 and (nextitem is None or nextitem.path != item.path):
    _ended.clear()
    jax.clear_caches()


@pytest.fixture
def x64():
  """Turns on float64 for one test, and then restores what was set."""
  before = jax.config.jax_enable_x64
  jax.config.update('jax_enable_x64', True)
  yield
  jax.config.update('jax_enable_x64', before)
