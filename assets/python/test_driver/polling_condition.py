"""Conditions that have to hold; see :mod:`diorama.timing`."""

from diorama.timing import PollingCondition

__all__ = ["PollingCondition"]
