"""Muon's direction: the momentum of a matrix, made orthogonal."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.transforms import _leafwise
from lrax.transforms._in_full import in_full
from lrax.transforms._scale_by_adam import scale_by_adam
from lrax.transforms._scheduled import scheduled

NS_COEFFS = (3.4445, -4.7750, 2.0315)
_layout = _checks.choice('in_out', 'out_in')
_scaling = _checks.choice('original', 'match_rms', 'none')


def scale_by_muon(
    ns_coeffs: Any = NS_COEFFS,
    ns_steps: int = 5,
    beta: Numeric = 0.95,
    eps: Numeric = 1e-7,
    mu_dtype: Any = None,
    nesterov: bool = True,
    *,
    ns_dtype: Any = None,
    shape_scaling: str = 'original',
    layout: str = 'in_out',
    matrices: Any = None,
) -> optax.GradientTransformationExtraArgs:
  """Replaces the momentum of a matrix by the orthogonal matrix next to it.

  Formula:
    mu = beta * mu + (1 - beta) * g
    m = mu, or beta * mu + (1 - beta) * g with `nesterov`
    x = m / max(norm(m), eps), then `ns_steps` times
      x = a * x + b * (x x') x + c * (x x') (x x') x, with (a, b, c) = ns_coeffs
    update = x * sqrt(max(1, outputs / inputs)) where shape_scaling is 'original',
      x * 0.2 * sqrt(max(outputs, inputs)) where it is 'match_rms'

    for leaves that are matrices, and Adam's direction with b1 = 0.9, b2 = 0.95 for
    all others. beta and eps may be schedules: see `ScheduledState`.

  Args:
    ns_coeffs: three numbers, or a list of threes, one for each step; the last one
      is used again where there are more steps.
    ns_steps: steps of the Newton-Schulz iteration, >= 0.
    beta: share of the momentum that is kept, in [0, 1).
    eps: the least that the norm counts as, >= 0.
    mu_dtype: dtype of the momentum; None for the parameter's.
    nesterov: whether to look one step ahead.
    ns_dtype: dtype of the iteration; None for the gradient's, float32 at least.
      jnp.bfloat16 is the author's, and quicker on accelerators.
    shape_scaling: 'original', 'match_rms' (an update as large as Adam's, so that a
      rate of AdamW serves) or 'none'.
    layout: 'in_out' where the last axis is the output, as in Flax and Haiku;
      'out_in' where it is the one before, as in Equinox and PyTorch.
    matrices: a tree of bools like the parameters, or a function of such a tree (of
      paths and shapes only) that gives one: which leaves are matrices. A leaf of
      more axes is a stack of them in its last two. None for leaves of two axes
      with no 'embed' in their path; a matrix of output logits should be left out
      too, and its name does not tell it.

  Returns:
    An `optax.GradientTransformationExtraArgs` with an `optax.PartitionState` of
    groups 'muon' (an `optax.TraceState`) and 'others' (an
    `optax.ScaleByAdamState`). Updates keep their dtype; those of 0 are 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or a matrix has fewer axes than two.

  Source:
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024;
    'match_rms': Liu et al., "Muon is Scalable for LLM Training", 2025, equation 4.
    The same as the author's code, but for its norm(m) + eps, and as PyTorch. Optax
    corrects the momentum for its start at 0, which the iteration undoes except
    under `nesterov`.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> tx = lrax.transforms.scale_by_muon()
    >>> params = {'kernel': jnp.eye(3) * 1e-3, 'bias': jnp.full(3, -2.0)}
    >>> updates, _ = tx.update(params, tx.init(params))
    >>> bool((updates['kernel'][0, 1:] == 0).all())
    True
    >>> [round(float(u), 4) for u in updates['bias']]
    [-1.0, -1.0, -1.0]
  """
  owner = 'scale_by_muon'
  muon = orthogonal(
      owner, ns_coeffs, ns_steps, beta, eps, mu_dtype, nesterov, ns_dtype,
      shape_scaling, layout,
  )
  return optax.partition(
      {'muon': muon, 'others': scale_by_adam(b2=0.95)}, labels(owner, matrices)
  )


def labels(owner: str, matrices: Any) -> Any:
  """A function of a tree that says 'muon' for its matrices, else 'others'."""
  is_bool = lambda x: isinstance(x, (bool, np.bool_))
  is_tree = all(map(is_bool, jax.tree.leaves(matrices)))
  if not (matrices is None or callable(matrices) or is_tree):
    raise _checks.refuse(
        owner, 'matrices', 'None, a tree of bools, or a function of the parameters',
        matrices, 'True where a leaf is a matrix', TypeError,
    )

  def default(path, leaf):
    name = jax.tree_util.keystr(path).lower()
    return np.ndim(leaf) == 2 and 'embed' not in name

  def label(tree):
    if matrices is None:
      chosen = jax.tree_util.tree_map_with_path(default, tree)
    else:
      chosen = matrices(tree) if callable(matrices) else matrices
    return jax.tree.map(lambda is_matrix: 'muon' if is_matrix else 'others', chosen)

  return label


@scheduled('beta', 'eps')
def orthogonal(
    owner: str,
    ns_coeffs: Any,
    ns_steps: Any,
    beta: Any,
    eps: Any,
    mu_dtype: Any,
    nesterov: Any,
    ns_dtype: Any,
    shape_scaling: Any,
    layout: Any,
) -> optax.GradientTransformationExtraArgs:
  """`scale_by_muon` of a tree of matrices only."""
  beta = _checks.decay(owner, 'beta', beta)
  eps = _checks.non_negative(owner, 'eps', eps)
  nesterov = _checks.flag(owner, 'nesterov', nesterov)
  mu_dtype = _checks.dtype(owner, 'mu_dtype', mu_dtype)
  ns_dtype = _checks.dtype(owner, 'ns_dtype', ns_dtype)
  layout = _layout(owner, 'layout', layout)
  shape_scaling = _scaling(owner, 'shape_scaling', shape_scaling)
  triples = _triples(owner, ns_coeffs, _checks.steps(owner, 'ns_steps', ns_steps))

  def init(params):
    for leaf in jax.tree.leaves(params):
      if np.ndim(leaf) < 2:
        raise _checks.refuse(
            owner, 'matrices', 'False for leaves of fewer axes than two',
            f'True for one of shape {np.shape(leaf)}', 'Adam takes those',
        )
    return optax.TraceState(_leafwise.zeros(params, mu_dtype))

  def factor(shape):
    rows, columns = shape[-2:]
    inputs, outputs = (rows, columns) if layout == 'in_out' else (columns, rows)
    if shape_scaling == 'none' or not inputs or not outputs:
      return 1.0
    if shape_scaling == 'match_rms':
      return 0.2 * max(inputs, outputs) ** 0.5
    return max(1.0, outputs / inputs) ** 0.5

  def update(updates, state, params=None, **extra_args):
    del params, extra_args

    def leaf(g, trace):
      wide = _leafwise.wide_dtype(g)
      gradient = g.astype(wide)
      average = lambda kept: (beta * kept + (1 - beta) * gradient).astype(wide)
      momentum = average(trace.astype(wide))
      ahead = average(momentum) if nesterov else momentum
      step = newton_schulz(ahead, triples, eps, ns_dtype) * factor(g.shape)
      return step.astype(g.dtype), momentum.astype(trace.dtype)

    steps, trace = _leafwise.leafwise(leaf, 2, updates, state.trace)
    return steps, optax.TraceState(trace)

  return in_full(optax.GradientTransformationExtraArgs(init, update))


def newton_schulz(
    x: jax.Array, triples: list[tuple[Any, ...]], eps: Any, dtype: Any
) -> jax.Array:
  """The matrix with the singular vectors of `x` and singular values near 1."""
  wide, adjoint = x.dtype, lambda x: jnp.conj(jnp.swapaxes(x, -1, -2))
  square = jnp.sum(_leafwise.square(x), axis=(-1, -2), keepdims=True)
  least = jnp.asarray(eps, square.dtype)
  x = _leafwise.safe_divide(x, jnp.maximum(jnp.sqrt(square), least))
  if dtype is not None:
    is_complex = jnp.iscomplexobj(x)
    x = x.astype(jnp.promote_types(dtype, jnp.complex64) if is_complex else dtype)
  # The smaller of the two Gram matrices.
  is_tall = x.shape[-2] > x.shape[-1]
  x = adjoint(x) if is_tall else x
  for a, b, c in triples:
    gram = x @ adjoint(x)
    x = a * x + (b * gram + c * (gram @ gram)) @ x
  return (adjoint(x) if is_tall else x).astype(wide)


def _triples(owner: str, ns_coeffs: Any, steps: Any) -> list[tuple[Any, ...]]:
  """The three coefficients of each step."""
  try:
    table: Any = np.asarray(ns_coeffs, np.float64)
  except (TypeError, ValueError):
    table = np.zeros(0)
  table = table[None] if table.ndim == 1 else table
  if table.ndim != 2 or table.shape[1] != 3 or not len(table):
    raise _checks.refuse(
        owner, 'ns_coeffs', 'three numbers, or a list of threes', ns_coeffs,
        'for example (3.4445, -4.7750, 2.0315)',
    )
  rows = [tuple(float(x) for x in row) for row in table]
  return [rows[min(step, len(rows) - 1)] for step in range(steps)]
