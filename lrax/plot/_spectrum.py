"""The figure of a Hessian's spectrum: where the curvatures lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrax import _checks
from lrax import stability
from lrax.plot import _style

_DECADES = 1e7  # from the highest density down, which the axis shows at most


def spectrum(
    density: stability.Density,
    eigenvalues: stability.Eigenvalues | None = None,
    edge: float | None = None,
    ax: Any = None,
) -> Any:
  """Draws the density of a spectrum, its ends, and the edge of stability.

  The density is on a log axis: most curvatures are near 0, and the few that limit
  the rate are far from the others.

  Args:
    density: what `lrax.stability.spectral_density` returned.
    eigenvalues: what `lrax.stability.lanczos` returned: marks at the bottom, as
      wide as their error bounds. None for none.
    edge: the curvature above which a direction is unstable, 2 / learning_rate for
      gradient descent, a finite number > 0. None for none.
    ax: matplotlib axes to draw on; None for a new figure.

  Returns:
    The matplotlib axes.

  Raises:
    ImportError: matplotlib is not installed; `pip install 'lrax[cli]'`.
    TypeError: an argument is of the wrong kind.
    ValueError: `edge` is out of range.

  Source:
    Ghorbani et al., "An Investigation into Neural Net Optimization via Hessian
    Eigenvalue Density", 2019.

  Example:
    >>> import matplotlib
    >>> matplotlib.use('Agg')
    >>> import jax
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> curvatures = jnp.array([0.0, 0.1, 0.2, 5.0])
    >>> product = lambda v: curvatures * v
    >>> density = lrax.stability.spectral_density(
    ...     product, curvatures, jax.random.key(0))
    >>> lrax.plot.spectrum(density, edge=4.0).get_yscale()
    'log'
  """
  owner = 'plot.spectrum'
  wrong = lambda name, rule, value: _checks.refuse(
      owner, name, rule, type(value).__name__, 'pass what lrax.stability made',
      TypeError,
  )
  if not isinstance(density, stability.Density):
    raise wrong('density', 'a Density', density)
  if not isinstance(eigenvalues, stability.Eigenvalues | None):
    raise wrong('eigenvalues', 'Eigenvalues or None', eigenvalues)
  edge = _checks.optional(_checks.positive)(owner, 'edge', edge)
  ax = _style.axes(ax)
  grid, share = (np.asarray(x, float) for x in density[:2])
  top = share.max() if np.isfinite(share).all() else np.nan
  if not 0 < top < np.inf:
    ax.text(0.5, 0.5, 'the curvature is not finite', ha='center', va='center',
            transform=ax.transAxes)
    ax.set_axis_off()
    return ax
  floor = top / _DECADES
  ax.fill_between(grid, floor, share, color=_style.BLUE, alpha=0.2, linewidth=0)
  ax.plot(grid, np.maximum(share, floor / 10), color=_style.BLUE, linewidth=1.2)
  ax.set_yscale('log')
  ax.set_ylim(floor, 3 * top)
  ends = [grid[0], grid[-1]]
  if eigenvalues is not None:
    ends += _draw_eigenvalues(ax, eigenvalues)
  if edge is not None:
    ax.axvline(
        edge, color=_style.RED, linestyle='--', linewidth=1.2,
        label=f'edge of stability: {edge:.3g}',
    )
    ends.append(edge)
  low, high = min(ends), max(ends)
  ax.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
  ax.set_xlabel('eigenvalue')
  ax.set_ylabel('density')
  ax.grid(color=_style.FAINT, alpha=0.4, linewidth=0.6)
  _style.legend_above(ax, columns=3)
  return ax


def _draw_eigenvalues(ax: Any, eigenvalues: stability.Eigenvalues) -> list[float]:
  """Marks at the bottom; where they are."""
  values = np.atleast_1d(np.asarray(eigenvalues.values, float))
  bounds = np.atleast_1d(np.asarray(eigenvalues.error_bounds, float))
  values, bounds = values[np.isfinite(values)], bounds[np.isfinite(values)]
  if not len(values):
    return []
  ax.errorbar(
      values, np.full(len(values), 0.04), xerr=bounds, fmt='|', markersize=14,
      markeredgewidth=1.6, color=_style.GREEN, capsize=3,
      label=f'extreme eigenvalues, largest {values.max():.3g}',
      transform=ax.get_xaxis_transform(),
  )
  return [*(values - bounds), *(values + bounds)]
