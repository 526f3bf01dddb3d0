"""Scripts as a whole: right ones, wrong ones, and what is told of them."""

from __future__ import annotations

import os
import signal
import threading

import helpers


class Right(helpers.Case):
    def test_a_script_finds_its_names(self) -> None:
        self.passes(
            """
            start_all()
            assert client.succeed("echo x").strip() == "x"
            t.assertEqual(server.name, "server")
            with subtest("one"):
                server.wait_until_succeeds("true")
            retry(lambda last: True)
            assert [m.name for m in machines] == ["client", "server"]
            assert vlans[0].nr == 1 and vlan1 is vlans[0]
            startAll()
            debug.breakpoint()
            serial_stdout_off()
            with log.nested("inside"):
                log.info("words")
            os.getcwd()
            """
        )
        self.assertEqual(self.results(), {"one": "passed"})
        self.assertEqual(self.events("script-end")[0]["result"], "passed")

    def test_conditions_have_to_hold_while_they_are_entered(self) -> None:
        self.passes(
            """
            import time
            seen = []
            @polling_condition
            def holds():
                seen.append(1)
                return True
            @polling_condition(seconds_interval=0, description="the server is there")
            def broken():
                return len(seen) < 3
            holds.wait()
            with holds:
                client.succeed("true")
            with t.assertRaisesRegex(Exception, "the server is there"):
                with broken:
                    seen += [1, 1, 1]
                    client.succeed("true")
            client.succeed("true")
            """
        )

    def test_faults_are_healed_at_the_end(self) -> None:
        self.assertEqual(self.run_script("network.isolate(client)\nclient.succeed('false')"), 1)
        self.assertEqual(self.daemon.cuts, set())
        self.assertIn("faults: client to server is cut, server to client is cut", self.said.getvalue())

    def test_variables_are_made_of_names(self) -> None:
        from diorama.machine import identifier

        for name, variable in (("web-1.example", "web_1_example"), ("1st", "_st"), ("größe", "gr__e"), ("_a", "_a")):
            self.assertEqual(identifier(name), variable)


class One(helpers.Case):
    machines = ("my-server",)

    def test_a_single_machine_is_machine(self) -> None:
        self.passes("assert machine is my_server")


class Subtests(helpers.Case):
    SCRIPT = """
        ran = []
        with subtest("first"):
            ran.append(1)
        with subtest("second"):
            with subtest("inner"):
                ran.append(2)
                client.succeed("echo broken; false")
            ran.append("never")
        with subtest("third"):
            ran.append(3)
        assert ran == {expected}, ran
        """

    def test_the_first_failure_ends_the_run(self) -> None:
        self.assertEqual(self.run_script(self.SCRIPT.format(expected="None")), 1)
        self.assertEqual(self.results(), {"first": "passed", "second / inner": "failed", "second": "failed"})
        self.assertEqual(self.said.getvalue().count("---- the test failed"), 1)

    def test_a_run_that_keeps_going_fails_at_its_end(self) -> None:
        script = self.SCRIPT.format(expected='[1, 2, "never", 3]')
        self.assertEqual(self.run_script(script, keep_going=True), 1)
        self.assertEqual(
            self.results(),
            {"first": "passed", "second / inner": "failed", "second": "passed", "third": "passed"},
        )
        end = self.events("script-end")[0]
        self.assertEqual(end["message"], "failed subtests: second / inner")

    def test_a_pattern_selects(self) -> None:
        for patterns, expected in (
            (("FIRST",), {"first": "passed", "second / inner": "skipped", "third": "skipped"}),
            (("third", "rst"), {"first": "passed", "second / inner": "skipped", "third": "passed"}),
        ):
            self.events_file.truncate(0)
            self.events_file.seek(0)
            ran = {"FIRST": '[1, "never"]', "third": '[1, "never", 3]'}[patterns[0]]
            self.passes(self.SCRIPT.format(expected=ran), patterns=patterns)
            self.assertEqual(self.results(), expected)
        self.assertEqual(self.run_script(self.SCRIPT.format(expected="None"), patterns=("second",)), 1)

    def test_control_flow_in_a_subtest_is_its_own(self) -> None:
        self.passes(
            """
            def f(n):
                for i in range(3):
                    with subtest(f"round {i}"), log.nested("x"):
                        if i == 0:
                            continue
                        return i
            assert f(1) == 1
            with driver.subtest("named") as s:
                assert s.name == "named"
            """
        )
        self.assertEqual(self.results()["round 0"], "passed")


    def test_a_whole_name_selects_itself_and_what_is_in_it(self) -> None:
        script = """
            with subtest("an outage"):
                pass
            with subtest("outage"):
                with subtest("inner"):
                    pass
            """
        self.passes(script, patterns=("=outage",))
        expected = {"an outage": "skipped", "outage / inner": "passed", "outage": "passed"}
        self.assertEqual(self.results(), expected)

    def test_the_session_is_told_how_it_goes_and_where_it_failed(self) -> None:
        driver = self.driver(
            """
            client.wait_for_console_text("last line", timeout=10)
            with subtest("bad"):
                client.succeed("false")
            """
        )
        self.daemon.console("client", b"the last line\r\n")
        driver.run()
        with self.daemon.changed:
            self.daemon.changed.wait_for(lambda: self.daemon.told[-1:] and self.daemon.told[-1]["what"] == "end", 10)
        told = self.daemon.told
        self.assertEqual([t["what"] for t in told], ["begin", "subtestBegin", "subtestEnd", "end"])
        self.assertEqual((told[2]["node"], told[2]["line"]), ("client", "the last line"))
        self.assertEqual((told[2]["result"], told[3]["result"]), ("failed", "failed"))

    def test_parts_are_found_by_the_nixos_drivers_names(self) -> None:
        self.passes(
            """
            from test_driver.errors import MachineError, RequestedAssertionFailed
            from test_driver.machine import Machine, retry
            with t.assertRaises(RequestedAssertionFailed):
                client.succeed("false")
            assert isinstance(client, Machine)
            """
        )


class Wrong(helpers.Case):
    def failing(self, script: str, *expected: str, status: int = 1) -> None:
        self.assertEqual(self.run_script(script), status)
        for text in expected:
            self.assertIn(text, self.said.getvalue())

    def test_a_syntax_error_has_its_place(self) -> None:
        self.failing("x = 1\ndef broken(:\n", "test.py:2", "def broken(:")

    def test_an_exception_has_its_place_and_not_the_drivers(self) -> None:
        self.failing(
            "def deep():\n    client.succeed('echo said; echo why >&2; exit 4')\ndeep()\n",
            "test.py:3",
            "test.py:2 in deep",
            "command on client (status 4): echo said; echo why >&2; exit 4",
            "    said",
            "    why",
            "client is up",
            "faults: none",
        )
        self.assertNotIn("machine.py", self.said.getvalue())
        self.failing("{}['key']\n", "KeyError: 'key'", "test.py:1")
        self.failing("assert 1 == 2\n", "AssertionError")

    def test_the_consoles_last_lines_are_shown(self) -> None:
        driver = self.driver("server.wait_for_console_text('panic', timeout=10)\nassert False")
        self.daemon.console("server", b"line\n" * 50 + b"Kernel panic\n")
        self.assertEqual(driver.run(), 1)
        self.assertIn("    Kernel panic", self.said.getvalue())

    def test_the_scripts_own_exit(self) -> None:
        self.passes("import sys; sys.exit(0)")
        self.failing("import sys; sys.exit(3)")
        self.assertIn("status 3", self.events("script-end")[-1]["message"])

    def test_an_endless_loop_ends_when_time_is_up(self) -> None:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        self.failing(
            "def forever():\n    while True:\n        try:\n            pass\n        except Exception:\n            pass\nforever()",
            "took longer than it may",
            "in forever",
        )

    def test_a_wait_ends_when_time_is_up(self) -> None:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        self.failing("with subtest('slow'):\n    client.succeed('sleep 1000')", "took longer than it may")
        self.assertEqual(self.results(), {"slow": "error"})

    def test_an_interruption_is_described_once_without_the_library(self) -> None:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        self.failing("client.succeed('sleep 1000')", "interrupted", "test.py:1", status=130)
        self.assertNotIn("threading.py", self.said.getvalue())
        self.assertEqual(self.said.getvalue().count("---- the test failed"), 1)

    def test_an_error_in_the_library_keeps_its_frames(self) -> None:
        self.failing("import json\njson.loads('{')", "json/__init__.py", "JSONDecodeError")

    def test_a_daemon_that_dies_ends_the_run_whatever_is_kept_going(self) -> None:
        threading.Timer(0.5, self.daemon.die).start()
        script = "with subtest('a'):\n    client.execute('sleep 1000')\nwith subtest('b'):\n    client.succeed('true')"
        self.assertEqual(self.run_script(script, keep_going=True), 1)
        self.assertNotEqual(self.results().get("b"), "passed")
        self.assertIn("the session has ended", self.said.getvalue())

    def test_machines_are_known_by_their_host_names_too(self) -> None:
        self.daemon.host_names = {"client": "one-two", "server": "client"}
        self.passes("assert (one_two, client.name, server.name) == (client, 'client', 'server')")

    def test_a_machine_of_ones_own_joins_and_leaves_a_session_that_stays(self) -> None:
        script = """
        m = create_machine("qemu-system-x86_64 -m 64 -cdrom '/a (b).iso'")
        assert (m.name, m.booted, m in machines) == ("machine", False, False)
        n = create_machine({"name": "client", "qemuFlags": "-cpu max", "hda": "/x.img"}, allow_reboot=True)
        assert n.name == "client-2", n.name
        m.start()
        assert m.succeed("echo hi") == "hi\\n"
        """
        self.passes(script, stays=True, session_state=str(self.out))
        added = [a for a in self.daemon.acts if a["do"] == "add"]
        self.assertEqual([(a["node"], a["vlans"]) for a in added], [("machine", []), ("client-2", [])])
        self.assertEqual(sorted(self.daemon.nodes), ["client", "server"])
        self.assertEqual(list(self.out.glob("*.start")), [])

    def test_a_start_command_that_cannot_be_is_refused(self) -> None:
        cases = {
            "''": "no start command",
            "'/no/such/run-x-vm'": "No such file",
            "'cd /x && qemu'": "one program with its arguments",
            "{'qemuflags': ''}": "qemuflags is not known",
            "'qemu \\''": "No closing quotation",
        }
        for words, why in cases.items():
            with self.subTest(words):
                self.failing(f"create_machine({words})", why)

    def setUp(self) -> None:
        super().setUp()
        for number in (signal.SIGTERM, signal.SIGINT):
            old = signal.signal(number, signal.default_int_handler)
            self.addCleanup(signal.signal, number, old)


if __name__ == "__main__":
    import unittest

    unittest.main()
