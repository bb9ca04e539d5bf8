"""Every schedule against the libraries that have the same one.

What they gave is frozen in float64, with the call and the version, in
`tests/reference/schedules.json`; `make_schedules.py` beside it wrote it.
"""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from lrax import schedules

FROZEN = json.loads(
    (Path(__file__).parents[1] / 'reference/schedules.json').read_text()
)
EACH = pytest.mark.parametrize('row', FROZEN, ids=lambda row: row['id'])

# The libraries lose up to 1e-15 where a rate of 0.3 falls to 0, as 1 + cos(pi *
# share) does. Fastai computes the share of a phase in float32: two roundings of
# 2**-25, divided by the 0.25 that the phase is of all, and one more of the share;
# the rate of 0.3 changes by up to 0.3 * pi / 2 of the share.
ABSOLUTE = {'fastai': 1.3e-7}


def check(row, rtol):
  """What the row's expression gives at the row's steps, against its rates."""
  rates = np.asarray(schedules.parse(row['lrax'])(np.array(row['steps'])))
  atol = ABSOLUTE.get(row['library'], 1e-15)
  np.testing.assert_allclose(rates, row['rates'], rtol=rtol, atol=atol)


@EACH
def test_same_in_float64(row):
  with jax.enable_x64(True):
    # Both sides round in float64. PyTorch multiplies a rate by a factor at each
    # step, up to 1000 of them with 2**-53 of error each.
    check(row, rtol=3e-13)


@EACH
def test_same_in_float32(row):
  # The nearest float32 is at most 2**-24 = 5.96e-8 of the rate away.
  check(row, rtol=6e-8)
