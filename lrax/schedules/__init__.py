"""Open-loop schedules: the rate as a function of the step, one formula a file."""

from lrax.schedules._algebra import by_progress
from lrax.schedules._algebra import join
from lrax.schedules._algebra import maximum
from lrax.schedules._algebra import minimum
from lrax.schedules._constant import constant
from lrax.schedules._cosine_annealing import cosine_annealing
from lrax.schedules._cyclical import cyclical
from lrax.schedules._exponential_decay import exponential_decay
from lrax.schedules._flat_cosine import flat_cosine
from lrax.schedules._from_function import as_schedule
from lrax.schedules._from_function import from_function
from lrax.schedules._half_cosine import half_cosine
from lrax.schedules._infinite import infinite
from lrax.schedules._inverse_sqrt import inverse_sqrt
from lrax.schedules._inverse_time_decay import inverse_time_decay
from lrax.schedules._k_decay import k_decay
from lrax.schedules._lengths import steps_for
from lrax.schedules._lengths import untuned_warmup_steps
from lrax.schedules._linear import linear
from lrax.schedules._multistep_decay import multistep_decay
from lrax.schedules._natural_exponential_decay import natural_exponential_decay
from lrax.schedules._noam import noam
from lrax.schedules._one_cycle import one_cycle
from lrax.schedules._parse import parse
from lrax.schedules._piecewise_constant import piecewise_constant
from lrax.schedules._piecewise_interpolate import piecewise_interpolate
from lrax.schedules._polynomial_decay import polynomial_decay
from lrax.schedules._power_decay import power_decay
from lrax.schedules._range_ramp import range_ramp
from lrax.schedules._repeated_decay import repeated_decay
from lrax.schedules._rex import rex
from lrax.schedules._schedule import schedule
from lrax.schedules._slanted_triangular import slanted_triangular
from lrax.schedules._step_decay import step_decay
from lrax.schedules._swa_tail import swa_tail
from lrax.schedules._tanh_decay import tanh_decay
from lrax.schedules._warm_restarts import warm_restarts
from lrax.schedules._warmup_constant import warmup_constant
from lrax.schedules._warmup_cosine import warmup_cosine
from lrax.schedules._warmup_exponential import warmup_exponential
from lrax.schedules._warmup_linear import warmup_linear
from lrax.schedules._warmup_polynomial import warmup_polynomial
from lrax.schedules._warmup_stable_decay import warmup_stable_decay

__all__ = [
    'as_schedule',
    'by_progress',
    'constant',
    'cosine_annealing',
    'cyclical',
    'exponential_decay',
    'flat_cosine',
    'from_function',
    'half_cosine',
    'infinite',
    'inverse_sqrt',
    'inverse_time_decay',
    'join',
    'k_decay',
    'linear',
    'maximum',
    'minimum',
    'multistep_decay',
    'natural_exponential_decay',
    'noam',
    'one_cycle',
    'parse',
    'piecewise_constant',
    'piecewise_interpolate',
    'polynomial_decay',
    'power_decay',
    'range_ramp',
    'repeated_decay',
    'rex',
    'schedule',
    'slanted_triangular',
    'step_decay',
    'steps_for',
    'swa_tail',
    'tanh_decay',
    'untuned_warmup_steps',
    'warm_restarts',
    'warmup_constant',
    'warmup_cosine',
    'warmup_exponential',
    'warmup_linear',
    'warmup_polynomial',
    'warmup_stable_decay',
]
