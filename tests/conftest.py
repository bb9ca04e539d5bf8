"""Set-up of the tests: eight CPU devices, and float64 for a test that asks."""

import itertools
import os

# Read when jax starts, so set before it is imported. What is set already stays:
# of two equal flags the last one counts, and the same suite runs on an
# accelerator where JAX_PLATFORMS names one.
os.environ['XLA_FLAGS'] = (
    '--xla_force_host_platform_device_count=8 ' + os.environ.get('XLA_FLAGS', '')
)
os.environ['JAX_PLATFORMS'] = os.environ.get('JAX_PLATFORMS', 'cpu')

import jax
import pytest

_ended = itertools.count(1)


def pytest_runtest_teardown():
  """Drops what has been compiled, of which 5,000 tests would gather 4 GB."""
  if next(_ended) % 500 == 0:
    jax.clear_caches()


@pytest.fixture
def x64():
  """Turns on float64 for one test, and then restores what was set."""
  before = jax.config.jax_enable_x64
  jax.config.update('jax_enable_x64', True)
  yield
  jax.config.update('jax_enable_x64', before)
