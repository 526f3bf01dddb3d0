"""A machine, and retrying; see :mod:`diorama.machine`."""

from diorama.machine import Machine
from diorama.monitor import CHAR_TO_KEY
from diorama.timing import retry

__all__ = ["CHAR_TO_KEY", "Machine", "retry"]
