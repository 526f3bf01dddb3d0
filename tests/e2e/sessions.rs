//! A session's ordinary life.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::environment::{TestEnvironment, fetch, free_port};

const PING: &str = "ping -c 1 -W 1 192.168.1.2 >/dev/null";

#[test]
fn commands_links_files_and_the_end() {
    let t = TestEnvironment::new();
    let port = free_port();
    t.up("duo", &["web", "db"], port);

    // Commands: status, both outputs apart, input, what cannot be run, who is not there.
    let ran = t.run_with_input(&["exec", "web", "--", "sh", "-c", "cat; echo err >&2; exit 7"], b"in\n");
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (7, "in\n", "err\n"));
    assert_eq!(t.run(&["exec", "web", "--", "no-such-program"]).status, 127);
    assert_eq!(t.run(&["exec", "web", "--", "/etc/passwd"]).status, 126);
    assert_eq!(t.run(&["exec", "web", "--", "sh", "-c", "kill -9 $$"]).status, 137);
    assert_eq!(t.run(&["exec", "--timeout", "1", "web", "--", "sleep", "60"]).status, 124);
    let ran = t.run(&["exec", "wbe", "--", "true"]);
    assert_eq!((ran.status, ran.stderr.contains("hint: did you mean web?")), (3, true), "{ran:?}");

    // Much data, both ways at once.
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    let ran = t.run_with_input(&["exec", "web", "--", "cat"], &big);
    assert!(ran.stdout.as_bytes() == big, "3 MB went through cat unharmed");

    // Links.
    t.guest("web", PING);
    t.ok(&["link", "cut", "web", "db"]);
    assert_ne!(t.run(&["exec", "web", "--", "sh", "-c", PING]).status, 0);
    assert_eq!(t.view()["faults"], 1);
    t.ok(&["link", "undo"]);
    t.guest("web", PING);
    t.ok(&["link", "isolate", "db"]);
    assert_ne!(t.run(&["exec", "web", "--", "sh", "-c", PING]).status, 0);
    t.ok(&["link", "heal", "--all"]);
    t.ok(&["link", "down", "web", "eth1"]);
    t.wait_for("the guest sees its carrier go", || {
        t.guest("web", "cat /sys/class/net/eth1/carrier").trim() == "0"
    });
    t.ok(&["link", "up", "web"]);
    t.wait_for("the guest sees its carrier come", || {
        t.guest("web", "cat /sys/class/net/eth1/carrier").trim() == "1"
    });
    t.guest("web", PING);

    // Forwards.
    assert_eq!(fetch(port).as_deref(), Some("web"));
    let said = t.ok(&["forward", "add", "db", "0:80"]);
    let added: u16 = said.split([':', ' ']).nth(1).unwrap().parse().unwrap();
    assert_eq!(fetch(added).as_deref(), Some("db"));
    let taken = t.run(&["forward", "add", "db", &format!("{port}:80")]);
    assert!(taken.stderr.contains("leads to web:80 already"), "{taken:?}");
    t.ok(&["forward", "remove", &added.to_string()]);
    assert_eq!(fetch(added), None);

    // Files.
    let file = t.write("script", "#!/bin/sh\necho hi\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
    t.ok(&["cp", "script", "web:/tmp/"]);
    assert_eq!(t.guest("web", "stat -c %a /tmp/script; /tmp/script"), "751\nhi\n");
    t.guest("web", "mkdir -p /tmp/d/e; echo deep >/tmp/d/e/f; ln -s e /tmp/d/l");
    t.ok(&["cp", "web:/tmp/d", "copied"]);
    assert_eq!(fs::read_to_string(t.path("copied/l/f")).unwrap(), "deep\n");
    assert_eq!(t.run(&["cp", "web:/nowhere", "."]).status, 1);

    // What the shell's completion script asks.
    let mut asked = t.command(&["--", "diorama", "exec", ""]);
    asked.env("DIORAMA_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").env("_CLAP_IFS", " ");
    let words = String::from_utf8(asked.output().unwrap().stdout).unwrap();
    assert!(words.starts_with("db web "), "{words}");

    // The same model again, and changed: told, and the machines stay as they are.
    let manifest = t.path("duo.json");
    let again = ["up", "-d", "--accel", "tcg", manifest.to_str().unwrap()];
    let ran = t.run(&again);
    assert!(ran.stderr.contains("is running already") && !ran.stderr.contains("changed"), "{ran:?}");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replacen("\"memorySize\":96", "\"memorySize\":97", 1)).unwrap();
    let ran = t.run(&again);
    assert!(
        ran.status == 0 && ran.stderr.contains("the model has changed since it started: db\n"),
        "{ran:?}"
    );

    // A terminal of its own.
    let ran = t.run(&["exec", "-t", "-n", "web", "--", "sh", "-c", "test -t 0 && stty size"]);
    assert_eq!(ran.stdout.trim(), "24 80");

    // The console, with what was printed before.
    let said = t.run_with_input(&["logs", "-n", "50", "web"], b"");
    assert!(said.stdout.contains("web | web login:"), "{said:?}");

    assert!(t.path("state/duo/run-web").is_file());
    t.ok(&["down", "-t", "30"]);
    t.assert_clean();
    assert_eq!(fetch(port), None);
}

#[test]
fn two_sessions_side_by_side_want_one_port() {
    let t = TestEnvironment::new();
    let port = free_port();
    t.up("one", &["a"], port);
    let manifest = t.network("one", &["a"], port);
    t.ok(&["up", "-d", "--wait", "--name", "two", "--accel", "tcg", manifest.to_str().unwrap()]);
    assert_eq!(t.ok(&["ls", "-q"]), "one\ntwo\n");
    let ran = t.run(&["exec", "a", "--", "true"]);
    assert_eq!(
        (ran.status, ran.stderr.contains("several sessions are running: one, two")),
        (3, true),
        "{ran:?}"
    );
    t.ok(&["exec", "-s", "two", "a", "--", "true"]);
    let forwards = t.ok(&["forward", "list", "-s", "two"]);
    assert!(forwards.contains("does not listen"), "{forwards}");
    assert!(forwards.contains(&format!("port {port} is taken by qemu")), "{forwards}");
    assert!(forwards.contains("the model asks for it, for a:80"), "{forwards}");
    t.ok(&["down", "-s", "one", "--power"]);
    assert_eq!(t.ok(&["ls", "-q"]), "two\n");
    t.ok(&["exec", "a", "--", "true"]);
    t.ok(&["down", "--power"]);
    t.assert_clean();
}

#[test]
fn lines_of_text_and_ctrl_c() {
    let t = TestEnvironment::new();
    let manifest = t.network("solo", &["a"], free_port());
    let mut child = t
        .command(&["up", "--accel", "tcg", manifest.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|l| l.starts_with("a is up after")), "its start is told");
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    t.assert_clean();
}

#[test]
fn a_machine_is_stopped_paused_crashed_and_started() {
    let t = TestEnvironment::new();
    t.up("solo", &["a"], free_port());
    assert_eq!(t.ok(&["node", "pause", "a"]), "a is paused\n");
    let ran = t.run(&["exec", "a", "--", "true"]);
    assert_eq!((ran.status, ran.stderr.contains("hint: diorama node resume a")), (125, true), "{ran:?}");
    t.ok(&["node", "resume", "a"]);
    t.ok(&["exec", "a", "--", "true"]);
    let first = t.node("a")["pid"].clone();
    t.ok(&["node", "restart", "a"]);
    assert_ne!(t.node("a")["pid"], first);
    t.ok(&["node", "crash", "a"]);
    assert_eq!(t.node("a")["state"], "stopped", "asked for, so no crash");
    let ran = t.run(&["node", "stop", "a"]);
    assert!(ran.stderr.contains("a cannot stop: it is not running"), "{ran:?}");
    t.ok(&["node", "start", "a"]);
    t.guest("a", "(sleep 1; poweroff) >/dev/null 2>&1 &");
    t.wait_for("the guest powers itself off", || t.node("a")["state"] == "stopped");
    t.ok(&["down"]);
    t.assert_clean();
}
