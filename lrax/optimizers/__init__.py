"""Optimizers: a transformation of `lrax.transforms` and a learning rate."""

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
from lrax.optimizers._lamb import lamb
from lrax.optimizers._lars import lars
from lrax.optimizers._lion import lion
from lrax.optimizers._mars import mars
from lrax.optimizers._muon import muon
from lrax.optimizers._nadam import nadam
from lrax.optimizers._nadamw import nadamw
from lrax.optimizers._novograd import novograd
from lrax.optimizers._radam import radam
from lrax.optimizers._rmsprop import rmsprop
from lrax.optimizers._sgd import sgd
from lrax.optimizers._sm3 import sm3
from lrax.optimizers._soap import soap
from lrax.optimizers._with_learning_rate import with_learning_rate
from lrax.optimizers._yogi import yogi

__all__ = [
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
    'lamb',
    'lars',
    'lion',
    'mars',
    'muon',
    'nadam',
    'nadamw',
    'novograd',
    'radam',
    'rmsprop',
    'sgd',
    'sm3',
    'soap',
    'with_learning_rate',
    'yogi',
]
