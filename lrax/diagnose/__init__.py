"""What is the rate doing to this run: a monitor, and verdicts in plain words."""

from lrax.diagnose._diagnose import diagnose
from lrax.diagnose._diagnosis import Diagnosis
from lrax.diagnose._diagnosis import Evidence
from lrax.diagnose._history import History
from lrax.diagnose._history import history
from lrax.diagnose._log import Log
from lrax.diagnose._monitor import monitor
from lrax.diagnose._read_log import read_log
from lrax.diagnose._thresholds import Thresholds
from lrax.state._monitor_state import MonitorState

__all__ = [
    'Diagnosis',
    'Evidence',
    'History',
    'Log',
    'MonitorState',
    'Thresholds',
    'diagnose',
    'history',
    'monitor',
    'read_log',
]
