"""`scale_by_*`: one adaptive method a file, without a learning rate."""

from lrax._types import ScheduledState
from lrax.transforms._scale_by_adagrad import scale_by_adagrad
from lrax.transforms._scale_by_adagrad import ScaleByAdagradState
from lrax.transforms._scale_by_adam import scale_by_adam
from lrax.transforms._scale_by_amsgrad import scale_by_amsgrad
from lrax.transforms._scale_by_came import scale_by_came
from lrax.transforms._scale_by_came import ScaleByCameState
from lrax.transforms._scale_by_factored_rms import scale_by_factored_rms
from lrax.transforms._scale_by_lars import scale_by_lars
from lrax.transforms._scale_by_momentum import scale_by_momentum
from lrax.transforms._scale_by_muon import scale_by_muon
from lrax.transforms._scale_by_nadam import scale_by_nadam
from lrax.transforms._scale_by_nadam import ScaleByNadamState
from lrax.transforms._scale_by_param_block_rms import scale_by_param_block_rms
from lrax.transforms._scale_by_rms import scale_by_rms
from lrax.transforms._scale_by_rms import ScaleByRmsState
from lrax.transforms._scale_by_soap import scale_by_soap
from lrax.transforms._scale_by_soap import ScaleBySoapState
from lrax.transforms._scale_by_trust_ratio import scale_by_trust_ratio

__all__ = [
    'ScaleByAdagradState',
    'ScaleByCameState',
    'ScaleByNadamState',
    'ScaleByRmsState',
    'ScaleBySoapState',
    'ScheduledState',
    'scale_by_adagrad',
    'scale_by_adam',
    'scale_by_amsgrad',
    'scale_by_came',
    'scale_by_factored_rms',
    'scale_by_lars',
    'scale_by_momentum',
    'scale_by_muon',
    'scale_by_nadam',
    'scale_by_param_block_rms',
    'scale_by_rms',
    'scale_by_soap',
    'scale_by_trust_ratio',
]
