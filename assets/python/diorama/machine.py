"""A machine as a script sees it: its life and its commands.

The rest of its methods are in the classes it is made of: waiting for the guest's services, files,
keys and pictures. Every name, default and return value is the NixOS test driver's.

Invariant: a machine is driven through the session alone, so whatever else looks at the session (a
screen, another shell) sees the same.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Dict, List, Optional, Tuple

from .command import Command
from .consoles import Console
from .errors import CommandFailed, MachineError, Refused, TestScriptError
from .files import Files
from .guest import Guest
from .monitor import Monitor
from .perl import MachineAliases
from .screen import Display
from .shared import Shared
from .terminal import interact
from .timing import DEFAULT_TIMEOUT, Duration, retry, seconds

if TYPE_CHECKING:
    from .driver import Driver
    from .protocol import Connection, Message

#: States of a machine whose QEMU runs.
RUNNING = ("booting", "up", "paused", "stopping")
#: Seconds that a machine may take to boot, at least.
PATIENCE = 600.0
#: Seconds that a guest may take to begin a reboot when the keys say so.
KEYS_PATIENCE = 15.0


class Machine(Guest, Files, Monitor, Display, MachineAliases):
    """A machine of the network."""

    def __init__(self, name: str, driver: Driver, allow_reboot: Optional[bool] = None) -> None:
        self.name = name
        self.driver = driver
        self.out_dir: Path = driver.out_dir
        #: A directory of the host for things that belong to this machine.
        self.state_dir: Path = driver.state_dir_of(name)
        #: A directory of the host that all machines share; guests have it as /tmp/shared.
        self.shared_dir: Path = driver.shared_dir
        self._shared = Shared(self)
        self.console = Console(name, driver.log)
        self._commands = itertools.count(1)
        # A machine that is started with no word about it follows this, once the script has made it.
        self._own_reboot = bool(allow_reboot)
        self._allow_reboot = True
        self._prepared: Optional[str] = None
        self._life = threading.RLock()
        Monitor.__init__(self)

    def __repr__(self) -> str:
        return f"<machine {self.name}: {self.state}>"

    # --- what it is part of ---

    def log(self, message: str) -> None:
        """Says something about this machine."""
        self.driver.log.log(message, {"machine": self.name})

    def nested(self, message: str, attributes: Optional[Dict[str, str]] = None) -> ContextManager[None]:
        """Says what is being done with this machine, and how long it took."""
        return self.driver.log.nested(message, {"machine": self.name, **(attributes or {})})

    @property
    def connection(self) -> Connection:
        """The session."""
        return self.driver.connection

    def next_command(self) -> str:
        """A name for a command in the log of events."""
        return f"{self.name}-{next(self._commands)}"

    # --- its state ---

    @property
    def view(self) -> Message:
        """What the session tells about it."""
        return self._of(self.connection.view)

    def _of(self, view: Message) -> Message:
        for node in view.get("nodes", []):
            if node.get("name") == self.name:
                return dict(node)
        return {"name": self.name, "state": "waiting", "agent": False}

    @property
    def state(self) -> str:
        """Its state in the session's words: ``built``, ``booting``, ``up``, ``stopped``, ``crashed`` …"""
        return str(self.view["state"])

    @property
    def booted(self) -> bool:
        """Whether it was started and has not ended."""
        return self.state in RUNNING

    @property
    def connected(self) -> bool:
        """Whether commands can be run in it."""
        return self.booted and bool(self.view.get("agent"))

    def is_up(self) -> bool:
        """Whether it was started and commands can be run in it."""
        return self.booted and self.connected

    # --- its life ---

    def start(self, allow_reboot: bool = False) -> None:
        """Starts it without waiting for its boot; does nothing when it runs already.

        With ``allow_reboot`` false a reboot by the guest itself ends the machine, as in the NixOS
        test driver; start it again with ``start()``.
        """
        with self._life:
            if self.booted:
                return
            self.log("starting")
            self._allow_reboot = allow_reboot or self._own_reboot
            self._prepared = None
            before = self.view.get("started")
            try:
                self.connection.act("node", node=self.name, verb="start")
            except Refused as e:
                # The session may be a step ahead of what it last told.
                if "running already" not in e.message and "being started" not in e.message:
                    raise MachineError(f"{self.name} cannot be started: {e}") from e
            self.connection.wait_view(
                lambda v: self._of(v).get("started") != before or self._of(v)["state"] in ("failed", "crashed"),
                60,
            )
            if self.state == "failed":
                raise MachineError(f"{self.name} could not be started:\n{self.view.get('postMortem') or ''}")
            self._prepare()

    def _prepare(self) -> None:
        """What has to be set in a QEMU that was just started."""
        if not self.booted:
            return
        life = str(self.view.get("started"))
        if self._prepared == life:
            return
        self._prepared = life
        with contextlib.suppress(Refused):
            self.qmp("set-action", {"reboot": "reset" if self._allow_reboot else "shutdown"})

    def connect(self) -> None:
        """Waits until commands can be run in it; starts it when it is off."""
        with self._life:
            if self.connected:
                return
            self.start(self._allow_reboot if self.booted else False)
            with self.nested("waiting for the machine to finish booting"):
                self._wait_for_agent()

    def _wait_for_agent(self) -> None:
        def settled(view: Message) -> bool:
            node = self._of(view)
            return bool(node.get("agent")) or node["state"] not in ("booting", "up", "stopping", "paused")

        limit = time.monotonic() + max(PATIENCE, seconds(self.driver.default_timeout or 0))
        while not self.connection.wait_view(settled, min(1.0, max(0.0, limit - time.monotonic()))):
            self.driver.check_polling_conditions()
            if time.monotonic() >= limit:
                raise MachineError(f"{self.name} has not finished booting; its console says why")
        if not self.connected:
            raise MachineError(f"{self.name} is {self.state}, it did not boot:\n{self.view.get('postMortem') or ''}")

    def shutdown(self) -> None:
        """Shuts it down and waits until it is off; nothing when it is off already."""
        if not self.booted:
            return
        with contextlib.suppress(Refused):
            self.connection.act("node", node=self.name, verb="stop")
        self.wait_for_shutdown()

    def wait_for_shutdown(self) -> None:
        """Waits until it is off."""
        if not self.booted:
            return
        with self.nested("waiting for the VM to power off"):
            self.connection.wait_view(lambda v: self._of(v)["state"] not in RUNNING)

    def crash(self) -> None:
        """Cuts its power: what was not synced is lost."""
        if not self.booted:
            return
        self.log("forced crash")
        self.connection.act("node", node=self.name, verb="crash")
        self.wait_for_shutdown()

    def reboot(self) -> None:
        """Has the guest reboot, by ctrl-alt-delete or by its shell.

        A machine that was not started with ``start(allow_reboot=True)`` ends instead.
        """
        if not self.booted:
            return
        before = self.view.get("started")

        def begun(view: Message) -> bool:
            # The old shell must not be taken for the new one.
            node = self._of(view)
            return node.get("started") != before or node["state"] not in RUNNING

        self.send_key("ctrl-alt-delete")
        if self.connection.wait_view(begun, KEYS_PATIENCE):
            return
        self.log("the guest takes no notice of its keyboard; asked by its shell")
        self.spawn("systemctl reboot 2>/dev/null || reboot", shown=False)
        if not self.connection.wait_view(begun, 120):
            raise MachineError(f"{self.name} does not reboot")

    def release(self) -> None:
        """Ends it at once, whatever it does."""
        if self.booted:
            with contextlib.suppress(Refused):
                self.connection.act("node", node=self.name, verb="crash")

    # --- commands ---

    def spawn(self, command: str, shown: bool = True, piped: bool = False) -> Command:
        """Starts a command and gives a handle on it; any number can run at once.

        With ``piped``, the command's input comes from ``handle.stream.send``.
        """
        self.driver.check_polling_conditions()
        self.connect()
        shared = self._shared.named(command) if shown else []
        for name in shared:
            self._shared.push(name)
        ended = (lambda: [self._shared.pull(name) for name in shared]) if shared else None
        return Command(self, command, shown, piped, ended)

    def execute(
        self,
        command: str,
        check_return: bool = True,
        check_output: bool = True,
        timeout: Optional[Duration] = DEFAULT_TIMEOUT,
    ) -> Tuple[int, str]:
        """Runs a command and gives its status and its standard output.

        The first failure ends it (``set -euo pipefail``). Its standard error is in the log, live.
        A command that takes longer than ``timeout`` is ended, with status 124. Without
        ``check_return`` the status is -1; without ``check_output`` the command is left to run and
        the answer is ``(-2, "")``. Commands of several threads run at the same time.
        """
        handle = self.spawn(command)
        if not check_output:
            return -2, ""
        status = handle.wait(self._limit(timeout))
        return (status if check_return else -1), handle.output

    def _limit(self, timeout: Optional[Duration]) -> Optional[Duration]:
        if timeout is None or timeout is DEFAULT_TIMEOUT:
            timeout = self.driver.command_timeout or timeout
        # As with timeout(1), zero means none.
        return timeout or None

    def _run(self, command: str, wanted: Callable[[int], bool], verb: str, timeout: Optional[Duration]) -> str:
        handle = self.spawn(command)
        status = handle.wait(self._limit(timeout))
        output = handle.output
        if wanted(status):
            return output
        why = "took too long and was ended" if handle.timed_out else f"exit code {status}"
        raise CommandFailed(
            f"{self.name}: command `{command}` {verb} ({why})", self.name, command, status, output, handle.stderr
        )

    def succeed(self, *commands: str, timeout: Optional[Duration] = None) -> str:
        """Runs commands that have to end with status 0; gives their standard output, put together."""
        return "".join(self._run(c, lambda s: s == 0, "failed", timeout) for c in commands)

    def fail(self, *commands: str, timeout: Optional[Duration] = None) -> str:
        """Runs commands that have to end with another status than 0; gives their standard output."""
        return "".join(self._run(c, lambda s: s != 0, "unexpectedly succeeded", timeout) for c in commands)

    def wait_until_succeeds(self, command: str, timeout: Duration = DEFAULT_TIMEOUT) -> str:
        """Repeats a command every second until it ends with status 0; gives its standard output."""
        with self.nested(f"waiting for success: {command}"):
            return self._until(command, timeout, lambda status: status == 0)

    def wait_until_fails(self, command: str, timeout: Duration = DEFAULT_TIMEOUT) -> str:
        """Repeats a command every second until it ends with another status than 0; gives its output."""
        with self.nested(f"waiting for failure: {command}"):
            return self._until(command, timeout, lambda status: status != 0)

    def _until(self, command: str, timeout: Duration, wanted: Callable[[int], bool]) -> str:
        output = ""

        def check(_last_try: bool) -> bool:
            nonlocal output
            status, output = self.execute(command, timeout=timeout)
            return wanted(status)

        self.retry(check, timeout)
        return output

    def retry(self, check: Callable[[bool], Any], timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Retries as :func:`retry` does, looking at the conditions that have to hold meanwhile."""

        def looked_at(last_try: bool) -> Any:
            self.driver.check_polling_conditions()
            return check(last_try)

        retry(looked_at, timeout)

    # --- network ---

    def block(self) -> None:
        """Pulls its network cables: the carrier of every VLAN interface goes down."""
        self.driver.network.down(self.name)

    def unblock(self) -> None:
        """Puts its network cables back."""
        self.driver.network.up(self.name)

    def forward_port(self, host_port: int = 8080, guest_port: int = 80) -> None:
        """Forwards a TCP port of the host (on 127.0.0.1) to the guest."""
        self.log(
            self.connection.act(
                "forwardAdd", node=self.name, proto="tcp", hostPort=host_port, guestPort=guest_port
            )
        )

    # --- people ---

    def shell_interact(self, address: Optional[str] = None) -> None:
        """Gives the person at the terminal a root shell in the guest; ctrl-] ends it."""
        if address is not None:
            raise TestScriptError("shell_interact: an address of one's own is not served; use the terminal")
        self.connect()
        size = os.terminal_size((80, 24))
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(2)
        script = "cd; command -v bash >/dev/null && exec bash -l; exec sh -l"
        request = {
            "type": "exec",
            "node": self.name,
            "argv": ["/bin/sh", "-c", script],
            "env": [f"TERM={os.environ.get('TERM', 'linux')}"],
            "pty": [size.lines, size.columns],
        }
        interact(self.connection, request, f"a root shell in {self.name}", self.driver.log)

    def console_interact(self) -> None:
        """Gives the person at the terminal the serial console; ctrl-] ends it."""
        request = {"type": "console", "node": self.name, "history": 4096}
        interact(self.connection, request, f"the console of {self.name}", self.driver.log)


def identifier(name: str) -> str:
    """A machine's name as a variable of a script."""
    chars: List[str] = [c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name]
    if chars and not (chars[0].isalpha() or chars[0] == "_"):
        chars[0] = "_"
    return "".join(chars)
