"""Writes torch_trajectories.json: what PyTorch's optimizers do, in float64.

Each optimizer takes 200 steps on one small problem, once at a constant rate and
once at a rate that changes after step 100. The tests of `lrax.optimizers`
compute the same gradient and compare the parameters after steps 1, 10, 100 and
200. The problem, and the arguments of every run, are in the file too.

Run it with the PyTorch that the file names, and nothing else installed:

  pip install torch==2.13.0 numpy
  python tests/reference/make_torch_trajectories.py
"""

import json
from pathlib import Path

import torch

STEPS = (1, 10, 100, 200)
CHANGE = 100  # updates before the rate changes

# An ill-conditioned quadratic and a quartic that couples the coordinates:
# sum(curvature * gap**2) / 2 + sum(gap**2)**2 / 4, with gap = x - optimum.
CURVATURE = [0.01, 0.1, 0.5, 1.0, 3.0, 10.0]
OPTIMUM = [1.0, -2.0, 0.5, 3.0, -1.5, 0.75]
START = [1.5, -1.25, 0.25, 2.5, -1.0, 1.0]

# name: the class, its arguments, and the rate before and after the change.
RUNS = {
    'sgd': (torch.optim.SGD, {}, (0.02, 0.005)),
    'sgd_momentum': (torch.optim.SGD, {'momentum': 0.9}, (0.01, 0.002)),
    'sgd_nesterov': (
        torch.optim.SGD,
        {'momentum': 0.9, 'nesterov': True},
        (0.01, 0.002),
    ),
    'adagrad': (torch.optim.Adagrad, {'eps': 1e-10}, (0.1, 0.03)),
    'rmsprop': (
        torch.optim.RMSprop,
        {'alpha': 0.9, 'eps': 1e-8},
        (0.002, 0.0005),
    ),
    'rmsprop_centered': (
        torch.optim.RMSprop,
        {'alpha': 0.9, 'eps': 1e-8, 'centered': True},
        (0.001, 0.0005),
    ),
    'rmsprop_momentum': (
        torch.optim.RMSprop,
        {'alpha': 0.9, 'eps': 1e-8, 'momentum': 0.5},
        (0.001, 0.0005),
    ),
    'adam': (
        torch.optim.Adam,
        {'betas': (0.9, 0.999), 'eps': 1e-8},
        (0.02, 0.005),
    ),
    'adamw': (
        torch.optim.AdamW,
        {'betas': (0.9, 0.999), 'eps': 1e-8, 'weight_decay': 0.01},
        (0.02, 0.005),
    ),
    'nadam': (
        torch.optim.NAdam,
        {'betas': (0.9, 0.999), 'eps': 1e-8, 'momentum_decay': 4e-3},
        (0.02, 0.005),
    ),
    'nadam_decoupled': (
        torch.optim.NAdam,
        {
            'betas': (0.9, 0.999),
            'eps': 1e-8,
            'momentum_decay': 4e-3,
            'weight_decay': 0.01,
            'decoupled_weight_decay': True,
        },
        (0.02, 0.005),
    ),
}


def gradient(x, optimum, curvature):
  """The gradient in closed form."""
  gap = x - optimum
  return curvature * gap + (gap**2).sum() * gap


def trajectory(optimizer, arguments, before, after):
  """The parameters after each of `STEPS`."""
  x = torch.tensor(START, requires_grad=True)
  optimum, curvature = torch.tensor(OPTIMUM), torch.tensor(CURVATURE)
  tx = optimizer([x], lr=before, **arguments)
  points = []
  for step in range(1, max(STEPS) + 1):
    if step == CHANGE + 1:
      for group in tx.param_groups:
        group['lr'] = after
    x.grad = gradient(x.detach(), optimum, curvature)
    tx.step()
    if step in STEPS:
      points.append(x.tolist())
  return points


def main():
  # NAdam keeps its product of momenta in the default dtype.
  torch.set_default_dtype(torch.float64)
  runs = {}
  for name, (optimizer, arguments, (before, after)) in RUNS.items():
    runs[name] = {
        'optimizer': optimizer.__name__,
        'arguments': arguments,
        'rates': [before, after],
        'constant': trajectory(optimizer, arguments, before, before),
        'changing': trajectory(optimizer, arguments, before, after),
    }
  result = {
      'torch': torch.__version__,
      'steps': STEPS,
      'change': CHANGE,
      'curvature': CURVATURE,
      'optimum': OPTIMUM,
      'start': START,
      'runs': runs,
  }
  path = Path(__file__).with_name('torch_trajectories.json')
  path.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
  main()
