"""A person's terminal, taken for a while from within a test.

Invariant: the terminal gets back the settings it had, however the visit ends; ctrl-c belongs to
whatever runs at the other end, so it never ends the test.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from typing import TYPE_CHECKING, Iterator

from .errors import TestScriptError

if TYPE_CHECKING:
    from .log import Log
    from .protocol import Connection, Message

#: ctrl-], as in telnet.
ESCAPE = b"\x1d"


@contextlib.contextmanager
def foreground() -> Iterator[int]:
    """The terminal as a file descriptor, with this process in its foreground."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise TestScriptError("there is no terminal to speak to a person") from e
    before = os.tcgetpgrp(fd)
    old = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(fd, os.getpgrp())
        yield fd
    finally:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(fd, before)
        signal.signal(signal.SIGTTOU, old)
        os.close(fd)


def interact(connection: Connection, request: Message, what: str, log: Log) -> None:
    """Connects a stream to the person's terminal until ctrl-] or its end."""
    with foreground() as fd, log.silence():
        print(f"{what}; ctrl-] comes back to the test", file=sys.stderr, flush=True)
        settings = termios.tcgetattr(fd)
        ended, ending = os.pipe()
        stream = connection.open(request, lambda _channel, data: _write_all(fd, data))

        def watch() -> None:
            stream.wait()
            # Nobody looks any more when the stream has ended by ctrl-].
            with contextlib.suppress(OSError):
                os.write(ending, b".")
            os.close(ending)

        threading.Thread(target=watch, name="interact", daemon=True).start()
        try:
            tty.setraw(fd)
            # What others print meanwhile still begins at a line's start.
            mode = termios.tcgetattr(fd)
            mode[1] |= termios.OPOST
            termios.tcsetattr(fd, termios.TCSADRAIN, mode)
            while True:
                ready, _, _ = select.select([fd, ended], [], [])
                if ended in ready:
                    break
                typed = os.read(fd, 4096)
                before, escape, _ = typed.partition(ESCAPE)
                stream.send(before)
                if escape or not typed:
                    break
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, settings)
            stream.close()
            stream.wait(5)
            os.close(ended)
        print(file=sys.stderr)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
