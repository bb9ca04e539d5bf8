"""Choosing a learning rate: the range test and the verified recommendation."""

from lrax.tune._find import find
from lrax.tune._find import Found
from lrax.tune._range_test import range_test
from lrax.tune._range_test import RangeTest
from lrax.tune._search import Progress
from lrax.tune._search import Row
from lrax.tune._search import Trial

__all__ = [
    'Found',
    'Progress',
    'RangeTest',
    'Row',
    'Trial',
    'find',
    'range_test',
]
