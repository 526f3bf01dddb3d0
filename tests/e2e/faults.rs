//! What goes wrong, and what is left of the session then.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::environment::{TestEnvironment, fetch, free_port};

#[test]
fn a_killed_daemon_loses_nothing() {
    let t = TestEnvironment::new();
    let port = free_port();
    t.up("duo", &["web", "db"], port);
    t.ok(&["link", "cut", "web", "db"]);
    t.ok(&["link", "down", "db"]);
    let pids = [t.node("web")["pid"].clone(), t.node("db")["pid"].clone()];
    let old = t.daemon("duo");
    kill(Pid::from_raw(old), Signal::SIGKILL).unwrap();

    let ran = t.run(&["ls"]);
    assert!(ran.stderr.contains("had died; a new one has taken over"), "{ran:?}");
    assert_ne!(t.daemon("duo"), old);
    assert_eq!([t.node("web")["pid"].clone(), t.node("db")["pid"].clone()], pids, "the same machines");
    assert_eq!(t.view()["faults"], 2);
    assert_eq!(fetch(port).as_deref(), Some("web"), "forwards go on");
    let ping = ["exec", "web", "--", "ping", "-c", "1", "-W", "1", "192.168.1.2"];
    t.ok(&["link", "undo"]);
    assert_ne!(t.run(&ping).status, 0, "the cut still holds");
    t.ok(&["link", "undo"]);
    t.wait_for("the link works again", || t.run(&ping).status == 0);
    assert!(t.ok(&["logs", "-n", "50", "web"]).contains("web login:"), "what was printed before is there");
    t.ok(&["node", "restart", "db"]);
    t.ok(&["down"]);
    t.assert_clean();
}

#[test]
fn a_killed_machine_is_shown_as_crashed_and_starts_again() {
    let t = TestEnvironment::new();
    t.up("solo", &["a"], free_port());
    let pid = i32::try_from(t.node("a")["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    t.wait_for("the crash is seen", || t.node("a")["state"] == "crashed");
    let post_mortem = t.node("a")["postMortem"].as_str().unwrap().to_owned();
    assert!(post_mortem.contains("killed by signal 9") && post_mortem.contains("a login:"), "{post_mortem}");
    t.ok(&["node", "start", "a"]);
    t.ok(&["exec", "a", "--", "true"]);

    // Both at once: the machine's end is found out by the next daemon, and it was not the last.
    kill(Pid::from_raw(t.daemon("solo")), Signal::SIGKILL).unwrap();
    t.ok(&["exec", "a", "--", "true"]);
    t.ok(&["down", "--power"]);
    t.assert_clean();
}

#[test]
fn what_a_dead_session_left_is_removed() {
    let t = TestEnvironment::new();
    t.up("solo", &["a"], free_port());
    let pid = i32::try_from(t.node("a")["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(t.daemon("solo")), Signal::SIGKILL).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    t.wait_for("both have ended", || t.processes().is_empty());
    assert!(t.path("run/solo").is_dir());
    assert_eq!(t.ok(&["ls", "-q"]), "");
    t.assert_clean();
}

#[test]
fn a_flood_and_a_client_that_does_not_read_stall_nobody() {
    let t = TestEnvironment::new();
    t.up("duo", &["loud", "quiet"], free_port());
    let memory = |pid: i32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let daemon = t.daemon("duo");
    let before = memory(daemon);
    t.guest("loud", "(yes $(printf '\\033[31m%070d' 1) | head -c 30000000 >/dev/ttyS0; cat /dev/urandom >/dev/ttyS0) >/dev/null 2>&1 &");

    // Clients that ask for everything and read nothing.
    let mut deaf = Vec::new();
    for _ in 0..3 {
        let mut stream = UnixStream::connect(t.path("run/duo/.daemon/sock")).unwrap();
        for (id, request) in [
            r#"{"type":"hello","version":1,"client":"deaf"}"#,
            r#"{"type":"subscribe"}"#,
            r#"{"type":"console","node":"loud","history":1000000}"#,
        ]
        .into_iter()
        .enumerate()
        {
            let body = format!(r#"J{{"id":{id},"request":{request}}}"#);
            stream.write_all(&u32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(body.as_bytes()).unwrap();
        }
        deaf.push(stream);
    }
    let start = Instant::now();
    let flooded = || t.node("loud")["consoleBytes"].as_u64().unwrap();
    let first = flooded();
    t.wait_for("the flood", || flooded() > first + 3_000_000);
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let asked = Instant::now();
        t.ok(&["exec", "quiet", "--", "true"]);
        slowest = slowest.max(asked.elapsed());
    }
    eprintln!("flooded for {:?}, slowest exec {slowest:?}", start.elapsed());
    let after = memory(daemon);
    eprintln!("the daemon's memory: {before} MiB before, {after} MiB after");
    assert!(after < before + 40, "{before} MiB grew to {after} MiB");
    t.ok(&["link", "cut", "loud", "quiet"]);
    t.ok(&["down", "--power"]);
    t.assert_clean();
}

#[test]
fn a_client_of_another_version_is_told_so() {
    let t = TestEnvironment::new();
    t.up("solo", &["a"], free_port());
    let mut stream = UnixStream::connect(t.path("run/solo/.daemon/sock")).unwrap();
    let body = r#"J{"id":0,"request":{"type":"hello","version":99,"client":"future"}}"#;
    stream.write_all(&u32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("speaks version 1 of the protocol, the client 99"), "{answer}");
    t.ok(&["down", "--power"]);
    t.assert_clean();
}
