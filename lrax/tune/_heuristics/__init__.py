"""Rules of thumb for a learning rate, each with its reason and its source."""

from lrax.tune._heuristics._cyclical_bounds import cyclical_bounds
from lrax.tune._heuristics._first_rates import below_divergence
from lrax.tune._heuristics._first_rates import default_rate
from lrax.tune._heuristics._first_rates import rate_ladder

__all__ = [
    'below_divergence',
    'cyclical_bounds',
    'default_rate',
    'rate_ladder',
]
