"""Muon: orthogonal steps for matrices, Adam's for all else."""

from __future__ import annotations

from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.optimizers import _weight_decay
from lrax.schedules import as_schedule
from lrax.transforms import _scale_by_muon
from lrax.transforms import scale_by_adam
from lrax.transforms._in_full import in_full


def muon(
    learning_rate: Any,
    ns_coeffs: Any = _scale_by_muon.NS_COEFFS,
    ns_steps: int = 5,
    beta: Numeric = 0.95,
    eps: Numeric = 1e-7,
    weight_decay: Numeric = 0.0,
    weight_decay_mask: Any = None,
    mu_dtype: Any = None,
    nesterov: bool = True,
    *,
    ns_dtype: Any = None,
    shape_scaling: str = 'original',
    layout: str = 'in_out',
    matrices: Any = None,
    others: optax.GradientTransformation | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Muon: each matrix moves by an orthogonal one; all else is left to AdamW.

  Formula:
    parameter -= learning_rate * (muon + weight_decay * parameter)

    with muon the direction of `lrax.transforms.scale_by_muon`, which for leaves
    that are no matrices is Adam's with b1 = 0.9 and b2 = 0.95. The numbers may be
    schedules: see `lrax.transforms.ScheduledState`.

  Args:
    learning_rate: the rate: a number >= 0, a scalar array (traced too), a
      `lrax.Schedule`, or any function of the step such as an optax schedule. The
      author's is 0.02 for matrices.
    ns_coeffs: three numbers, or a list of threes, one for each step of the
      Newton-Schulz iteration.
    ns_steps: steps of that iteration, >= 0.
    beta: share of the momentum that is kept, in [0, 1).
    eps: the least that the norm of the momentum counts as, >= 0.
    weight_decay: the coefficient of the decay, >= 0.
    weight_decay_mask: a tree of bools like the parameters, or a function of them
      that gives one: where to decay. None for everywhere.
    mu_dtype: dtype of the momentum; None for the parameter's.
    nesterov: whether to look one step ahead.
    ns_dtype: dtype of the iteration; None for the gradient's, float32 at least.
    shape_scaling: 'original', 'match_rms' (an update as large as Adam's, so that
      one rate serves both kinds of leaves) or 'none'.
    layout: 'in_out' where the last axis of a matrix is the output, as in Flax and
      Haiku; 'out_in' where it is the one before, as in Equinox and PyTorch.
    matrices: a tree of bools like the parameters, or a function of such a tree (of
      paths and shapes only) that gives one: which leaves are matrices. None for
      leaves of two axes with no 'embed' in their path.
    others: an optimizer with a rate of its own for all leaves that are no matrices,
      such as `lrax.adamw(3e-4, b2=0.95)`; it decays them itself. None for Adam's
      direction at the same rate, decayed as the matrices are.

  Returns:
    An `optax.GradientTransformationExtraArgs`; its update needs `params`. Its state
    ends with a `lrax.LearningRateState`, or holds those of the groups 'muon' and
    'others' where these have rates of their own; updates keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range, or a matrix has fewer axes than two.

  Source:
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024;
    'match_rms' and the decay: Liu et al., "Muon is Scalable for LLM Training",
    2025. Optax's is `optax.contrib.muon`, which corrects the momentum for its start
    at 0 and takes every leaf of two axes for a matrix, embeddings too; PyTorch's,
    as the author's, takes the matrices that it is given.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'kernel': jnp.ones((3, 2)), 'bias': jnp.ones(2)}
    >>> tx = lrax.muon(0.02, others=lrax.adamw(3e-4))
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> {k: round(float(v), 6) for k, v in lrax.get_learning_rate(state).items()}
    {'muon': 0.02, 'others': 0.0003}
  """
  owner = 'muon'
  direction = _scale_by_muon.orthogonal(
      owner, ns_coeffs, ns_steps, beta, eps, mu_dtype, nesterov, ns_dtype,
      shape_scaling, layout,
  )
  label = _scale_by_muon.labels(owner, matrices)
  decay = _weight_decay.add_decayed_weights(owner, weight_decay, weight_decay_mask)
  policy = as_schedule(learning_rate, owner)
  if others is None:
    adam = scale_by_adam(b2=0.95)
    split = optax.partition({'muon': direction, 'others': adam}, label)
    return in_full(optax.chain(split, decay, policy))
  if not isinstance(others, optax.GradientTransformation):
    raise _checks.refuse(
        owner, 'others', 'an optimizer or None', others,
        'for example lrax.adamw(3e-4, b2=0.95)', TypeError,
    )
  matrix = in_full(optax.chain(direction, decay, policy))
  return optax.partition({'muon': matrix, 'others': others}, label)
