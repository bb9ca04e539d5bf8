"""Optimizers: a transformation of `lrax.transforms` and a learning rate.

What a method averages keeps a NaN for ever: in its element, in the whole array where
the method takes norms or means of one, everywhere where it estimates its rate. In
float32 a gradient above 1e19 squares to infinity: its element stops, and a method
that averages squares over an array or rotates its axes (`came`, `soap`) turns to NaN
or makes huge steps. `lrax.guard` around the optimizer keeps a NaN out; a clip in
front of it keeps huge gradients small.
"""

from lrax.optimizers._adabelief import adabelief
from lrax.optimizers._adadelta import adadelta
from lrax.optimizers._adafactor import adafactor
from lrax.optimizers._adagrad import adagrad
from lrax.optimizers._adam import adam
from lrax.optimizers._adamax import adamax
from lrax.optimizers._adamw import adamw
from lrax.optimizers._adan import adan
from lrax.optimizers._ademamix import ademamix
from lrax.optimizers._adopt import adopt
from lrax.optimizers._amsgrad import amsgrad
from lrax.optimizers._came import came
from lrax.optimizers._cocob import cocob
from lrax.optimizers._cocob import CocobState
from lrax.optimizers._dadapt_adagrad import dadapt_adagrad
from lrax.optimizers._dadapt_adagrad import DadaptAdagradState
from lrax.optimizers._dadapt_adamw import dadapt_adamw
from lrax.optimizers._dadapt_adamw import DadaptAdamwState
from lrax.optimizers._dadapt_sgd import dadapt_sgd
from lrax.optimizers._dadapt_sgd import DadaptSgdState
from lrax.optimizers._distance import DogState
from lrax.optimizers._dog import dog
from lrax.optimizers._dowg import dowg
from lrax.optimizers._dowg import DowgState
from lrax.optimizers._lamb import lamb
from lrax.optimizers._lars import lars
from lrax.optimizers._ldog import ldog
from lrax.optimizers._lion import lion
from lrax.optimizers._mars import mars
from lrax.optimizers._mechanic import mechanic
from lrax.optimizers._mechanic import MechanicState
from lrax.optimizers._muon import muon
from lrax.optimizers._nadam import nadam
from lrax.optimizers._nadamw import nadamw
from lrax.optimizers._novograd import novograd
from lrax.optimizers._polynomial_average import PolynomialAverageState
from lrax.optimizers._prodigy import prodigy
from lrax.optimizers._prodigy import ProdigyState
from lrax.optimizers._radam import radam
from lrax.optimizers._rmsprop import rmsprop
from lrax.optimizers._schedule_free import schedule_free
from lrax.optimizers._schedule_free import ScheduleFreeState
from lrax.optimizers._schedule_free_adamw import schedule_free_adamw
from lrax.optimizers._schedule_free_plus import schedule_free_plus
from lrax.optimizers._schedule_free_plus import ScheduleFreePlusState
from lrax.optimizers._schedule_free_sgd import schedule_free_sgd
from lrax.optimizers._sgd import sgd
from lrax.optimizers._sm3 import sm3
from lrax.optimizers._soap import soap
from lrax.optimizers._with_learning_rate import with_learning_rate
from lrax.optimizers._yogi import yogi

__all__ = [
    'CocobState',
    'DadaptAdagradState',
    'DadaptAdamwState',
    'DadaptSgdState',
    'DogState',
    'DowgState',
    'MechanicState',
    'PolynomialAverageState',
    'ProdigyState',
    'ScheduleFreePlusState',
    'ScheduleFreeState',
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
    'came',
    'cocob',
    'dadapt_adagrad',
    'dadapt_adamw',
    'dadapt_sgd',
    'dog',
    'dowg',
    'lamb',
    'lars',
    'ldog',
    'lion',
    'mars',
    'mechanic',
    'muon',
    'nadam',
    'nadamw',
    'novograd',
    'prodigy',
    'radam',
    'rmsprop',
    'schedule_free',
    'schedule_free_adamw',
    'schedule_free_plus',
    'schedule_free_sgd',
    'sgd',
    'sm3',
    'soap',
    'with_learning_rate',
    'yogi',
]
