"""Which parameter gets which rate: by path, by layer, and frozen or not."""

from lrax.groups._describe import describe
from lrax.groups._discriminative import discriminative
from lrax.groups._freeze import freeze
from lrax.groups._layerwise_decay import layerwise_decay
from lrax.groups._param_groups import param_groups
from lrax.groups._rates import frozen
from lrax.groups._rates import unfrozen_at
from lrax.groups._state import ParamGroupsState
from lrax.groups._unfreeze import unfreeze

__all__ = [
    'ParamGroupsState',
    'describe',
    'discriminative',
    'freeze',
    'frozen',
    'layerwise_decay',
    'param_groups',
    'unfreeze',
    'unfrozen_at',
]
