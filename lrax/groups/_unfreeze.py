"""Gradual unfreezing: each group is trained from a step on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optax

from lrax import _checks
from lrax._types import Numeric
from lrax.groups import _assign
from lrax.groups import _param_groups
from lrax.groups import _rates


def unfreeze(
    rules: Sequence[tuple[str, Numeric]], base: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
  """Trains each group from a step of its own on.

  What waits is as `unfrozen_at` says: updates of exactly zero, moments that gather
  already. To give groups other rates too, put `unfrozen_at` into `param_groups`.

  Formula:
    update = 0 before the group's step, else base_update

  Args:
    rules: pairs of a pattern of paths, as in `param_groups`, and the first update
      that changes its leaves, a whole number >= 0.
    base: the optimizer, with one learning rate of lrax.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ParamGroupsState`. Updates
    keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: a step is out of range; in `init`, a pattern takes no leaf, or a
      leaf has no pattern.

  Source:
    Howard and Ruder, "Universal Language Model Fine-tuning for Text
    Classification", 2018, section 3.3, from the last layer to the first, one an
    epoch.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'body': jnp.ones(()), 'head': jnp.ones(())}
    >>> tx = lrax.groups.unfreeze([('head', 0), ('body', 1)], lrax.sgd(0.5))
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> float(updates['body']), float(updates['head'])
    (0.0, -0.5)
    >>> updates, state = tx.update(params, state, params)
    >>> float(updates['body']), float(updates['head'])
    (-0.5, -0.5)
  """
  made: list[tuple[Any, Any]] = []
  for index, (pattern, step) in enumerate(_assign.pairs('unfreeze', 'rules', rules)):
    step = _checks.steps('unfreeze', f'rules[{index}][1]', step)
    made.append((pattern, _rates.unfrozen_at(step)))
  return _param_groups.build('unfreeze', made, base)
