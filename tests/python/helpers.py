"""What the driver's tests share: a driver on a fake daemon, and a run of a script with its events."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, os.environ.get("DIORAMA_PYTHON", str(Path(__file__).parents[2] / "assets" / "python")))

from diorama import Driver, Log  # noqa: E402
from fake_daemon import FakeDaemon  # noqa: E402


class Case(unittest.TestCase):
    """A test with a fake daemon."""

    machines: tuple[str, ...] = ("client", "server")
    running = True

    def setUp(self) -> None:
        self.daemon = FakeDaemon(*self.machines, running=self.running)
        self.addCleanup(self.daemon.close)
        directory = tempfile.TemporaryDirectory(prefix="driver-test-")
        self.addCleanup(directory.cleanup)
        self.out = Path(directory.name)
        self.said = io.StringIO()
        self.events_file = io.StringIO()
        self.addCleanup(lambda: self.assertEqual(self.daemon.violations, []))

    def driver(self, script: str = "", **options: Any) -> Driver:
        log = Log(self.said, self.events_file)
        driver = Driver(self.daemon.path, self.out, log, textwrap.dedent(script), "test.py", **options)
        self.addCleanup(driver.connection.close)
        return driver

    def run_script(self, script: str, **options: Any) -> int:
        """Runs a script; gives its status."""
        return self.driver(script, **options).run()

    def passes(self, script: str, **options: Any) -> None:
        status = self.run_script(script, **options)
        self.assertEqual(status, 0, self.said.getvalue())

    def events(self, kind: str) -> list[dict]:
        found = [json.loads(line) for line in self.events_file.getvalue().splitlines()]
        return [e for e in found if e["event"] == kind]

    def results(self) -> dict[str, str]:
        return {" / ".join(e["name"]): e["result"] for e in self.events("subtest-end")}
