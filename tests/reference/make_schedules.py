"""Writes schedules.json: what the schedules of other libraries are, in float64.

Each row has the call of the other library, the expression of lrax that is the
same schedule, and the rates at the steps where the two agree by definition. A
test evaluates the expression and compares. A call that names `step` is evaluated
once for each step; any other makes a scheduler of `opt`, an optimizer at the rate
0.3, which is then stepped.

The lengths are W = 10, for warmups, and T = 100, for all of a run; STEPS are
0, 1, W - 1, W, W + 1, one in between, T - 1, T, T + 1 and 10 T. Where the other
library means something else past T, the row stops there and its note says so.

Run it with these and what they need. All compute in float64 here, but for fastai,
which rounds the shares of its phases to float32:

  pip install torch==2.13.0 keras==3.15.1 transformers==5.23.0 timm==1.0.31 \
      optax==0.2.8 fastai==2.8.12 ai2-olmo-core==3.0.0 pytorch-scheduler==0.2.2
  python tests/reference/make_schedules.py
"""

import importlib
from importlib import metadata
import json
import os
from pathlib import Path

os.environ |= {'KERAS_BACKEND': 'torch', 'JAX_ENABLE_X64': '1'}

import keras
import torch

STEPS = (0, 1, 9, 10, 11, 37, 99, 100, 101, 1000)

# Where the schedules of each library are.
MODULES = {
    'torch': ('torch.optim.lr_scheduler', 'torch.optim.swa_utils'),
    'keras': ('keras.optimizers.schedules',),
    'transformers': ('transformers.optimization',),
    'timm': ('timm.scheduler',),
    'optax': ('optax',),
    'fastai': ('fastai.callback.schedule',),
    'ai2-olmo-core': ('olmo_core.optim.scheduler',),
    'pytorch-scheduler': ('pytorch_scheduler',),
}

RISES = 'Past T it rises again.'
ENDS = 'Past T it raises.'

ROWS = []


def row(library, call, lrax, upto=1000, extra=(), without=(), note=''):
  """Adds a row at STEPS up to one of them and at `extra` ones, `without` some."""
  name = f'{library}-{call.partition("(")[0]}'
  same = sum(made['id'].startswith(f'{name}-') for made in ROWS)
  ROWS.append(
      {
          'id': f'{name}-{same + 1}',
          'library': library,
          'version': metadata.version(library),
          'call': call,
          'lrax': lrax,
          'note': note,
          'steps': sorted(
              ({t for t in STEPS if t <= upto} | set(extra)) - set(without)
          ),
      }
  )


def torch_rows():
  lib = 'torch'
  row(lib, 'ConstantLR(opt, factor=0.25, total_iters=10)',
      'piecewise_constant([0.075, 0.3], [10])')
  row(lib, 'StepLR(opt, step_size=10, gamma=0.5)', 'step_decay(0.3, 0.5, 10)')
  row(lib, 'MultiStepLR(opt, [10, 37, 100], gamma=0.1)',
      'multistep_decay(0.3, [10, 37, 100], 0.1)', extra=[36, 38])
  row(lib, 'LinearLR(opt, start_factor=0.1, end_factor=0.5, total_iters=100)',
      'linear(0.03, 0.15, 100)')
  row(lib, 'ExponentialLR(opt, gamma=0.97)', 'exponential_decay(0.3, 0.97, 1)')
  row(lib, 'ExponentialLR(opt, gamma=math.exp(-0.005))',
      'natural_exponential_decay(0.3, 0.05, 10)')
  row(lib, 'PolynomialLR(opt, total_iters=100, power=2.5)',
      'polynomial_decay(0.3, 0.0, 2.5, 100)')
  row(lib, 'CosineAnnealingLR(opt, T_max=100, eta_min=0.003)',
      'cosine_annealing(0.3, 100, 0.003)', upto=100, note=RISES)
  row(lib, 'CosineAnnealingWarmRestarts(opt, T_0=10, eta_min=0.003)',
      'warm_restarts(0.3, 10, end_value=0.003)')
  row(lib, 'CosineAnnealingWarmRestarts(opt, T_0=10, T_mult=2)',
      'warm_restarts(0.3, 10, cycle_growth=2)', extra=[29, 30, 31, 69, 70, 71])
  for mode in ('triangular', 'triangular2', 'exp_range'):
    row(lib, 'CyclicLR(opt, 0.01, 0.3, step_size_up=10, step_size_down=27,'
        f' mode={mode!r}, gamma=0.99, cycle_momentum=False)',
        f'cyclical(0.01, 0.3, 10, 27, {mode!r}, 0.99)', extra=[36, 38, 47])
  for shape, word in (('cos', 'cosine'), ('linear', 'linear')):
    for phases in (False, True):
      # The first phase takes pct_start * total_steps - 1 steps, here 25.
      row(lib, 'OneCycleLR(opt, 0.3, total_steps=101, pct_start=26 / 101,'
          f' anneal_strategy={shape!r}, three_phase={phases},'
          ' cycle_momentum=False)',
          f'one_cycle(0.3, 100, pct_start=0.25, shape={word!r},'
          f' three_phase={phases})',
          upto=100, extra=[24, 25, 26, 49, 50, 51], note=ENDS)
  row(lib, "SWALR(opt, swa_lr=0.05, anneal_epochs=10, anneal_strategy='cos')",
      "constant(0.3).cooldown(0, 10, shape='cosine', end_value=0.05)")
  row(lib, "SWALR(opt, swa_lr=0.05, anneal_epochs=10, anneal_strategy='linear')",
      'constant(0.3).cooldown(0, 10, end_value=0.05)')
  row(lib, 'SequentialLR(opt, [LinearLR(opt, 0.1, 1.0, 10),'
      ' CosineAnnealingLR(opt, 90)], [10])',
      'cosine_annealing(0.3, 90).with_warmup(10, 0.03)', upto=100, note=RISES)
  row(lib, 'ChainedScheduler([LinearLR(opt, 0.1, 1.0, 10),'
      ' ExponentialLR(opt, 0.97)])',
      'linear(0.1, 1.0, 10) * exponential_decay(0.3, 0.97, 1)')


def keras_rows():
  lib = 'keras'
  for stairs in (False, True):
    row(lib, f'ExponentialDecay(0.3, 10, 0.5, staircase={stairs})(step)',
        f'exponential_decay(0.3, 0.5, 10, staircase={stairs})')
    row(lib, f'InverseTimeDecay(0.3, 10, 0.5, staircase={stairs})(step)',
        f'inverse_time_decay(0.3, 0.5, 10, staircase={stairs})')
  row(lib, 'PolynomialDecay(0.3, 100, 0.003, power=0.5)(step)',
      'polynomial_decay(0.3, 0.003, 0.5, 100)')
  row(lib, 'CosineDecay(0.3, 100, alpha=0.01)(step)',
      'cosine_annealing(0.3, 100, 0.003)')
  row(lib, 'CosineDecay(0.03, 90, alpha=0.1, warmup_target=0.3,'
      ' warmup_steps=10)(step)',
      'cosine_annealing(0.3, 90, 0.03).with_warmup(10, 0.03)')
  row(lib, 'CosineDecayRestarts(0.3, 10, t_mul=2.0, m_mul=0.9)(step)',
      'warm_restarts(0.3, 10, 2, peak_decay=0.9)', extra=[29, 30, 31, 69, 70])
  row(lib, 'CosineDecayRestarts(0.3, 10, t_mul=1.0, alpha=0.01)(step)',
      'warm_restarts(0.3, 10, end_value=0.003)', extra=[29, 31],
      note='With alpha, m_mul multiplies the height above the floor instead.')
  row(lib, 'PiecewiseConstantDecay([10, 37, 100], [0.3, 0.1, 0.03, 0.01])(step)',
      'piecewise_constant([0.3, 0.1, 0.03, 0.01], [10, 37, 100],'
      " at_boundary='old')", extra=[36, 38])


def transformers_rows():
  lib = 'transformers'
  row(lib, 'get_constant_schedule_with_warmup(opt, 10)',
      'warmup_constant(0.3, 10)')
  row(lib, 'get_linear_schedule_with_warmup(opt, 10, 100)',
      'warmup_linear(0.3, 100, 10)')
  row(lib, 'get_cosine_schedule_with_warmup(opt, 10, 100)',
      'warmup_cosine(0.3, 100, 10)', upto=100, note=RISES)
  row(lib, 'get_cosine_with_min_lr_schedule_with_warmup(opt, 10, 100,'
      ' min_lr=0.03)',
      'warmup_cosine(0.3, 100, 10, end_value=0.03)', upto=100, note=RISES)
  row(lib, 'get_cosine_with_hard_restarts_schedule_with_warmup(opt, 10, 100,'
      ' num_cycles=3)',
      'warm_restarts(0.3, 30, cycles=3).with_warmup(10)',
      extra=[39, 40, 41, 69, 70, 71])
  row(lib, 'get_polynomial_decay_schedule_with_warmup(opt, 10, 100,'
      ' lr_end=0.003, power=2.5)',
      'polynomial_decay(0.3, 0.003, 2.5, 90).with_warmup(10)')
  row(lib, 'get_inverse_sqrt_schedule(opt, 10)', 'inverse_sqrt(0.3, 10)')
  row(lib, 'get_inverse_sqrt_schedule(opt, 10, timescale=25)',
      'inverse_sqrt(0.3, 10, timescale_steps=25)')
  shapes = (('linear', 'linear'), ('cosine', 'cosine'), ('1-sqrt', 'sqrt'))
  for shape, word in shapes:
    row(lib, f'get_wsd_schedule(opt, 10, 30, 100, decay_type={shape!r},'
        ' min_lr_ratio=0.1)',
        f'warmup_stable_decay(0.3, 100, 10, 30, {word!r}, init_value=0.03,'
        ' end_value=0.03)', extra=[69, 70, 71])
  for shape, word in shapes[1:]:
    row(lib, f'get_wsd_schedule(opt, 10, 30, 100, warmup_type={shape!r})',
        "warmup_stable_decay(0.3, 90, 0, 30, 'cosine')"
        f'.with_warmup(10, shape={word!r})', extra=[5, 69, 70, 71])


def timm_rows():
  lib = 'timm'
  row(lib, 'StepLRScheduler(opt, decay_t=10, decay_rate=0.5)',
      'step_decay(0.3, 0.5, 10)')
  row(lib, 'MultiStepLRScheduler(opt, [10, 37, 100], decay_rate=0.1)',
      'multistep_decay(0.3, [9, 36, 99], 0.1)', extra=[8, 35, 36, 98],
      note='It switches one step before each milestone.')
  row(lib, 'CosineLRScheduler(opt, 100, lr_min=0.003)',
      'cosine_annealing(0.3, 100, 0.003)')
  row(lib, 'CosineLRScheduler(opt, 90, warmup_t=10, warmup_lr_init=0.03,'
      ' warmup_prefix=True)',
      'cosine_annealing(0.3, 90).with_warmup(10, 0.03)')
  row(lib, 'CosineLRScheduler(opt, 10, lr_min=0.003, cycle_mul=2,'
      ' cycle_decay=0.5, cycle_limit=3)',
      'warm_restarts(0.3, 10, 2, 0.5, 0.003, cycles=3)',
      extra=[29, 30, 31, 69, 70, 71])
  row(lib, 'CosineLRScheduler(opt, 100, lr_min=0.003, k_decay=1.5)',
      'k_decay(0.3, 100, k=1.5, end_value=0.003)')
  row(lib, 'PolyLRScheduler(opt, 100, power=2.0, lr_min=0.003, k_decay=1.5)',
      "k_decay(0.3, 100, 1.5, 'polynomial', power=2.0, end_value=0.003)")
  row(lib, 'PolyLRScheduler(opt, 100, power=0.5, lr_min=0.003)',
      'polynomial_decay(0.3, 0.003, 0.5, 100)')
  row(lib, 'TanhLRScheduler(opt, 100, lb=-6.0, ub=3.0, lr_min=0.003)',
      'tanh_decay(0.3, 100, 0.003)')
  shapes = (
      ("'linear'", "'linear'"),
      ("'cosine'", "'cosine'"),
      ("'1-sqrt'", "'sqrt'"),
      ("'power', decay_power=2.0", "'square'"),
      ("'power', decay_power=0.7", "'power', 0.7"),
      ("'exp', decay_ratio=0.05", "'exponential', 0.05"),
  )
  for shape, word in shapes:
    row(lib, 'WSDLRScheduler(opt, 90, 30, lr_min=0.003, warmup_t=10,'
        f' decay_fn={shape})',
        f'warmup_stable_decay(0.3, 100, 10, 30, {word}, end_value=0.003)',
        extra=[69, 70, 71])
  for stable, same in (
      ("'rsqrt'", 'inverse_sqrt(0.3, 10)'),
      ("'power', stable_power=0.7", 'power_decay(0.3, 10, exponent=0.7)'),
  ):
    row(lib, f'WSDLRScheduler(opt, 90, 30, warmup_t=10, stable_fn={stable})',
        f"{same} * constant(1.0).cooldown(70, 30, shape='sqrt')",
        extra=[69, 70, 71])


def optax_rows():
  lib = 'optax'
  row(lib, 'constant_schedule(0.3)', 'constant(0.3)')
  row(lib, 'linear_schedule(0.3, 0.003, 100)', 'linear(0.3, 0.003, 100)')
  row(lib, 'linear_schedule(0.3, 0.003, 90, transition_begin=10)',
      'constant(0.3).then(linear(0.3, 0.003, 90), at=10)')
  row(lib, 'polynomial_schedule(0.3, 0.003, 2.5, 100)',
      'polynomial_decay(0.3, 0.003, 2.5, 100)')
  row(lib, 'cosine_decay_schedule(0.3, 100, alpha=0.01, exponent=1.5)',
      'cosine_annealing(0.3, 100, 0.003, exponent=1.5)')
  for stairs in (False, True):
    row(lib, f'exponential_decay(0.3, 10, 0.5, staircase={stairs},'
        ' end_value=0.003)',
        f'exponential_decay(0.3, 0.5, 10, staircase={stairs}, end_value=0.003)')
  row(lib, 'piecewise_constant_schedule(0.3, {10: 0.1, 37: 0.5, 100: 0.2})',
      'multistep_decay(0.3, [10, 37, 100], [0.1, 0.5, 0.2])', extra=[36, 38])
  for shape in ('linear', 'cosine'):
    row(lib, f'piecewise_interpolate_schedule({shape!r}, 0.3,'
        ' {10: 0.5, 37: 2.0, 100: 0.1})',
        'piecewise_interpolate([0.3, 0.15, 0.3, 0.03], [10, 37, 100],'
        f' shape={shape!r})', extra=[36, 38], note='Its scales multiply up.')
  row(lib, 'cosine_onecycle_schedule(100, 0.3, pct_start=0.25)',
      'one_cycle(0.3, 100, pct_start=0.25)', extra=[24, 25, 26])
  row(lib, 'linear_onecycle_schedule(100, 0.3, pct_start=0.25, pct_final=0.5)',
      "one_cycle(0.3, 100, pct_start=0.25, shape='linear', three_phase=True)",
      extra=[24, 25, 26, 49, 50, 51])
  row(lib, 'linear_onecycle_schedule(100, 0.3)',
      'piecewise_interpolate([0.012, 0.3, 0.012, 1.2e-6], [30, 85, 100])',
      extra=[29, 30, 31, 84, 85, 86], note='Its second phase ends at 0.85 T.')
  row(lib, 'warmup_constant_schedule(0.003, 0.3, 10)',
      'warmup_constant(0.3, 10, init_value=0.003)')
  row(lib, 'warmup_cosine_decay_schedule(0.003, 0.3, 10, 100, 0.03)',
      'warmup_cosine(0.3, 100, 10, init_value=0.003, end_value=0.03)')
  row(lib, 'warmup_exponential_decay_schedule(0.003, 0.3, 10, 10, 0.5,'
      ' end_value=0.003)',
      'exponential_decay(0.3, 0.5, 10, end_value=0.003).with_warmup(10, 0.003)')
  row(lib, 'sgdr_schedule([dict(init_value=0.0, peak_value=0.3, warmup_steps=4,'
      ' decay_steps=37, end_value=0.003), dict(init_value=0.003, peak_value=0.2,'
      ' warmup_steps=10, decay_steps=63, end_value=0.001)])',
      'warmup_cosine(0.3, 37, 4, end_value=0.003).then('
      'warmup_cosine(0.2, 63, 10, 0.003, 0.001), at=37)', extra=[36, 38, 47])
  row(lib, 'join_schedules([linear_schedule(0.003, 0.3, 10),'
      ' cosine_decay_schedule(0.3, 27), constant_schedule(0.01)], [10, 37])',
      'join([linear(0.003, 0.3, 10), cosine_annealing(0.3, 27),'
      ' constant(0.01)], [10, 37])', extra=[36, 38])
  for made in ROWS:
    if made['library'] == lib:
      made['call'] += '(step)'


def other_rows():
  lib = 'fastai'
  row(lib, 'combined_cos(0.25, 0.3 / 25, 0.3, 0.3 / 1e5)(step / 100)',
      'one_cycle(0.3, 100, pct_start=0.25, final_div_factor=1e5,'
      " final_relative_to='peak')", upto=100, extra=[24, 25, 26], note=RISES)
  row(lib, 'combined_cos(0.75, 0.3, 0.3, 0.3 / 1e5)(step / 100)',
      'flat_cosine(0.3, 100, 75, end_value=3e-6)', upto=100,
      extra=[74, 75, 76], note=RISES)
  lib = 'ai2-olmo-core'
  row(lib, 'HalfCosWithWarmup(warmup=10, alpha_f=0.1).get_lr(0.3, step, 100)',
      'half_cosine(0.165, 90, 0.03).with_warmup(10)',
      note='Its rate is the peak of the full cosine, twice as high.')
  row(lib, 'InvSqrtWithWarmup(warmup=10, alpha_f=0.0).get_lr(0.3, step, 100)',
      'inverse_sqrt(0.3, 10)')
  row(lib, 'PowerLR(warmup=10, decay=30, decay_fraction=None)'
      '.get_lr(0.3, step, 100)',
      'power_decay(0.3, 10, steps=100, cooldown_steps=30)', upto=100,
      extra=[69, 70, 71], note='Past T it goes on down, below 0.')
  row(lib, 'WSDS(period_lengths=[40, 30, 30], warmup=10, decay=10,'
      ' decay_min_lr=0.003, period_lr_multipliers=[1.0, 0.9, 0.81])'
      '.get_lr(0.3, step, 100)',
      "repeated_decay(0.3, [40, 70, 100], 10, 10, 'linear', peak_decay=0.9,"
      ' end_value=0.003)', extra=[29, 30, 31, 39, 40, 41, 69, 70, 71])
  row(lib, 'CosWithWarmupAndLinearDecay(warmup=10, alpha_f=0.1, decay=30,'
      ' decay_fraction=None).get_lr(0.3, step, 100)',
      'warmup_cosine(0.3, 100, 10, end_value=0.03).cooldown(70, 30)',
      upto=100, extra=[69, 70, 71], note='Past T it goes on down, below 0.')
  row(lib, 'ExponentialScheduler(lr_min=1e-6).get_lr(0.3, step, 100)',
      'range_ramp(1e-6, 0.3, 100)')
  lib = 'pytorch-scheduler'
  row(lib, 'RexScheduler(opt, 100)', 'rex(0.3, 100)')
  row(lib, 'SlantedTriangularScheduler(opt, 100, cut_frac=0.1, ratio=32)',
      'slanted_triangular(0.3, 100)')
  row(lib, 'FlatCosineScheduler(opt, 100, flat_fraction=0.7, min_lr=0.003)',
      'flat_cosine(0.3, 100, 70, end_value=0.003)', extra=[69, 70, 71])
  row(lib, 'TanhDecayScheduler(opt, 100, steepness=2.5, min_lr=0.003)',
      'tanh_decay(0.3, 100, 0.003, lower=-2.5, upper=2.5)')
  row(lib, 'InverseSqrtScheduler(opt, 10)',
      'noam(64, 10, factor=7.58946638440411).shift(1)', without=[0],
      note='The factor is 0.3 * sqrt(10 * 64): its rate is the peak. Its first'
      ' update has a rate of 0, where the paper counts from 1.')
  row(lib, 'PowerDecayScheduler(opt, 100, warmup_steps=10, alpha=0.7)',
      'power_decay(0.3, 10, exponent=0.7)')


def optimizer():
  return torch.optim.SGD([torch.zeros(())], lr=0.3)


def namespace(library):
  """The names of a library's schedules, as a call of it sees them."""
  names = {}
  for module in MODULES[library]:
    names |= vars(importlib.import_module(module))
  return names


def rates(library, call, steps):
  """The rate of the call at each of the steps, ascending."""
  names = namespace(library)
  if 'step' in compile(call, '', 'eval').co_names:
    return [float(eval(call, names | {'step': t})) for t in steps]
  opt, found = optimizer(), {}
  scheduler = eval(call, names | {'opt': opt})
  for t in range(max(steps) + 1):
    if library == 'timm':
      scheduler.step(t)
    found[t] = float(opt.param_groups[0]['lr'])
    if library != 'timm' and t < max(steps):
      opt.step()
      scheduler.step()
  return [found[t] for t in steps]


def main():
  keras.config.set_floatx('float64')
  for make in (
      torch_rows, keras_rows, transformers_rows, timm_rows, optax_rows, other_rows
  ):
    make()
  for made in ROWS:
    made['rates'] = rates(made['library'], made['call'], made['steps'])
  lines = ',\n'.join(json.dumps(made) for made in ROWS)
  path = Path(__file__).with_name('schedules.json')
  path.write_text(f'[\n{lines}\n]\n')


if __name__ == '__main__':
  main()
