"""Optimizers: a transformation of `lrax.transforms` and a learning rate."""

from lrax.optimizers._adafactor import adafactor
from lrax.optimizers._adagrad import adagrad
from lrax.optimizers._adam import adam
from lrax.optimizers._adamw import adamw
from lrax.optimizers._amsgrad import amsgrad
from lrax.optimizers._came import came
from lrax.optimizers._lamb import lamb
from lrax.optimizers._lars import lars
from lrax.optimizers._muon import muon
from lrax.optimizers._nadam import nadam
from lrax.optimizers._nadamw import nadamw
from lrax.optimizers._rmsprop import rmsprop
from lrax.optimizers._sgd import sgd
from lrax.optimizers._soap import soap
from lrax.optimizers._with_learning_rate import with_learning_rate

__all__ = [
    'adafactor',
    'adagrad',
    'adam',
    'adamw',
    'amsgrad',
    'came',
    'lamb',
    'lars',
    'muon',
    'nadam',
    'nadamw',
    'rmsprop',
    'sgd',
    'soap',
    'with_learning_rate',
]
