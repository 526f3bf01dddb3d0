"""The program that the host side starts: ``python3 -m diorama``.

Standard input is a socket to whoever started this: its first line is the order (JSON), and events go
back on it. When it closes, the starter has died; then the session is ended, for nobody else will.

Invariant: the process ends soon after its starter, and its exit status is 0 only if all passed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Dict

from .driver import Driver
from .errors import DioramaError
from .log import Log
from .protocol import Connection

#: Set once the starter has gone.
ALONE = threading.Event()
#: The exit status of a driver that could not begin.
NOT_BEGUN = 2


def main() -> int:
    """Takes the order and runs the script."""
    control = socket.socket(fileno=os.dup(0))
    # What a script reads is not the order's socket.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    reader = control.makefile("r", encoding="utf-8")
    order: Dict[str, Any] = json.loads(reader.readline())
    log = Log(events=control.makefile("w", encoding="utf-8"), quiet=order.get("quiet", False))
    threading.Thread(target=_outlive_nobody, args=(reader, order), name="control", daemon=True).start()
    try:
        driver = Driver(
            order["socket"],
            Path(order["outDir"]),
            log,
            order["script"],
            order["scriptFile"],
            tuple(order.get("patterns", [])),
            order.get("keepGoing", False),
            order.get("commandTimeout"),
            order.get("interactive", False),
            order.get("historyFile"),
            order.get("sessionState"),
            order.get("attached", False),
        )
    except DioramaError as e:
        log.report(f"error: {e}")
        log.event("script-end", result="error", message=str(e), status=NOT_BEGUN)
        return NOT_BEGUN
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [order["scriptFile"]]
    return driver.run()


def _outlive_nobody(reader: Any, order: Dict[str, Any]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while reader.readline():
            pass
    ALONE.set()
    if not order.get("keep", False):
        with contextlib.suppress(DioramaError, OSError):
            end = Connection(order["socket"], "test")
            end.request({"type": "down", "power": True, "timeout": 0}, 30)
    _end(1)


def _end(status: int) -> None:
    if ALONE.is_set() and os.getpgrp() == os.getpid():
        # What the script started goes with it; otherwise the starter sees to that.
        os.killpg(0, signal.SIGKILL)
    # Threads that wait for a machine must not hold up the end.
    os._exit(status)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    _end(status)
