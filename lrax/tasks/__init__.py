"""Tasks: what to train, and the built-in real ones."""

from lrax.tasks._cartpole import cartpole
from lrax.tasks._characters import characters
from lrax.tasks._data import Arrays
from lrax.tasks._data import Drawn
from lrax.tasks._data import Stream
from lrax.tasks._digits import digits
from lrax.tasks._digits_cnn import digits_cnn
from lrax.tasks._load import load
from lrax.tasks._packages import packages
from lrax.tasks._task import Task
from lrax.tasks._tumours import tumours

__all__ = [
    'Arrays',
    'Drawn',
    'Stream',
    'Task',
    'cartpole',
    'characters',
    'digits',
    'digits_cnn',
    'load',
    'packages',
    'tumours',
]
