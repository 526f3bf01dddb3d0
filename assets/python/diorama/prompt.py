"""A Python prompt beside a live clone, with the names that a script finds.

Nothing runs by itself: ``run_tests()`` runs the script, whose variables are there afterwards. A
failure is told and leads back to the prompt, with the clone as it is; ``pm()`` looks into the place
where it happened.

Invariant: ctrl-c ends what is being done and never the prompt; the terminal is given back.
"""

from __future__ import annotations

import code
import contextlib
import os
import pdb
import sys
import traceback
from typing import TYPE_CHECKING, Any, Dict, Optional

from .errors import DioramaError, TestScriptError
from .terminal import foreground

if TYPE_CHECKING:
    from .driver import Driver

_BANNER = """\
{machines}
run_tests() runs the script, start_all() starts the machines, NODE.shell_interact() is a root shell,
pm() looks into the last failure, help(machine) tells the rest; ctrl-d ends it all.
The screen of this clone, in another terminal: diorama attach -s {session}
"""


class Prompt(code.InteractiveConsole):
    """The prompt."""

    def __init__(self, driver: Driver, names: Dict[str, Any]) -> None:
        super().__init__(names, "<prompt>")
        self._driver = driver
        self.last: Optional[BaseException] = None
        names["pm"] = self.look

    def look(self) -> None:
        """Looks into the place of the last failure with Python's debugger."""
        if self.last is None:
            print("nothing has failed yet")
            return
        pdb.post_mortem(self._driver.innermost(self.last))

    def showtraceback(self) -> None:
        """Tells an error as a run's report would, without the driver's own lines."""
        error = sys.exc_info()[1]
        if error is None or isinstance(error, KeyboardInterrupt):
            self.write("interrupted\n")
            return
        self.last = error
        self._driver.note_failure(error)
        if isinstance(error, (DioramaError, AssertionError)):
            if not self._driver.suite.was_reported(error):
                self._driver.log.report(self._driver.describe(error))
            return
        # Its first frame is the prompt's own.
        frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
        self.write("".join(traceback.format_exception(type(error), error, frames)))

    def talk(self, history: Optional[str] = None) -> None:
        """Speaks with the person until they have had enough."""
        with foreground() as terminal:
            # What reads a line with an editor reads it from here.
            os.dup2(terminal, 0)
            if not os.isatty(1):
                os.dup2(terminal, 1)
            _line_editor(self.locals, history)
            names = ", ".join(m.name for m in self._driver.everyone)
            banner = _BANNER.format(
                machines=f"machines: {names}", session=self._driver.connection.session
            )
            self._driver.log.print_serial_logs(False)
            sys.ps1, sys.ps2 = ">>> ", "... "
            try:
                self.interact(banner=banner, exitmsg="")
            finally:
                _keep_history(history)
                null = os.open(os.devnull, os.O_RDONLY)
                os.dup2(null, 0)
                os.close(null)


def _line_editor(names: Any, history: Optional[str]) -> None:
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    if history is not None:
        with contextlib.suppress(OSError):
            readline.read_history_file(history)
        readline.set_history_length(1000)


def _keep_history(history: Optional[str]) -> None:
    with contextlib.suppress(ImportError, OSError):
        import readline

        if history is not None:
            readline.write_history_file(history)


def check_terminal() -> None:
    """Insists on a terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC))
    except OSError as e:
        raise TestScriptError("a prompt needs a terminal, and there is none") from e
