"""Bayesian search: a model of the scores says where a lower one is likely."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from lrax.tune import _dimension
from lrax.tune._methods import _gaussian_process as gp
from lrax.tune._methods import _searcher
from lrax.tune._methods import _sobol

_CANDIDATES = 512
_LOCAL = (0.05, 0.01)
_KEPT = 8
_WIDER = 0.25
_SIZES=(64,256)

class Bayesian(_searcher.Searcher):
  """x"""
  AEI=False
  EXACT=True
  FEAS=True

  def __init__(self, space: Any, budget: int, seed: int = 0, warp=None, first=None):
    super().__init__(space, budget, seed)
    self.warp=warp or _warp
    d = len(self.space)
    self._first = first or min(math.ceil(self.budget / 2), 4 * (d + 1))
    self._places = iter(_sobol.places(2 * self.budget, d, self.seed))
    self._candidates = _sobol.places(_CANDIDATES, d, self.seed + 1)
    groups = []
    for group, dimension in enumerate(self._dimensions):
      one_hot = isinstance(dimension, _dimension.Choice)
      groups += [group] * (int(dimension.count) if one_hot else 1)
    self._groups = tuple(groups)
    self._fitted = None

  def _next(self):
    if len(self._asked) < self._first:
      return self._first_new(self._places)
    if len(self._scores) < self._first / 2:
      return None
    self._widen()
    with jax.enable_x64(True), jax.default_device(_cpu()):
      return self._most_promising()

  def _widen(self):
    leader = self._leader()
    for index, (name, dimension) in enumerate(self.space.items()):
      side = self._side(name, leader)
      if not side or dimension.count < math.inf: continue
      low, high = self._range[name]
      least, most = map(dimension.to_unit, dimension.bounds)
      self._range[name] = ((max(least, low - _WIDER), high) if side<0 else (low, min(most, high + _WIDER)))

  def _data(self, keys, y, told=None):
    size = next(s for s in _SIZES if s >= len(keys))
    x = np.zeros((size, len(self._groups))); x[:len(keys)] = self._columns(np.array([self._units(k) for k in keys]))
    yy = np.zeros(size); yy[:len(keys)] = y
    places=np.arange(size); return gp.Data(x, yy, places < len(keys), (places>=(told or 99999))&self.EXACT)

  def _most_promising(self):
    every = sorted(self._scores, key=self._units)
    if self._fitted is None or self._fitted[0] != len(every):
      scores = np.array([self._scores[k] for k in every])
      ok = np.isfinite(scores)
      keys = [k for k, o in zip(every, ok) if o] if self.FEAS else every
      y = self.warp(scores[ok] if self.FEAS else scores) if keys else np.zeros(0)
      data = self._data(keys, y)
      place = gp.fit(data, self._groups)
      posterior = gp.condition(place, data, self._groups)
      best = np.asarray(gp.predict(posterior, data.x, self._groups)[0])[:len(keys)].min() if keys else 0.
      self._labels = None
      if self.FEAS and not ok.all():
        labels = self._data(every, np.where(ok, -1., 1.))
        self._labels = gp.condition(gp.fit(labels, self._groups), labels, self._groups)
      self._fitted = (len(every), y, place, posterior, best, keys)
    _, y, place, posterior, best, keys = self._fitted
    pending = self._pending
    if pending:
      size=len(posterior.data.mask)
      x=np.zeros((size,len(self._groups))); x[:len(pending)]=self._columns(np.array([self._units(k) for k in pending]))
      believed = np.asarray(gp.predict(posterior, x, self._groups)[0])[:len(pending)]
      data = self._data(keys + pending, np.append(y, believed), len(keys))
      posterior = gp.condition(place, data, self._groups)
      best = min(best, believed.min())
    rng = np.random.default_rng((self.seed, len(self._asked)))
    low, high = np.array(list(self._range.values())).T
    units = low + (self._candidates + rng.uniform(size=len(low))) % 1 * (high - low)
    found = self._gain(posterior, units, best)
    for width in _LOCAL:
      top = units[np.argsort(-found)[:_KEPT]]
      near = np.repeat(top, _CANDIDATES // _KEPT, axis=0)
      near = np.clip(near + width * rng.normal(size=near.shape), low, high)
      units = np.concatenate([top, near])
      found = np.concatenate([np.sort(found)[::-1][:_KEPT], self._gain(posterior, near, best)])
    order = np.argsort(-found)
    return next(filter(self._is_new, map(self._at, units[order])), None)

  def _gain(self, posterior, units, best):
    mean, dev = gp.predict(posterior, self._columns(units), self._groups)
    out= np.asarray(gp.log_expected_improvement(mean, dev, best))
    if self.AEI:
      noise=1e-6+np.exp(np.log(.01)+2*self._fitted[2][-1]); noise=float(noise*posterior.variance)
      out=out+np.log(1-np.sqrt(noise)/np.sqrt(np.asarray(dev)**2+noise)+1e-12)
    if self._labels is not None:
      m, sd = gp.predict(self._labels, self._columns(units), self._groups)
      from scipy.special import log_ndtr
      out = out + log_ndtr(-np.asarray(m)/np.asarray(sd))
    return out

  def _columns(self, units):
    columns = []
    for d, u in zip(self._dimensions, units.T):
      if isinstance(d, _dimension.Choice):
        index = np.clip(np.floor(u * d.count), 0, d.count - 1)
        columns += [(index == i) / math.sqrt(2) for i in range(int(d.count))]
      elif d.count < math.inf:
        columns.append(np.array([d.to_unit(d.from_unit(min(max(v,0),1))) for v in u]))
      else:
        columns.append(u)
    return np.stack(columns, axis=1)

def _cpu():
  return jax.local_devices(backend='cpu')[0]

def _warp(scores):
  s=np.where(np.isfinite(scores),scores,np.nan)
  s=np.log(s)
  s=np.where(np.isnan(s),np.nanmax(s),s)
  return (s-s.mean())/(s.std()+1e-12)
