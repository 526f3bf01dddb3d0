//! Secrets of a clone's machines: there whenever a command is run, after every boot, and nowhere but in the machine.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::environment::{TestEnvironment, free_port};

const SECRET: &str = "correct-horse-battery-staple";

/// A network of one mini guest with keys.
fn network(t: &TestEnvironment, keys: &Value) -> String {
    let file = t.network("keyed", &["web"], free_port());
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    manifest["nodes"]["web"]["keys"] = keys.clone();
    fs::write(&file, manifest.to_string()).unwrap();
    file.display().to_string()
}

#[test]
fn keys_are_there_before_commands_and_after_every_boot() {
    let t = TestEnvironment::new();
    t.write("secret", SECRET);
    let manifest = network(
        &t,
        &json!({
            "db": { "path": "/run/keys/db", "permissions": "0440", "source": { "kind": "file", "path": "secret" } },
            "printed": {
                "path": "/etc/printed", "action": ["sh", "-c", "cp /etc/printed /tmp/acted"],
                "source": { "kind": "command", "command": ["printf", "%s", "a b"] },
            },
            "wrong": { "path": "/wrong", "user": "nobody-of-this-name", "source": { "kind": "file", "path": "secret" } },
        }),
    );
    t.ok(&["up", "-d", "--accel", "tcg", &manifest]);
    let look = "stat -c '%u:%g:%a' /run/keys /run/keys/db; cat /run/keys/db /etc/printed /tmp/acted; ls /wrong /run/diorama* 2>&1 | wc -l";
    let want = format!("0:0:750\n0:0:440\n{SECRET}a ba b2\n");
    assert_eq!(t.guest("web", look), want);
    let view = t.view().to_string();
    assert!(
        view.contains("the key wrong is not in the machine: there is no user nobody-of-this-name"),
        "{view}"
    );

    // Nobody sees it but the machine and two private files.
    let text = |path: &std::path::Path| fs::read_to_string(path).unwrap();
    let private = t.path("run/keyed/.daemon");
    for (what, said) in [
        ("the view", view),
        ("the session's file", text(&private.join("session.json"))),
        ("the daemon's log", text(&t.path("state/keyed/daemon.log"))),
        ("processes", t.processes().into_iter().map(|(_, words)| words).collect()),
    ] {
        assert!(!said.contains(SECRET), "{what}: {said}");
    }
    assert_eq!(text(&private.join("keys/web/db")), SECRET);

    // A reset, and a daemon that takes over.
    t.ok(&["node", "reset", "web"]);
    assert_eq!(t.guest("web", look), want);
    fs::remove_file(t.path("secret")).unwrap();
    kill(Pid::from_raw(t.daemon("keyed")), Signal::SIGKILL).unwrap();
    t.ok(&["ls"]);
    t.ok(&["node", "crash", "web"]);
    t.ok(&["node", "start", "web"]);
    assert_eq!(t.guest("web", look), want);
    t.ok(&["down", "--power"]);
    t.assert_clean();
}

#[test]
fn a_text_that_nobody_gave_and_a_source_that_fails_stop_the_start() {
    let t = TestEnvironment::new();
    for (source, words) in [
        (json!({ "kind": "text" }), ["node web: the key db", "keyFile"]),
        (
            json!({ "kind": "command", "command": ["sh", "-c", "echo it is locked >&2; exit 3"] }),
            ["node web: the key db", "exit status: 3: it is locked"],
        ),
    ] {
        let manifest = network(&t, &json!({ "db": { "path": "/run/keys/db", "source": source } }));
        let ran = t.run(&["up", "-d", "--wait", "--accel", "tcg", &manifest]);
        assert_eq!(ran.status, 1, "{ran:?}");
        for word in words {
            assert!(ran.stderr.contains(word), "{word}: {ran:?}");
        }
        t.assert_clean();
    }
}
