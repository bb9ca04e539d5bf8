"""How high may the rate go: curvature, limits, noise and theory."""

from lrax.stability._limits import stability_limit

__all__ = [
    'stability_limit',
]
