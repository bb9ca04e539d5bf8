"""Studies: searches that are kept, that many workers share and none can break."""

from lrax.tune._study._study import Study

__all__ = ['Study']
