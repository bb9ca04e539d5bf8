"""Optimizers: a transformation of `lrax.transforms` and a learning rate."""

from lrax.optimizers._adagrad import adagrad
from lrax.optimizers._adam import adam
from lrax.optimizers._adamw import adamw
from lrax.optimizers._amsgrad import amsgrad
from lrax.optimizers._average import PolynomialAverageState
from lrax.optimizers._cocob import cocob
from lrax.optimizers._cocob import CocobState
from lrax.optimizers._dadapt_adamw import dadapt_adamw
from lrax.optimizers._dadapt_adamw import DadaptAdamwState
from lrax.optimizers._dadapt_sgd import dadapt_sgd
from lrax.optimizers._dadapt_sgd import DadaptSgdState
from lrax.optimizers._dog import dog
from lrax.optimizers._dog import DogState
from lrax.optimizers._dog import ldog
from lrax.optimizers._dowg import dowg
from lrax.optimizers._dowg import DowgState
from lrax.optimizers._mechanic import mechanic
from lrax.optimizers._mechanic import MechanicState
from lrax.optimizers._nadam import nadam
from lrax.optimizers._nadamw import nadamw
from lrax.optimizers._prodigy import prodigy
from lrax.optimizers._prodigy import ProdigyState
from lrax.optimizers._rmsprop import rmsprop
from lrax.optimizers._schedule_free import schedule_free
from lrax.optimizers._schedule_free import ScheduleFreeState
from lrax.optimizers._schedule_free_adamw import schedule_free_adamw
from lrax.optimizers._schedule_free_sgd import schedule_free_sgd
from lrax.optimizers._sgd import sgd
from lrax.optimizers._with_learning_rate import with_learning_rate

__all__ = [
    'CocobState',
    'DadaptAdamwState',
    'DadaptSgdState',
    'DogState',
    'DowgState',
    'MechanicState',
    'PolynomialAverageState',
    'ProdigyState',
    'ScheduleFreeState',
    'adagrad',
    'adam',
    'adamw',
    'amsgrad',
    'cocob',
    'dadapt_adamw',
    'dadapt_sgd',
    'dog',
    'dowg',
    'ldog',
    'mechanic',
    'nadam',
    'nadamw',
    'prodigy',
    'rmsprop',
    'schedule_free',
    'schedule_free_adamw',
    'schedule_free_sgd',
    'sgd',
    'with_learning_rate',
]
