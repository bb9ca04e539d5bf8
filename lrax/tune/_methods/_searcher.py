"""A search method: it asks for points to try, and is told their scores."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import math
from typing import Any

from lrax import _checks
from lrax.tune import _dimension
from lrax.tune import _space

Point = dict[str, Any]  # a value for every name of the space
Key = tuple[Any, ...]  # the values alone, in the space's order

RATE = 'learning_rate'
_NEAR = 0.01  # of the range: what lies this close to its end lies on it
_FEW = 4096  # points of a whole space that are few enough to list
_TRIES = 100  # draws without a new point before the space is listed


class Searcher:
  """Asks for points and is told their scores; what all methods share.

  What it asks for depends on the space, the budget, the seed, and what it asked
  for and was told before; not on the order in which it was told. No point is
  asked for twice. Points that were not asked for may be told too, such as those
  of an earlier study; they do not count against the budget.

  A method is a subclass with `_next`. Its points come one by one, the last of
  them pending, so a batch of four is the same as four batches of one.

  Args:
    space: what to search, names and dimensions.
    budget: how many points to ask for at most, a whole number >= 1.
    seed: for what is random in the method, a whole number >= 0.

  Raises:
    TypeError: an argument is of the wrong kind.
    ValueError: an argument is out of range.
  """

  def __init__(self, space: Any, budget: int, seed: int = 0):
    self.owner = type(self).__name__.lower()
    self.space = _space.as_space(space, self.owner)
    self.budget = int(_checks.positive_steps(self.owner, 'budget', budget))
    self.seed = int(_checks.steps(self.owner, 'seed', seed))
    self._dimensions = tuple(self.space.values())
    self._asked: dict[Key, None] = {}
    self._scores: dict[Key, float] = {}  # inf where it diverged
    self._known_units: dict[Key, tuple[float, ...]] = {}
    # The range in force, in units of the one that was given.
    self._range = {name: (0.0, 1.0) for name in self.space}

  # --- what a search calls ----------------------------------------------------

  def ask(self, count: int = 1) -> list[Point]:
    """At most `count` new points to try.

    Args:
      count: how many are wanted, a whole number >= 1.

    Returns:
      Points. There are fewer, or none, where the method must first be told the
      scores of points that it asked for, where the budget is spent, or where
      there is no other point. If none is pending, an empty list is the end.
    """
    count = int(_checks.positive_steps(self.owner, 'count', count))
    points = []
    while len(points) < min(count, self.budget) and len(self._asked) < self.budget:
      key = self._next()
      if key is None:
        break
      assert self._is_new(key), key
      self._asked[key] = None
      points.append(dict(zip(self.space, key)))
    return points

  def tell(self, points: Sequence[Mapping[str, Any]], scores: Iterable[float]) -> None:
    """Takes the scores of points; a search minimises.

    Args:
      points: points, asked for or not.
      scores: one number for each; one that is not finite says that it diverged.

    Raises:
      TypeError: a point is no dict, or a score no number.
      ValueError: there is not one score for each point, a point does not belong
        to the space, or it was told before.
    """
    scores = list(map(self._score, scores))
    if len(scores) != len(points):
      raise _checks.refuse(
          self.owner, 'scores', f'one for each of the {len(points)} points',
          f'{len(scores)} of them', 'tell NaN for a point that diverged',
      )
    keys = [self._key(point) for point in points]
    for index, key in enumerate(keys):
      if key in self._scores or key in keys[:index]:
        raise _checks.refuse(
            self.owner, f'points[{index}]', 'told once', points[index],
            'tell the mean where several seeds were tried',
        )
    self._scores |= zip(keys, scores)

  def best(self) -> tuple[Point, float] | None:
    """The point of the lowest score, and the score; None where none is finite.

    Of equal scores that with the smaller learning rate, or where there is none
    the smaller first number, is taken.
    """
    leader = self._leader()
    if leader is None or not math.isfinite(self._scores[leader]):
      return None
    return dict(zip(self.space, leader)), self._scores[leader]

  def edges(self) -> list[str]:
    """The names whose best value may be better still further out.

    On one side of that value nothing was tried, or it lies on the end of the
    range, as far as that was widened. A choice has no edge.
    """
    leader = self._leader()
    if leader is None or not math.isfinite(self._scores[leader]):
      return []
    found = []
    for index, (name, dimension) in enumerate(self.space.items()):
      if isinstance(dimension, _dimension.Choice):
        continue
      tried = [key[index] for key in self._scores]
      if leader[index] in (min(tried), max(tried)) or self._side(name, leader):
        found.append(name)
    return found

  @property
  def widened(self) -> dict[str, tuple[Any, Any]]:
    """The ranges that were widened, as (low, high) in force."""
    return {
        name: tuple(map(self.space[name].from_unit, ends))
        for name, ends in self._range.items()
        if ends != (0.0, 1.0)
    }

  # --- what a method uses -----------------------------------------------------

  def _next(self) -> Key | None:
    """A point neither asked for nor told; None to wait, or where there is none."""
    raise NotImplementedError

  def _first_new(self, units: Iterable[Sequence[float]]) -> Key | None:
    """The first place of a stream that is new, or any point that is."""
    for place in itertools.islice(units, _TRIES):
      key = self._at(place)
      if self._is_new(key):
        return key
    return next(filter(self._is_new, self._all() or ()), None)

  @property
  def _pending(self) -> list[Key]:
    """Points asked for and not told, in a fixed order."""
    return [key for key in self._asked if key not in self._scores]

  @property
  def _main(self) -> str | None:
    """The learning rate, or else the first number, if there is one."""
    numbers = [
        n for n, d in self.space.items() if not isinstance(d, _dimension.Choice)
    ]
    return RATE if RATE in numbers else next(iter(numbers), None)

  def _leader(self) -> Key | None:
    """The best point, also where none is finite; None where none was told."""
    names = list(self.space)
    main = names.index(self._main) if self._main else None

    def rank(key):
      return (
          self._scores[key], 0 if main is None else key[main], self._units(key)
      )

    return min(self._scores, key=rank, default=None)

  def _side(self, name: str, key: Key) -> int:
    """-1 or 1 where the value lies on the lower or upper end in force, else 0."""
    dimension = self.space[name]
    value = key[list(self.space).index(name)]
    if dimension.count < math.inf:
      return (value == dimension.high) - (value == dimension.low)
    unit, (low, high) = dimension.to_unit(value), self._range[name]
    return (unit >= high - _NEAR) - (unit <= low + _NEAR)

  def _is_new(self, key: Key) -> bool:
    return key not in self._asked and key not in self._scores

  def _score(self, score: Any) -> float:
    """A number; infinite where it is not finite."""
    try:
      score = float(score)
    except (TypeError, ValueError) as error:
      raise _checks.refuse(
          self.owner, 'scores', 'numbers', score,
          'tell NaN for a point that diverged', TypeError,
      ) from error
    return score if math.isfinite(score) else math.inf

  def _key(self, point: Mapping[str, Any]) -> Key:
    """The values of a point, checked."""
    if not isinstance(point, Mapping) or set(point) != set(self.space):
      raise _checks.refuse(
          self.owner, 'points', f'dicts of {list(self.space)}', point,
          'tell them as they were asked for',
          ValueError if isinstance(point, Mapping) else TypeError,
      )
    return tuple(d.check(self.owner, n, point[n]) for n, d in self.space.items())

  def _at(self, units: Iterable[float]) -> Key:
    """The point at a place in the cube."""
    return tuple(d.from_unit(float(u)) for d, u in zip(self._dimensions, units))

  def _units(self, key: Key) -> tuple[float, ...]:
    """Its place in the cube."""
    if key not in self._known_units:
      units = (d.to_unit(value) for d, value in zip(self._dimensions, key))
      self._known_units[key] = tuple(units)
    return self._known_units[key]

  def _all(self) -> list[Key] | None:
    """Every point of the space, where there are few."""
    if math.prod(d.count for d in self._dimensions) > _FEW:
      return None
    values = [
        d.options if isinstance(d, _dimension.Choice) else range(d.low, d.high + 1)
        for d in self._dimensions
    ]
    return list(itertools.product(*values))
