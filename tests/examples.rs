//! Examples with a test of their own, run as a person runs them: `diorama test test.nix`.
//!
//! Invariant: what passes here is the example in the tree, copied beside nothing else, so that what it writes (its
//! lock file) stays out of the tree.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Copies an example to a directory of its own and runs its test; its subtests are the ones named, all passed.
fn passes(example: &str, subtests: &[&str], left: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join(example);
    fs::create_dir(&directory).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/examples").join(example);
    for entry in fs::read_dir(source).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|e| e == "nix") {
            fs::copy(entry.path(), directory.join(entry.file_name())).unwrap();
        }
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
    command.current_dir(&directory).env("HOME", home.path());
    for name in ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        let private = home.path().join(name);
        fs::create_dir_all(&private).unwrap();
        fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        command.env(name, private);
    }
    // A busy machine without KVM takes its time; only a run that never ends is ended.
    let out = command.args(["test", "test.nix", "--out", "out", "--timeout", "2400"]).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(out.status.success(), "{example}: {}\n{}{}", out.status, said(&out.stdout), said(&out.stderr));

    let log = fs::read_to_string(directory.join("out/log.ndjson")).unwrap();
    let events = log.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let ended: Vec<_> = events.filter(|e| e["event"] == "subtest-end").collect();
    let names: Vec<_> = ended.iter().filter_map(|e| e["name"][0].as_str()).collect();
    assert_eq!(names, subtests, "{example}");
    assert!(ended.iter().all(|e| e["result"] == "passed"), "{ended:?}");
    for file in left {
        let bytes = fs::read(directory.join("out").join(file)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{file} is a picture");
    }
}

#[test]
fn the_router_translates_addresses() {
    let subtests = [
        "the client reaches the server through the router",
        "the server has seen the router alone",
        "the server does not reach the client",
        "but the port that the router hands on",
        "a cut link shows on both sides, its end too",
        "a router that does not route",
    ];
    passes("nat-router", &subtests, &[]);
}

#[test]
fn secrets_are_there_before_who_reads_them() {
    let subtests =
        ["the service reads its password", "without the password it ends", "it is there again after a start"];
    passes("secrets", &subtests, &[]);
}

#[test]
fn the_load_balancer_loses_back_ends() {
    let subtests = [
        "every back end answers through the proxy",
        "the client does not reach the back ends itself",
        "a back end loses its power, and nobody notices",
        "another is cut off, and nobody notices",
        "they come back",
    ];
    passes("load-balancer", &subtests, &[]);
}

#[test]
fn a_desktop_is_seen_and_typed_on() {
    let subtests = ["a window opens", "keys reach it", "the text console behind it"];
    passes("desktop", &subtests, &["desktop.png"]);
}
