"""What can go wrong; see :mod:`diorama.errors`."""

from diorama.errors import DioramaError as TestDriverError
from diorama.errors import MachineError, RequestedAssertionFailed, TestScriptError

__all__ = ["MachineError", "RequestedAssertionFailed", "TestDriverError", "TestScriptError"]
