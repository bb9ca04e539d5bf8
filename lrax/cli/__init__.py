"""The command line: `lrax`."""

from lrax.cli._main import main

__all__ = ['main']
