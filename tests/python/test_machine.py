"""What a machine can do, each by what it gives and what reaches the other side."""

from __future__ import annotations

import tempfile
import threading
import time
import unittest
from pathlib import Path

import helpers
from diorama import CommandFailed, MachineError, RequestedAssertionFailed, TestScriptError, shared
from diorama.joining import StartCommand


class Commands(helpers.Case):
    def setUp(self) -> None:
        super().setUp()
        self.d = self.driver()
        self.m = self.d.machines[0]

    def test_execute_gives_status_and_standard_output_alone(self) -> None:
        self.assertEqual(self.m.execute("echo out; echo err >&2; exit 3"), (3, "out\n"))
        self.assertIn("! err", self.said.getvalue())
        self.assertEqual(self.m.execute("exit 3", check_return=False), (-1, ""))
        self.assertEqual(self.m.execute("sleep 100", check_output=False), (-2, ""))

    def test_the_first_failure_ends_a_command(self) -> None:
        for command in ("false; echo on", "false | cat; echo on", "echo $undefined; echo on"):
            status, out = self.m.execute(command)
            self.assertNotEqual(status, 0, command)
            self.assertNotIn("on", out, command)

    def test_output_is_put_together_and_failures_carry_everything(self) -> None:
        self.assertEqual(self.m.succeed("echo a", "echo b"), "a\nb\n")
        self.assertEqual(self.m.fail("echo a; false", "exit 2"), "a\n")
        with self.assertRaises(CommandFailed) as caught:
            self.m.succeed("echo got; echo why >&2; exit 7")
        e = caught.exception
        self.assertEqual((e.status, e.output, e.stderr, e.node), (7, "got\n", "why\n", "client"))
        with self.assertRaisesRegex(RequestedAssertionFailed, "unexpectedly succeeded"):
            self.m.fail("true")

    def test_a_command_that_never_returns_is_ended(self) -> None:
        before = time.monotonic()
        self.assertEqual(self.m.execute("echo begun; sleep 1000", timeout=0.3), (124, "begun\n"))
        self.assertLess(time.monotonic() - before, 30)
        with self.assertRaisesRegex(CommandFailed, "took too long"):
            self.m.succeed("trap '' TERM; sleep 1000", timeout=0.3)

    def test_a_flood_comes_whole_and_is_shown_in_part(self) -> None:
        out = self.m.succeed("head -c 20000000 /dev/zero | tr '\\0' x; echo flood >&2")
        self.assertEqual(len(out), 20000000)
        self.m.succeed("yes | head -n 1000000 || true")
        self.assertIn("not shown here", self.said.getvalue())
        self.assertLess(len(self.said.getvalue()), 1 << 20)

    def test_commands_run_at_the_same_time(self) -> None:
        # Each waits for what the other does; one after the other they would never end.
        a, b = self.out / "a", self.out / "b"
        wait = "until [ -e {} ]; do sleep 0.01; done"
        first = self.m.spawn(f"touch {a}; {wait.format(b)}; echo first")
        second = self.m.spawn(f"{wait.format(a)}; touch {b}; echo second")
        self.assertEqual((second.wait(30), first.wait(30)), (0, 0))
        self.assertEqual((first.output, second.output), ("first\n", "second\n"))

    def test_hostile_output_cannot_reach_the_terminal(self) -> None:
        self.m.succeed(r"printf '\033]0;owned\007\033[2J\n'")
        self.assertNotIn("\x1b", self.said.getvalue())

    def test_a_machine_that_dies_breaks_the_command_off(self) -> None:
        handle = self.m.spawn("sleep 1000")
        self.daemon.stop("client", "crashed")
        with self.assertRaisesRegex(MachineError, "broke off"):
            handle.wait(30)
        self.assertFalse(self.m.booted)

    def test_retries_end_with_the_first_success_or_the_time(self) -> None:
        flag = self.out / "flag"
        threading.Timer(0.5, flag.touch).start()
        self.assertEqual(self.m.wait_until_succeeds(f"test -e {flag}; echo there", timeout=30), "there\n")
        with self.assertRaisesRegex(RequestedAssertionFailed, "timed out"):
            self.m.wait_until_fails("true", timeout=0)
        self.m.wait_for_file(str(flag))

    def test_ports_and_sockets(self) -> None:
        import socket

        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        self.m.wait_for_open_port(port, "127.0.0.1", timeout=10)
        listener.close()
        self.m.wait_for_closed_port(port, "127.0.0.1", timeout=10)
        for kind, datagram in ((socket.SOCK_STREAM, False), (socket.SOCK_DGRAM, True)):
            unix = socket.socket(socket.AF_UNIX, kind)
            path = str(self.out / f"s{int(datagram)}")
            unix.bind(path)
            if not datagram:
                unix.listen()
            self.m.wait_for_open_unix_socket(path, is_datagram=datagram, timeout=10)
            unix.close()
        with self.assertRaises(RequestedAssertionFailed):
            self.m.wait_for_open_unix_socket(path, timeout=0)


class Files(helpers.Case):
    def test_files_and_directories_come_back_as_they_were(self) -> None:
        m = self.driver().machines[0]
        source = self.out / "source"
        (source / "sub").mkdir(parents=True)
        (source / "sub" / "blob").write_bytes(bytes(range(256)) * 5000)
        (source / "name with 'quotes'").write_text("text")
        inside = self.out / "guest" / "deep" / "copy"
        m.copy_from_host(source, inside)
        self.assertEqual((inside / "sub" / "blob").read_bytes(), bytes(range(256)) * 5000)
        m.copy_from_machine(str(inside), "got")
        got = self.out / "got" / "copy"
        self.assertEqual((got / "sub" / "blob").read_bytes(), bytes(range(256)) * 5000)
        self.assertEqual((got / "name with 'quotes'").read_text(), "text")
        m.copy_from_host_via_shell(source / "sub" / "blob", self.out / "via" / "blob")
        self.assertEqual((self.out / "via" / "blob").read_bytes(), bytes(range(256)) * 5000)
        m.copy_from_vm(str(inside / "sub" / "blob"))
        self.assertEqual((self.out / "blob").read_bytes(), bytes(range(256)) * 5000)
        with self.assertRaises(RequestedAssertionFailed):
            m.copy_from_machine("/no/such/file")
        with self.assertRaises(RequestedAssertionFailed):
            m.copy_from_host("/no/such/file", "/tmp/x")

    def test_an_archive_cannot_write_outside(self) -> None:
        import io
        import tarfile

        from diorama.files import unpack

        def archive(*members: tuple[str, str | None]) -> bytes:
            file = io.BytesIO()
            with tarfile.open(fileobj=file, mode="w") as tar:
                for name, link in members:
                    info = tarfile.TarInfo(name)
                    if link is not None:
                        info.type, info.linkname = tarfile.SYMTYPE, link
                    tar.addfile(info)
            return file.getvalue()

        for name in ("../evil", "/evil", "root/../../evil", "other/evil"):
            with self.assertRaises(MachineError, msg=name):
                unpack(archive((name, None)), "root", self.out / "target")
        # A link that leads out, and a file through it.
        unpack(
            archive(("root/l", "../.."), ("root/l/evil", None), ("root/ok", "x/../y"), ("root/abs", "/etc")),
            "root",
            self.out / "t" / "target",
        )
        self.assertFalse((self.out / "evil").exists())
        self.assertTrue((self.out / "t" / "target" / "ok").is_symlink())
        self.assertFalse((self.out / "t" / "target" / "abs").exists())


class Life(helpers.Case):
    running = False

    def setUp(self) -> None:
        super().setUp()
        self.d = self.driver()
        self.m = self.d.machines[0]

    def verbs(self) -> list[str]:
        return [a["verb"] for a in self.daemon.acts if a["do"] == "node"]

    def test_a_machine_lives(self) -> None:
        self.assertEqual((self.m.booted, self.m.connected, self.m.is_up()), (False, False, False))
        self.assertEqual(self.m.succeed("echo hi"), "hi\n")
        self.assertTrue(self.m.is_up())
        self.m.start()
        self.assertEqual(self.verbs(), ["start"])
        self.m.crash()
        self.assertFalse(self.m.booted)
        self.m.crash()
        self.m.wait_for_shutdown()
        self.m.start(allow_reboot=True)
        self.m.shutdown()
        self.assertEqual(self.verbs(), ["start", "crash", "start", "stop"])
        actions = [a["reboot"] for _n, c, a in self.daemon.qmp if c == "set-action"]
        self.assertEqual(actions, ["shutdown", "reset"])

    def test_all_start_at_once_and_a_refusal_is_told(self) -> None:
        self.d.start_all()
        self.assertEqual(self.verbs(), ["start", "start"])
        self.daemon.stop("client")
        self.m.wait_for_shutdown()
        self.daemon.refuse_start = True
        with self.assertRaisesRegex(MachineError, "it is broken"):
            self.d.start_all()

    def test_a_machine_that_fails_to_boot_is_told_with_its_last_words(self) -> None:
        self.daemon.boot = lambda node: (
            self.daemon.set(node, state="booting", started=5),
            self.daemon.set(node, state="crashed", postMortem="kernel panic"),
        )
        with self.assertRaisesRegex(MachineError, "kernel panic"):
            self.m.succeed("true")


class Monitor(helpers.Case):
    def test_keys_commands_events_and_pictures(self) -> None:
        m = self.driver().machines[0]
        self.assertEqual(m.send_monitor_command("info status"), "status: running")
        m.send_chars("aB\n", delay=None)
        lines = [a["command-line"] for _n, c, a in self.daemon.qmp if c == "human-monitor-command"]
        self.assertEqual(lines, ["info status", "sendkey a", "sendkey shift-b", "sendkey ret"])
        m.listen()
        self.daemon.qmp_event("client", {"event": "STOP"})
        self.daemon.qmp_event("client", {"event": "RESUME", "data": {"x": 1}})
        event = m.wait_for_qmp_event(lambda e: e["event"] == "RESUME", timeout=10)
        self.assertEqual(event["data"], {"x": 1})
        with self.assertRaises(RequestedAssertionFailed):
            m.wait_for_qmp_event(lambda e: e["event"] == "STOP", timeout=0.1)
        m.screenshot("front")
        self.assertTrue((self.out / "front.png").read_bytes().startswith(b"\x89PNG"))

    def test_the_console(self) -> None:
        m = self.driver().machines[0]
        self.daemon.console("client", b"\x1b[1mHello\x1b[0m world\r\nsecond\r\npassword: ")
        m.wait_for_console_text("Hello world", timeout=10)
        m.wait_for_console_text("second", timeout=10)
        m.wait_for_console_text("password: $", timeout=10)
        with self.assertRaises(RequestedAssertionFailed):
            m.wait_for_console_text("Hello", timeout=0.1)
        self.assertEqual(m.get_console_log(), "Hello world\nsecond\npassword: ")
        threading.Timer(0.2, self.daemon.console, ("client", b"late\n")).start()
        m.wait_for_console_text("late", timeout=10)
        m.send_console("root\n")
        stream = next(s for c in self.daemon.clients for s in c.streams.values() if s.kind == "console" and s.node == "client")
        deadline = time.monotonic() + 10
        while stream.typed != b"root\n" and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(stream.typed, b"root\n")


class Network(helpers.Case):
    machines = ("a", "b", "c")

    def setUp(self) -> None:
        super().setUp()
        self.d = self.driver()

    def test_faults_are_what_the_words_say(self) -> None:
        network, (a, b, c) = self.d.network, self.d.machines
        network.partition([a], [b, c])
        self.assertEqual(self.daemon.cuts, {("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")})
        self.assertIn("a to b is cut", network.faults)
        network.heal()
        network.partition([b])
        self.assertEqual(self.daemon.cuts, {("a", "b"), ("c", "b"), ("b", "a"), ("b", "c")})
        network.heal()
        self.d.link(a, "b").cut()
        self.assertEqual(self.daemon.cuts, {("a", "b")})
        self.d.link(a, b).heal()
        self.d.link(a, b).both().cut()
        self.assertEqual(self.daemon.cuts, {("a", "b"), ("b", "a")})
        network.heal()
        network.isolate("c")
        self.assertEqual(len(self.daemon.cuts), 4)
        self.d.link(b, c).down()
        self.assertEqual(self.daemon.lowered, {"b"})
        self.d.link(b, c).up()
        a.block()
        self.assertEqual(self.daemon.lowered, {"a"})
        a.unblock()
        self.assertEqual(self.daemon.lowered, set())

    def test_wrong_words_are_refused(self) -> None:
        network = self.d.network
        for wrong in (
            lambda: network.partition(["a"], ["a", "b"]),
            lambda: network.isolate("nobody"),
            lambda: self.d.link("a", "a"),
        ):
            with self.assertRaises(TestScriptError):
                wrong()
        self.assertEqual(self.daemon.cuts, set())

    def test_a_forward_is_asked_for(self) -> None:
        self.d.machines[0].forward_port(8082)
        self.assertEqual(
            self.daemon.acts[-1],
            {"do": "forwardAdd", "node": "a", "proto": "tcp", "hostPort": 8082, "guestPort": 80},
        )


class Names(helpers.Case):
    def test_every_name_of_the_nixos_driver_is_there(self) -> None:
        m = self.driver().machines[0]
        for name in (
            "execute succeed fail wait_until_succeeds wait_until_fails systemctl start_job stop_job wait_for_unit "
            "wait_for_job get_unit_info get_unit_property require_unit_state wait_for_file wait_for_open_port "
            "wait_for_closed_port wait_for_open_unix_socket sleep copy_from_machine copy_from_vm copy_from_host "
            "copy_from_host_via_shell start connect shutdown wait_for_shutdown crash reboot is_up release block "
            "unblock forward_port send_monitor_command wait_for_qmp_event send_key send_chars send_console "
            "get_tty_text wait_until_tty_matches wait_for_console_text get_console_log screenshot get_screen_text "
            "get_screen_text_variants wait_for_text wait_for_x get_window_names wait_for_window shell_interact "
            "console_interact log nested "
            # The Perl driver's.
            "mustSucceed mustFail waitForJob waitForOpenPort waitUntilSucceeds waitForX waitForWindow getTTYText "
            "copyFileFromHost sendKeys sendChars waitForShutdown getScreenText waitForFile startJob stopJob isUp"
        ).split():
            self.assertTrue(callable(getattr(m, name)), name)
            self.assertIn(name, dir(m))
        for name in ("name", "booted", "connected", "state_dir", "shared_dir"):
            getattr(m, name)
        with self.assertRaisesRegex(AttributeError, "no_such_thing"):
            getattr(m, "no_such_thing")


class Joining(unittest.TestCase):
    """What a start command becomes."""

    def test_a_start_script_is_run_as_it_is_and_plugged_in(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "run-one-vm"
            path.write_text('#!/bin/sh\nexec qemu "$QEMU_VDE_SOCKET_7" "$QEMU_VDE_SOCKET_2" "$QEMU_VDE_SOCKET_7" $QEMU_OPTS\n')
            start = StartCommand(str(path))
            self.assertEqual((start.name, start.vlans), ("one", [7, 2]))
            self.assertIn(f"exec {path}\n", start.script("one"))
            self.assertNotIn("unset", start.script("one"))

    def test_a_command_line_gets_what_connects_it_at_its_end(self) -> None:
        text = StartCommand("qemu-system-x86_64 -m 64").script("m")
        self.assertTrue(text.endswith("unset QEMU_OPTS\nexec qemu-system-x86_64 -m 64 $options\n"), text)
        self.assertTrue(StartCommand("q -m 64 $QEMU_OPTS").script("m").endswith("exec q -m 64 $QEMU_OPTS\n"))

    def test_the_older_form(self) -> None:
        words = {"qemuBinary": "q", "hda": "/a b", "hdaInterface": "scsi", "cdrom": "/c", "netBackendArgs": "x=1"}
        command = StartCommand(words).command
        self.assertIn("q -m 384 -netdev user,id=user.0,x=1 -device virtio-net-pci,netdev=user.0", command)
        self.assertIn("file='/a b',werror=report,if=none -device scsi-hd,drive=hda -cdrom /c", command)


class SharedDirectory(helpers.Case):
    """``/tmp/shared``, on a host that has no such guest: what is carried is this host's own /tmp."""

    def test_only_what_names_it_is_carried_and_links_are_not_followed(self) -> None:
        d = self.driver()
        m = d.machines[0]
        self.assertEqual(m._shared.named("ls /tmp/sharedx /tmp/shared.d /tmp/shared-1"), [])
        self.assertEqual(m._shared.named("cp /tmp/xchg/a '/tmp/shared'"), ["xchg", "shared"])
        host = self.out / "host"
        (host / "d").mkdir(parents=True)
        (host / "d" / "f").write_text("x")
        (host / "out").symlink_to("/etc")
        self.assertEqual(sorted(shared._scan(host)), ["d", "d/f"])
        self.assertFalse(shared._plain_parents(host, ("out", "passwd")))
        self.assertFalse(shared._plain_parents(host, ("out",)))
        self.assertTrue(shared._plain_parents(host, ("d", "f")))


if __name__ == "__main__":
    import unittest

    unittest.main()
