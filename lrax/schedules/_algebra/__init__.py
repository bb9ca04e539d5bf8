"""Schedules made of schedules: what the methods and operators of one do."""

from lrax.schedules._algebra._arithmetic import clip
from lrax.schedules._algebra._arithmetic import maximum
from lrax.schedules._algebra._arithmetic import minimum
from lrax.schedules._algebra._arithmetic import product
from lrax.schedules._algebra._arithmetic import sum  # pylint: disable=redefined-builtin
from lrax.schedules._algebra._by_progress import by_progress
from lrax.schedules._algebra._cooldown import cooldown
from lrax.schedules._algebra._join import join
from lrax.schedules._algebra._join import then
from lrax.schedules._algebra._time import every
from lrax.schedules._algebra._time import repeat
from lrax.schedules._algebra._time import shift
from lrax.schedules._algebra._time import stretch
from lrax.schedules._algebra._with_noise import with_noise
from lrax.schedules._algebra._with_warmup import with_warmup

__all__ = [
    'by_progress',
    'clip',
    'cooldown',
    'every',
    'join',
    'maximum',
    'minimum',
    'product',
    'repeat',
    'shift',
    'stretch',
    'sum',
    'then',
    'with_noise',
    'with_warmup',
]
