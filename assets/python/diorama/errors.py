"""What can go wrong, by whose fault it is.

Invariant: no I/O, and nothing of the package is imported here, so that every module may use it.
"""

from __future__ import annotations

from typing import Optional


class DioramaError(Exception):
    """The base of everything the driver raises on purpose."""


class RequestedAssertionFailed(DioramaError, AssertionError):
    """The script asked for something to hold and it did not: the test failed."""


class CommandFailed(RequestedAssertionFailed):
    """A command ended otherwise than the script asked for."""

    def __init__(self, message: str, node: str, command: str, status: int, output: str, stderr: str) -> None:
        super().__init__(message)
        self.node = node
        self.command = command
        self.status = status
        self.output = output
        self.stderr = stderr


class MachineError(DioramaError):
    """A machine does not do what it should: it crashed, or cannot be reached."""


class TestScriptError(DioramaError):
    """The script asks for something that makes no sense."""

    # The name begins as test runners expect of a test class; this is none.
    __test__ = False


class Refused(DioramaError):
    """The session's daemon refused a request."""

    def __init__(self, message: str, hint: Optional[str] = None) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.hint = hint


class SessionGone(DioramaError):
    """The connection to the session ended: nothing can be asked of the machines any more."""

    #: No later subtest can pass.
    survivable = False


class TimeIsUp(BaseException):
    """The whole test took longer than it may.

    Derives from ``BaseException`` so that no ``except Exception`` of a script holds it up.
    """
