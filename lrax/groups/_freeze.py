"""Leaves that are not trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optax

from lrax import _checks
from lrax.groups import _param_groups
from lrax.groups import _paths
from lrax.groups import _rates


def freeze(
    patterns: str | Sequence[str], base: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
  """Trains all leaves but those whose paths match.

  Frozen leaves keep no state, are left out of global norms, and get updates of
  exactly zero: no weight decay either, and no NaN of their gradients.

  Formula:
    update = 0 where a pattern matches, else base_update

  Args:
    patterns: a pattern of paths, or a list of them; see `param_groups`.
    base: the optimizer, with one learning rate of lrax.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ParamGroupsState`. Updates
    keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: a pattern is no regular expression; in `init`, a pattern takes no
      leaf, or all are frozen.

  Source:
    lrax's own; as `optax.partition` with `optax.set_to_zero` and one other label.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> params = {'body': jnp.ones(()), 'head': jnp.ones(())}
    >>> tx = lrax.groups.freeze('body', lrax.sgd(0.5))
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> {name: float(update) for name, update in updates.items()}
    {'body': 0.0, 'head': -0.5}
  """
  if isinstance(patterns, str):
    patterns = [patterns]
  if not isinstance(patterns, Sequence):
    raise _checks.refuse(
        'freeze', 'patterns', 'a pattern or a list of them', patterns,
        "for example ['embed', '.*/bias']", TypeError,
    )
  rules: list[tuple[str, Any]] = []
  for index, pattern in enumerate(patterns):
    pattern = _paths.pattern('freeze', f'patterns[{index}]', pattern)
    rules.append((pattern, _rates.frozen))
  return _param_groups.build('freeze', [*rules, ('.*', 1.0)], base, 'patterns')
