"""A machine's serial console: everything it printed, line by line, and a way in.

Invariant: about :data:`KEPT` bytes are kept; a reader that waits is woken by what comes, never by
the clock alone.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Optional, Pattern, Union

from .errors import RequestedAssertionFailed
from .log import Lines, Log
from .timing import Duration, seconds

if TYPE_CHECKING:
    from .protocol import Connection, Stream

#: What is kept of a console.
KEPT = 32 << 20
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-Z\\^_])")


class Console:
    """What a machine prints."""

    def __init__(self, node: str, log: Log) -> None:
        self._node = node
        self._log = log
        self._stream: Optional[Stream] = None
        self._lines = Lines()
        self._text: list[str] = []
        self._size = 0
        self._dropped = 0
        self._seen = 0
        self._changed = threading.Condition()

    def open(self, connection: Connection) -> None:
        """Begins to listen, with what was printed before."""
        if self._stream is None:
            request = {"type": "console", "node": self._node, "history": 1 << 30}
            self._stream = connection.open(request, self._take)

    def send(self, text: str) -> None:
        """Types into the console."""
        if self._stream is not None:
            self._stream.send(text.encode())

    def text(self) -> str:
        """All that is kept of it."""
        with self._changed:
            return "\n".join([*self._text, *self._tail()])

    def last_lines(self, count: int) -> list[str]:
        """Its last lines."""
        with self._changed:
            return [line for line in [*self._text[-count:], *self._tail()] if line.strip()][-count:]

    def wait_for(self, regex: Union[str, Pattern[str]], timeout: Optional[Duration]) -> None:
        """Waits until something that was not looked at before matches; what was is used up."""
        pattern = re.compile(regex)
        deadline = None if timeout is None else time.monotonic() + seconds(timeout)
        read: list[str] = []
        while True:
            with self._changed:
                start = max(0, self._seen - self._dropped)
                for at in range(start, len(self._text)):
                    read.append(self._text[at])
                    self._seen = self._dropped + at + 1
                    if pattern.search("\n".join(read[-200:])):
                        return
                # A prompt is a line without an end.
                if pattern.search("\n".join([*read[-200:], *self._tail()])):
                    return
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise RequestedAssertionFailed(
                        f"{self._node}: {pattern.pattern!r} did not appear on the console"
                    )
                if self._stream is not None and self._stream.end is not None:
                    raise RequestedAssertionFailed(f"{self._node}: its console has ended")
                self._changed.wait(1.0 if left is None else min(1.0, left))

    def _tail(self) -> list[str]:
        rest = self._lines.rest()
        return [_ESCAPES.sub("", rest)] if rest else []

    # Called by the reading thread.
    def _take(self, _channel: int, data: bytes) -> None:
        with self._changed:
            lines = [_ESCAPES.sub("", line) for line in self._lines.feed(data)]
            self._text += lines
            self._size += sum(len(line) + 1 for line in lines)
            if self._size > KEPT:
                # A quarter at once: a flood must not pay for every line anew.
                count = len(self._text) // 4 + 1
                self._size -= sum(len(line) + 1 for line in self._text[:count])
                self._dropped += count
                del self._text[:count]
            self._changed.notify_all()
        for line in lines:
            self._log.log_serial_output(line, self._node)
