"""Bayesian search: a model of the scores says where a lower one is likely."""

from __future__ import annotations

from collections.abc import Sequence
import functools
import math
from typing import Any
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lrax import _checks
from lrax.tune import _dimension
from lrax.tune._methods import _encoding
from lrax.tune._methods import _gaussian_process
from lrax.tune._methods import _searcher
from lrax.tune._methods import _sobol
from lrax.tune._methods import _warp

_SIZES = (64, 256)  # what observations are padded to; each is compiled once
_MOST = 200  # points; the time to ask grows with their cube
_CANDIDATES = 512  # places whose gain is computed together
# Rounds of candidates around the best ones: how many, and how far off.
_KEPT, _WIDTHS = 8, (0.05, 0.01)
_SAME = 0.005  # of every range: what lies closer to a point says nothing new
_LITTLE = 1e-6  # of the scores' deviation: less is no gain
_WIDER = 0.25  # of the first range, by which a range is widened at a time


class _Belief(NamedTuple):
  """What was told, as the model sees it."""

  told: int  # how many points it rests on
  keys: list[_searcher.Key]  # those whose score is finite
  y: np.ndarray  # their scores, warped
  place: np.ndarray  # the hyperparameters
  scores: _gaussian_process.Posterior  # of the warped scores
  success: _gaussian_process.Posterior  # of 1 where finite, -1 where not
  any_failed: bool


class Bayesian(_searcher.Searcher):
  """A Gaussian process of the scores, and the point of most expected improvement.

  It begins with 4 Sobol points and 2 more for each dimension, half the budget at
  most. Then a Gaussian process is fitted to the warped scores, with a length for
  each dimension and noise. The next point is that of the highest expected
  improvement over the lowest mean, among 512 Sobol points and then 1,024 around
  the best of them; if possible not one that is within half a percent of every
  range of an older point. Points asked for and not told count as told what the
  model expects there, so that a batch spreads out. Points that diverged have no
  score in the model: a second process, of whether a point diverges, gives the
  probability that a point does not, which multiplies the improvement.

  Where the best lies on the end of its range it widens the range by a quarter of
  the first, as far as `within` allows.

  Args:
    space: what to search, names and dimensions.
    budget: how many points to ask for at most, from 1 to 200.
    seed: for the Sobol points and the candidates, a whole number >= 0.

  Raises:
    ValueError: the budget is above 200.

  Source:
    Jones et al., "Efficient Global Optimization of Expensive Black-Box
    Functions", 1998; with noise, the augmented improvement of Huang et al.,
    "Global Optimization of Stochastic Black-Box Systems via Sequential Kriging
    Meta-Models", 2006; its logarithm from Ament et al., "Unexpected Improvements
    to Expected Improvement", 2023; batches by the "kriging believer" of
    Ginsbourger et al., 2010; divergence as in Gelbart et al., "Bayesian
    Optimization with Unknown Constraints", 2014.
  """

  def __init__(self, space: Any, budget: int, seed: int = 0):
    super().__init__(space, budget, seed)
    if self.budget > _MOST:
      raise _checks.refuse(
          self.owner, 'budget', f'at most {_MOST}', self.budget,
          "the model's time grows with the cube; take method='sobol'",
      )
    d = len(self.space)
    self._begin = min(math.ceil(self.budget / 2), 4 + 2 * d)
    self._first = iter(_sobol.places(2 * self._begin, d, self.seed))
    self._candidates = _sobol.places(_CANDIDATES, d, self.seed + 1)
    self._encoding = _encoding.Encoding(self._dimensions)
    self._groups = self._encoding.groups
    self._belief: _Belief | None = None

  def _next(self) -> _searcher.Key | None:
    if len(self._asked.keys() | self._scores.keys()) < self._begin:
      return self._first_new(self._first)
    if 2 * len(self._scores) < self._begin:
      return None
    self._widen()
    # The model is small: float64, and away from a device that may be training.
    with jax.enable_x64(True), jax.default_device(_cpu()):
      places = self._promising()
    new = filter(self._is_new, map(self._at, places))
    return next(new, None) or self._first_new(())

  def _widen(self) -> None:
    leader = self._leader()
    assert leader is not None
    for name, dimension in self.space.items():
      side, (low, high) = self._side(name, leader), self._range[name]
      if side and dimension.count == math.inf:
        least, most = map(dimension.to_unit, dimension.bounds)
        if side < 0:
          self._range[name] = max(least, low - _WIDER), high
        else:
          self._range[name] = low, min(most, high + _WIDER)

  # --- the model --------------------------------------------------------------

  def _believe(self) -> _Belief:
    """The model of all that was told."""
    keys = sorted(self._scores, key=self._units)
    scores = np.asarray([self._scores[key] for key in keys])
    finite = np.isfinite(scores)
    good = [key for key, ok in zip(keys, finite) if ok]
    y = _warp.warp(scores[finite])
    data = self._data(good, y)
    place = _gaussian_process.fit(data, self._groups)
    # Its hyperparameters are the means of their priors: a step tells little.
    told = self._data(keys, np.where(finite, 1.0, -1.0))
    return _Belief(
        len(keys), good, y, np.asarray(place),
        _gaussian_process.condition(place, data, self._groups),
        _gaussian_process.condition(np.zeros(len(place)), told, self._groups),
        not finite.all(),
    )

  def _data(
      self, keys: Sequence[_searcher.Key], y: np.ndarray, exact: int = 0
  ) -> _gaussian_process.Data:
    """Points padded, the last few of them free of noise."""
    size = next((s for s in _SIZES if s >= len(keys)), None)
    if size is None:
      raise _checks.refuse(
          self.owner, 'points', f'at most {_SIZES[-1]} in all', len(keys),
          'tell fewer points of earlier studies',
      )
    x, padded, count = np.zeros((size, len(self._groups))), np.zeros(size), len(keys)
    if keys:
      x[:count] = self._encoding.columns(np.asarray(list(map(self._units, keys))))
    padded[:count] = y
    index = np.arange(size)
    mask = index < count
    return _gaussian_process.Data(x, padded, mask, mask & (index >= count - exact))

  def _promising(self) -> np.ndarray:
    """(some, dimensions): places in falling order of what they should gain."""
    belief = self._belief
    if belief is None or belief.told != len(self._scores):
      belief = self._belief = self._believe()
    scores, count = belief.scores, len(belief.keys)
    pending = self._pending
    if pending:
      waiting = np.asarray([self._units(key) for key in pending])
      expected = self._gain(belief, scores, 0.0, waiting)[1]
      keys, y = [*belief.keys, *pending], np.append(belief.y, expected)
      data = self._data(keys, y, exact=len(pending))
      scores = _gaussian_process.condition(belief.place, data, self._groups)
      count = len(keys)
    best = float(np.min(np.asarray(scores.fitted)[:count], initial=np.inf))
    best = best if count else 0.0
    gain = lambda places: self._gain(belief, scores, best, places)[0]
    every = self._all()
    if every is not None and len(every) <= _CANDIDATES:
      places = np.asarray([self._units(k) for k in every if self._is_new(k)])
      return places[np.argsort(-gain(places))] if len(places) else places
    return self._search(gain)

  def _search(self, gain: Any) -> np.ndarray:
    """Candidates all over, then around the best of them."""
    generator = np.random.default_rng((self.seed, len(self._asked)))
    low, high = np.asarray([*self._range.values()]).T
    shifted = (self._candidates + generator.uniform(size=len(low))) % 1
    places = self._encoding.snap(low + shifted * (high - low))
    gains = gain(places)
    # One option is as far from another as from any: they stay. A whole number
    # has to reach the next.
    least = [0.7 / d.count if d.count < math.inf else 0.0 for d in self._dimensions]
    moves = [not isinstance(d, _dimension.Choice) for d in self._dimensions]
    for width in _WIDTHS:
      top = places[np.argsort(-gains)[:_KEPT]]
      near = np.repeat(top, _CANDIDATES // _KEPT, axis=0)
      steps = generator.normal(size=near.shape) * np.maximum(width, least) * moves
      near = self._encoding.snap(np.clip(near + steps, low, high))
      places = np.concatenate([places, near])
      gains = np.concatenate([gains, gain(near)])
    places = places[np.argsort(-gains, kind='stable')]
    known = [self._units(key) for key in self._asked.keys() | self._scores.keys()]
    for count in (_CANDIDATES // 8, len(places)):  # mostly the first few suffice
      first = places[:count]
      apart = np.abs(first[:, None] - np.asarray(known)).max(axis=2).min(axis=1)
      if (apart >= _SAME).any():
        break
    return np.concatenate([first[apart >= _SAME], places])

  def _gain(
      self, belief: _Belief, scores: Any, best: float, places: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Of each place, the log of what it should gain, and the mean of its score."""
    columns = self._encoding.columns(places)
    padded = np.resize(columns, (_CANDIDATES, len(self._groups)))
    gain, mean = _gain(
        scores, belief.success, belief.any_failed, best, padded, self._groups
    )
    return np.asarray(gain)[: len(places)], np.asarray(mean)[: len(places)]


@functools.partial(jax.jit, static_argnames='groups')
def _gain(
    scores: _gaussian_process.Posterior,
    success: _gaussian_process.Posterior,
    any_failed: jax.Array,
    best: jax.Array,
    x: jax.Array,
    groups: tuple[int, ...],
) -> tuple[jax.Array, jax.Array]:
  """The log of what a value at each row of `x` should gain, and its mean.

  Formula:
    (improvement * (1 - sqrt(noise / (noise + deviation^2)))
      + 1e-6 * exp(best - mean)) * P(success)
    The second factor is what is new about a value, 0 where its noise is all. The
    next term counts where nothing is to be gained: it stays near the lowest mean.
  """
  mean, deviation = _gaussian_process.predict(scores, x, groups)
  gain = _gaussian_process.log_expected_improvement(mean, deviation, best)
  gain += jnp.log1p(-jnp.sqrt(scores.noise / (scores.noise + deviation**2)))
  gain = jnp.logaddexp(gain, np.log(_LITTLE) + best - mean)
  label, doubt = _gaussian_process.predict(success, x, groups)
  log_probability = jax.scipy.special.log_ndtr(label / doubt)
  return gain + jnp.where(any_failed, log_probability, 0.0), mean


def _cpu() -> Any:
  """A CPU if this process has one to compute with, else what it has."""
  try:
    return jax.local_devices(backend='cpu')[0]
  except RuntimeError:
    return jax.local_devices()[0]
