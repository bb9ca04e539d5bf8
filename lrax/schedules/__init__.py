"""Open-loop schedules: the rate as a function of the step, one formula a file."""

from lrax.schedules._algebra import join
from lrax.schedules._constant import constant
from lrax.schedules._cosine_annealing import cosine_annealing
from lrax.schedules._cyclical import cyclical
from lrax.schedules._exponential_decay import exponential_decay
from lrax.schedules._from_function import as_schedule
from lrax.schedules._from_function import from_function
from lrax.schedules._linear import linear
from lrax.schedules._polynomial_decay import polynomial_decay
from lrax.schedules._schedule import schedule
from lrax.schedules._step_decay import step_decay
from lrax.schedules._warm_restarts import warm_restarts

__all__ = [
    'as_schedule',
    'constant',
    'cosine_annealing',
    'cyclical',
    'exponential_decay',
    'from_function',
    'join',
    'linear',
    'polynomial_decay',
    'schedule',
    'step_decay',
    'warm_restarts',
]
