"""A figure for each result; matplotlib is imported when one is drawn."""

from lrax.plot._bounds import bounds
from lrax.plot._find import find
from lrax.plot._monitor import monitor
from lrax.plot._range_test import range_test
from lrax.plot._schedule import schedule
from lrax.plot._search import search
from lrax.plot._sharpness import sharpness
from lrax.plot._spectrum import spectrum
from lrax.plot._sweep import sweep

__all__ = [
    'bounds',
    'find',
    'monitor',
    'range_test',
    'schedule',
    'search',
    'sharpness',
    'spectrum',
    'sweep',
]
