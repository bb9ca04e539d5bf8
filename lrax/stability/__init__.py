"""How high may the rate go: curvature, limits, noise and theory."""

__all__: list[str] = []
