"""Stopping a test in its middle to look around.

Invariant: without a person at a terminal a breakpoint is passed over, so that a forgotten one never
holds a test up for ever.
"""

from __future__ import annotations

import os
import pdb
import sys
from typing import TYPE_CHECKING, Any, Optional

from .errors import TestScriptError
from .terminal import foreground

if TYPE_CHECKING:
    from .driver import Driver


class Debug:
    """What ``debug`` is."""

    def __init__(self, driver: Driver, interactive: bool) -> None:
        self._driver = driver
        self._interactive = interactive

    def breakpoint(self, host: Optional[str] = None, port: Optional[int] = None) -> None:
        """Stops here with Python's debugger at the terminal; the clone goes on running.

        Where nobody sits at a terminal, or the run is not interactive, it is passed over. ``host``
        and ``port`` are taken for compatibility.
        """
        del host, port
        if not self._interactive:
            self._driver.log.info("a breakpoint is passed over; --interactive stops at it")
            return
        session = self._driver.connection.session
        self._driver.log.info(f"stopped at a breakpoint; the clone goes on: diorama attach --session {session}")
        try:
            with foreground() as fd, os.fdopen(os.dup(fd), "r") as typed, os.fdopen(os.dup(fd), "w") as shown:
                # At a prompt the debugger has its line editor, too.
                streams = {} if os.isatty(0) else {"stdin": typed, "stdout": shown}
                # ctrl-c goes on to end what the script does, not to stop it once more.
                debugger = pdb.Pdb(nosigint=True, **streams)
                debugger.prompt = "(test) "
                # The script's frame, not this one.
                frame: Any = sys._getframe(1)
                debugger.reset()
                debugger.botframe = frame
                debugger.interaction(frame, None)
        except TestScriptError as e:
            self._driver.log.info(f"a breakpoint is passed over: {e}")
