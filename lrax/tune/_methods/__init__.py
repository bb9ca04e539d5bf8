"""Search methods by ask and tell."""

from lrax.tune._methods._bayesian import Bayesian
from lrax.tune._methods._grid import Grid
from lrax.tune._methods._random import Random
from lrax.tune._methods._searcher import Searcher
from lrax.tune._methods._sobol import Sobol
from lrax.tune._methods._zoom import Zoom

__all__ = ['Bayesian', 'Grid', 'METHODS', 'Random', 'Searcher', 'Sobol', 'Zoom']

METHODS = {
    'bayesian': Bayesian,
    'grid': Grid,
    'random': Random,
    'sobol': Sobol,
    'zoom': Zoom,
}
