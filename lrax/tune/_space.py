"""What may be searched: names, and for each a range or a choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrax import _checks
from lrax.tune import _dimension

Space = dict[str, _dimension.Dimension]


def log_uniform(
    low: float, high: float, within: tuple[float, float] | None = None
) -> _dimension.LogUniform:
  """Positive numbers that are searched by their logarithm, as rates are.

  Args:
    low: the smallest value, > 0.
    high: the largest value, > low.
    within: hard bounds (least, most) around the range. Where the best value
      lies on the edge, 'zoom' and 'bayesian' widen the range up to them. None
      for a factor of 10 on either side; (low, high) not to widen.

  Returns:
    A dimension of a search space.

  Raises:
    TypeError: an argument is no number, or `within` no pair.
    ValueError: the range is empty or not above 0, or `within` is not around it.

  Source:
    Bengio, "Practical Recommendations for Gradient-Based Training of Deep
    Architectures", 2012, section 3.3: search rates on a log scale, and check
    that the best is not on the border.

  Example:
    >>> import lrax
    >>> rates = lrax.tune.log_uniform(1e-4, 1.0)
    >>> rates.from_unit(0.5)
    0.01
    >>> rates.bounds
    (1e-05, 10.0)
  """
  return _dimension.LogUniform(low, high, within)


def uniform(
    low: float, high: float, within: tuple[float, float] | None = None
) -> _dimension.Uniform:
  """Numbers that are searched evenly, as shares are.

  Args:
    low: the smallest value.
    high: the largest value, > low.
    within: hard bounds (least, most) around the range. Where the best value
      lies on the edge, 'zoom' and 'bayesian' widen the range up to them. None
      not to widen.

  Returns:
    A dimension of a search space.

  Raises:
    TypeError: an argument is no number, or `within` no pair.
    ValueError: the range is empty, or `within` is not around it.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> lrax.tune.uniform(0.0, 0.5).from_unit(0.2)
    0.1
  """
  return _dimension.Uniform(low, high, within)


def integer(low: int, high: int, log: bool = False) -> _dimension.Integer:
  """Whole numbers from `low` to `high`, both of them included.

  Args:
    low: the smallest value; >= 1 with `log`.
    high: the largest value, > low.
    log: whether to search by the logarithm.

  Returns:
    A dimension of a search space. It is never widened.

  Raises:
    TypeError: an argument is no whole number, or `log` no bool.
    ValueError: the range is empty, or below 1 with `log`.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> layers = lrax.tune.integer(1, 4)
    >>> [layers.from_unit(u) for u in (0.0, 0.3, 0.6, 1.0)]
    [1, 2, 3, 4]
  """
  return _dimension.Integer(low, high, log)


def choice(*options: Any) -> _dimension.Choice:
  """One of a few options that have no order.

  Args:
    *options: strings, numbers, bools or None, each once.

  Returns:
    A dimension of a search space.

  Raises:
    TypeError: an option is something else; name it by a string.
    ValueError: there is none, one is not finite, or two are equal.

  Source:
    lrax's own.

  Example:
    >>> import lrax
    >>> lrax.tune.choice('constant', 'cosine').to_dict()
    {'kind': 'choice', 'options': ['constant', 'cosine']}
  """
  return _dimension.Choice(options)


def as_space(space: Any, owner: str) -> Space:
  """The space as a dict of its own, checked.

  Args:
    space: a mapping from names to dimensions.
    owner: who asks, for the message.

  Raises:
    TypeError: it is no mapping, a name no string, or a value no dimension.
    ValueError: it is empty.
  """
  if not isinstance(space, Mapping):
    raise _checks.refuse(
        owner, 'space', 'a dict of names and ranges', space,
        "for example {'learning_rate': log_uniform(1e-6, 1.0)}", TypeError,
    )
  if not space:
    raise _checks.refuse(
        owner, 'space', 'of at least one hyperparameter', space,
        "for example {'learning_rate': log_uniform(1e-6, 1.0)}",
    )
  for name, dimension in space.items():
    if not isinstance(name, str):
      raise _checks.refuse(
          owner, 'space', 'named by strings', name,
          "for example 'learning_rate'", TypeError,
      )
    if not isinstance(dimension, _dimension.Dimension):
      raise _checks.refuse(
          owner, f'space[{name!r}]', 'a range or a choice of lrax.tune', dimension,
          'use log_uniform(low, high), uniform, integer or choice', TypeError,
      )
  return dict(space)


def to_dict(space: Space) -> dict[str, Any]:
  """The space as plain values, for JSON."""
  return {name: dimension.to_dict() for name, dimension in space.items()}


def from_dict(plain: Mapping[str, Any]) -> Space:
  """The space that `to_dict` wrote."""
  kinds = {'log_uniform': log_uniform, 'uniform': uniform, 'integer': integer}

  def dimension(kind: str, **arguments: Any) -> _dimension.Dimension:
    if kind == 'choice':
      return choice(*arguments['options'])
    return kinds[kind](**arguments)

  return as_space({n: dimension(**p) for n, p in plain.items()}, 'from_dict')
