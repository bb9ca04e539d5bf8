"""Closed loop: policies whose rate depends on how the training goes."""

from lrax.control._adascale import adascale
from lrax.control._ali_g import ali_g
from lrax.control._averaged import averaged
from lrax.control._bold_driver import bold_driver
from lrax.control._cdat import cdat
from lrax.control._closed_loop import closed_loop
from lrax.control._critical_warmup import critical_warmup
from lrax.control._early_stop import early_stop
from lrax.control._early_stop import should_stop
from lrax.control._generalized_newton import generalized_newton
from lrax.control._greedy import greedy
from lrax.control._guard import guard
from lrax.control._guard_state import GuardState
from lrax.control._hypergradient import hypergradient
from lrax.control._line_search import line_search
from lrax.control._momo import momo
from lrax.control._newbob import newbob
from lrax.control._polyak import polyak
from lrax.control._reduce_on_plateau import reduce_on_plateau

__all__ = [
    'GuardState',
    'adascale',
    'ali_g',
    'averaged',
    'bold_driver',
    'cdat',
    'closed_loop',
    'critical_warmup',
    'early_stop',
    'generalized_newton',
    'greedy',
    'guard',
    'hypergradient',
    'line_search',
    'momo',
    'newbob',
    'polyak',
    'reduce_on_plateau',
    'should_stop',
]
