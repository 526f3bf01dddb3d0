//! Test scripts against real guests: right ones, wrong ones, and what is left of a run.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::environment::{Ran, TestEnvironment, free_port};

/// A run of `diorama test` with the network's machines `web` and `db`.
fn test(t: &TestEnvironment, script: &str, more: &[&str]) -> Command {
    let manifest = t.network("duo", &["web", "db"], free_port());
    let script = t.write("script.py", script);
    let out = t.path("out");
    let mut args = vec!["test", "--accel", "tcg", manifest.to_str().unwrap()];
    args.extend(["--script", script.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    args.extend(more);
    t.command(&args)
}

fn run(t: &TestEnvironment, script: &str, more: &[&str]) -> Ran {
    Ran::new(more, test(t, script, more).output().unwrap())
}

/// Starts a run and waits until its script has made the file `begun`.
fn begin(t: &TestEnvironment, script: &str) -> (Child, PathBuf) {
    let begun = t.path("begun");
    let script = format!("{script}\n").replace("BEGUN", &format!("open({begun:?}, 'w').close()"));
    let child = test(t, &script, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    t.wait_for("the script's beginning", || begun.exists());
    (child, begun)
}

/// Waits, and starts something that must not outlive the run.
const ENDLESS: &str = "import subprocess
subprocess.Popen(['sleep', '1000'])
web.succeed('true')
with subtest('waits'):
    BEGUN
    web.execute('sleep 1000')";

#[test]
fn a_script_drives_the_machines_and_leaves_its_reports() {
    let t = TestEnvironment::new();
    let script = r#"
start_all()
with subtest("commands"):
    assert web.succeed("echo hi", "echo there") == "hi\nthere\n"
    t.assertEqual(web.execute("echo out; echo err >&2; exit 3"), (3, "out\n"))
    first, second = web.spawn("sleep 0.2; echo a"), web.spawn("echo b")
    assert (second.wait(60), first.wait(60), first.output) == (0, 0, "a\n")
    assert web.execute("sleep 1000", timeout=1)[0] == 124
    assert len(web.succeed("head -c 3000000 /dev/zero")) == 3000000
    web.succeed("(sleep 1; echo late; echo lives > /tmp/late) &")
    web.wait_for_file("/tmp/late", timeout=60)
with subtest("a flood"):
    def peak(process):
        """The most memory that a process has had, in MiB."""
        with open(f"/proc/{process}/status") as f:
            return next(int(line.split()[1]) // 1024 for line in f if line.startswith("VmHWM"))
    session = os.path.join(os.environ["DIORAMA_RUNTIME_DIR"], driver.connection.session)
    with open(os.path.join(session, ".daemon/pid")) as f:
        daemon = f.read().split()[0]
    assert len(web.succeed("head -c 100000000 /dev/zero")) == 100000000
    # The daemon keeps nothing of it; the driver has it as bytes and as text.
    assert peak(daemon) < 100, peak(daemon)
    assert peak("self") < 500, peak("self")
ping = "ping -c 1 -W 1 192.168.1.2"
with subtest("outages"):
    web.wait_until_succeeds(ping, timeout=60)
    link(web, db).cut()
    web.fail(ping)
    network.heal()
    web.wait_until_succeeds(ping, timeout=60)
    web.block()
    web.wait_until_succeeds("test $(cat /sys/class/net/eth1/carrier) = 0", timeout=60)
    network.partition([web], [db])
with subtest("files"):
    blob = os.path.join(web.out_dir, "blob")
    with open(blob, "wb") as f:
        f.write(bytes(range(256)) * 1000)
    web.copy_from_host(blob, "/tmp/there/copy")
    web.copy_from_machine("/tmp/there", "got")
    with open(os.path.join(web.out_dir, "got/there/copy"), "rb") as f:
        assert f.read() == bytes(range(256)) * 1000
with subtest("the monitor"):
    assert "running" in web.send_monitor_command("info status")
    web.send_monitor_command("stop")
    web.wait_for_qmp_event(lambda e: e["event"] == "STOP", timeout=60)
    web.send_monitor_command("cont")
    web.wait_for_qmp_event(lambda e: e["event"] == "RESUME", timeout=60)
    db.crash()
    assert not db.is_up()
    db.start()
    db.wait_for_console_text("db login", timeout=120)
    db.succeed("true")
with subtest("a guest's reboot ends the machine"):
    db.execute("reboot -f", check_output=False)
    db.wait_for_shutdown()
    assert db.state == "stopped", db.state
with subtest("unless it may"):
    db.start(allow_reboot=True)
    db.succeed("touch /tmp/before")
    db.reboot()
    db.fail("test -e /tmp/before")
"#;
    let junit = t.path("report.xml");
    let ran = run(&t, script, &["--junit", junit.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("7 subtests passed"), "{ran:?}");
    assert!(ran.stderr.contains("web: ! err"), "standard error is shown live");
    let xml = fs::read_to_string(junit).unwrap();
    assert!(xml.contains("tests=\"8\" failures=\"0\" errors=\"0\""), "{xml}");
    let log = fs::read_to_string(t.path("out/log.ndjson")).unwrap();
    let events: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let faults = events.iter().filter(|e| e["event"] == "fault").count();
    assert!(faults >= 5, "{faults} faults, the last of them healed by the driver");
    assert!(fs::read_to_string(t.path("out/consoles/web.log")).unwrap().contains("web login"));
    t.assert_clean();
}

#[test]
fn wrong_scripts_fail_and_say_where() {
    let t = TestEnvironment::new();
    let cases: [(&str, &[&str], &str); 6] = [
        ("x = 1\nif True\n", &[], "script.py:2"),
        ("def f():\n    {}['x']\nf()\n", &[], "script.py:2 in f"),
        (
            "while True:\n    try:\n        pass\n    except Exception:\n        pass\n",
            &["--timeout", "3"],
            "longer than 3 s",
        ),
        ("web.succeed('sleep 1000')", &["--command-timeout", "2"], "took too long"),
        ("web.succeed('poweroff -f; sleep 1000')", &[], "broke off"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", &[], "was killed"),
    ];
    for (script, more, expected) in cases {
        let ran = run(&t, script, more);
        assert_eq!(ran.status, 1, "{script}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{script}: {ran:?}");
        t.assert_clean();
    }
}

#[test]
fn a_run_that_is_interrupted_in_any_way_leaves_nothing() {
    let t = TestEnvironment::new();
    // ctrl-c.
    let (child, begun) = begin(&t, ENDLESS);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let ran = Ran::new(&[], child.wait_with_output().unwrap());
    assert_eq!(ran.status, 130, "{ran:?}");
    assert!(ran.stderr.contains("script.py:6"), "{ran:?}");
    t.assert_clean();

    // The daemon dies.
    fs::remove_file(&begun).unwrap();
    let (child, begun) = begin(&t, ENDLESS);
    let session = fs::read_dir(t.path("run")).unwrap().next().unwrap().unwrap().file_name();
    kill(Pid::from_raw(t.daemon(session.to_str().unwrap())), Signal::SIGKILL).unwrap();
    let ran = Ran::new(&[], child.wait_with_output().unwrap());
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("the session has ended"), "{ran:?}");
    t.assert_clean();

    // The program itself dies: the driver sees to the end.
    fs::remove_file(&begun).unwrap();
    let (mut child, _) = begin(&t, ENDLESS);
    child.kill().unwrap();
    child.wait().unwrap();
    t.assert_clean();
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let t = TestEnvironment::new();
    let manifest = t.network("duo", &["web", "db"], free_port());
    let script =
        t.write("script.py", "start_all()\nweb.succeed('echo x > /tmp/x')\ndb.fail('test -e /tmp/x')\n");
    let start = |out: &str| {
        let out = t.path(out);
        let args = ["test", "--accel", "tcg", "--out", out.to_str().unwrap(), "--script"];
        let mut command = t.command(&args);
        command.args([&script, &manifest]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for child in [start("a"), start("b")] {
        let ran = Ran::new(&[], child.wait_with_output().unwrap());
        assert_eq!(ran.status, 0, "{ran:?}");
    }
    t.assert_clean();
}
