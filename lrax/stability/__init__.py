"""How high may the rate go: curvature, limits, noise and theory."""

from lrax.stability._compare_schedules import BoundComparison
from lrax.stability._compare_schedules import BoundRow
from lrax.stability._compare_schedules import compare_schedules
from lrax.stability._last_iterate_bound import last_iterate_bound
from lrax.stability._last_iterate_bound import LastIterateBound
from lrax.stability._limits import stability_limit

__all__ = [
    'BoundComparison',
    'BoundRow',
    'LastIterateBound',
    'compare_schedules',
    'last_iterate_bound',
    'stability_limit',
]
