"""Looking into the guest: units, files, ports, terminals, the console, the graphical session.

Invariant: everything here is made of commands that a person could type into the guest's shell.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Dict, List, Optional, Pattern, Tuple, Union

from .errors import RequestedAssertionFailed
from .timing import DEFAULT_TIMEOUT, Duration

if TYPE_CHECKING:
    from .consoles import Console

# Bash knows TCP by itself; a machine without it has nc or Perl.
_PORT_OPEN = (
    "if [ -n \"${BASH_VERSION:-}\" ]; then timeout 10 bash -c ': <>/dev/tcp/%(host)s/%(port)d' 2>/dev/null; "
    "else nc -z %(host)s %(port)d; fi"
)
_SOCKET_OPEN = (
    "perl -MSocket -e 'socket(S, PF_UNIX, $ARGV[1], 0) && connect(S, sockaddr_un($ARGV[0])) || exit 1' "
    "%(path)s %(kind)d 2>/dev/null || nc -z -U %(flag)s %(path)s"
)


class Guest:
    """What a machine's guest can be asked and waited for."""

    # What the machine gives.
    name: str
    console: Console
    execute: Callable[..., Tuple[int, str]]
    succeed: Callable[..., str]
    retry: Callable[..., None]
    nested: Callable[..., ContextManager[None]]
    log: Callable[[str], None]
    start: Callable[..., None]
    driver: Any

    # --- units ---

    def systemctl(self, q: str, user: Optional[str] = None) -> Tuple[int, str]:
        """Runs ``systemctl`` with these words, for a user's own manager when one is named."""
        if user is None:
            return self.execute(f"systemctl {q}")
        q = q.replace("'", "\\'")
        return self.execute(
            f"su -l {user} --shell /bin/sh -c $'XDG_RUNTIME_DIR=/run/user/`id -u` systemctl --user {q}'"
        )

    def start_job(self, jobname: str, user: Optional[str] = None) -> Tuple[int, str]:
        """Starts a unit."""
        return self.systemctl(f"start {jobname}", user)

    def stop_job(self, jobname: str, user: Optional[str] = None) -> Tuple[int, str]:
        """Stops a unit."""
        return self.systemctl(f"stop {jobname}", user)

    def get_unit_info(self, unit: str, user: Optional[str] = None) -> Dict[str, str]:
        """All properties of a unit."""
        status, lines = self.systemctl(f'--no-pager show "{unit}"', user)
        if status != 0:
            raise RequestedAssertionFailed(
                f'retrieving systemctl info for unit "{unit}"'
                + ("" if user is None else f' under user "{user}"')
                + f" failed with exit code {status}"
            )
        return dict(line.split("=", 1) for line in lines.split("\n") if "=" in line)

    def get_unit_property(self, unit: str, property: str, user: Optional[str] = None) -> str:
        """One property of a unit."""
        where = "" if user is None else f' under user "{user}"'
        status, lines = self.systemctl(f'--no-pager show "{unit}" --property="{property}"', user)
        if status != 0:
            raise RequestedAssertionFailed(
                f'retrieving systemctl property "{property}" for unit "{unit}"{where} failed with exit code {status}'
            )
        match = re.match(r"^([^=]+)=(.*)$", lines.strip(), re.DOTALL)
        if match is None or match[1] != property:
            raise RequestedAssertionFailed(
                f'systemctl show --property "{property}" "{unit}" gave no such property{where}: {lines!r}'
            )
        return match[2]

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        """Fails unless a unit is in a state now."""
        with self.nested(f"checking if unit '{unit}' has reached state '{require_state}'"):
            state = self.get_unit_info(unit)["ActiveState"]
            if state != require_state:
                raise RequestedAssertionFailed(
                    f"{self.name}: unit '{unit}' should be '{require_state}' but is '{state}'"
                )

    def wait_for_unit(self, unit: str, user: Optional[str] = None, timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Waits until a unit is active; fails at once when it failed, or is inactive for good."""

        def check_active(_last_try: bool) -> bool:
            state = self.get_unit_property(unit, "ActiveState", user)
            if state == "failed":
                raise RequestedAssertionFailed(f'{self.name}: unit "{unit}" reached state "{state}"')
            if state == "inactive":
                _status, jobs = self.systemctl("list-jobs --full 2>&1", user)
                if "No jobs" in jobs and self.get_unit_info(unit, user)["ActiveState"] == state:
                    raise RequestedAssertionFailed(
                        f'{self.name}: unit "{unit}" is inactive and there are no pending jobs'
                    )
            return state == "active"

        with self.nested(f"waiting for unit {unit}" + ("" if user is None else f" with user {user}")):
            self.retry(check_active, timeout)

    wait_for_job = wait_for_unit

    # --- files and ports ---

    def wait_for_file(self, filename: str, timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Waits until a file exists."""
        with self.nested(f"waiting for file '{filename}'"):
            self.retry(lambda _last: self.execute(f"test -e {filename}")[0] == 0, timeout)

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Waits until somebody accepts TCP connections on a port, as seen from inside."""
        command = _PORT_OPEN % {"host": shlex.quote(addr), "port": port}
        with self.nested(f"waiting for TCP port {port} on {addr}"):
            self.retry(lambda _last: self.execute(command)[0] == 0, timeout)

    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Waits until nobody accepts TCP connections on a port any more."""
        command = _PORT_OPEN % {"host": shlex.quote(addr), "port": port}
        with self.nested(f"waiting for TCP port {port} on {addr} to be closed"):
            self.retry(lambda _last: self.execute(command)[0] != 0, timeout)

    def wait_for_open_unix_socket(
        self, addr: str, is_datagram: bool = False, timeout: Duration = DEFAULT_TIMEOUT
    ) -> None:
        """Waits until somebody listens on a Unix socket."""
        fields = {"path": shlex.quote(addr), "kind": 2 if is_datagram else 1, "flag": "-u" if is_datagram else ""}
        command = _SOCKET_OPEN % fields
        kind = "datagram" if is_datagram else "stream"
        with self.nested(f"waiting for unix-domain {kind} socket on '{addr}'"):
            self.retry(lambda _last: self.execute(command)[0] == 0, timeout)

    def sleep(self, secs: int) -> None:
        """Waits in the guest's time."""
        self.succeed(f"sleep {secs}")

    # --- terminals ---

    def get_tty_text(self, tty: str) -> str:
        """What a virtual terminal shows, line by line."""
        _status, output = self.execute(
            f"fold -w$(stty -F /dev/tty{tty} size | awk '{{print $2}}') /dev/vcs{tty}"
        )
        return output

    def wait_until_tty_matches(self, tty: str, regexp: str, timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Waits until what a virtual terminal shows matches."""
        pattern = re.compile(regexp)

        def tty_matches(last_try: bool) -> bool:
            text = self.get_tty_text(tty)
            if last_try:
                self.log(f"last chance to match {regexp!r} on TTY {tty}, which shows:\n{text}")
            return pattern.search(text) is not None

        with self.nested(f"waiting for {regexp} to appear on tty {tty}"):
            self.retry(tty_matches, timeout)

    # --- the serial console ---

    def wait_for_console_text(
        self, regex: Union[str, Pattern[str]], timeout: Optional[Duration] = None
    ) -> None:
        """Waits until something matches on the serial console that was not waited for before."""
        with self.nested(f"waiting for {regex} to appear on console"):
            self.console.wait_for(regex, timeout)

    def get_console_log(self) -> str:
        """Everything that the serial console printed."""
        return self.console.text()

    def send_console(self, chars: str) -> None:
        """Types into the serial console."""
        self.console.send(chars)

    # --- the graphical session ---

    def wait_for_x(self, timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Waits until the graphical session's X server is there."""

        def check_x(_last_try: bool) -> bool:
            command = (
                # The journal is asked last: reading it takes an emulated machine seconds.
                "systemctl --quiet is-active graphical.target "
                '|| journalctl -b SYSLOG_IDENTIFIER=systemd | grep "Reached target Current graphical"'
            )
            if self.execute(command)[0] != 0:
                return False
            return self.execute("[ -e /tmp/.X11-unix/X0 ]")[0] == 0

        with self.nested("waiting for the X11 server"):
            self.retry(check_x, timeout)

    def get_window_names(self) -> List[str]:
        """The titles of the windows."""
        return self.succeed(
            r"xwininfo -root -tree | sed 's/.*0x[0-9a-f]* \"\([^\"]*\)\".*/\1/; t; d'"
        ).splitlines()

    def wait_for_window(self, regexp: str, timeout: Duration = DEFAULT_TIMEOUT) -> None:
        """Waits until a window's title matches."""
        pattern = re.compile(regexp)

        def window_is_visible(last_try: bool) -> bool:
            names = self.get_window_names()
            if last_try:
                self.log(f"last chance to match {regexp!r} in the window list, which is: {', '.join(names)}")
            return any(pattern.search(name) for name in names)

        with self.nested("waiting for a window to appear"):
            self.retry(window_is_visible, timeout)
