"""Carrying a learning rate over to another batch size, width or budget."""

from lrax._advice import Advice
from lrax.scale._batch_size import linear_rule
from lrax.scale._batch_size import square_root_rule
from lrax.scale._noise_scale import noise_scale_rule
from lrax.scale._step_law import step_law
from lrax.scale._width import mup

__all__ = [
    'Advice',
    'linear_rule',
    'mup',
    'noise_scale_rule',
    'square_root_rule',
    'step_law',
]
