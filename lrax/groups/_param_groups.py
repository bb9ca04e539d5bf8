"""Rates by path: the first pattern that matches gives a leaf its group."""

from __future__ import annotations

from collections.abc import Sequence
import functools
from typing import Any

import optax

from lrax.groups import _assign
from lrax.groups import _paths
from lrax.groups import _rates
from lrax.groups import _transform


def param_groups(
    rules: Sequence[tuple[str, Any]], base: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
  """Gives parameters their rates by their paths, with one optimizer for all.

  The path of a leaf joins its keys, attributes and indices by `/`, as
  `encoder/layers/0/kernel`, in any tree: dicts, Flax, Haiku, Equinox. A pattern is
  a regular expression that must match the whole path, or the whole path of a
  subtree that the leaf lies in: `'encoder'` takes all of the encoder, and
  `'.*/bias'` every leaf called bias but one at the root. The first pattern that
  matches wins. Its text is the name of the group.

  Formula:
    update = factor * base_update                  a factor
    update = own_rate / base_rate * base_update    a schedule of its own
    update = 0                                     frozen

  The base runs once, on all leaves that are not frozen: one schedule, one set of
  moments, one count; a global norm that it clips by is taken over those leaves. All
  of its update is scaled, decoupled weight decay too. With a factor of 1 the update
  is the base's, bit for bit. Where the base's rate is 0 and a group's is not, the
  base is run at a rate of 1 instead: for the groups whose rate is 0 then, a decay
  that no rate scales (`decay_coupling='none'`) pauses.

  Frozen leaves keep no state and get updates of exactly zero, whatever their
  gradient and weight decay. A factor of 0 keeps moments, and a NaN stays one.

  `lrax.get_learning_rate` gives `{group: rate}`; frozen groups have none. All
  functions of `lrax.state` take `group=`. Groups that follow the shared schedule
  have a clock each, and a memory each where it is closed loop, which are equal as
  long as nobody moves one. Once one was moved alone, a closed loop is computed for
  all groups by another run of the base, whose updates are dropped.

  A base that says where parameters are to be, instead of a step from where they are,
  takes the factor 1 and frozen groups only: schedule-free methods, `mechanic`,
  `dadapt_sgd`, `dadapt_adagrad`, `cocob`.

  Args:
    rules: pairs of a pattern and a rate: a factor >= 0 of the shared rate (traced
      too), a `lrax.Schedule` or any function of the step for a rate of its own,
      `lrax.groups.unfrozen_at(step)`, or `lrax.groups.frozen`.
    base: the optimizer, with one learning rate of lrax, such as
      `lrax.adamw(1e-3)`. Accumulate gradients outside:
      `optax.MultiSteps(param_groups(...), k)`.

  Returns:
    An `optax.GradientTransformationExtraArgs` with a `ParamGroupsState`. Updates
    keep their dtype.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: a rate is negative or not finite; in `init`, a pattern takes no
      leaf, a leaf has no pattern, or the base has no rate, or several, or places the
      parameters of groups that have rates of their own.

  Source:
    lrax's own. `optax.partition` builds an optimizer for each label instead, with
    a schedule and a count each; PyTorch's param groups share neither code nor
    clock. For elementwise optimizers the results agree up to rounding.

  Example:
    >>> import jax.numpy as jnp
    >>> import lrax
    >>> from lrax.groups import frozen, param_groups
    >>> params = {'embed': jnp.ones(2), 'body': jnp.ones(2), 'head': jnp.ones(2)}
    >>> rules = [('head', 1.0), ('body', 0.5), ('embed', frozen)]
    >>> tx = param_groups(rules, lrax.sgd(0.5))
    >>> updates, state = tx.update(params, tx.init(params), params)
    >>> {name: float(update[0]) for name, update in updates.items()}
    {'body': -0.25, 'embed': 0.0, 'head': -0.5}
    >>> {name: float(x) for name, x in lrax.get_learning_rate(state).items()}
    {'body': 0.25, 'head': 0.5}
  """
  return build('param_groups', rules, base)


def build(
    owner: str, rules: Sequence[tuple[str, Any]], base: Any, name: str = 'rules'
) -> optax.GradientTransformationExtraArgs:
  """`param_groups` under the name of who asks, and of the argument."""
  rates = {}
  patterns = []
  for index, (pattern, rate) in enumerate(_assign.pairs(owner, 'rules', rules)):
    patterns.append(_paths.pattern(owner, f'rules[{index}][0]', pattern))
    rates[pattern] = _rates.as_rate(owner, f'rules[{index}][1]', rate)
  assign = functools.partial(_assign.names, owner, name, tuple(patterns))
  return _transform.grouped(
      owner, lambda paths: _assign.Groups(assign(paths), rates), base
  )
