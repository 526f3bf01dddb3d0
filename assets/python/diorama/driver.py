"""The driver: the machines, the names a script finds, and the run from its first line to the end.

Invariant: whatever a script does, its faults are healed and its end is told; what it did wrong is
shown with its place in the script, never with the driver's own lines.
"""

from __future__ import annotations

import linecache
import os
import signal
import threading
import traceback
import unittest
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from . import errors, perl
from .debugging import Debug
from .errors import CommandFailed, DioramaError, Refused, RequestedAssertionFailed, TestScriptError, TimeIsUp
from .joining import StartCommand, free_name
from .log import Log
from .machine import Machine, identifier
from .network import Link, Network, Which
from .prompt import Prompt, check_terminal
from .protocol import Connection, Message
from .subtests import Subtest, Suite, compile_script
from .timing import Duration, PollingCondition, retry

#: Console lines of every machine in a failure's report, and of a failed command's output.
LAST_LINES = 8
OUTPUT_LINES = 40
_PACKAGE = os.path.dirname(os.path.abspath(__file__))


class Asserter(unittest.TestCase):
    """What ``t`` is: the assertions of ``unittest``, which fail the test."""

    failureException = RequestedAssertionFailed
    maxDiff = None

    def runTest(self) -> None:  # noqa: N802 - the name is unittest's
        """Nothing: only the assertions are used."""


class Vlan:
    """A VLAN of the network."""

    def __init__(self, number: int, machines: List[str]) -> None:
        self.nr = number
        self.machines = machines

    def __repr__(self) -> str:
        return f"<vlan {self.nr}: {', '.join(self.machines)}>"


class Driver:
    """A run of a script against a session."""

    def __init__(
        self,
        socket: str,
        out_dir: Path,
        log: Optional[Log] = None,
        script: str = "",
        script_file: str = "testScript",
        patterns: Tuple[str, ...] = (),
        keep_going: bool = False,
        command_timeout: Optional[float] = None,
        interactive: bool = False,
        history: Optional[str] = None,
        session_state: Optional[str] = None,
        stays: bool = False,
    ) -> None:
        self.log = log if log is not None else Log()
        self.out_dir = Path(out_dir)
        # Where the session keeps its machines' files; start scripts give parts of it to their guests.
        self._session_state = Path(session_state) if session_state is not None else None
        self._stays = stays
        self.state_dir = self._session_state or self.out_dir / "state"
        self.shared_dir = (self._session_state or self.out_dir) / "shared"
        self.command_timeout = command_timeout
        self.default_timeout: Optional[float] = command_timeout or 900.0
        self.polling_conditions: List[PollingCondition] = []
        self._states: Dict[str, str] = {}
        self.connection = Connection(socket, "test", self._viewed)
        view = self.connection.subscribe()
        self.machines: List[Machine] = [Machine(node["name"], self) for node in view["nodes"]]
        self._host_names = self._asked_host_names()
        #: Machines that the script has made.
        self.created: List[Machine] = []
        self.vlans = _vlans(view)
        self.network = Network(self)
        self.suite = Suite(self.log, patterns, keep_going, self.describe, self._tell_subtest)
        self.debug = Debug(self, interactive)
        self._interactive = interactive
        self._history = history
        self._names: Optional[Dict[str, Any]] = None
        self._runs = 0
        self._failure: Optional[BaseException] = None
        self._script = script
        self._script_file = script_file
        for directory in (self.out_dir, self.state_dir, self.shared_dir):
            directory.mkdir(parents=True, exist_ok=True)
        for machine in self.machines:
            machine.console.open(self.connection)

    def _viewed(self, view: Message) -> None:
        for node in view["nodes"]:
            state = node["state"]
            if self._states.get(node["name"]) != state:
                self._states[node["name"]] = state
                self.log.event("state", node=node["name"], state=state, bootMs=node.get("bootMs"))

    def _asked_host_names(self) -> Dict[str, str]:
        manifest: Message = self.connection.request({"type": "manifest"}, 30).get("manifest", {})
        nodes = manifest.get("nodes", {}).items()
        return {name: str(node["hostName"]) for name, node in nodes if node.get("hostName")}

    # --- what a script finds ---

    def names(self) -> Dict[str, Any]:
        """The variables that a script begins with."""
        general: Dict[str, Any] = {
            "start_all": self.start_all,
            "join_all": self.join_all,
            "run_tests": self.run_tests,
            "test_script": self.test_script,
            "subtest": self.subtest,
            "retry": retry,
            "polling_condition": self.polling_condition,
            "create_machine": self.create_machine,
            "serial_stdout_on": self.serial_stdout_on,
            "serial_stdout_off": self.serial_stdout_off,
            "network": self.network,
            "link": self.link,
            "debug": self.debug,
            "t": Asserter(),
            "log": self.log,
            "os": os,
            "driver": self,
            "machines": self.machines,
            "vlans": self.vlans,
            "Machine": Machine,
        }
        general.update({name: getattr(errors, name) for name in ("RequestedAssertionFailed", "MachineError")})
        general.update({old: general[today] for old, today in perl.GLOBALS.items()})
        own = {identifier(m.name): m for m in self.machines}
        for machine in self.machines:
            # The NixOS test driver calls machines by their host names, which most often are the same.
            own.setdefault(identifier(self._host_names.get(machine.name, machine.name)), machine)
        for name in own.keys() & general.keys():
            self.log.warning(f"the machine {name} hides what the driver calls {name}; driver.{name} still is it")
        if len(self.machines) == 1:
            own.setdefault("machine", self.machines[0])
        vlans = {f"vlan{v.nr}": v for v in self.vlans}
        return {**general, **vlans, **own, "__name__": "__main__", "__file__": self._script_file}

    def start_all(self) -> None:
        """Starts every machine at once; their boots are not waited for."""
        with self.log.nested("start all VMs"):
            threads = [threading.Thread(target=self._start, args=(m,), daemon=True) for m in self.machines]
            problems: List[BaseException] = []
            self._problems = problems
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if problems:
                raise problems[0]

    def _start(self, machine: Machine) -> None:
        try:
            machine.start()
        except BaseException as e:  # noqa: BLE001 - told by the thread that waits
            self._problems.append(e)

    def join_all(self) -> None:
        """Waits until every machine is off."""
        with self.log.nested("wait for all VMs to finish"):
            for machine in self.machines:
                machine.wait_for_shutdown()

    def test_script(self) -> None:
        """Runs the script."""
        code = compile_script(self._script, self._script_file)
        self._remember_source()
        self._runs += 1
        self._failure = None
        self.suite.begin()
        with self.log.nested("run the VM test script"):
            # At a prompt the script's variables are there afterwards.
            exec(code, self.names() if self._names is None else self._names)  # noqa: S102

    def run_tests(self) -> None:
        """Runs the script, then has the machines that still run write their disks."""
        self.test_script()
        for machine in self.everyone:
            if machine.is_up():
                machine.spawn("sync", shown=False).wait(60)

    def subtest(self, name: str) -> Subtest:
        """A part of the test with a name of its own."""
        return self.suite.subtest(name)

    def link(self, sender: Which, receiver: Which) -> Link:
        """The direction from one machine to another, to be cut and healed."""
        return self.network.link(sender, receiver)

    def polling_condition(
        self,
        fun_: Optional[Callable[[], Optional[bool]]] = None,
        *,
        seconds_interval: float = 2.0,
        description: Optional[str] = None,
    ) -> Any:
        """Makes a condition that has to hold while it is entered; a decorator, with or without words."""

        def make(condition: Callable[[], Optional[bool]]) -> PollingCondition:
            return PollingCondition(condition, self.log, self.polling_conditions, seconds_interval, description)

        return make if fun_ is None else make(fun_)

    def check_polling_conditions(self) -> None:
        """Looks at the conditions that have to hold now."""
        for condition in list(self.polling_conditions):
            condition.check()

    def create_machine(
        self,
        start_command: Union[str, Mapping[str, Any]],
        *,
        name: Optional[str] = None,
        keep_vm_state: bool = False,
        allow_reboot: bool = False,
    ) -> Machine:
        """Has a machine join that the model does not name; it is off until it is started.

        ``start_command`` is a start script of NixOS's making (``…/bin/run-NAME-vm``), the command line
        of a QEMU, or the dictionary of the driver's older form. Commands reach its guest through the
        back door of NixOS's tests. What it keeps lasts as long as the session, so ``keep_vm_state``
        changes nothing.
        """
        del keep_vm_state
        start = StartCommand(start_command)
        taken = [str(node["name"]) for node in self.connection.refresh()["nodes"]]
        name = free_name(name or start.name, taken)
        script = self.state_dir / f"{name}.start"
        script.write_text(start.script(name), encoding="utf-8")
        script.chmod(0o700)
        try:
            self.connection.act("add", node=name, script=str(script), vlans=start.vlans)
        except Refused as e:
            raise TestScriptError(f"create_machine: {e}") from e
        self.connection.refresh()
        machine = Machine(name, self, allow_reboot or start.allow_reboot)
        machine.console.open(self.connection)
        self.created.append(machine)
        return machine

    @property
    def everyone(self) -> List[Machine]:
        """The model's machines and those that the script has made."""
        return [*self.machines, *self.created]

    def state_dir_of(self, name: str) -> Path:
        """Where a machine's own files are; for a start script of NixOS's making its ``TMPDIR``."""
        return self.state_dir / (name if self._session_state is None else f"{name}.vm")

    def serial_stdout_on(self) -> None:
        """Shows what the consoles print."""
        self.log.print_serial_logs(True)

    def serial_stdout_off(self) -> None:
        """Does not show what the consoles print; the logs have it all the same."""
        self.log.print_serial_logs(False)

    # --- the run ---

    def run(self) -> int:
        """Runs the script to its end, whatever that is; gives the exit status."""
        self.log.event(
            "begin", session=self.connection.session, network=self.connection.view.get("network"),
            nodes=[m.name for m in self.machines], script=self._script_file, outDir=str(self.out_dir),
        )
        self.connection.tell_test("begin", outDir=str(self.out_dir))
        result, message, details, status = "passed", None, None, 0
        try:
            if self._interactive:
                self._talk()
            else:
                self._run()
        except SystemExit as e:
            if e.code not in (None, 0):
                result, message, status = "failed", f"the script ended itself with status {e.code}", 1
        except KeyboardInterrupt as e:
            result, message, status = "error", "interrupted", 130
            if not self.suite.failed:
                details = self.describe(e)
        except BaseException as e:  # noqa: BLE001 - every end of the script is told
            result = "failed" if isinstance(e, AssertionError) else "error"
            message, status = f"{type(e).__name__}: {e}", 1
            if not self.suite.was_reported(e):
                details = self.describe(e)
        self._heal()
        self._send_away()
        if status == 0 and self.suite.failed:
            result, message, status = "failed", f"failed subtests: {', '.join(self.suite.failed)}", 1
        elif status == 0 and self._failure is not None:
            result, message, status = "failed", f"{type(self._failure).__name__}: {self._failure}", 1
        elif self._interactive and self._runs == 0:
            message = "the script was not run"
        if details is not None:
            self.log.report(details)
        self.log.event("script-end", result=result, message=message, details=details, status=status)
        self.connection.tell_test("end", result=result, message=message)
        return status

    def _run(self) -> None:
        """Runs the script; from now on a SIGTERM of the starter's means that the time is up."""

        def up(_number: int, _frame: Optional[FrameType]) -> None:
            raise TimeIsUp("the test took longer than it may")

        signal.signal(signal.SIGTERM, up)
        self.run_tests()

    def _talk(self) -> None:
        """Gives the person a prompt; a SIGTERM ends it."""

        def end(_number: int, _frame: Optional[FrameType]) -> None:
            raise TimeIsUp("the prompt was ended")

        check_terminal()
        self._names = self.names()
        signal.signal(signal.SIGTERM, end)
        Prompt(self, self._names).talk(self._history)

    def note_failure(self, error: Optional[BaseException]) -> None:
        """Takes in that something failed at the prompt: a run of the script counts."""
        if self._runs > 0 and self._ran_into(error):
            self._failure = error

    def _ran_into(self, error: Optional[BaseException]) -> bool:
        """Whether an error came from the script rather than from what was typed."""
        frames = traceback.extract_tb(error.__traceback__) if error is not None else []
        return any(frame.filename == self._script_file for frame in frames)

    @staticmethod
    def innermost(error: BaseException) -> Any:
        """The traceback from the last frame on that is a person's, not the driver's or Python's own."""
        here = error.__traceback__
        found = here
        while here is not None:
            filename = here.tb_frame.f_code.co_filename
            if not filename.startswith(_PACKAGE) and filename not in _LIBRARY:
                found = here
            here = here.tb_next
        return found

    def _heal(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        try:
            if self.network.faults:
                self.network.heal()
        except (DioramaError, OSError):
            # A session that has ended has no faults any more.
            return

    def _send_away(self) -> None:
        """Takes the machines that the script has made out of a session that goes on."""
        if not self._stays:
            return
        for machine in self.created:
            try:
                machine.release()
                machine.wait_for_shutdown()
                self.connection.act("remove", node=machine.name)
                (self.state_dir / f"{machine.name}.start").unlink(missing_ok=True)
            except (DioramaError, OSError) as e:
                self.log.warning(f"{machine.name} stays: {e}")

    # --- what went wrong ---

    def _tell_subtest(self, what: str, error: Optional[BaseException], **fields: Any) -> None:
        """Tells the session's other clients how a subtest goes, and where to look when it failed."""
        if error is not None:
            name = getattr(error, "node", None)
            machine = next((m for m in self.everyone if m.name == name), None)
            lines = machine.console.last_lines(1) if machine is not None else []
            fields.update(node=name, line=lines[0] if lines else None)
        self.connection.tell_test(what, **fields)

    def _remember_source(self) -> None:
        lines = self._script.splitlines(keepends=True)
        linecache.cache[self._script_file] = (len(self._script), None, lines, self._script_file)

    def describe(self, error: BaseException) -> str:
        """What a person needs to know about a failure."""
        out = [f"---- the test failed: {_headline(error)}", *self._places(error)]
        if isinstance(error, CommandFailed):
            out.append(f"command on {error.node} (status {error.status}): {error.command}")
            out += _indented("standard output", error.output)
            out += _indented("standard error", error.stderr)
        faults = self._faults()
        for machine in self.everyone:
            lines = machine.console.last_lines(LAST_LINES)
            out.append(f"{machine.name} is {machine.state}" + ("; its console's last lines:" if lines else ""))
            out += [f"    {line}" for line in lines]
        out.append(f"faults: {', '.join(faults) or 'none'}")
        return "\n".join(out)

    def _faults(self) -> List[str]:
        try:
            return self.network.faults
        except DioramaError as e:
            return [f"not known, {e}"]

    def _places(self, error: BaseException) -> List[str]:
        self._remember_source()
        if isinstance(error, SyntaxError):
            return [line.rstrip("\n") for line in traceback.format_exception_only(type(error), error)]
        frames = _scripts_own(traceback.extract_tb(error.__traceback__))
        out = []
        for frame in frames:
            out.append(f"  {frame.filename}:{frame.lineno}" + (f" in {frame.name}" if "<" not in frame.name else ""))
            if frame.line:
                out.append(f"      {frame.line}")
        if not isinstance(error, (DioramaError, AssertionError, KeyboardInterrupt)) and not frames:
            # A fault of the driver itself.
            out += traceback.format_exception(type(error), error, error.__traceback__)
        return out


def _scripts_own(frames: List[traceback.FrameSummary]) -> List[traceback.FrameSummary]:
    """The frames of the script and of what it called, without the driver's and what that called."""
    own: List[traceback.FrameSummary] = []
    inside = True
    for frame in frames:
        if frame.filename.startswith(_PACKAGE):
            inside = False
        elif inside or frame.filename not in _LIBRARY:
            inside = True
            own.append(frame)
    return own


class _Library:
    """The files of Python's standard library."""

    def __contains__(self, filename: str) -> bool:
        return filename.startswith((os.path.dirname(os.__file__) + os.sep, "<frozen"))


_LIBRARY = _Library()


def _headline(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, (DioramaError, TimeIsUp)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _indented(what: str, text: str) -> List[str]:
    lines = text.rstrip("\n").split("\n") if text.strip() else []
    if not lines:
        return []
    left_out = len(lines) - OUTPUT_LINES
    head = [f"{what}:" if left_out <= 0 else f"{what} (the last {OUTPUT_LINES} of {len(lines)} lines):"]
    return head + [f"    {line}" for line in lines[-OUTPUT_LINES:]]


def _vlans(view: Message) -> List[Vlan]:
    members: Dict[int, List[str]] = {}
    for node in view["nodes"]:
        for interface in node.get("interfaces", []):
            names = members.setdefault(interface["vlan"], [])
            if node["name"] not in names:
                names.append(node["name"])
    return [Vlan(number, names) for number, names in sorted(members.items())]


