"""The driver; see :mod:`diorama.driver`."""

from diorama.driver import Driver

__all__ = ["Driver"]
