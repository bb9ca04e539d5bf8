"""`scale_by_*`: one adaptive method a file, without a learning rate."""

from lrax._types import ScheduledState
from lrax.transforms._cautious import cautious
from lrax.transforms._clip_by_global_norm import clip_by_global_norm
from lrax.transforms._grams import grams
from lrax.transforms._master_weights import master_weights
from lrax.transforms._master_weights import MasterWeightsState
from lrax.transforms._moments import Block8
from lrax.transforms._scale_by_adadelta import scale_by_adadelta
from lrax.transforms._scale_by_adagrad import scale_by_adagrad
from lrax.transforms._scale_by_adagrad import ScaleByAdagradState
from lrax.transforms._scale_by_adam import scale_by_adam
from lrax.transforms._scale_by_adamax import scale_by_adamax
from lrax.transforms._scale_by_adan import scale_by_adan
from lrax.transforms._scale_by_adan import ScaleByAdanState
from lrax.transforms._scale_by_ademamix import scale_by_ademamix
from lrax.transforms._scale_by_ademamix import ScaleByAdemamixState
from lrax.transforms._scale_by_adopt import scale_by_adopt
from lrax.transforms._scale_by_amsgrad import scale_by_amsgrad
from lrax.transforms._scale_by_belief import scale_by_belief
from lrax.transforms._scale_by_came import scale_by_came
from lrax.transforms._scale_by_came import ScaleByCameState
from lrax.transforms._scale_by_factored_rms import scale_by_factored_rms
from lrax.transforms._scale_by_lars import scale_by_lars
from lrax.transforms._scale_by_lion import scale_by_lion
from lrax.transforms._scale_by_mars import scale_by_mars
from lrax.transforms._scale_by_mars import ScaleByMarsState
from lrax.transforms._scale_by_momentum import scale_by_momentum
from lrax.transforms._scale_by_muon import scale_by_muon
from lrax.transforms._scale_by_nadam import scale_by_nadam
from lrax.transforms._scale_by_nadam import ScaleByNadamState
from lrax.transforms._scale_by_novograd import scale_by_novograd
from lrax.transforms._scale_by_param_block_rms import scale_by_param_block_rms
from lrax.transforms._scale_by_radam import scale_by_radam
from lrax.transforms._scale_by_rms import scale_by_rms
from lrax.transforms._scale_by_rms import ScaleByRmsState
from lrax.transforms._scale_by_sm3 import scale_by_sm3
from lrax.transforms._scale_by_sm3 import ScaleBySm3State
from lrax.transforms._scale_by_soap import scale_by_soap
from lrax.transforms._scale_by_soap import ScaleBySoapState
from lrax.transforms._scale_by_trust_ratio import scale_by_trust_ratio
from lrax.transforms._scale_by_yogi import scale_by_yogi
from lrax.transforms._stacked import stacked
from lrax.transforms._stochastic_rounding import stochastic_rounding
from lrax.transforms._stochastic_rounding import StochasticRoundingState

__all__ = [
    'Block8',
    'MasterWeightsState',
    'ScaleByAdagradState',
    'ScaleByAdanState',
    'ScaleByAdemamixState',
    'ScaleByCameState',
    'ScaleByMarsState',
    'ScaleByNadamState',
    'ScaleByRmsState',
    'ScaleBySm3State',
    'ScaleBySoapState',
    'ScheduledState',
    'StochasticRoundingState',
    'cautious',
    'clip_by_global_norm',
    'grams',
    'master_weights',
    'scale_by_adadelta',
    'scale_by_adagrad',
    'scale_by_adam',
    'scale_by_adamax',
    'scale_by_adan',
    'scale_by_ademamix',
    'scale_by_adopt',
    'scale_by_amsgrad',
    'scale_by_belief',
    'scale_by_came',
    'scale_by_factored_rms',
    'scale_by_lars',
    'scale_by_lion',
    'scale_by_mars',
    'scale_by_momentum',
    'scale_by_muon',
    'scale_by_nadam',
    'scale_by_novograd',
    'scale_by_param_block_rms',
    'scale_by_radam',
    'scale_by_rms',
    'scale_by_sm3',
    'scale_by_soap',
    'scale_by_trust_ratio',
    'scale_by_yogi',
    'stacked',
    'stochastic_rounding',
]
