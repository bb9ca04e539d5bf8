"""How high may the rate go: curvature, limits, noise and theory."""

from lrax.stability._compare_schedules import BoundComparison
from lrax.stability._compare_schedules import BoundRow
from lrax.stability._compare_schedules import compare_schedules
from lrax.stability._critical import critical_learning_rate
from lrax.stability._critical import CriticalLearningRate
from lrax.stability._lanczos import Eigenvalues
from lrax.stability._lanczos import lanczos
from lrax.stability._last_iterate_bound import last_iterate_bound
from lrax.stability._last_iterate_bound import LastIterateBound
from lrax.stability._limits import stability_limit
from lrax.stability._product import gauss_newton_product
from lrax.stability._product import hessian_product
from lrax.stability._refined_rates import refined_rates
from lrax.stability._refined_schedule import refined_schedule
from lrax.stability._task_product import StreamedProduct
from lrax.stability._task_product import task_product

__all__ = [
    'BoundComparison',
    'BoundRow',
    'CriticalLearningRate',
    'Eigenvalues',
    'LastIterateBound',
    'StreamedProduct',
    'compare_schedules',
    'critical_learning_rate',
    'gauss_newton_product',
    'hessian_product',
    'lanczos',
    'last_iterate_bound',
    'refined_rates',
    'refined_schedule',
    'stability_limit',
    'task_product',
]
