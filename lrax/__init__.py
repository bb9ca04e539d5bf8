"""lrax: everything about the learning rate, for JAX.

Optimizers, schedules and the functions that read and change a run's learning
rate are here; the tools are in subpackages: `lrax.tune` finds a rate,
`lrax.scale` carries it over to another batch or width, `lrax.stability` says how
high it may go, `lrax.diagnose` what it is doing to a run, `lrax.tasks` what to
train, `lrax.plot` draws.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lrax import control
from lrax import groups
from lrax import optimizers
from lrax import schedules
from lrax import state
from lrax import transforms
from lrax._policy import Schedule
from lrax._types import LearningRateState
from lrax.control import guard
from lrax.optimizers import adabelief
from lrax.optimizers import adadelta
from lrax.optimizers import adafactor
from lrax.optimizers import adagrad
from lrax.optimizers import adam
from lrax.optimizers import adamax
from lrax.optimizers import adamw
from lrax.optimizers import adan
from lrax.optimizers import ademamix
from lrax.optimizers import adopt
from lrax.optimizers import amsgrad
from lrax.optimizers import came
from lrax.optimizers import cocob
from lrax.optimizers import dadapt_adagrad
from lrax.optimizers import dadapt_adamw
from lrax.optimizers import dadapt_sgd
from lrax.optimizers import dog
from lrax.optimizers import dowg
from lrax.optimizers import lamb
from lrax.optimizers import lars
from lrax.optimizers import ldog
from lrax.optimizers import lion
from lrax.optimizers import mars
from lrax.optimizers import mechanic
from lrax.optimizers import muon
from lrax.optimizers import nadam
from lrax.optimizers import nadamw
from lrax.optimizers import novograd
from lrax.optimizers import prodigy
from lrax.optimizers import radam
from lrax.optimizers import rmsprop
from lrax.optimizers import schedule_free
from lrax.optimizers import schedule_free_adamw
from lrax.optimizers import schedule_free_plus
from lrax.optimizers import schedule_free_sgd
from lrax.optimizers import sgd
from lrax.optimizers import sm3
from lrax.optimizers import soap
from lrax.optimizers import with_learning_rate
from lrax.optimizers import yogi
from lrax.schedules import by_progress
from lrax.schedules import constant
from lrax.schedules import cosine_annealing
from lrax.schedules import cyclical
from lrax.schedules import exponential_decay
from lrax.schedules import flat_cosine
from lrax.schedules import half_cosine
from lrax.schedules import infinite
from lrax.schedules import inverse_sqrt
from lrax.schedules import inverse_time_decay
from lrax.schedules import join
from lrax.schedules import k_decay
from lrax.schedules import linear
from lrax.schedules import maximum
from lrax.schedules import minimum
from lrax.schedules import multistep_decay
from lrax.schedules import natural_exponential_decay
from lrax.schedules import noam
from lrax.schedules import one_cycle
from lrax.schedules import piecewise_constant
from lrax.schedules import piecewise_interpolate
from lrax.schedules import polynomial_decay
from lrax.schedules import power_decay
from lrax.schedules import range_ramp
from lrax.schedules import repeated_decay
from lrax.schedules import rex
from lrax.schedules import schedule
from lrax.schedules import slanted_triangular
from lrax.schedules import step_decay
from lrax.schedules import steps_for
from lrax.schedules import swa_tail
from lrax.schedules import tanh_decay
from lrax.schedules import warm_restarts
from lrax.schedules import warmup_constant
from lrax.schedules import warmup_cosine
from lrax.schedules import warmup_exponential
from lrax.schedules import warmup_linear
from lrax.schedules import warmup_polynomial
from lrax.schedules import warmup_stable_decay
from lrax.state import eval_params
from lrax.state import follow_schedule
from lrax.state import get_learning_rate
from lrax.state import metrics
from lrax.state import report
from lrax.state import restart_schedule
from lrax.state import scale_learning_rate
from lrax.state import set_learning_rate
from lrax.state import transplant

if TYPE_CHECKING:
  from lrax import diagnose
  from lrax import plot
  from lrax import scale
  from lrax import stability
  from lrax import tasks
  from lrax import tune

__all__ = [
    'LearningRateState',
    'Schedule',
    'adabelief',
    'adadelta',
    'adafactor',
    'adagrad',
    'adam',
    'adamax',
    'adamw',
    'adan',
    'ademamix',
    'adopt',
    'amsgrad',
    'by_progress',
    'came',
    'cocob',
    'constant',
    'control',
    'cosine_annealing',
    'cyclical',
    'dadapt_adagrad',
    'dadapt_adamw',
    'dadapt_sgd',
    'diagnose',
    'dog',
    'dowg',
    'eval_params',
    'exponential_decay',
    'flat_cosine',
    'follow_schedule',
    'get_learning_rate',
    'groups',
    'guard',
    'half_cosine',
    'infinite',
    'inverse_sqrt',
    'inverse_time_decay',
    'join',
    'k_decay',
    'lamb',
    'lars',
    'ldog',
    'linear',
    'lion',
    'mars',
    'maximum',
    'mechanic',
    'metrics',
    'minimum',
    'multistep_decay',
    'muon',
    'nadam',
    'nadamw',
    'natural_exponential_decay',
    'noam',
    'novograd',
    'one_cycle',
    'optimizers',
    'piecewise_constant',
    'piecewise_interpolate',
    'plot',
    'polynomial_decay',
    'power_decay',
    'prodigy',
    'radam',
    'range_ramp',
    'repeated_decay',
    'report',
    'restart_schedule',
    'rex',
    'rmsprop',
    'scale',
    'scale_learning_rate',
    'schedule',
    'schedule_free',
    'schedule_free_adamw',
    'schedule_free_plus',
    'schedule_free_sgd',
    'schedules',
    'set_learning_rate',
    'sgd',
    'slanted_triangular',
    'sm3',
    'soap',
    'stability',
    'state',
    'step_decay',
    'steps_for',
    'swa_tail',
    'tanh_decay',
    'tasks',
    'transforms',
    'transplant',
    'tune',
    'warm_restarts',
    'warmup_constant',
    'warmup_cosine',
    'warmup_exponential',
    'warmup_linear',
    'warmup_polynomial',
    'warmup_stable_decay',
    'with_learning_rate',
    'yogi',
]

# The tools are imported when they are first used: training does not need them,
# and `import lrax` costs what `import optax, chex` costs.
_TOOLS = ('diagnose', 'plot', 'scale', 'stability', 'tasks', 'tune')


def __getattr__(name: str) -> object:
  if name in _TOOLS:
    return importlib.import_module(f'lrax.{name}')
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return sorted({*globals(), *_TOOLS})
