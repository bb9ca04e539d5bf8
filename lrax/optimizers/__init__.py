"""Optimizers: a transformation of `lrax.transforms` and a learning rate."""

from lrax.optimizers._adagrad import adagrad
from lrax.optimizers._adam import adam
from lrax.optimizers._adamw import adamw
from lrax.optimizers._amsgrad import amsgrad
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
    'ProdigyState',
    'ScheduleFreeState',
    'adagrad',
    'adam',
    'adamw',
    'amsgrad',
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
