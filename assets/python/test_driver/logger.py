"""The log; see :mod:`diorama.log`."""

from diorama.log import Log as AbstractLogger

__all__ = ["AbstractLogger"]
