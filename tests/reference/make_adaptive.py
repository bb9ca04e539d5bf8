r"""Writes adaptive.json: what reference implementations of adaptive methods do.

Every number comes from a package of the method's authors where PyPI has one,
else from PyTorch, timm, transformers, pytorch_optimizer or torch_optimizer, in
float64. The tests of `lrax` compute the same loss and gradient and compare the
parameters. Nothing here is code of those packages; each run is also written by
hand with NumPy, from the papers and from what the packages do, and the file
says how far the two are apart. Only `yogi_paper` is by hand alone.

The problem has two parameters, a vector x of 6 and a matrix w of 4 by 3, which
one optimizer trains together:

  gap = x - optimum,  s = sum(gap**2),  R = mixing @ w - target,
  q = sum(R**2) / 2
  loss = sum(curvature * gap**2) / 2 + s**2 / 4 + (1 + coupling * s) * q
  gradient of x = (curvature + s + 2 * coupling * q) * gap
  gradient of w = (1 + coupling * s) * mixing.T @ R

The loss is 0 at its minimum. Each run gives the parameters after `steps`, in a
flat list (x, then w row by row), at a constant rate ("constant"), and after
`changed` steps when the rate becomes the second of "rates" after `change` steps
("changing"). Schedule-Free runs give y (where the gradient is taken) there, and
the average x in "constant_eval" and "changing_eval"; DoG's averager gives its
average there.

"spread" is how far the constant run moves at most when every starting value
moves by 1 to 5 ulps: no other implementation can be expected to come closer
("changing_spread" for the changing run). A list ends early where the spread
passes 1e-9, for there the method is chaotic on this problem, or where values
are not finite. "by_hand" is the greatest difference from the NumPy version at
the steps kept, divided by max(1, |parameter|).

"rate_argument" is null where the method has no rate; "inf" stands for infinity;
a Muon run's "vector" holds the arguments of the Adam that trains x at the same
rate; "patched" says where a package was made to compute in float64.

Run it with the versions that the file names (timm without torchvision is
enough: only its optimizers are imported):

  pip install torch==2.13.0 numpy pytorch_optimizer==4.1.0 \
    transformers==5.23.0
  pip install --no-deps timm==1.0.31 torch-optimizer==0.3.0 \
    pytorch-ranger==0.1.1 adabelief-pytorch==0.2.1 tabulate colorama \
    came-pytorch==0.1.3 grams-pytorch==0.0.2 lion-pytorch==0.2.5 \
    muon-optimizer==0.1.0 dadaptation==3.2 prodigyopt==1.1.2 \
    dog-optimizer==1.0.3 dowgopt==0.13 mechanic-pytorch==0.0.1 \
    schedulefree==1.4.1 parameterfree==0.0.1 momo-opt==0.1.0 \
    momsps==1.0.0 sps-safe==1.0.0 fairscale==0.4.13
  python tests/reference/make_adaptive.py
"""

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import io
import json
import math
import os
from pathlib import Path
import sys
import types
from unittest import mock

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch

STEPS = (1, 2, 10, 50, 200)
CHANGE = 25  # steps before the rate changes
CHANGED = (50,)

CURVATURE = [0.01, 0.1, 0.5, 1.0, 3.0, 10.0]
OPTIMUM = [1.0, -2.0, 0.5, 3.0, -1.5, 0.75]
START_X = [1.5, -1.25, 0.25, 2.5, -1.0, 1.0]
MIXING = [
    [2.0, 0.5, 0.0, -0.25],
    [0.0, 1.0, 0.5, 0.0],
    [0.25, 0.0, 0.5, 0.25],
    [0.0, -0.5, 0.0, 0.25],
]
TARGET = [
    [1.0, -0.5, 0.25],
    [0.5, 1.5, -1.0],
    [-0.75, 0.25, 0.5],
    [0.1, -0.2, 0.3],
]
START_W = [
    [0.5, -0.3, 0.8],
    [-0.6, 0.9, 0.2],
    [0.7, -0.4, -1.1],
    [1.2, 0.1, -0.9],
]
COUPLING = 0.1
# AdaScale's two gradients are the gradient plus and minus cos(step) * NOISE.
NOISE = [
    [0.3, -0.2, 0.1, 0.4, -0.5, 0.6],
    [
        [0.2, 0.1, -0.3],
        [-0.1, 0.4, 0.2],
        [0.3, -0.2, 0.1],
        [0.5, 0.1, -0.4],
    ],
]

# Where each module comes from on PyPI.
DISTRIBUTIONS = {
    'torch': 'torch',
    'timm': 'timm',
    'transformers': 'transformers',
    'pytorch_optimizer': 'pytorch_optimizer',
    'torch_optimizer': 'torch-optimizer',
    'adabelief_pytorch': 'adabelief-pytorch',
    'came_pytorch': 'came-pytorch',
    'grams': 'grams-pytorch',
    'lion_pytorch': 'lion-pytorch',
    'muon': 'muon-optimizer',
    'dadaptation': 'dadaptation',
    'prodigyopt': 'prodigyopt',
    'dog': 'dog-optimizer',
    'dowg': 'dowgopt',
    'mechanic_pytorch': 'mechanic-pytorch',
    'schedulefree': 'schedulefree',
    'parameterfree': 'parameterfree',
    'momo': 'momo-opt',
    'momsps': 'momsps',
    'sps_safe': 'sps-safe',
    'fairscale': 'fairscale',
}


# The problem.


def gradient(x, w, module):
  """The loss, and its gradient in closed form."""
  convert = torch.tensor if module is torch else np.array
  gap = x - convert(OPTIMUM)
  curvature, mixing = convert(CURVATURE), convert(MIXING)
  s = (gap * gap).sum()
  residual = mixing @ w - convert(TARGET)
  q = (residual * residual).sum() / 2
  loss = (curvature * gap * gap).sum() / 2 + s * s / 4 + (1 + COUPLING * s) * q
  return loss, [
      (curvature + s + 2 * COUPLING * q) * gap,
      (1 + COUPLING * s) * (mixing.T @ residual),
  ]


def starts(ulps):
  """The starting values, moved by `ulps` spacings."""
  x, w = np.array(START_X), np.array(START_W)
  return [x + ulps * np.spacing(x), w + ulps * np.spacing(w)]


def flat(parameters):
  return [v for p in parameters for v in np.asarray(p).ravel().tolist()]


# Loading. timm's own `__init__` wants torchvision, which nothing here needs.


def load(path):
  """The class at `path`, such as 'torch.optim.Adam'."""
  module, name = path.rsplit('.', 1)
  if path.startswith('timm.'):
    if 'timm' not in sys.modules:
      root = Path(importlib.util.find_spec('timm').origin).parent
      for package, folder in (('timm', root), ('timm.optim', root / 'optim')):
        sys.modules[package] = types.ModuleType(package)
        sys.modules[package].__path__ = [str(folder)]
  with contextlib.redirect_stdout(io.StringIO()):
    return getattr(importlib.import_module(module), name)


@contextlib.contextmanager
def in_float64():
  """Where a package computes in a narrower type, it computes in float64."""
  with contextlib.ExitStack() as stack:
    same = lambda self: self
    copy = lambda self: self.clone()
    stack.enter_context(mock.patch.object(torch.Tensor, 'float', same))
    stack.enter_context(mock.patch.object(torch.Tensor, 'bfloat16', copy))
    stack.enter_context(mock.patch.object(torch, 'float32', torch.float64))
    with contextlib.suppress(ImportError):
      base = importlib.import_module('pytorch_optimizer.optimizer.muon.base')
      name = 'zero_power_via_newton_schulz_5'
      wide = functools.partial(getattr(base, name), dtype=torch.float64)
      stack.enter_context(mock.patch.object(base, name, wide))
    yield


# How each kind of optimizer is made and stepped.


def make(run, parameters, rate):
  """The optimizers of a run."""
  kind, arguments = run['kind'], run['arguments']
  x, w = parameters
  cls = load(run['class'])
  if kind == 'muon':  # the matrix with Muon, the vector with AdamW
    other = {**arguments}
    beside = other.pop('vector')
    return [
        cls([w], lr=rate, **other),
        torch.optim.AdamW([x], lr=rate, **beside),
    ]
  if kind == 'groups':
    other = {**arguments}
    inner, beside = other.pop('matrix'), other.pop('vector')
    groups = [
        {'params': [w], 'use_muon': True, 'lr': rate, **inner},
        {'params': [x], 'use_muon': False, 'lr': rate, **beside},
    ]
    return [cls(groups, **other)]
  if kind in ('mechanic', 'wrapped', 'adascale'):
    other = {**arguments}
    base, inner = load(other.pop('base')), other.pop('base_arguments')
    if kind == 'mechanic':
      return [cls(base, **other)(parameters, lr=rate, **inner)]
    return [cls(base(parameters, lr=rate, **inner), **other)]
  if kind == 'adopt_clip':  # pytorch_optimizer takes a function
    other = {**arguments}
    power = other.pop('clip_power')
    other['clip_lambda'] = None if power is None else lambda t: t**power
    return [cls(parameters, lr=rate, **other)]
  if run['rate_argument'] is None:
    return [cls(parameters, **arguments)]
  return [cls(parameters, **{run['rate_argument']: rate}, **arguments)]


def adascale_backward(parameters, grads, step):
  for sign in (1, -1):
    total = 0
    for p, g, n in zip(parameters, grads, NOISE):
      noisy = g + sign * math.cos(step) * torch.tensor(n)
      total = total + (p * noisy).sum() / 2
    total.backward()


def trajectory(run, rates, steps, ulps=0):
  """The parameters after each of `steps`, and their averages."""
  kind = run['kind']
  parameters = [
      torch.nn.Parameter(torch.from_numpy(p)) for p in starts(ulps)
  ]
  points, averages = [], []
  with contextlib.ExitStack() as stack:
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    if run['patched']:
      stack.enter_context(in_float64())
    optimizers = make(run, parameters, rates[0])
    averager = None
    if kind == 'averaged':
      model = torch.nn.ParameterList(parameters)
      averager = load('dog.PolynomialDecayAverager')(
          model, gamma=run['averager']['gamma']
      )
    if kind in ('schedulefree', 'wrapped'):
      optimizers[0].train()
    for step in range(1, max(steps) + 1):
      if step == CHANGE + 1 and rates[1] != rates[0]:
        for tx in optimizers:
          for group in tx.param_groups:
            group[run['rate_argument']] = rates[1]
      with torch.no_grad():
        loss, grads = gradient(*[p.detach() for p in parameters], torch)
      if kind == 'adascale':
        optimizers[0].zero_grad()
        adascale_backward(parameters, grads, step)
      else:
        for p, g in zip(parameters, grads):
          p.grad = g.clone()
      for tx in optimizers:
        if kind == 'loss':
          tx.step(loss=loss)
        elif kind == 'closure':
          tx.step(lambda value=float(loss): value)
        else:
          tx.step()
      if averager:
        averager.step()
      if step in steps:
        now = flat([p.detach() for p in parameters])
        if not np.isfinite(now).all():
          break
        points.append(now)
        if averager:
          averages.append(
              flat([p.detach() for p in averager.averaged_model])
          )
        if kind in ('schedulefree', 'wrapped'):
          tx = optimizers[0]
          kept = [p.detach().clone() for p in parameters]
          tx.eval()
          averages.append(flat([p.detach() for p in parameters]))
          tx.train()
          with torch.no_grad():
            for p, k in zip(parameters, kept):
              p.copy_(k)
  return points, averages


# By hand, with NumPy. Each takes the starting values and the arguments and
# returns a function of (parameters, gradients, loss, rate, step) that gives the
# new parameters. Steps count from 1.


def rms(v):
  return np.sqrt((v * v).mean())


def norm(values):
  return math.sqrt(sum(float((v * v).sum()) for v in values))


def zeros(p):
  return [np.zeros_like(v) for v in p]


def each(update):
  """An update of one tensor, with its own state, for every tensor."""

  def start(p, a):
    states = [{} for _ in p]

    def step(p, g, loss, rate, t):
      return [update(v, d, s, a, rate, t) for v, d, s in zip(p, g, states)]

    return step

  return start


@each
def hand_adabelief(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  eps, decay = a['eps'], a['weight_decay']
  if a['weight_decouple']:
    p = p - rate * decay * p
  else:
    g = g + decay * p
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['s'] = b2 * s.get('s', 0) + (1 - b2) * (g - s['m']) ** 2 + eps
  m, v = s['m'] / (1 - b1**t), s['s'] / (1 - b2**t)
  if a.get('amsgrad'):
    s['top'] = np.maximum(s.get('top', 0), s['s'])
    v = s['top'] / (1 - b2**t)
  if not a['rectify']:
    return p - rate * m / (np.sqrt(v) + eps)
  last = 2 / (1 - b2) - 1
  rho = last - 2 * t * b2**t / (1 - b2**t)
  if rho < 5:
    return p - rate * m
  r = (rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)
  scale = math.sqrt(r * (1 - b2**t))
  return p - rate * scale * m / (np.sqrt(s['s']) + eps)


@each
def hand_yogi(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  start = a['initial_accumulator']
  if a.get('weight_decouple'):
    p = p - rate * a['weight_decay'] * p
  else:
    g = g + a['weight_decay'] * p
  s['m'] = b1 * s.get('m', start) + (1 - b1) * g
  v = s.get('v', start)
  s['v'] = v - (1 - b2) * np.sign(v - g * g) * g * g
  m, v = s['m'] / (1 - b1**t), s['v'] / (1 - b2**t)
  return p - rate * m / (np.sqrt(v) + a['eps'])


@each
def hand_yogi_paper(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  v = s.get('v', a['initial_accumulator'])
  s['v'] = v - (1 - b2) * np.sign(v - g * g) * g * g
  return p - rate * s['m'] / (np.sqrt(s['v']) + a['eps'])


@each
def hand_adamax(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  g = g + a['weight_decay'] * p
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['u'] = np.maximum(b2 * s.get('u', 0), np.abs(g) + a['eps'])
  return p - rate / (1 - b1**t) * s['m'] / s['u']


@each
def hand_adadelta(p, g, s, a, rate, t):
  rho, eps = a['rho'], a['eps']
  g = g + a['weight_decay'] * p
  s['g'] = rho * s.get('g', 0) + (1 - rho) * g * g
  u = np.sqrt(s.get('u', 0) + eps) / np.sqrt(s['g'] + eps) * g
  s['u'] = rho * s.get('u', 0) + (1 - rho) * u * u
  return p - rate * u


@each
def hand_radam(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  if a.get('decoupled_weight_decay'):
    p = p - rate * a['weight_decay'] * p
  else:
    g = g + a['weight_decay'] * p
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * g * g
  m = s['m'] / (1 - b1**t)
  last = 2 / (1 - b2) - 1
  rho = last - 2 * t * b2**t / (1 - b2**t)
  if rho <= 5:
    return p - rate * m
  r = (rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)
  scale = math.sqrt(r * (1 - b2**t))
  return p - rate * scale * m / (np.sqrt(s['v']) + a['eps'])


@each
def hand_nadam(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  g = g + a['weight_decay'] * p
  mu = lambda k: b1 * (1 - 0.5 * 0.96 ** (k * a['momentum_decay']))
  s['mu'] = s.get('mu', 1) * mu(t)
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * g * g
  u = (1 - mu(t)) / (1 - s['mu']) * g
  u = u + mu(t + 1) / (1 - s['mu'] * mu(t + 1)) * s['m']
  return p - rate * u / (np.sqrt(s['v'] / (1 - b2**t)) + a['eps'])


@each
def hand_amsgrad(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  if a.get('decoupled'):
    p = p - rate * a['weight_decay'] * p
  else:
    g = g + a['weight_decay'] * p
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * g * g
  s['top'] = np.maximum(s.get('top', 0), s['v'])
  m, v = s['m'] / (1 - b1**t), s['top'] / (1 - b2**t)
  return p - rate * m / (np.sqrt(v) + a['eps'])


@each
def hand_lion(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  m = s.get('m', 0)
  p = p - rate * a['weight_decay'] * p
  s['m'] = b2 * m + (1 - b2) * g
  return p - rate * np.sign(b1 * m + (1 - b1) * g)


def cautious(u, g):
  mask = (u * g > 0) * 1.0
  return u * mask / max(mask.mean(), 1e-3)


@each
def hand_cautious_lion(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  m = s.get('m', 0)
  p = p - rate * a['weight_decay'] * p
  u = np.sign(b1 * m + (1 - b1) * g)
  s['m'] = b2 * m + (1 - b2) * g
  return p - rate * cautious(u, g)


@each
def hand_cautious_adamw(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  p = p - rate * a['weight_decay'] * p
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * g * g
  u = s['m'] / (1 - b1**t) / (np.sqrt(s['v'] / (1 - b2**t)) + a['eps'])
  return p - rate * cautious(u, g)


@each
def hand_grams(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  p = p - rate * a['weight_decay'] * p
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * g * g
  eps = a['eps']
  if 'correct_bias' not in a:  # eps after the correction
    eps = eps * math.sqrt(1 - b2**t)
  scale = rate * math.sqrt(1 - b2**t) / (1 - b1**t)
  return p - scale * np.sign(g) * abs(s['m']) / (np.sqrt(s['v']) + eps)


@each
def hand_lamb(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * g * g
  if a.get('debias', True):
    m, v = s['m'] / (1 - b1**t), s['v'] / (1 - b2**t)
  else:
    m, v = s['m'], s['v']
  u = m / (np.sqrt(v) + a['eps']) + a['weight_decay'] * p
  ratio = min(norm([p]), a.get('clamp_value', math.inf)) / norm([u])
  if a.get('trust_clip'):
    ratio = min(ratio, 1)
  return p - rate * ratio * u


def hand_lamb_clipped(p, a):
  inner = hand_lamb(p, a)

  def step(p, g, loss, rate, t):
    scale = max(1, norm(g) / a['max_grad_norm'])
    return inner(p, [gi / scale for gi in g], loss, rate, t)

  return step


@each
def hand_lars(p, g, s, a, rate, t):
  decay = a['weight_decay']
  local = a['trust_coeff'] * norm([p])
  local = local / (norm([g]) + decay * norm([p]) + a['eps'])
  d = local * (g + decay * p)
  s['v'] = a['momentum'] * s['v'] + d if 'v' in s else d
  return p - rate * (d + a['momentum'] * s['v'] if a['nesterov'] else s['v'])


@each
def hand_novograd(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  squared = (g * g).sum()
  s['v'] = b2 * s['v'] + (1 - b2) * squared if 'v' in s else squared
  d = g / (np.sqrt(s['v']) + a['eps']) + a['weight_decay'] * p
  if a['grad_averaging']:
    d = (1 - b1) * d
  s['m'] = b1 * s.get('m', 0) + d
  return p - rate * s['m']


@each
def hand_adan(p, g, s, a, rate, t):
  b1, b2, b3 = a['betas']
  decay = a['weight_decay']
  d = g - s.get('g', g)
  s['g'] = g
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * d
  s['n'] = b3 * s.get('n', 0) + (1 - b3) * (g + b2 * d) ** 2
  m = cautious(s['m'], g) if a.get('caution') else s['m']
  u = m / (1 - b1**t) + b2 * s['v'] / (1 - b2**t)
  u = u / (np.sqrt(s['n'] / (1 - b3**t)) + a['eps'])
  if a['no_prox']:
    return p - rate * decay * p - rate * u
  return (p - rate * u) / (1 + rate * decay)


@each
def hand_adopt(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  decay = a['weight_decay']
  if not a['decoupled']:
    g = g + decay * p
  late = a.get('late', False)
  if t == 1:
    s['v'], s['m'] = g * g, 0
    return p - rate * decay * p if late and a['decoupled'] else p
  if a['decoupled']:
    p = p - rate * decay * p
  u = g / np.maximum(np.sqrt(s['v']), a['eps'])
  if a['clip_exp'] is not None:
    clip = (t if late else t - 1) ** a['clip_exp']
    u = np.clip(u, -clip, clip)
  s['m'] = b1 * s['m'] + (1 - b1) * u
  s['v'] = b2 * s['v'] + (1 - b2) * g * g
  return p - rate * (cautious(s['m'], g) if a.get('caution') else s['m'])


@each
def hand_ademamix(p, g, s, a, rate, t):
  b1, b2, b3 = a['betas']
  alpha, warm = a['alpha'], a['t_alpha_beta3']
  if warm is not None:
    part = min(t / warm, 1)
    alpha = alpha * part
    # The half-life grows linearly: 1 / log(beta) does.
    b3 = math.exp(1 / ((1 - part) / math.log(b1) + part / math.log(b3)))
  p = p - rate * a['weight_decay'] * p
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['l'] = b3 * s.get('l', 0) + (1 - b3) * g
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * g * g
  u = s['m'] / (1 - b1**t) + alpha * s['l']
  return p - rate * u / (np.sqrt(s['v'] / (1 - b2**t)) + a['eps'])


@each
def hand_mars(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  before = s.get('g', 0 * g if a.get('zero') else g)
  c = g + a['gamma'] * b1 / (1 - b1) * (g - before)
  c = c / max(norm([c]), 1)
  if g.ndim == 1 and not a['optimize_1d']:
    c, (b1, b2), rate = g, a['betas_1d'], rate * a['lr_1d_factor']
  s['g'] = g
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * c
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * c * c
  if a['mars_type'] == 'lion':
    return p - rate * (np.sign(s['m']) + a['weight_decay'] * p)
  if a.get('zero'):
    root = (np.sqrt(s['v'] + 1e-15) + a['eps']) / math.sqrt(1 - b2**t)
    return p - rate * (s['m'] / (1 - b1**t) / root + a['weight_decay'] * p)
  u = s['m'] / (1 - b1**t) / (np.sqrt(s['v'] / (1 - b2**t)) + a['eps'])
  return p - rate * (u + a['weight_decay'] * p)


def factored(rows, columns):
  return np.outer(rows, columns) / rows.mean()


@each
def hand_came(p, g, s, a, rate, t):
  b1, b2, b3 = a['betas']
  eps1, eps2 = a['eps']
  sq = g * g + eps1
  matrix = g.ndim == 2
  if matrix:
    s['r'] = b2 * s.get('r', 0) + (1 - b2) * sq.mean(1)
    s['c'] = b2 * s.get('c', 0) + (1 - b2) * sq.mean(0)
    u = g / np.sqrt(factored(s['r'], s['c']))
  else:
    s['v'] = b2 * s.get('v', 0) + (1 - b2) * sq
    u = g / np.sqrt(s['v'])
  u = u / max(1, rms(u) / a['clip_threshold'])
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * u
  step = s['m']
  if matrix:
    res = (u - s['m']) ** 2 + eps2
    s['R'] = b3 * s.get('R', 0) + (1 - b3) * res.mean(1)
    s['C'] = b3 * s.get('C', 0) + (1 - b3) * res.mean(0)
    step = s['m'] / np.sqrt(factored(s['R'], s['C']))
  return p - rate * a['weight_decay'] * p - rate * step


@each
def hand_adafactor(p, g, s, a, rate, t):
  eps1, eps2 = a['eps']
  if a['relative_step']:
    rate = min(1e-6 * t if a['warmup_init'] else 1e-2, 1 / math.sqrt(t))
  if a['scale_parameter']:
    rate = rate * max(eps2, rms(p))
  b2 = 1 - t ** a['decay_rate']
  sq = g * g + eps1
  if g.ndim == 2:
    s['r'] = b2 * s.get('r', 0) + (1 - b2) * sq.mean(1)
    s['c'] = b2 * s.get('c', 0) + (1 - b2) * sq.mean(0)
    u = g / np.sqrt(factored(s['r'], s['c']))
  else:
    s['v'] = b2 * s.get('v', 0) + (1 - b2) * sq
    u = g / np.sqrt(s['v'])
  u = rate * u / max(1, rms(u) / a['clip_threshold'])
  if a['beta1'] is not None:
    s['m'] = a['beta1'] * s.get('m', 0) + (1 - a['beta1']) * u
    u = s['m']
  return p - rate * a['weight_decay'] * p - u


@each
def hand_adafactor_torch(p, g, s, a, rate, t):
  eps1, eps2 = np.finfo(float).eps, a['eps'][1]
  size = max(eps2, rms(p)) * min(rate, 1 / math.sqrt(t))
  p = p - rate * a['weight_decay'] * p
  part = t ** a['beta2_decay']
  sq = g * g
  if g.ndim == 2:
    s['r'] = (1 - part) * s.get('r', 0) + part * sq.mean(1)
    s['c'] = (1 - part) * s.get('c', 0) + part * sq.mean(0)
    v = np.outer(s['r'], s['c']) / max(s['r'].mean(), eps1)
  else:
    v = s['v'] = (1 - part) * s.get('v', 0) + part * sq
  u = g / np.sqrt(np.maximum(v, eps1 * eps1))
  return p - size * u / max(1, rms(u) / a['d'])


@each
def hand_adafactor_vision(p, g, s, a, rate, t):
  b2 = min(a['beta2_cap'], 1 - t ** -a['decay_rate'])
  sq = g * g + 1e-30
  if g.ndim == 2:
    s['r'] = b2 * s.get('r', 0) + (1 - b2) * sq.mean(1)
    s['c'] = b2 * s.get('c', 0) + (1 - b2) * sq.mean(0)
    u = g / np.sqrt(factored(s['r'], s['c']))
  else:
    s['v'] = b2 * s.get('v', 0) + (1 - b2) * sq
    u = g / np.sqrt(s['v'])
  u = u / max(1, rms(u) / a['clipping_threshold'])
  s['m'] = a['momentum'] * s.get('m', 0) + (1 - a['momentum']) * u
  return p - rate * a['weight_decay'] * p - rate * s['m']


@each
def hand_cdowg(p, g, s, a, rate, t):
  x = s.setdefault('x', p)
  s['r'] = np.maximum(s.get('r', 1e-4), (p - x) ** 2)
  s['v'] = s.get('v', 0) + s['r'] * g * g
  return p - s['r'] * g / (np.sqrt(s['v']) + a['eps'])


@each
def hand_sm3(p, g, s, a, rate, t):
  axes = range(g.ndim)
  keep = [tuple(j for j in axes if j != i) for i in axes]
  nu = 0
  if 'mu' in s:
    nu = functools.reduce(np.minimum, s['mu'])
  nu = nu + g * g
  s['mu'] = [nu.max(axis=k, keepdims=True) if k else nu for k in keep]
  u = g / np.sqrt(nu + a['eps'])
  s['m'] = a['momentum'] * s.get('m', 0) + (1 - a['momentum']) * u
  return p - rate * (s['m'] if a['momentum'] else u)


@each
def hand_cocob(p, g, s, a, rate, t):
  if not s:
    s.update(x=p, L=a['eps'] + 0 * p, G=0 * p, W=0 * p, T=0 * p)
  g = g + a['weight_decay'] * p
  s['L'] = np.maximum(s['L'], abs(g))
  s['G'] = s['G'] + abs(g)
  s['W'] = np.maximum(s['W'] - g * (p - s['x']), 0)
  s['T'] = s['T'] - g
  bottom = s['L'] * np.maximum(s['G'] + s['L'], a['alpha'] * s['L'])
  return s['x'] + s['T'] / bottom * (s['L'] + s['W'])


def hand_muon(p, a):
  """The vector (first) by AdamW, the matrix by Muon."""
  matrix, vector = a.get('matrix', a), a['vector']
  state = {'m': 0, 'v': 0, 'b': 0}

  def step(p, g, loss, rate, t):
    x, w = p
    b1, b2 = vector['betas']
    x = x - rate * vector['weight_decay'] * x
    state['m'] = b1 * state['m'] + (1 - b1) * g[0]
    state['v'] = b2 * state['v'] + (1 - b2) * g[0] ** 2
    m, v = state['m'] / (1 - b1**t), state['v'] / (1 - b2**t)
    x = x - rate * m / (np.sqrt(v) + vector['eps'])
    beta = matrix['momentum']
    b = state['b'] = beta * state['b'] + (1 - beta) * g[1]
    o = (1 - beta) * g[1] + beta * b if a.get('nesterov', True) else b
    o = o.T  # more rows than columns
    if a.get('eps_added', False):
      o = o / (norm([o]) + 1e-7)
    else:
      o = o / max(norm([o]), 1e-7)
    for c0, c1, c2 in a.get('triples', [(3.4445, -4.775, 2.0315)] * 5):
      gram = o @ o.T
      o = c0 * o + (c1 * gram + c2 * gram @ gram) @ o
    scale = math.sqrt(max(1, 4 / 3))
    match = a.get('adjust_lr_fn') == 'match_rms_adamw'
    if match or matrix.get('use_adjusted_lr'):
      scale = 0.2 * math.sqrt(4)
    w = w - rate * matrix['weight_decay'] * w - rate * scale * o.T
    return [x, w]

  return step


def hand_soap(p, a):
  b1, b2 = a['betas']
  every = a['precondition_frequency']
  states = [{'m': 0, 'v': 0} for _ in p]

  def rotate(v, q, back=False):
    if q is None:
      return v
    left, right = q
    return left @ v @ right.T if back else left.T @ v @ right

  def gram(s, g):
    if g.ndim == 2:
      s['L'] = b2 * s.get('L', 0) + (1 - b2) * g @ g.T
      s['R'] = b2 * s.get('R', 0) + (1 - b2) * g.T @ g

  def step(p, g, loss, rate, t):
    new = []
    for v, d, s in zip(p, g, states):
      if t == 1:
        gram(s, d)
        s['q'] = None
        if d.ndim == 2:
          s['q'] = [np.linalg.eigh(s[k])[1][:, ::-1] for k in 'LR']
        new.append(v)
        continue
      k = t - 1
      s['m'] = b1 * s['m'] + (1 - b1) * d
      s['v'] = b2 * s['v'] + (1 - b2) * rotate(d, s['q']) ** 2
      u = rotate(s['m'], s['q']) / (np.sqrt(s['v']) + a['eps'])
      scale = rate * math.sqrt(1 - b2**k) / (1 - b1**k)
      v = v - scale * rotate(u, s['q'], back=True)
      v = v - rate * a['weight_decay'] * v
      gram(s, d)
      if d.ndim == 2 and k % every == 0:
        for i, name in enumerate('LR'):
          q = s['q'][i]
          product = s[name] @ q
          order = np.argsort(-(q * product).sum(0), kind='stable')
          s['v'] = np.take(s['v'], order, axis=i)
          s['q'][i] = np.linalg.qr(product[:, order])[0]
      new.append(v)
    return new

  return step


def hand_schedulefree(p, a, paper=False, rectify=False):
  b1, b2 = a['betas']
  state = {'z': list(p), 'x': list(p), 'v': zeros(p), 'sum': 0, 'top': 0}

  def step(p, g, loss, rate, t):
    if t <= a.get('warmup_steps', 0):
      rate = rate * t / a['warmup_steps']
    corrected = 1 - b2**t
    if paper:
      rate, corrected = rate * math.sqrt(corrected), 1
    if rectify:
      last = 2 / (1 - b2) - 1
      rho = last - 2 * t * b2**t / (1 - b2**t)
      if rho <= 4:  # the rate is 0
        for i, d in enumerate(g):
          state['v'][i] = b2 * state['v'][i] + (1 - b2) * d * d
        return p
      r = (rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)
      rate = rate * math.sqrt(r)
    state['top'] = max(state['top'], rate)
    weight = t ** a['r'] * state['top'] ** a['weight_lr_power']
    state['sum'] += weight
    c = weight / state['sum']
    new = []
    for i, (y, d) in enumerate(zip(p, g)):
      v = state['v'][i] = b2 * state['v'][i] + (1 - b2) * d * d
      u = d / (np.sqrt(v / corrected) + a['eps']) + a['weight_decay'] * y
      z = state['z'][i] = state['z'][i] - rate * u
      x = state['x'][i] = (1 - c) * state['x'][i] + c * z
      new.append((1 - b1) * z + b1 * x)
    return new

  step.average = lambda: state['x']
  return step


def hand_schedulefree_sgd(p, a):
  beta = a['momentum']
  state = {'z': list(p), 'x': list(p), 'sum': 0, 'top': 0}

  def step(p, g, loss, rate, t):
    if t <= a['warmup_steps']:
      rate = rate * t / a['warmup_steps']
    state['top'] = max(state['top'], rate)
    weight = t ** a['r'] * state['top'] ** a['weight_lr_power']
    state['sum'] += weight
    c = weight / state['sum']
    new = []
    for i, (y, d) in enumerate(zip(p, g)):
      z = state['z'][i] - rate * (d + a['weight_decay'] * y)
      x = (1 - c) * state['x'][i] + c * z
      state['z'][i], state['x'][i] = z, x
      new.append((1 - beta) * z + beta * x)
    return new

  step.average = lambda: state['x']
  return step


def hand_schedulefree_wrapped(p, a):
  """Around SGD with Nesterov's momentum."""
  beta, decay = a['momentum'], a['weight_decay_at_y']
  inner = a['base_arguments']['momentum']
  state = {'z': list(p), 'x': list(p), 'b': zeros(p), 'sum': 0, 'top': 0}

  def step(p, g, loss, rate, t):
    state['top'] = max(state['top'], rate)
    weight = t ** a['r'] * state['top'] ** a['weight_lr_power']
    state['sum'] += weight
    c = weight / state['sum']
    new = []
    for i, (y, d) in enumerate(zip(p, g)):
      b = state['b'][i] = inner * state['b'][i] + d
      z = state['z'][i] - rate * decay * y - rate * (d + inner * b)
      x = (1 - c) * state['x'][i] + c * z
      state['z'][i], state['x'][i] = z, x
      new.append((1 - beta) * z + beta * x)
    return new

  step.average = lambda: state['x']
  return step


def hand_prodigy(p, a):
  b1, b2 = a['betas']
  b3 = math.sqrt(b2) if a['beta3'] is None else a['beta3']
  d0 = a['d0']
  state = {'d': d0, 'top': d0, 'r': 0.0}
  start, m, v, s = list(p), zeros(p), zeros(p), zeros(p)

  def step(p, g, loss, rate, t):
    d, decay = state['d'], a['weight_decay']
    size = d * rate
    if a['use_bias_correction']:
      size = size * math.sqrt(1 - b2**t) / (1 - b1**t)
    if not a['decouple']:
      g = [gi + decay * pi for gi, pi in zip(g, p)]
    inner = sum((gi * (xi - pi)).sum() for gi, xi, pi in zip(g, start, p))
    state['r'] = b3 * state['r'] + d / d0 * size * inner
    weight = d / d0 * (d if a['safeguard_warmup'] else size)
    for i, gi in enumerate(g):
      m[i] = b1 * m[i] + (1 - b1) * d * gi
      v[i] = b2 * v[i] + (1 - b2) * d * d * gi * gi
      s[i] = b3 * s[i] + weight * gi
    estimate = a['d_coef'] * state['r'] / sum(abs(si).sum() for si in s)
    if d == d0:
      d = max(d, estimate)
    state['top'] = max(state['top'], estimate)
    state['d'] = d = min(state['top'], d * a['growth_rate'])
    new = []
    for i, pi in enumerate(p):
      if a['decouple']:
        pi = pi - size * decay * pi
      new.append(pi - size * m[i] / (np.sqrt(v[i]) + d * a['eps']))
    return new

  return step


def hand_dadapt_adam(p, a):
  b1, b2 = a['betas']
  root = math.sqrt(b2)
  state = {'d': a['d0'], 'r': 0.0}
  m, v, s = zeros(p), zeros(p), zeros(p)

  def step(p, g, loss, rate, t):
    d, decay = state['d'], a['weight_decay']
    size = d * rate
    if a['use_bias_correction']:
      size = size * math.sqrt(1 - b2**t) / (1 - b1**t)
    if not a['decouple']:
      g = [gi + decay * pi for gi, pi in zip(g, p)]
    inner = 0.0
    for i, gi in enumerate(g):
      inner += size * (gi * s[i] / (np.sqrt(v[i]) + a['eps'])).sum()
      m[i] = b1 * m[i] + (1 - b1) * size * gi
      v[i] = b2 * v[i] + (1 - b2) * gi * gi
      s[i] = root * s[i] + (1 - root) * size * gi
    state['r'] = root * state['r'] + (1 - root) * inner
    estimate = state['r'] / ((1 - root) * sum(abs(si).sum() for si in s))
    state['d'] = max(d, min(estimate, d * a['growth_rate']))
    new = []
    for i, pi in enumerate(p):
      if a['decouple']:
        pi = pi - size * decay * pi
      new.append(pi - m[i] / (np.sqrt(v[i]) + a['eps']))
    return new

  return step


def hand_dadapt_sgd(p, a):
  state = {'d': a['d0'], 'r': 0.0}
  start, s = list(p), zeros(p)

  def step(p, g, loss, rate, t):
    d = state['d']
    if t == 1:
      state['g'] = norm(g)
    size = d * rate / state['g']
    for i, (gi, pi) in enumerate(zip(g, p)):
      gi = gi + a['weight_decay'] * pi
      state['r'] += size * (gi * s[i]).sum()
      s[i] = s[i] + size * gi
    estimate = 2 * state['r'] / norm(s)
    state['d'] = max(d, min(estimate, d * a['growth_rate']))
    beta = a['momentum']
    return [
        beta * pi + (1 - beta) * (xi - si) for pi, xi, si in zip(p, start, s)
    ]

  return step


def hand_dadapt_adagrad(p, a):
  state = {'d': a['d0'], 'past': 0.0}
  start, s = list(p), zeros(p)
  total = [1e-6 + 0 * pi for pi in p]

  def step(p, g, loss, rate, t):
    size = state['d'] * rate
    top = 0.0
    for i, gi in enumerate(g):
      total[i] = total[i] + gi * gi
      s[i] = s[i] + size * gi
      bottom = np.sqrt(total[i]) + a['eps']
      state['past'] += size**2 * (gi * gi / bottom).sum()
      top += (s[i] * s[i] / bottom).sum()
    estimate = (top - state['past']) / sum(abs(si).sum() for si in s)
    state['d'] = max(state['d'], estimate)
    return [
        xi - si / (np.sqrt(ti) + a['eps'])
        for xi, si, ti in zip(start, s, total)
    ]

  return step


def hand_dadapt_lion(p, a):
  b1, b2 = a['betas']
  root = math.sqrt(b2)
  state = {'d': a['d0'], 'r': 0.0}
  m, s = zeros(p), zeros(p)

  def step(p, g, loss, rate, t):
    size = state['d'] * rate
    inner, new = 0.0, []
    for i, (pi, gi) in enumerate(zip(p, g)):
      u = np.sign(b1 * m[i] + (1 - b1) * gi)
      new.append(pi - size * a['weight_decay'] * pi - size * u)
      m[i] = b2 * m[i] + (1 - b2) * size * gi
      inner += size * (u * s[i]).sum()
      s[i] = root * s[i] + (1 - root) * size * u
    state['r'] = root * state['r'] + (1 - root) * inner
    estimate = state['r'] / ((1 - root) * sum(abs(si).sum() for si in s))
    state['d'] = max(state['d'], estimate)
    return new

  return step


def hand_adascale_sgd(p, a):
  state = {'b': None, 'sqr': 0.0, 'var': 0.0}
  part, scale = a['smoothing'], 2
  momentum = a['base_arguments']['momentum']

  def step(p, g, loss, rate, t):
    square = norm(g) ** 2
    noise = math.cos(t) ** 2 * norm([np.array(n) for n in NOISE]) ** 2
    var = noise * scale / (2 - 1)
    sqr = max(square - var / scale, 0)
    state['sqr'] = part * state['sqr'] + (1 - part) * sqr
    state['var'] = part * state['var'] + (1 - part) * max(var, 1e-6)
    sqr, var = (state[k] / (1 - part**t) for k in ('sqr', 'var'))
    gain = (var + sqr) / (var / scale + sqr)
    b = state['b'] or zeros(p)
    state['b'] = b = [momentum * bi + gi for bi, gi in zip(b, g)]
    return [pi - rate * gain * bi for pi, bi in zip(p, b)]

  return step


def hand_sps_safe(p, a):
  def step(p, g, loss, rate, t):
    size = (loss - a['ell_star']) / max(a['M'], norm(g) ** 2)
    return [pi - size * gi for pi, gi in zip(p, g)]

  return step


def hand_dog(p, a, layers=False):
  start = list(p)
  state = {}

  def step(p, g, loss, rate, t):
    g = [gi + a['weight_decay'] * pi for gi, pi in zip(g, p)]
    parts = [[i] for i in range(len(p))] if layers else [range(len(p))]
    new = list(p)
    for part in parts:
      s = state.setdefault(part[0], {})
      if t == 1:
        s['r'] = a['reps_rel'] * (1 + norm([p[i] for i in part]))
        s['G'] = a['eps']
      else:
        s['r'] = max(s['r'], norm([p[i] - start[i] for i in part]))
      s['G'] += norm([g[i] for i in part]) ** 2
      eta = rate * s['r'] / math.sqrt(s['G'])
      if t == 1 and a.get('init_eta') is not None:
        s['r'], eta = 0.0, a['init_eta']
      for i in part:
        new[i] = p[i] - eta * g[i]
    gamma = a.get('gamma')
    if gamma is not None:
      c = (gamma + 1) / (gamma + t)
      old = state.get('mean', start)
      state['mean'] = [(1 - c) * o + c * v for o, v in zip(old, new)]
    return new

  if a.get('gamma') is not None:
    step.average = lambda: state['mean']
  return step


def hand_dowg(p, a):
  start, state = list(p), {'r': a['eps'], 'v': 0.0}

  def step(p, g, loss, rate, t):
    distance = norm([pi - xi for pi, xi in zip(p, start)]) ** 2
    state['r'] = max(state['r'], distance)
    state['v'] += state['r'] * norm(g) ** 2
    eta = state['r'] / (math.sqrt(state['v']) + a['eps'])
    return [pi - eta * gi for pi, gi in zip(p, g)]

  return step


@each
def hand_adamw(p, g, s, a, rate, t):
  b1, b2 = a['betas']
  p = p - rate * a['weight_decay'] * p
  s['m'] = b1 * s.get('m', 0) + (1 - b1) * g
  s['v'] = b2 * s.get('v', 0) + (1 - b2) * g * g
  m, v = s['m'] / (1 - b1**t), s['v'] / (1 - b2**t)
  return p - rate * m / (np.sqrt(v) + a['eps'])


def hand_mechanic(p, a):
  base = None
  if a['base'].endswith('AdamW'):
    base = hand_adamw(p, a['base_arguments'])
  betas = np.array(a['betas'])
  n, eps = len(betas), a['eps']
  start = list(p)
  state = {'s': 0 * betas, 'm': 0 * betas + 1e-6, 'v': 0 * betas, 'r': 0 * betas}
  kept = {'delta': zeros(p)}

  def step(p, g, loss, rate, t):
    total = state['s'].sum()
    if base:
      moved = base(p, g, loss, rate, t)
    else:
      moved = [pi - rate * gi for pi, gi in zip(p, g)]
    if a['store_delta']:
      delta = kept['delta']
    else:
      delta = [(pi - xi) / (total + eps) for pi, xi in zip(p, start)]
    ratio = a['s_decay'] * total * norm(g) / (norm(moved) + eps)
    h = sum(
        (di * (gi + ratio * mi)).sum() for di, gi, mi in zip(delta, g, moved)
    )
    delta = [di + mi - pi for di, mi, pi in zip(delta, moved, p)]
    kept['delta'] = delta
    state['m'] = np.maximum(betas * state['m'], abs(h))
    state['v'] = betas**2 * state['v'] + h * h
    state['r'] = np.maximum(betas * state['r'] - state['s'] * h, 0)
    wealth = state['m'] * a['s_init'] / n + state['r']
    state['s'] = wealth / (np.sqrt(state['v']) + eps)
    total = max(state['s'].sum(), 0)
    return [xi + di * total for xi, di in zip(start, delta)]

  return step


def hand_momo(p, a):
  state = {'m': None, 'lb': a['lb']}

  def step(p, g, loss, rate, t):
    beta, decay = a['beta'], a['weight_decay']
    dot = sum((gi * pi).sum() for gi, pi in zip(g, p))
    rho = 1
    if t == 1:
      first = 0 if a['bias_correction'] else 1
      state.update(m=[first * gi for gi in g], f=first * loss, c=first * dot)
    if a['bias_correction']:
      rho = 1 - beta**t
    m = state['m'] = [
        beta * mi + (1 - beta) * gi for mi, gi in zip(state['m'], g)
    ]
    state['f'] = beta * state['f'] + (1 - beta) * loss
    state['c'] = beta * state['c'] + (1 - beta) * dot
    top = 1 + rate * decay
    inner = sum((mi * pi).sum() for mi, pi in zip(m, p))
    h = state['f'] - state['c'] + inner  # use_fstar is tried without decay
    if a['use_fstar'] and h < rho * state['lb']:
      state['lb'] = max(h / (2 * rho), a['lb'])
    gap = top * (state['f'] - rho * state['lb'] - state['c']) + inner
    tau = min(rate / rho, max(gap, 0) / norm(m) ** 2)
    if a['use_fstar']:
      state['lb'] = max((h - tau * norm(m) ** 2 / 2) / rho, a['lb'])
    return [(pi - tau * mi) / top for pi, mi in zip(p, m)]

  return step


def hand_momo_adam(p, a):
  state = {'m': zeros(p), 'v': zeros(p), 'f': 0.0, 'c': 0.0}

  def step(p, g, loss, rate, t):
    b1, b2 = a['betas']
    decay = a['weight_decay']
    dot = sum((gi * pi).sum() for gi, pi in zip(g, p))
    m = [b1 * mi + (1 - b1) * gi for mi, gi in zip(state['m'], g)]
    v = [b2 * vi + (1 - b2) * gi * gi for vi, gi in zip(state['v'], g)]
    state.update(m=m, v=v)
    state['f'] = b1 * state['f'] + (1 - b1) * loss
    state['c'] = b1 * state['c'] + (1 - b1) * dot
    d = [np.sqrt(vi / (1 - b2**t)) + a['eps'] for vi in v]
    rho, top = 1 - b1**t, 1 + rate * decay
    gap = top * (state['f'] - rho * a['lb'] - state['c'])
    gap += sum((mi * pi).sum() for mi, pi in zip(m, p))
    size = sum((mi * mi / di).sum() for mi, di in zip(m, d))
    tau = min(rate / rho, max(gap, 0) / size)
    if not a['divide']:
      p = [pi - rate * decay * pi for pi in p]
    p = [pi - tau * mi / di for pi, mi, di in zip(p, m, d)]
    return [pi / top for pi in p] if a['divide'] else p

  return step


def hand_sps(p, a):
  state = {'p': list(p), 'rate': a.get('init_step_size')}

  def step(p, g, loss, rate, t):
    size = (1 - a['beta']) * loss / (a['c'] * norm(g) ** 2)
    if 'gamma_max' in a:
      size = min(size, (1 - a['beta']) * a['gamma_max'])
    else:
      grow = a['gamma'] ** (1 / a['n_batches_per_epoch'])
      size = state['rate'] = min(size, grow * state['rate'])
    old, state['p'] = state['p'], p
    return [
        pi - size * gi + a['beta'] * (pi - oi)
        for pi, gi, oi in zip(p, g, old)
    ]

  return step


def hand_alig(p, a):
  state = {'v': zeros(p)}

  def step(p, g, loss, rate, t):
    size, mu = min(loss / (norm(g) ** 2 + 1e-6), rate), a['momentum']
    new = []
    for i, (pi, gi) in enumerate(zip(p, g)):
      if a['adjusted_momentum']:
        state['v'][i] = mu * state['v'][i] - gi
        new.append(pi - size * gi + size * mu * state['v'][i])
      else:
        state['v'][i] = mu * state['v'][i] - size * gi
        new.append(pi - size * gi + mu * state['v'][i])
    return new

  return step


def by_hand(hand, arguments, rate, steps):
  """The parameters of the NumPy version, and their averages."""
  p = starts(0)
  step = hand(p, tuples(arguments))
  points, averages = [], []
  for t in range(1, max(steps) + 1):
    loss, g = gradient(*p, np)
    p = step(p, g, loss, rate, t)
    if t in steps:
      if not np.isfinite(flat(p)).all():
        break
      points.append(flat(p))
      if hasattr(step, 'average'):
        averages.append(flat(step.average()))
  return points, averages


def apart(a, b):
  """The greatest difference, relative above 1."""
  a, b = np.array(a), np.array(b)
  return float((abs(a - b) / np.maximum(1, abs(b))).max())


# The runs.

RUNS = {}


def add(name, cls, arguments, rates, note, hand=None, kind='plain', **more):
  """Adds a run; `rates` has one rate, or the rates before and after CHANGE."""
  RUNS[name] = {
      'class': cls,
      'kind': kind,
      'arguments': arguments,
      'rates': list(rates),
      'rate_argument': more.pop('rate_argument', 'lr'),
      'patched': more.pop('patched', None),
      'note': ' '.join(note.split()),
      'hand': hand,
      **more,
  }


def same(name, **changes):
  """A run's arguments with changes."""
  return {**RUNS[name]['arguments'], **changes}


# Classic.

add(
    'adadelta',
    'torch.optim.Adadelta',
    {'rho': 0.9, 'eps': 1e-6, 'weight_decay': 0},
    (0.5, 2.0),
    """As the paper: both roots are sqrt(average + eps); averages start at 0;
    the average of updates is before the rate. First step: lr * sqrt(eps) * g /
    sqrt((1-rho) g^2 + eps). Decay is coupled.""",
    hand_adadelta,
)
add(
    'adadelta_decay',
    'torch.optim.Adadelta',
    {'rho': 0.95, 'eps': 1e-5, 'weight_decay': 0.05},
    (0.3,),
    'As adadelta; decay is added to the gradient (coupled).',
    hand_adadelta,
)
add(
    'adamax',
    'torch.optim.Adamax',
    {'betas': [0.9, 0.999], 'eps': 1e-8, 'weight_decay': 0},
    (0.02, 0.005),
    """DEPARTS: u = max(b2 u, |g| + eps), eps inside the max (the paper has no
    eps); m / (1-b1^t) / u; u is not bias-corrected. First step: about
    lr sign(g).""",
    hand_adamax,
)
add(
    'adamax_paper',
    'torch.optim.Adamax',
    {'betas': [0.9, 0.99], 'eps': 0.0, 'weight_decay': 0},
    (0.02,),
    'As the paper: no eps.',
    hand_adamax,
)
add(
    'adamax_decay',
    'torch.optim.Adamax',
    {'betas': [0.9, 0.999], 'eps': 1e-8, 'weight_decay': 0.05},
    (0.02,),
    'As adamax; decay is coupled.',
    hand_adamax,
)
add(
    'adam_amsgrad',
    'torch.optim.Adam',
    {'betas': [0.9, 0.9], 'eps': 1e-8, 'weight_decay': 0.05, 'amsgrad': True},
    (0.02, 0.005),
    """DEPARTS from Reddi: max of the raw v, then divided by 1-b2^t (the paper
    corrects nothing). eps outside the root, after correction; coupled
    decay.""",
    hand_amsgrad,
)
add(
    'adamw_amsgrad',
    'torch.optim.AdamW',
    {'betas': [0.9, 0.9], 'eps': 1e-8, 'weight_decay': 0.05, 'amsgrad': True},
    (0.02,),
    'As adam_amsgrad; decoupled decay lr * wd * x before the step.',
    lambda p, a: hand_amsgrad(p, {**a, 'decoupled': True}),
)
add(
    'radam',
    'torch.optim.RAdam',
    {'betas': [0.9, 0.999], 'eps': 1e-8, 'weight_decay': 0},
    (0.01, 0.003),
    """DEPARTS: rectifies when rho_t > 5 (paper: > 4), so from step 6 at b2
    0.999; before that m / (1-b1^t) without the root. sqrt(1-b2^t) * r_t /
    (sqrt(v) + eps): eps is added before the bias correction.""",
    hand_radam,
)
add(
    'radam_decay',
    'torch.optim.RAdam',
    {'betas': [0.9, 0.99], 'eps': 1e-6, 'weight_decay': 0.05},
    (0.01,),
    'As radam; coupled decay.',
    hand_radam,
)
add(
    'radam_decoupled',
    'torch.optim.RAdam',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-8,
        'weight_decay': 0.05,
        'decoupled_weight_decay': True,
    },
    (0.01,),
    'As radam; x *= 1 - lr wd before the step.',
    hand_radam,
)
add(
    'nadam_decay',
    'torch.optim.NAdam',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-8,
        'momentum_decay': 4e-3,
        'weight_decay': 0.05,
    },
    (0.02, 0.005),
    """mu_t = b1 (1 - 0.5 * 0.96^(t * 0.004)); step (1-mu_t) g / (1 - prod mu_1..t)
    + mu_t+1 m / (1 - prod mu_1..t+1) over sqrt(v/(1-b2^t)) + eps; m is the
    EMA with b1 itself; coupled decay.""",
    hand_nadam,
)
add(
    'adabelief',
    'adabelief_pytorch.AdaBelief',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-8,
        'weight_decay': 0.0,
        'weight_decouple': True,
        'rectify': False,
        'print_change_log': False,
    },
    (0.02, 0.005),
    """As the paper: s = b2 s + (1-b2)(g-m)^2 + eps, so eps accumulates in s
    (not bias-corrected away); m is the new m; m/(1-b1^t) /
    (sqrt(s/(1-b2^t)) + eps), eps twice. First step: g - m = 0.9 g.""",
    hand_adabelief,
)
add(
    'adabelief_decay',
    'adabelief_pytorch.AdaBelief',
    same('adabelief', weight_decay=0.05, eps=1e-10),
    (0.02,),
    'As adabelief; decoupled: x *= 1 - lr wd before the step.',
    hand_adabelief,
)
add(
    'adabelief_coupled',
    'adabelief_pytorch.AdaBelief',
    same('adabelief', weight_decay=0.05, weight_decouple=False),
    (0.02,),
    'As adabelief; decay is added to the gradient.',
    hand_adabelief,
)
add(
    'adabelief_amsgrad',
    'adabelief_pytorch.AdaBelief',
    same('adabelief', amsgrad=True, betas=[0.9, 0.9]),
    (0.02,),
    'As adabelief; the root is of max(s) over steps, then bias-corrected.',
    hand_adabelief,
)
add(
    'adabelief_rectify',
    'adabelief_pytorch.AdaBelief',
    same('adabelief', rectify=True, degenerated_to_sgd=True, eps=1e-16),
    (0.01,),
    """The package's default: RAdam's rectification when rho_t >= 5, else
    lr m/(1-b1^t); then sqrt(s) + eps without bias correction in the
    denominator (it is in the rectified rate).""",
    hand_adabelief,
)
add(
    'yogi',
    'torch_optimizer.Yogi',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-3,
        'initial_accumulator': 1e-6,
        'weight_decay': 0,
    },
    (0.01, 0.003),
    """DEPARTS: the paper has no bias correction and m0 = 0; here m0 = v0 =
    initial_accumulator, and both are bias-corrected, so a zero gradient moves
    the parameters. eps outside the root, after correction.""",
    hand_yogi,
)
add(
    'yogi_coupled',
    'torch_optimizer.Yogi',
    same('yogi', weight_decay=0.05, initial_accumulator=0.01),
    (0.01,),
    'As yogi; coupled decay.',
    hand_yogi,
)
add(
    'yogi_decoupled',
    'pytorch_optimizer.Yogi',
    same('yogi', weight_decay=0.05, weight_decouple=True),
    (0.01,),
    'As yogi; decoupled decay before the step.',
    hand_yogi,
)
add(
    'yogi_paper',
    'numpy',
    {'betas': [0.9, 0.999], 'eps': 1e-3, 'initial_accumulator': 1e-6},
    (0.01,),
    """By hand from the paper, for no package does this: no bias correction,
    m0 = 0, v0 = initial_accumulator; lr m / (sqrt(v) + eps).""",
    hand_yogi_paper,
    kind='numpy',
)
add(
    'lion',
    'lion_pytorch.Lion',
    {'betas': [0.9, 0.99], 'weight_decay': 0.0},
    (0.01, 0.003),
    """As the paper: sign(b1 m + (1-b1) g), then m = b2 m + (1-b2) g; m0 = 0;
    sign(0) = 0. First step: lr sign(g).""",
    hand_lion,
)
add(
    'lion_decay',
    'lion_pytorch.Lion',
    {'betas': [0.95, 0.98], 'weight_decay': 0.1},
    (0.01,),
    'As lion; x *= 1 - lr wd before the step.',
    hand_lion,
)
add(
    'lars',
    'timm.optim.lars.Lars',
    {
        'momentum': 0.9,
        'weight_decay': 0.05,
        'trust_coeff': 0.02,
        'eps': 1e-8,
        'nesterov': False,
    },
    (1.0, 0.3),
    """Trust ratio c |w| / (|g| + wd |w| + eps) per tensor (1 if either norm is
    0), times (g + wd w); momentum buffer starts at the first step's value.
    DEPARTS: lr multiplies after the momentum (paper: before), so a changed
    rate acts at once. Vectors too.""",
    hand_lars,
)
add(
    'lars_nesterov',
    'timm.optim.lars.Lars',
    {
        'momentum': 0.9,
        'weight_decay': 0.0,
        'trust_coeff': 0.0005,
        'eps': 0.0,
        'nesterov': True,
        'always_adapt': True,
    },
    (1.0,),
    """As lars; step d + momentum * buffer. always_adapt, for timm leaves the
    trust ratio out where the decay is 0.""",
    hand_lars,
)
add(
    'lamb',
    'timm.optim.lamb.Lamb',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-6,
        'weight_decay': 0.01,
        'max_grad_norm': None,
    },
    (0.005, 0.002),
    """As the paper with phi the identity: u = m^/(sqrt(v^) + eps) + wd w,
    both bias-corrected; lr |w|/|u| u per tensor; ratio 1 if either norm is
    0.""",
    hand_lamb,
)
add(
    'lamb_no_decay',
    'timm.optim.lamb.Lamb',
    same('lamb', weight_decay=0.0, always_adapt=True),
    (0.005,),
    'As lamb; always_adapt, for timm skips the ratio where the decay is 0.',
    hand_lamb,
)
add(
    'lamb_clipped',
    'timm.optim.lamb.Lamb',
    same('lamb', max_grad_norm=1.0, trust_clip=True),
    (0.02,),
    """timm's default: first all gradients are divided by max(1, global
    norm / max_grad_norm); trust_clip: ratio at most 1.""",
    hand_lamb_clipped,
)
add(
    'lamb_uncorrected',
    'torch_optimizer.Lamb',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-6,
        'weight_decay': 0.01,
        'clamp_value': 2,
        'debias': False,
    },
    (0.01,),
    """DEPARTS: no bias correction (as version 1 of the paper); |w| is clamped
    to [0, clamp_value].""",
    hand_lamb,
)
add(
    'novograd',
    'timm.optim.nvnovograd.NvNovoGrad',
    {
        'betas': [0.95, 0.98],
        'eps': 1e-8,
        'weight_decay': 0.01,
        'grad_averaging': False,
    },
    (0.01, 0.003),
    """As the paper: v1 = |g|^2 per tensor, then an EMA; m = b1 m + g/(sqrt(v) +
    eps) + wd x, m0 = 0; no bias correction; x -= lr m.""",
    hand_novograd,
)
add(
    'novograd_averaged',
    'timm.optim.nvnovograd.NvNovoGrad',
    same('novograd', grad_averaging=True, weight_decay=0.0),
    (0.05,),
    'As novograd; (1-b1) multiplies what is added to m.',
    hand_novograd,
)
add(
    'sm3',
    'pytorch_optimizer.SM3',
    {'momentum': 0.9, 'beta': 0.0, 'eps': 1e-30},
    (0.1, 0.03),
    """SM3-II: nu = min_r mu_r + g^2, mu_r = max of nu; g/sqrt(nu + eps); then
    momentum as an EMA, (1-0.9) on the new; mu0 = m0 = 0. A vector is
    AdaGrad.""",
    hand_sm3,
)
add(
    'sm3_plain',
    'pytorch_optimizer.SM3',
    {'momentum': 0.0, 'beta': 0.0, 'eps': 1e-30},
    (0.1,),
    'As sm3, without momentum.',
    hand_sm3,
)

# Adafactor and CAME.

FACTOR = {
    'eps': [1e-30, 1e-3],
    'clip_threshold': 1.0,
    'decay_rate': -0.8,
    'beta1': None,
    'weight_decay': 0.0,
    'scale_parameter': True,
    'relative_step': True,
    'warmup_init': False,
}
HUGGING = 'transformers.optimization.Adafactor'
add(
    'adafactor_relative',
    HUGGING,
    FACTOR,
    (None,),
    """As the paper: lr = max(1e-3, rms(x)) min(0.01, 1/sqrt(t)), rms before
    the step; b2_t = 1 - t^-0.8 (0 at t=1); eps 1e-30 added to g^2; row and
    column means; u clipped to rms 1; every matrix is factored, a vector is
    not.""",
    hand_adafactor,
    rate_argument=None,
)
add(
    'adafactor_warmup',
    HUGGING,
    {**FACTOR, 'warmup_init': True, 'beta1': 0.9, 'weight_decay': 0.05},
    (None,),
    """As adafactor_relative; min(1e-6 t, 1/sqrt(t)); the EMA with beta1 is of
    lr * u (no bias correction); x *= 1 - wd * lr (scaled lr) before the
    step.""",
    hand_adafactor,
    rate_argument=None,
)
add(
    'adafactor',
    HUGGING,
    {
        **FACTOR,
        'relative_step': False,
        'scale_parameter': False,
        'weight_decay': 0.05,
    },
    (0.004, 0.01),
    'As adafactor_relative with lr itself; x *= 1 - wd lr before the step.',
    hand_adafactor,
)
add(
    'adafactor_scaled',
    HUGGING,
    {**FACTOR, 'relative_step': False, 'beta1': 0.9},
    (0.02, 0.005),
    'lr * max(1e-3, rms(x)); momentum over lr * u.',
    hand_adafactor,
)
add(
    'adafactor_torch',
    'torch.optim.Adafactor',
    {'beta2_decay': -0.8, 'eps': [None, 1e-3], 'd': 1.0, 'weight_decay': 0.05},
    (0.004, 0.01),
    """DEPARTS: rate max(1e-3, rms(x)) min(lr, 1/sqrt(t)), rms before decay;
    eps1 = 2.2e-16 (of float64) is not added to g^2 but floors the row mean,
    and eps1^2 floors v; decay lr wd with the unscaled lr, before.""",
    hand_adafactor_torch,
)
add(
    'adafactor_big_vision',
    'timm.optim.adafactor_bv.AdafactorBigVision',
    {
        'min_dim_size_to_factor': 2,
        'decay_rate': 0.8,
        'beta2_cap': 0.999,
        'momentum': 0.9,
        'momentum_dtype': 'float64',
        'weight_decay': 0.01,
        'clipping_threshold': 1.0,
    },
    (0.02,),
    """Scaling ViT's form: b2_t = min(0.999, 1 - t^-0.8), eps 1e-30 added to
    g^2, momentum over u before lr, no rms(x) scale; x *= 1 - lr wd before the
    step.""",
    hand_adafactor_vision,
)
add(
    'came',
    'came_pytorch.CAME',
    {
        'eps': [1e-30, 1e-16],
        'clip_threshold': 1.0,
        'betas': [0.9, 0.999, 0.9999],
        'weight_decay': 0.0,
    },
    (0.01, 0.003),
    """As the paper: g^2 + eps1, row and column means, no bias correction; u
    clipped to rms 1; m EMA; residual (u - m)^2 + eps2, m after its update;
    step m / sqrt(factored residual). A vector has no residual: step m. First
    step of a matrix: lr times 3 to 24 here (1/sqrt(1-b3) is not
    corrected), of a vector lr * 0.1.""",
    hand_came,
)
add(
    'came_decay',
    'came_pytorch.CAME',
    {
        'eps': [1e-30, 1e-16],
        'clip_threshold': 0.5,
        'betas': [0.9, 0.99, 0.99],
        'weight_decay': 0.1,
    },
    (0.005,),
    'As came; x *= 1 - lr wd before the step.',
    hand_came,
)

# Newer Adam-like methods.

add(
    'adan',
    'timm.optim.adan.Adan',
    {
        'betas': [0.98, 0.92, 0.99],
        'eps': 1e-8,
        'weight_decay': 0.02,
        'no_prox': False,
    },
    (0.02, 0.005),
    """As sail-sg/Adan: betas are decays (paper: 1 - beta); m, v, n start at 0
    and are bias-corrected (paper: m0 = g0, n0 = g0^2, no correction);
    difference 0 at t=1; n of (g + b2 (g - g_1))^2; (m^ + b2 v^) /
    (sqrt(n^) + eps); then x /= 1 + lr wd.""",
    hand_adan,
)
add(
    'adan_no_prox',
    'timm.optim.adan.Adan',
    same('adan', no_prox=True),
    (0.02,),
    'As adan; x *= 1 - lr wd before the step.',
    hand_adan,
)
add(
    'adopt',
    'timm.optim.adopt.Adopt',
    {
        'betas': [0.9, 0.9999],
        'eps': 1e-6,
        'clip_exp': 0.25,
        'weight_decay': 0.0,
        'decoupled': False,
    },
    (0.02, 0.005),
    """As version 2 of the paper: step 1 only sets v = g^2 and moves nothing;
    then g / max(sqrt(v of before), eps), clipped to (t-1)^0.25, m EMA from 0
    without correction, x -= lr m, and v last. timm's default clip_exp is
    0.333.""",
    hand_adopt,
)
add(
    'adopt_clipped',
    'timm.optim.adopt.Adopt',
    same('adopt', betas=[0.9, 0.5]),
    (0.1,),
    'As adopt, where the clip acts (between steps 10 and 50).',
    hand_adopt,
)
add(
    'adopt_unclipped',
    'timm.optim.adopt.Adopt',
    same('adopt', clip_exp=None, betas=[0.9, 0.5]),
    (0.1,),
    'Version 1 of the paper: as adopt_clipped without the clip.',
    hand_adopt,
)
add(
    'adopt_decoupled',
    'timm.optim.adopt.Adopt',
    same('adopt', weight_decay=0.1, decoupled=True, betas=[0.9, 0.99]),
    (0.02,),
    'As adopt; x *= 1 - lr wd before the step, but not at step 1.',
    hand_adopt,
)
add(
    'adopt_coupled',
    'timm.optim.adopt.Adopt',
    same('adopt', weight_decay=0.1, betas=[0.9, 0.9]),
    (0.02,),
    'As adopt; decay is added to the gradient, in v at step 1 too.',
    hand_adopt,
)
add(
    'adopt_late_clip',
    'pytorch_optimizer.ADOPT',
    {
        'betas': [0.9, 0.5],
        'eps': 1e-6,
        'clip_power': 0.25,
        'weight_decay': 0.1,
        'weight_decouple': True,
    },
    (0.1,),
    """DEPARTS twice from the authors: the clip is t^0.25 with t counting the
    first, idle step (authors: t-1), and decoupled decay acts at step 1
    too.""",
    lambda p, a: hand_adopt(
        p,
        {
            **a,
            'late': True,
            'decoupled': a['weight_decouple'],
            'clip_exp': a['clip_power'],
        },
    ),
    kind='adopt_clip',
)
add(
    'ademamix',
    'pytorch_optimizer.AdEMAMix',
    {
        'betas': [0.9, 0.999, 0.999],
        'alpha': 5.0,
        't_alpha_beta3': None,
        'eps': 1e-8,
        'weight_decay': 0.0,
        'weight_decouple': True,
    },
    (0.01, 0.003),
    """As the paper: (m1/(1-b1^t) + alpha m2) / (sqrt(v/(1-b2^t)) + eps); m2
    starts at 0 and is not corrected; alpha and b3 constant here.""",
    hand_ademamix,
)
add(
    'ademamix_warmup',
    'pytorch_optimizer.AdEMAMix',
    same('ademamix', t_alpha_beta3=40, weight_decay=0.05),
    (0.01, 0.003),
    """As ademamix; alpha_t = alpha min(t/T, 1); log b3_t = log b1 log b3 /
    ((1-t/T) log b3 + t/T log b1), at most b3 (Apple's code adds 1e-8 to each
    beta there, which is seen in the 9th digit); decoupled decay lr wd
    before.""",
    hand_ademamix,
)
add(
    'mars',
    'timm.optim.mars.Mars',
    {
        'betas': [0.95, 0.99],
        'eps': 1e-8,
        'weight_decay': 0.02,
        'gamma': 0.025,
        'mars_type': 'adamw',
        'optimize_1d': True,
    },
    (0.02, 0.005),
    """As the paper: c = g + gamma b1/(1-b1) (g - g_1), c = g at t=1; c divided
    by max(1, |c|) per tensor; Adam on c, eps outside the root after
    correction; lr (u + wd x).""",
    hand_mars,
)
add(
    'mars_matrices',
    'timm.optim.mars.Mars',
    same('mars', optimize_1d=False, lr_1d_factor=0.5, betas_1d=[0.9, 0.95]),
    (0.02,),
    'As mars, but vectors go by AdamW with betas_1d and lr * lr_1d_factor.',
    hand_mars,
)
add(
    'mars_lion',
    'timm.optim.mars.Mars',
    same('mars', mars_type='lion'),
    (0.01,),
    'As mars with sign(m), m the EMA of c with b1.',
    hand_mars,
)
add(
    'mars_zero_start',
    'pytorch_optimizer.MARS',
    {
        'betas': [0.95, 0.99],
        'eps': 1e-8,
        'weight_decay': 0.02,
        'weight_decay_1d': 0.02,
        'weight_decouple': True,
        'gamma': 0.025,
        'mars_type': 'adamw',
        'optimize_1d': True,
    },
    (0.02,),
    """As AGI-Arena/MARS: the gradient before the first is 0, so c_1 =
    (1 + gamma b1/(1-b1)) g (clipped). DEPARTS: sqrt(v + 1e-15) + eps before
    the correction; decay before the step.""",
    lambda p, a: hand_mars(p, {**a, 'zero': True}),
)
add(
    'cautious_adamw',
    'timm.optim.adamw.AdamWLegacy',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-8,
        'weight_decay': 0.02,
        'caution': True,
    },
    (0.02, 0.005),
    """As the paper: mask m g > 0, divided by max(mean of the mask, 1e-3) per
    tensor; m itself is kept unmasked; decoupled decay, unmasked, before.
    (pytorch_optimizer scales by size/(count + 1) instead.)""",
    hand_cautious_adamw,
)
add(
    'cautious_lion',
    'timm.optim.lion.Lion',
    {'betas': [0.9, 0.99], 'weight_decay': 0.05, 'caution': True},
    (0.01, 0.003),
    """As cautious_adamw, for Lion's sign. (lion_pytorch's own cautious Lion
    floors the mean at 1e-5.)""",
    hand_cautious_lion,
)
add(
    'cautious_adan',
    'timm.optim.adan.Adan',
    same('adan', caution=True),
    (0.02,),
    'As adan; the mask is on m alone, not on the difference.',
    hand_adan,
)
add(
    'cautious_adopt',
    'timm.optim.adopt.Adopt',
    same('adopt', caution=True),
    (0.02,),
    'As adopt; the mask is of m g, not in the state.',
    hand_adopt,
)
add(
    'grams',
    'grams.Grams',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-6,
        'weight_decay': 0.0,
        'correct_bias': True,
    },
    (0.02, 0.005),
    """sign(g) |m| sqrt(1-b2^t)/(1-b1^t) / (sqrt(v) + eps). DEPARTS: eps is
    added before the bias correction (paper: after).""",
    hand_grams,
)
add(
    'grams_decay',
    'grams.Grams',
    same('grams', weight_decay=0.05),
    (0.02,),
    'As grams; x *= 1 - lr wd before the step.',
    hand_grams,
)
add(
    'grams_eps_after',
    'pytorch_optimizer.Grams',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-3,
        'weight_decay': 0.05,
        'weight_decouple': True,
    },
    (0.02,),
    'As the paper: eps after the bias correction; decoupled decay before.',
    hand_grams,
)

# Matrices.

POLAR_EXPRESS = [
    (8.237312490495555, -23.157747414558198, 16.680568411445915),
    (4.082441999064835, -2.893047735332586, 0.5252849256975648),
    (3.9263479922546582, -2.8547468034765298, 0.5318022422894988),
    (3.2982187133085143, -2.424541981026706, 0.48632008358844075),
    (2.2970369434552573, -1.63662558125903, 0.4002628455953627),
]
BESIDE = {'betas': [0.9, 0.95], 'eps': 1e-8, 'weight_decay': 0.0}
WIDE = 'in float64 where the package has bfloat16'
add(
    'muon',
    'torch.optim.Muon',
    {
        'momentum': 0.95,
        'nesterov': True,
        'weight_decay': 0.1,
        'vector': BESIDE,
    },
    (0.004, 0.01),
    """Matrix by Muon, vector by torch.optim.AdamW at the same rate. b = 0.95 b
    + 0.05 g from 0; Nesterov: 0.05 g + 0.95 b; no bias correction; 5
    Newton-Schulz steps 3.4445, -4.775, 2.0315, on the transpose where rows >
    columns, after division by max(|.|_F, 1e-7); x *= 1 - lr wd, then lr
    sqrt(max(1, rows/columns)).""",
    hand_muon,
    kind='muon',
    patched=WIDE,
)
add(
    'muon_match_rms',
    'torch.optim.Muon',
    {
        'momentum': 0.95,
        'nesterov': False,
        'weight_decay': 0.0,
        'adjust_lr_fn': 'match_rms_adamw',
        'vector': BESIDE,
    },
    (0.01, 0.02),
    'As muon; no Nesterov; lr * 0.2 sqrt(max(rows, columns)).',
    hand_muon,
    kind='muon',
    patched=WIDE,
)
add(
    'muon_keller',
    'muon.SingleDeviceMuonWithAuxAdam',
    {
        'matrix': {'momentum': 0.95, 'weight_decay': 0.1},
        'vector': {'betas': [0.9, 0.95], 'eps': 1e-10, 'weight_decay': 0.0},
    },
    (0.004, 0.01),
    """As muon, of the method's author; division by |.|_F + 1e-7 (torch: max):
    8e-10 from muon after one step, 2e-8 after 200.""",
    lambda p, a: hand_muon(p, {**a, 'eps_added': True}),
    kind='groups',
    patched=WIDE,
)
add(
    'muon_polar_express',
    'pytorch_optimizer.Muon',
    {
        'matrix': {
            'momentum': 0.95,
            'nesterov': True,
            'weight_decay': 0.0,
            'ns_steps': 5,
            'ns_coeffs': 'polar_express',
        },
        'vector': {'betas': [0.9, 0.95], 'eps': 1e-10, 'weight_decay': 0.0},
    },
    (0.004,),
    """As muon with the first five triples of Polar Express, """
    f'{POLAR_EXPRESS}.',
    lambda p, a: hand_muon(p, {**a, 'triples': POLAR_EXPRESS}),
    kind='groups',
    patched=WIDE,
)
add(
    'muon_adjusted',
    'pytorch_optimizer.Muon',
    {
        'matrix': {
            'momentum': 0.9,
            'nesterov': True,
            'weight_decay': 0.1,
            'ns_steps': 5,
            'use_adjusted_lr': True,
        },
        'vector': {'betas': [0.9, 0.95], 'eps': 1e-10, 'weight_decay': 0.0},
    },
    (0.004,),
    'As muon; lr * 0.2 sqrt(max(rows, columns)), as muon_match_rms.',
    hand_muon,
    kind='groups',
    patched=WIDE,
)
add(
    'soap',
    'pytorch_optimizer.SOAP',
    {
        'betas': [0.95, 0.95],
        'eps': 1e-3,
        'weight_decay': 0.01,
        'precondition_frequency': 10,
    },
    (0.02, 0.005),
    """As nikhilvyas/SOAP: step 1 moves nothing; L, R = (1-b2) g g' from 0,
    eigenvectors (largest first); Adam from step 2, bias correction with t-1,
    sqrt(v) + eps before correction; m kept unrotated, v rotated; after the
    step x *= 1 - lr wd, then L, R; when (t-1) % 10 == 0: order by diag Q'LQ, v
    with it, Q = qr(L Q). Vectors: Adam. Signs do not matter.""",
    hand_soap,
    patched='the QR in float64 where the package has float32',
)
add(
    'soap_often',
    'pytorch_optimizer.SOAP',
    same('soap', precondition_frequency=1, weight_decay=0.0),
    (0.02,),
    'As soap, with a new basis after every step.',
    hand_soap,
    patched='the QR in float64 where the package has float32',
)

# Learning-rate-free.

DADAPT = {
    'betas': [0.9, 0.999],
    'eps': 1e-8,
    'weight_decay': 0.0,
    'decouple': False,
    'use_bias_correction': False,
    'd0': 1e-6,
    'growth_rate': 'inf',
}
add(
    'dadapt_sgd',
    'dadaptation.DAdaptSGD',
    {
        'momentum': 0.9,
        'weight_decay': 0.0,
        'd0': 1e-6,
        'growth_rate': 'inf',
    },
    (1.0, 0.3),
    """One d for all tensors. size = d lr / |g_1|; r += size <g, s>, s += size g
    (s of before in r); d^ = 2 r / |s|; d = max(d, min(d^, d growth)); z = x0 -
    s; x = momentum x + (1-momentum) z. The new d acts from the next step. A
    zero first gradient divides by 0.""",
    hand_dadapt_sgd,
)
add(
    'dadapt_sgd_decay',
    'dadaptation.DAdaptSGD',
    {
        'momentum': 0.0,
        'weight_decay': 0.01,
        'd0': 1e-4,
        'growth_rate': 1.2,
    },
    (0.1,),
    """As dadapt_sgd; coupled decay, but |g_1| is without it (a missing
    in-place in the package).""",
    hand_dadapt_sgd,
)
add(
    'dadapt_adagrad',
    'dadaptation.DAdaptAdaGrad',
    {'momentum': 0.0, 'eps': 1e-6, 'weight_decay': 0.0, 'd0': 1e-4},
    (1.0, 0.3),
    """a starts at 1e-6, a += g^2; s += d lr g; d^ = (sum s^2/(sqrt(a) + eps) -
    sum over steps (d lr)^2 g^2/(sqrt(a) + eps)) / |s|_1, with the new a and s;
    x = x0 - s/(sqrt(a) + eps).""",
    hand_dadapt_adagrad,
)
add(
    'dadapt_adam',
    'dadaptation.DAdaptAdam',
    DADAPT,
    (1.0, 0.3),
    """size = d lr; r' = sum size <g, s/(sqrt(v) + eps)> with s, v of before;
    m = b1 m + (1-b1) size g; s = q s + (1-q) size g, q = sqrt(b2); r = q r +
    (1-q) r'; d^ = r/((1-q)|s|_1); d = max(d, min(d^, d growth)); x -= m /
    (sqrt(v) + eps) with the new v: the old d is inside m. No bias
    correction.""",
    hand_dadapt_adam,
)
add(
    'dadapt_adam_corrected',
    'dadaptation.DAdaptAdam',
    {**DADAPT, 'use_bias_correction': True, 'growth_rate': 1.5},
    (1.0,),
    'As dadapt_adam; size *= sqrt(1-b2^t)/(1-b1^t) everywhere.',
    hand_dadapt_adam,
)
add(
    'dadapt_adamw',
    'dadaptation.DAdaptAdam',
    {**DADAPT, 'weight_decay': 0.02, 'decouple': True, 'd0': 1e-4},
    (1.0,),
    'As dadapt_adam; x -= wd * size * x (old d) before the step.',
    hand_dadapt_adam,
)
add(
    'dadapt_adam_coupled',
    'dadaptation.DAdaptAdam',
    {**DADAPT, 'weight_decay': 0.02, 'd0': 1e-4},
    (1.0,),
    'As dadapt_adam; decay is added to the gradient.',
    hand_dadapt_adam,
)
add(
    'dadapt_lion',
    'dadaptation.DAdaptLion',
    {'betas': [0.9, 0.99], 'weight_decay': 0.02, 'd0': 1e-4},
    (1.0,),
    """size = d lr; x *= 1 - size wd; u = sign(b1 m + (1-b1) g); x -= size u;
    m = b2 m + (1-b2) size g; r' = sum size <u, s> (s of before); s = q s +
    (1-q) size u, q = sqrt(b2); r = q r + (1-q) r'; d = max(d, r/((1-q)|s|_1)).
    m mixes size g with the bare g.""",
    hand_dadapt_lion,
)
PRODIGY = {
    'betas': [0.9, 0.999],
    'beta3': None,
    'eps': 1e-8,
    'weight_decay': 0.0,
    'decouple': True,
    'use_bias_correction': False,
    'safeguard_warmup': False,
    'd0': 1e-6,
    'd_coef': 1.0,
    'growth_rate': 'inf',
}
add(
    'prodigy',
    'prodigyopt.Prodigy',
    PRODIGY,
    (1.0, 0.3),
    """size = d lr; b3 = sqrt(b2); r = b3 r + (d/d0) size <g, x0 - x>; m = b1 m +
    (1-b1) d g; v = b2 v + (1-b2) d^2 g^2; s = b3 s + (d/d0) size g; d^ = coef r
    / |s|_1 over all tensors; while d == d0: d = max(d, d^); d_max = max(d_max,
    d^); d = min(d_max, d growth); x -= size m/(sqrt(v) + d eps): size and m
    with the old d, eps with the new. First step: d^ = 0. A zero gradient
    first returns without counting the step.""",
    hand_prodigy,
)
add(
    'prodigy_safeguard',
    'prodigyopt.Prodigy',
    {**PRODIGY, 'safeguard_warmup': True, 'd_coef': 0.5},
    (1.0, 0.3),
    'As prodigy; s = b3 s + (d/d0) d g, without lr.',
    hand_prodigy,
)
add(
    'prodigy_corrected',
    'prodigyopt.Prodigy',
    {
        **PRODIGY,
        'use_bias_correction': True,
        'safeguard_warmup': True,
        'weight_decay': 0.02,
        'd0': 1e-4,
    },
    (1.0,),
    """As prodigy_safeguard; size *= sqrt(1-b2^t)/(1-b1^t); x -= wd size x before
    the step.""",
    hand_prodigy,
)
add(
    'prodigy_coupled',
    'prodigyopt.Prodigy',
    {
        **PRODIGY,
        'weight_decay': 0.02,
        'decouple': False,
        'growth_rate': 1.2,
        'd0': 1e-4,
        'beta3': 0.99,
    },
    (1.0,),
    'As prodigy; coupled decay; growth_rate limits d.',
    hand_prodigy,
)
add(
    'dog',
    'dog.DoG',
    {
        'reps_rel': 1e-4,
        'weight_decay': 0.0,
        'eps': 1e-8,
        'init_eta': None,
    },
    (1.0, 0.3),
    """As the paper: r = reps_rel (1 + |x0|) at step 1, then max(r, |x - x0|), x
    of before the step; G = eps + sum |g|^2, this g too; x -= lr r/sqrt(G) g;
    one r and G for all tensors. The average (gamma 8), after the step: c = 9/(8
    + t), mean = (1-c) mean + c x, so mean = x at t = 1.""",
    lambda p, a: hand_dog(p, {**a, 'gamma': 8.0}),
    kind='averaged',
    averager={'class': 'dog.PolynomialDecayAverager', 'gamma': 8.0},
)
add(
    'dog_decay',
    'dog.DoG',
    {
        'reps_rel': 1e-6,
        'weight_decay': 0.02,
        'eps': 1e-8,
        'init_eta': None,
    },
    (1.0,),
    'As dog; coupled decay, so it is in G.',
    hand_dog,
)
add(
    'dog_init_eta',
    'dog.DoG',
    {'weight_decay': 0.0, 'eps': 1e-8, 'init_eta': 1e-3},
    (1.0,),
    'As dog; the first step is init_eta g, and r starts at 0.',
    lambda p, a: hand_dog(p, {**a, 'reps_rel': 0}),
)
add(
    'ldog',
    'dog.LDoG',
    {
        'reps_rel': 1e-4,
        'weight_decay': 0.0,
        'eps': 1e-8,
        'init_eta': None,
    },
    (1.0, 0.3),
    'As dog, with r and G for each tensor.',
    functools.partial(hand_dog, layers=True),
)
add(
    'dowg',
    'dowg.DoWG',
    {'eps': 1e-4},
    (None,),
    """The author's package. r2 = max(eps, |x - x0|^2): eps is the first r
    squared; v += r2 |g|^2; x -= r2/(sqrt(v) + eps) g. DEPARTS: the paper has
    no eps beside the root. No rate.""",
    hand_dowg,
    rate_argument=None,
)
add(
    'cdowg',
    'dowg.CDoWG',
    {'eps': 1e-8},
    (None,),
    """Coordinate-wise: r2 = max(1e-4, (x - x0)^2); v += r2 g^2; x -= r2
    g/(sqrt(v) + eps).""",
    hand_cdowg,
    rate_argument=None,
)
BETAS = [0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999]
MECHANIC = {
    'base': 'torch.optim.SGD',
    'base_arguments': {},
    's_decay': 0.01,
    'betas': BETAS,
    's_init': 1e-8,
    'eps': 1e-8,
    'store_delta': True,
}
add(
    'mechanic_sgd',
    'mechanic_pytorch.mechanize',
    MECHANIC,
    (1.0, 0.3),
    """Delta starts at 0; the base steps from x to x+u; h = <Delta, g + ratio
    (x+u)>, ratio = s_decay sum(s) |g|/(|x+u| + eps); Delta += u; m = max(b m,
    |h|) from 1e-6; v = b^2 v + h^2; r = max(0, b r - s h); s = (m s_init/n +
    r)/(sqrt(v) + eps); x = x0 + max(sum s, 0) Delta. DEPARTS: the decay term
    takes x+u, not x, and Delta of before u. First step: h = 0.""",
    hand_mechanic,
    kind='mechanic',
)
add(
    'mechanic_recomputed',
    'mechanic_pytorch.mechanize',
    {**MECHANIC, 'store_delta': False, 's_init': 1e-3},
    (1.0,),
    """The package's default: as mechanic_sgd, but Delta = (x - x0)/(sum s +
    eps), smaller by sum s/(sum s + eps).""",
    hand_mechanic,
    kind='mechanic',
)
add(
    'mechanic_adamw',
    'mechanic_pytorch.mechanize',
    {
        **MECHANIC,
        'base': 'torch.optim.AdamW',
        'base_arguments': {
            'betas': [0.9, 0.999],
            'eps': 1e-8,
            'weight_decay': 0.01,
        },
        's_decay': 0.0,
        's_init': 1e-3,
    },
    (0.1,),
    """As mechanic_sgd; the base's own decay acts at x and is in u.""",
    hand_mechanic,
    kind='mechanic',
)
add(
    'cocob',
    'parameterfree.COCOB',
    {'alpha': 100, 'eps': 1e-8, 'weight_decay': 0.0},
    (None,),
    """As the paper's COCOB-Backprop, but L starts at eps (paper: 0): L = max(L,
    |g|); G += |g|; W = max(W - g (x - x0), 0); T -= g; x = x0 + T/(L max(G + L,
    alpha L)) (L + W). First step: -sign(g)/alpha.""",
    hand_cocob,
    rate_argument=None,
)
add(
    'cocob_decay',
    'parameterfree.COCOB',
    {'alpha': 10, 'eps': 1e-8, 'weight_decay': 0.05},
    (None,),
    'As cocob; coupled decay.',
    hand_cocob,
    rate_argument=None,
)

# Schedule-Free.

FREE = {
    'betas': [0.9, 0.999],
    'eps': 1e-8,
    'weight_decay': 0.0,
    'warmup_steps': 0,
    'r': 0.0,
    'weight_lr_power': 2.0,
}
add(
    'schedulefree_adamw',
    'schedulefree.AdamWScheduleFree',
    FREE,
    (0.05, 0.02),
    """g at y = (1-b1) z + b1 x. v EMA; u = g/(sqrt(v/(1-b2^t)) + eps) + wd y;
    c = w_t / sum w, w_t = t^r max(lr so far)^power, lr with warm-up; z -= lr u;
    x = (1-c) x + c z. DEPARTS from the paper (see schedulefree_adamw_paper):
    bias correction in the denominator, running maximum of lr in w. First
    step: c = 1.""",
    hand_schedulefree,
    kind='schedulefree',
)
add(
    'schedulefree_adamw_warm',
    'schedulefree.AdamWScheduleFree',
    {**FREE, 'warmup_steps': 20, 'weight_decay': 0.05, 'r': 0.5},
    (0.05, 0.02),
    """As schedulefree_adamw; lr * min(1, t/warmup_steps), so the first step is
    lr/20; decay at y.""",
    hand_schedulefree,
    kind='schedulefree',
)
add(
    'schedulefree_adamw_power',
    'schedulefree.AdamWScheduleFree',
    {
        **FREE,
        'betas': [0.95, 0.99],
        'warmup_steps': 10,
        'weight_lr_power': 0.0,
        'r': 1.0,
    },
    (0.05,),
    'As schedulefree_adamw_warm.',
    hand_schedulefree,
    kind='schedulefree',
)
add(
    'schedulefree_adamw_paper',
    'schedulefree.AdamWScheduleFreePaper',
    {**FREE, 'warmup_steps': 20, 'weight_decay': 0.05},
    (0.05, 0.02),
    """As the paper: lr * sqrt(1-b2^t) in the rate (and so in w), u = g/(sqrt(v)
    + eps) + wd y.""",
    functools.partial(hand_schedulefree, paper=True),
    kind='schedulefree',
)
add(
    'schedulefree_sgd',
    'schedulefree.SGDScheduleFree',
    {
        'momentum': 0.9,
        'weight_decay': 0.0,
        'warmup_steps': 0,
        'r': 0.0,
        'weight_lr_power': 2.0,
    },
    (0.05, 0.02),
    'As schedulefree_adamw with u = g + wd y; momentum is b1.',
    hand_schedulefree_sgd,
    kind='schedulefree',
)
add(
    'schedulefree_sgd_warm',
    'schedulefree.SGDScheduleFree',
    {
        'momentum': 0.95,
        'weight_decay': 0.05,
        'warmup_steps': 20,
        'r': 1.0,
        'weight_lr_power': 1.0,
    },
    (0.1,),
    'As schedulefree_sgd.',
    hand_schedulefree_sgd,
    kind='schedulefree',
)
add(
    'schedulefree_radam',
    'schedulefree.RAdamScheduleFree',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-8,
        'weight_decay': 0.02,
        'r': 0.0,
        'weight_lr_power': 2.0,
        'silent_sgd_phase': True,
    },
    (0.05, 0.02),
    """As schedulefree_adamw with lr * rectification when rho_t > 4 (RAdam), else
    lr = 0 (silent_sgd_phase; w = 0 and c = 0 then) with u = g + wd y; nothing
    moves before step 5.""",
    functools.partial(hand_schedulefree, rectify=True),
    kind='schedulefree',
)
add(
    'schedulefree_wrapped',
    'schedulefree.ScheduleFreeWrapper',
    {
        'base': 'torch.optim.SGD',
        'base_arguments': {'momentum': 0.5, 'nesterov': True},
        'momentum': 0.9,
        'weight_decay_at_y': 0.02,
        'weight_lr_power': 2,
        'r': 0,
    },
    (0.05, 0.02),
    """Any base steps z with the gradient at y; before it z -= lr wd y; c and w as
    schedulefree_adamw. (Over torch's Adam or RMSprop the package fails: it puts
    z in a state that they expect empty.)""",
    hand_schedulefree_wrapped,
    kind='wrapped',
)

# Step sizes from the loss.

add(
    'momo',
    'momo.Momo',
    {
        'weight_decay': 0.0,
        'beta': 0.9,
        'lb': 0,
        'bias_correction': False,
        'use_fstar': False,
    },
    (1.0, 0.02),
    """As the paper: averages f of losses, m of g, c of <g, x> (sum over all
    tensors) start at their first values; tau = min(lr, max(f - lb + <m, x> - c,
    0)/|m|^2), x of before the step.""",
    hand_momo,
    kind='loss',
)
add(
    'momo_corrected',
    'momo.Momo',
    {
        'weight_decay': 0.05,
        'beta': 0.9,
        'lb': 0,
        'bias_correction': True,
        'use_fstar': False,
    },
    (0.3,),
    """As momo; averages from 0, rho = 1 - beta^t: min(lr/rho, ((1 + lr wd)(f -
    rho lb - c) + <m, x>)+/|m|^2); then x /= 1 + lr wd.""",
    hand_momo,
    kind='loss',
)
add(
    'momo_fstar',
    'momo.Momo',
    {
        'weight_decay': 0.0,
        'beta': 0.9,
        'lb': -1.0,
        'bias_correction': False,
        'use_fstar': True,
    },
    (1.0,),
    """As momo with an estimated lb: h = f + <m, x> - c; before tau, if h < lb
    rho: lb = max(h/(2 rho), first lb); after: lb = max((h - tau |m|^2/2)/rho,
    first lb).""",
    hand_momo,
    kind='loss',
)
add(
    'momo_adam',
    'momo.MomoAdam',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-8,
        'weight_decay': 0.02,
        'lb': 0,
        'divide': True,
        'use_fstar': False,
    },
    (0.1, 0.02),
    """As the paper: averages from 0; D = sqrt(v/(1-b2^t)) + eps; tau =
    min(lr/(1-b1^t), ((1 + lr wd)(f - (1-b1^t) lb - c) + <m, x>)+ / sum m^2/D);
    x = (x - tau m/D)/(1 + lr wd).""",
    hand_momo_adam,
    kind='loss',
)
add(
    'momo_adam_multiplied',
    'momo.MomoAdam',
    {
        'betas': [0.9, 0.999],
        'eps': 1e-8,
        'weight_decay': 0.02,
        'lb': 0,
        'divide': False,
        'use_fstar': False,
    },
    (0.1,),
    """As momo_adam; x *= 1 - lr wd before the step instead (tau keeps its 1 +
    lr wd).""",
    hand_momo_adam,
    kind='loss',
)
add(
    'sps_max',
    'momsps.MomSPS',
    {'c': 0.5, 'gamma_max': 0.3, 'beta': 0.0},
    (None,),
    """SPS_max (beta 0 of MomSPS, f* = 0): min(f/(c |g|^2), gamma_max) g; no
    eps.""",
    hand_sps,
    kind='loss',
    rate_argument=None,
)
add(
    'sps_max_capped',
    'momsps.MomSPS',
    {'c': 3.0, 'gamma_max': 0.1, 'beta': 0.0},
    (None,),
    'As sps_max; the cap acts from step 3.',
    hand_sps,
    kind='loss',
    rate_argument=None,
)
add(
    'sps_smooth',
    'momsps.MomSPS_smooth',
    {
        'n_batches_per_epoch': 4,
        'init_step_size': 0.05,
        'c': 0.5,
        'beta': 0.0,
        'gamma': 2.0,
    },
    (None,),
    """SPS with smoothing: min(f/(c |g|^2), gamma^(1/n) * step of before),
    starting from init_step_size.""",
    hand_sps,
    kind='loss',
    rate_argument=None,
)
add(
    'sps_momentum',
    'momsps.MomSPS',
    {'c': 1.0, 'gamma_max': 0.5, 'beta': 0.5},
    (None,),
    'MomSPS_max: step (1-beta) min(f/(c |g|^2), gamma_max), plus beta (x - x_1).',
    hand_sps,
    kind='loss',
    rate_argument=None,
)
add(
    'sps_safe',
    'sps_safe.SPS_safe',
    {'ell_star': 0.0, 'M': 100.0, 'weight_decay': 0.0},
    (None,),
    '(f - f*)/max(M, |g|^2) g (the 2026 safeguard).',
    hand_sps_safe,
    kind='loss',
    rate_argument=None,
)
add(
    'alig',
    'pytorch_optimizer.AliG',
    {'momentum': 0.0, 'adjusted_momentum': False},
    (0.2, 0.05),
    """min(f/(|g|^2 + 1e-6), max_lr) g, |g| over all tensors. DEPARTS: the authors
    have 1e-5; the package squares the norm in float32.""",
    hand_alig,
    kind='closure',
    rate_argument='max_lr',
    patched='the norm in float64 where the package has float32',
)
add(
    'alig_capped',
    'pytorch_optimizer.AliG',
    {'momentum': 0.9, 'adjusted_momentum': False},
    (0.05, 0.02),
    'As alig_momentum, where max_lr is always the smaller.',
    hand_alig,
    kind='closure',
    rate_argument='max_lr',
    patched='the norm in float64 where the package has float32',
)
add(
    'alig_momentum',
    'pytorch_optimizer.AliG',
    {'momentum': 0.5, 'adjusted_momentum': False},
    (0.15, 0.05),
    """As alig, Nesterov as the authors': x -= step g; v = mu v - step g; x += mu
    v.""",
    hand_alig,
    kind='closure',
    rate_argument='max_lr',
    patched='the norm in float64 where the package has float32',
)
add(
    'alig_adjusted',
    'pytorch_optimizer.AliG',
    {'momentum': 0.5, 'adjusted_momentum': True},
    (0.15,),
    'As alig_momentum; v = mu v - g; x -= step g; x += step mu v.',
    hand_alig,
    kind='closure',
    rate_argument='max_lr',
    patched='the norm in float64 where the package has float32',
)
add(
    'adascale_sgd',
    'fairscale.optim.adascale.AdaScale',
    {
        'base': 'torch.optim.SGD',
        'base_arguments': {'momentum': 0.9},
        'world_size': 1,
        'num_gradients_to_accumulate': 2,
        'smoothing': 0.9,
        'is_scaled_loss': True,
    },
    (0.01, 0.003),
    """Two gradients g +- cos(step) noise, g their mean, N = S = 2. var = mean
    |g_i|^2 - |g|^2, times S/(N-1), at least 1e-6; sqr = max(|g|^2 - var/S, 0);
    both by EMA 0.9 with bias correction; gain = (var + sqr)/(var/S + sqr)
    multiplies lr for the step. Over all tensors.""",
    hand_adascale_sgd,
    kind='adascale',
)


def tuples(value):
  """Lists as tuples, as the packages' defaults are."""
  if isinstance(value, dict):
    return {k: tuples(v) for k, v in value.items()}
  if isinstance(value, list):
    return tuple(tuples(v) for v in value)
  if value in ('float64', 'inf'):
    return {'float64': torch.float64, 'inf': math.inf}[value]
  return value


def small(value):
  return float(f'{value:.1e}')


def sure(run, rates, steps):
  """The points that are not chaotic, their averages, and their spread."""
  points, averages = trajectory(run, rates, steps)
  worst = np.zeros(len(points))
  for ulps in (-5, -2, -1, 1, 2, 5):
    moved, _ = trajectory(run, rates, steps, ulps=ulps)
    worst[len(moved) :] = math.inf
    for i, (a, b) in enumerate(zip(points, moved)):
      far = np.abs(np.array(a) - np.array(b)).max()
      worst[i] = max(worst[i], far)
  keep = int((np.cumsum(worst > 1e-9) == 0).sum())
  return points[:keep], averages[:keep], [small(w) for w in worst[:keep]]


def height(point):
  """The loss at a flat list of parameters."""
  x, w = np.array(point[:6]), np.array(point[6:]).reshape(4, 3)
  return float(gradient(x, w, np)[0])


def record(run):
  """What the file holds of a run."""
  rates = run['rates']
  called = {**run, 'arguments': tuples(run['arguments'])}
  module = run['class'].split('.')[0]
  result = {
      'package': DISTRIBUTIONS.get(module, 'numpy'),
      'class': run['class'],
      'arguments': run['arguments'],
      'rate_argument': run['rate_argument'],
      'rates': rates,
  }
  if module != 'numpy':
    version = importlib.metadata.version(DISTRIBUTIONS[module])
    result['version'] = version
  else:
    result['version'] = np.__version__
  if run['kind'] == 'averaged':
    result['averager'] = run['averager']
  if run['patched']:
    result['patched'] = run['patched']
  rate = rates[0]
  if run['kind'] == 'numpy':
    points, averages = by_hand(run['hand'], run['arguments'], rate, STEPS)
  else:
    points, averages, result['spread'] = sure(called, (rate, rate), STEPS)
    if run['hand']:
      hand, means = by_hand(
          run['hand'], run['arguments'], rate, STEPS[: len(points)]
      )
      result['by_hand'] = small(apart(hand + means, points + averages))
  result['constant'] = points
  if averages:
    result['constant_eval'] = averages
  if len(rates) == 2:
    points, averages, far = sure(called, rates, CHANGED)
    result['changing'], result['changing_spread'] = points, far
    if averages:
      result['changing_eval'] = averages
  result['note'] = run['note']
  return result


def main():
  # Several packages keep scalars in the default dtype.
  torch.set_default_dtype(torch.float64)
  torch.set_num_threads(1)
  runs = {}
  for name, run in RUNS.items():
    if len(sys.argv) > 1 and name not in sys.argv[1:]:
      continue
    runs[name] = record(run)
    shown = runs[name]
    print(
        name,
        'steps', len(shown['constant']),
        'spread', shown.get('spread'),
        'by hand', shown.get('by_hand'),
        'loss',
        [small(height(p)) for p in shown['constant']],
        'changed',
        len(shown.get('changing', [0])),
        shown.get('changing_spread'),
        file=sys.stderr,
    )
  result = {
      'torch': torch.__version__,
      'numpy': np.__version__,
      'steps': STEPS,
      'change': CHANGE,
      'changed': CHANGED,
      'problem': {
          'formula': (
              'gap = x - optimum; s = sum(gap**2); R = mixing @ w - target; '
              'q = sum(R**2) / 2; loss = sum(curvature * gap**2) / 2 + '
              's**2 / 4 + (1 + coupling * s) * q; gradient of x = (curvature + '
              's + 2 * coupling * q) * gap; gradient of w = (1 + coupling * s) '
              '* mixing.T @ R; adascale: gradients plus and minus cos(step) * '
              'noise'
          ),
          'curvature': CURVATURE,
          'optimum': OPTIMUM,
          'mixing': MIXING,
          'target': TARGET,
          'coupling': COUPLING,
          'noise': NOISE,
          'start_x': START_X,
          'start_w': START_W,
      },
      'runs': runs,
  }
  if len(sys.argv) > 1:
    return
  path = Path(__file__).with_name('adaptive.json')
  lines = json.dumps(result, allow_nan=False, separators=(',', ':'))
  path.write_text(lines.replace('},"', '},\n"') + '\n')


if __name__ == '__main__':
  main()
