"""Read, change, restart and transplant the rate in any optimizer state."""

from lrax.state._change import follow_schedule
from lrax.state._change import report
from lrax.state._change import restart_schedule
from lrax.state._change import scale_learning_rate
from lrax.state._change import set_learning_rate
from lrax.state._eval_params import eval_params
from lrax.state._read import get_learning_rate
from lrax.state._read import metrics
from lrax.state._transplant import Transplant
from lrax.state._transplant import transplant

__all__ = [
    'Transplant',
    'eval_params',
    'follow_schedule',
    'get_learning_rate',
    'metrics',
    'report',
    'restart_schedule',
    'scale_learning_rate',
    'set_learning_rate',
    'transplant',
]
