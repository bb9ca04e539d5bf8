"""Search methods that ask for points and are told their scores, by name."""

from lrax.tune._methods import _bayesian
from lrax.tune._methods import _grid
from lrax.tune._methods import _random
from lrax.tune._methods import _sobol
from lrax.tune._methods import _zoom
from lrax.tune._methods._searcher import Searcher

__all__ = ['METHODS', 'Searcher']

METHODS: dict[str, type[Searcher]] = {
    'bayesian': _bayesian.Bayesian,
    'grid': _grid.Grid,
    'random': _random.Random,
    'sobol': _sobol.Sobol,
    'zoom': _zoom.Zoom,
}
