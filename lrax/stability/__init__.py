"""How high may the rate go: curvature, limits, noise and theory."""

from lrax.stability._compare_schedules import BoundComparison
from lrax.stability._compare_schedules import BoundRow
from lrax.stability._compare_schedules import compare_schedules
from lrax.stability._critical import critical_learning_rate
from lrax.stability._critical import CriticalLearningRate
from lrax.stability._critical_batch import advise_batch_size
from lrax.stability._density import Density
from lrax.stability._density import spectral_density
from lrax.stability._follow_sharpness import follow_sharpness
from lrax.stability._follow_sharpness import SharpnessCurve
from lrax.stability._gradient_noise import gradient_noise
from lrax.stability._gradient_noise import GradientNoise
from lrax.stability._gradient_noise import noise_state
from lrax.stability._gradient_noise import NoiseState
from lrax.stability._gradient_noise import squared_norms
from lrax.stability._gradient_noise import SquaredNorms
from lrax.stability._gradient_noise import update_noise
from lrax.stability._lanczos import Eigenvalues
from lrax.stability._lanczos import lanczos
from lrax.stability._last_iterate_bound import last_iterate_bound
from lrax.stability._last_iterate_bound import LastIterateBound
from lrax.stability._limits import stability_limit
from lrax.stability._max_stable import Limit
from lrax.stability._max_stable import max_stable_learning_rate
from lrax.stability._noise_scale import noise_scale
from lrax.stability._noise_scale import NoiseScale
from lrax.stability._power_iteration import power_iteration
from lrax.stability._product import gauss_newton_product
from lrax.stability._product import hessian_product
from lrax.stability._refined_rates import refined_rates
from lrax.stability._refined_schedule import refined_schedule
from lrax.stability._task_product import StreamedProduct
from lrax.stability._task_product import task_product
from lrax.stability._trace import hutchinson_trace
from lrax.stability._trace import Trace

__all__ = [
    'BoundComparison',
    'BoundRow',
    'CriticalLearningRate',
    'Density',
    'Eigenvalues',
    'GradientNoise',
    'LastIterateBound',
    'Limit',
    'NoiseScale',
    'NoiseState',
    'SharpnessCurve',
    'SquaredNorms',
    'StreamedProduct',
    'Trace',
    'advise_batch_size',
    'compare_schedules',
    'critical_learning_rate',
    'follow_sharpness',
    'gauss_newton_product',
    'gradient_noise',
    'hessian_product',
    'hutchinson_trace',
    'lanczos',
    'last_iterate_bound',
    'max_stable_learning_rate',
    'noise_scale',
    'noise_state',
    'power_iteration',
    'refined_rates',
    'refined_schedule',
    'spectral_density',
    'squared_norms',
    'stability_limit',
    'task_product',
    'update_noise',
]
