"""Choosing a learning rate: the recommendation, sweeps, searches and rules."""

from lrax._advice import Advice
from lrax.tune._cautions import Caution
from lrax.tune._find import find
from lrax.tune._find import Found
from lrax.tune._find_runs import Progress
from lrax.tune._heuristics import below_divergence
from lrax.tune._heuristics import cyclical_bounds
from lrax.tune._heuristics import default_rate
from lrax.tune._heuristics import rate_ladder
from lrax.tune._hypergradient import Hypergradient
from lrax.tune._hypergradient import hypergradient
from lrax.tune._judged import Judged
from lrax.tune._learned_schedule import learned_schedule
from lrax.tune._learned_schedule import LearnedSchedule
from lrax.tune._meta_descent import MetaStep
from lrax.tune._objective import Row
from lrax.tune._objective import Trial
from lrax.tune._range_test import range_test
from lrax.tune._range_test import RangeTest
from lrax.tune._search import search
from lrax.tune._search import Searched
from lrax.tune._space import choice
from lrax.tune._space import integer
from lrax.tune._space import log_uniform
from lrax.tune._space import uniform
from lrax.tune._study import Study
from lrax.tune._sweep import Sweep
from lrax.tune._sweep import sweep

__all__ = [
    'Advice',
    'Caution',
    'Found',
    'Hypergradient',
    'Judged',
    'LearnedSchedule',
    'MetaStep',
    'Progress',
    'RangeTest',
    'Row',
    'Searched',
    'Study',
    'Sweep',
    'Trial',
    'below_divergence',
    'choice',
    'cyclical_bounds',
    'default_rate',
    'find',
    'hypergradient',
    'integer',
    'learned_schedule',
    'log_uniform',
    'range_test',
    'rate_ladder',
    'search',
    'sweep',
    'uniform',
]
