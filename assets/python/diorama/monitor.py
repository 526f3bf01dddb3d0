"""QEMU's monitor of a machine: commands, events, keys.

Invariant: the session's daemon owns the monitor; everything goes through it, so that neither a
second client nor a screen that looks on is disturbed.
"""

from __future__ import annotations

import collections
import json
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Deque, Dict, Optional

from .errors import RequestedAssertionFailed
from .log import Lines
from .timing import Duration, seconds

if TYPE_CHECKING:
    from .protocol import Connection, Stream

#: Events that are kept for a script that has not asked for them yet.
EVENTS_KEPT = 1000

#: QEMU's names of the keys that type a character.
CHAR_TO_KEY: Dict[str, str] = {
    **{c: f"shift-{c.lower()}" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    "-": "0x0C",
    "_": "shift-0x0C",
    "=": "0x0D",
    "+": "shift-0x0D",
    "[": "0x1A",
    "{": "shift-0x1A",
    "]": "0x1B",
    "}": "shift-0x1B",
    ";": "0x27",
    ":": "shift-0x27",
    "'": "0x28",
    '"': "shift-0x28",
    "`": "0x29",
    "~": "shift-0x29",
    "\\": "0x2B",
    "|": "shift-0x2B",
    ",": "0x33",
    "<": "shift-0x33",
    ".": "0x34",
    ">": "shift-0x34",
    "/": "0x35",
    "?": "shift-0x35",
    " ": "spc",
    "\n": "ret",
    "\t": "tab",
    "!": "shift-0x02",
    "@": "shift-0x03",
    "#": "shift-0x04",
    "$": "shift-0x05",
    "%": "shift-0x06",
    "^": "shift-0x07",
    "&": "shift-0x08",
    "*": "shift-0x09",
    "(": "shift-0x0A",
    ")": "shift-0x0B",
}


class Monitor:
    """What a machine's QEMU can be told."""

    # What the machine gives.
    name: str
    connection: Connection
    start: Callable[..., None]
    nested: Callable[..., ContextManager[None]]
    log: Callable[[str], None]

    def __init__(self) -> None:
        self._events: Deque[Dict[str, Any]] = collections.deque(maxlen=EVENTS_KEPT)
        self._event_lines = Lines()
        self._event_stream: Optional[Stream] = None
        self._event_came = threading.Condition()

    def qmp(self, command: str, arguments: Optional[Dict[str, Any]] = None) -> Any:
        """Sends a command to QEMU's monitor as QMP has it, and gives what it returns."""
        request = {"type": "qmp", "node": self.name, "command": command, "arguments": arguments or {}}
        return self.connection.request(request).get("value")

    def send_monitor_command(self, command: str) -> str:
        """Runs a command of QEMU's human monitor and gives its text."""
        return str(self.qmp("human-monitor-command", {"command-line": command}))

    # --- events ---

    def listen(self) -> None:
        """Begins to keep QEMU's events."""
        if self._event_stream is None:
            request = {"type": "qmpEvents", "node": self.name}
            self._event_stream = self.connection.open(request, self._take_event)

    def wait_for_qmp_event(
        self, event_filter: Callable[[Dict[str, Any]], bool], timeout: Duration = timedelta(minutes=10)
    ) -> Dict[str, Any]:
        """Waits for an event of QEMU's that a filter accepts, and gives it.

        Events that came earlier and were not waited for count too, and are used up on the way.
        """
        self.listen()
        deadline = time.monotonic() + seconds(timeout)
        with self._event_came:
            while True:
                while self._events:
                    event = self._events.popleft()
                    if event_filter(event):
                        return event
                left = deadline - time.monotonic()
                if left <= 0:
                    raise RequestedAssertionFailed(f"{self.name}: no such event of QEMU's came in time")
                self._event_came.wait(left)

    # Called by the reading thread.
    def _take_event(self, _channel: int, data: bytes) -> None:
        with self._event_came:
            for line in self._event_lines.feed(data):
                try:
                    self._events.append(json.loads(line))
                except ValueError:
                    continue
            self._event_came.notify_all()

    # --- keys ---

    def send_key(self, key: str, delay: Optional[float] = 0.01, log: Optional[bool] = True) -> None:
        """Presses a key or several at once (``ctrl-alt-delete``) for a moment."""
        key = CHAR_TO_KEY.get(key, key)
        if log:
            self.log(f"pressing {key}")
        self.send_monitor_command(f"sendkey {key}")
        if delay is not None:
            time.sleep(delay)

    def send_chars(self, chars: str, delay: Optional[float] = 0.01) -> None:
        """Types text on the machine's keyboard."""
        with self.nested(f"sending keys {chars!r}"):
            for char in chars:
                self.send_key(char, delay, log=False)
