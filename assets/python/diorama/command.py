"""A command that runs in a machine: its output as it comes, its status, its end.

Invariant: what is kept of a command's output is bounded; a command beyond :data:`MOST_OUTPUT` is
ended and fails.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Callable, Optional

from .errors import MachineError
from .log import LIVE_LIMIT, LIVE_LINES, Lines
from .timing import Duration, seconds

if TYPE_CHECKING:
    from .machine import Machine
    from .protocol import Stream

#: The most that a command may print.
MOST_OUTPUT = 256 << 20
#: What is kept of a command's standard error.
STDERR_KEPT = 256 << 10
#: The status of a command that took too long, as ``timeout`` has it.
TIMED_OUT = 124
#: How long a command may take to end from a signal.
GRACE = 5.0
TERM, KILL = 15, 9

# What a command of a script runs in: as in the NixOS test driver's root shell, and by plain sh in a
# machine without bash.
_WRAPPER = """\
cd /tmp 2>/dev/null || cd /; export DISPLAY="${DISPLAY:-:0.0}"
if command -v bash >/dev/null 2>&1; then exec bash -c "$0"; fi
exec sh -c "$0"
"""
_STRICT = "set -eu; (set -o pipefail) 2>/dev/null && set -o pipefail; "


def shell_argv(command: str) -> list[str]:
    """The words that run a script's command: the first failure ends it, in pipes too."""
    return ["/bin/sh", "-c", _WRAPPER, _STRICT + command]


class Command:
    """A command that was started; get one from :meth:`Machine.spawn`."""

    def __init__(
        self,
        machine: Machine,
        command: str,
        shown: bool = True,
        piped: bool = False,
        ended: Optional[Callable[[], object]] = None,
    ) -> None:
        self.machine = machine
        self.command = command
        self._log = machine.driver.log
        self._shown = shown
        self._when_ended = ended
        self._number = machine.next_command()
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._out_lines, self._err_lines = Lines(), Lines()
        self._live = self._live_lines = 0
        self._silent = False
        self._lock = threading.Lock()
        self._too_much = False
        self._start = time.monotonic()
        self._ended_said = False
        #: Whether it was ended because it took too long.
        self.timed_out = False
        if shown:
            self._log.line(f"$ {command}", node=machine.name, style="1")
        self._log.event("command-begin", node=machine.name, id=self._number, command=command)
        request = {"type": "exec", "node": machine.name, "argv": shell_argv(command), "env": []}
        self.stream: Stream = machine.connection.open(request, self._take)
        if not piped:
            self.stream.end_input()

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.stream.end is None

    @property
    def output(self) -> str:
        """Its standard output up to now."""
        with self._lock:
            return self._stdout.decode(errors="replace")

    @property
    def output_bytes(self) -> bytes:
        """Its standard output up to now, as it came."""
        with self._lock:
            return bytes(self._stdout)

    @property
    def stderr(self) -> str:
        """The last of its standard error up to now."""
        with self._lock:
            return self._stderr.decode(errors="replace")

    def wait(self, timeout: Optional[Duration] = None) -> int:
        """Waits for its end and gives its status; one that takes too long is ended, with 124."""
        limit = None if timeout is None else seconds(timeout)
        try:
            end = self.stream.wait(limit)
        except BaseException:
            # A person's ctrl-c, or the time that is up, ends the command as well.
            self.signal(TERM)
            raise
        if end is not None:
            return self._status(end)
        self._log.line(f"takes longer than {limit:g} s and is ended: {self.command}", node=self.machine.name)
        self.timed_out = True
        self.kill()
        self._ended(TIMED_OUT)
        return TIMED_OUT

    def signal(self, number: int = TERM) -> None:
        """Sends it a signal."""
        if self.running:
            self.stream.signal(number)

    def kill(self) -> None:
        """Ends it: asks first, then kills, then lets go of it."""
        for number in (TERM, KILL):
            if self.stream.end is not None:
                return
            self.stream.signal(number)
            if self.stream.wait(GRACE) is not None:
                return
        self.stream.close()

    def _status(self, end: dict[str, object]) -> int:
        how = end.get("how")
        if self._too_much:
            self._ended(None)
            raise MachineError(
                f"{self.machine.name}: the command printed more than {MOST_OUTPUT >> 20} MiB and was ended: "
                f"{self.command}"
            )
        if how == "exited":
            return self._ended(int(str(end["code"])))
        if how == "killed":
            return self._ended(128 + int(str(end["signal"])))
        self._ended(None)
        if how == "notStarted":
            raise MachineError(f"{self.machine.name}: the command could not be started: {end.get('reason')}")
        reason = end.get("reason", "it was closed")
        raise MachineError(f"{self.machine.name}: the command broke off ({reason}): {self.command}")

    def _ended(self, status: Optional[int]) -> int:
        if not self._ended_said:
            self._ended_said = True
            for lines, mark in ((self._out_lines, "|"), (self._err_lines, "!")):
                self._show(lines.finish(), mark)
            took = time.monotonic() - self._start
            self._log.event(
                "command-end", node=self.machine.name, id=self._number, status=status, seconds=round(took, 4)
            )
            ended, self._when_ended = self._when_ended, None
            if ended is not None and status is not None:
                ended()
        return -1 if status is None else status

    # Called by the reading thread.
    def _take(self, channel: int, data: bytes) -> None:
        with self._lock:
            if channel == 2:
                self._stderr += data
                del self._stderr[:-STDERR_KEPT]
            elif len(self._stdout) + len(data) <= MOST_OUTPUT:
                self._stdout += data
            elif not self._too_much:
                self._too_much = True
                self.stream.signal(KILL)
        if self._silent:
            return
        cutter, mark = (self._err_lines, "!") if channel == 2 else (self._out_lines, "|")
        lines = cutter.feed(data)
        self._live += len(data)
        self._live_lines += len(lines)
        self._silent = self._live > LIVE_LIMIT or self._live_lines > LIVE_LINES
        self._show(lines[:LIVE_LINES], mark)
        if self._silent:
            self._show(["[the rest of the output is not shown here]"], "|")

    def _show(self, lines: list[str], mark: str) -> None:
        channel = "stderr" if mark == "!" else "stdout"
        for line in lines:
            if self._shown:
                self._log.line(f"{mark} {line}", node=self.machine.name)
            self._log.event(
                "command-output", node=self.machine.name, id=self._number, channel=channel, text=line
            )
