"""A figure for each result; matplotlib is imported when one is drawn."""

from lrax.plot._find import find
from lrax.plot._range_test import range_test
from lrax.plot._schedule import schedule

__all__ = ['find', 'range_test', 'schedule']
