"""Trains many trials of a task with one compiled program."""

from lrax.tune._engine._engine import Engine
from lrax.tune._engine._engine import ENGINES
from lrax.tune._engine._segments import Segments
from lrax.tune._engine._trial import Runs
from lrax.tune._engine._trial import Trials

__all__ = ['ENGINES', 'Engine', 'Runs', 'Segments', 'Trials']
