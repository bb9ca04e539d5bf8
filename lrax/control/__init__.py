"""Closed loop: policies whose rate depends on how the training goes."""

from lrax.control._closed_loop import closed_loop

__all__ = ['closed_loop']
