"""What a run says: lines for people on standard error, and one event a line for programs.

Invariant: what a guest printed reaches a terminal only with its control characters replaced, and
no failure to write an event stops a test.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Optional, TextIO

#: Bytes of one command's output that are shown while it runs; all of it is returned nevertheless.
LIVE_LIMIT = 64 << 10
LIVE_LINES = 1000
#: Characters of one line that are shown.
LINE_SHOWN = 400

_CONTROLS = {c: "\ufffd" for c in [*range(32), *range(127, 160)] if c not in (9, 10)}


def printable(text: str) -> str:
    """Text that is safe to show on a terminal: control characters but newline and tab replaced."""
    return text.translate(_CONTROLS)


class Lines:
    """Cuts pieces of bytes into lines of text; an unfinished line waits for its rest."""

    LONGEST = 8 << 10

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> List[str]:
        """The lines that this piece completes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self.LONGEST:
            # A guest that never ends its line must not fill the memory.
            whole.append(self._rest)
            self._rest = b""
        return [self._text(line) for line in whole]

    def finish(self) -> List[str]:
        """The line that never ended, if any."""
        rest, self._rest = self._rest, b""
        return [self._text(rest)] if rest else []

    def rest(self) -> str:
        """The line that has not ended yet."""
        return self._text(self._rest)

    @staticmethod
    def _text(line: bytes) -> str:
        return line.decode(errors="replace").rstrip("\r")


class Log:
    """The log of a run; the name ``log`` of a script is this object."""

    def __init__(
        self,
        out: Optional[TextIO] = None,
        events: Optional[TextIO] = None,
        quiet: bool = False,
    ) -> None:
        self._out = out if out is not None else sys.stderr
        self._events = events
        self._lock = threading.RLock()
        self._depth = threading.local()
        self._start = time.monotonic()
        self.serial = not quiet
        self.quiet = quiet
        self.colour = (
            hasattr(self._out, "isatty") and self._out.isatty() and not os.environ.get("NO_COLOR")
        )

    # --- for scripts, by the NixOS test driver's names ---

    def log(self, message: str, attributes: Optional[Dict[str, str]] = None) -> None:
        """Says something; ``attributes`` may name the ``machine`` it is about."""
        machine = (attributes or {}).get("machine")
        self.line(message, node=machine)
        self.event("log", level="info", text=message, node=machine)

    def info(self, message: str) -> None:
        """Says something."""
        self.log(message)

    def log_test_error(self, message: str) -> None:
        """Says that the test is wrong."""
        self.error(message)

    def warning(self, message: str) -> None:
        """Says something worth a look."""
        self.line(f"warning: {message}", style="33")
        self.event("log", level="warning", text=message)

    def error(self, message: str) -> None:
        """Says that something failed."""
        self.line(message, style="31")
        self.event("log", level="error", text=message)

    @contextlib.contextmanager
    def nested(self, message: str, attributes: Optional[Dict[str, str]] = None) -> Iterator[None]:
        """Says what is being done, and how long it took when it took long."""
        machine = (attributes or {}).get("machine")
        self.line(message, node=machine)
        self.event("nested", text=message, node=machine)
        before = time.monotonic()
        self._depth.value = self.depth + 1
        try:
            yield
        finally:
            self._depth.value = self.depth - 1
            took = time.monotonic() - before
            if took >= 1:
                self.line(f"({message}: {took:.1f} s)", node=machine, style="2")

    @contextlib.contextmanager
    def silence(self) -> Iterator[None]:
        """Writes no lines for people meanwhile: somebody else has the terminal."""
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before

    def print_serial_logs(self, enable: bool) -> None:
        """Shows what the consoles print, or not."""
        self.serial = enable

    def log_serial_output(self, message: str, machine: str) -> None:
        """Takes in a line of a console."""
        self.event("console", node=machine, text=message)
        if self.serial and message.strip():
            self.line(f"# {message}", node=machine, style="2")

    # --- for the driver ---

    @property
    def depth(self) -> int:
        """How deeply nested this thread is."""
        return int(getattr(self._depth, "value", 0))

    def line(self, text: str, node: Optional[str] = None, style: str = "", force: bool = False) -> None:
        """Writes lines for people."""
        if self.quiet and not force:
            return
        at = time.monotonic() - self._start
        head = f"[{at:7.2f}] " + "  " * self.depth + (f"{node}: " if node else "")
        out = []
        for one in printable(text).split("\n"):
            if len(one) > LINE_SHOWN:
                one = f"{one[:LINE_SHOWN]} [and {len(one) - LINE_SHOWN} more]"
            out.append(f"\x1b[{style}m{head}{one}\x1b[0m\n" if style and self.colour else f"{head}{one}\n")
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._out.write("".join(out))
            self._out.flush()

    def report(self, text: str) -> None:
        """Writes text that stays as it is, whatever is quiet."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._out.write(printable(text) + "\n")
            self._out.flush()

    def event(self, kind: str, /, **fields: Any) -> None:
        """Writes an event."""
        if self._events is None:
            return
        message = {"event": kind, "at": round(time.monotonic() - self._start, 4), "time": int(time.time() * 1000)}
        message.update((k, v) for k, v in fields.items() if v is not None)
        try:
            text = json.dumps(message)
        except (TypeError, ValueError):
            text = json.dumps({"event": kind, "text": repr(fields)})
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._events.write(text + "\n")
            self._events.flush()
